//! What `require` may name.

/// An extension that is done here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // each is called as its capability string is
pub enum Extension {
    Body,
    ComparatorCasemap,
    ComparatorNumeric,
    ComparatorOctet,
    Copy,
    Date,
    Duplicate,
    EditHeader,
    Enclose,
    EncodedCharacter,
    Enotify,
    Envelope,
    Environment,
    Ereject,
    ExtLists,
    ExtractText,
    FileInto,
    ForEveryPart,
    Ihave,
    Imap4Flags,
    ImapSieve,
    Include,
    Index,
    Mailbox,
    MailboxId,
    Mime,
    Regex,
    Reject,
    Relational,
    Replace,
    SpamTest,
    SpamTestPlus,
    SpecialUse,
    Subaddress,
    Vacation,
    VacationSeconds,
    Variables,
    VirusTest,
}

use Extension as E;

const NAMES: [(Extension, &str); 38] = [
    (E::Body, "body"),
    (E::ComparatorCasemap, "comparator-i;ascii-casemap"),
    (E::ComparatorNumeric, "comparator-i;ascii-numeric"),
    (E::ComparatorOctet, "comparator-i;octet"),
    (E::Copy, "copy"),
    (E::Date, "date"),
    (E::Duplicate, "duplicate"),
    (E::EditHeader, "editheader"),
    (E::Enclose, "enclose"),
    (E::EncodedCharacter, "encoded-character"),
    (E::Enotify, "enotify"),
    (E::Envelope, "envelope"),
    (E::Environment, "environment"),
    (E::Ereject, "ereject"),
    (E::ExtLists, "extlists"),
    (E::ExtractText, "extracttext"),
    (E::FileInto, "fileinto"),
    (E::ForEveryPart, "foreverypart"),
    (E::Ihave, "ihave"),
    (E::Imap4Flags, "imap4flags"),
    (E::ImapSieve, "imapsieve"),
    (E::Include, "include"),
    (E::Index, "index"),
    (E::Mailbox, "mailbox"),
    (E::MailboxId, "mailboxid"),
    (E::Mime, "mime"),
    (E::Regex, "regex"),
    (E::Reject, "reject"),
    (E::Relational, "relational"),
    (E::Replace, "replace"),
    (E::SpamTest, "spamtest"),
    (E::SpamTestPlus, "spamtestplus"),
    (E::SpecialUse, "special-use"),
    (E::Subaddress, "subaddress"),
    (E::Vacation, "vacation"),
    (E::VacationSeconds, "vacation-seconds"),
    (E::Variables, "variables"),
    (E::VirusTest, "virustest"),
];

/// The capability strings (RFC 5228 §6), sorted: what `require` accepts and ManageSieve announces.
pub const CAPABILITIES: [&str; 38] = {
    let mut names = [""; 38];
    let mut at = 0;
    while at < NAMES.len() {
        names[at] = NAMES[at].1;
        at += 1;
    }
    names
};

impl Extension {
    /// The extension that a capability string names.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        NAMES
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(extension, _)| *extension)
    }

    /// Its capability string.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(known, _)| *known == self)
            .map_or("", |(_, name)| name)
    }
}

/// The extensions that a script may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Enabled(u64);

impl Enabled {
    pub(crate) fn add(&mut self, extension: Extension) {
        self.0 |= 1 << extension as u64;
        // RFC 6131 §2, RFC 5235 §2.1: the longer one has the shorter one in it.
        match extension {
            E::VacationSeconds => self.add(E::Vacation),
            E::SpamTestPlus => self.add(E::SpamTest),
            _ => {}
        }
    }

    pub(crate) fn has(self, extension: Extension) -> bool {
        self.0 >> extension as u64 & 1 == 1
    }
}
