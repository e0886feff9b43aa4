//! The bounded input buffer of a session.

/// Octets received and not yet taken. Grows from 2 KiB to its limit and shrinks back when empty.
#[derive(Debug)]
pub(crate) struct Input {
    octets: Vec<u8>,
    start: usize,
    limit: usize,
}

const AT_REST: usize = 2048;

impl Input {
    pub(crate) fn new(limit: usize) -> Input {
        Input {
            octets: Vec::new(),
            start: 0,
            limit,
        }
    }

    /// Takes as much as fits; gives the number of octets taken.
    pub(crate) fn feed(&mut self, octets: &[u8]) -> usize {
        self.compact(octets.len());
        let room = self.limit.saturating_sub(self.octets.len());
        let taken = octets.get(..room).unwrap_or(octets);
        self.octets.extend_from_slice(taken);
        taken.len()
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        self.octets.get(self.start..).unwrap_or(&[])
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.octets.len());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// Octets that [`Input::feed`] would take now.
    pub(crate) fn room(&self) -> usize {
        self.limit.saturating_sub(self.as_slice().len())
    }

    /// The octets consumed last, `before` positions back; for a slice handed out after its consumption.
    pub(crate) fn consumed(&self, before: usize, length: usize) -> &[u8] {
        let from = self.start.saturating_sub(before);
        self.octets.get(from..from + length).unwrap_or(&[])
    }

    pub(crate) fn clear(&mut self) {
        self.octets = Vec::new();
        self.start = 0;
    }

    fn compact(&mut self, coming: usize) {
        if self.start == self.octets.len() {
            self.octets.clear();
            if coming <= AT_REST && self.octets.capacity() > AT_REST {
                self.octets.shrink_to(AT_REST);
            }
        } else if self.start > 0 {
            self.octets.drain(..self.start);
        }
        self.start = 0;
    }
}
