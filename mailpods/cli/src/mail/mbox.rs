//! mbox in the mboxrd form: messages begin with a `From ` line, and body lines that look like one get a `>` in front.
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};

use mailpods_message::header;
use mailpods_store::UnixSeconds;
use mailpods_store::mail::Flags;

use super::flags::{from_mbox, to_mbox};
use super::uidlist::is_name;
use super::{FileError, FileMessage, MAX_MESSAGE, make_file, make_folder, to_crlf, to_lf};
use crate::time;

/// Header fields that are the folder's, not the message's: flags, UIDs, what POP3 calls it, and what IMAP servers keep at the first one.
const FLAG_FIELDS: [&[u8]; 7] = [
    b"status",
    b"x-status",
    b"x-keywords",
    b"x-uid",
    b"x-uidl",
    b"x-imap",
    b"x-imapbase",
];

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// The messages of a file; `path` is what errors call it. Those of more than `most` octets are errors.
pub fn read(file: File, path: &Path, most: u64) -> Reader<BufReader<File>> {
    Reader::new(BufReader::with_capacity(1 << 16, file), path, most)
}

/// Splits an mbox into messages. One message at a time is in memory.
pub struct Reader<R> {
    input: R,
    path: PathBuf,
    most: u64,
    /// The `From ` line of the message that comes next.
    from_line: Option<Vec<u8>>,
    number: usize,
    ended: bool,
}

impl<R: BufRead> Reader<R> {
    fn new(input: R, path: &Path, most: u64) -> Self {
        Self {
            input,
            path: path.to_owned(),
            most,
            from_line: None,
            number: 0,
            ended: false,
        }
    }

    /// The next message; not the first one where it is the server's own.
    fn next_mail(&mut self) -> Result<Option<FileMessage>, FileError> {
        let message = self.next_message()?;
        match message.as_ref().is_some_and(|(_, internal)| *internal) {
            true => self.next_mail(),
            false => Ok(message.map(|(message, _)| message)),
        }
    }

    /// The next message, and whether it is the server's own.
    fn next_message(&mut self) -> Result<Option<(FileMessage, bool)>, FileError> {
        if self.from_line.is_none() {
            self.from_line = self.first_line()?;
        }
        let Some(from_line) = self.from_line.take() else {
            return Ok(None);
        };
        self.number += 1;
        let mut taken = from_line.len() as u64;
        let mut octets = Vec::new();
        // An empty line before "From " belongs to the format, not to the message.
        let mut after_empty_line = false;
        while let Some(line) = self.line(MAX_MESSAGE)? {
            if after_empty_line && is_separator(&line) {
                self.from_line = Some(line);
                break;
            }
            taken += line.len() as u64;
            after_empty_line = matches!(line.as_slice(), b"\n" | b"\r\n");
            // Of one that is too large the end is looked for, and nothing more is kept.
            if octets.len() as u64 <= self.most {
                octets.extend_from_slice(unquoted(&line));
            }
        }
        if octets.len() as u64 > self.most {
            return Err(self.too_large());
        }
        if after_empty_line {
            octets.truncate(octets.len() - usize::from(octets.ends_with(b"\n")));
            octets.truncate(octets.len() - usize::from(octets.ends_with(b"\r")));
        }
        let message = finish(&octets, &from_line, taken);
        let internal = self.number == 1 && is_internal(&octets);
        match message.octets.len() as u64 > self.most {
            true => Err(self.too_large()),
            false => Ok(Some((message, internal))),
        }
    }

    fn too_large(&self) -> FileError {
        FileError::TooLarge {
            path: self.path.display().to_string(),
            number: self.number,
            most: self.most,
        }
    }

    /// The first `From ` line; empty lines before it are passed over.
    fn first_line(&mut self) -> Result<Option<Vec<u8>>, FileError> {
        loop {
            match self.line(MAX_MESSAGE)? {
                None => return Ok(None),
                Some(line) if line.starts_with(b"From ") => return Ok(Some(line)),
                Some(line) if line.trim_ascii().is_empty() => {}
                Some(_) => {
                    return Err(FileError::NoMbox {
                        path: self.path.display().to_string(),
                    });
                }
            }
        }
    }

