//! Responses to octets (RFC 9051 §7, §9 `response`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;
use std::fmt;
use std::io::Write as _;

use crate::command::StatusItem;
use crate::pattern::DELIMITER;
use crate::response::{Code, ESearch, ListEntry, Ranges, Status, ThreadStep};
use crate::{parse, utf7};

mod fetch;

pub use fetch::FetchWriter;

/// The longest text that is quoted; longer text is sent as a literal.
const MAX_QUOTED: usize = 1000;

/// Writes responses. Cheap to make: one per answer.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    utf8: bool,
}

impl<'a> Writer<'a> {
    /// A writer that appends to `out`. `utf8`: the client has enabled IMAP4rev2 or UTF8=ACCEPT; otherwise mailbox names are
    /// modified UTF-7 and quoted strings ASCII.
    pub fn new(out: &'a mut Vec<u8>, utf8: bool) -> Self {
        Self { out, utf8 }
    }

    /// A status response: tagged when `tag` is given. Line ends in `text` become spaces.
    pub fn status(
        &mut self,
        tag: Option<&str>,
        status: Status,
        code: Option<&Code<'_>>,
        text: &str,
    ) {
        self.raw(tag.unwrap_or("*"));
        self.raw(" ");
        self.raw(status.as_str());
        if let Some(code) = code {
            self.raw(" [");
            self.code(code);
            self.raw("]");
        }
        self.raw(" ");
        // RFC 9051 §9, `resp-text`: text is never empty
        self.raw(if text.is_empty() { "-" } else { "" });
        let safe = |octet: u8| {
            if matches!(octet, b'\r' | b'\n' | 0) {
                b' '
            } else {
                octet
            }
        };
        self.out.extend(text.bytes().map(safe));
        self.end();
    }

    /// `+ text`
    pub fn continuation(&mut self, text: &str) {
        self.raw("+ ");
        self.raw(text);
        self.end();
    }

    /// `+` with a SASL challenge.
    pub fn challenge(&mut self, challenge: &[u8]) {
        self.raw("+ ");
        self.raw(&STANDARD.encode(challenge));
        self.end();
    }

    /// `* CAPABILITY ...`
    pub fn capability(&mut self, names: &[Cow<'static, str>]) {
        self.raw("* CAPABILITY");
        self.words(names);
        self.end();
    }

    /// `* ENABLED ...`
    pub fn enabled(&mut self, names: &[&str]) {
        self.raw("* ENABLED");
        self.words(names);
        self.end();
    }

    /// `* FLAGS (...)`
    pub fn flags<'f>(&mut self, flags: impl IntoIterator<Item = &'f str>) {
        self.raw("* FLAGS ");
        flag_list(self.out, flags, false);
        self.end();
    }

    /// `* n EXISTS`
    pub fn exists(&mut self, count: u32) {
        self.numbered(count, "EXISTS");
    }

    /// `* n RECENT` (RFC 3501 §7.3.2)
    pub fn recent(&mut self, count: u32) {
        self.numbered(count, "RECENT");
    }

    /// `* n EXPUNGE`
    pub fn expunge(&mut self, number: u32) {
        self.numbered(number, "EXPUNGE");
    }

    /// `* VANISHED uids`; `earlier`: they went before this session, and no message number changes (RFC 7162 §3.2.10).
    pub fn vanished(&mut self, earlier: bool, uids: Ranges<'_>) {
        self.raw("* VANISHED ");
        self.raw(if earlier { "(EARLIER) " } else { "" });
        ranges(self.out, uids);
        self.end();
    }

    fn numbered(&mut self, number: u32, word: &str) {
        let _ = write!(self.out, "* {number} {word}\r\n");
    }

    /// `* SEARCH ...` (RFC 3501 §7.2.5), with the highest modification sequence when MODSEQ was searched for.
    pub fn search(&mut self, found: impl IntoIterator<Item = u32>, mod_seq: Option<u64>) {
        self.found("SEARCH", found, mod_seq);
    }

    /// `* SORT ...` (RFC 5256 §4), in the order that was asked for.
    pub fn sort(&mut self, found: impl IntoIterator<Item = u32>, mod_seq: Option<u64>) {
        self.found("SORT", found, mod_seq);
    }

