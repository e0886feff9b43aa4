//! Judging one message by what is known of it.

use std::sync::OnceLock;

use bytes::Bytes;
use mailpods_message::text::{body_texts, header_texts};
use mailpods_message::{Meta, Structure};
use mailpods_store::mail::Entry;
use mailpods_store::{BodyId, MailStore, ModSeq};

use super::compile::Key;
use super::text;
use crate::failure::Failure;
use crate::fetch::{Octets, Source, damaged, email_id};

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
    /// The stored facts, encoded.
    pub(super) stored: Option<Bytes>,
    /// Of them dates and envelope, where the key asks for these.
    pub(super) fields: Option<Meta>,
    /// Of them the parts.
    pub(super) structure: Option<Structure>,
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

    /// Octets of the message.
    pub(super) fn size(&self) -> u64 {
        self.entry.as_ref().map_or(0, |entry| entry.size)
    }

    pub(super) fn mod_seq(&self) -> ModSeq {
        self.entry.as_ref().map_or(0, |entry| entry.modseq)
    }

    fn header_text(&self) -> Option<&[String]> {
        let header = self.header.as_ref()?;
        Some(
            self.header_text
                .get_or_init(|| header_texts(header).collect()),
        )
    }

    fn body_text(&self) -> Option<&[String]> {
        let (entry, message, structure) = (
            self.entry.as_ref()?,
            self.message.as_ref()?,
            self.structure.as_ref()?,
        );
        let texts = || body_texts(message, structure, entry.prefix_len).collect();
        Some(self.body_text.get_or_init(texts))
    }

    /// Where in the message the header lies.
    fn header_range(&mut self) -> Result<Octets, Failure> {
        let structure = match &mut self.structure {
            Some(structure) => structure,
            slot => {
                let stored = self.stored.as_deref().unwrap_or_default();
                slot.insert(Meta::decode_structure(stored).map_err(damaged)?)
            }
        };
        let (prefix, size) = self
            .entry
            .as_ref()
            .map_or((0, 0), |entry| (entry.prefix_len, entry.size));
        let root = structure.root().map(|root| root.header.end);
        Ok(0..root.map_or(size, |end| u64::from(end) + u64::from(prefix)))
    }

    /// The range of the body that must be read for the header, or for all of the message.
    pub(super) fn wanted(&mut self, whole: bool) -> Result<Option<(BodyId, Octets)>, Failure> {
        let header = self.header_range()?;
        let Some(entry) = &self.entry else {
            return Ok(None);
        };
        let extent = if whole { 0..entry.size } else { header };
        Ok(Source::range(entry, &extent).map(|range| (entry.body, range)))
    }

    /// Takes what was [wanted](Self::wanted).
    pub(super) fn put(&mut self, octets: Bytes, whole: bool) -> Result<(), Failure> {
        let header = self.header_range()?;
        let Some(entry) = &self.entry else {
            return Ok(());
        };
        let extent = if whole { 0..entry.size } else { header.clone() };
        let message = Source::new(entry, &extent, octets).joined(&extent);
        let end = usize::try_from(header.end).unwrap_or(usize::MAX);
        self.header = Some(message.slice(..end.min(message.len())));
        self.message = whole.then_some(message);
        Ok(())
    }
}

/// Reads what `cost` names.
pub(super) async fn learn(
    store: &dyn MailStore,
    cost: Cost,
    key: &Key,
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
            if key.count(Cost::Meta) > 0 {
                // Most searches end here, without the structure.
                facts.fields = Some(Meta::decode_fields(&stored).map_err(damaged)?);
            }
            facts.stored = Some(stored);
        }
        Cost::Header | Cost::Body => {
            let whole = cost == Cost::Body;
            let octets = match facts.wanted(whole)? {
                Some((body, range)) => store.body_range(body, range).await?,
                None => Bytes::new(),
            };
            facts.put(octets, whole)?;
        }
    }
    Ok(())
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
            let sent = facts.fields.as_ref()?.sent_date;
            Some(sent.is_some_and(|sent| (*from..*to).contains(&sent)))
        }
        Key::Envelope(field, needle) => Some(text::envelope_has(
            &facts.fields.as_ref()?.envelope,
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
