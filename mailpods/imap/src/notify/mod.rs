//! NOTIFY (RFC 5465): what changes in mailboxes that are not selected, told while the client says nothing.
//!
//! A session that asks for it keeps what it has told of all mailboxes. Whenever anything of the account changes, the list of its mailboxes
//! is read and compared, whatever the change was, so that nothing is missed and much at once is told as one.

mod annotations;
mod changes;
#[cfg(test)]
mod tests;
mod watched;

use std::cell::LazyCell;

use mailpods_api::Rights;
use mailpods_imap_proto::pattern::DELIMITER;
use mailpods_imap_proto::{
    Code, FetchCommand, ListAttribute, ListEntry, Notify, NotifyEvents, NotifyFilter, NotifyGroup,
    SequenceSet, StatusItem,
};
use mailpods_store::Uid;
use mailpods_store::mail::MailboxInfo;
use tokio::sync::watch;

use crate::failure::{Done, End, Failure, Reply};
use crate::list::Names;
use crate::mailboxes::status_values;
use crate::session::Session;
use crate::sharing::is_shared;
use crate::wire::read;
use annotations::{Mark, differences, marks};
use changes::{Change, changes, subscription_changes};
use watched::Watched;

/// What a client has asked to be told.
pub(crate) struct Notifying {
    groups: Vec<NotifyGroup>,
    /// What it knows of the mailboxes, by id.
    known: Vec<MailboxInfo>,
    subscriptions: Vec<String>,
    /// What is known of annotations, when they are told of.
    annotations: Option<Vec<Mark>>,
    /// Wakes when anything of the accounts changes.
    changes: Watched,
}

impl Notifying {
    fn selected(&self) -> Option<(&NotifyEvents, bool)> {
        self.groups.iter().find_map(|group| match group.filter {
            NotifyFilter::Selected { delayed } => Some((&group.events, delayed)),
            _ => None,
        })
    }

    pub(crate) fn changes(&mut self) -> &mut Watched {
        &mut self.changes
    }

    /// Changes of flags in the selected mailbox are not wanted.
    pub(crate) fn hides_flags(&self) -> bool {
        self.selected().is_some_and(|(events, _)| !events.flags)
    }
}

/// The events of the first group that takes a mailbox.
fn events_of<'g>(
    groups: &'g [NotifyGroup],
    name: &str,
    subscribed: bool,
) -> Option<&'g NotifyEvents> {
    let takes = |group: &&NotifyGroup| match &group.filter {
        NotifyFilter::Selected { .. } => false,
        NotifyFilter::Inboxes => name == "INBOX",
        NotifyFilter::Personal => !is_shared(name),
        NotifyFilter::Subscribed => subscribed,
        NotifyFilter::Subtree(roots) => roots.iter().any(|root| is_below(root.as_str(), name)),
        NotifyFilter::Mailboxes(names) => names.iter().any(|one| one.as_str() == name),
    };
    groups.iter().find(takes).map(|group| &group.events)
}

fn is_below(root: &str, name: &str) -> bool {
    name.strip_prefix(root)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(DELIMITER))
}

impl Session {
    /// RFC 5465 §3
    pub(crate) async fn notify(&mut self, command: Notify) -> Done {
        let Notify::Set { status, groups } = command else {
            self.notifying = None;
            return Ok(Reply::ok("done"));
        };
        if groups.iter().any(|group| group.events.unsupported) {
            return Err(Failure::no(
                Code::BadEvent,
                "not all of these events can be told",
            ));
        }
        let (store, account) = (self.mail(), self.account()?);
        // The watch comes first: a change in between is told twice rather than never.
        let mut watched = Watched::new(&*store, account);
        let known = self.told_mailboxes(&mut watched).await?;
        let metadata =
            |group: &NotifyGroup| group.events.mailbox_metadata || group.events.server_metadata;
        let annotations = match groups.iter().any(metadata) {
            true => Some(marks(store.all_annotations(account).await?)),
            false => None,
        };
        let notifying = Notifying {
            groups,
            known,
            subscriptions: store.subscriptions(account).await?,
            annotations,
            changes: watched,
        };
        if status {
            self.tell_all_status(&notifying).await?;
        }
        self.notifying = Some(Box::new(notifying));
        Ok(Reply::ok("done"))
    }