    /// `* THREAD ...` (RFC 5256 §4)
    pub fn thread(&mut self, steps: impl IntoIterator<Item = ThreadStep>) {
        self.raw("* THREAD");
        let mut space = true;
        for step in steps {
            if space && step != ThreadStep::Close {
                self.raw(" ");
            }
            space = matches!(step, ThreadStep::Number(_));
            match step {
                ThreadStep::Open => self.raw("("),
                ThreadStep::Number(number) => drop(write!(self.out, "{number}")),
                ThreadStep::Close => self.raw(")"),
            }
        }
        self.end();
    }

    fn found(&mut self, name: &str, found: impl IntoIterator<Item = u32>, mod_seq: Option<u64>) {
        let _ = write!(self.out, "* {name}");
        for number in found {
            let _ = write!(self.out, " {number}");
        }
        if let Some(mod_seq) = mod_seq {
            let _ = write!(self.out, " (MODSEQ {mod_seq})");
        }
        self.end();
    }

    /// `* ESEARCH (TAG "tag") ...`
    pub fn esearch(&mut self, tag: &str, result: &ESearch<'_>) {
        self.raw("* ESEARCH (TAG ");
        string(self.out, tag.as_bytes(), self.utf8);
        self.raw(")");
        self.raw(if result.uid { " UID" } else { "" });
        let numbers = [
            ("MIN", result.min),
            ("MAX", result.max),
            ("COUNT", result.count),
        ];
        for (name, number) in numbers
            .into_iter()
            .filter_map(|(name, number)| Some((name, number?)))
        {
            let _ = write!(self.out, " {name} {number}");
        }
        // RFC 4731 §3.1: no ALL when nothing was found
        if let Some(all) = result.all.filter(|all| !all.is_empty()) {
            self.raw(" ALL ");
            ranges(self.out, all);
        }
        if let Some((window, found)) = result.partial {
            let _ = write!(self.out, " PARTIAL ({window} ");
            match found {
                [] => self.raw("NIL"),
                found => ranges(self.out, found),
            }
            self.raw(")");
        }
        if let Some(mod_seq) = result.mod_seq {
            let _ = write!(self.out, " MODSEQ {mod_seq}");
        }
        self.end();
    }

    /// `* LIST ...`
    pub fn list(&mut self, entry: &ListEntry<'_>) {
        self.listed("LIST", entry);
        if entry.subscribed_below {
            self.raw(" (CHILDINFO (\"SUBSCRIBED\"))");
        }
        self.end();
    }

    /// `* LIST ... ("OLDNAME" (name))`: the mailbox that a name which was not in NFC means (RFC 9051 §6.3.9.7).
    pub fn list_normalized(&mut self, entry: &ListEntry<'_>, written: &str) {
        self.listed("LIST", entry);
        self.raw(" (\"OLDNAME\" (");
        self.mailbox(written);
        self.raw("))");
        self.end();
    }

    /// `* LSUB ...` (RFC 3501 §7.2.3)
    pub fn lsub(&mut self, entry: &ListEntry<'_>) {
        self.listed("LSUB", entry);
        self.end();
    }

    fn listed(&mut self, name: &str, entry: &ListEntry<'_>) {
        let _ = write!(self.out, "* {name} (");
        for (index, attribute) in entry.attributes.iter().enumerate() {
            self.raw(if index == 0 { "" } else { " " });
            self.raw(attribute.as_str());
        }
        let _ = write!(self.out, ") \"{DELIMITER}\" ");
        self.mailbox(entry.name);
    }

    /// The answer to `LIST "" ""`: the delimiter and the root (RFC 9051 §6.3.9).
    pub fn list_root(&mut self) {
        let _ = write!(self.out, "* LIST (\\Noselect) \"{DELIMITER}\" \"\"\r\n");
    }

