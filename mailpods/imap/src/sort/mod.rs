//! SORT (RFC 5256, RFC 5957): a column for each criterion, read from rows and stored facts, then the order of the messages. Of large
//! mailboxes that are sorted whole both are kept.

mod collate;
mod columns;
mod keys;
#[cfg(test)]
mod tests;

use mailpods_imap_proto::{SortCommand, SortCriterion, Tag};

use crate::failure::{Done, Failure};
use crate::heavy;
use crate::scan::ranges;
use crate::search::Answer;
use crate::session::Session;

pub(crate) use collate::collate;
use columns::Columns;
pub(crate) use keys::SortKeys;

/// Octets of text that one command compares or hashes; each message has some more.
pub(crate) const MAX_TEXT: usize = 64 * 1024 * 1024;
/// From so many messages on a command takes turns with others of its kind.
pub(crate) const MANY: usize = 2_000;

impl Session {
    /// RFC 5256 §3
    pub(crate) async fn sort(&mut self, tag: &Tag, command: SortCommand) -> Done {
        let found = self.searched(&command.search).await?;
        let positions = self.sorted(&found.positions, command.criteria).await?;
        let answer = Answer {
            uid: command.search.uid,
            returns: command.search.returns,
            mod_seq: found.mod_seq,
        };
        self.tell_found(tag, answer, &positions, true)
    }

    async fn sorted(
        &self,
        positions: &[u32],
        criteria: Vec<SortCriterion>,
    ) -> Result<Vec<u32>, Failure> {
        let many = positions.len() > MANY;
        let _turn = match many {
            true => Some(self.shared.orders.turn().await?),
            false => None,
        };
        let most = positions.len() >= self.view()?.uids.len() / 2;
        if many
            && most
            && let Some(order) = self.sorted_by_keys(positions, &criteria).await?
        {
            return Ok(order);
        }
        let mut columns = Columns::new(criteria);
        let needed = columns.needed();
        self.scan(&ranges(positions), needed, |position, entry| {
            columns.add(position, entry)
        })
        .await?;
        Ok(heavy::run(many, move || columns.order()).await?)
    }
}

/// A refusal of more than is held for one command.
pub(crate) fn too_many() -> Failure {
    Failure::no(
        mailpods_imap_proto::Code::Limit,
        "too many messages at once, search for fewer",
    )
}
