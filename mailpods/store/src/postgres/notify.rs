//! Telling other processes what changed (NOTIFY), and hearing it from them (LISTEN).
//!
//! Notifications are sent after the commit, gathered, by a transaction of their own: a NOTIFY in the transaction itself would make all
//! commits of the database wait for each other. What is lost when a process dies in between, the others find by looking (poll).
//!
//! A payload is `SENDER *`, or `SENDER m ID ID ...`, or `SENDER q DUE DESTINATION DUE DESTINATION ...`.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_postgres::{AsyncMessage, Client, Connection, Socket};

use super::pool::next_message;
use super::shared::Shared;
use super::tls::Encrypted;
use super::tx::lazily;
use crate::common::{lock, seal};
use crate::error::{Result, StoreError};
use crate::queue::Destination;
use crate::types::{MailboxId, UnixMillis};

/// PostgreSQL takes payloads below 8000 octets.
const MAX_PAYLOAD: usize = 7_800;
/// Longest name, in octets.
const MAX_CHANNEL: usize = 63;
/// More changes than this are told as "everything".
const MAX_CHANGES: usize = 10_000;
/// Pause after a failure.
const PAUSE: Duration = Duration::from_millis(500);
/// How often a connection that hears nothing is asked whether it still lives.
const ASK_EVERY: Duration = Duration::from_secs(20);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Changes that others are still to be told of.
pub(super) struct Outbox {
    sender: String,
    changes: Mutex<Changes>,
    wake: Notify,
}

#[derive(Default)]
struct Changes {
    mailboxes: HashSet<MailboxId>,
    due: HashMap<Destination, UnixMillis>,
    everything: bool,
}

impl Changes {
    fn is_empty(&self) -> bool {
        !self.everything && self.mailboxes.is_empty() && self.due.is_empty()
    }

    /// Gives up telling one by one when there are too many.
    fn bound(&mut self) {
        if self.mailboxes.len() + self.due.len() > MAX_CHANGES {
            *self = Self {
                everything: true,
                ..Self::default()
            };
        }
    }
}

impl Outbox {
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            sender: format!("{:016x}", u64::from_le_bytes(seal::random()?)),
            changes: Mutex::default(),
            wake: Notify::new(),
        })
    }

    pub(super) fn mailbox(&self, mailbox: MailboxId) {
        self.change(|changes| {
            changes.mailboxes.insert(mailbox);
        });
    }

    pub(super) fn due(&self, destination: &Destination, at: UnixMillis) {
        self.change(|changes| {
            let earliest = changes.due.entry(destination.clone()).or_insert(at);
            *earliest = at.min(*earliest);
        });
    }

    fn change(&self, change: impl FnOnce(&mut Changes)) {
        let mut changes = lock(&self.changes);
        if !changes.everything {
            change(&mut changes);
            changes.bound();
        }
        drop(changes);
        self.wake.notify_one();
    }

    fn payloads(&self, changes: &Changes) -> Vec<String> {
        if changes.everything {
            return vec![format!("{} *", self.sender)];
        }
        let mailboxes = changes.mailboxes.iter().map(|mailbox| mailbox.to_string());
        let due = changes
            .due
            .iter()
            .map(|(destination, at)| format!("{at} {}", destination.0));
        let mut payloads = gather(&format!("{} m", self.sender), mailboxes);
        payloads.extend(gather(&format!("{} q", self.sender), due));
        payloads
    }
}

/// As few payloads as hold all items.
fn gather(head: &str, items: impl Iterator<Item = String>) -> Vec<String> {
    let mut payloads: Vec<String> = Vec::new();
    for item in items {
        match payloads.last_mut() {
            Some(last) if last.len() + item.len() < MAX_PAYLOAD => {
                last.push(' ');
                last.push_str(&item);
            }
            _ => payloads.push(format!("{head} {item}")),
        }
    }
    payloads
}

/// The channel of the store in a schema.
fn channel(schema: &str) -> String {
    let mut name = format!("mailpods_{schema}");
    // Two schemas with one channel do no harm: somebody is woken for nothing.
    name.truncate(name.floor_char_boundary(MAX_CHANNEL));
    name
}

/// Sends what is in the outbox until `stop`.
pub(super) async fn send(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = shared.outbox.wake.notified() => {}
            _ = stop.changed() => break,
        }
        if let Err(error) = flush(&shared).await {
            tracing::debug!(%error, "failed to tell other processes of changes");
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => shared.outbox.wake.notify_one(),
                _ = stop.changed() => break,
            }
        }
    }
    if let Err(error) = flush(&shared).await {
        tracing::debug!(%error, "the last changes are not told to other processes");
    }
}

async fn flush(shared: &Shared) -> Result<()> {
    let changes = std::mem::take(&mut *lock(&shared.outbox.changes));
    if changes.is_empty() {
        return Ok(());
    }
    let payloads = shared.outbox.payloads(&changes);
    let sent = notify(shared, &payloads).await;
    if sent.is_err() {
        // Tried again, in the least of room.
        lock(&shared.outbox.changes).everything = true;
    }
    sent
}

