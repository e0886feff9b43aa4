//! Messages that the mail system writes by itself.

use mailpods_message::decode::to_quoted_printable;
use mailpods_message::header::{format_date, header_len};
use mailpods_plan::Plan;
use mailpods_policy::outbound::tls::Wish;
use mailpods_store::NewBody;
use mailpods_store::queue::{
    BodyType, Destination, Envelope, NewMessage, NewRecipient, Notify, Origin,
};

use crate::context::{Context, destination_of};

/// A message of plain text; `None` when the address cannot be used. `subject` is ASCII.
pub(crate) fn letter(
    ctx: &Context,
    plan: &Plan,
    to: &str,
    subject: &str,
    text: &str,
) -> Option<NewMessage> {
    let destination = destination_of(plan, to)?;
    let (host, id) = (&plan.hostname, ctx.queue_id());
    // RFC 3834 §5.
    let mut octets = format!(
        "From: Mail Delivery System <mailer-daemon@{host}>\r\nTo: <{to}>\r\nSubject: {subject}\r\nDate: {}\r\n\
         Message-ID: <{id}@{host}>\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n",
        format_date(ctx.now() / 1000, 0)
    )
    .into_bytes();
    octets.extend_from_slice(&to_quoted_printable(text.as_bytes()));
    Some(NewMessage {
        id,
        ..notification(ctx, destination, to, octets)
    })
}

/// A message of this server's own making for `to`, from the null sender (RFC 5321 §4.5.5).
pub(crate) fn notification(
    ctx: &Context,
    destination: Destination,
    to: &str,
    octets: Vec<u8>,
) -> NewMessage {
    let header = octets.get(..header_len(&octets)).unwrap_or_default();
    let smtputf8 = !header.is_ascii() || !to.is_ascii();
    let body_type = if octets.is_ascii() {
        BodyType::SevenBit
    } else {
        BodyType::EightBit
    };
    NewMessage {
        id: ctx.queue_id(),
        body: NewBody::Octets {
            slices: vec![octets.into()],
            meta: None,
        },
        envelope: Envelope {
            sender: String::new(),
            ret: None,
            envid: None,
            smtputf8,
            tls: Wish::Usual,
            body_type,
        },
        origin: Origin::Notification,
        junk: false,
        created: ctx.now(),
        recipients: vec![NewRecipient {
            destination,
            address: to.to_owned(),
            orcpt: None,
            // RFC 3461 §4.1: a notification asks for none itself.
            notify: Notify {
                given: true,
                ..Notify::default()
            },
        }],
    }
}
