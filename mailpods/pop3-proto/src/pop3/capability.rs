//! What the server says that it can do (RFC 2449 §6).

/// On what the capabilities depend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CapabilityContext {
    /// TLS is not active and STLS would work.
    pub stls: bool,
    /// USER and PASS would work: TLS is active and nobody has logged in.
    pub user: bool,
}

/// Told in both states: a client asks once. What is missing: LOGIN-DELAY (there is none) and IMPLEMENTATION (nobody's business).
const ALWAYS: [&str; 6] = [
    "TOP",
    "UIDL",
    "RESP-CODES",
    // RFC 3206 §6
    "AUTH-RESP-CODE",
    "PIPELINING",
    // RFC 2449 §6.7: no message is removed for having been read
    "EXPIRE NEVER",
];

/// The lines of CAPA. `mechanisms` are those that work now; there are none without TLS (RFC 2595 §2.3) and after log-in.
#[must_use]
pub fn capabilities(context: CapabilityContext, mechanisms: &[&str]) -> Vec<String> {
    let mut lines: Vec<String> = ALWAYS.iter().map(ToString::to_string).collect();
    if context.stls {
        lines.push("STLS".to_owned());
    }
    if context.user {
        lines.push("USER".to_owned());
    }
    if !mechanisms.is_empty() {
        lines.push(format!("SASL {}", mechanisms.join(" ")));
    }
    lines
}
