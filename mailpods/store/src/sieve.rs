//! What whoever runs Sieve scripts needs of the store: answers to the interpreter's questions, keys of what is remembered, flags.

pub mod personal;

use mailpods_api::MailboxAddress;
use mailpods_plan::Plan;
use mailpods_sieve::Question;
use ring::digest::{SHA256, digest};

use crate::error::{Result, StoreError};
use crate::mail::{Flags, MailStore, MailboxInfo, SpecialUse, SystemFlags};
use crate::tokens::TokenStore;
use crate::types::{AccountId, UnixMillis};

/// A key of the token store for one owner; what is behind it may be of any length.
#[must_use]
pub fn key(kind: &str, account: &MailboxAddress, text: &str) -> String {
    let hash = digest(&SHA256, text.as_bytes());
    let hex = hash
        .as_ref()
        .iter()
        .fold(String::with_capacity(64), |mut hex, octet| {
            hex.push_str(&format!("{octet:02x}"));
            hex
        });
    format!("sieve/{kind}/{account}/{hex}")
}

/// The key of a message that was seen (RFC 7352).
#[must_use]
pub fn seen_key(account: &MailboxAddress, identity: &str) -> String {
    key("seen", account, identity)
}

/// Where answers come from.
pub struct Oracle<'a> {
    /// Mailboxes.
    pub mail: &'a dyn MailStore,
    /// Messages that were seen.
    pub tokens: &'a dyn TokenStore,
    /// Lists.
    pub plan: &'a Plan,
    /// Milliseconds since 1970.
    pub now: UnixMillis,
}

impl Oracle<'_> {
    /// The answer to a question about an account.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn answer(
        &self,
        account: &MailboxAddress,
        question: &Question,
    ) -> Result<Option<String>> {
        let yes = |yes: bool| yes.then(String::new);
        let list = |name: &str| self.plan.sieve.lists.get(name);
        match question {
            Question::Seen(identity) => {
                let key = seen_key(account, identity);
                let until = self.tokens.banned(&key, self.now).await?;
                Ok(yes(until.is_some()))
            }
            Question::ListExists(name) => Ok(yes(list(name).is_some())),
            Question::InList { list: name, value } => {
                let value = MailboxAddress::parse(value).ok();
                let found = list(name)
                    .zip(value)
                    .is_some_and(|(list, value)| list.contains(&value));
                Ok(yes(found))
            }
            Question::ListMembers(name) => Ok(list(name).map(|members| {
                let members: Vec<String> = members.iter().map(MailboxAddress::written).collect();
                members.join(",")
            })),
            _ => {
                let account = self.mail.account(account).await?;
                self.of_mailboxes(account, question).await
            }
        }
    }

    async fn of_mailboxes(
        &self,
        account: AccountId,
        question: &Question,
    ) -> Result<Option<String>> {
        let has = |info: &MailboxInfo, attribute: &str| {
            info.special_use.is_some_and(|kind| is_use(kind, attribute))
        };
        let found = match question {
            Question::MailboxExists(name) => {
                return Ok(self.mailbox(account, name).await?.map(|_| String::new()));
            }
            Question::HasSpecialUse {
                mailbox: name,
                attribute,
            } => {
                let found = self.mailbox(account, name).await?;
                let found = found.filter(|info| has(info, attribute));
                return Ok(found.map(|_| String::new()));
            }
            Question::MailboxById(id) => {
                let mut all = self.mail.mailboxes(account).await?.into_iter();
                all.find(|info| info.id.object_id() == *id)
            }
            Question::MailboxBySpecialUse(attribute) => {
                let mut all = self.mail.mailboxes(account).await?.into_iter();
                all.find(|info| has(info, attribute))
            }
            _ => None,
        };
        Ok(found.map(|info| info.name))
    }

    /// A mailbox by its name; a name that none can have is no mailbox.
    async fn mailbox(&self, account: AccountId, name: &str) -> Result<Option<MailboxInfo>> {
        match self.mail.mailbox(account, name).await {
            Err(StoreError::Invalid(_) | StoreError::NotFound(_)) => Ok(None),
            other => other,
        }
    }
}

/// RFC 6154 §2.
const USES: [(SpecialUse, &str); 5] = [
    (SpecialUse::Archive, "\\Archive"),
    (SpecialUse::Drafts, "\\Drafts"),
    (SpecialUse::Junk, "\\Junk"),
    (SpecialUse::Sent, "\\Sent"),
    (SpecialUse::Trash, "\\Trash"),
];

fn is_use(kind: SpecialUse, attribute: &str) -> bool {
    USES.iter()
        .any(|(known, name)| *known == kind && name.eq_ignore_ascii_case(attribute))
}

/// The use that an attribute names.
#[must_use]
pub fn special_use(attribute: &str) -> Option<SpecialUse> {
    USES.iter()
        .find(|(_, name)| name.eq_ignore_ascii_case(attribute))
        .map(|(kind, _)| *kind)
}

/// The flags of names as scripts have them (RFC 5232 §2).
#[must_use]
pub fn flags_of(names: &[String]) -> Flags {
    let mut flags = Flags::default();
    for name in names {
        let system = match name.to_ascii_lowercase().as_str() {
            "\\seen" => SystemFlags::SEEN,
            "\\answered" => SystemFlags::ANSWERED,
            "\\flagged" => SystemFlags::FLAGGED,
            "\\deleted" => SystemFlags::DELETED,
            "\\draft" => SystemFlags::DRAFT,
            _ => {
                flags.keywords.push(name.clone());
                continue;
            }
        };
        flags.system = flags.system.union(system);
    }
    flags
}
