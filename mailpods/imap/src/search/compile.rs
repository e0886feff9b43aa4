//! Keys as they were sent to keys that can be judged: sets resolved, dates as days, text in lower case.

use mailpods_imap_proto::date::DAY;
use mailpods_imap_proto::{Flag, Positions, SearchKey};
use mailpods_message::signature::Probes;
use mailpods_message::text::fold;
use mailpods_store::mail::{SoughtText, SystemFlags};

use super::evaluate::Cost;
use crate::failure::Failure;
use crate::flags::system_bit;
use crate::view::{View, intersect};

/// A key that can be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    All,
    Nothing,
    And(Vec<Key>),
    Or(Box<Key>, Box<Key>),
    Not(Box<Key>),
    Positions(Positions),
    System(SystemFlags),
    Keyword(String),
    /// Internal date in seconds: at least, and below.
    Received(i64, i64),
    /// Save date in seconds, or internal date where it is not known: at least, and below.
    Saved(i64, i64),
    /// Date field in seconds: at least, and below.
    Sent(i64, i64),
    Larger(u64),
    Smaller(u64),
    ModSeq(u64),
    /// One of the fields that stored facts hold; the needle in lower case.
    Envelope(EnvelopeField, String),
    /// Any other field.
    Header(String, String),
    /// The id of an email (RFC 8474).
    EmailId(String),
    Body(String),
    Text(String),
}

/// Header fields that need not be read from the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EnvelopeField {
    From,
    To,
    Cc,
    Bcc,
    Subject,
    MessageId,
    InReplyTo,
}

impl EnvelopeField {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "from" => Self::From,
            "to" => Self::To,
            "cc" => Self::Cc,
            "bcc" => Self::Bcc,
            "subject" => Self::Subject,
            "message-id" => Self::MessageId,
            "in-reply-to" => Self::InReplyTo,
            _ => return None,
        })
    }
}

/// Compiles a key for a view; `now` is in seconds. Only what is BAD fails.
pub(super) fn compile(key: &SearchKey, view: &View, now: i64) -> Result<Key, Failure> {
    let inner = |key: &SearchKey| compile(key, view, now);
    let day = |date: &mailpods_imap_proto::Date| date.days() * DAY;
    Ok(match key {
        SearchKey::All => Key::All,
        SearchKey::And(keys) => Key::And(keys.iter().map(inner).collect::<Result<_, _>>()?),
        SearchKey::Or(left, right) => Key::Or(Box::new(inner(left)?), Box::new(inner(right)?)),
        SearchKey::Not(key) => Key::Not(Box::new(inner(key)?)),
        SearchKey::Flag(flag) => flag_key(flag),
        // Nothing is recent here.
        SearchKey::Recent => Key::Nothing,
        SearchKey::Before(date) => Key::Received(i64::MIN, day(date)),
        SearchKey::On(date) => Key::Received(day(date), day(date) + DAY),
        SearchKey::Since(date) => Key::Received(day(date), i64::MAX),
        SearchKey::SavedBefore(date) => Key::Saved(i64::MIN, day(date)),
        SearchKey::SavedOn(date) => Key::Saved(day(date), day(date) + DAY),
        SearchKey::SavedSince(date) => Key::Saved(day(date), i64::MAX),
        SearchKey::SentBefore(date) => Key::Sent(i64::MIN, day(date)),
        SearchKey::SentOn(date) => Key::Sent(day(date), day(date) + DAY),
        SearchKey::SentSince(date) => Key::Sent(day(date), i64::MAX),
        SearchKey::Larger(octets) => Key::Larger(*octets),
        SearchKey::Smaller(octets) => Key::Smaller(*octets),
        SearchKey::ModSeq(value) => Key::ModSeq(*value),
        // RFC 5032 §2
        SearchKey::Older(seconds) => Key::Received(
            i64::MIN,
            now.saturating_sub(i64::from(*seconds)).saturating_add(1),
        ),
        SearchKey::Younger(seconds) => {
            Key::Received(now.saturating_sub(i64::from(*seconds)), i64::MAX)
        }
        SearchKey::Header { name, value } => header_key(name, value),
        SearchKey::EmailId(id) => Key::EmailId(id.clone()),
        // RFC 8474 §5.2: no message has one here
        SearchKey::ThreadId(_) => Key::Nothing,
        SearchKey::Body(text) => Key::Body(fold(text)),
        SearchKey::Text(text) => Key::Text(fold(text)),
        SearchKey::Sequence(set) => Key::Positions(view.positions(set, false)?),
        SearchKey::Uid(set) => Key::Positions(view.positions(set, true)?),
    })
}

