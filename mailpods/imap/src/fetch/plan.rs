//! What a FETCH needs of the store.

use mailpods_imap_proto::{FetchCommand, FetchItem, Partial, Section, SectionText};
use mailpods_store::ModSeq;
use mailpods_store::mail::Columns;

/// One thing to tell that needs octets of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BodyItem {
    /// BODY[...], and under another name RFC822, RFC822.HEADER, RFC822.TEXT.
    Section {
        section: Section,
        partial: Option<Partial>,
        name: Option<&'static str>,
    },
    /// BINARY[...]
    Binary {
        part: Vec<u32>,
        partial: Option<Partial>,
    },
    /// BINARY.SIZE[...]
    BinarySize(Vec<u32>),
}

/// A FETCH, sorted by what it costs.
#[derive(Debug)]
pub(crate) struct FetchPlan {
    /// What needs no octets of the message.
    pub(crate) items: Vec<FetchItem>,
    /// What does.
    pub(crate) body: Vec<BodyItem>,
    pub(crate) columns: Columns,
    pub(crate) marks_seen: bool,
    pub(crate) mod_seq: bool,
    pub(crate) preview: bool,
    /// 0: all.
    pub(crate) changed_since: ModSeq,
}

impl FetchPlan {
    pub(crate) fn new(command: FetchCommand) -> Self {
        let marks_seen = command.items.iter().any(marks_seen);
        let (mut items, mut body) = (Vec::new(), Vec::new());
        for item in command.items {
            match body_item(item) {
                Ok(needs_octets) => body.push(needs_octets),
                Err(plain) => items.push(plain),
            }
        }
        let preview = items.contains(&FetchItem::Preview);
        items.retain(|item| *item != FetchItem::Preview);
        let meta = |item: &FetchItem| {
            matches!(
                item,
                FetchItem::Envelope | FetchItem::Body | FetchItem::BodyStructure
            )
        };
        Self {
            columns: Columns {
                prefix: !body.is_empty() || items.contains(&FetchItem::EmailId),
                meta: preview || body.iter().any(needs_parts) || items.iter().any(meta),
                reader: None,
            },
            mod_seq: items.contains(&FetchItem::ModSeq),
            marks_seen,
            preview,
            changed_since: command.changed_since.unwrap_or(0),
            items,
            body,
        }
    }
}

impl FetchPlan {
    /// Whether flags are all that is told of every message.
    pub(crate) fn flags_alone(&self) -> bool {
        let of_flags = |item: &FetchItem| {
            matches!(item, FetchItem::Flags | FetchItem::ModSeq | FetchItem::Uid)
        };
        let alone = self.items.iter().all(of_flags) && self.items.contains(&FetchItem::Flags);
        alone && self.body.is_empty() && !self.preview && self.changed_since == 0
    }
}

/// Whether the parts of a message must be known: not for all of it, which is what is fetched most.
fn needs_parts(item: &BodyItem) -> bool {
    match item {
        BodyItem::Section { section, .. } => !section.part.is_empty() || section.text.is_some(),
        BodyItem::Binary { .. } | BodyItem::BinarySize(_) => true,
    }
}

fn marks_seen(item: &FetchItem) -> bool {
    match item {
        FetchItem::Section { peek, .. } | FetchItem::Binary { peek, .. } => !peek,
        // RFC 3501 §6.4.5: RFC822.HEADER is a peek
        FetchItem::Rfc822 | FetchItem::Rfc822Text => true,
        _ => false,
    }
}

/// The item as one that needs octets, or back as it is.
fn body_item(item: FetchItem) -> Result<BodyItem, FetchItem> {
    let named = |name, text| BodyItem::Section {
        section: Section {
            part: Vec::new(),
            text,
        },
        partial: None,
        name: Some(name),
    };
    Ok(match item {
        FetchItem::Section {
            section, partial, ..
        } => BodyItem::Section {
            section,
            partial,
            name: None,
        },
        FetchItem::Binary { part, partial, .. } => BodyItem::Binary { part, partial },
        FetchItem::BinarySize(part) => BodyItem::BinarySize(part),
        FetchItem::Rfc822 => named("RFC822", None),
        FetchItem::Rfc822Header => named("RFC822.HEADER", Some(SectionText::Header)),
        FetchItem::Rfc822Text => named("RFC822.TEXT", Some(SectionText::Text)),
        other => return Err(other),
    })
}