    fn line(&mut self, limit: u64) -> Result<Option<Vec<u8>>, FileError> {
        let mut line = Vec::new();
        let read = self.input.by_ref().take(limit).read_until(b'\n', &mut line);
        let read = read.map_err(FileError::io("read", &self.path))?;
        Ok((read > 0).then_some(line))
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<FileMessage, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.next_mail();
        self.ended = !matches!(next, Ok(Some(_)) | Err(FileError::TooLarge { .. }));
        next.transpose()
    }
}

/// A `From ` line with a time: a paragraph that begins with the word has none, and not all writers quote it.
fn is_separator(line: &[u8]) -> bool {
    line.starts_with(b"From ") && from_time(line).is_some()
}

/// mboxrd: one `>` less before `From `.
fn unquoted(line: &[u8]) -> &[u8] {
    match line.strip_prefix(b">") {
        Some(rest) if is_from(rest) => rest,
        _ => line,
    }
}

/// `From ` behind any number of `>`.
fn is_from(line: &[u8]) -> bool {
    let quotes = line.iter().take_while(|octet| **octet == b'>').count();
    line.get(quotes..)
        .is_some_and(|rest| rest.starts_with(b"From "))
}

/// IMAP servers of the c-client family keep what they know of a folder in a first message that they show nobody.
fn is_internal(octets: &[u8]) -> bool {
    let subject = header::find(octets, b"subject").unwrap_or_default();
    let is_marked = subject.trim_ascii().ends_with(b"FOLDER INTERNAL DATA");
    is_marked && header::find(octets, b"x-imap").is_some()
}

fn finish(octets: &[u8], from_line: &[u8], taken: u64) -> FileMessage {
    let octets = to_crlf(octets);
    let value = |name: &[u8]| {
        let value = header::find(&octets, name).unwrap_or_default();
        String::from_utf8_lossy(value).trim().to_owned()
    };
    let flags = from_mbox(
        &value(b"status"),
        &value(b"x-status"),
        &value(b"x-keywords"),
    );
    let date = header::find(&octets, b"date")
        .and_then(header::parse_date)
        .map(|date| date.unix);
    let received = from_time(from_line).or(date).unwrap_or(0);
    FileMessage {
        octets: without_flag_fields(&octets),
        flags,
        received,
        uid: None,
        uidl: Some(value(b"x-uidl")).filter(|name| is_name(name)),
        taken,
    }
}

/// The time of `From sender Thu Jan  1 00:00:00 1970`, taken as UTC.
fn from_time(line: &[u8]) -> Option<UnixSeconds> {
    let text = std::str::from_utf8(line).ok()?;
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let month = words.iter().rposition(|word| MONTHS.contains(word))?;
    let (name, day, time) = (
        words.get(month)?,
        words.get(month + 1)?,
        words.get(month + 2)?,
    );
    let year = words
        .get(month + 3..)?
        .iter()
        .find(|word| word.len() == 4 && word.parse::<u16>().is_ok())?;
    header::parse_date(format!("{day} {name} {year} {time} +0000").as_bytes()).map(|date| date.unix)
}

fn without_flag_fields(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    let mut from = 0;
    for field in header::fields(octets) {
        if FLAG_FIELDS.iter().any(|name| field.is(octets, name)) {
            let range = field.full.range();
            out.extend_from_slice(octets.get(from..range.start).unwrap_or_default());
            from = range.end;
        }
    }
    out.extend_from_slice(octets.get(from..).unwrap_or_default());
    out
}

/// Writes an mbox file. It has its name only when it is whole.
pub struct Writer {
    out: BufWriter<File>,
    partial: PathBuf,
    path: PathBuf,
}

