//! What the server says that it can do (RFC 5804 §1.7).

/// On what the capabilities depend.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CapabilityContext {
    /// TLS is not active and STARTTLS would work.
    pub starttls: bool,
    /// SASL mechanisms that work now; none without TLS.
    pub mechanisms: Vec<&'static str>,
    /// Sieve extensions.
    pub extensions: Vec<&'static str>,
    /// Redirects of one run of a script.
    pub redirects: usize,
    /// Who has logged in.
    pub owner: Option<String>,
}

/// Capabilities and their values, in the order in which they are printed.
#[must_use]
pub fn capabilities(context: &CapabilityContext) -> Vec<(&'static str, Option<String>)> {
    let mut lines = vec![
        ("IMPLEMENTATION", Some("Mailpods".to_owned())),
        ("VERSION", Some("1.0".to_owned())),
        ("SIEVE", Some(context.extensions.join(" "))),
        // RFC 5804 §1.7: also when there are none
        ("SASL", Some(context.mechanisms.join(" "))),
        ("NOTIFY", Some("mailto".to_owned())),
        ("MAXREDIRECTS", Some(context.redirects.to_string())),
        ("UNAUTHENTICATE", None),
    ];
    if context.starttls {
        lines.push(("STARTTLS", None));
    }
    if let Some(owner) = &context.owner {
        lines.push(("OWNER", Some(owner.clone())));
    }
    lines
}
