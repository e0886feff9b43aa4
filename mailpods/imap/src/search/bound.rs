//! Where a text cannot be, told by the store before any message is read.

use mailpods_imap_proto::Positions;
use mailpods_store::mail::SoughtText;

use super::compile::Key;
use crate::failure::Failure;
use crate::session::Session;

/// Messages that the store looks at in one call.
const WINDOW: usize = 10_000;
/// With fewer messages it is no use.
const WORTH: u32 = 64;
/// Texts of one command that are asked for.
const MAX_TEXTS: usize = 8;

impl Session {
    /// Puts in front of each key that looks for a text the positions where the text may be.
    pub(super) async fn bound(&self, key: &mut Key) -> Result<(), Failure> {
        let within = key.candidates(self.view()?.count());
        if within
            .iter()
            .map(|range| range.end - range.start)
            .sum::<u32>()
            < WORTH
        {
            return Ok(());
        }
        let texts = key.leaves().into_iter();
        let texts = texts.filter_map(|leaf| Some((leaf.ask()?, leaf)));
        for (text, leaf) in texts.take(MAX_TEXTS) {
            let there = self.may_have(&within, &text).await?;
            let looks = std::mem::replace(leaf, Key::All);
            *leaf = Key::And(vec![Key::Positions(there), looks]);
        }
        Ok(())
    }

    async fn may_have(&self, within: &Positions, text: &SoughtText) -> Result<Positions, Failure> {
        let view = self.view()?;
        let mut found = Vec::new();
        for range in within {
            let uids = view.uids.get(range.start as usize..range.end as usize);
            for window in uids.unwrap_or_default().chunks(WINDOW) {
                if let (Some(first), Some(last)) = (window.first(), window.last()) {
                    let uids = *first..=*last;
                    found.extend(self.mail().may_have(view.id, uids, text.clone()).await?);
                }
            }
        }
        Ok(view.positions_of(&found))
    }
}
