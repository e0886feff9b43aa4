//! What every server process does, all roles or one: builds roles, opens sockets, serves the certificate, stops.
//!
//! Contains no mail logic, and does not know where the plan comes from.

mod autoconfig;
mod listeners;
mod lock;
mod measures;
mod mta_sts;
mod roles;
mod signals;
mod stop;
mod tls;
mod web;

pub use listeners::{Bound, Closed, Listeners, Sessions};
pub use lock::{LockError, take as take_folder};
pub use measures::{queue as queue_measures, rest_after, unix_millis};
pub use roles::{Built, Roles, RolesError, Setup, engine, resolver, resolver_options};
pub use signals::{Asked, Signals};
pub use stop::finish;
pub use tls::{TlsSetupError, identity};
