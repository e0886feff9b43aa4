//! Records: published, and looked for.

pub mod endpoint;
