//! Address lists (RFC 5322 §3.4 and the obsolete forms of §4.4), read leniently.

use crate::Address;

/// Most entries that are read from one list.
pub const MAX_ADDRESSES: usize = 10_000;

/// A parsed list, and whether all of it was well-formed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressList {
    /// The entries; see [`Address`] for how groups are marked.
    pub entries: Vec<Address>,
    /// Whether something had to be skipped or guessed.
    pub malformed: bool,
}

impl AddressList {
    /// The entries that are addresses, not marks of a group.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.entries.iter().filter(|entry| entry.host.is_some())
    }
}

/// Reads a folded address-list value.
#[must_use]
pub fn parse(value: &[u8]) -> AddressList {
    let mut list = AddressList::default();
    list.malformed = parse_into(value, &mut list.entries);
    list
}

/// Appends the entries of `value` to `out`; says whether something was malformed.
pub(crate) fn parse_into(value: &[u8], out: &mut Vec<Address>) -> bool {
    let mut parser = Parser {
        value,
        at: 0,
        out,
        in_group: false,
        malformed: false,
        comment: None,
    };
    parser.list();
    parser.malformed
}

/// The words before a delimiter, kept in the two ways they may turn out to be meant.
#[derive(Default)]
struct Words {
    /// With single spaces where white space stood: a display name.
    phrase: Vec<u8>,
    /// Without white space: a local part.
    joined: Vec<u8>,
    any: bool,
}

impl Words {
    fn push(&mut self, word: &[u8], spaced: bool) {
        if spaced && self.any {
            self.phrase.push(b' ');
        }
        self.phrase.extend_from_slice(word);
        self.joined.extend_from_slice(word);
        self.any = true;
    }
}

struct Parser<'a, 'o> {
    value: &'a [u8],
    at: usize,
    out: &'o mut Vec<Address>,
    in_group: bool,
    malformed: bool,
    /// The last comment, which stands for a missing display name (RFC 822 habit).
    comment: Option<Vec<u8>>,
}

fn is_atom(byte: u8) -> bool {
    !matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'\0')
        && !matches!(
            byte,
            b'(' | b')' | b'<' | b'>' | b'[' | b']' | b':' | b';' | b'@' | b'\\' | b',' | b'"'
        )
}

impl Parser<'_, '_> {
    fn peek(&self) -> Option<u8> {
        self.value.get(self.at).copied()
    }

    fn list(&mut self) {
        while self.skip_cfws().1.is_some() {
            if self.out.len() >= MAX_ADDRESSES {
                self.malformed = true;
                return;
            }
            self.element();
        }
        if self.in_group {
            self.malformed = true;
            self.out.push(Address::default());
        }
    }

    /// One mailbox, the start or end of a group, or an empty list element (obsolete, RFC 5322 §4.4).
    fn element(&mut self) {
        self.comment = None;
        let words = self.words();
        match self.peek() {
            Some(b'<') => self.angle(words),
            Some(b'@') => self.bare(words),
            Some(b':') if !self.in_group => self.group(words),
            Some(b';') if self.in_group => self.end_group(words),
            Some(b',') | None => {
                self.at += 1;
                self.without_domain(words);
            }
            Some(_) => {
                self.malformed = true;
                self.at += 1;
                self.without_domain(words);
            }
        }
    }

    fn group(&mut self, words: Words) {
        self.at += 1;
        self.in_group = true;
        self.malformed |= !words.any;
        self.out.push(Address {
            mailbox: Some(words.phrase),
            ..Address::default()
        });
    }

    fn end_group(&mut self, words: Words) {
        self.without_domain(words);
        self.at += 1;
        self.in_group = false;
        self.out.push(Address::default());
        if self.skip_cfws().1 == Some(b',') {
            self.at += 1;
        }
    }

    /// Words that no `@` or `<` followed: kept as a mailbox with an empty host, so that it is not taken for a group.
    fn without_domain(&mut self, words: Words) {
        if words.any {
            self.malformed = true;
            self.out.push(Address {
                mailbox: Some(words.phrase),
                host: Some(Vec::new()),
                ..Address::default()
            });
        }
    }

    fn bare(&mut self, words: Words) {
        self.at += 1;
        let host = self.domain();
        self.malformed |= !words.any || host.is_empty();
        self.skip_cfws();
        let name = self.comment.take();
        self.out.push(Address {
            name,
            route: None,
            mailbox: Some(words.joined),
            host: Some(host),
        });
        self.finish_element();
    }

    fn angle(&mut self, words: Words) {
        self.at += 1;
        let route = self.route();
        let local = self.words();
        let host = if self.peek() == Some(b'@') {
            self.at += 1;
            self.domain()
        } else {
            Vec::new()
        };
        self.malformed |= !local.any || host.is_empty();
        self.close_angle();
        self.skip_cfws();
        let name = if words.any {
            Some(words.phrase)
        } else {
            self.comment.take()
        };
        self.out.push(Address {
            name,
            route,
            mailbox: Some(local.joined),
            host: Some(host),
        });
        self.finish_element();
    }

