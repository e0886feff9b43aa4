//! Scripts with a message and what becomes of it, by RFC and section.

mod core;
mod errors;
mod extensions;
mod limits;
mod made;
mod mime;
mod stages;
mod world;
