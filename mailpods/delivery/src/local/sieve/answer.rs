//! Answers to the interpreter's questions.

use mailpods_api::MailboxAddress;
use mailpods_plan::Plan;
use mailpods_sieve::Question;
use mailpods_store::mail::{MailboxInfo, SpecialUse};
use mailpods_store::{AccountId, StoreError};
use ring::digest::{SHA256, digest};

use crate::context::Context;

/// A key of the token store for one owner; what is behind it may be of any length.
pub(super) fn key(kind: &str, account: &MailboxAddress, text: &str) -> String {
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
pub(super) fn seen_key(account: &MailboxAddress, identity: &str) -> String {
    key("seen", account, identity)
}

pub(super) async fn answer(
    ctx: &Context,
    plan: &Plan,
    account: &MailboxAddress,
    question: &Question,
) -> Result<Option<String>, StoreError> {
    let yes = |yes: bool| yes.then(String::new);
    let list = |name: &str| plan.sieve.lists.get(name);
    match question {
        Question::Seen(identity) => {
            let until = ctx
                .store
                .tokens
                .banned(&seen_key(account, identity), ctx.now())
                .await?;
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
            let account = ctx.store.mail.account(account).await?;
            of_mailboxes(ctx, account, question).await
        }
    }
}

async fn of_mailboxes(
    ctx: &Context,
    account: AccountId,
    question: &Question,
) -> Result<Option<String>, StoreError> {
    let found = match question {
        Question::MailboxExists(name) => {
            return Ok(mailbox(ctx, account, name).await?.map(|_| String::new()));
        }
        Question::HasSpecialUse {
            mailbox: name,
            attribute,
        } => {
            let has =
                |info: &MailboxInfo| info.special_use.is_some_and(|kind| is_use(kind, attribute));
            return Ok(mailbox(ctx, account, name)
                .await?
                .filter(has)
                .map(|_| String::new()));
        }
        Question::MailboxById(id) => {
            let is = |info: &MailboxInfo| info.id.object_id() == *id;
            ctx.store
                .mail
                .mailboxes(account)
                .await?
                .into_iter()
                .find(is)
        }
        Question::MailboxBySpecialUse(attribute) => {
            let is =
                |info: &MailboxInfo| info.special_use.is_some_and(|kind| is_use(kind, attribute));
            ctx.store
                .mail
                .mailboxes(account)
                .await?
                .into_iter()
                .find(is)
        }
        _ => None,
    };
    Ok(found.map(|info| info.name))
}

/// A mailbox by its name; a name that none can have is no mailbox.
async fn mailbox(
    ctx: &Context,
    account: AccountId,
    name: &str,
) -> Result<Option<MailboxInfo>, StoreError> {
    match ctx.store.mail.mailbox(account, name).await {
        Err(StoreError::Invalid(_) | StoreError::NotFound(_)) => Ok(None),
        other => other,
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
pub(super) fn special_use(attribute: &str) -> Option<SpecialUse> {
    USES.iter()
        .find(|(_, name)| name.eq_ignore_ascii_case(attribute))
        .map(|(kind, _)| *kind)
}
