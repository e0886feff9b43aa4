//! The certificate of the control channel: made by the first replica, kept in a Secret, shared and renewed by all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use mailpods_plan::SecretText;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;

use super::SERVICE;
use crate::certificates::renewal::{self, AUTHORITIES, CERTIFICATE, Data, KEY, Lifetimes, Subject};
use crate::certificates::secret::{renewal_of_secret, texts};
use crate::kube::Key;

/// Time between looks at the Secret.
const LOOK: Duration = Duration::from_secs(60);

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

/// The certificate of now, with the authorities that vouch for it and for its successor.
pub struct Identity {
    api: Api<Secret>,
    client: Client,
    namespace: String,
    lifetimes: Lifetimes,
    config: Mutex<Arc<ServerConfig>>,
    authorities: watch::Sender<String>,
}

impl Identity {
    /// Reads the certificate, and makes it when there is none.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub async fn load(
        client: Client,
        namespace: &str,
        lifetimes: Lifetimes,
    ) -> Result<Arc<Self>, TlsError> {
        let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let secret = match api.get_opt(SERVICE).await.map_err(TlsError::Secret)? {
            Some(secret) => secret,
            None => created(&api, namespace, lifetimes).await?,
        };
        let data = texts(secret);
        let identity = Self {
            api,
            client,
            namespace: namespace.to_owned(),
            lifetimes,
            config: Mutex::new(server(&data)?),
            authorities: watch::Sender::new(value(&data, AUTHORITIES)?.to_owned()),
        };
        Ok(Arc::new(identity))
    }

    /// For the server, at the next handshake.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        // It is only ever replaced whole.
        let config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        config.clone()
    }

    /// PEM of the authorities that those who connect trust, now and later.
    #[must_use]
    pub fn authorities(&self) -> watch::Receiver<String> {
        self.authorities.subscribe()
    }

    /// Renews the certificate when it is time, and takes over what others renewed, until the process ends.
    pub async fn follow(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            if let Err(error) = self.look(Timestamp::now()).await {
                let error = mailpods_telemetry::error_chain(&error);
                tracing::warn!(%error, "the certificate of the control channel stays as it is");
            }
        }
    }

    /// One look at the Secret.
    ///
    /// # Errors
    /// See [`TlsError`]; what was served before is served on.
    pub async fn look(&self, now: Timestamp) -> Result<(), TlsError> {
        let subject = subject(&self.namespace);
        let due = |data: &BTreeMap<String, SecretText>| {
            let text = |name: &str| data.get(name).map(SecretText::reveal);
            renewal::step(text, &subject, self.lifetimes, now)
        };
        let key = Key::new(self.namespace.clone(), SERVICE);
        renewal_of_secret(&self.client, &key, due).await?;
        let secret = self.api.get(SERVICE).await.map_err(TlsError::Secret)?;
        let data = texts(secret);
        let config = server(&data)?;
        let authorities = value(&data, AUTHORITIES)?;
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
        self.authorities.send_if_modified(|known| {
            let new = known != authorities;
            known.replace_range(.., authorities);
            new
        });
        Ok(())
    }
}

fn subject(namespace: &str) -> Subject {
    Subject {
        authority: "Mailpods control channel",
        hosts: vec![
            format!("{SERVICE}.{namespace}.svc"),
            format!("{SERVICE}.{namespace}.svc.cluster.local"),
            "localhost".to_owned(),
        ],
    }
}

async fn created(
    api: &Api<Secret>,
    namespace: &str,
    lifetimes: Lifetimes,
) -> Result<Secret, TlsError> {
    let data = renewal::first(&subject(namespace), lifetimes, Timestamp::now())?;
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(SERVICE.to_owned()),
            ..ObjectMeta::default()
        },
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(plain(data)),
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

fn plain(data: Data) -> BTreeMap<String, ByteString> {
    let entries = data.into_iter();
    entries
        .filter_map(|(name, value)| Some((name, ByteString(value?.as_bytes().to_vec()))))
        .collect()
}

fn value<'a>(
    data: &'a BTreeMap<String, SecretText>,
    name: &'static str,
) -> Result<&'a str, TlsError> {
    let value = data.get(name).map(SecretText::reveal);
    value.ok_or(TlsError::Unusable(name))
}

fn server(data: &BTreeMap<String, SecretText>) -> Result<Arc<ServerConfig>, TlsError> {
    let chain: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_slice_iter(value(data, CERTIFICATE)?.as_bytes()).collect();
    let chain = chain.map_err(|_| TlsError::Unusable(CERTIFICATE))?;
    let key = PrivateKeyDer::from_pem_slice(value(data, KEY)?.as_bytes())
        .map_err(|_| TlsError::Unusable(KEY))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(Arc::new(config))
}

/// For those who connect: they trust these authorities.
///
/// # Errors
/// When one of them is no certificate, or there is none.
pub fn client(authorities: &str) -> Result<ClientConfig, TlsError> {
    let unusable = || TlsError::Unusable(AUTHORITIES);
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
        roots.add(certificate.map_err(|_| unusable())?)?;
    }
    if roots.is_empty() {
        return Err(unusable());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
