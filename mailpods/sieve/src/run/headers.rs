//! Values of header fields, addresses, and the envelope.

use mailpods_message::header::{Field, decode_text, fields, parse_addresses};
use mailpods_message::mime::{parse_content_type, parse_disposition};

use super::{Result, Run};
use crate::check::is_envelope_part;
use crate::program::{AddressPart, Index, Matching, MimePiece, Scope};
use crate::text::Text;

/// Most values that one test looks at.
const MAX_VALUES: usize = 10_000;

impl Run<'_> {
    /// The folded values of all fields with one of the names, for each header in scope.
    pub(super) fn raw_values(&mut self, names: &[Text], scope: &Scope) -> Result<Vec<Vec<u8>>> {
        let mut values = Vec::new();
        for name in names {
            let name = self.expand(name)?;
            for header in self.headers_in(scope) {
                self.charge(header.len())?;
                values.extend(field_values(&header, &name, scope.index));
                values.truncate(MAX_VALUES);
            }
        }
        Ok(values)
    }

    /// The headers that a test looks at: the message's, or those of MIME parts (RFC 5703 §4).
    fn headers_in(&self, scope: &Scope) -> Vec<Vec<u8>> {
        if !scope.mime {
            return vec![self.message.header().to_vec()];
        }
        let structure = self.message.structure();
        let mut parts = vec![self.parts.last().copied().unwrap_or(0)];
        if scope.any_child {
            let first = parts.first().copied().unwrap_or(0);
            parts.extend(super::mime::descendants(&structure, first));
        }
        let header = |part: u32| match part {
            0 => self.message.header().to_vec(),
            _ => structure.get(part).map_or_else(Vec::new, |part| {
                part.header.of(self.message.base()).to_vec()
            }),
        };
        parts.into_iter().map(header).collect()
    }

    /// RFC 5228 §5.7, RFC 5703 §4.1.
    pub(super) fn header_test(
        &mut self,
        headers: &[Text],
        scope: &Scope,
        matching: &Matching,
    ) -> Result<bool> {
        let raw = self.raw_values(headers, scope)?;
        let mut values = Vec::with_capacity(raw.len());
        for value in &raw {
            match &scope.piece {
                MimePiece::Whole => values.push(decode_text(value).trim().to_owned()),
                MimePiece::Param(names) => {
                    for name in names {
                        let name = self.expand(name)?.to_ascii_lowercase();
                        values.extend(param(value, &name));
                    }
                }
                piece => values.extend(type_piece(value, piece)),
            }
        }
        self.matches(matching, &values)
    }

    /// RFC 5228 §5.5.
    pub(super) fn exists(&mut self, headers: &[Text], scope: &Scope) -> Result<bool> {
        for name in headers {
            if self
                .raw_values(std::slice::from_ref(name), scope)?
                .is_empty()
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// RFC 5228 §5.1.
    pub(super) fn address_test(
        &mut self,
        headers: &[Text],
        part: AddressPart,
        scope: &Scope,
        matching: &Matching,
    ) -> Result<bool> {
        let raw = self.raw_values(headers, scope)?;
        let mut values = Vec::new();
        for value in &raw {
            let list = parse_addresses(value);
            for address in list.addresses() {
                let (local, host) = (address.mailbox.as_deref(), address.host.as_deref());
                let local = String::from_utf8_lossy(local.unwrap_or_default());
                let host = String::from_utf8_lossy(host.unwrap_or_default());
                values.extend(self.address_piece(&local, &host, part));
            }
            values.truncate(MAX_VALUES);
        }
        self.matches(matching, &values)
    }

    /// RFC 5228 §2.7.4, RFC 5233 §4: without a separator there is no detail.
    fn address_piece(&self, local: &str, host: &str, part: AddressPart) -> Option<String> {
        let split = local.find(self.input.separators.as_slice());
        Some(match part {
            AddressPart::All if host.is_empty() => local.to_owned(),
            AddressPart::All => format!("{local}@{host}"),
            AddressPart::LocalPart => local.to_owned(),
            AddressPart::Domain => host.to_owned(),
            AddressPart::User => split
                .and_then(|at| local.get(..at))
                .unwrap_or(local)
                .to_owned(),
            AddressPart::Detail => {
                let mut detail = local.get(split?..)?.chars();
                detail.next();
                detail.as_str().to_owned()
            }
        })
    }

    /// RFC 5228 §5.4: the null sender is empty in all its parts.
    pub(super) fn envelope_test(
        &mut self,
        parts: &[Text],
        part: AddressPart,
        matching: &Matching,
    ) -> Result<bool> {
        let mut values = Vec::new();
        for name in parts {
            let name = self.expand(name)?;
            if !is_envelope_part(&name) {
                return super::fail(format!(
                    "the envelope has no \"{}\"",
                    super::values::short(&name)
                ));
            }
            let envelope = self.envelope()?;
            let address = match name.to_ascii_lowercase().as_str() {
                "from" => Some(&envelope.from),
                "to" => Some(&envelope.to),
                _ => envelope.auth.as_ref(),
            };
            let Some(address) = address else { continue };
            let (local, host) = address.rsplit_once('@').unwrap_or((address, ""));
            values.extend(self.address_piece(local, host, part));
        }
        self.matches(matching, &values)
    }
}

/// The values of the fields called `name`, or the one that the index names (RFC 5260 §6).
pub(super) fn field_values(header: &[u8], name: &str, index: Option<Index>) -> Vec<Vec<u8>> {
    let named: Vec<Field> = fields(header)
        .filter(|field| field.is(header, name.as_bytes()))
        .take(MAX_VALUES)
        .collect();
    let value = |field: &Field| field.value(header).to_vec();
    match index {
        None => named.iter().map(value).collect(),
        Some(index) => pick(&named, index).map(value).into_iter().collect(),
    }
}

/// The item that an index names, counted from 1, from the end with `:last`.
pub(super) fn pick<T>(items: &[T], index: Index) -> Option<&T> {
    let at = usize::try_from(index.number.checked_sub(1)?).ok()?;
    if index.last {
        items.iter().rev().nth(at)
    } else {
        items.get(at)
    }
}

fn type_piece(value: &[u8], piece: &MimePiece) -> Option<String> {
    if let Some((main, sub, _)) = parse_content_type(value) {
        return Some(match piece {
            MimePiece::Type => main,
            MimePiece::Subtype => sub,
            _ => format!("{main}/{sub}"),
        });
    }
    // RFC 5703 §4.1: a disposition has a type alone.
    let (kind, _) = parse_disposition(value)?;
    Some(match piece {
        MimePiece::Subtype => String::new(),
        _ => kind,
    })
}

fn param(value: &[u8], name: &str) -> Vec<String> {
    let params = match parse_content_type(value) {
        Some((_, _, params)) => params,
        None => parse_disposition(value)
            .map(|(_, params)| params)
            .unwrap_or_default(),
    };
    params
        .into_iter()
        .filter(|(key, _)| key == name)
        .map(|(_, value)| value)
        .collect()
}