    /// Obsolete route: `@a,@b:` (RFC 5322 §4.4).
    fn route(&mut self) -> Option<Vec<u8>> {
        let mut route = Vec::new();
        while let (_, Some(byte @ (b'@' | b','))) = self.skip_cfws() {
            self.at += 1;
            route.push(byte);
            if byte == b'@' {
                route.extend(self.domain());
            }
        }
        if route.is_empty() {
            return None;
        }
        if self.skip_cfws().1 == Some(b':') {
            self.at += 1;
        } else {
            self.malformed = true;
        }
        Some(route)
    }

    /// Moves past `>`, over whatever stands before it up to the next element.
    fn close_angle(&mut self) {
        loop {
            match self.skip_cfws().1 {
                Some(b'>') => {
                    self.at += 1;
                    return;
                }
                None | Some(b',' | b';') => {
                    self.malformed = true;
                    return;
                }
                Some(_) => {
                    self.malformed = true;
                    self.skip_one();
                }
            }
        }
    }

    /// Moves past the comma after an address; the end of a group stays for [`Self::element`].
    fn finish_element(&mut self) {
        loop {
            match self.skip_cfws().1 {
                Some(b',') => {
                    self.at += 1;
                    return;
                }
                Some(b';') if self.in_group => return,
                None => return,
                Some(_) => {
                    self.malformed = true;
                    self.skip_one();
                }
            }
        }
    }

    /// Moves over one word or one special, whatever it is.
    fn skip_one(&mut self) {
        let before = self.at;
        self.words();
        if self.at == before {
            self.at += 1;
        }
    }

    /// Atoms (dots among them) and quoted strings up to the next special.
    fn words(&mut self) -> Words {
        let mut words = Words::default();
        loop {
            let (spaced, next) = self.skip_cfws();
            match next {
                Some(b'"') => {
                    let text = self.quoted();
                    words.push(&text, spaced);
                }
                Some(byte) if is_atom(byte) => {
                    let (from, to) = self.atom();
                    words.push(self.value.get(from..to).unwrap_or_default(), spaced);
                }
                _ => return words,
            }
        }
    }

    fn atom(&mut self) -> (usize, usize) {
        let from = self.at;
        while self.peek().is_some_and(is_atom) {
            self.at += 1;
        }
        (from, self.at)
    }

    /// The inside of a quoted string without its quoting; line breaks are folding.
    fn quoted(&mut self) -> Vec<u8> {
        self.at += 1;
        let mut text = Vec::new();
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'"' => return text,
                b'\\' => {
                    text.extend(self.peek());
                    self.at += 1;
                }
                b'\r' | b'\n' => {}
                _ => text.push(byte),
            }
        }
        self.malformed = true;
        text
    }

    /// A domain: atoms without white space, or a literal with its brackets.
    fn domain(&mut self) -> Vec<u8> {
        let mut host = Vec::new();
        loop {
            match self.skip_cfws() {
                (_, Some(b'[')) if host.is_empty() => self.literal(&mut host),
                (spaced, Some(byte)) if is_atom(byte) => {
                    // "a@b c" is not one domain; "a . b" is (obsolete, RFC 5322 §4.4).
                    if spaced && !host.is_empty() && byte != b'.' && host.last() != Some(&b'.') {
                        return host;
                    }
                    let (from, to) = self.atom();
                    host.extend_from_slice(self.value.get(from..to).unwrap_or_default());
                }
                _ => return host,
            }
        }
    }

    fn literal(&mut self, host: &mut Vec<u8>) {
        while let Some(byte) = self.peek() {
            self.at += 1;
            if !byte.is_ascii_whitespace() {
                host.push(byte);
            }
            if byte == b']' {
                return;
            }
        }
        self.malformed = true;
    }

    /// Skips white space and comments; says whether there were any, and the next octet.
    fn skip_cfws(&mut self) -> (bool, Option<u8>) {
        let mut spaced = false;
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b'\0' => self.at += 1,
                b'(' => self.skip_comment(),
                _ => return (spaced, Some(byte)),
            }
            spaced = true;
        }
        (spaced, None)
    }

    /// Comments nest; only their depth is kept, so nesting costs nothing.
    fn skip_comment(&mut self) {
        let (mut depth, mut text) = (0usize, Vec::new());
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'(' if depth == 0 => depth = 1,
                b')' if depth <= 1 => {
                    self.comment = Some(text);
                    return;
                }
                b'(' => depth += 1,
                b')' => depth -= 1,
                b'\\' => {
                    text.extend(self.peek());
                    self.at += 1;
                    continue;
                }
                b'\r' | b'\n' => continue,
                _ => {}
            }
            if !(depth == 1 && byte == b'(' && text.is_empty()) {
                text.push(byte);
            }
        }
        self.malformed = true;
    }
}
