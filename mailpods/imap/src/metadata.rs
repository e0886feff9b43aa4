//! METADATA (RFC 5464): what clients write about mailboxes. Each account has its own; who may use its mailboxes sees `/shared` of theirs.

use bytes::Bytes;
use mailpods_api::Rights;
use mailpods_imap_proto::{Code, GetMetadata, MailboxName, MetadataDepth, SetMetadata, SpecialUse};
use mailpods_store::mail::{self, Annotation};
use mailpods_store::{AccountId, MailboxId, StoreError};

use crate::failure::{Done, Failure, Reply};
use crate::list::{to_proto, to_store};
use crate::session::Session;
use crate::sharing::no_permission;
use crate::sieve::ENTRY;

/// Octets of one value.
const MAX_VALUE: usize = 32 * 1024;
/// RFC 6154 §5.4
const SPECIAL_USE: &str = "/private/specialuse";
/// RFC 5464 §6.2.1.2: who administers the server is not for clients to say.
const READ_ONLY: &str = "/shared/admin";

impl Session {
    /// RFC 5464 §4.2
    pub(crate) async fn get_metadata(&mut self, command: GetMetadata) -> Done {
        let found = self.annotated(command.mailbox.as_ref()).await?;
        let mut all = self
            .mail()
            .annotations(found.account, found.mailbox)
            .await?;
        all.retain(|one| found.mailbox.is_none() || one.entry != SPECIAL_USE);
        if let Some(special_use) = found.special_use {
            all.push(Annotation {
                entry: SPECIAL_USE.to_owned(),
                value: to_proto(special_use).as_str().into(),
            });
        }
        // What the owner of a mailbox keeps to itself is nobody else's.
        all.retain(|one| !found.of_another || !is_private(&one.entry));
        let limit = command.max_size.map_or(usize::MAX, |size| size as usize);
        let (mut told, mut longest) = (Vec::new(), 0);
        for (entry, value) in wanted(&all, &command) {
            match value {
                Some(value) if value.len() > limit => longest = longest.max(value.len()),
                value => told.push((entry, value)),
            }
        }
        if !told.is_empty() {
            let name = command.mailbox.as_ref().map(MailboxName::as_str);
            self.writer().metadata(name, &told);
        }
        Ok(match longest {
            0 => Reply::ok("done"),
            longest => Reply::with(
                Code::MetadataLongEntries(longest as u64),
                "longer values were left out",
            ),
        })
    }

    /// RFC 5464 §4.3
    pub(crate) async fn set_metadata(&mut self, mut command: SetMetadata) -> Done {
        let found = self.annotated(command.mailbox.as_ref()).await?;
        if found.of_another && command.values.iter().any(|(entry, _)| is_private(entry)) {
            return Err(Failure::no(
                Code::MetadataNoPrivate,
                "entries of your own are kept for your own mailboxes alone",
            ));
        }
        // Whose script runs is the owner's matter.
        let of_script = command.values.iter().any(|(entry, _)| entry == ENTRY);
        if !found.writable || (found.of_another && of_script) {
            return Err(no_permission());
        }
        if found.mailbox.is_none() && command.values.iter().any(|(entry, _)| entry == READ_ONLY) {
            return Err(Failure::no(Code::NoPerm, "this entry is read-only"));
        }
        let large = |value: &bytes::Bytes| value.len() > MAX_VALUE;
        if command
            .values
            .iter()
            .any(|(_, value)| value.as_ref().is_some_and(large))
        {
            return Err(Failure::no(
                Code::MetadataMaxSize(MAX_VALUE as u64),
                "the value is too large",
            ));
        }
        // RFC 5464 §3.2: an entry has a name below /private or /shared
        if command
            .values
            .iter()
            .any(|(entry, _)| entry.matches('/').count() < 2)
        {
            return Err(Failure::Bad("this is no entry that can have a value"));
        }
        let special_use = match found.mailbox {
            Some(mailbox) => take_special_use(&mut command)?.map(|wanted| (mailbox, wanted)),
            None => None,
        };
        let store = self.mail();
        // RFC 5464 §4.3: all of it or nothing. This is what is refused most.
        if let Some((mailbox, special_use)) = special_use {
            let set = store.set_special_use(found.account, mailbox, special_use);
            set.await.map_err(|error| match error {
                StoreError::Invalid(_) => Failure::no(Code::UseAttr, "INBOX has no special use"),
                other => other.into(),
            })?;
        }
        let changed = store.annotate(found.account, found.mailbox, command.values);
        changed.await.map_err(|error| match error {
            StoreError::Invalid(_) => {
                Failure::no(Code::MetadataTooMany, "there is no room for more of this")
            }
            other => other.into(),
        })?;
        Ok(Reply::ok("done"))
    }

