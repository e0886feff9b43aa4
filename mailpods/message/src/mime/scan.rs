//! One pass over a message that finds its parts: a stack of open multiparts, and each line that may be a boundary is compared
//! with all of them. Time is linear in the message, whatever it contains.

use memchr::{memchr_iter, memmem};

use super::content::{first_token, languages, parse_content_type, parse_disposition};
use super::{MAX_NESTING, MAX_PARTS, Param, Part, PartKind, Structure};
use crate::header::{Fields, next_line, unfold};
use crate::{Envelope, Span};

/// Longest boundary that is honoured. RFC 2046 §5.1.1 allows 70 octets; mailers exceed it.
const MAX_BOUNDARY: usize = 256;

pub(super) fn structure(message: &[u8]) -> Structure {
    let mut scan = Scan {
        message,
        parts: Vec::new(),
        open: Vec::new(),
        truncated: false,
    };
    scan.run();
    let mut structure = Structure {
        parts: scan.parts,
        truncated: scan.truncated,
    };
    count_lines(message, &mut structure.parts);
    structure
}

/// A part whose end has not been seen.
struct Open {
    part: u32,
    /// The boundary of a multipart that is still inside its parts; none in an epilogue, a leaf or a message.
    boundary: Option<Vec<u8>>,
    last_child: Option<u32>,
    /// Parts of a digest are messages by default (RFC 2046 §5.1.5).
    digest: bool,
}

/// A boundary line found: which open part it belongs to, where it starts, where the text after it starts.
struct Found {
    depth: usize,
    line_start: usize,
    next: usize,
    closes: bool,
}

struct Scan<'a> {
    message: &'a [u8],
    parts: Vec<Part>,
    open: Vec<Open>,
    truncated: bool,
}

