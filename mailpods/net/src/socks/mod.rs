//! SOCKS 5 (RFC 1928) with user name and password (RFC 1929), both sides of what an egress proxy needs: CONNECT to an address.
//!
//! The user name is the source address that the connection is to come from, the password is the token of the pods. All of it goes
//! through TLS. A CONNECT to the unspecified address with port 0 asks whether the source address is there, and opens nothing.

mod client;
mod wire;

pub use client::{EgressError, Proxy, TokenError};
pub use wire::{
    CONNECT, Credentials, MAX_REQUEST_OCTETS, Malformed, NO_METHOD, Parsed, Reply, Request, Target,
    USER_PASSWORD, credentials, encode_credentials, encode_greeting, encode_method, encode_reply,
    encode_request, encode_status, fuzz, greeting, method, reply, request, status,
};
