//! Records: published, and looked for.

pub mod endpoint;
pub mod look_ups;
pub mod truth;