impl Writer {
    /// Begins `path`, as `path.partial`.
    pub fn create(path: &Path) -> Result<Self, FileError> {
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            make_folder(folder).map_err(FileError::io("make", folder))?;
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file = make_file(&partial).map_err(FileError::io("make", &partial))?;
        Ok(Self {
            out: BufWriter::with_capacity(1 << 16, file),
            partial,
            path: path.to_owned(),
        })
    }

    /// Adds a message.
    pub fn write(
        &mut self,
        octets: &[u8],
        flags: &Flags,
        received: UnixSeconds,
    ) -> Result<(), FileError> {
        write_message(&mut self.out, octets, flags, received)
            .map_err(FileError::io("write", &self.partial))
    }

    /// Ends the file.
    pub fn finish(mut self) -> Result<(), FileError> {
        self.out
            .flush()
            .map_err(FileError::io("write", &self.partial))?;
        self.out
            .get_ref()
            .sync_all()
            .map_err(FileError::io("write", &self.partial))?;
        std::fs::rename(&self.partial, &self.path).map_err(FileError::io("rename", &self.partial))
    }
}

fn write_message(
    out: &mut impl Write,
    octets: &[u8],
    flags: &Flags,
    received: UnixSeconds,
) -> std::io::Result<()> {
    let octets = without_flag_fields(octets);
    let (header, body) = octets.split_at(end_of_fields(&octets));
    writeln!(out, "From {} {}", sender(&octets), asctime(received))?;
    for part in [to_lf(header), to_mbox(flags).into_bytes(), to_lf(body)] {
        for line in part.split_inclusive(|octet| *octet == b'\n') {
            if is_from(line) {
                out.write_all(b">")?;
            }
            out.write_all(line)?;
        }
    }
    // The format cannot say that a message has no line end at its end.
    out.write_all(if octets.ends_with(b"\n") {
        b"\n"
    } else {
        b"\n\n"
    })
}

/// Where the header fields end and the empty line begins.
fn end_of_fields(octets: &[u8]) -> usize {
    header::fields(octets)
        .map(|field| field.full.range().end)
        .max()
        .unwrap_or(0)
}

fn sender(octets: &[u8]) -> String {
    let path = header::find(octets, b"return-path")
        .map(|value| String::from_utf8_lossy(value).into_owned());
    let address = path.unwrap_or_default();
    let address = address.trim().trim_start_matches('<').trim_end_matches('>');
    let usable = !address.is_empty() && address.bytes().all(|octet| octet.is_ascii_graphic());
    if usable {
        address.to_owned()
    } else {
        "MAILER-DAEMON".to_owned()
    }
}

/// `Thu Jan  1 00:00:00 1970`, UTC.
fn asctime(at: UnixSeconds) -> String {
    let text = time::format(at.saturating_mul(1000));
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
    let month = part(5..7)
        .parse::<usize>()
        .ok()
        .and_then(|month| MONTHS.get(month.wrapping_sub(1)));
    let day = usize::try_from(at.div_euclid(86_400).rem_euclid(7))
        .ok()
        .and_then(|day| DAYS.get(day));
    let day_of_month = part(8..10).trim_start_matches('0');
    let (day, month) = (
        day.copied().unwrap_or("Thu"),
        month.copied().unwrap_or("Jan"),
    );
    format!(
        "{day} {month} {day_of_month:>2} {} {}",
        part(11..19),
        part(0..4)
    )
}

#[cfg(test)]
mod tests {
    use mailpods_store::mail::SystemFlags;

    use super::*;

