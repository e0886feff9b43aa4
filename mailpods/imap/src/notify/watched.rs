//! Accounts whose changes are waited for.

use std::pin::Pin;

use futures_util::future::select_all;
use mailpods_store::{AccountId, MailStore};
use tokio::sync::watch;

/// Most accounts of others that are watched. What changes in those beyond is told with the next change of these.
const MAX_WATCHED: usize = 100;

/// The client's own account, and those whose mailboxes it sees.
pub(crate) struct Watched {
    accounts: Vec<(AccountId, watch::Receiver<u64>)>,
}

impl Watched {
    pub(super) fn new(store: &dyn MailStore, own: AccountId) -> Self {
        Self {
            accounts: vec![(own, store.watch_account(own))],
        }
    }

    /// Watches these others and no more. Whether one is new: what changed there before is not known.
    pub(super) fn follow(&mut self, store: &dyn MailStore, mut others: Vec<AccountId>) -> bool {
        others.sort_unstable();
        others.dedup();
        others.truncate(MAX_WATCHED);
        let own = self.accounts.first().map(|(own, _)| *own);
        self.accounts
            .retain(|(id, _)| Some(*id) == own || others.contains(id));
        let known: Vec<AccountId> = self.accounts.iter().map(|(id, _)| *id).collect();
        let new = others.into_iter().filter(|id| !known.contains(id));
        self.accounts
            .extend(new.map(|id| (id, store.watch_account(id))));
        self.accounts.len() > known.len()
    }

    pub(super) fn has_changed(&self) -> bool {
        self.accounts
            .iter()
            .any(|(_, account)| account.has_changed().unwrap_or(false))
    }

    pub(super) fn mark_unchanged(&mut self) {
        for (_, account) in &mut self.accounts {
            account.mark_unchanged();
        }
    }

    /// Until one of them has changed. The mark stays: who tells looks for it.
    pub(crate) async fn changed(&mut self) {
        type Change<'w> = Pin<Box<dyn Future<Output = ()> + Send + 'w>>;
        let each = self
            .accounts
            .iter_mut()
            .map(|(_, account)| -> Change<'_> { Box::pin(super::changed(Some(account))) });
        select_all(each).await;
    }
}
