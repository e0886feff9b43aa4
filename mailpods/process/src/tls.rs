//! The certificate that all listeners serve.

use std::time::{Duration, SystemTime};

use mailpods_net::tls::{MinimumVersion, Pem, ServerIdentity, TlsConfigError, self_signed};
use mailpods_plan::Plan;
use mailpods_store::{SecretStore, StoreError};
use zeroize::Zeroizing;

/// Where the certificate that was made is kept: chain, then key, both PEM.
const SECRET: &str = "tls/self-signed";
/// A certificate that was made is valid this long, and made anew when less than a month of it is left.
const DAYS: u32 = 825;
const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// The Secret's PEM cannot be used.
    #[error("failed to use the certificate of MailCluster spec.tls")]
    Given(#[source] TlsConfigError),
    /// None can be made.
    #[error("failed to make a self-signed certificate")]
    Make(#[source] TlsConfigError),
    /// It cannot be kept.
    #[error("failed to keep the self-signed certificate")]
    Store(#[source] StoreError),
}

/// The certificate of the plan, or one that is made for its host name and kept.
///
/// # Errors
/// When the plan's cannot be used, or none can be made or kept.
pub async fn identity(
    plan: &Plan,
    secrets: &dyn SecretStore,
) -> Result<ServerIdentity, TlsSetupError> {
    let minimum = match plan.tls.require_tls13 {
        true => MinimumVersion::Tls13,
        false => MinimumVersion::Tls12,
    };
    match &plan.tls.certificate {
        Some(given) => ServerIdentity::from_pem(
            given.chain.as_bytes(),
            given.key.reveal().as_bytes(),
            minimum,
        )
        .map_err(TlsSetupError::Given),
        None => made(plan, secrets, minimum).await,
    }
}

async fn made(
    plan: &Plan,
    secrets: &dyn SecretStore,
    minimum: MinimumVersion,
) -> Result<ServerIdentity, TlsSetupError> {
    let name = format!("{SECRET}/{}", plan.hostname);
    let kept = secrets.secret(&name).await.map_err(TlsSetupError::Store)?;
    if let Some(pem) = &kept {
        let identity = read(pem, minimum)?;
        let left = identity
            .not_after()
            .and_then(|end| end.duration_since(SystemTime::now()).ok());
        if left.is_some_and(|left| left > MONTH) {
            return Ok(identity);
        }
    }
    let names = [plan.hostname.to_string(), "localhost".to_owned()];
    let Pem { chain, key } =
        self_signed(&names, SystemTime::now(), DAYS).map_err(TlsSetupError::Make)?;
    let made = Zeroizing::new([chain.as_bytes(), key.as_bytes()].concat());
    tracing::info!(host = %plan.hostname, days = DAYS, "made a self-signed certificate");
    let store = TlsSetupError::Store;
    let pem = match kept {
        // Pods that start at once serve the same one: the first wins.
        None => secrets.secret_or_put(&name, made).await.map_err(store)?,
        Some(_) => {
            secrets
                .put_secret(&name, made.clone())
                .await
                .map_err(store)?;
            made
        }
    };
    read(&pem, minimum)
}

fn read(pem: &[u8], minimum: MinimumVersion) -> Result<ServerIdentity, TlsSetupError> {
    ServerIdentity::from_pem(pem, pem, minimum).map_err(TlsSetupError::Make)
}
