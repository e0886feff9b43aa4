//! A message on its way into the queue.

use bytes::Bytes;
use mailpods_message::edit::Edits;
use mailpods_policy::Reason;
use mailpods_store::NewBody;

/// A message, what is to be changed in it, and the verdict so far.
pub(crate) struct Draft {
    pub(crate) message: Bytes,
    pub(crate) edits: Edits,
    pub(crate) junk: bool,
    pub(crate) reason: Reason,
}

impl Draft {
    pub(crate) fn new(message: Bytes) -> Draft {
        Draft {
            message,
            edits: Edits::new(),
            junk: false,
            reason: Reason::Accepted,
        }
    }

    /// The body to store and its size in octets. Nothing of the message is copied.
    pub(crate) fn into_body(self) -> (u64, NewBody) {
        let body = NewBody::Octets {
            slices: self.slices(),
            meta: None,
        };
        (self.edits.len(&self.message) as u64, body)
    }

    fn slices(&self) -> Vec<Bytes> {
        let held = self.message.as_ptr_range();
        let shared = |slice: &[u8]| held.contains(&slice.as_ptr());
        let own = |slice: &[u8]| {
            if shared(slice) {
                self.message.slice_ref(slice)
            } else {
                Bytes::copy_from_slice(slice)
            }
        };
        self.edits.slices(&self.message).map(own).collect()
    }
}
