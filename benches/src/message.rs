//! Messages to send: text of words that differs from message to message and costs the generator little.

use crate::args::Body;

/// Octets of text that messages take their lines from.
const POOL: usize = 2 << 20;

/// Words that the text is made of.
const VOCABULARY: usize = 8_000;

/// One message in so many has [`NEEDLE`] in subject and text.
pub const NEEDLE_EVERY: usize = 100;

/// A word that no other text has.
pub const NEEDLE: &str = "xylographer";

/// Small and steady random numbers (splitmix64).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).unwrap_or_default()
    }
}

/// Makes messages.
pub struct Messages {
    body: Body,
    pool: String,
    lines: Vec<usize>,
    frequent: String,
}

impl Messages {
    /// Makes the text.
    pub fn new(body: Body) -> Self {
        let vocabulary = vocabulary();
        let pool = match body {
            Body::Words => words(&vocabulary),
            Body::Letter => format!("{}\r\n", "X".repeat(78)).repeat(POOL / 80),
        };
        let starts = pool.match_indices("\r\n").map(|(end, _)| end + 2);
        let lines = std::iter::once(0)
            .chain(starts)
            .filter(|start| start + 200_000 < pool.len())
            .collect();
        let frequent = vocabulary.iter().find(|word| word.len() > 4);
        Self {
            body,
            pool,
            lines,
            frequent: frequent.cloned().unwrap_or_default(),
        }
    }

    /// A word that many texts of words have.
    pub fn frequent(&self) -> &str {
        &self.frequent
    }

    /// Message number `index`, about `size` octets, CRLF at each line's end and no line that starts with a dot.
    pub fn make(&self, index: usize, to: &str, size: usize) -> String {
        let mut random = Random(index as u64 ^ 0x6d61_696c);
        let sender = index % 50;
        let subject = match self.body {
            Body::Words => self.take(&mut random, 40).replace("\r\n", " "),
            Body::Letter => "from the generator".to_owned(),
        };
        let needle = if index.is_multiple_of(NEEDLE_EVERY) {
            NEEDLE
        } else {
            "plain"
        };
        let unique = random.next();
        let mut text = format!(
            "Received: from desk{sender}.example.net (desk{sender}.example.net [192.0.2.{sender}])\r\n\tby client.example.net with \
             ESMTPS id {unique:x}\r\n\tfor <{to}>; Mon, 23 Nov 2026 12:00:00 +0000\r\nFrom: Person {sender} \
             <person{sender}@example.net>\r\nTo: <{to}>\r\nSubject: {needle} {subject}\r\nDate: Mon, 23 Nov 2026 12:00:00 \
             +0000\r\nMessage-ID: <{unique:x}.{index}@example.net>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; \
             charset=utf-8\r\n\r\nThe word is {needle}.\r\n"
        );
        let rest = size.saturating_sub(text.len());
        text.push_str(self.take(&mut random, rest));
        if !text.ends_with("\r\n") {
            text.push_str("\r\n");
        }
        text
    }

    /// About `size` octets from the start of some line.
    fn take(&self, random: &mut Random, size: usize) -> &str {
        let start = self.lines.get(random.below(self.lines.len()));
        let start = start.copied().unwrap_or_default();
        let mut text = self.pool.get(start..start + size).unwrap_or_default();
        // Never half a CRLF.
        text = text.strip_suffix('\r').unwrap_or(text);
        text
    }
}

/// Words, the more frequent ones first.
fn vocabulary() -> Vec<String> {
    const SYLLABLES: [&str; 24] = [
        "ba", "co", "de", "fin", "gar", "ho", "in", "ju", "kel", "lo", "man", "ner", "o", "per",
        "qua", "ris", "ste", "tion", "u", "ver", "wa", "xi", "yes", "zen",
    ];
    let mut random = Random(1);
    let mut word = || -> String {
        let count = 1 + random.below(4);
        (0..count)
            .filter_map(|_| SYLLABLES.get(random.below(SYLLABLES.len())).copied())
            .collect()
    };
    (0..VOCABULARY).map(|_| word()).collect()
}

/// Lines of words, frequent ones more often, as in a language.
fn words(vocabulary: &[String]) -> String {
    let mut random = Random(2);
    let mut text = String::with_capacity(POOL + 100);
    let mut column = 0;
    while text.len() < POOL {
        // The product of two even numbers leans to the small ones.
        let index = random.below(VOCABULARY) * random.below(VOCABULARY) / VOCABULARY;
        let word = vocabulary.get(index).map_or("", String::as_str);
        text.push_str(word);
        column += word.len() + 1;
        if column > 70 {
            text.push_str("\r\n");
            column = 0;
        } else {
            text.push(' ');
        }
    }
    text.push_str("\r\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_as_big_as_asked_and_of_proper_lines() {
        for body in [Body::Words, Body::Letter] {
            let messages = Messages::new(body);
            for index in 0..200 {
                let text = messages.make(index, "user1@example.test", 10 * 1024);
                assert!(text.len().abs_diff(10 * 1024) < 16, "{}", text.len());
                assert!(text.ends_with("\r\n") && !text.contains("\n."));
                assert!(text.split("\r\n").all(|line| line.len() < 998));
                assert_eq!(text.matches('\r').count(), text.matches("\r\n").count());
                assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
            }
        }
    }

    #[test]
    fn texts_differ_and_some_have_the_needle() {
        let messages = Messages::new(Body::Words);
        let texts: std::collections::HashSet<String> = (0..500)
            .map(|index| {
                let text = messages.make(index, "a@example.test", 4096);
                text.rsplit_once("\r\n\r\n").unwrap().1.to_owned()
            })
            .collect();
        assert!(texts.len() > 490);
        assert!(messages.make(0, "a@example.test", 4096).contains(NEEDLE));
        assert!(!messages.make(1, "a@example.test", 4096).contains(NEEDLE));
    }
}