    /// The mailboxes that changes are told of, by id: the client's own, and those of others that it may see and read (RFC 5465 §3.1).
    async fn told_mailboxes(&self, watched: &mut Watched) -> Result<Vec<MailboxInfo>, Failure> {
        let (store, account) = (self.mail(), self.account()?);
        loop {
            let mut places = self.shared_places().await?;
            places.retain(|place| place.rights.contains(Rights::READ));
            let owners = places.iter().filter_map(|place| place.owner.as_ref());
            // Accounts are watched before they are read: a change in between is told twice rather than never.
            if watched.follow(&*store, owners.map(|owner| owner.account).collect()) {
                continue;
            }
            self.count_unseen(&mut places).await?;
            let mut told = store.mailboxes(account).await?;
            let subscribed = match places.is_empty() {
                true => Vec::new(),
                false => store.subscriptions(account).await?,
            };
            told.extend(places.into_iter().map(|mut place| {
                place.info.subscribed = subscribed.binary_search(&place.info.name).is_ok();
                place.info
            }));
            told.sort_unstable_by_key(|info| info.id);
            return Ok(told);
        }
    }

    /// RFC 5465 §3.1: how things stand, where messages are to be told of.
    async fn tell_all_status(&mut self, notifying: &Notifying) -> Result<(), Failure> {
        let selected = self.view.as_ref().map(|view| view.id);
        for info in notifying
            .known
            .iter()
            .filter(|info| Some(info.id) != selected)
        {
            let events = events_of(&notifying.groups, &info.name, info.subscribed);
            if let Some(events) = events.filter(|events| events.messages) {
                self.tell_status(info, events.flags);
                self.flush_if_full().await?;
            }
        }
        Ok(())
    }

    /// RFC 5465 §5.2, §5.3
    fn tell_status(&mut self, info: &MailboxInfo, flags: bool) {
        let mut items = vec![
            StatusItem::Messages,
            StatusItem::UidNext,
            StatusItem::UidValidity,
        ];
        if flags {
            items.push(StatusItem::Unseen);
        }
        if self.condstore {
            items.push(StatusItem::HighestModSeq);
        }
        let values = status_values(info, &items, self.append_limit(), 0);
        self.writer().mailbox_status(&info.name, &values);
    }

    /// Waits for the client, and tells meanwhile what changes.
    pub(crate) async fn read_notifying(
        &mut self,
        deadline: tokio::time::Instant,
    ) -> Result<(), End> {
        loop {
            match self.tell_changes().await {
                Ok(()) => {}
                Err(Failure::End(end)) => return Err(end),
                Err(failure) => {
                    // The next change, or the next command, finds it.
                    let reason = mailpods_telemetry::error_chain(&failure);
                    tracing::warn!(reason, "failed to look for changes to tell");
                }
            }
            self.flush().await?;
            self.release();
            let drain = self.shared.deps.shutdown.drain();
            let changes = self
                .notifying
                .as_mut()
                .map(|notifying| &mut notifying.changes);
            tokio::select! {
                read = read(&mut self.wire.io, self.decoder.buffer(), deadline, drain) => return read,
                () = elsewhere(changes) => {}
            }
        }
    }

    /// Tells what has changed since the last time.
    pub(crate) async fn tell_changes(&mut self) -> Result<(), Failure> {
        self.tell_selected_changes().await?;
        let Some(mut notifying) = self.notifying.take() else {
            return Ok(());
        };
        let told = match notifying.changes.has_changed() {
            true => self.tell_other_changes(&mut notifying).await,
            false => Ok(()),
        };
        self.notifying = Some(notifying);
        told
    }

    /// RFC 5465 §6.1
    async fn tell_selected_changes(&mut self) -> Result<(), Failure> {
        let Some((events, delayed)) = self.notifying.as_ref().and_then(|n| n.selected()) else {
            return Ok(());
        };
        let (messages, fetch) = (events.messages, events.fetch.clone());
        let Some(view) = self.view.as_ref().filter(|_| messages) else {
            return Ok(());
        };
        let last = view.uids.last().copied().unwrap_or(0);
        Box::pin(self.announce(!delayed)).await?;
        let newest = self.view()?.uids.last().copied().unwrap_or(0);
        if newest > last && !fetch.is_empty() {
            Box::pin(self.fetch(new_messages(last, newest, fetch))).await?;
        }
        Ok(())
    }

    async fn tell_other_changes(&mut self, notifying: &mut Notifying) -> Result<(), Failure> {
        notifying.changes.mark_unchanged();
        let (store, account) = (self.mail(), self.account()?);
        let now = self.told_mailboxes(&mut notifying.changes).await?;
        let subscriptions = store.subscriptions(account).await?;
        self.tell_differences(notifying, &now, &subscriptions)
            .await?;
        (notifying.known, notifying.subscriptions) = (now, subscriptions);
        self.tell_annotations(notifying).await
    }