impl Scan<'_> {
    fn run(&mut self) {
        let mut at = self.begin(0, false);
        while let Some(found) = self.next_boundary(at) {
            if !found.closes && self.parts.len() >= MAX_PARTS {
                self.truncated = true;
                break;
            }
            self.close_above(found.depth, self.body_end(found.line_start));
            let digest = self.open.last().is_some_and(|open| open.digest);
            at = found.next;
            if found.closes {
                self.end_parts();
            } else {
                at = self.begin(found.next, digest);
            }
        }
        self.finish();
    }

    fn finish(&mut self) {
        let end = self.message.len();
        self.close_last(end);
        while let Some(open) = self.open.pop() {
            self.end_part(open.part, end);
        }
    }

    /// After the closing boundary the innermost multipart is in its epilogue, up to a boundary of one around it.
    fn end_parts(&mut self) {
        if let Some(open) = self.open.last_mut() {
            open.boundary = None;
        }
    }

    /// Starts a part at `at`, and the message inside it at once when it is one. Returns where its content starts.
    fn begin(&mut self, at: usize, digest: bool) -> usize {
        let mut at = at;
        let mut digest = digest;
        loop {
            let header_end = self.header_end(at);
            let mut part = read_part(self.message, at, header_end, digest);
            digest = false;
            let open = self.opening(&mut part);
            let into_message = open.is_some() && matches!(part.kind, PartKind::Message(_));
            let body = part.body.start as usize;
            self.push(part, open);
            if !into_message {
                return body;
            }
            at = body;
        }
    }

    /// Decides whether the part has parts of its own, within the bounds.
    fn opening(&mut self, part: &mut Part) -> Option<(Option<Vec<u8>>, bool)> {
        let boundary = part
            .param("boundary")
            .map(|text| text.trim_end().as_bytes().to_vec());
        let boundary = boundary.filter(|text| !text.is_empty() && text.len() <= MAX_BOUNDARY);
        let multipart = part.main_type == "multipart" && boundary.is_some();
        let message =
            part.main_type == "message" && matches!(part.subtype.as_str(), "rfc822" | "global");
        // RFC 2046 §5.2.1: a message is not encoded; one that is stays opaque.
        let message = message && matches!(part.encoding.as_str(), "7bit" | "8bit" | "binary");
        if !multipart && !message {
            return None;
        }
        if self.open.len() >= MAX_NESTING || self.parts.len() + 1 >= MAX_PARTS {
            self.truncated = true;
            return None;
        }
        if message {
            let inner = self
                .message
                .get(part.body.start as usize..)
                .unwrap_or_default();
            let header = self
                .header_end(part.body.start as usize)
                .saturating_sub(part.body.start as usize);
            let envelope = Envelope::parse(inner.get(..header).unwrap_or_default());
            part.kind = PartKind::Message(Box::new(envelope));
            return Some((None, false));
        }
        part.kind = PartKind::Multipart;
        Some((boundary, part.subtype == "digest"))
    }

    fn push(&mut self, part: Part, open: Option<(Option<Vec<u8>>, bool)>) {
        let index = u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
        let mut part = part;
        if let Some(parent) = self.open.last_mut() {
            part.parent = Some(parent.part);
            let previous = parent.last_child.replace(index);
            let parent = parent.part;
            match previous.and_then(|at| self.parts.get_mut(at as usize)) {
                Some(sibling) => sibling.next_sibling = Some(index),
                None => self.set_first_child(parent, index),
            }
        }
        self.parts.push(part);
        if let Some((boundary, digest)) = open {
            self.open.push(Open {
                part: index,
                boundary,
                last_child: None,
                digest,
            });
        }
    }

    fn set_first_child(&mut self, parent: u32, child: u32) {
        if let Some(part) = self.parts.get_mut(parent as usize) {
            part.first_child = Some(child);
        }
    }

    /// Where the header that starts at `at` ends, with its empty line. A boundary line ends it too.
    fn header_end(&self, at: usize) -> usize {
        let (mut at, end) = (at, self.message.len());
        while at < end {
            let line = next_line(self.message, at, end);
            if line.is_empty() {
                return line.next;
            }
            if self.boundary_at(at).is_some() {
                return at;
            }
            at = line.next;
        }
        end
    }

    /// The next line from `at` on that is a boundary of an open multipart.
    fn next_boundary(&self, at: usize) -> Option<Found> {
        if self.open.iter().all(|open| open.boundary.is_none()) {
            return None;
        }
        if let Some(found) = self.boundary_at(at) {
            return Some(found);
        }
        let rest = self.message.get(at..)?;
        memmem::find_iter(rest, b"\n--").find_map(|found| self.boundary_at(at + found + 1))
    }

    /// The boundary line that starts at `at`. The innermost multipart is asked first; a line that matches one further out
    /// ends all inside it (RFC 2046 §5.1.2).
    fn boundary_at(&self, at: usize) -> Option<Found> {
        let text = self.message.get(at..)?.strip_prefix(b"--")?;
        // Longer lines cannot match: comparing stops where the longest boundary would.
        let window = text
            .get(..text.len().min(MAX_BOUNDARY + 2 + 512))
            .unwrap_or(text);
        let line_len =
            memchr::memchr(b'\n', window).or((window.len() == text.len()).then_some(text.len()))?;
        let line = text.get(..line_len)?.trim_ascii_end();
        let closed = line.strip_suffix(b"--");
        let depth = self.open.iter().rposition(|open| {
            open.boundary
                .as_deref()
                .is_some_and(|b| b == line || closed == Some(b))
        })?;
        let closes = self
            .open
            .get(depth)
            .is_some_and(|open| open.boundary.as_deref() != Some(line));
        let next = (at + 2 + line_len + 1).min(self.message.len());
        Some(Found {
            depth,
            line_start: at,
            next,
            closes,
        })
    }

    /// The line break before a boundary belongs to the boundary.
    fn body_end(&self, line_start: usize) -> usize {
        let before = self.message.get(..line_start).unwrap_or_default();
        let before = before.strip_suffix(b"\n").unwrap_or(before);
        before.strip_suffix(b"\r").unwrap_or(before).len()
    }

    /// Ends all open parts inside the one at `depth`, and the last leaf.
    fn close_above(&mut self, depth: usize, end: usize) {
        self.close_last(end);
        for open in self.open.split_off((depth + 1).min(self.open.len())) {
            self.end_part(open.part, end);
        }
    }

    fn close_last(&mut self, end: usize) {
        let last = u32::try_from(self.parts.len().saturating_sub(1)).unwrap_or(u32::MAX);
        let is_open = self.open.last().is_some_and(|open| open.part == last);
        let unset = self
            .parts
            .last()
            .is_some_and(|part| part.body.end == u32::MAX);
        if unset && !is_open {
            self.end_part(last, end);
        }
    }

    fn end_part(&mut self, index: u32, end: usize) {
        if let Some(part) = self.parts.get_mut(index as usize) {
            part.body = Span::new(part.body.start as usize, end);
            if part.first_child.is_none() && part.kind == PartKind::Multipart {
                part.kind = PartKind::Leaf;
            }
        }
    }
}

