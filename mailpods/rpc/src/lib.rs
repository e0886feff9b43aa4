//! What roles and operator say to each other: messages and traits.
//!
//! Values only: never touches sockets, files, clocks or tokio. `net` carries these over HTTP between pods; in one process the trait is called
//! directly.

mod addresses;
pub mod control;
pub mod fuzzing;
pub mod scan;

pub use scan::{Action, Mechanism, MechanismResult, Scan, ScanError, ScanRequest, Verdict};
