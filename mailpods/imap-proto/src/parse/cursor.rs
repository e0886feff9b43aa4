//! The words of the grammar: atoms, strings, numbers, sets.

use std::num::NonZeroU32;

use unicode_normalization::UnicodeNormalization as _;

use super::{Dialect, Literal, ParseError, Part};
use crate::command::{MailboxName, Tag, Window};
use crate::date::{Date, DateTime};
use crate::flag::Flag;
use crate::pattern::{MAX_NAME, canonical_name};
use crate::sequence::{SeqNumber, SeqRange, SequenceSet};
use crate::utf7;

type Parsed<T> = Result<T, ParseError>;

const MAX_TAG: usize = 64;
const MAX_FLAGS: usize = 128;
/// RFC 8474 §7
const MAX_OBJECT_ID: usize = 255;

/// RFC 9051 §9, `ATOM-CHAR`: no control characters, nothing special.
pub(crate) fn is_atom_char(octet: u8) -> bool {
    matches!(octet, 0x21..=0x7e)
        && !matches!(
            octet,
            b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']'
        )
}

fn is_astring_char(octet: u8) -> bool {
    is_atom_char(octet) || octet == b']'
}

fn is_list_char(octet: u8) -> bool {
    is_astring_char(octet) || matches!(octet, b'%' | b'*')
}

fn is_name_char(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-')
}

fn nfc(text: &str) -> String {
    match text.is_ascii() {
        true => text.to_owned(),
        false => text.nfc().collect(),
    }
}

/// RFC 9051 §5.1: names are Net-Unicode (RFC 5198 §2), so in NFC.
fn mailbox_name(written: String) -> Parsed<MailboxName> {
    let normal = nfc(&written);
    let name = canonical_name(&normal);
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(ParseError::MailboxName);
    }
    Ok(MailboxName {
        name,
        written: (normal != written).then_some(written),
    })
}

/// The tag with which a line starts, if it is one.
pub(crate) fn tag_of(line: &[u8]) -> Option<Tag> {
    let word = line.split(|octet| *octet == b' ').next()?;
    // RFC 9051 §9, `tag`: ASTRING-CHAR except "+"
    let valid = !word.is_empty()
        && word.len() <= MAX_TAG
        && word.iter().all(|o| is_astring_char(*o) && *o != b'+');
    let text = std::str::from_utf8(word).ok().filter(|_| valid)?;
    Some(Tag(text.into()))
}

