//! Secrets whose reads fail when a test wants it.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use mailpods_store::{SecretStore, StoreError};
use zeroize::Zeroizing;

type Result<T> = std::result::Result<T, StoreError>;

pub(crate) struct Closed {
    inner: Arc<dyn SecretStore>,
    /// Names that begin so cannot be read.
    prefix: Mutex<Option<&'static str>>,
}

impl Closed {
    pub(crate) fn new(inner: Arc<dyn SecretStore>, prefix: Option<&'static str>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            prefix: Mutex::new(prefix),
        })
    }

    pub(crate) fn set(&self, prefix: Option<&'static str>) {
        *self.prefix.lock().unwrap() = prefix;
    }

    fn look(&self, name: &str) -> Result<()> {
        match *self.prefix.lock().unwrap() {
            Some(prefix) if name.starts_with(prefix) => {
                Err(StoreError::Unavailable("closed by the test".to_owned()))
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl SecretStore for Closed {
    async fn secret(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>> {
        self.look(name)?;
        self.inner.secret(name).await
    }

    async fn secret_or_put(
        &self,
        name: &str,
        value: Zeroizing<Vec<u8>>,
    ) -> Result<Zeroizing<Vec<u8>>> {
        self.look(name)?;
        self.inner.secret_or_put(name, value).await
    }

    async fn put_secret(&self, name: &str, value: Zeroizing<Vec<u8>>) -> Result<()> {
        self.inner.put_secret(name, value).await
    }

    async fn swap_secret(
        &self,
        name: &str,
        before: Option<&[u8]>,
        after: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<bool> {
        self.look(name)?;
        self.inner.swap_secret(name, before, after).await
    }

    async fn secret_names(&self, prefix: &str) -> Result<Vec<String>> {
        self.inner.secret_names(prefix).await
    }

    async fn delete_secret(&self, name: &str) -> Result<()> {
        self.inner.delete_secret(name).await
    }
}
