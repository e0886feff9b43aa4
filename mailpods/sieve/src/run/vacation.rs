//! Answers while the owner is away (RFC 5230), with the guards of RFC 3834.

use mailpods_message::header::{
    decode_text, fields, find, format_date, message_id, message_ids, parse_addresses,
};

use super::{Result, Run, fail};
use crate::action::{Action, Reply};
use crate::compose;
use crate::input::Envelope;
use crate::mailto;
use crate::program::VacationCommand;

/// RFC 5230 §4.1: without `:days`.
const DEFAULT_SECONDS: u64 = 7 * 86_400;
/// Fields that may name the owner (RFC 5230 §4.5).
const DESTINATIONS: [&str; 6] = ["to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc"];
/// Identifiers of a References field that are kept.
const MAX_REFERENCES: usize = 20;

impl Run<'_> {
    pub(super) fn vacation(&mut self, command: &VacationCommand) -> Result<()> {
        self.not_rejected_vacation()?;
        let reason = self.expand(&command.reason)?;
        let subject = command
            .subject
            .as_ref()
            .map(|text| self.expand(text))
            .transpose()?;
        let from = command
            .from
            .as_ref()
            .map(|text| self.expand(text))
            .transpose()?;
        let handle = command
            .handle
            .as_ref()
            .map(|text| self.expand(text))
            .transpose()?;
        let addresses = self.expand_all(&command.addresses)?;
        let envelope = self.envelope()?;
        if let Some(why) = self.no_answer(envelope, &addresses) {
            self.note(|| format!("vacation: no answer, {why}"));
            return Ok(());
        }
        // RFC 5230 §4.2: without a handle, other words are another answer.
        let identity = handle.unwrap_or_else(|| {
            let (subject, from) = (
                subject.as_deref().unwrap_or_default(),
                from.as_deref().unwrap_or_default(),
            );
            format!("{}\n{from}\n{subject}\n{reason}", command.mime)
        });
        let from = from
            .as_deref()
            .and_then(mailto::address)
            .unwrap_or_else(|| self.input.owner.clone());
        let to = envelope.from.clone();
        let message = self.answer(&from, &to, subject.as_deref(), command.mime, &reason)?;
        self.note(|| format!("vacation: answer {to}"));
        let seconds = command.seconds.unwrap_or(DEFAULT_SECONDS);
        self.add(Action::Vacation(Reply {
            to,
            identity,
            seconds,
            message,
        }))
    }

    /// RFC 5230 §4.7: one answer, and none for what is refused.
    fn not_rejected_vacation(&self) -> Result<()> {
        for action in &self.actions {
            match action {
                Action::Vacation(_) => return fail("a second vacation"),
                Action::Reject { .. } => return fail("vacation conflicts with a reject before it"),
                _ => {}
            }
        }
        Ok(())
    }

    /// Why nobody is answered; `None` when somebody is.
    fn no_answer(&self, envelope: &Envelope, addresses: &[String]) -> Option<&'static str> {
        let sender = envelope.from.to_ascii_lowercase();
        // RFC 5230 §4.6, RFC 3834 §2.
        if sender.is_empty() {
            return Some("the sender is null");
        }
        let own = self.own_addresses(envelope, addresses);
        if own.contains(&self.plain(&sender)) {
            return Some("the sender is the owner");
        }
        if is_machine(&sender) {
            return Some("the sender is a machine");
        }
        if let Some(why) = self.is_automatic() {
            return Some(why);
        }
        if !self.is_for_owner(&own) {
            return Some("no address of the owner is among the recipients in the header");
        }
        None
    }

    /// All that is the owner's, in lower case and without details.
    fn own_addresses(&self, envelope: &Envelope, more: &[String]) -> Vec<String> {
        let input = self.input;
        let own = [&input.owner, &envelope.to]
            .into_iter()
            .chain(&input.addresses)
            .chain(more);
        own.map(|address| self.plain(&address.to_ascii_lowercase()))
            .collect()
    }

    /// The address without a detail (RFC 5233).
    fn plain(&self, address: &str) -> String {
        let (local, host) = address.rsplit_once('@').unwrap_or((address, ""));
        let user = local
            .split(self.input.separators.as_slice())
            .next()
            .filter(|user| !user.is_empty());
        format!("{}@{host}", user.unwrap_or(local))
    }

    /// RFC 5230 §4.6: lists, and what machines wrote.
    fn is_automatic(&self) -> Option<&'static str> {
        let header = self.message.header();
        for field in fields(header) {
            let name = String::from_utf8_lossy(field.name(header)).to_ascii_lowercase();
            let value = String::from_utf8_lossy(field.value(header)).to_ascii_lowercase();
            let first = value
                .split([';', ' ', '('])
                .next()
                .unwrap_or_default()
                .trim();
            match name.as_str() {
                "auto-submitted" if first != "no" => {
                    return Some("the message is automatic (Auto-Submitted)");
                }
                "precedence" if matches!(first, "bulk" | "list" | "junk") => {
                    return Some("the message is in bulk (Precedence)");
                }
                "x-auto-response-suppress" if value.contains("oof") || value.contains("all") => {
                    return Some("the sender wants no answer (X-Auto-Response-Suppress)");
                }
                name if name.starts_with("list-") => {
                    return Some("the message came by a list (List-*)");
                }
                _ => {}
            }
        }
        None
    }

    fn is_for_owner(&self, own: &[String]) -> bool {
        let header = self.message.header();
        let destinations = fields(header).filter(|field| {
            DESTINATIONS
                .iter()
                .any(|name| field.is(header, name.as_bytes()))
        });
        for field in destinations {
            let list = parse_addresses(field.value(header));
            for address in list
                .addresses()
                .filter_map(mailpods_message::Address::addr_spec)
            {
                let address = String::from_utf8_lossy(&address).to_ascii_lowercase();
                if own.contains(&self.plain(&address)) {
                    return true;
                }
            }
        }
        false
    }

    /// The answer (RFC 5230 §5).
    fn answer(
        &mut self,
        from: &str,
        to: &str,
        subject: Option<&str>,
        mime: bool,
        reason: &str,
    ) -> Result<Vec<u8>> {
        let header = self.message.header();
        let subject = match subject {
            Some(subject) => subject.to_owned(),
            // RFC 5230 §4.3.
            None => match find(header, b"subject").map(decode_text) {
                Some(original) => format!("Auto: {original}"),
                None => "Automated reply".to_owned(),
            },
        };
        let threading = threading(header);
        let mut out = compose::address_field("From", from);
        out.push_str(&compose::address_field("To", to));
        out.push_str(&compose::field("Subject", &subject));
        out.push_str(&format!(
            "Date: {}\r\n",
            format_date(self.input.now, self.input.offset_minutes)
        ));
        let id = self.unique();
        out.push_str(&format!(
            "Message-ID: <{id}@{}>\r\n{threading}",
            self.input.hostname
        ));
        // RFC 3834 §3.1.7.
        out.push_str("Auto-Submitted: auto-replied (vacation)\r\nMIME-Version: 1.0\r\n");
        let mut out = out.into_bytes();
        out.extend_from_slice(&if mime {
            compose::entity(reason)
        } else {
            compose::text_part(reason)
        });
        self.charge(out.len())?;
        Ok(out)
    }
}

