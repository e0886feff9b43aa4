//! Delivery status notifications (RFC 3464 in the multipart/report of RFC 6522; RFC 6533 where addresses need UTF-8).

#[cfg(test)]
mod tests;

use std::fmt::Write;

use crate::header::{find, format_date, header_len, unfold};

/// Most octets of a diagnostic that are shown.
const MAX_DIAGNOSTIC: usize = 900;

/// What happened to the recipients of one notification (RFC 3464 §2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Given up.
    Failed,
    /// Not delivered yet.
    Delayed,
    /// In the mailbox.
    Delivered,
    /// Handed to a system that does not report (RFC 3461 §5.2.2).
    Relayed,
    /// Handed to a list or alias (RFC 3461 §5.2.7.3).
    Expanded,
}

impl Action {
    /// The word of the Action field.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
            Self::Expanded => "expanded",
        }
    }

    fn subject(self) -> &'static str {
        match self {
            Self::Failed => "Undelivered mail returned to sender",
            Self::Delayed => "Delayed mail (still being retried)",
            Self::Delivered => "Successful mail delivery report",
            Self::Relayed | Self::Expanded => "Mail relay report",
        }
    }

    fn lead(self) -> &'static str {
        match self {
            Self::Failed => {
                "Your message could not be delivered to the recipients below. It will not be tried again."
            }
            Self::Delayed => {
                "Your message could not be delivered yet. You need not send it again: delivery is still being tried."
            }
            Self::Delivered => "Your message was delivered to the recipients below.",
            Self::Relayed => {
                "Your message was handed to a system that sends no delivery reports. No further report will follow."
            }
            Self::Expanded => {
                "Your message was handed on to the members behind the addresses below."
            }
        }
    }
}

/// One recipient of a notification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipient<'a> {
    /// The address that was tried.
    pub address: &'a str,
    /// ORCPT as `type;address`, xtext decoded (RFC 3461 §4.2).
    pub original: Option<&'a str>,
    /// Enhanced status code, `5.1.1`.
    pub status: &'a str,
    /// The remote server's reply, or our own text.
    pub diagnostic: Option<&'a str>,
    /// The server that gave the reply.
    pub remote_mta: Option<&'a str>,
    /// When it was tried last, seconds since 1970.
    pub last_attempt: Option<i64>,
    /// Until when it is tried, for a delay, seconds since 1970.
    pub retry_until: Option<i64>,
}

/// What of the original goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// Its header (RET=HDRS).
    Headers,
    /// All of it (RET=FULL).
    Full,
}

/// All that a notification says.
#[derive(Clone, Debug)]
pub struct Dsn<'a> {
    /// What happened; the same for all recipients.
    pub action: Action,
    /// Name of this server.
    pub reporting_mta: &'a str,
    /// Address of the From field.
    pub from: &'a str,
    /// The sender of the original, who gets the notification.
    pub to: &'a str,
    /// ENVID, xtext decoded (RFC 3461 §4.4).
    pub envelope_id: Option<&'a str>,
    /// The original's queue identifier, for the logs.
    pub queue_id: &'a str,
    /// When the original arrived, seconds since 1970.
    pub arrived: i64,
    /// Seconds since 1970.
    pub now: i64,
    /// Fresh random octets for boundary and Message-ID.
    pub random: [u8; 16],
    /// The recipients, at least one.
    pub recipients: &'a [Recipient<'a>],
    /// The original message, or at least its header.
    pub original: &'a [u8],
    /// How much of it goes back.
    pub returned: Returned,
}

/// Builds the notification, with CRLF line ends. Its own header is UTF-8 where an address needs that.
#[must_use]
pub fn build(dsn: &Dsn) -> Vec<u8> {
    let unique = dsn.random.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let boundary = format!("=_{unique}");
    let returned = returned(dsn);
    let status = status_fields(dsn);
    let text = human_text(dsn);
    let eight_bit = !(returned.is_ascii() && status.is_ascii() && text.is_ascii());
    let header = header(dsn, &unique, &boundary, eight_bit);
    let mut out = header.into_bytes();
    let _ = std::io::Write::write_fmt(
        &mut out,
        format_args!("--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n"),
    );
    out.extend_from_slice(encoding_line(text.is_ascii()));
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(
        format!(
            "\r\n--{boundary}\r\nContent-Type: {}\r\n",
            status_type(status.is_ascii())
        )
        .as_bytes(),
    );
    out.extend_from_slice(encoding_line(status.is_ascii()));
    out.extend_from_slice(status.as_bytes());
    out.extend_from_slice(
        format!(
            "\r\n--{boundary}\r\nContent-Type: {}\r\n",
            returned_type(dsn)
        )
        .as_bytes(),
    );
    out.extend_from_slice(encoding_line(returned.is_ascii()));
    out.extend_from_slice(returned);
    out.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    out
}

