//! Scripts with a message and what becomes of it, by RFC and section.

mod core;
mod edits;
mod errors;
mod extensions;
mod limits;
mod made;
mod mime;
mod several;
mod stages;
mod world;
