//! Where the message goes.

use super::{Result, Run, fail};
use crate::action::{Action, FileInto};
use crate::answers::Question;
use crate::mailto;
use crate::program::FileIntoCommand;
use crate::text::Text;

/// The mailbox of a keep.
pub(super) const INBOX: &str = "INBOX";
/// Longest name of a mailbox in octets.
const MAX_NAME: usize = 1000;
/// Longest reason of a reject in octets.
const MAX_REASON: usize = 16 << 10;

/// Drops what stands twice, whatever the case.
pub(super) fn deduplicate(flags: &mut Vec<String>) {
    let mut seen = std::collections::HashSet::new();
    flags.retain(|flag| seen.insert(flag.to_ascii_lowercase()));
}

impl Run<'_> {
    /// The implicit keep is off, and so many actions are allowed.
    pub(super) fn add(&mut self, action: Action) -> Result<()> {
        if self.actions.len() - self.settled >= self.input.limits.actions {
            return fail(format!("more than {} actions", self.input.limits.actions));
        }
        self.actions.push(action);
        Ok(())
    }

    /// RFC 5429 §2.1.3, RFC 5230 §4.7: a message is refused, or something else is done with it.
    fn not_rejected(&self, what: &str) -> Result<()> {
        if self
            .actions
            .iter()
            .any(|action| matches!(action, Action::Reject { .. }))
        {
            return fail(format!("{what} conflicts with a reject before it"));
        }
        Ok(())
    }

    pub(super) fn explicit_keep(&mut self, flags: Option<&[Text]>) -> Result<()> {
        self.not_rejected("keep")?;
        let flags = self.flags_for(flags)?;
        self.keep = false;
        self.note(|| format!("keep{}", shown(&flags)));
        self.file(Action::Keep, INBOX.to_owned(), flags, (false, None))
    }

    /// RFC 5232 §5: `:flags` wins over the internal variable.
    fn flags_for(&mut self, flags: Option<&[Text]>) -> Result<Vec<String>> {
        match flags {
            Some(flags) => self.flag_list(flags),
            None => Ok(self.flags.clone()),
        }
    }

    pub(super) fn discard(&mut self) -> Result<()> {
        self.keep = false;
        self.note(|| "discard".to_owned());
        if self.actions.contains(&Action::Discard) {
            return Ok(());
        }
        self.add(Action::Discard)
    }

    pub(super) fn file_into(&mut self, command: &FileIntoCommand) -> Result<()> {
        self.not_rejected("fileinto")?;
        let named = self.expand(&command.mailbox)?;
        let flags = self.flags_for(command.flags.as_deref())?;
        let special_use = command
            .special_use
            .as_ref()
            .map(|text| self.expand(text))
            .transpose()?;
        let by_id = command
            .mailbox_id
            .as_ref()
            .map(|text| self.expand(text))
            .transpose()?;
        let mailbox = self.mailbox(named, special_use.as_deref(), by_id)?;
        if !is_mailbox_name(&mailbox) {
            let shown: String = mailbox.escape_default().take(60).collect();
            return fail(format!("\"{shown}\" cannot be the name of a mailbox"));
        }
        self.keep &= command.copy;
        self.note(|| format!("fileinto \"{mailbox}\"{}", shown(&flags)));
        self.file(
            Action::FileInto,
            mailbox,
            flags,
            (command.create, special_use),
        )
    }

    /// RFC 9042 §4, RFC 8579 §4: another mailbox than the named one, when there is one.
    fn mailbox(
        &mut self,
        named: String,
        special_use: Option<&str>,
        by_id: Option<String>,
    ) -> Result<String> {
        if let Some(id) = by_id {
            return Ok(self
                .ask(Question::MailboxById(id))?
                .map_or(named, str::to_owned));
        }
        let Some(attribute) = special_use else {
            return Ok(named);
        };
        let question = Question::HasSpecialUse {
            mailbox: named.clone(),
            attribute: attribute.to_owned(),
        };
        if self.ask(question)?.is_some() {
            return Ok(named);
        }
        Ok(self
            .ask(Question::MailboxBySpecialUse(attribute.to_owned()))?
            .map_or(named, str::to_owned))
    }

    /// One copy for each mailbox: a second filing into it adds its flags (RFC 5228 §2.10.3).
    fn file(
        &mut self,
        kind: fn(FileInto) -> Action,
        mailbox: String,
        flags: Vec<String>,
        (create, special_use): (bool, Option<String>),
    ) -> Result<()> {
        let version = self.message.version(&self.input.limits)?;
        let settled = self.settled;
        for (index, action) in self.actions.iter_mut().enumerate() {
            let (Action::Keep(before) | Action::FileInto(before)) = action else {
                continue;
            };
            // What a script before made of the message does not stand for what one that always runs files.
            let may_merge = index >= settled || before.version == version;
            if may_merge && same_mailbox(&before.mailbox, &mailbox) {
                before.flags.extend(flags);
                deduplicate(&mut before.flags);
                return Ok(());
            }
        }
        self.add(kind(FileInto {
            mailbox,
            flags,
            create,
            special_use,
            version,
        }))
    }

    /// RFC 5228 §4.2; of a list each member (RFC 6134 §2.7). Of mail that is delivered alone.
    pub(super) fn redirect(&mut self, to: &Text, copy: bool, list: bool) -> Result<()> {
        self.envelope()?;
        self.not_rejected("redirect")?;
        let text = self.expand(to)?;
        let addresses: Vec<String> = if list {
            let members = self.ask(Question::ListMembers(text.clone()))?;
            let Some(members) = members else {
                return fail(format!("there is no list \"{text}\""));
            };
            let members: Vec<String> = members
                .split(',')
                .map(|one| one.trim().to_owned())
                .filter(|one| !one.is_empty())
                .collect();
            if members.is_empty() {
                return fail(format!("the list \"{text}\" is empty"));
            }
            members
        } else {
            vec![text]
        };
        for address in addresses {
            self.redirect_to(&address)?;
        }
        self.keep &= copy;
        Ok(())
    }

    fn redirect_to(&mut self, text: &str) -> Result<()> {
        let Some(address) = mailto::address(text) else {
            let shown: String = text.escape_default().take(80).collect();
            return fail(format!("\"{shown}\" is no address to redirect to"));
        };
        let version = self.message.version(&self.input.limits)?;
        let settled = self.settled;
        let same = |(index, action): (usize, &Action)| match action {
            Action::Redirect {
                address: to,
                version: sent,
            } => to.eq_ignore_ascii_case(&address) && (index >= settled || *sent == version),
            _ => false,
        };
        if self.actions.iter().enumerate().any(same) {
            return Ok(());
        }
        self.redirects += 1;
        if self.redirects > self.input.limits.redirects {
            return fail(format!(
                "more than {} redirects",
                self.input.limits.redirects
            ));
        }
        self.note(|| format!("redirect to {address}"));
        self.add(Action::Redirect { address, version })
    }

    pub(super) fn reject(&mut self, reason: &Text, extended: bool) -> Result<()> {
        self.envelope()?;
        self.not_rejected("reject")?;
        let conflict = self.actions.iter().find_map(|action| match action {
            Action::Keep(_) => Some("keep"),
            Action::FileInto(_) => Some("fileinto"),
            Action::Redirect { .. } => Some("redirect"),
            Action::Vacation(_) => Some("vacation"),
            _ => None,
        });
        if let Some(before) = conflict {
            return fail(format!("reject conflicts with a {before} before it"));
        }
        let mut reason = self.expand(reason)?;
        super::values::cut(&mut reason, MAX_REASON);
        self.keep = false;
        self.note(|| format!("reject: {}", reason.escape_debug()));
        self.add(Action::Reject { reason, extended })
    }
}

fn shown(flags: &[String]) -> String {
    if flags.is_empty() {
        String::new()
    } else {
        format!(" with flags {}", flags.join(" "))
    }
}

fn same_mailbox(a: &str, b: &str) -> bool {
    a == b || a.eq_ignore_ascii_case(INBOX) && b.eq_ignore_ascii_case(INBOX)
}

fn is_mailbox_name(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= MAX_NAME && !name.contains(char::is_control)
}