    fn parse(text: &[u8]) -> Vec<Result<FileMessage, FileError>> {
        Reader::new(text, Path::new("test.mbox"), 1000).collect()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let messages: [(&[u8], Flags, UnixSeconds); 3] = [
            (b"Return-Path: <a@example.test>\r\nSubject: x\r\n\r\nFrom here\r\n>From there\r\n\r\n", Flags::default(), 0),
            (
                b"Subject: y\r\n\r\nlast line\r\n",
                Flags { system: SystemFlags::SEEN.union(SystemFlags::FLAGGED), keywords: vec!["$Junk".to_owned()] },
                1_700_000_000,
            ),
            (b"Subject: only a header\r\n\r\n", Flags::default(), 1_709_251_200),
        ];
        let mut file = Vec::new();
        for (octets, flags, received) in &messages {
            write_message(&mut file, octets, flags, *received).unwrap();
        }
        let read: Vec<FileMessage> = parse(&file).into_iter().map(Result::unwrap).collect();
        assert_eq!(read.len(), 3, "{}", String::from_utf8_lossy(&file));
        for ((octets, flags, received), message) in messages.iter().zip(&read) {
            assert_eq!(
                String::from_utf8_lossy(&message.octets),
                String::from_utf8_lossy(octets)
            );
            assert_eq!((&message.flags, message.received), (flags, *received));
        }
        assert!(file.starts_with(b"From a@example.test Thu Jan  1 00:00:00 1970\n"));
    }

    #[test]
    fn foreign_files_are_read() {
        let text = b"\nFrom bob@example.org Tue Nov 14 22:13:20 2023 +0000\nStatus: RO\nX-Status: A\nSubject: one\n\nFrom in a paragraph\nis no start\n\nFrom MAILER-DAEMON Thu Jan  1 00:00:01 1970\r\nSubject: two\r\n\r\nbody\r\n";
        let read: Vec<FileMessage> = parse(text).into_iter().map(Result::unwrap).collect();
        assert_eq!(read.len(), 2);
        let first = read.first().unwrap();
        assert_eq!(
            first.octets,
            b"Subject: one\r\n\r\nFrom in a paragraph\r\nis no start\r\n"
        );
        assert_eq!(first.received, 1_700_000_000);
        assert_eq!(
            first.flags.system,
            SystemFlags::SEEN.union(SystemFlags::ANSWERED)
        );
        assert_eq!(read.last().unwrap().octets, b"Subject: two\r\n\r\nbody\r\n");
    }

    #[test]
    fn what_a_server_keeps_in_the_first_message_is_no_mail() {
        let internal = "From MAILER-DAEMON Thu Jan  1 00:00:01 1970\nFrom: Mail System Internal Data <MAILER-DAEMON@host>\n\
            Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1700000000 0000000002\nStatus: RO\n\ntext\n\n";
        let mail = "From a@b Thu Jan  1 00:00:02 1970\nSubject: FOLDER INTERNAL DATA\n\nbody\n\n";
        let parsed = |text: String| -> Vec<Vec<u8>> {
            let read = parse(text.as_bytes()).into_iter();
            read.map(|message| message.unwrap().octets).collect()
        };
        let wanted = b"Subject: FOLDER INTERNAL DATA\r\n\r\nbody\r\n".to_vec();
        assert_eq!(
            parsed(format!("{internal}{mail}")),
            std::slice::from_ref(&wanted)
        );
        assert_eq!(parsed(mail.to_owned()), std::slice::from_ref(&wanted));
        assert_eq!(
            parsed(format!("{mail}{internal}")).len(),
            2,
            "only the first"
        );
    }

    #[test]
    fn a_message_that_is_too_large_stops_no_other() {
        let large = "x".repeat(600) + "\n" + &"y".repeat(600);
        let from = "From a@example.test Thu Jan  1 00:00:00 1970\n";
        let text = format!("{from}\none\n\n{from}\n{large}\n\n{from}\nthree\n");
        let read = parse(text.as_bytes());
        let [
            Ok(one),
            Err(FileError::TooLarge { number: 2, .. }),
            Ok(three),
        ] = read.as_slice()
        else {
            panic!("{read:?}");
        };
        assert_eq!(
            (&one.octets[..], &three.octets[..]),
            (&b"\r\none\r\n"[..], &b"\r\nthree\r\n"[..])
        );
    }

    #[test]
    fn what_is_no_mbox_is_refused_and_an_empty_file_is_empty() {
        assert!(matches!(
            parse(b"Subject: x\n\nbody\n").as_slice(),
            [Err(FileError::NoMbox { .. })]
        ));
        assert!(parse(b"").is_empty());
    }
}
