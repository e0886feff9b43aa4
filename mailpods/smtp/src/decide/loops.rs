//! Mail that goes round (RFC 5321 §6.3).

use mailpods_message::edit::{delivered_to, received_count};
use mailpods_policy::Reason;

use super::Context;
use crate::report::Refusal;

pub(super) fn check(context: &Context<'_>, message: &[u8]) -> Result<(), Refusal> {
    let hops = received_count(message);
    if hops > context.plan.smtp.max_received {
        return Err(mail_loop(&format!("too many hops: {hops} Received fields")));
    }
    let seen = delivered_to(message);
    if seen.is_empty() {
        return Ok(());
    }
    let mut mailboxes = context
        .recipients
        .iter()
        .flat_map(|recipient| &recipient.mailboxes);
    match mailboxes
        .find(|address| seen.contains(address.to_string().to_ascii_lowercase().as_bytes()))
    {
        Some(address) => Err(mail_loop(&format!(
            "mail loop: already delivered to <{address}>"
        ))),
        None => Ok(()),
    }
}

fn mail_loop(text: &str) -> Refusal {
    Refusal::new(Reason::MailLoop, 554, (4, 6), text)
}
