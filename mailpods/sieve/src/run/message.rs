//! The message as the script sees it, and the forms that its actions take.

use std::cell::OnceCell;
use std::sync::Arc;

use mailpods_message::edit::Edits;
use mailpods_message::header::header_len;
use mailpods_message::{Span, Structure};

use super::{Result, fail};
use crate::action::Version;
use crate::limits::Limits;

#[derive(Clone)]
pub(super) struct Message<'a> {
    original: &'a [u8],
    /// What `replace` or `enclose` put in the place of the original.
    replaced: Option<Vec<u8>>,
    /// The header with its changes and its empty line.
    header: Option<Vec<u8>>,
    /// New text for parts, by their place in the base.
    parts: Vec<(Span, Vec<u8>)>,
    structure: OnceCell<Arc<Structure>>,
    versions: Vec<Version>,
    /// The present form among the versions, when it is there already.
    current: Option<usize>,
    /// Octets of all edited forms.
    edited: usize,
}

impl<'a> Message<'a> {
    pub(super) fn new(original: &'a [u8]) -> Self {
        Self {
            original,
            replaced: None,
            header: None,
            parts: Vec::new(),
            structure: OnceCell::new(),
            versions: vec![Version::Original],
            current: Some(0),
            edited: 0,
        }
    }

    /// The message without changes to its header and parts.
    pub(super) fn base(&self) -> &[u8] {
        self.replaced.as_deref().unwrap_or(self.original)
    }

    /// The header with its changes.
    pub(super) fn header(&self) -> &[u8] {
        match &self.header {
            Some(header) => header,
            None => self
                .base()
                .get(..header_len(self.base()))
                .unwrap_or_default(),
        }
    }

    /// Everything after the empty line, without changes to parts.
    pub(super) fn body(&self) -> &[u8] {
        self.base()
            .get(header_len(self.base())..)
            .unwrap_or_default()
    }

    /// Octets of the present form, changes to parts aside (RFC 5228 §5.9).
    pub(super) fn size(&self) -> usize {
        self.header().len() + self.body().len()
    }

    /// The parts of the base.
    pub(super) fn structure(&self) -> Arc<Structure> {
        self.structure
            .get_or_init(|| Arc::new(Structure::parse(self.base())))
            .clone()
    }

    pub(super) fn set_header(&mut self, header: Vec<u8>) {
        self.header = Some(header);
        self.current = None;
    }

    /// Puts `text` in the place of a part; of a part inside another one that was replaced, nothing is left to replace.
    pub(super) fn set_part(&mut self, span: Span, text: Vec<u8>) {
        let inside =
            |inner: &Span, outer: &Span| outer.start <= inner.start && inner.end <= outer.end;
        if self
            .parts
            .iter()
            .any(|(outer, _)| inside(&span, outer) && *outer != span)
        {
            return;
        }
        self.parts.retain(|(inner, _)| !inside(inner, &span));
        self.parts.push((span, text));
        self.current = None;
    }

    /// Puts another message in the place of this one.
    pub(super) fn set_whole(&mut self, message: Vec<u8>) {
        self.replaced = Some(message);
        self.header = None;
        self.parts.clear();
        self.structure = OnceCell::new();
        self.current = None;
    }

    /// Forms that were made so far no longer count for the limit of edited octets.
    pub(super) fn edited_anew(&mut self) {
        self.edited = 0;
    }

    /// The present form whole, to be put into another message.
    pub(super) fn octets(&self) -> Vec<u8> {
        self.edits().apply(self.base())
    }

    fn edits(&self) -> Edits {
        let mut edits = Edits::new();
        if let Some(header) = &self.header {
            edits.replace(Span::new(0, header_len(self.base())), header);
        }
        for (span, text) in &self.parts {
            edits.replace(*span, text);
        }
        edits
    }

    /// The index of the present form (RFC 5293 §6: an action takes the message as it is now).
    pub(super) fn version(&mut self, limits: &Limits) -> Result<usize> {
        if let Some(current) = self.current {
            return Ok(current);
        }
        let edits = self.edits();
        let (version, octets) = match &self.replaced {
            None => {
                let octets = edits.len(self.original);
                (Version::Edited(edits), octets)
            }
            Some(base) => {
                let message = edits.apply(base);
                let octets = message.len();
                (Version::Replaced(message), octets)
            }
        };
        self.edited = self.edited.saturating_add(octets);
        if self.edited > limits.edited_octets {
            return fail(format!(
                "edited messages have more than {} octets together",
                limits.edited_octets
            ));
        }
        self.versions.push(version);
        let index = self.versions.len() - 1;
        self.current = Some(index);
        Ok(index)
    }

    pub(super) fn into_versions(self) -> Vec<Version> {
        self.versions
    }
}
