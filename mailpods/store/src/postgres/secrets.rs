//! Sealed secrets and saved credentials. The key that seals them is given from outside and never in the database.

use async_trait::async_trait;
use mailpods_api::MailboxAddress;
use tokio_postgres::Row;
use zeroize::Zeroizing;

use super::Core;
use super::tx::get;
use crate::error::{Result, StoreError};
use crate::secrets::{DirectoryStore, SavedCredential, SecretStore};

fn sealed(row: &Row) -> Result<&[u8]> {
    get(row, 0)
}

const SELECT_SECRET: &str = "SELECT sealed FROM secret WHERE name = $1";

#[async_trait]
impl SecretStore for Core {
    async fn secret(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let connection = self.shared.pool.get().await?;
        let row = connection.row(SELECT_SECRET, &[&name]).await?;
        row.map(|row| self.shared.seal.open_secret(name, sealed(&row)?))
            .transpose()
    }

    async fn secret_or_put(
        &self,
        name: &str,
        value: Zeroizing<Vec<u8>>,
    ) -> Result<Zeroizing<Vec<u8>>> {
        let new = self.shared.seal.seal_secret(name, &value)?;
        let connection = self.shared.pool.get().await?;
        connection
            .execute(
                "INSERT INTO secret (name, sealed) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                &[&name, &new],
            )
            .await?;
        let row = connection.row(SELECT_SECRET, &[&name]).await?;
        let row = row.ok_or(StoreError::NotFound("secret"))?;
        self.shared.seal.open_secret(name, sealed(&row)?)
    }

    async fn put_secret(&self, name: &str, value: Zeroizing<Vec<u8>>) -> Result<()> {
        let new = self.shared.seal.seal_secret(name, &value)?;
        let connection = self.shared.pool.get().await?;
        connection
            .execute(
                "INSERT INTO secret (name, sealed) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed",
                &[&name, &new],
            )
            .await
            .map(drop)
    }

    async fn swap_secret(
        &self,
        name: &str,
        before: Option<&[u8]>,
        after: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<bool> {
        let seal = &self.shared.seal;
        let new = after.map(|value| seal.seal_secret(name, &value));
        let new = new.transpose()?;
        let connection = self.shared.pool.get().await?;
        let row = connection.row(SELECT_SECRET, &[&name]).await?;
        let old = row.as_ref().map(sealed).transpose()?;
        let there = old.map(|old| seal.open_secret(name, old)).transpose()?;
        if there.as_ref().map(|there| there.as_slice()) != before {
            return Ok(false);
        }
        // What was sealed anew has other octets, so that these tell whether it is still the same.
        let changed = match (old, new) {
            (None, None) => return Ok(true),
            (None, Some(new)) => {
                let sql =
                    "INSERT INTO secret (name, sealed) VALUES ($1, $2) ON CONFLICT DO NOTHING";
                connection.execute(sql, &[&name, &new]).await?
            }
            (Some(old), Some(new)) => {
                let sql = "UPDATE secret SET sealed = $3 WHERE name = $1 AND sealed = $2";
                connection.execute(sql, &[&name, &old, &new]).await?
            }
            (Some(old), None) => {
                let sql = "DELETE FROM secret WHERE name = $1 AND sealed = $2";
                connection.execute(sql, &[&name, &old]).await?
            }
        };
        Ok(changed > 0)
    }

    async fn secret_names(&self, prefix: &str) -> Result<Vec<String>> {
        let connection = self.shared.pool.get().await?;
        let rows = connection
            .query(
                "SELECT name FROM secret WHERE name >= $1 AND starts_with(name, $1) ORDER BY name",
                &[&prefix],
            )
            .await?;
        rows.iter().map(|row| get(row, 0)).collect()
    }

    async fn delete_secret(&self, name: &str) -> Result<()> {
        let connection = self.shared.pool.get().await?;
        connection
            .execute("DELETE FROM secret WHERE name = $1", &[&name])
            .await
            .map(drop)
    }
}

#[async_trait]
impl DirectoryStore for Core {
    async fn saved_credential(&self, account: &MailboxAddress) -> Result<Option<SavedCredential>> {
        let address = account.to_string();
        let connection = self.shared.pool.get().await?;
        let row = connection
            .row(
                "SELECT sealed FROM credential WHERE address = $1",
                &[&address],
            )
            .await?;
        row.map(|row| self.shared.seal.open_credential(&address, sealed(&row)?))
            .transpose()
    }

    async fn save_credential(
        &self,
        account: &MailboxAddress,
        credential: SavedCredential,
    ) -> Result<()> {
        let address = account.to_string();
        let new = self.shared.seal.seal_credential(&address, &credential)?;
        let connection = self.shared.pool.get().await?;
        connection
            .execute(
                "INSERT INTO credential (address, sealed) VALUES ($1, $2) ON CONFLICT (address) DO UPDATE SET sealed = excluded.sealed",
                &[&address, &new],
            )
            .await
            .map(drop)
    }
}