/// Reads the header of a part; its body is open-ended.
fn read_part(message: &[u8], start: usize, header_end: usize, digest: bool) -> Part {
    let (main_type, subtype) = if digest {
        ("message", "rfc822")
    } else {
        ("text", "plain")
    };
    let mut part = Part {
        parent: None,
        first_child: None,
        next_sibling: None,
        kind: PartKind::Leaf,
        main_type: main_type.to_owned(),
        subtype: subtype.to_owned(),
        params: Vec::new(),
        id: None,
        description: None,
        encoding: "7bit".to_owned(),
        disposition: None,
        language: Vec::new(),
        location: None,
        md5: None,
        header: Span::new(start, header_end),
        body: Span {
            start: Span::new(header_end, header_end).start,
            end: u32::MAX,
        },
        lines: 0,
    };
    let mut typed = false;
    for field in Fields::new(message, start, header_end) {
        let name = field.name(message);
        if name.len() > 8
            && name
                .get(..8)
                .is_some_and(|head| head.eq_ignore_ascii_case(b"content-"))
        {
            let rest = name.get(8..).unwrap_or_default().to_ascii_lowercase();
            take_field(&mut part, &rest, field.value(message), &mut typed);
        }
    }
    part
}

/// Of repeated fields the first counts.
fn take_field(part: &mut Part, name: &[u8], value: &[u8], typed: &mut bool) {
    let text = |slot: &mut Option<Vec<u8>>| {
        slot.get_or_insert_with(|| unfold(value).into_owned());
    };
    match name {
        b"type" if !*typed => {
            *typed = true;
            set_type(part, parse_content_type(value));
        }
        b"transfer-encoding" => {
            if let Some(encoding) = first_token(value) {
                part.encoding = encoding;
            }
        }
        b"disposition" if part.disposition.is_none() => part.disposition = parse_disposition(value),
        b"language" if part.language.is_empty() => part.language = languages(value),
        b"id" => text(&mut part.id),
        b"description" => text(&mut part.description),
        b"location" => text(&mut part.location),
        b"md5" => text(&mut part.md5),
        _ => {}
    }
}

/// RFC 2045 §5.2: a type that cannot be read counts as text/plain.
fn set_type(part: &mut Part, parsed: Option<(String, String, Vec<Param>)>) {
    if let Some((main, sub, params)) = parsed {
        (part.main_type, part.subtype, part.params) = (main, sub, params);
    }
}

/// Counts the lines of all bodies in one pass over the message.
fn count_lines(message: &[u8], parts: &mut [Part]) {
    let mut offsets: Vec<u32> = parts
        .iter()
        .flat_map(|part| [part.body.start, part.body.end])
        .collect();
    offsets.sort_unstable();
    offsets.dedup();
    let (mut at, mut sum) = (0u32, 0u32);
    let mut breaks = Vec::with_capacity(offsets.len());
    for &offset in &offsets {
        let between = Span {
            start: at,
            end: offset,
        }
        .of(message);
        sum = sum
            .saturating_add(u32::try_from(memchr_iter(b'\n', between).count()).unwrap_or(u32::MAX));
        breaks.push(sum);
        at = offset;
    }
    let before = |offset: u32| {
        offsets
            .binary_search(&offset)
            .ok()
            .and_then(|index| breaks.get(index))
            .copied()
            .unwrap_or(0)
    };
    for part in parts {
        let unterminated = part
            .body
            .of(message)
            .last()
            .is_some_and(|&byte| byte != b'\n');
        part.lines = before(part.body.end) - before(part.body.start) + u32::from(unterminated);
    }
}
