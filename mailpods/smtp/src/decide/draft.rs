//! A message on its way into the queue.

use bytes::Bytes;
use mailpods_message::Meta;
use mailpods_message::edit::Edits;
use mailpods_policy::Reason;
use mailpods_store::NewBody;

/// Beyond this many octets the facts of a message are computed off the session's thread.
const INLINE: usize = 256 * 1024;

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

    /// The body to store and its size in octets. For a message that a mailbox here gets, the facts that IMAP asks for are
    /// computed now, once; a message that only goes on is not even copied.
    pub(crate) async fn into_body(self, local: bool) -> (u64, NewBody) {
        let octets = self.edits.len(&self.message) as u64;
        if !local {
            return (
                octets,
                NewBody::Octets {
                    slices: self.slices(),
                    meta: None,
                },
            );
        }
        let whole = Bytes::from(self.edits.apply(&self.message));
        drop(self);
        let meta = if whole.len() <= INLINE {
            Some(Meta::compute(&whole).encode())
        } else {
            compute(whole.clone()).await
        };
        (
            octets,
            NewBody::Octets {
                slices: vec![whole],
                meta,
            },
        )
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

async fn compute(message: Bytes) -> Option<Vec<u8>> {
    tokio::task::spawn_blocking(move || Meta::compute(&message).encode())
        .await
        .ok()
}
