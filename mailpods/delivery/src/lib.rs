//! The delivery role: takes queued mail under a lease into mailboxes and out to the world.
//!
//! Signs with `mailpods-dkim` (`Signer`, `BodyHash`): the pure crate that makes, publishes and uses DKIM keys. The keys are secrets of the
//! store named `dkim/DOMAIN/SELECTOR`, PKCS#8 PEM. Never imports another role.
