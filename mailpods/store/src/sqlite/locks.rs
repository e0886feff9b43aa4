//! Locks, by the clock of this machine. They need not outlive it.

use std::time::Duration;

use async_trait::async_trait;

use super::Core;
use super::tx::Tx;
use crate::common::{locks, unix_millis};
use crate::error::Result;
use crate::locks::LockStore;
use crate::types::UnixMillis;

const LOCK: &str = "INSERT INTO lock (name, holder, until) VALUES (?1, ?2, ?3)
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until WHERE holder = excluded.holder OR until <= ?4";

/// Removes what has ended.
pub(super) fn sweep(tx: &Tx<'_>, now: UnixMillis) -> Result<()> {
    tx.execute("DELETE FROM lock WHERE until <= ?1", [now])
        .map(drop)
}

fn hold(tx: &Tx<'_>, name: &str, holder: &str, until: UnixMillis) -> Result<bool> {
    let sql = "UPDATE lock SET until = ?3 WHERE name = ?1 AND holder = ?2";
    Ok(tx.execute(sql, (name, holder, until))? > 0)
}

#[async_trait]
impl LockStore for Core {
    async fn lock(&self, name: &str, holder: &str, hold: Duration) -> Result<bool> {
        locks::check(&[name, holder])?;
        let (name, holder) = (name.to_owned(), holder.to_owned());
        self.write_lazily(move |tx| {
            let now = unix_millis();
            let until = now.saturating_add(locks::millis(hold));
            Ok(tx.execute(LOCK, (name, holder, until, now))? > 0)
        })
        .await
    }

    async fn hold_locks(
        &self,
        mut names: Vec<String>,
        holder: &str,
        hold_for: Duration,
    ) -> Result<Vec<String>> {
        let holder = holder.to_owned();
        self.write_lazily(move |tx| {
            let until = unix_millis().saturating_add(locks::millis(hold_for));
            let mut held = Vec::with_capacity(names.len());
            for name in names.drain(..) {
                if hold(tx, &name, &holder, until)? {
                    held.push(name);
                }
            }
            Ok(held)
        })
        .await
    }

    async fn unlock(&self, name: &str, holder: &str) -> Result<()> {
        let (name, holder) = (name.to_owned(), holder.to_owned());
        self.write_lazily(move |tx| {
            let sql = "DELETE FROM lock WHERE name = ?1 AND holder = ?2";
            tx.execute(sql, (name, holder)).map(drop)
        })
        .await
    }
}
