//! What a run gets from its caller.

use std::sync::Arc;

use crate::limits::Limits;
use crate::program::Script;

/// Where an included script comes from (RFC 6609 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Location {
    /// The owner's own scripts.
    Personal,
    /// The site's scripts.
    Global,
}

/// Scripts that may be included.
pub trait Library: Sync {
    /// The script called `name`, if there is one.
    fn script(&self, location: Location, name: &str) -> Option<Arc<Script>>;
}

/// No scripts.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLibrary;

impl Library for NoLibrary {
    fn script(&self, _location: Location, _name: &str) -> Option<Arc<Script>> {
        None
    }
}

/// The transaction that brought the message (RFC 5228 §5.4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// Reverse path, `local@domain`; empty for the null sender.
    pub from: String,
    /// Forward path that led here.
    pub to: String,
    /// The log-in that sent it, if one did.
    pub auth: Option<String>,
}

/// A message and what is known about it.
pub struct Input<'a> {
    /// The message as it will be stored: header and body, CRLF line ends.
    pub message: &'a [u8],
    /// Its transaction. `None`: it was not delivered, but is in a mailbox, and something happened to it (RFC 6785); then what needs a
    /// transaction is an error.
    pub envelope: Option<Envelope>,
    /// The owner's primary address.
    pub owner: String,
    /// Other addresses of the owner, for RFC 5230 §4.5 and RFC 5228 §4.2.
    pub addresses: Vec<String>,
    /// What divides user and detail of a local part (RFC 5233 §4); empty: nothing does.
    pub separators: Vec<char>,
    /// Seconds since 1970.
    pub now: i64,
    /// The zone of people here, minutes east of UTC.
    pub offset_minutes: i32,
    /// Fresh random octets, for identifiers of messages that are made.
    pub random: [u8; 16],
    /// Name of this server, right of the `@` in identifiers.
    pub hostname: String,
    /// Items of `environment` (RFC 5183 §4.1) by their lower-case names.
    pub environment: Vec<(String, String)>,
    /// How surely this is spam, in percent; `None`: not checked (RFC 5235 §2).
    pub spam_percent: Option<u8>,
    /// 1 (clean) to 5 (surely infected); `None`: not checked (RFC 5235 §3).
    pub virus: Option<u8>,
    /// Flags that the message has already: those that a script begins with (RFC 5232 §2); none at delivery.
    pub flags: Vec<String>,
    /// Scripts to include.
    pub library: &'a dyn Library,
    /// Bounds.
    pub limits: Limits,
    /// Whether every decision is written down.
    pub trace: bool,
}
