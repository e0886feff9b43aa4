//! Compiles Mailpods resources into one immutable [`Plan`].
//!
//! Pure: text and values in, a plan or every error out. Never touches files, sockets, clocks or a Kubernetes client.

mod handle;
mod kinds;
mod load;
pub mod model;
mod problem;
mod resolve;
mod schema;
mod yaml;

pub use handle::PlanHandle;
pub use load::{Located, Resources, Secret, Source, load, load_valid};
pub use model::*;
pub use problem::{Origin, Position, Problem};
pub use resolve::Route;
