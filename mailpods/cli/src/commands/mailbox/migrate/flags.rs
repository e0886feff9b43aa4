//! Flags of a source.
use std::collections::BTreeSet;

use mailpods_imap_proto::Flag;
use mailpods_store::mail::{Flags, MAX_KNOWN_KEYWORDS, SystemFlags};

/// Keywords of a message, and octets of one, that the store takes.
const MAX_KEYWORDS: usize = 100;
const MAX_KEYWORD: usize = 100;

/// The keywords of a mailbox, of which there is a most.
#[derive(Debug, Default)]
pub struct Keywords {
    known: BTreeSet<String>,
    left_out: BTreeSet<String>,
}

impl Keywords {
    /// Those that the mailbox has.
    pub fn new(known: &[String]) -> Self {
        Self {
            known: known.iter().map(|word| word.to_ascii_lowercase()).collect(),
            left_out: BTreeSet::new(),
        }
    }

    /// Keywords that have no room.
    pub fn left_out(&self) -> usize {
        self.left_out.len()
    }

    /// The flags that a message gets.
    pub fn flags(&mut self, told: &[String]) -> Flags {
        let mut flags = Flags::default();
        for text in told {
            match Flag::parse(text) {
                Some(Flag::Keyword(word)) => self.add(&mut flags, &word),
                Some(system) => flags.system = flags.system.union(bit(&system)),
                // RFC 9051 §2.3.2: \Recent is the session's, not the message's.
                None if text.starts_with('\\') => {}
                None => self.leave_out(text),
            }
        }
        flags
    }

    fn add(&mut self, flags: &mut Flags, word: &str) {
        let folded = word.to_ascii_lowercase();
        let has_room = self.known.contains(&folded) || self.known.len() < MAX_KNOWN_KEYWORDS;
        if word.len() > MAX_KEYWORD || flags.keywords.len() >= MAX_KEYWORDS || !has_room {
            return self.leave_out(word);
        }
        self.known.insert(folded);
        if !flags
            .keywords
            .iter()
            .any(|other| other.eq_ignore_ascii_case(word))
        {
            flags.keywords.push(word.to_owned());
        }
    }

    fn leave_out(&mut self, word: &str) {
        if self.left_out.len() < MAX_KNOWN_KEYWORDS {
            self.left_out
                .insert(word.chars().take(MAX_KEYWORD).collect());
        }
    }
}

fn bit(flag: &Flag) -> SystemFlags {
    match flag {
        Flag::Answered => SystemFlags::ANSWERED,
        Flag::Flagged => SystemFlags::FLAGGED,
        Flag::Deleted => SystemFlags::DELETED,
        Flag::Seen => SystemFlags::SEEN,
        Flag::Draft => SystemFlags::DRAFT,
        Flag::Keyword(_) => SystemFlags::default(),
    }
}

/// Tells flags from others (FNV-1a over the sorted keywords). It is stored: it never changes.
pub fn fingerprint(flags: &Flags) -> u32 {
    let mut words: Vec<String> = flags
        .keywords
        .iter()
        .map(|word| word.to_ascii_lowercase())
        .collect();
    words.sort_unstable();
    let text = words.join(" ");
    std::iter::once(flags.system.0)
        .chain(text.bytes())
        .fold(0x811c_9dc5, |hash, octet| {
            (hash ^ u32::from(octet)).wrapping_mul(0x0100_0193)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn flags_are_told_apart_whatever_their_order() {
        let mut keywords = Keywords::default();
        let one = keywords.flags(&words(&["\\Seen", "Work", "$Junk", "\\Recent"]));
        let other = keywords.flags(&words(&["$junk", "work", "\\seen"]));
        assert_eq!(one.system, SystemFlags::SEEN);
        assert_eq!(one.keywords, ["Work", "$Junk"]);
        assert_eq!(fingerprint(&one), fingerprint(&other));
        assert_ne!(fingerprint(&one), fingerprint(&Flags::default()));
        assert_eq!(fingerprint(&Flags::default()), 84_696_351);
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let known: Vec<String> = (0..MAX_KNOWN_KEYWORDS).map(|n| format!("k{n}")).collect();
        let mut keywords = Keywords::new(&known);
        let flags = keywords.flags(&words(&["k1", "new", "a(b", &"x".repeat(101)]));
        assert_eq!(flags.keywords, ["k1"]);
        assert_eq!(keywords.left_out(), 3);
    }
}
