//! The control channel: plans to pods, and what pods see back. Every replica serves it.

pub mod addresses;
pub mod forward;
pub mod identity;
pub mod observed;
mod pieces;
pub mod publish;
pub mod server;
pub mod tls;

/// Port of the control channel.
pub const PORT: u16 = 9444;
/// Name of the Service of the control channel, and of the Secret with its certificate.
pub const SERVICE: &str = "mailpods-operator-control";

/// Where pods find the control channel.
#[must_use]
pub fn url(namespace: &str) -> String {
    format!("https://{SERVICE}.{namespace}.svc:{PORT}")
}
