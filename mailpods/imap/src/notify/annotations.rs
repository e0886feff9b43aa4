//! Which annotations differ between two looks. Pure.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};

use mailpods_store::MailboxId;
use mailpods_store::mail::Annotation;

/// An annotation by its mailbox and name, with a hash of its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    pub(super) mailbox: Option<MailboxId>,
    pub(super) entry: String,
    value: u64,
}

/// What is kept of annotations: their values may be large.
pub(super) fn marks(all: Vec<(Option<MailboxId>, Annotation)>) -> Vec<Mark> {
    let mark = |(mailbox, annotation): (Option<MailboxId>, Annotation)| {
        let mut hasher = DefaultHasher::new();
        annotation.value.hash(&mut hasher);
        Mark {
            mailbox,
            entry: annotation.entry,
            value: hasher.finish(),
        }
    };
    let mut marks: Vec<Mark> = all.into_iter().map(mark).collect();
    marks.sort_unstable();
    marks
}

/// Mailboxes with the names of what was written, changed or removed, each once; both lists are from [`marks`].
pub(super) fn differences<'a>(
    before: &'a [Mark],
    now: &'a [Mark],
) -> Vec<(Option<MailboxId>, Vec<&'a str>)> {
    let only = |one: &'a [Mark], other: &[Mark]| -> Vec<&'a Mark> {
        let missing = one.iter().filter(|mark| other.binary_search(mark).is_err());
        missing.collect()
    };
    let mut changed: Vec<(Option<MailboxId>, &str)> = only(before, now)
        .into_iter()
        .chain(only(now, before))
        .map(|mark| (mark.mailbox, mark.entry.as_str()))
        .collect();
    changed.sort_unstable();
    changed.dedup();
    changed
        .chunk_by(|one, other| one.0 == other.0)
        .filter_map(|chunk| {
            let mailbox = chunk.first()?.0;
            Some((mailbox, chunk.iter().map(|one| one.1).collect()))
        })
        .collect()
}
