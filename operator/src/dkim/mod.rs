//! DKIM keys: made, published, used, retired.

pub mod decide;
pub mod key;
