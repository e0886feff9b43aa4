//! Reading the entries at some positions of the view, in batches.

use mailpods_imap_proto::Positions;
use mailpods_imap_proto::sequence::push_range;
use mailpods_store::Uid;
use mailpods_store::mail::{Columns, Entry};

use crate::failure::Failure;
use crate::session::Session;

/// Entries read at once.
const BATCH: usize = 500;
/// Entries read at once with their stored facts.
const META_BATCH: usize = 512;

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
        for (first, last) in view.reads(positions) {
            let read = async |first: Option<Uid>| match first {
                Some(first) => {
                    store
                        .entries(view.id, first..=last, 0, columns, limit)
                        .await
                }
                None => Ok(Vec::new()),
            };
            let mut entries = read(Some(first)).await?;
            while let Some(end) = entries.last().map(|entry| entry.uid) {
                let next = (entries.len() == limit && end < last).then_some(end + 1);
                let given = async {
                    for (number, mut entry) in view.numbered(entries, positions) {
                        if columns.meta && entry.meta.is_none() {
                            entry.meta = Some(store.body_meta(entry.body).await?);
                        }
                        each(number - 1, &entry)?;
                    }
                    Ok::<_, Failure>(())
                };
                // The next ones are read meanwhile.
                let (ahead, done) = tokio::join!(read(next), given);
                done?;
                entries = ahead?;
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