async fn notify(shared: &Shared, payloads: &[String]) -> Result<()> {
    lazily(
        shared,
        "SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload",
        &[&channel(&shared.schema), &payloads],
    )
    .await
    .map(drop)
}

/// A connection that hears what others tell.
pub(super) struct Listener {
    client: Client,
    connection: Connection<Socket, Encrypted>,
}

impl Listener {
    /// Begins to listen. What is told from now on is heard.
    pub(super) async fn open(shared: &Shared) -> Result<Self> {
        let wait = shared.options.wait;
        match tokio::time::timeout(wait, Self::begin(shared)).await {
            Ok(begun) => begun,
            Err(_) => Err(StoreError::Unavailable(format!(
                "the database did not let us listen within {} s",
                wait.as_secs()
            ))),
        }
    }

    async fn begin(shared: &Shared) -> Result<Self> {
        let (client, mut connection) = shared.pool.connect().await?;
        let quoted = channel(&shared.schema).replace('"', "\"\"");
        let statement = format!("LISTEN \"{quoted}\"");
        {
            let listening = client.batch_execute(&statement);
            tokio::pin!(listening);
            loop {
                tokio::select! {
                    begun = &mut listening => break begun?,
                    message = next_message(&mut connection) => drop(message?),
                }
            }
        }
        Ok(Self { client, connection })
    }

    /// Hears until the connection ends. `missed`: there was a time without a listener.
    async fn hear(self, shared: &Shared, missed: bool) -> Result<Infallible> {
        let Self {
            client,
            mut connection,
        } = self;
        let living = async {
            if missed {
                super::queue::due::load(shared).await?;
                shared.watchers.everything_changed();
            }
            alive(&client).await
        };
        tokio::pin!(living);
        loop {
            tokio::select! {
                end = &mut living => return end,
                message = next_message(&mut connection) => {
                    if let AsyncMessage::Notification(notification) = message? {
                        take(shared, notification.payload());
                    }
                }
            }
        }
    }
}

/// Listens until `stop`, at first with `listener`. Whenever it begins again, everybody is woken: something may have been missed.
pub(super) async fn listen(
    shared: Arc<Shared>,
    listener: Listener,
    mut stop: watch::Receiver<bool>,
) {
    let mut first = Some(listener);
    loop {
        let missed = first.is_none();
        let life = async {
            let listener = match first.take() {
                Some(listener) => listener,
                None => Listener::open(&shared).await?,
            };
            listener.hear(&shared, missed).await
        };
        tokio::select! {
            Err(error) = life => tracing::debug!(%error, "listening to the database failed"),
            _ = stop.changed() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            _ = stop.changed() => return,
        }
    }
}

/// Asks now and then whether the other side is still there.
async fn alive(client: &Client) -> Result<Infallible> {
    loop {
        tokio::time::sleep(ASK_EVERY).await;
        match tokio::time::timeout(ANSWER_WITHIN, client.batch_execute("SELECT 1")).await {
            Ok(answer) => answer?,
            Err(_) => {
                return Err(StoreError::Unavailable(
                    "the connection that listens does not answer".to_owned(),
                ));
            }
        }
    }
}

fn take(shared: &Shared, payload: &str) {
    let mut words = payload.split(' ');
    if words.next() == Some(&shared.outbox.sender) {
        return;
    }
    match words.next() {
        Some("m") => words
            .filter_map(|word| word.parse().ok())
            .for_each(|id| shared.mailbox_changed(MailboxId(id))),
        Some("q") => {
            while let (Some(at), Some(destination)) = (words.next(), words.next()) {
                if let Ok(at) = at.parse() {
                    shared.due.at_most(Destination(destination.into()), at);
                }
            }
            shared.watchers.queue_changed();
        }
        _ => {
            shared.due.stale();
            shared.watchers.everything_changed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_hold_everything_and_are_not_too_long() {
        let outbox = Outbox::new().unwrap();
        for number in 0..3_000 {
            outbox.mailbox(MailboxId(1 << 40 | number));
            outbox.due(&Destination(format!("d{number}.test").into()), number);
        }
        outbox.due(&Destination("d7.test".into()), 3);
        let payloads = outbox.payloads(&lock(&outbox.changes));
        assert!(payloads.iter().all(|payload| payload.len() < 8_000));
        let words: Vec<&str> = payloads.iter().flat_map(|text| text.split(' ')).collect();
        assert!(words.contains(&"d2999.test") && words.contains(&"1099511630775"));
        let at = words.iter().position(|word| *word == "d7.test").unwrap();
        assert_eq!(words[at - 1], "3");
    }

    #[test]
    fn too_many_changes_become_everything() {
        let outbox = Outbox::new().unwrap();
        (0..20_000).for_each(|number| outbox.mailbox(MailboxId(number)));
        let changes = lock(&outbox.changes);
        assert!(changes.everything && changes.mailboxes.is_empty());
        assert_eq!(outbox.payloads(&changes).len(), 1);
    }
}
