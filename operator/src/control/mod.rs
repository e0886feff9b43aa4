//! The control channel: plans to pods, and what pods see back.

/// Port of the control channel.
pub const PORT: u16 = 9444;
/// Name of the Service of the control channel.
pub const SERVICE: &str = "mailpods-operator-control";

/// Where pods find the control channel.
#[must_use]
pub fn url(namespace: &str) -> String {
    format!("https://{SERVICE}.{namespace}.svc:{PORT}")
}