/// The last line of a part's header, and the empty line.
fn encoding_line(ascii: bool) -> &'static [u8] {
    if ascii {
        b"Content-Transfer-Encoding: 7bit\r\n\r\n"
    } else {
        b"Content-Transfer-Encoding: 8bit\r\n\r\n"
    }
}

/// RFC 6533 §4: addresses in UTF-8 need the global form.
fn status_type(ascii: bool) -> &'static str {
    if ascii {
        "message/delivery-status"
    } else {
        "message/global-delivery-status"
    }
}

/// RFC 6522 §3, and RFC 6533 §5 for headers in UTF-8.
fn returned_type(dsn: &Dsn) -> &'static str {
    let header = dsn
        .original
        .get(..header_len(dsn.original))
        .unwrap_or_default();
    match (dsn.returned, header.is_ascii()) {
        (Returned::Full, true) => "message/rfc822",
        (Returned::Full, false) => "message/global",
        (Returned::Headers, true) => "text/rfc822-headers",
        (Returned::Headers, false) => "message/global-headers",
    }
}

fn returned<'a>(dsn: &Dsn<'a>) -> &'a [u8] {
    match dsn.returned {
        Returned::Full => dsn.original,
        Returned::Headers => dsn
            .original
            .get(..header_len(dsn.original))
            .unwrap_or_default(),
    }
}

fn header(dsn: &Dsn, unique: &str, boundary: &str, eight_bit: bool) -> String {
    let mut out = String::with_capacity(512);
    let to = one_line(dsn.to);
    let _ = write!(
        out,
        "From: Mail Delivery System <{}>\r\nTo: <{to}>\r\n",
        one_line(dsn.from)
    );
    let _ = write!(
        out,
        "Subject: {}\r\nDate: {}\r\n",
        dsn.action.subject(),
        format_date(dsn.now, 0)
    );
    let _ = write!(
        out,
        "Message-ID: <{unique}@{}>\r\n",
        one_line(dsn.reporting_mta)
    );
    if let Some(id) = original_id(dsn.original) {
        let _ = write!(out, "In-Reply-To: {id}\r\nReferences: {id}\r\n");
    }
    // RFC 3834 §5; RFC 3464 §2 leaves the rest to the report type.
    out.push_str("Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n");
    let _ = write!(
        out,
        "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\"\r\n"
    );
    let encoding = if eight_bit { "8bit" } else { "7bit" };
    let _ = write!(out, "Content-Transfer-Encoding: {encoding}\r\n\r\n");
    out
}

/// The original's identifier with its angle brackets, when it is harmless in a header.
fn original_id(original: &[u8]) -> Option<String> {
    let id = crate::header::message_id(find(original, b"message-id")?)?;
    let plain = id.len() <= 250 && id.iter().all(u8::is_ascii_graphic);
    plain.then(|| format!("<{}>", String::from_utf8_lossy(&id)))
}

