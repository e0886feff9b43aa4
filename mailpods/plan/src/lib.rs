//! Compiles Mailpods resources into one immutable [`Plan`].
//!
//! Pure: text and values in, a plan or every error out. Never touches files, sockets, clocks or a Kubernetes client.
//! [`check`] is the whole way: YAML to trees with places ([`Source`]), the schema and CEL rules of the
//! CustomResourceDefinitions, types, references between resources, plan.

mod compile;
pub mod dns;
pub mod fuzz;
mod handle;
mod kinds;
mod load;
pub mod model;
mod problem;
mod records;
mod resolve;
mod schema;
mod shared;
pub mod slice;
mod yaml;

pub use compile::{check, check_with, compile, dns_server};
pub use handle::PlanHandle;
pub use load::{Located, Resources, Secret, Source, load, load_valid};
pub use model::*;
pub use problem::{Origin, Position, Problem};
pub use records::reverse_name;
pub use resolve::Route;
pub use schema::form_of;
pub use shared::Shared;
pub use slice::Role;

#[cfg(test)]
mod tests;
