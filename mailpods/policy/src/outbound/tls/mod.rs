//! Which protection a connection to a mail exchanger needs, and why: MTA-STS (RFC 8461), DANE (RFC 7672), REQUIRETLS and `TLS-Required`
//! (RFC 8689), and what the administrator says. What came of it is told in reports (RFC 8460).

pub mod decide;
pub mod fuzzing;
pub mod report;
pub mod sts;
pub mod tlsa;

pub use decide::{Barred, Dane, Decision, Facts, Level, Minimum, Why, Wish, decide};
