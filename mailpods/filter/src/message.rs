//! The message as the checks see it: parsed once, borrowed.

use std::collections::HashMap;

use mail_auth::common::to_a_label;
use mailpods_message::header;
use memchr::memchr;

/// Author domains that are looked at.
pub(crate) const MAX_AUTHORS: usize = 5;

/// A header field as raw octets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawField<'a> {
    /// What is before the colon, white space included.
    pub(crate) name: &'a [u8],
    /// What is after it, with the line break.
    pub(crate) value: &'a [u8],
}

/// A message with its fields located.
pub(crate) struct Message<'a> {
    fields: Vec<RawField<'a>>,
    /// Positions of fields by lower-case name, top to bottom.
    by_name: HashMap<Box<[u8]>, Vec<usize>>,
    pub(crate) body: &'a [u8],
    /// The header is larger than what is looked at.
    pub(crate) truncated: bool,
}

impl<'a> Message<'a> {
    pub(crate) fn parse(octets: &'a [u8]) -> Self {
        let mut iter = header::fields(octets);
        let fields: Vec<RawField<'a>> = iter
            .by_ref()
            .filter_map(|field| raw(field.full.of(octets)))
            .collect();
        let mut by_name: HashMap<Box<[u8]>, Vec<usize>> = HashMap::with_capacity(fields.len());
        for (at, field) in fields.iter().enumerate() {
            by_name
                .entry(field.name.trim_ascii_end().to_ascii_lowercase().into())
                .or_default()
                .push(at);
        }
        let body = octets.get(header::header_len(octets)..).unwrap_or_default();
        Self {
            fields,
            by_name,
            body,
            truncated: iter.truncated(),
        }
    }

    /// The fields called `name` (lower case), top to bottom.
    pub(crate) fn fields_called(&self, name: &str) -> impl Iterator<Item = RawField<'a>> + '_ {
        let positions = self
            .by_name
            .get(name.as_bytes())
            .map(Vec::as_slice)
            .unwrap_or_default();
        positions
            .iter()
            .filter_map(|at| self.fields.get(*at).copied())
    }

    /// Fields in the order of `h=`: for each name the next one from the bottom, nothing when there is none left
    /// (RFC 6376 §5.4.2).
    pub(crate) fn signed(&self, names: &[String]) -> Vec<(&'a [u8], &'a [u8])> {
        let mut used: HashMap<&str, usize> = HashMap::with_capacity(names.len());
        let mut chosen = Vec::with_capacity(names.len());
        for name in names {
            let taken = used.entry(name).or_default();
            let positions = self
                .by_name
                .get(name.as_bytes())
                .map(Vec::as_slice)
                .unwrap_or_default();
            if let Some(field) = positions
                .iter()
                .rev()
                .nth(*taken)
                .and_then(|at| self.fields.get(*at))
            {
                chosen.push((field.name, field.value));
                *taken += 1;
            }
        }
        chosen
    }

    /// The author domains, A-labels in lower case, each once, and whether there are more than [`MAX_AUTHORS`].
    pub(crate) fn author_domains(&self) -> (Vec<String>, bool) {
        let mut domains: Vec<String> = Vec::new();
        for field in self.fields_called("from") {
            for address in header::parse_addresses(field.value).addresses() {
                let Some(domain) = address.host.as_deref().and_then(author_domain) else {
                    continue;
                };
                if !domains.contains(&domain) {
                    if domains.len() == MAX_AUTHORS {
                        return (domains, true);
                    }
                    domains.push(domain);
                }
            }
        }
        (domains, false)
    }
}

fn raw(full: &[u8]) -> Option<RawField<'_>> {
    let colon = memchr(b':', full)?;
    let (name, rest) = full.split_at_checked(colon)?;
    Some(RawField {
        name,
        value: rest.get(1..)?,
    })
}

fn author_domain(host: &[u8]) -> Option<String> {
    a_label(std::str::from_utf8(host).ok()?)
}

/// A domain as A-labels in lower case without a final dot; `None` for literals, overlong names and what DNS cannot hold.
pub(crate) fn a_label(domain: &str) -> Option<String> {
    let domain = domain.trim().trim_end_matches('.');
    if domain.is_empty() || domain.len() > 253 || domain.starts_with('[') {
        return None;
    }
    let name = to_a_label(domain);
    let valid = name.len() <= 253
        && name.bytes().all(|b| b.is_ascii_graphic())
        && name.split('.').all(|label| (1..=63).contains(&label.len()));
    valid.then(|| name.into_owned())
}
