//! What POP3 calls the messages of the source: a program that keeps mail on the server takes each message again whose name changes.
use mailpods_store::Uid;

/// Dovecot's `pop3_uidl_format` where nothing else is configured.
const DOVECOT: &str = "%08Xu%08Xv";
/// RFC 1939 §7
const MAX_NAME: usize = 70;

/// How names are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// Dovecot's where the server says that it is one, else none.
    Auto,
    /// New names.
    None,
    /// Parts of a format.
    Parts(Vec<Part>),
}

/// A part of a format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Text(String),
    Number {
        is_validity: bool,
        is_hexadecimal: bool,
        width: usize,
    },
}

/// Names of the messages of INBOX.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    parts: Vec<Part>,
    uid_validity: u32,
}

impl Format {
    /// `auto`, `none`, or a format of Dovecot with `%u` and `%v`.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            format => parts(format).map(Self::Parts).ok_or_else(|| {
                format!(
                    "found {format:?}; allowed: auto, none, or printable ASCII with %u (UID) and %v (UIDVALIDITY), as in {DOVECOT}; \
                     names made of file names or digests (%f, %m, %g) come with --from maildir:"
                )
            }),
        }
    }

    /// The names of a folder's messages; POP3 shows INBOX alone.
    pub fn names(&self, is_dovecot: bool, mailbox: &str, uid_validity: u32) -> Option<Names> {
        let parts = match self {
            _ if mailbox != "INBOX" => return None,
            Self::Auto if is_dovecot => parts(DOVECOT)?,
            Self::Auto | Self::None => return None,
            Self::Parts(parts) => parts.clone(),
        };
        Some(Names {
            parts,
            uid_validity,
        })
    }
}

impl Names {
    /// The name of a message.
    pub fn of(&self, uid: Uid) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Number {
                is_validity,
                is_hexadecimal,
                width,
            } => {
                let number = if *is_validity { self.uid_validity } else { uid };
                match is_hexadecimal {
                    true => format!("{number:0width$x}"),
                    false => format!("{number:0width$}"),
                }
            }
        };
        self.parts.iter().map(part).collect()
    }
}

fn parts(format: &str) -> Option<Vec<Part>> {
    let (mut parts, mut has_uid, mut longest) = (Vec::new(), false, 0);
    let mut rest = format;
    while let Some((text, after)) = rest.split_once('%') {
        parts.push(Part::Text(text.to_owned()));
        let end = after.find(|c: char| !c.is_ascii_digit() && c != 'X')?;
        let (modifiers, tail) = after.split_at(end);
        let (digits, is_hexadecimal) = match modifiers.strip_suffix('X') {
            Some(digits) => (digits, true),
            None => (modifiers, false),
        };
        let width = if digits.is_empty() {
            0
        } else {
            digits.parse().ok()?
        };
        let is_validity = match tail.get(..1)? {
            "u" => false,
            "v" => true,
            _ => return None,
        };
        has_uid |= !is_validity;
        longest += width.max(10) + text.len();
        parts.push(Part::Number {
            is_validity,
            is_hexadecimal,
            width,
        });
        rest = tail.get(1..)?;
    }
    parts.push(Part::Text(rest.to_owned()));
    let is_name = format.bytes().all(|octet| octet.is_ascii_graphic());
    (has_uid && is_name && longest + rest.len() <= MAX_NAME).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(format: &str) -> String {
        let format = Format::parse(format).unwrap();
        format
            .names(true, "INBOX", 1_275_660_208)
            .unwrap()
            .of(25_018)
    }

    #[test]
    fn names_are_made_as_dovecot_makes_them() {
        assert_eq!(name("auto"), "000061ba4c0907b0");
        assert_eq!(name("%08Xu%08Xv"), "000061ba4c0907b0");
        assert_eq!(name("UID%u-%v"), "UID25018-1275660208");
        assert_eq!(name("%v.%u"), "1275660208.25018");
    }

    #[test]
    fn pop3_shows_inbox_alone_and_guesses_nothing() {
        assert_eq!(Format::Auto.names(true, "Sent", 1), None);
        assert_eq!(Format::Auto.names(false, "INBOX", 1), None);
        assert_eq!(Format::None.names(true, "INBOX", 1), None);
    }

    #[test]
    fn formats_that_name_no_message_are_refused() {
        for format in ["%v", "%f", "%u x", "%", "%99u", "abc", ""] {
            assert!(
                Format::parse(format).unwrap_err().contains("%u"),
                "{format}"
            );
        }
    }
}
