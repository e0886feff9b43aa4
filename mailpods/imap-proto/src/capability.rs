//! What the server says that it can do (RFC 9051 §6.1.1).

/// On what the capabilities depend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CapabilityContext {
    /// TLS is active.
    pub tls: bool,
    /// TLS is not active and STARTTLS would work.
    pub starttls: bool,
    /// The user has logged in.
    pub authenticated: bool,
    /// Channel binding is available: SCRAM-SHA-256-PLUS works.
    pub channel_binding: bool,
}

/// Told before log-in too. IDLE is among them for clients that never ask again.
const ALWAYS: &[&str] = &[
    "IMAP4rev2",
    "IMAP4rev1",
    "ID",
    "LITERAL+",
    "ENABLE",
    "SASL-IR",
    "IDLE",
];

/// Only after log-in: clients ask again, and who has not logged in learns less.
const AUTHENTICATED: &[&str] = &[
    "NAMESPACE",
    "UIDPLUS",
    "MOVE",
    "UNSELECT",
    "CHILDREN",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "SPECIAL-USE",
    "CREATE-SPECIAL-USE",
    "STATUS=SIZE",
    "CONDSTORE",
    "QUOTA",
    "QUOTA=RES-STORAGE",
    "ESEARCH",
    "SEARCHRES",
    "BINARY",
    "WITHIN",
];

/// The capabilities in the order in which they are printed.
#[must_use]
pub fn capabilities(context: CapabilityContext) -> Vec<&'static str> {
    let mut names = ALWAYS.to_vec();
    if context.authenticated {
        names.extend_from_slice(AUTHENTICATED);
        return names;
    }
    if !context.tls {
        if context.starttls {
            names.push("STARTTLS");
        }
        // RFC 9051 §6.2.3: no plaintext log-in without TLS
        names.push("LOGINDISABLED");
        return names;
    }
    names.push("AUTH=PLAIN");
    names.push("AUTH=SCRAM-SHA-256");
    if context.channel_binding {
        names.push("AUTH=SCRAM-SHA-256-PLUS");
    }
    names
}
