//! THREAD (RFC 5256): what is needed of each message is read from stored facts, then threads are made of it.

mod references;
mod subjects;
#[cfg(test)]
mod tests;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::ops::Range;

use mailpods_imap_proto::{ThreadAlgorithm, ThreadCommand, ThreadStep};
use mailpods_message::Meta;
use mailpods_store::mail::{Columns, Entry};

use crate::failure::{Done, Failure, Reply};
use crate::fetch::damaged;
use crate::heavy;
use crate::scan::ranges;
use crate::session::Session;
use crate::sort::{MANY, MAX_TEXT, collate, too_many};

/// Identifiers of ancestors that count; of more than that the nearest.
const MAX_REFERENCES: usize = 64;

impl Session {
    /// RFC 5256 §3
    pub(crate) async fn thread(&mut self, command: ThreadCommand) -> Done {
        let found = self.searched(&command.search).await?;
        let many = found.positions.len() > MANY;
        let _turn = match many {
            true => Some(self.shared.orders.turn().await?),
            false => None,
        };
        let mut summaries = Summaries::default();
        let columns = Columns {
            prefix: false,
            meta: true,
            reader: None,
        };
        self.scan(&ranges(&found.positions), columns, |position, entry| {
            summaries.add(position, entry)
        })
        .await?;
        let steps = heavy::run(many, move || match command.algorithm {
            ThreadAlgorithm::OrderedSubject => subjects::threads(&summaries).steps(),
            ThreadAlgorithm::References => references::threads(&summaries).steps(),
        })
        .await?;
        let uids = match command.search.uid {
            true => Some(self.view()?.uids.clone()),
            false => None,
        };
        let number = |position: u32| match &uids {
            Some(uids) => uids.get(position as usize).copied().unwrap_or_default(),
            None => position + 1,
        };
        self.writer()
            .thread(steps.into_iter().map(|step| match step {
                ThreadStep::Number(position) => ThreadStep::Number(number(position)),
                other => other,
            }));
        Ok(Reply::ok("threaded"))
    }
}

/// Stands for an identifier: two hashes of it, with keys of this command.
type Id = (u64, u64);

/// What threads are made of.
struct Summary {
    position: u32,
    /// The Date field, or the internal date.
    date: i64,
    /// The base subject, as it is compared.
    subject: Box<str>,
    is_reply: bool,
    id: Option<Id>,
    /// Where its ancestors' identifiers are among all, oldest first.
    references: Range<u32>,
}

/// The messages of a command, in the order of their positions.
#[derive(Default)]
struct Summaries {
    messages: Vec<Summary>,
    ids: Vec<Id>,
    octets: usize,
    keys: (RandomState, RandomState),
}

impl Summaries {
    fn add(&mut self, position: u32, entry: &Entry) -> Result<(), Failure> {
        let stored = entry.meta.as_deref().unwrap_or_default();
        let meta = Meta::decode_summary(stored).map_err(damaged)?;
        let start = self.ids.len() as u32;
        let surplus = meta.references.len().saturating_sub(MAX_REFERENCES);
        let references: Vec<Id> = meta
            .references
            .iter()
            .skip(surplus)
            .map(|id| self.id(id))
            .collect();
        self.ids.extend(references);
        let subject = collate(&meta.subject.text).into_boxed_str();
        self.octets += subject.len() + (self.ids.len() - start as usize) * size_of::<Id>();
        self.messages.push(Summary {
            position,
            date: meta.sent_date.unwrap_or(entry.received),
            subject,
            is_reply: meta.subject.is_reply,
            id: meta.message_id.as_deref().map(|id| self.id(id)),
            references: start..self.ids.len() as u32,
        });
        match self.octets > MAX_TEXT {
            true => Err(too_many()),
            false => Ok(()),
        }
    }

    fn id(&self, text: &[u8]) -> Id {
        (self.keys.0.hash_one(text), self.keys.1.hash_one(text))
    }

    fn references(&self, message: &Summary) -> &[Id] {
        let range = message.references.start as usize..message.references.end as usize;
        self.ids.get(range).unwrap_or_default()
    }
}

/// Threads as trees; only roots may be without a message.
#[derive(Default)]
struct Threads {
    /// By node: the position of its message.
    messages: Vec<Option<u32>>,
    /// By node, in their order.
    children: Vec<Vec<u32>>,
    /// In their order.
    roots: Vec<u32>,
}

/// What is left to tell.
enum Task {
    Node(u32),
    Open,
    Close,
}

impl Threads {
    fn children(&self, node: u32) -> &[u32] {
        self.children.get(node as usize).map_or(&[], Vec::as_slice)
    }

    /// The threads as they are told, messages by position. Without recursion: a thread may be as deep as the mailbox is long.
    fn steps(&self) -> Vec<ThreadStep> {
        let mut steps = Vec::new();
        let mut tasks = Vec::new();
        for root in &self.roots {
            tasks.extend([Task::Close, Task::Node(*root), Task::Open]);
            while let Some(task) = tasks.pop() {
                match task {
                    Task::Open => steps.push(ThreadStep::Open),
                    Task::Close => steps.push(ThreadStep::Close),
                    Task::Node(node) => self.tell(node, &mut steps, &mut tasks),
                }
            }
        }
        steps
    }

    fn tell(&self, node: u32, steps: &mut Vec<ThreadStep>, tasks: &mut Vec<Task>) {
        let message = self.messages.get(node as usize).copied().flatten();
        steps.extend(message.map(ThreadStep::Number));
        match self.children(node) {
            // RFC 5256 §5, `thread-members`: one answer stands behind what it answers
            [only] => tasks.push(Task::Node(*only)),
            several => {
                for child in several.iter().rev() {
                    tasks.extend([Task::Close, Task::Node(*child), Task::Open]);
                }
            }
        }
    }
}
