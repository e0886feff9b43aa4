//! Records: published, and looked for.

pub mod endpoint;
mod lookup;
pub mod remedy;
pub mod truth;
