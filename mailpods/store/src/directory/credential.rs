//! The credential of an account: what the plan says, and what was learned at earlier log-ins.
use std::time::{Duration, Instant};

use mailpods_plan::{CredentialKind, Mailbox};
use mailpods_sasl::password::hash_argon2id;
use mailpods_sasl::{Credential, PasswordError, PasswordHash, ScramKeys, Secret};
use zeroize::Zeroizing;

use super::memory::lock;
use super::{HASHER_WAIT, Inner, Refusal, digest, random};
use crate::error::StoreError;
use crate::secrets::SavedCredential;

/// A hash of nothing: checking a password against it costs what a real check does.
const DUMMY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// How long keys derived from a password in clear are kept.
const SCRAM_LIFE: Duration = Duration::from_secs(24 * 3600);

impl Inner {
    /// Digest of what the plan says; it changes when the resource's password does.
    pub(super) fn fingerprint(&self, mailbox: &Mailbox) -> [u8; 32] {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &self.server_secret);
        match &mailbox.credential {
            None => digest(&key, &[b"none"]),
            Some(source) => {
                let kind: &[u8] = if source.kind == CredentialKind::Hash {
                    b"hash"
                } else {
                    b"password"
                };
                digest(&key, &[kind, source.value.reveal().as_bytes()])
            }
        }
    }

    /// The credential to check against. `None`: nobody can log in.
    pub(super) async fn credential(
        &self,
        mailbox: &Mailbox,
    ) -> Result<Option<Credential>, StoreError> {
        let Some(source) = &mailbox.credential else {
            return Ok(None);
        };
        let parsed = match source.kind {
            CredentialKind::Password => Credential::from_plaintext(source.value.reveal()),
            CredentialKind::Hash => Credential::parse(source.value.reveal()),
        };
        let Some(credential) = usable(mailbox, parsed) else {
            return Ok(None);
        };
        if source.kind == CredentialKind::Password {
            return Ok(Some(credential));
        }
        let saved = self.parts.saved.saved_credential(&mailbox.address).await?;
        match saved.filter(|saved| saved.source == self.fingerprint(mailbox)) {
            Some(saved) => Ok(Some(overlay(mailbox, credential, &saved))),
            None => Ok(Some(credential)),
        }
    }

    /// Whether the password is right. Without a credential, or when a cheap check failed, a hash is computed all the same.
    pub(super) async fn verify(
        &self,
        credential: Option<Credential>,
        password: &Secret,
    ) -> Result<bool, Refusal> {
        let cheap = credential
            .as_ref()
            .is_some_and(|credential| credential.hash().is_cheap());
        if cheap
            && credential
                .as_ref()
                .is_some_and(|credential| credential.verify(password.expose()))
        {
            return Ok(true);
        }
        let password = password.clone();
        let begun = Instant::now();
        let right = self
            .hash(move || match credential.filter(|_| !cheap) {
                Some(credential) => credential.verify(password.expose()),
                None => {
                    waste_a_hash(&password);
                    false
                }
            })
            .await;
        self.metrics
            .hash_seconds
            .observe_duration((), begun.elapsed());
        right
    }

    /// Runs an expensive computation beside the async threads, a few at once.
    async fn hash<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let permit = tokio::time::timeout(HASHER_WAIT, self.hashers.clone().acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            return Err(Refusal::Busy);
        };
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        done.await.map_err(|_| {
            Refusal::Unavailable(StoreError::Unavailable("the hash was cancelled".to_owned()))
        })
    }

    /// Keys for SCRAM. `None`: the account has none, and [`Inner::fake_keys`] stand in.
    pub(super) async fn real_keys(&self, mailbox: &Mailbox) -> Result<Option<ScramKeys>, Refusal> {
        let Some(credential) = self.credential(mailbox).await? else {
            return Ok(None);
        };
        if let Some(keys) = credential.scram() {
            return Ok(Some(keys.clone()));
        }
        let Some(password) = credential.hash().plaintext().cloned() else {
            return Ok(None);
        };
        let account = mailbox.address.to_string();
        let mark = self.mark(&[b"scram", account.as_bytes(), &self.fingerprint(mailbox)]);
        if let Some(keys) = lock(&self.scram_keys).get(&mark, self.now()) {
            return Ok(Some(keys.clone()));
        }
        let salt = self.scram_salt(&account);
        let keys = self
            .hash(move || ScramKeys::derive_default(password.expose(), &salt))
            .await?;
        lock(&self.scram_keys).insert(mark, keys.clone(), self.now(), SCRAM_LIFE);
        Ok(Some(keys))
    }

    /// Keys that nobody can prove, for a name without real ones.
    pub(super) fn fake_keys(&self, name: &str) -> ScramKeys {
        ScramKeys::fake(&self.server_secret, name)
    }

    /// The salt that a name has whether or not it is an account.
    fn scram_salt(&self, account: &str) -> [u8; 16] {
        let mut salt = [0; 16];
        salt.iter_mut()
            .zip(self.fake_keys(account).salt())
            .for_each(|(to, from)| *to = *from);
        salt
    }

    /// After a log-in in clear: saves a better hash, and the keys of SCRAM, when they are wanted.
    pub(super) async fn upgrade(
        &self,
        mailbox: &Mailbox,
        credential: &Credential,
        password: &Secret,
    ) {
        if !credential.wants_upgrade() {
            return;
        }
        match self.try_upgrade(mailbox, credential, password).await {
            Ok(()) => self.metrics.upgrades.inc(()),
            Err(error) => tracing::warn!(
                account = %mailbox.address,
                error = &error as &dyn std::error::Error,
                "failed to save a better password hash; the next log-in tries again"
            ),
        }
    }

    async fn try_upgrade(
        &self,
        mailbox: &Mailbox,
        old: &Credential,
        password: &Secret,
    ) -> Result<(), Refusal> {
        let salt: [u8; 16] = random()?;
        let scram_salt = self.scram_salt(&mailbox.address.to_string());
        let (rehash, kept, keys) = (
            old.hash().needs_rehash(),
            old.hash().clone(),
            old.scram().cloned(),
        );
        let password = password.clone();
        let (hash, scram) = self
            .hash(move || {
                let hash = match rehash {
                    true => hash_argon2id(password.expose(), &salt).map(Zeroizing::new),
                    false => Some(Zeroizing::new(kept.expose_text().to_owned())),
                };
                let keys = keys
                    .unwrap_or_else(|| ScramKeys::derive_default(password.expose(), &scram_salt));
                (hash, Some(keys.expose_text()))
            })
            .await?;
        let saved = SavedCredential {
            source: self.fingerprint(mailbox),
            hash,
            scram,
        };
        self.parts
            .saved
            .save_credential(&mailbox.address, saved)
            .await?;
        self.forget_scram_for_all().await;
        Ok(())
    }
}

/// Takes the time that a check takes.
fn waste_a_hash(password: &Secret) {
    if let Ok(dummy) = PasswordHash::parse(DUMMY) {
        std::hint::black_box(dummy.verify(password.expose()));
    }
}

/// What was learned, in front of what the plan says.
fn overlay(mailbox: &Mailbox, credential: Credential, saved: &SavedCredential) -> Credential {
    let hash = saved
        .hash
        .as_ref()
        .and_then(|text| usable(mailbox, Credential::parse(text)));
    let credential = hash.unwrap_or(credential);
    let keys = saved
        .scram
        .as_ref()
        .and_then(|text| usable(mailbox, PasswordHash::parse(text)));
    match keys.as_ref().and_then(PasswordHash::scram_keys) {
        Some(keys) => credential.with_scram(keys.clone()),
        None => credential,
    }
}

fn usable<T>(mailbox: &Mailbox, parsed: Result<T, PasswordError>) -> Option<T> {
    parsed
        .inspect_err(|error| {
            tracing::warn!(account = %mailbox.address, %error, "the stored password cannot be used");
        })
        .ok()
}
