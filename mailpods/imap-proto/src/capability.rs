//! What the server says that it can do (RFC 9051 §6.1.1).

use std::borrow::Cow;

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
    /// The largest message that APPEND takes, in octets.
    pub append_limit: u64,
    /// The connection is compressed already.
    pub compressed: bool,
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
    "LIST-MYRIGHTS",
    "SPECIAL-USE",
    "CREATE-SPECIAL-USE",
    "STATUS=SIZE",
    "CONDSTORE",
    "QRESYNC",
    "MULTIAPPEND",
    "QUOTA",
    "QUOTA=RES-STORAGE",
    "QUOTA=RES-MESSAGE",
    "ESEARCH",
    "SEARCHRES",
    "BINARY",
    "WITHIN",
    "NOTIFY",
    "METADATA",
    "ACL",
    // RFC 4314 §2.2: the rights that RFC 2086 does not have
    "RIGHTS=texk",
    "CATENATE",
    "REPLACE",
    "SAVEDATE",
    "PARTIAL",
    "PREVIEW",
    "OBJECTID",
    "UTF8=ACCEPT",
    "SORT",
    "SORT=DISPLAY",
    "ESORT",
    "THREAD=ORDEREDSUBJECT",
    "THREAD=REFERENCES",
];

/// The capabilities in the order in which they are printed.
#[must_use]
pub fn capabilities(context: CapabilityContext) -> Vec<Cow<'static, str>> {
    let mut names = fixed_names(context);
    if context.authenticated {
        // RFC 7889 §2: the same for every mailbox
        let limit = format!("APPENDLIMIT={}", context.append_limit);
        names.push(Cow::Owned(limit));
        if !context.compressed {
            names.push(Cow::Borrowed("COMPRESS=DEFLATE"));
        }
    }
    names
}

fn fixed_names(context: CapabilityContext) -> Vec<Cow<'static, str>> {
    let mut names: Vec<_> = ALWAYS.iter().copied().map(Cow::Borrowed).collect();
    let mut add = |more: &[&'static str]| names.extend(more.iter().copied().map(Cow::Borrowed));
    if context.authenticated {
        add(AUTHENTICATED);
        return names;
    }
    if !context.tls {
        if context.starttls {
            add(&["STARTTLS"]);
        }
        // RFC 9051 §6.2.3: no plaintext log-in without TLS
        add(&["LOGINDISABLED"]);
        return names;
    }
    add(&["AUTH=PLAIN", "AUTH=SCRAM-SHA-256"]);
    if context.channel_binding {
        add(&["AUTH=SCRAM-SHA-256-PLUS"]);
    }
    names
}