fn human_text(dsn: &Dsn) -> String {
    let mut out = format!(
        "This is the mail system at {}.\r\n\r\n{}\r\n\r\n",
        one_line(dsn.reporting_mta),
        dsn.action.lead()
    );
    for recipient in dsn.recipients {
        let _ = write!(out, "<{}>", one_line(recipient.address));
        if let Some(original) = recipient.original.map(one_line) {
            let shown = original
                .split_once(';')
                .map_or(original.as_str(), |(_, address)| address);
            if !shown.eq_ignore_ascii_case(recipient.address) {
                let _ = write!(out, " (sent to <{shown}>)");
            }
        }
        if let Some(text) = recipient.diagnostic.map(diagnostic) {
            let by = recipient
                .remote_mta
                .map(|mta| format!("{} said: ", one_line(mta)))
                .unwrap_or_default();
            let _ = write!(out, ":\r\n    {by}{text}");
        }
        out.push_str("\r\n");
        if let Some(until) = recipient.retry_until {
            let _ = write!(out, "    It is tried until {}.\r\n", format_date(until, 0));
        }
        out.push_str("\r\n");
    }
    let _ = write!(
        out,
        "The message's identifier here is {}; please name it if you ask for help.\r\n",
        one_line(dsn.queue_id)
    );
    out
}

/// The fields of message/delivery-status: per message, then per recipient (RFC 3464 §2.2, §2.3).
fn status_fields(dsn: &Dsn) -> String {
    let mut out = String::with_capacity(512);
    if let Some(id) = dsn.envelope_id {
        let _ = write!(out, "Original-Envelope-Id: {}\r\n", one_line(id));
    }
    let _ = write!(
        out,
        "Reporting-MTA: dns; {}\r\n",
        one_line(dsn.reporting_mta)
    );
    let _ = write!(out, "X-Mailpods-Queue-ID: {}\r\n", one_line(dsn.queue_id));
    let _ = write!(out, "Arrival-Date: {}\r\n", format_date(dsn.arrived, 0));
    for recipient in dsn.recipients {
        recipient_fields(&mut out, dsn.action, recipient);
    }
    out
}

fn recipient_fields(out: &mut String, action: Action, recipient: &Recipient) {
    out.push_str("\r\n");
    if let Some(original) = recipient.original {
        let original = one_line(original);
        let typed = if original.contains(';') {
            original
        } else {
            format!("rfc822;{original}")
        };
        let _ = write!(out, "Original-Recipient: {typed}\r\n");
    }
    // RFC 6533 §3: the address type of an internationalized address is utf-8.
    let kind = if recipient.address.is_ascii() {
        "rfc822"
    } else {
        "utf-8"
    };
    let _ = write!(
        out,
        "Final-Recipient: {kind};{}\r\n",
        one_line(recipient.address)
    );
    let _ = write!(
        out,
        "Action: {}\r\nStatus: {}\r\n",
        action.name(),
        one_line(recipient.status)
    );
    if let Some(mta) = recipient.remote_mta {
        let _ = write!(out, "Remote-MTA: dns;{}\r\n", one_line(mta));
    }
    if let Some(text) = recipient.diagnostic {
        // RFC 3464 §2.3.6, RFC 3461 §9.2: of type smtp is only what a remote server replied.
        let kind = if recipient.remote_mta.is_some() && is_reply(text) {
            "smtp"
        } else {
            "x-mailpods"
        };
        let _ = write!(out, "Diagnostic-Code: {kind}; {}\r\n", diagnostic(text));
    }
    if let Some(at) = recipient.last_attempt {
        let _ = write!(out, "Last-Attempt-Date: {}\r\n", format_date(at, 0));
    }
    if let Some(at) = recipient.retry_until.filter(|_| action == Action::Delayed) {
        let _ = write!(out, "Will-Retry-Until: {}\r\n", format_date(at, 0));
    }
}

/// Whether a text begins as an SMTP reply does.
fn is_reply(text: &str) -> bool {
    let (code, rest) = text.as_bytes().split_at_checked(3).unwrap_or_default();
    code.len() == 3
        && code.iter().all(u8::is_ascii_digit)
        && matches!(rest.first(), None | Some(b' ' | b'-'))
}

/// Text from elsewhere as one line: control characters become spaces, so that it cannot add fields.
fn one_line(text: &str) -> String {
    let unfolded = unfold(text.as_bytes());
    String::from_utf8_lossy(&unfolded)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_DIAGNOSTIC)
        .collect()
}

/// A reply of several lines as one, cut to a length that a line may have.
fn diagnostic(text: &str) -> String {
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    let mut joined = words.join(" ");
    let mut end = joined.len().min(MAX_DIAGNOSTIC);
    while !joined.is_char_boundary(end) {
        end -= 1;
    }
    joined.truncate(end);
    joined
}