    /// `* STATUS mailbox (...)`
    pub fn mailbox_status(&mut self, name: &str, items: &[(StatusItem, impl fmt::Display)]) {
        self.raw("* STATUS ");
        self.mailbox(name);
        self.raw(" (");
        for (index, (item, value)) in items.iter().enumerate() {
            self.raw(if index == 0 { "" } else { " " });
            let _ = write!(self.out, "{} {value}", item.as_str());
        }
        self.raw(")");
        self.end();
    }

    /// `* METADATA mailbox (entry value ...)` (RFC 5464 §4.4.1); the server without a name.
    pub fn metadata(&mut self, mailbox: Option<&str>, values: &[(&str, Option<&[u8]>)]) {
        self.raw("* METADATA ");
        match mailbox {
            Some(name) => self.mailbox(name),
            None => self.raw("\"\""),
        }
        for (index, (entry, value)) in values.iter().enumerate() {
            self.raw(if index == 0 { " (" } else { " " });
            astring(self.out, entry.as_bytes(), false);
            self.raw(" ");
            match value {
                // RFC 5464 §5, `value`: with NUL a literal8
                Some(octets) if octets.contains(&0) => {
                    let _ = write!(self.out, "~{{{}}}\r\n", octets.len());
                    self.out.extend_from_slice(octets);
                }
                value => nstring(self.out, *value, self.utf8),
            }
        }
        self.raw(")");
        self.end();
    }

