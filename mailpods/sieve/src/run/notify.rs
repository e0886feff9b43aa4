//! Notifications by mail (RFC 5435, RFC 5436).

use mailpods_message::header::{decode_text, find, format_date};

use super::{Result, Run, fail};
use crate::action::{Action, Notification};
use crate::compose;
use crate::mailto::{self, Mailto};
use crate::program::NotifyCommand;

/// Longest text of a notification in octets (RFC 5435 §3.5 lets a method bound it).
const MAX_TEXT: usize = 4096;

impl Run<'_> {
    /// Of mail that is delivered alone.
    pub(super) fn notify(&mut self, command: &NotifyCommand) -> Result<()> {
        self.envelope()?;
        let method = self.expand(&command.method)?;
        let mailto = match mailto::parse(&method) {
            Ok(mailto) => mailto,
            Err(error) => return fail(error),
        };
        let from = command
            .from
            .as_ref()
            .map(|text| self.expand(text))
            .transpose()?;
        let importance = command
            .importance
            .as_ref()
            .map(|text| self.expand(text))
            .transpose()?;
        let message = command
            .message
            .as_ref()
            .map(|text| self.expand(text))
            .transpose()?;
        // Options are the method's own (RFC 5435 §3.7); mailto has none.
        self.expand_all(&command.options)?;
        if self.is_notification() {
            self.note(|| "notify: the message is a notification itself".to_owned());
            return Ok(());
        }
        let from = from
            .as_deref()
            .and_then(mailto::address)
            .unwrap_or_else(|| self.input.owner.clone());
        let octets = self.notification(&mailto, &from, importance.as_deref(), message)?;
        self.note(|| format!("notify {}", mailto.to.join(", ")));
        self.add(Action::Notify(Notification {
            to: mailto.to,
            message: octets,
        }))
    }

    /// RFC 5436 §2.2: a notification never leads to another one.
    fn is_notification(&self) -> bool {
        let submitted = find(self.message.header(), b"auto-submitted").unwrap_or_default();
        let word = submitted
            .split(|&byte| byte == b';' || byte == b' ')
            .next()
            .unwrap_or_default();
        word.eq_ignore_ascii_case(b"auto-notified")
    }

    fn notification(
        &mut self,
        mailto: &Mailto,
        from: &str,
        importance: Option<&str>,
        text: Option<String>,
    ) -> Result<Vec<u8>> {
        let header = self.message.header();
        let value = |name: &[u8]| find(header, name).map(decode_text).unwrap_or_default();
        let (author, original) = (value(b"from"), value(b"subject"));
        // RFC 5436 §2.5: :message, then the URI's subject, then the subject of the message.
        let subject = text
            .as_deref()
            .or(mailto.subject.as_deref())
            .unwrap_or(&original);
        let mut body = mailto
            .body
            .clone()
            .or_else(|| text.clone())
            .unwrap_or_default();
        super::values::cut(&mut body, MAX_TEXT);
        if body.is_empty() {
            body = format!(
                "You have new mail.\r\nFrom: {}\r\nSubject: {}",
                compose::one_line(&author),
                compose::one_line(&original)
            );
        }
        let mut out = compose::address_field("From", from);
        let to: Vec<String> = mailto.to.iter().map(|to| format!("<{to}>")).collect();
        out.push_str(&format!("To: {}\r\n", to.join(",\r\n ")));
        out.push_str(&compose::field(
            "Subject",
            &subject.chars().take(500).collect::<String>(),
        ));
        out.push_str(&format!(
            "Date: {}\r\n",
            format_date(self.input.now, self.input.offset_minutes)
        ));
        let id = self.unique();
        out.push_str(&format!("Message-ID: <{id}@{}>\r\n", self.input.hostname));
        // RFC 5436 §2.7.1.
        out.push_str(&compose::field(
            "Auto-Submitted",
            &format!("auto-notified; owner-email=\"{}\"", self.input.owner),
        ));
        match importance {
            Some("1") => out.push_str("Importance: high\r\nX-Priority: 1\r\n"),
            Some("3") => out.push_str("Importance: low\r\nX-Priority: 5\r\n"),
            _ => {}
        }
        for (name, value) in &mailto.headers {
            out.push_str(&compose::field(name, value));
        }
        out.push_str("MIME-Version: 1.0\r\n");
        let mut out = out.into_bytes();
        out.extend_from_slice(&compose::text_part(&body));
        self.charge(out.len())?;
        Ok(out)
    }
}
