//! Where a text cannot be, told by the store before any message is read.

use futures_util::{StreamExt as _, stream};
use mailpods_imap_proto::Positions;
use mailpods_store::mail::SoughtText;

use super::compile::Key;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::intersect;

/// Messages that the store looks at in one call.
const WINDOW: u32 = 5_000;
/// Calls at once; the readers of a store serve others, too.
const AT_ONCE: usize = 2;
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
        let (store, view) = (self.mail(), self.view()?);
        let windows = view.windows(within, WINDOW).into_iter();
        let asked =
            windows.map(|(first, last)| store.may_have(view.id, first..=last, text.clone()));
        let mut answers = stream::iter(asked).buffered(AT_ONCE);
        let mut found = Vec::new();
        while let Some(uids) = answers.next().await {
            found.extend(uids?);
        }
        Ok(intersect(&view.positions_of(&found), within))
    }
}