fn flag_key(flag: &Flag) -> Key {
    system_bit(flag).map_or_else(|| Key::Keyword(flag.as_str().to_owned()), Key::System)
}

fn header_key(name: &str, value: &str) -> Key {
    let needle = fold(value);
    match EnvelopeField::named(name) {
        Some(field) => Key::Envelope(field, needle),
        None => Key::Header(name.to_owned(), needle),
    }
}

impl Key {
    /// The most that it can take to judge this key.
    pub(super) fn cost(&self) -> Cost {
        match self {
            Self::All | Self::Nothing | Self::Positions(_) => Cost::Position,
            Self::And(keys) => keys.iter().map(Self::cost).max().unwrap_or(Cost::Position),
            Self::Or(left, right) => left.cost().max(right.cost()),
            Self::Not(key) => key.cost(),
            Self::System(_)
            | Self::Keyword(_)
            | Self::Received(..)
            | Self::Saved(..)
            | Self::Larger(_)
            | Self::Smaller(_)
            | Self::ModSeq(_) => Cost::Row,
            Self::Sent(..) | Self::Envelope(..) => Cost::Meta,
            // Known from the row, if the prefix is read with it, as it is for headers.
            Self::EmailId(_) | Self::Header(..) => Cost::Header,
            Self::Body(_) | Self::Text(_) => Cost::Body,
        }
    }

    /// How many keys have to be looked for in what costs `cost`.
    pub(super) fn count(&self, cost: Cost) -> usize {
        match self {
            Self::And(keys) => keys.iter().map(|key| key.count(cost)).sum(),
            Self::Or(left, right) => left.count(cost) + right.count(cost),
            Self::Not(key) => key.count(cost),
            key => usize::from(key.cost() == cost),
        }
    }

    pub(super) fn uses_mod_seq(&self) -> bool {
        match self {
            Self::ModSeq(_) => true,
            Self::And(keys) => keys.iter().any(Self::uses_mod_seq),
            Self::Or(left, right) => left.uses_mod_seq() || right.uses_mod_seq(),
            Self::Not(key) => key.uses_mod_seq(),
            _ => false,
        }
    }

    /// Positions outside of which nothing can match.
    pub(super) fn candidates(&self, count: u32) -> Positions {
        let all = || Positions::from_iter((count > 0).then_some(0..count));
        self.bound().unwrap_or_else(all)
    }

    /// The same; `None` where that would be all.
    fn bound(&self) -> Option<Positions> {
        match self {
            Self::Positions(positions) => Some(positions.clone()),
            Self::Nothing => Some(Positions::new()),
            Self::And(keys) => keys
                .iter()
                .filter_map(Self::bound)
                .reduce(|a, b| intersect(&a, &b)),
            _ => None,
        }
    }

    /// The text that must be somewhere in a message that the key is true for, and whether a copy's own prefix counts.
    fn sought(&self) -> Option<(&str, bool)> {
        match self {
            Self::Body(text) | Self::Envelope(EnvelopeField::Subject, text) => Some((text, false)),
            Self::Text(text) | Self::Header(_, text) => Some((text, true)),
            _ => None,
        }
    }

    /// What to ask signatures for before the key is judged; `None` where they tell nothing.
    pub(super) fn ask(&self) -> Option<SoughtText> {
        let (text, in_prefix) = self.sought()?;
        Some(SoughtText {
            probes: Probes::of(text)?,
            in_prefix: in_prefix.then(|| text.to_owned()),
        })
    }

    /// All keys in this one that are no others put together.
    pub(super) fn leaves(&mut self) -> Vec<&mut Self> {
        match self {
            Self::And(keys) => keys.iter_mut().flat_map(Self::leaves).collect(),
            Self::Or(left, right) => {
                let mut leaves = left.leaves();
                leaves.extend(right.leaves());
                leaves
            }
            Self::Not(key) => key.leaves(),
            leaf => vec![leaf],
        }
    }
}