/// In-Reply-To and References (RFC 5230 §5.8, RFC 5322 §3.6.4).
pub(super) fn threading(header: &[u8]) -> String {
    let Some(id) = find(header, b"message-id")
        .and_then(message_id)
        .filter(|id| is_harmless(id))
    else {
        return String::new();
    };
    let mut ids: Vec<Vec<u8>> = find(header, b"references")
        .map(message_ids)
        .unwrap_or_default();
    ids.retain(|id| is_harmless(id));
    ids.push(id.clone());
    ids.drain(..ids.len().saturating_sub(MAX_REFERENCES));
    let shown: Vec<String> = ids
        .iter()
        .map(|id| format!("<{}>", String::from_utf8_lossy(id)))
        .collect();
    format!(
        "In-Reply-To: <{}>\r\nReferences: {}\r\n",
        String::from_utf8_lossy(&id),
        shown.join("\r\n ")
    )
}

fn is_harmless(id: &[u8]) -> bool {
    id.len() <= 250
        && id
            .iter()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>'))
}

/// RFC 3834 §2: addresses that nobody reads.
fn is_machine(sender: &str) -> bool {
    let local = sender.rsplit_once('@').map_or(sender, |(local, _)| local);
    matches!(
        local,
        "mailer-daemon" | "listserv" | "majordomo" | "postmaster" | "noreply" | "no-reply"
    ) || local.starts_with("owner-")
        || ["-request", "-owner", "-bounces", "-bounce"]
            .iter()
            .any(|end| local.ends_with(end))
}