/// Walks through the parts of a command.
pub(crate) struct Cursor<'a> {
    parts: &'a [Part],
    part: usize,
    position: usize,
    pub(crate) dialect: Dialect,
    depth: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(parts: &'a [Part], dialect: Dialect) -> Self {
        Self {
            parts,
            part: 0,
            position: 0,
            dialect,
            depth: 0,
        }
    }

    /// What is left of the line.
    fn rest(&self) -> &'a [u8] {
        self.parts
            .get(self.part)
            .and_then(|part| part.line.get(self.position..))
            .unwrap_or_default()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    pub(crate) fn eat(&mut self, octet: u8) -> bool {
        let found = self.peek() == Some(octet);
        self.position += usize::from(found);
        found
    }

    /// Takes the text, in any case, if it follows.
    pub(crate) fn eat_text(&mut self, text: &[u8]) -> bool {
        let start = self.rest().get(..text.len());
        let found = start.is_some_and(|start| start.eq_ignore_ascii_case(text));
        self.position += if found { text.len() } else { 0 };
        found
    }

    pub(crate) fn expect(&mut self, octet: u8, name: &'static str) -> Parsed<()> {
        self.eat(octet)
            .then_some(())
            .ok_or(ParseError::Expected(name))
    }

    pub(crate) fn space(&mut self) -> Parsed<()> {
        self.expect(b' ', "a space")
    }

    /// The end of the command; spaces before it are forgiven.
    pub(crate) fn end(&mut self) -> Parsed<()> {
        while self.eat(b' ') {}
        let last = self.part + 1 == self.parts.len();
        (last && self.rest().is_empty())
            .then_some(())
            .ok_or(ParseError::Expected("the end of the command"))
    }

    pub(crate) fn at_end(&self) -> bool {
        self.part + 1 == self.parts.len() && self.rest().iter().all(|octet| *octet == b' ')
    }

    /// The octets up to the first that `belongs` refuses.
    pub(crate) fn take_while(&mut self, belongs: impl Fn(u8) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest
            .iter()
            .position(|octet| !belongs(*octet) || !octet.is_ascii())
            .unwrap_or(rest.len());
        self.position += length;
        rest.get(..length)
            .and_then(|octets| std::str::from_utf8(octets).ok())
            .unwrap_or_default()
    }

    fn word(&mut self, belongs: impl Fn(u8) -> bool, name: &'static str) -> Parsed<&'a str> {
        let word = self.take_while(belongs);
        if word.is_empty() {
            Err(ParseError::Expected(name))
        } else {
            Ok(word)
        }
    }

    pub(crate) fn atom(&mut self, name: &'static str) -> Parsed<&'a str> {
        self.word(is_atom_char, name)
    }

    /// The name of a command, an item or an option, in capitals.
    pub(crate) fn name(&mut self, name: &'static str) -> Parsed<String> {
        Ok(self.word(is_name_char, name)?.to_ascii_uppercase())
    }

    /// Whether the given name follows as a whole word; it is taken when it does.
    pub(crate) fn eat_name(&mut self, name: &str) -> bool {
        let before = self.position;
        let found = self.take_while(is_name_char).eq_ignore_ascii_case(name);
        if !found {
            self.position = before;
        }
        found
    }

    pub(crate) fn number64(&mut self) -> Parsed<u64> {
        // RFC 9051 §9, `number64`: below 2^63
        let number = self.take_while(|octet| octet.is_ascii_digit()).parse().ok();
        number
            .filter(|number| *number < 1 << 63)
            .ok_or(ParseError::Expected("a number"))
    }

    pub(crate) fn number(&mut self) -> Parsed<u32> {
        self.number64()?
            .try_into()
            .map_err(|_| ParseError::Expected("a number below 2^32"))
    }

    pub(crate) fn nonzero(&mut self) -> Parsed<NonZeroU32> {
        NonZeroU32::new(self.number()?).ok_or(ParseError::Expected("a number above 0"))
    }

    /// The literal that starts here.
    pub(crate) fn literal(&mut self) -> Parsed<&'a Literal> {
        let part = self
            .parts
            .get(self.part)
            .ok_or(ParseError::Expected("a literal"))?;
        let literal = part
            .literal
            .as_ref()
            .filter(|_| self.rest().len() == part.marker);
        let literal = literal.ok_or(ParseError::Expected("a literal"))?;
        self.part += 1;
        self.position = 0;
        Ok(literal)
    }

    fn quoted(&mut self) -> Parsed<Vec<u8>> {
        self.expect(b'"', "a quoted string")?;
        let mut text = Vec::new();
        let mut octets = self.rest().iter().enumerate();
        while let Some((index, octet)) = octets.next() {
            match octet {
                b'"' => {
                    self.position += index + 1;
                    return Ok(text);
                }
                b'\\' => {
                    let escaped = octets.next().map(|(_, octet)| *octet);
                    // RFC 9051 §9, `quoted-specials`; other escapes are taken literally, as old clients mean them.
                    text.push(escaped.ok_or(ParseError::Expected("a closing quote"))?);
                }
                other => text.push(*other),
            }
        }
        Err(ParseError::Expected("a closing quote"))
    }

    /// `string`: quoted or literal.
    pub(crate) fn string(&mut self) -> Parsed<Vec<u8>> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{' | b'~') => Ok(self.literal()?.data.to_vec()),
            _ => Err(ParseError::Expected("a string")),
        }
    }

    /// `astring`: an atom or a string.
    pub(crate) fn astring(&mut self) -> Parsed<Vec<u8>> {
        self.atom_or_string(is_astring_char)
    }

    fn atom_or_string(&mut self, belongs: impl Fn(u8) -> bool) -> Parsed<Vec<u8>> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(),
            _ => Ok(self.word(belongs, "a string")?.as_bytes().to_vec()),
        }
    }

    pub(crate) fn astring_text(&mut self) -> Parsed<String> {
        String::from_utf8(self.astring()?).map_err(|_| ParseError::Utf8)
    }

    /// Text to search for; what is not UTF-8 becomes replacement characters, which match nothing.
    pub(crate) fn astring_lossy(&mut self) -> Parsed<String> {
        Ok(String::from_utf8_lossy(&self.astring()?).into_owned())
    }

    /// `nstring` as text.
    pub(crate) fn nstring_text(&mut self) -> Parsed<Option<String>> {
        if self.eat_name("NIL") {
            return Ok(None);
        }
        String::from_utf8(self.string()?)
            .map(Some)
            .map_err(|_| ParseError::Utf8)
    }

    /// `mailbox`
    pub(crate) fn mailbox(&mut self) -> Parsed<MailboxName> {
        let octets = self.astring()?;
        mailbox_name(self.decode_name(octets)?)
    }

    /// `mailbox`, or the empty name that stands for the server.
    pub(crate) fn mailbox_or_server(&mut self) -> Parsed<Option<MailboxName>> {
        match self.eat_text(b"\"\"") {
            true => Ok(None),
            false => self.mailbox().map(Some),
        }
    }

    /// `mailbox` that is to be made.
    pub(crate) fn new_mailbox(&mut self) -> Parsed<MailboxName> {
        let octets = self.astring()?;
        let written = self.decode_name(octets.clone())?;
        // RFC 9051 App. A.1: modified UTF-7 as there is but one for each name. What is no ASCII is plain UTF-8 of an old client.
        let checked = !self.dialect.utf8 && octets.is_ascii();
        if checked && utf7::encode(&written).as_bytes() != octets {
            return Err(ParseError::Utf7(utf7::Utf7Error));
        }
        mailbox_name(written)
    }

    /// `list-mailbox`; `None` for what no name can match.
    pub(crate) fn list_mailbox(&mut self) -> Parsed<Option<String>> {
        let octets = self.atom_or_string(is_list_char)?;
        Ok(self.decode_name(octets).ok().map(|name| nfc(&name)))
    }

    /// A name that may be empty: the reference of LIST; `None` for what stands before no name.
    pub(crate) fn reference(&mut self) -> Parsed<Option<String>> {
        let octets = self.astring()?;
        let name = self.decode_name(octets).ok();
        Ok(name.map(|name| canonical_name(&nfc(&name))))
    }

    fn decode_name(&self, octets: Vec<u8>) -> Parsed<String> {
        let text = String::from_utf8(octets).map_err(|_| ParseError::Utf8)?;
        let name = if self.dialect.utf8 {
            text
        } else {
            utf7::decode(&text)?
        };
        // RFC 9051 §5.1: no control characters, no line or paragraph separators
        let forbidden = |character: char| {
            character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
        };
        if name.len() > MAX_NAME || name.contains(forbidden) {
            Err(ParseError::MailboxName)
        } else {
            Ok(name)
        }
    }

    pub(crate) fn date(&mut self) -> Parsed<Date> {
        let quoted = self.eat(b'"');
        let text = self.take_while(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
        let date = Date::parse(text).ok_or(ParseError::Expected("a date such as 1-Feb-2026"))?;
        if quoted {
            self.expect(b'"', "a closing quote")?;
        }
        Ok(date)
    }

    pub(crate) fn date_time(&mut self) -> Parsed<DateTime> {
        let text = String::from_utf8(self.quoted()?).map_err(|_| ParseError::Utf8)?;
        DateTime::parse(&text).ok_or(ParseError::Expected("a date-time"))
    }

    fn flag(&mut self) -> Parsed<Flag> {
        let before = self.rest();
        let length = usize::from(self.eat(b'\\')) + self.take_while(is_atom_char).len();
        let text = before
            .get(..length)
            .and_then(|octets| std::str::from_utf8(octets).ok());
        text.and_then(Flag::parse).ok_or(ParseError::Flag)
    }

    fn push_flag(&mut self, flags: &mut Vec<Flag>) -> Parsed<()> {
        let flag = self.flag()?;
        if flags.len() >= MAX_FLAGS {
            return Err(ParseError::TooMany("flags"));
        }
        if !flags.iter().any(|known| known.same(&flag)) {
            flags.push(flag);
        }
        Ok(())
    }

    /// `flag-list`: in parentheses, maybe empty.
    pub(crate) fn flag_list(&mut self) -> Parsed<Vec<Flag>> {
        self.expect(b'(', "a list of flags")?;
        let mut flags = Vec::new();
        while !self.eat(b')') {
            if !flags.is_empty() {
                self.space()?;
            }
            self.push_flag(&mut flags)?;
        }
        Ok(flags)
    }

    /// Flags without parentheses, up to the end.
    pub(crate) fn bare_flags(&mut self) -> Parsed<Vec<Flag>> {
        let mut flags = Vec::new();
        self.push_flag(&mut flags)?;
        while !self.at_end() {
            self.space()?;
            self.push_flag(&mut flags)?;
        }
        Ok(flags)
    }

    pub(crate) fn sequence_set(&mut self) -> Parsed<SequenceSet> {
        if self.eat(b'$') {
            return Ok(SequenceSet::Saved);
        }
        let mut ranges = Vec::new();
        loop {
            if ranges.len() >= self.dialect.ranges {
                return Err(ParseError::TooMany("ranges in the set"));
            }
            let from = self.seq_number()?;
            let to = if self.eat(b':') {
                self.seq_number()?
            } else {
                from
            };
            ranges.push(SeqRange { from, to });
            if !self.eat(b',') {
                return Ok(SequenceSet::Ranges(ranges));
            }
        }
    }

    /// One message number or UID, or `*`.
    pub(crate) fn one_number(&mut self) -> Parsed<SequenceSet> {
        let number = self.seq_number()?;
        Ok(SequenceSet::Ranges(vec![SeqRange {
            from: number,
            to: number,
        }]))
    }

    /// RFC 7162 §7, `known-uids`: neither `*` nor `$`.
    pub(crate) fn known_set(&mut self) -> Parsed<SequenceSet> {
        let set = self.sequence_set()?;
        match &set {
            SequenceSet::Ranges(ranges) if !ranges.iter().any(SeqRange::has_last) => Ok(set),
            _ => Err(ParseError::Expected("a set of numbers")),
        }
    }

    /// RFC 9394 §4, `partial-range`: `1:10` or `-1:-10`, in either order.
    pub(crate) fn window(&mut self) -> Parsed<Window> {
        let from_end = self.eat(b'-');
        let one = self.nonzero()?;
        self.expect(b':', "a range such as 1:10")?;
        if self.eat(b'-') != from_end {
            return Err(ParseError::Expected("a range such as -1:-10"));
        }
        let other = self.nonzero()?;
        Ok(Window {
            from: one.min(other),
            to: one.max(other),
            from_end,
        })
    }

    /// RFC 8474 §7, `objectid`
    pub(crate) fn object_id(&mut self) -> Parsed<String> {
        let belongs = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
        let id = self.word(belongs, "an object id")?;
        let fits = id.len() <= MAX_OBJECT_ID;
        fits.then(|| id.to_owned())
            .ok_or(ParseError::Expected("an object id"))
    }

    /// RFC 7162 §7, `mod-sequence-value`: 1 at least.
    pub(crate) fn mod_seq(&mut self) -> Parsed<u64> {
        let value = self.number64()?;
        let above = (value > 0).then_some(value);
        above.ok_or(ParseError::Expected("a number above 0"))
    }

    fn seq_number(&mut self) -> Parsed<SeqNumber> {
        if self.eat(b'*') {
            return Ok(SeqNumber::Last);
        }
        self.nonzero()
            .map(SeqNumber::Value)
            .map_err(|_| ParseError::Expected("a message number or a set"))
    }

    /// Runs `inner` one level deeper.
    pub(crate) fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= self.dialect.nesting {
            return Err(ParseError::Nesting);
        }
        self.depth += 1;
        let parsed = inner(self);
        self.depth -= 1;
        parsed
    }

    /// `(item item ...)` with at most `most` items, maybe none.
    pub(crate) fn list<T>(
        &mut self,
        most: usize,
        mut item: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        self.expect(b'(', "a list in parentheses")?;
        let mut items = Vec::new();
        while !self.eat(b')') {
            if !items.is_empty() {
                self.space()?;
            }
            if items.len() >= most {
                return Err(ParseError::TooMany("list items"));
            }
            items.push(item(self)?);
        }
        Ok(items)
    }
}
