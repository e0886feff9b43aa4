//! Compiles Mailpods resources into one immutable [`Plan`].
//!
//! Pure: text and values in, a plan or every error out. Never touches files, sockets, clocks or a Kubernetes client.
//! [`check`] is the whole way: YAML to trees with places ([`Source`]), the schema and CEL rules of the
//! CustomResourceDefinitions, types, references between resources, plan.

mod assign;
mod compile;
pub mod dns;
pub mod fuzz;
mod handle;
mod kinds;
mod load;
pub mod model;
mod outbound;
mod outbound_tls;
mod problem;
mod providers;
mod records;
mod resolve;
mod schema;
mod secret;
mod shared;
mod sieve;
pub mod slice;
mod unread;
mod yaml;

pub use assign::{Assigned, Inventory, Namespaces, Owner, assign};
pub use compile::{
    Compiled, Edits, check, check_with, compile, compile_valid, dns_server, edit, hold,
    issued_secret,
};
pub use handle::PlanHandle;
pub use load::{
    Environment, LeftAddresses, LeftOut, Located, ManagedDkim, Resources, Secret, Secrets, Source,
    load, load_valid,
};
pub use model::*;
pub use outbound::{BlockList, BlockLists, Suppression};
pub use outbound_tls::OutboundTls;
pub use problem::{Origin, Position, Problem, ProblemClass, nearest};
pub use records::reverse_name;
pub use resolve::Route;
pub use schema::form_of;
pub use secret::SecretText;
pub use shared::Shared;
pub use sieve::{SieveScript, SieveSettings, SieveStages};
pub use slice::Role;
pub use unread::{Claims, Unread, UnreadDomain};

#[cfg(test)]
mod tests;
