//! Scripts at IMAP commands (RFC 6785): over messages that are put in, copied or moved, and whose flags change.
//!
//! The annotation [`ENTRY`] of a mailbox names one of the scripts that the owner keeps over ManageSieve, and that of the account the one for
//! all other mailboxes. Those scripts of the cluster and the domain run around it that require `imapsieve`. What a script does makes no
//! event of its own, and whatever fails leaves the message as it is: the command was done before.

mod act;
mod backlog;
mod known;
mod run;

use std::sync::Arc;

use mailpods_store::mail::{Columns, FlagOutcome, Flags, SystemFlags};
use mailpods_store::{MailboxId, StoreError, Uid};

use crate::failure::Failure;
use crate::flags;
use crate::login::User;
use crate::server::Shared;
use crate::session::Session;
use crate::sharing::Place;

pub(crate) use backlog::Backlog;
pub(crate) use known::Known;
use known::Stores;
pub(crate) use run::Runner;

/// RFC 6785 §2.3.1
pub(crate) const ENTRY: &str = "/shared/imapsieve/script";

/// What happened to a message (RFC 6785 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Append,
    Copy,
    Flag,
}

impl Cause {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Append => "APPEND",
            Self::Copy => "COPY",
            Self::Flag => "FLAG",
        }
    }
}

/// Something that happened to a message.
pub(crate) struct Event {
    pub(crate) uid: Uid,
    pub(crate) cause: Cause,
    /// The flags that changed, with spaces between.
    pub(crate) changed: Arc<str>,
}

impl Session {
    /// What runs over messages of the selected mailbox when their flags change, where anything does.
    pub(crate) async fn script_of_view(&self) -> Result<Option<Runner>, Failure> {
        let view = self.view()?;
        match view.owner.is_some() {
            true => Ok(None),
            false => Ok(self.script_for(view.id, &view.name).await),
        }
    }

    async fn script_for(&self, mailbox: MailboxId, name: &str) -> Option<Runner> {
        let user = self.user.as_ref()?;
        match runner(&self.shared, user, mailbox, name).await {
            Ok(runner) => runner,
            Err(error) => {
                tracing::warn!(account = %user.address, mailbox = name, %error, "failed to look for the script of a mailbox");
                None
            }
        }
    }

    /// Runs what there is for a mailbox of one's own over messages that were put into it.
    pub(crate) async fn came_in(&mut self, cause: Cause, place: &Place, uids: &[Uid]) {
        if uids.is_empty() || place.owner.is_some() {
            return;
        }
        if let Some(runner) = self.script_for(place.info.id, &place.info.name).await {
            let nothing: Arc<str> = Arc::from("");
            let event = |uid: &Uid| Event {
                uid: *uid,
                cause,
                changed: Arc::clone(&nothing),
            };
            self.run_scripts(runner, uids.iter().map(event).collect())
                .await;
        }
    }

    /// Runs scripts over messages of the selected mailbox; the client hears of what they did once they have done it.
    pub(crate) async fn run_scripts(&mut self, runner: Runner, events: Vec<Event>) {
        let begun = self.shared.backlog.run(runner, events).await;
        if begun.is_some() {
            self.scripts = begun;
        }
    }
}

async fn runner(
    shared: &Arc<Shared>,
    user: &User,
    mailbox: MailboxId,
    name: &str,
) -> Result<Option<Runner>, StoreError> {
    let deps = &shared.deps;
    let stores = Stores {
        mail: deps.store.as_ref(),
        scripts: deps.scripts.as_ref(),
    };
    let owner = (user.account, &user.address);
    let own = shared.scripts.script(stores, owner, mailbox).await?;
    let plan = deps.plan.current();
    if own.is_none() && run::of_operators(&plan, &user.address).next().is_none() {
        return Ok(None);
    }
    Ok(Some(Runner {
        shared: Arc::clone(shared),
        plan,
        account: user.account,
        owner: user.address.clone(),
        mailbox,
        mailbox_name: name.to_owned(),
        own,
    }))
}

impl Runner {
    /// The flags of messages before a command changes them.
    pub(crate) async fn flags(&self, uids: &[Uid]) -> Result<Vec<(Uid, Flags)>, StoreError> {
        let mail = &self.deps().store;
        let entries = mail.entries_of(self.mailbox, uids.to_vec(), Columns::default());
        let entries = entries.await?.into_iter();
        Ok(entries.map(|entry| (entry.uid, entry.flags)).collect())
    }
}

/// The events of a change of flags; `before` ascends.
pub(crate) fn of_flags(before: &[(Uid, Flags)], outcome: &FlagOutcome) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    for (uid, _, after) in &outcome.entries {
        let known = before.binary_search_by_key(uid, |known| known.0);
        let Some((_, before)) = known.ok().and_then(|at| before.get(at)) else {
            continue;
        };
        let changed = difference(before, after);
        if changed.is_empty() {
            continue;
        }
        let last = events.last().map(|event| &event.changed);
        // Most often all have changed alike.
        let changed = match last.filter(|last| ***last == *changed) {
            Some(same) => Arc::clone(same),
            None => changed.into(),
        };
        events.push(Event {
            uid: *uid,
            cause: Cause::Flag,
            changed,
        });
    }
    events
}

/// The events of FETCH, which sets `\Seen` (RFC 6785 §2.2.3).
pub(crate) fn of_seen(uids: &[Uid]) -> Vec<Event> {
    let seen = Flags {
        system: SystemFlags::SEEN,
        keywords: Vec::new(),
    };
    let changed: Arc<str> = difference(&Flags::default(), &seen).into();
    let event = |uid: &Uid| Event {
        uid: *uid,
        cause: Cause::Flag,
        changed: Arc::clone(&changed),
    };
    uids.iter().map(event).collect()
}

/// The flags that one set has and the other has not, with spaces between.
fn difference(before: &Flags, after: &Flags) -> String {
    let (gone, new) = (without(before, after), without(after, before));
    let names = flags::names(&gone).chain(flags::names(&new));
    names.collect::<Vec<_>>().join(" ")
}

/// The flags of one set that the other has not.
fn without(flags: &Flags, others: &Flags) -> Flags {
    let has = |keyword: &String| {
        let mut others = others.keywords.iter();
        others.any(|other| other.eq_ignore_ascii_case(keyword))
    };
    let mut keywords = flags.keywords.clone();
    keywords.retain(|keyword| !has(keyword));
    Flags {
        system: flags.system.without(others.system),
        keywords,
    }
}
