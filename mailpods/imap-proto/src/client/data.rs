//! What the data mean that a move of mailboxes asks for.

use bytes::Bytes;

use super::Value;
use crate::date::DateTime;
use crate::utf7;

/// Attributes of a folder that are kept, and octets of one.
const MAX_ATTRIBUTES: usize = 50;
const MAX_ATTRIBUTE: usize = 100;

/// A folder as LIST or LSUB tells it (RFC 9051 §7.3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFolder {
    /// As it stands on the wire; commands name it so.
    pub raw: Bytes,
    /// The name as people read it.
    pub name: String,
    /// What separates its levels; `None` where there are none.
    pub delimiter: Option<char>,
    /// Attributes in lower case: `\noselect`, `\sent`.
    pub attributes: Vec<String>,
}

impl ListedFolder {
    /// Reads what follows `LIST` or `LSUB`.
    #[must_use]
    pub fn read(values: &[Value]) -> Option<Self> {
        let [attributes, delimiter, name, ..] = values else {
            return None;
        };
        let attributes = attributes.list()?.iter().filter_map(Value::text);
        let raw = match name {
            // A folder may well be called NIL.
            Value::Atom(octets) | Value::String(octets) => Bytes::copy_from_slice(octets),
            Value::TooLarge(_) | Value::List(_) => return None,
        };
        let text = match std::str::from_utf8(&raw) {
            Ok(text) => text.to_owned(),
            // Names of old servers, of one octet a character: different ones stay different.
            Err(_) => raw.iter().copied().map(char::from).collect(),
        };
        Some(Self {
            name: utf7::decode(&text).unwrap_or(text),
            raw,
            delimiter: delimiter.text().and_then(|text| text.chars().next()),
            attributes: attributes
                .filter(|text| text.len() <= MAX_ATTRIBUTE)
                .take(MAX_ATTRIBUTES)
                .map(str::to_ascii_lowercase)
                .collect(),
        })
    }

    /// Whether it has an attribute, given in lower case.
    #[must_use]
    pub fn has(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|one| one == attribute)
    }
}

/// What FETCH told of a message (RFC 9051 §7.5.2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fetched {
    /// UID
    pub uid: Option<u32>,
    /// FLAGS, as they stand.
    pub flags: Option<Vec<String>>,
    /// RFC822.SIZE
    pub size: Option<u64>,
    /// INTERNALDATE in seconds since 1970.
    pub received: Option<i64>,
    /// BODY[]
    pub body: Option<Body>,
    /// What names the message in whichever folder it is: X-GM-MSGID, or EMAILID (RFC 8474 §5.2).
    pub id: Option<Bytes>,
    /// BODY[HEADER.FIELDS (...)]
    pub header: Option<Bytes>,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Its octets.
    Octets(Bytes),
    /// It is larger than the limits; it has so many octets.
    TooLarge(u64),
    /// `NIL`: the server has none.
    Missing,
}

impl Fetched {
    /// Reads what follows `FETCH`. Items that are not known are passed over.
    #[must_use]
    pub fn read(values: &[Value]) -> Self {
        let items = values.first().and_then(Value::list).unwrap_or_default();
        let mut fetched = Self::default();
        for pair in items.chunks_exact(2) {
            if let [name, value] = pair {
                fetched.take(name.text().unwrap_or_default(), value);
            }
        }
        fetched
    }

    fn take(&mut self, name: &str, value: &Value) {
        match name.to_ascii_uppercase().as_str() {
            "UID" => self.uid = value.number().filter(|uid| *uid > 0),
            "FLAGS" => {
                let flags = value.list().unwrap_or_default().iter();
                self.flags = Some(flags.filter_map(Value::text).map(str::to_owned).collect());
            }
            "RFC822.SIZE" => self.size = value.number(),
            "INTERNALDATE" => {
                let date = value.text().and_then(DateTime::parse);
                self.received = date.map(|date| date.unix);
            }
            "X-GM-MSGID" => self.id = value.octets().cloned(),
            "EMAILID" => {
                let id = value.list().and_then(<[Value]>::first);
                self.id = id.and_then(Value::octets).cloned();
            }
            name if name.starts_with("BODY[HEADER.FIELDS") => self.header = value.octets().cloned(),
            "BODY[]" | "BINARY[]" | "RFC822" => {
                self.body = Some(match value {
                    Value::TooLarge(size) => Body::TooLarge(*size),
                    other => other.octets().cloned().map_or(Body::Missing, Body::Octets),
                });
            }
            _ => {}
        }
    }
}

/// Octets of the name of an annotation.
const MAX_ENTRY: usize = 255;

/// Reads what follows `METADATA` (RFC 5464 §4.4): names in lower case, and values. What has none, and names that cannot be, are passed
/// over.
pub fn annotations(values: &[Value]) -> impl Iterator<Item = (String, Bytes)> {
    let entries = values.get(1).and_then(Value::list).unwrap_or_default();
    entries.chunks_exact(2).filter_map(|pair| {
        let [name, value] = pair else {
            return None;
        };
        let name = name.text()?.to_ascii_lowercase();
        is_entry(&name).then_some((name, value.octets()?.clone()))
    })
}

/// RFC 5464 §3.2
fn is_entry(name: &str) -> bool {
    let mut levels = name.split('/');
    let rooted = levels.next() == Some("")
        && matches!(levels.clone().next(), Some("private" | "shared"))
        && levels.clone().count() > 1;
    let plain = |octet: u8| matches!(octet, 0x20..=0x7e) && !matches!(octet, b'*' | b'%');
    rooted
        && name.len() <= MAX_ENTRY
        && levels.all(|level| !level.is_empty())
        && name.bytes().all(plain)
}

/// Prefixes that are read of each kind of namespace.
const MAX_NAMESPACES: usize = 100;

/// The prefixes of a kind of namespaces with their delimiters: personal ones, those of other users, shared ones (RFC 2342 §5).
pub type Prefixes = Vec<(String, Option<char>)>;

/// Reads what follows `NAMESPACE`: personal namespaces, those of other users, shared ones.
#[must_use]
pub fn namespaces(values: &[Value]) -> [Prefixes; 3] {
    [0, 1, 2].map(|kind| prefixes(values.get(kind)))
}

fn prefixes(namespaces: Option<&Value>) -> Prefixes {
    let namespaces = namespaces.and_then(Value::list).unwrap_or_default();
    let read = |namespace: &Value| {
        let [prefix, delimiter, ..] = namespace.list()? else {
            return None;
        };
        let text = prefix.text()?;
        let prefix = utf7::decode(text).unwrap_or_else(|_| text.to_owned());
        Some((
            prefix,
            delimiter.text().and_then(|text| text.chars().next()),
        ))
    };
    let read = namespaces.iter().filter_map(read);
    read.take(MAX_NAMESPACES).collect()
}

/// A string as a command has it: quoted, or as a literal of RFC 7888 where it cannot be; `None` then where the server has no LITERAL+.
#[must_use]
pub fn argument(octets: &[u8], literal_plus: bool) -> Option<Vec<u8>> {
    let quotable = |octet: &u8| (0x20..0x7f).contains(octet);
    if octets.iter().all(quotable) {
        let mut quoted = vec![b'"'];
        for octet in octets {
            if matches!(octet, b'"' | b'\\') {
                quoted.push(b'\\');
            }
            quoted.push(*octet);
        }
        quoted.push(b'"');
        return Some(quoted);
    }
    if !literal_plus || octets.contains(&0) {
        return None;
    }
    let mut literal = format!("{{{}+}}\r\n", octets.len()).into_bytes();
    literal.extend_from_slice(octets);
    Some(literal)
}