    async fn annotated(&self, mailbox: Option<&MailboxName>) -> Result<Annotated, Failure> {
        let account = self.account()?;
        let Some(mailbox) = mailbox else {
            return Ok(Annotated {
                account,
                mailbox: None,
                of_another: false,
                writable: true,
                special_use: None,
            });
        };
        let place = self.allowed(mailbox, Rights::LOOKUP).await?;
        if !place.rights.intersects(ANY) {
            return Err(no_permission());
        }
        Ok(Annotated {
            account: place.owner.as_ref().map_or(account, |owner| owner.account),
            mailbox: Some(place.info.id),
            special_use: place.info.special_use.filter(|_| place.owner.is_none()),
            of_another: place.owner.is_some(),
            writable: place.rights.contains(Rights::WRITE),
        })
    }
}

/// RFC 5464 §3.3: beside `l` one of these
const ANY: Rights = Rights::READ
    .union(Rights::SEEN)
    .union(Rights::WRITE)
    .union(Rights::INSERT)
    .union(Rights::POST);

/// Where annotations are.
struct Annotated {
    account: AccountId,
    mailbox: Option<MailboxId>,
    of_another: bool,
    writable: bool,
    special_use: Option<mail::SpecialUse>,
}

/// RFC 6154 §5.4: what the mailbox is for is an entry, and changes with it. As an annotation it is taken away, where one is left of a
/// release before; an error for what no mailbox can be for.
fn take_special_use(
    command: &mut SetMetadata,
) -> Result<Option<Option<mail::SpecialUse>>, Failure> {
    let is_it = |(entry, _): &&mut (String, Option<Bytes>)| entry == SPECIAL_USE;
    let mut given = command.values.iter_mut().filter(is_it);
    let Some((_, value)) = given.next() else {
        return Ok(None);
    };
    if given.next().is_some() {
        return Err(Failure::Bad("an entry is given twice"));
    }
    let Some(value) = value.take() else {
        return Ok(Some(None));
    };
    let named = |one: &SpecialUse| value.eq_ignore_ascii_case(one.as_str().as_bytes());
    let found = SpecialUse::ALL.into_iter().find(named).and_then(to_store);
    match found {
        Some(special_use) => Ok(Some(Some(special_use))),
        None => Err(Failure::no(
            Code::UseAttr,
            "one of \\Archive, \\Drafts, \\Junk, \\Sent and \\Trash is possible here",
        )),
    }
}

fn is_private(entry: &str) -> bool {
    entry.starts_with("/private")
}

type Told<'a> = (&'a str, Option<&'a [u8]>);

/// The entries that were asked for, each once, in order; those that are not there have no value (RFC 5464 §4.4.1).
fn wanted<'a>(all: &'a [Annotation], command: &'a GetMetadata) -> Vec<Told<'a>> {
    let mut told: Vec<Told<'a>> = Vec::new();
    for asked in &command.entries {
        let before = told.len();
        let found = all
            .iter()
            .filter(|one| reaches(asked, command.depth, &one.entry));
        told.extend(found.map(|one| (one.entry.as_str(), Some(&one.value[..]))));
        if told.len() == before && command.depth == MetadataDepth::Zero {
            told.push((asked, None));
        }
    }
    told.sort_unstable_by_key(|one| one.0);
    told.dedup_by_key(|one| one.0);
    told
}

/// RFC 5464 §4.2.2
fn reaches(asked: &str, depth: MetadataDepth, entry: &str) -> bool {
    let Some(below) = entry.strip_prefix(asked) else {
        return false;
    };
    let levels = below.matches('/').count();
    match depth {
        _ if below.is_empty() => true,
        _ if !below.starts_with('/') => false,
        MetadataDepth::Zero => false,
        MetadataDepth::One => levels == 1,
        MetadataDepth::Infinity => true,
    }
}
