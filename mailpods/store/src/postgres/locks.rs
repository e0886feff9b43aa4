//! Locks, by the clock of the database. A crash of the database may free them: who relies on one for a change asks for it again first.

use std::time::Duration;

use async_trait::async_trait;

use super::Core;
use super::shared::Shared;
use super::tx::{get, lazily};
use crate::common::locks;
use crate::error::Result;
use crate::locks::LockStore;

const NOW: &str = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// Removes what has ended.
pub(super) async fn sweep(shared: &Shared) -> Result<()> {
    let sql = format!("DELETE FROM lock WHERE until <= {NOW}");
    lazily(shared, &sql, &[]).await.map(drop)
}

#[async_trait]
impl LockStore for Core {
    async fn lock(&self, name: &str, holder: &str, hold: Duration) -> Result<bool> {
        locks::check(&[name, holder])?;
        let sql = format!(
            "INSERT INTO lock AS l (name, holder, until) VALUES ($1, $2, {NOW} + $3)
             ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
             WHERE l.holder = excluded.holder OR l.until <= {NOW} RETURNING true"
        );
        let hold = locks::millis(hold);
        let rows = lazily(&self.shared, &sql, &[&name, &holder, &hold]).await?;
        Ok(!rows.is_empty())
    }

    async fn hold_locks(
        &self,
        names: Vec<String>,
        holder: &str,
        hold: Duration,
    ) -> Result<Vec<String>> {
        let sql = format!(
            "UPDATE lock SET until = {NOW} + $3 WHERE name = ANY ($1) AND holder = $2 RETURNING name"
        );
        let hold = locks::millis(hold);
        let rows = lazily(&self.shared, &sql, &[&names, &holder, &hold]).await?;
        rows.iter().map(|row| get(row, 0)).collect()
    }

    async fn unlock(&self, name: &str, holder: &str) -> Result<()> {
        let sql = "DELETE FROM lock WHERE name = $1 AND holder = $2";
        lazily(&self.shared, sql, &[&name, &holder]).await.map(drop)
    }
}
