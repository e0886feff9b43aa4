//! Records: published, and looked for.

pub mod endpoint;
pub mod truth;
