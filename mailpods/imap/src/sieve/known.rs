//! Which scripts the mailboxes of an account have: looked for once while it has a session, and again when its annotations or scripts
//! have changed. So an account without any costs its commands nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use mailpods_api::MailboxAddress;
use mailpods_store::mail::Annotation;
use mailpods_store::sieve::personal::{Cache, Personal};
use mailpods_store::{AccountId, MailStore, MailboxId, ScriptStore, StoreError};
use tokio::sync::watch;

use super::ENTRY;

/// What this process knows of accounts that have sessions here.
#[derive(Default)]
pub(crate) struct Known {
    accounts: Mutex<HashMap<AccountId, Arc<Chosen>>>,
    scripts: Cache,
}

/// The scripts of an account's mailboxes.
pub(super) struct Chosen {
    changes: watch::Receiver<u64>,
    /// By mailbox, and for all others; `None` where the name that was chosen is no script's.
    names: HashMap<Option<MailboxId>, Option<String>>,
    /// Where any has one. Kept by the cache alone, which bounds what all of them take.
    personal: Weak<Personal>,
}

impl Chosen {
    /// RFC 6785 §2.3.1: a mailbox's own entry goes before that of the account, whatever it says.
    fn name(&self, mailbox: MailboxId) -> Option<&str> {
        let own = self.names.get(&Some(mailbox));
        own.or_else(|| self.names.get(&None))?.as_deref()
    }
}

/// Where scripts, and what chooses them, are kept.
#[derive(Clone, Copy)]
pub(super) struct Stores<'a> {
    pub(super) mail: &'a dyn MailStore,
    pub(super) scripts: &'a dyn ScriptStore,
}

/// An account and its address.
type Owner<'a> = (AccountId, &'a MailboxAddress);

impl Known {
    fn accounts(&self) -> MutexGuard<'_, HashMap<AccountId, Arc<Chosen>>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The account has no session any more.
    pub(crate) fn forget(&self, account: AccountId) {
        self.accounts().remove(&account);
    }

    /// The script of a mailbox: its name, among those of its owner.
    pub(super) async fn script(
        &self,
        stores: Stores<'_>,
        owner: Owner<'_>,
        mailbox: MailboxId,
    ) -> Result<Option<(String, Arc<Personal>)>, StoreError> {
        let chosen = self.chosen(stores, owner).await?;
        let Some(name) = chosen.name(mailbox) else {
            return Ok(None);
        };
        let personal = match chosen.personal.upgrade() {
            Some(personal) => Some(personal),
            None => self.personal(stores, owner).await?,
        };
        let personal = personal.filter(|personal| personal.has(name));
        Ok(personal.map(|personal| (name.to_owned(), personal)))
    }

    async fn chosen(
        &self,
        stores: Stores<'_>,
        owner: Owner<'_>,
    ) -> Result<Arc<Chosen>, StoreError> {
        let account = owner.0;
        let known = self.accounts().get(&account).cloned();
        if let Some(known) = known
            && known.changes.has_changed().is_ok_and(|changed| !changed)
        {
            return Ok(known);
        }
        // From before the look, so that nothing is missed.
        let changes = stores.mail.watch_settings(account);
        let mut entries = stores.mail.all_annotations(account).await?;
        entries.retain(|(_, one)| one.entry == ENTRY);
        let personal = match entries.is_empty() {
            true => None,
            false => self.personal(stores, owner).await?,
        };
        let name = |one: Annotation| {
            let name = String::from_utf8(one.value.into()).ok()?;
            personal.as_ref()?.has(&name).then_some(name)
        };
        let names = entries.into_iter().map(|(of, one)| (of, name(one)));
        let chosen = Arc::new(Chosen {
            changes,
            names: names.collect(),
            personal: personal.as_ref().map(Arc::downgrade).unwrap_or_default(),
        });
        self.accounts().insert(account, Arc::clone(&chosen));
        Ok(chosen)
    }

    async fn personal(
        &self,
        stores: Stores<'_>,
        (_, address): Owner<'_>,
    ) -> Result<Option<Arc<Personal>>, StoreError> {
        let addresses = std::slice::from_ref(address);
        Ok(self
            .scripts
            .of(stores.scripts, addresses)
            .await?
            .remove(address))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use mailpods_store::mail::{Flags, NewMail};
    use mailpods_store::sqlite::{Options, open};
    use mailpods_store::{NewBody, Quota, Store};

    use super::*;

    fn mail() -> NewMail {
        let octets = Bytes::from_static(b"Subject: x\r\n\r\nx\r\n");
        NewMail {
            body: NewBody::Octets {
                meta: None,
                slices: vec![octets],
            },
            prefix: Bytes::new(),
            flags: Flags::default(),
            received: 0,
        }
    }

    async fn annotate(store: &Store, account: AccountId, of: Option<MailboxId>, script: &str) {
        let value = Some(Bytes::copy_from_slice(script.as_bytes()));
        let written = store
            .mail
            .annotate(account, of, vec![(ENTRY.to_owned(), value)]);
        written.await.unwrap();
    }

    async fn put(store: &Store, account: AccountId, name: &str, source: &'static str) {
        let put = store.scripts.put_script(account, name, source.into());
        put.await.unwrap();
    }

    #[tokio::test]
    async fn an_account_is_looked_at_again_when_its_annotations_or_scripts_change() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), Options::default()).unwrap();
        let address = MailboxAddress::parse("alice@example.test").unwrap();
        let account = store.mail.account(&address).await.unwrap();
        let inbox = store.mail.mailbox(account, "INBOX").await.unwrap();
        let inbox = inbox.unwrap().id;
        let known = Known::default();
        let stores = Stores {
            mail: &*store.mail,
            scripts: &*store.scripts,
        };
        let owner = (account, &address);
        let look = async || known.chosen(stores, owner).await.unwrap();
        let script = async || known.script(stores, owner, inbox).await.unwrap();

        let first = look().await;
        store
            .mail
            .append(inbox, vec![mail()], Quota::default())
            .await
            .unwrap();
        assert!(Arc::ptr_eq(&first, &look().await), "mail changes nothing");
        assert!(script().await.is_none());

        annotate(&store, account, None, "all").await;
        put(&store, account, "all", "keep;").await;
        let (name, all) = script().await.unwrap();
        assert_eq!(name, "all");
        let second = look().await;
        let (_, again) = script().await.unwrap();
        assert!(Arc::ptr_eq(&all, &again), "it is compiled once");
        assert!(Arc::ptr_eq(&second, &look().await));

        put(&store, account, "all", "stop;").await;
        let (_, changed) = script().await.unwrap();
        assert_eq!(changed.source("all"), Some(&b"stop;"[..]));
        annotate(&store, account, Some(inbox), "nowhere").await;
        assert!(script().await.is_none(), "its own entry goes before");
        known.forget(account);
        assert!(known.accounts().is_empty());
    }
}