    /// `* METADATA mailbox entry ...`: what has changed, without values (RFC 5464 §4.4.2).
    pub fn metadata_changed<'e>(
        &mut self,
        mailbox: Option<&str>,
        entries: impl IntoIterator<Item = &'e str>,
    ) {
        self.raw("* METADATA ");
        match mailbox {
            Some(name) => self.mailbox(name),
            None => self.raw("\"\""),
        }
        for entry in entries {
            self.raw(" ");
            astring(self.out, entry.as_bytes(), false);
        }
        self.end();
    }

    /// `* NAMESPACE`: the personal namespace, and with what the names of mailboxes of other users and of shared ones begin
    /// (RFC 2342 §5). Both are ASCII.
    pub fn namespace(&mut self, others: &str, shared: &str) {
        let _ = write!(
            self.out,
            "* NAMESPACE ((\"\" \"{DELIMITER}\")) ((\"{others}\" \"{DELIMITER}\")) ((\"{shared}\" \"{DELIMITER}\"))\r\n"
        );
    }

    /// `* ACL mailbox identifier rights ...` (RFC 4314 §3.6)
    pub fn acl(&mut self, mailbox: &str, entries: &[(String, String)]) {
        self.raw("* ACL ");
        self.mailbox(mailbox);
        for (identifier, rights) in entries {
            self.word(identifier);
            self.word(rights);
        }
        self.end();
    }

    /// `* LISTRIGHTS mailbox identifier required optional ...` (RFC 4314 §3.7)
    pub fn list_rights(
        &mut self,
        mailbox: &str,
        identifier: &str,
        required: &str,
        optional: &[String],
    ) {
        self.raw("* LISTRIGHTS ");
        self.mailbox(mailbox);
        self.word(identifier);
        self.word(required);
        optional.iter().for_each(|rights| self.word(rights));
        self.end();
    }

    /// `* MYRIGHTS mailbox rights` (RFC 4314 §3.8)
    pub fn my_rights(&mut self, mailbox: &str, rights: &str) {
        self.raw("* MYRIGHTS ");
        self.mailbox(mailbox);
        self.word(rights);
        self.end();
    }

    fn word(&mut self, text: &str) {
        self.raw(" ");
        astring(self.out, text.as_bytes(), self.utf8);
    }

    /// `* ID (...)`
    pub fn id(&mut self, fields: &[(&str, &str)]) {
        self.raw("* ID (");
        for (index, (name, value)) in fields.iter().enumerate() {
            self.raw(if index == 0 { "" } else { " " });
            string(self.out, name.as_bytes(), self.utf8);
            self.raw(" ");
            string(self.out, value.as_bytes(), self.utf8);
        }
        self.raw(")");
        self.end();
    }

    /// `* QUOTA root (name used limit ...)` (RFC 9208 §4.2.1), one resource at least.
    pub fn quota(&mut self, root: &str, resources: &[(&str, u64, u64)]) {
        self.raw("* QUOTA ");
        string(self.out, root.as_bytes(), self.utf8);
        for (index, (name, used, limit)) in resources.iter().enumerate() {
            self.raw(if index == 0 { " (" } else { " " });
            drop(write!(self.out, "{name} {used} {limit}"));
        }
        self.raw(")");
        self.end();
    }

    /// `* QUOTAROOT mailbox root`; without a root no quota of the client is about the mailbox (RFC 9208 §4.2.2).
    pub fn quota_root(&mut self, mailbox: &str, root: Option<&str>) {
        self.raw("* QUOTAROOT ");
        self.mailbox(mailbox);
        if let Some(root) = root {
            self.raw(" ");
            string(self.out, root.as_bytes(), self.utf8);
        }
        self.end();
    }

    /// Starts `* n FETCH (`.
    pub fn fetch(mut self, number: u32) -> FetchWriter<'a> {
        self.raw("* ");
        decimal(self.out, u64::from(number));
        self.raw(" FETCH (");
        FetchWriter::resume(self.out, self.utf8, true)
    }

    fn mailbox(&mut self, name: &str) {
        if self.utf8 {
            astring(self.out, name.as_bytes(), true);
        } else {
            astring(self.out, utf7::encode(name).as_bytes(), false);
        }
    }

    fn code(&mut self, code: &Code<'_>) {
        match code {
            Code::AppendUid { validity, uids } => {
                let _ = write!(self.out, "APPENDUID {validity} ");
                ranges(self.out, uids);
            }
            Code::BadUrl(url) => {
                self.raw("BADURL ");
                // RFC 4469 §5: quoted, and no line of a response may end in it
                let safe: String = url
                    .chars()
                    .filter(|c| c.is_ascii_graphic())
                    .take(500)
                    .collect();
                string(self.out, safe.as_bytes(), false);
            }
            Code::Capability(names) => {
                self.raw("CAPABILITY");
                self.words(names);
            }
            Code::CopyUid {
                validity,
                source,
                target,
            } => {
                let _ = write!(self.out, "COPYUID {validity} ");
                ranges(self.out, source);
                self.raw(" ");
                ranges(self.out, target);
            }
            Code::HighestModSeq(value) => drop(write!(self.out, "HIGHESTMODSEQ {value}")),
            Code::MailboxId(id) => drop(write!(self.out, "MAILBOXID ({id})")),
            Code::MetadataLongEntries(size) => {
                drop(write!(self.out, "METADATA LONGENTRIES {size}"))
            }
            Code::MetadataMaxSize(size) => drop(write!(self.out, "METADATA MAXSIZE {size}")),
            Code::Modified(set) => {
                self.raw("MODIFIED ");
                ranges(self.out, set);
            }
            Code::PermanentFlags {
                flags,
                new_keywords,
            } => {
                self.raw("PERMANENTFLAGS ");
                flag_list(self.out, flags.iter().copied(), *new_keywords);
            }
            Code::UidNext(value) => drop(write!(self.out, "UIDNEXT {value}")),
            Code::UidValidity(value) => drop(write!(self.out, "UIDVALIDITY {value}")),
            Code::Unseen(value) => drop(write!(self.out, "UNSEEN {value}")),
            plain => self.raw(plain_code(plain)),
        }
    }

    fn words(&mut self, words: &[impl AsRef<str>]) {
        for word in words {
            self.raw(" ");
            self.raw(word.as_ref());
        }
    }

    fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn end(&mut self) {
        self.raw("\r\n");
    }
}

