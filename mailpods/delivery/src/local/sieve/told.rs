//! What the owner is told when a script fails.

use mailpods_api::MailboxAddress;
use mailpods_message::decode::to_quoted_printable;
use mailpods_message::header::{decode_text, find, format_date};
use mailpods_plan::Plan;
use mailpods_sieve::RunError;

use crate::context::Context;

/// The same error of the same script is not told again for so long, in milliseconds.
pub(super) const REMEMBERED: i64 = 30 * 86_400_000;

/// The message to the owner.
pub(super) fn message(
    ctx: &Context,
    plan: &Plan,
    owner: &MailboxAddress,
    error: &RunError,
    original: &[u8],
) -> Vec<u8> {
    let unique: [u8; 16] = ctx.random();
    let id: String = unique.iter().map(|octet| format!("{octet:02x}")).collect();
    let host = &plan.hostname;
    let mut out = format!(
        "From: Mail Delivery System <mailer-daemon@{host}>\r\nTo: <{owner}>\r\nSubject: A Sieve script failed\r\nDate: {}\r\n\
         Message-ID: <{id}@{host}>\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n",
        format_date(ctx.now() / 1000, 0)
    )
    .into_bytes();
    let value = |name: &[u8]| {
        find(original, name)
            .map(decode_text)
            .map(|text| one_line(&text))
            .unwrap_or_default()
    };
    let text = format!(
        "This is the mail system at {host}.\r\n\r\nA Sieve script for {owner} failed. The message was handled as if there were no \
         such script.\r\n\r\n    {}\r\n\r\nIt happened with this message:\r\n\r\n    From: {}\r\n    Subject: {}\r\n    Message-ID: {}\r\n\r\n\
         You are told once of each error.\r\n",
        one_line(&error.to_string()),
        value(b"from"),
        value(b"subject"),
        value(b"message-id"),
    );
    out.extend_from_slice(&to_quoted_printable(text.as_bytes()));
    out
}

fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(500)
        .collect()
}