    async fn tell_differences(
        &mut self,
        notifying: &Notifying,
        now: &[MailboxInfo],
        subscriptions: &[String],
    ) -> Result<(), Failure> {
        // Most changes ask for none; many at once ask for one.
        let names = LazyCell::new(|| Names::new(now, subscriptions));
        let selected = self.view.as_ref().map(|view| view.id);
        for change in changes(&notifying.known, now) {
            let events = events_of(&notifying.groups, change.name(), change.subscribed());
            if let Some(events) = events {
                let is_selected = change.id() == selected;
                self.tell_change(&change, events, is_selected, &|name| {
                    names.attributes_of(name)
                });
                self.flush_if_full().await?;
            }
        }
        for (name, on) in subscription_changes(&notifying.subscriptions, subscriptions) {
            let events = events_of(&notifying.groups, name, on);
            if events.is_some_and(|events| events.subscriptions) {
                let attributes = names.attributes_of(name);
                self.tell_list(name, &attributes, None);
                self.flush_if_full().await?;
            }
        }
        Ok(())
    }

    /// RFC 5465 §5.6, §5.7
    async fn tell_annotations(&mut self, notifying: &mut Notifying) -> Result<(), Failure> {
        if notifying.annotations.is_none() {
            return Ok(());
        }
        let now = marks(self.mail().all_annotations(self.account()?).await?);
        let before = notifying.annotations.take().unwrap_or_default();
        for (mailbox, entries) in differences(&before, &now) {
            let Some(mailbox) = mailbox else {
                if notifying
                    .groups
                    .iter()
                    .any(|group| group.events.server_metadata)
                {
                    self.writer().metadata_changed(None, entries);
                }
                continue;
            };
            // What went with its mailbox is told with that.
            let info = notifying.known.iter().find(|info| info.id == mailbox);
            let told = info.filter(|info| {
                events_of(&notifying.groups, &info.name, info.subscribed)
                    .is_some_and(|events| events.mailbox_metadata)
            });
            if let Some(info) = told {
                self.writer().metadata_changed(Some(&info.name), entries);
            }
        }
        notifying.annotations = Some(now);
        Ok(())
    }

    fn tell_change(
        &mut self,
        change: &Change<'_>,
        events: &NotifyEvents,
        is_selected: bool,
        attributes: &dyn Fn(&str) -> Vec<ListAttribute>,
    ) {
        match change {
            Change::Messages(info) if events.messages && !is_selected => {
                self.tell_status(info, events.flags);
            }
            Change::Flags(info) if events.flags && !is_selected => self.tell_status(info, true),
            // RFC 5465 §5.4
            Change::Made(info) if events.names => {
                self.tell_list(&info.name, &attributes(&info.name), None);
            }
            Change::Renamed { info, before } if events.names => {
                self.tell_list(&info.name, &attributes(&info.name), Some(before));
            }
            Change::Gone(info) if events.names => {
                self.tell_list(&info.name, &[ListAttribute::NonExistent], None);
            }
            _ => {}
        }
    }

    fn tell_list(&mut self, name: &str, attributes: &[ListAttribute], before: Option<&str>) {
        let entry = ListEntry {
            attributes,
            name,
            subscribed_below: false,
        };
        match before {
            Some(before) => self.writer().list_normalized(&entry, before),
            None => self.writer().list(&entry),
        }
    }
}

/// FETCH of what has come behind a UID (RFC 5465 §5.2).
fn new_messages(
    last: Uid,
    newest: Uid,
    items: Vec<mailpods_imap_proto::FetchItem>,
) -> FetchCommand {
    FetchCommand {
        uid: true,
        set: SequenceSet::between(last.saturating_add(1), newest),
        items,
        changed_since: None,
        vanished: false,
        partial: None,
    }
}

/// Until there is something to look for in other mailboxes.
pub(crate) async fn elsewhere(watched: Option<&mut Watched>) {
    match watched {
        Some(watched) => watched.changed().await,
        None => std::future::pending().await,
    }
}

/// Until there is something to look for.
pub(crate) async fn changed(changes: Option<&mut watch::Receiver<u64>>) {
    match changes {
        Some(changes) => {
            if changes.changed().await.is_ok() {
                // The mark stays: who tells looks for it.
                changes.mark_changed();
                return;
            }
            std::future::pending().await
        }
        None => std::future::pending().await,
    }
}
