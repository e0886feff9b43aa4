//! Compiles Mailpods resources into one immutable [`Plan`].
//!
//! Pure: text and values in, a plan or every error out. Never touches files, sockets, clocks or a Kubernetes client.

mod handle;
pub mod model;
mod resolve;

pub use handle::PlanHandle;
pub use model::*;
pub use resolve::Route;
