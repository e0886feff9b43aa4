//! Tag lists: `tag=value; tag=value` (RFC 6376 §3.2), shared by signatures, keys, ARC sets and DMARC records.

/// Tags of one list that are looked at.
const MAX_TAGS: usize = 64;

/// Why a list is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TagError {
    /// A tag without `=` or with an invalid name.
    #[error("invalid tag")]
    Invalid,
    /// The same tag twice (RFC 6376 §3.2: the whole list is invalid).
    #[error("a tag occurs twice")]
    Duplicate,
    /// More tags than anybody writes.
    #[error("too many tags")]
    TooMany,
}

/// A parsed tag list. Names are compared with their case, values are trimmed and keep inner white space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tags<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Tags<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, TagError> {
        let mut tags: Vec<(&str, &str)> = Vec::with_capacity(12);
        for spec in text.split(';') {
            let spec = spec.trim_ascii();
            if spec.is_empty() {
                continue;
            }
            let (name, value) = spec.split_once('=').ok_or(TagError::Invalid)?;
            let name = name.trim_ascii_end();
            if !is_name(name) {
                return Err(TagError::Invalid);
            }
            if tags.iter().any(|(known, _)| *known == name) {
                return Err(TagError::Duplicate);
            }
            if tags.len() == MAX_TAGS {
                return Err(TagError::TooMany);
            }
            tags.push((name, value.trim_ascii_start()));
        }
        Ok(Self(tags))
    }

    /// The first tag.
    pub(crate) fn first(&self) -> Option<(&'a str, &'a str)> {
        self.0.first().copied()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.0
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| *value)
    }

    /// A value without any white space: domains, selectors, numbers, base64 that was folded.
    pub(crate) fn compact(&self, name: &str) -> Option<String> {
        self.get(name)
            .map(|value| value.chars().filter(|c| !c.is_ascii_whitespace()).collect())
    }
}

/// `ALPHA *(ALPHA / DIGIT / "_")`
fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The value of a signature field with what its `b` tag holds taken out (RFC 6376 §3.7), and without its final line break.
pub(crate) fn without_signature(value: &[u8]) -> Vec<u8> {
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    let value = value.strip_suffix(b"\r").unwrap_or(value);
    let mut out = Vec::with_capacity(value.len());
    for (n, spec) in value.split(|b| *b == b';').enumerate() {
        if n > 0 {
            out.push(b';');
        }
        match spec.iter().position(|b| *b == b'=') {
            Some(at) if spec.get(..at).is_some_and(|name| name.trim_ascii() == b"b") => {
                out.extend_from_slice(spec.get(..=at).unwrap_or_default());
            }
            _ => out.extend_from_slice(spec),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{TagError, Tags, without_signature};

    #[test]
    fn a_list_is_read_as_written() {
        let tags = Tags::parse(" v=1;\r\n\ta = rsa-sha256 ;d=x ; b=ab\r\n cd== ;").unwrap();
        assert_eq!(tags.first(), Some(("v", "1")));
        assert_eq!(tags.get("a"), Some("rsa-sha256"));
        assert_eq!(tags.compact("b").as_deref(), Some("abcd=="));
        assert_eq!(tags.get("D"), None);
    }

    #[test]
    fn broken_lists_are_refused() {
        assert_eq!(Tags::parse("v=1; v=2"), Err(TagError::Duplicate));
        assert_eq!(Tags::parse("v=1; what"), Err(TagError::Invalid));
        assert_eq!(Tags::parse("=1"), Err(TagError::Invalid));
        let many: String = (0..100).map(|n| format!("a{n}=1;")).collect();
        assert_eq!(Tags::parse(&many), Err(TagError::TooMany));
    }

    #[test]
    fn only_the_signature_is_taken_out() {
        assert_eq!(
            without_signature(b" a=1; b=AB\r\n\tCD= ; bh=xx; d=b=1\r\n"),
            b" a=1; b=; bh=xx; d=b=1"
        );
        assert_eq!(without_signature(b" bh=b; b =xyz\r\n"), b" bh=b; b =");
        assert_eq!(without_signature(b""), b"");
    }
}
