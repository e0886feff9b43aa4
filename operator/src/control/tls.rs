//! The certificate of the control channel: made by the first replica, kept in a Secret, shared by all.

use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::SERVICE;
use crate::certificates::make;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The API server did not answer.
    #[error("failed to read or make the Secret {SERVICE}")]
    Secret(#[source] kube::Error),
    /// No certificate came about.
    #[error("failed to make the certificate of the control channel")]
    Make(#[from] crate::kube::error::Error),
    /// The Secret has something else.
    #[error("the Secret {SERVICE} has no usable {0}; delete it to have a new one made")]
    Unusable(&'static str),
    /// rustls does not take it.
    #[error("failed to use the certificate of the control channel")]
    Rustls(#[from] rustls::Error),
}

/// The certificate with its authority.
pub struct Identity {
    /// PEM of the authority, which pods trust.
    pub authority: String,
    /// For the server.
    pub config: Arc<ServerConfig>,
}

/// Reads the certificate, and makes it when there is none.
///
/// # Errors
/// See [`TlsError`].
pub async fn identity(client: Client, namespace: &str) -> Result<Identity, TlsError> {
    let api: Api<Secret> = Api::namespaced(client, namespace);
    let secret = match api.get_opt(SERVICE).await.map_err(TlsError::Secret)? {
        Some(secret) => secret,
        None => created(&api, namespace).await?,
    };
    read(&secret)
}

async fn created(api: &Api<Secret>, namespace: &str) -> Result<Secret, TlsError> {
    let hosts = [
        format!("{SERVICE}.{namespace}.svc"),
        format!("{SERVICE}.{namespace}.svc.cluster.local"),
        "localhost".to_owned(),
    ];
    let made = make("Mailpods control channel", &hosts)?;
    let data = [
        ("ca.crt", made.authority.into_bytes()),
        ("tls.crt", made.certificate.into_bytes()),
        ("tls.key", made.key.as_bytes().to_vec()),
    ];
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(SERVICE.to_owned()),
            ..ObjectMeta::default()
        },
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(
            data.into_iter()
                .map(|(name, value)| (name.to_owned(), ByteString(value)))
                .collect(),
        ),
        ..Secret::default()
    };
    match api.create(&PostParams::default(), &secret).await {
        Ok(secret) => Ok(secret),
        // Another replica was faster; its certificate is the one.
        Err(kube::Error::Api(status)) if status.code == 409 => {
            api.get(SERVICE).await.map_err(TlsError::Secret)
        }
        Err(error) => Err(TlsError::Secret(error)),
    }
}

fn read(secret: &Secret) -> Result<Identity, TlsError> {
    let value = |name: &'static str| {
        let data = secret.data.as_ref();
        data.and_then(|data| data.get(name))
            .map(|value| value.0.as_slice())
            .ok_or(TlsError::Unusable(name))
    };
    let chain: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_slice_iter(value("tls.crt")?).collect();
    let chain = chain.map_err(|_| TlsError::Unusable("tls.crt"))?;
    let key = PrivateKeyDer::from_pem_slice(value("tls.key")?)
        .map_err(|_| TlsError::Unusable("tls.key"))?;
    let authority =
        String::from_utf8(value("ca.crt")?.to_vec()).map_err(|_| TlsError::Unusable("ca.crt"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(Identity {
        authority,
        config: Arc::new(config),
    })
}
