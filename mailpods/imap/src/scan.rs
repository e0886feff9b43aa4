//! Reading the entries at some positions of the view, in batches.

use mailpods_imap_proto::Positions;
use mailpods_imap_proto::sequence::push_range;
use mailpods_store::mail::{Columns, Entry};

use crate::failure::Failure;
use crate::session::Session;
use crate::view::contains;

/// Entries read at once.
const BATCH: usize = 500;
/// Entries read at once with their stored facts.
const META_BATCH: usize = 128;

impl Session {
    /// Gives each entry with its position to `each`, ascending. What others have expunged is passed over.
    pub(crate) async fn scan(
        &self,
        positions: &Positions,
        columns: Columns,
        mut each: impl FnMut(u32, &Entry) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let (store, view) = (self.mail(), self.view()?);
        let columns = view.own(columns);
        let limit = if columns.meta { META_BATCH } else { BATCH };
        for (mut first, last) in view.reads(positions) {
            loop {
                let range = first..=last;
                let entries = store.entries(view.id, range, 0, columns, limit).await?;
                for entry in &entries {
                    let position = view.number(entry.uid).map(|number| number - 1);
                    if let Some(position) = position.filter(|at| contains(positions, *at)) {
                        each(position, entry)?;
                    }
                }
                match entries.last() {
                    Some(end) if entries.len() == limit && end.uid < last => first = end.uid + 1,
                    _ => break,
                }
            }
        }
        Ok(())
    }
}

/// Ascending positions as ranges.
pub(crate) fn ranges(positions: &[u32]) -> Positions {
    let mut ranges = Positions::new();
    for position in positions {
        push_range(&mut ranges, *position..*position + 1);
    }
    ranges
}
