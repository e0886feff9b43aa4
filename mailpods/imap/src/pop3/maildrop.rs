//! The maildrop of a session: INBOX as it was at log-in, and what the client wants done with it.

use std::collections::HashMap;

use mailpods_store::mail::{Columns, Entry, FlagOp, Flags, SystemFlags};
use mailpods_store::{MailStore, MailboxId, StoreError, Uid};

use super::failure::Failure;
use super::locks::MaildropLock;
use crate::login::User;

/// Entries read at once.
const BATCH: usize = 1000;
/// Entries read ahead for a client that takes one message after the other.
const AHEAD: usize = 32;

/// A message as it was at log-in.
pub(super) struct Message {
    pub(super) uid: Uid,
    pub(super) deleted: bool,
    /// It was told whole, and had not been seen before.
    newly_seen: bool,
    seen: bool,
    pub(super) octets: u64,
}

pub(super) struct Maildrop {
    pub(super) user: User,
    pub(super) lock: MaildropLock,
    mailbox: MailboxId,
    uid_validity: u32,
    messages: Vec<Message>,
    /// UIDLs that came with messages; read when the client first asks.
    names: Option<HashMap<Uid, String>>,
    /// Entries read, ascending.
    ahead: Vec<Entry>,
    /// The index of the last message that was read.
    last: Option<usize>,
}

impl Maildrop {
    /// Reads what is in INBOX.
    pub(super) async fn open(
        store: &dyn MailStore,
        user: User,
        lock: MaildropLock,
    ) -> Result<Self, (Failure, MaildropLock)> {
        match snapshot(store, &user).await {
            Ok((mailbox, uid_validity, messages)) => Ok(Self {
                user,
                lock,
                mailbox,
                uid_validity,
                messages,
                names: None,
                ahead: Vec::new(),
                last: None,
            }),
            Err(error) => Err((error.into(), lock)),
        }
    }

    /// Messages that are not marked, with their numbers.
    pub(super) fn present(&self) -> impl Iterator<Item = (usize, &Message)> {
        let numbered = self.messages.iter().enumerate();
        numbered.filter_map(|(index, message)| (!message.deleted).then_some((index + 1, message)))
    }

    /// Number and octets of the messages that are not marked.
    pub(super) fn totals(&self) -> (usize, u64) {
        let add =
            |(count, octets), (_, message): (_, &Message)| (count + 1, octets + message.octets);
        self.present().fold((0, 0), add)
    }

    /// A message that is there and not marked (RFC 1939 §5).
    pub(super) fn message(&self, number: u32) -> Result<(usize, &Message), Failure> {
        let index = usize::try_from(number)
            .unwrap_or(usize::MAX)
            .saturating_sub(1);
        let found = self.messages.get(index).filter(|message| !message.deleted);
        let message = found.ok_or(Failure::no("no such message"))?;
        Ok((index, message))
    }

    pub(super) fn mark_deleted(&mut self, number: u32) -> Result<(), Failure> {
        let (index, _) = self.message(number)?;
        if let Some(message) = self.messages.get_mut(index) {
            message.deleted = true;
        }
        Ok(())
    }

    pub(super) fn mark_seen(&mut self, index: usize) {
        if let Some(message) = self.messages.get_mut(index) {
            message.newly_seen = !message.seen;
        }
    }

    /// RFC 1939 §5, RSET
    pub(super) fn unmark(&mut self) {
        for message in &mut self.messages {
            message.deleted = false;
        }
    }

    /// Reads the stored UIDLs, once.
    pub(super) async fn read_names(&mut self, store: &dyn MailStore) -> Result<(), Failure> {
        if self.names.is_none() {
            let names = store.uidls(self.mailbox).await?;
            self.names = Some(names.into_iter().collect());
        }
        Ok(())
    }

    /// RFC 1939 §7: the name that came with a message, else UIDVALIDITY and UID, which together name it for good.
    pub(super) fn name(&self, uid: Uid) -> String {
        let known = self.names.as_ref().and_then(|names| names.get(&uid));
        match known {
            Some(name) => name.clone(),
            None => format!("{}.{uid}", self.uid_validity),
        }
    }

    /// The entry of a message with its prefix; read ahead when the client takes one after the other.
    pub(super) async fn entry(
        &mut self,
        store: &dyn MailStore,
        index: usize,
        uid: Uid,
    ) -> Result<Entry, Failure> {
        let found = |entries: &[Entry]| {
            let at = entries.binary_search_by_key(&uid, |entry| entry.uid).ok()?;
            entries.get(at).cloned()
        };
        let in_turn = self.last.is_none_or(|last| index == last + 1);
        self.last = Some(index);
        if let Some(entry) = found(&self.ahead) {
            return Ok(entry);
        }
        let limit = if in_turn { AHEAD } else { 1 };
        let columns = Columns {
            prefix: true,
            meta: false,
            reader: None,
        };
        self.ahead = store
            .entries(self.mailbox, uid..=Uid::MAX, 0, columns, limit)
            .await?;
        Ok(found(&self.ahead).ok_or(StoreError::NotFound("message"))?)
    }

    /// RFC 1939 §6: removes what is marked, and remembers what was seen. What others have removed meanwhile is no error.
    pub(super) async fn update(&self, store: &dyn MailStore) -> Result<(), Failure> {
        let uids = |wanted: fn(&Message) -> bool| -> Vec<Uid> {
            let wanted = self.messages.iter().filter(|message| wanted(message));
            wanted.map(|message| message.uid).collect()
        };
        let deleted = uids(|message| message.deleted);
        let seen = uids(|message| message.newly_seen && !message.deleted);
        if deleted.is_empty() && seen.is_empty() {
            return Ok(());
        }
        if !self.lock.confirm().await? {
            return Err(super::lost());
        }
        if !seen.is_empty() {
            self.add_flag(store, seen, SystemFlags::SEEN).await?;
        }
        if !deleted.is_empty() {
            self.add_flag(store, deleted.clone(), SystemFlags::DELETED)
                .await?;
            store.expunge(self.mailbox, Some(deleted)).await?;
        }
        Ok(())
    }

    async fn add_flag(
        &self,
        store: &dyn MailStore,
        uids: Vec<Uid>,
        system: SystemFlags,
    ) -> Result<(), StoreError> {
        let flags = Flags {
            system,
            keywords: Vec::new(),
        };
        store
            .store_flags(self.mailbox, uids, FlagOp::Add, flags, None)
            .await
            .map(drop)
    }
}

async fn snapshot(
    store: &dyn MailStore,
    user: &User,
) -> Result<(MailboxId, u32, Vec<Message>), StoreError> {
    let inbox = store.mailbox(user.account, "INBOX").await?;
    let inbox = inbox.ok_or(StoreError::NotFound("mailbox"))?;
    let mut messages = Vec::with_capacity(usize::try_from(inbox.messages).unwrap_or(0));
    let mut first = 1;
    loop {
        let entries = store
            .entries(inbox.id, first..=Uid::MAX, 0, Columns::default(), BATCH)
            .await?;
        messages.extend(entries.iter().map(|entry| Message {
            uid: entry.uid,
            deleted: false,
            newly_seen: false,
            seen: entry.flags.system.contains(SystemFlags::SEEN),
            octets: entry.size,
        }));
        match entries.last().and_then(|last| last.uid.checked_add(1)) {
            Some(next) if entries.len() == BATCH => first = next,
            _ => return Ok((inbox.id, inbox.uid_validity, messages)),
        }
    }
}