/// Codes without arguments.
fn plain_code(code: &Code<'_>) -> &'static str {
    match code {
        Code::Alert => "ALERT",
        Code::AlreadyExists => "ALREADYEXISTS",
        Code::AuthenticationFailed => "AUTHENTICATIONFAILED",
        Code::AuthorizationFailed => "AUTHORIZATIONFAILED",
        Code::BadEvent => {
            "BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange ServerMetadataChange)"
        }
        Code::BadCharset => "BADCHARSET (US-ASCII UTF-8)",
        Code::Cannot => "CANNOT",
        Code::ClientBug => "CLIENTBUG",
        Code::Closed => "CLOSED",
        Code::CompressionActive => "COMPRESSIONACTIVE",
        Code::ContactAdmin => "CONTACTADMIN",
        Code::ExpungeIssued => "EXPUNGEISSUED",
        Code::HasChildren => "HASCHILDREN",
        Code::InUse => "INUSE",
        Code::Limit => "LIMIT",
        Code::MetadataNoPrivate => "METADATA NOPRIVATE",
        Code::MetadataTooMany => "METADATA TOOMANY",
        Code::NoModSeq => "NOMODSEQ",
        Code::NonExistent => "NONEXISTENT",
        Code::NoPerm => "NOPERM",
        Code::NotSaved => "NOTSAVED",
        Code::OverQuota => "OVERQUOTA",
        Code::PrivacyRequired => "PRIVACYREQUIRED",
        Code::ReadOnly => "READ-ONLY",
        Code::ReadWrite => "READ-WRITE",
        Code::TooBig => "TOOBIG",
        Code::TryCreate => "TRYCREATE",
        Code::Unavailable => "UNAVAILABLE",
        Code::UnknownCte => "UNKNOWN-CTE",
        Code::UseAttr => "USEATTR",
        _ => "SERVERBUG",
    }
}

/// Decimal digits. `write!` takes several times as long, and a FETCH of flags is little else than numbers.
fn decimal(out: &mut Vec<u8>, mut value: u64) {
    // 2^64 has 20 digits.
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    for (index, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (value % 10) as u8;
        (value, start) = (value / 10, index);
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}

fn flag_list<'f>(out: &mut Vec<u8>, flags: impl IntoIterator<Item = &'f str>, new_keywords: bool) {
    let mut separator = "(";
    for flag in flags.into_iter().chain(new_keywords.then_some("\\*")) {
        out.extend_from_slice(separator.as_bytes());
        out.extend_from_slice(flag.as_bytes());
        separator = " ";
    }
    out.extend_from_slice(if separator == "(" { b"()" } else { b")" });
}

fn ranges(out: &mut Vec<u8>, set: Ranges<'_>) {
    for (index, (from, to)) in set.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _ = if from == to {
            write!(out, "{comma}{from}")
        } else {
            write!(out, "{comma}{from}:{to}")
        };
    }
}

/// An atom where that is possible, otherwise a string.
pub(crate) fn astring(out: &mut Vec<u8>, octets: &[u8], utf8: bool) {
    let atom = !octets.is_empty() && octets.iter().all(|octet| parse::is_atom_char(*octet));
    if atom && !octets.eq_ignore_ascii_case(b"NIL") {
        out.extend_from_slice(octets);
    } else {
        string(out, octets, utf8);
    }
}

/// A quoted string where that is possible, otherwise a literal.
pub(crate) fn string(out: &mut Vec<u8>, octets: &[u8], utf8: bool) {
    let plain = |octet: &u8| !matches!(octet, 0 | b'\r' | b'\n') && (utf8 || octet.is_ascii());
    let quotable = octets.len() <= MAX_QUOTED
        && octets.iter().all(plain)
        && std::str::from_utf8(octets).is_ok();
    if !quotable {
        return literal(out, octets);
    }
    out.push(b'"');
    for octet in octets {
        if matches!(octet, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*octet);
    }
    out.push(b'"');
}

/// A string, or NIL.
pub(crate) fn nstring(out: &mut Vec<u8>, octets: Option<&[u8]>, utf8: bool) {
    match octets {
        Some(octets) => string(out, octets, utf8),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// RFC 9051 §4.3.1: a literal has no NUL; 0x80 stands for it, which keeps sizes and offsets true.
pub(crate) fn literal(out: &mut Vec<u8>, octets: &[u8]) {
    let _ = write!(out, "{{{}}}\r\n", octets.len());
    let start = out.len();
    out.extend_from_slice(octets);
    if memchr::memchr(0, octets).is_some() {
        out.iter_mut()
            .skip(start)
            .filter(|octet| **octet == 0)
            .for_each(|octet| *octet = 0x80);
    }
}
