//! Judging one message by what is known of it.

use std::sync::OnceLock;

use bytes::Bytes;
use mailpods_message::text::{body_texts, header_texts};
use mailpods_message::{Meta, Structure};
use mailpods_store::mail::Entry;
use mailpods_store::{MailStore, Result as StoreResult};

use super::compile::Key;
use super::text;
use crate::failure::Failure;
use crate::fetch::{MessageMap, Source, damaged, email_id};

/// What must be read to judge a key, cheapest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cost {
    /// Nothing.
    Position,
    /// The row of the message.
    Row,
    /// Its stored facts.
    Meta,
    /// Its header.
    Header,
    /// All of it.
    Body,
}

/// What is known of a message.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) entry: Option<Entry>,
    pub(super) meta: Option<Meta>,
    /// The same, encoded.
    pub(super) stored: Option<Bytes>,
    pub(super) header: Option<Bytes>,
    /// Header and body.
    pub(super) message: Option<Bytes>,
    /// Decoded once, however many keys ask.
    header_text: OnceLock<Vec<String>>,
    body_text: OnceLock<Vec<String>>,
}

impl Facts {
    /// What is known at first.
    pub(super) fn of(entry: Entry) -> Self {
        Self {
            entry: Some(entry),
            ..Self::default()
        }
    }

    fn header_text(&self) -> Option<&[String]> {
        let header = self.header.as_ref()?;
        Some(
            self.header_text
                .get_or_init(|| header_texts(header).collect()),
        )
    }

    fn body_text(&self) -> Option<&[String]> {
        let (entry, message, meta) = (
            self.entry.as_ref()?,
            self.message.as_ref()?,
            self.meta.as_ref()?,
        );
        let texts = || body_texts(message, &meta.structure, entry.prefix_len).collect();
        Some(self.body_text.get_or_init(texts))
    }
}

/// Reads what `cost` names.
pub(super) async fn learn(
    store: &dyn MailStore,
    cost: Cost,
    facts: &mut Facts,
) -> Result<(), Failure> {
    let Some(entry) = &facts.entry else {
        return Ok(());
    };
    match cost {
        Cost::Position | Cost::Row => {}
        Cost::Meta => {
            let stored = match &entry.meta {
                Some(meta) => meta.clone(),
                None => store.body_meta(entry.body).await?,
            };
            // Most searches end here, without the structure.
            facts.meta = Some(Meta::decode_fields(&stored).map_err(damaged)?);
            facts.stored = Some(stored);
        }
        Cost::Header => {
            let stored = facts.stored.as_deref().unwrap_or_default();
            facts.meta = Some(Meta::decode(stored).map_err(damaged)?);
            facts.header = Some(read(store, entry, facts, false).await?);
        }
        Cost::Body => facts.message = Some(read(store, entry, facts, true).await?),
    }
    Ok(())
}

async fn read(
    store: &dyn MailStore,
    entry: &Entry,
    facts: &Facts,
    whole: bool,
) -> StoreResult<Bytes> {
    let structure = facts
        .meta
        .as_ref()
        .map_or_else(Structure::default, |meta| meta.structure.clone());
    let map = MessageMap::new(structure, entry.prefix_len, entry.size);
    let range = if whole {
        0..entry.size
    } else {
        map.header(0).unwrap_or(0..entry.size)
    };
    Ok(Source::load(store, entry, range.clone())
        .await?
        .joined(&range))
}

/// The answer, or `None` when more must be known.
pub(super) fn judge(key: &Key, position: u32, facts: &Facts) -> Option<bool> {
    match key {
        Key::All => Some(true),
        Key::Nothing => Some(false),
        Key::And(keys) => all(keys, position, facts),
        Key::Or(left, right) => match (judge(left, position, facts), judge(right, position, facts))
        {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        },
        Key::Not(key) => judge(key, position, facts).map(|answer| !answer),
        Key::Positions(positions) => Some(crate::view::contains(positions, position)),
        other => judge_row(other, facts),
    }
}

/// One `false` is enough, whatever the others need.
fn all(keys: &[Key], position: u32, facts: &Facts) -> Option<bool> {
    let mut known = Some(true);
    for key in keys {
        match judge(key, position, facts) {
            Some(false) => return Some(false),
            Some(true) => {}
            None => known = None,
        }
    }
    known
}

fn judge_row(key: &Key, facts: &Facts) -> Option<bool> {
    let entry = facts.entry.as_ref()?;
    Some(match key {
        Key::System(flag) => entry.flags.system.contains(*flag),
        Key::Keyword(name) => entry
            .flags
            .keywords
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name)),
        Key::Received(from, to) => (*from..*to).contains(&entry.received),
        Key::Saved(from, to) => (*from..*to).contains(&entry.saved.unwrap_or(entry.received)),
        Key::Larger(octets) => entry.size > *octets,
        Key::Smaller(octets) => entry.size < *octets,
        Key::ModSeq(value) => entry.modseq >= *value,
        Key::EmailId(id) => email_id(entry) == *id,
        other => return judge_content(other, facts),
    })
}

fn judge_content(key: &Key, facts: &Facts) -> Option<bool> {
    match key {
        Key::Sent(from, to) => {
            let sent = facts.meta.as_ref()?.sent_date;
            Some(sent.is_some_and(|sent| (*from..*to).contains(&sent)))
        }
        Key::Envelope(field, needle) => Some(text::envelope_has(
            &facts.meta.as_ref()?.envelope,
            *field,
            needle,
        )),
        Key::Header(name, needle) => Some(text::header_has(facts.header.as_ref()?, name, needle)),
        Key::Body(needle) => Some(text::any_has(facts.body_text()?, needle)),
        Key::Text(needle) => match text::any_has(facts.header_text()?, needle) {
            true => Some(true),
            false => Some(text::any_has(facts.body_text()?, needle)),
        },
        _ => Some(false),
    }
}
