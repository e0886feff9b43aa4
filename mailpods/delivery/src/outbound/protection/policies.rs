//! MTA-STS policies of other domains: fetched (RFC 8461 §3.3), kept, and fetched anew before they run out.
//!
//! Kept in the store as `outbound/sts/DOMAIN`, sealed like all else there, so that no restart forgets what a domain asked for.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mailpods_net::TlsClient;
use mailpods_net::dns::{DnsError, Family, Resolver};
use mailpods_net::https::{
    BodyError, Client, HeaderMap, HttpsError, Limits, Method, Request, StatusCode, UrlError, header,
};
use mailpods_policy::outbound::tls::report::ResultType;
use mailpods_policy::outbound::tls::sts::{self, MAX_POLICY, Policy, PolicyError};
use mailpods_store::{SecretStore, StoreError};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::super::attempt::with_causes;

const KEPT: &str = "outbound/sts/";
const PATH: &str = "/.well-known/mta-sts.txt";
/// From looking the host up to the last octet. RFC 8461 §3.3 speaks of a minute.
const FETCH_LIMIT: Duration = Duration::from_secs(30);
/// RFC 8461 §3.3: after a failure nothing is fetched for five minutes.
const AFTER_FAILURE: i64 = 5 * 60_000;
/// A policy is fetched anew after a day, or half its time.
const REFRESH: i64 = 86_400_000;
/// A policy that ran out is kept so long yet.
const FORGET: i64 = 7 * 86_400_000;
/// Domains that are remembered.
const MAX_KNOWN: usize = 16_384;
/// Addresses of one host that are tried.
const MAX_ADDRESSES: usize = 4;

/// What it takes to find a policy.
pub(crate) struct Means<'a> {
    pub(crate) resolver: &'a dyn Resolver,
    pub(crate) secrets: &'a dyn SecretStore,
    pub(crate) tls: &'a TlsClient,
    /// 443; another one in tests.
    pub(crate) port: u16,
    /// Milliseconds since 1970.
    pub(crate) now: i64,
}

/// A policy as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    id: String,
    policy: Arc<Policy>,
    /// When it was fetched, milliseconds since 1970.
    fetched: i64,
}

impl Kept {
    fn counts(&self, now: i64) -> bool {
        now < self.fetched.saturating_add(self.millis())
    }

    fn is_due(&self, now: i64) -> bool {
        now >= self.fetched.saturating_add(REFRESH.min(self.millis() / 2))
    }

    fn millis(&self) -> i64 {
        i64::try_from(self.policy.max_age).map_or(i64::MAX, |age| age.saturating_mul(1000))
    }
}

/// What was found for a domain.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) policy: Option<Arc<Policy>>,
    /// Why a policy that should be there could not be had this time.
    pub(crate) trouble: Option<(ResultType, String)>,
}

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("failed to look up the host of the policy")]
    Dns(#[from] DnsError),
    #[error(transparent)]
    Url(#[from] UrlError),
    #[error("failed to fetch the policy")]
    Https(#[from] HttpsError),
    /// RFC 8461 §3.3: redirects are not followed.
    #[error("the host of the policy answered {0}, not 200")]
    Status(StatusCode),
    #[error("the policy came as {0:?}, not as text/plain")]
    MediaType(String),
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

impl FetchError {
    /// RFC 8460 §4.3.2.2.
    const fn result(&self) -> ResultType {
        match self {
            Self::Policy(_)
            | Self::MediaType(_)
            | Self::Https(HttpsError::Body(BodyError::TooLarge { .. })) => {
                ResultType::StsPolicyInvalid
            }
            Self::Https(HttpsError::Tls(_)) => ResultType::StsWebpkiInvalid,
            _ => ResultType::StsPolicyFetchError,
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Known {
    kept: Option<Kept>,
    /// Nothing is fetched before.
    not_before: i64,
    /// Why the last fetch failed.
    trouble: Option<(ResultType, String)>,
}

/// The policies that are known.
#[derive(Default)]
pub(crate) struct Policies {
    known: Mutex<HashMap<String, Known>>,
    /// One fetch for each domain at a time.
    under_way: Mutex<HashSet<String>>,
    finished: tokio::sync::Notify,
}

impl Policies {
    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn under_way(&self) -> MutexGuard<'_, HashSet<String>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The policy that counts for a domain now (RFC 8461 §5.1). One that is kept counts until it runs out, whatever happens to the record
    /// and the host (RFC 8461 §3.1); an id that is new, and time, have it fetched anew.
    ///
    /// # Errors
    /// It is not known whether one is kept.
    pub(crate) async fn of(&self, means: &Means<'_>, domain: &str) -> Result<Found, StoreError> {
        let records = means.resolver.txt(&format!("_mta-sts.{domain}")).await;
        let records = records.unwrap_or_else(|error| {
            if error.is_temporary() {
                tracing::info!(domain, %error, "failed to look up an MTA-STS record; a kept policy counts");
            }
            Vec::new()
        });
        let id = sts::id(records.iter().map(Vec::as_slice));
        let known = match (self.recall(means, domain, id.as_deref()).await, &id) {
            (Ok(known), _) => known,
            // The domain tells what it was.
            (Err(error @ StoreError::Corrupt(_)), Some(id)) if self.may_fetch(means, domain) => {
                let found = self.renew(means, domain, id, None).await;
                return found.policy.is_some().then_some(found).ok_or(error);
            }
            (Err(error), _) => return Err(error),
        };
        let counts = known.kept.clone().filter(|kept| kept.counts(means.now));
        let Some(id) = id else {
            return Ok(found(counts));
        };
        Ok(match counts {
            Some(kept) if kept.id == id && !kept.is_due(means.now) => found(Some(kept)),
            counts if means.now < known.not_before => Found {
                trouble: known.trouble,
                ..found(counts)
            },
            counts => self.renew(means, domain, &id, counts).await,
        })
    }

    fn may_fetch(&self, means: &Means<'_>, domain: &str) -> bool {
        let known = self.known();
        known
            .get(domain)
            .is_none_or(|known| means.now >= known.not_before)
    }

    /// The id of the policy that is remembered for a domain, and counts.
    pub(crate) fn remembered(&self, domain: &str, now: i64) -> Option<String> {
        let known = self.known();
        let kept = known.get(domain)?.kept.as_ref()?;
        kept.counts(now).then(|| kept.id.clone())
    }

    /// What is remembered, or kept in the store by whichever process fetched it. Where nothing is remembered that counts, another
    /// process may have fetched it meanwhile.
    async fn recall(
        &self,
        means: &Means<'_>,
        domain: &str,
        id: Option<&str>,
    ) -> Result<Known, StoreError> {
        let mut known = self.known().get(domain).cloned().unwrap_or_default();
        let counting = known.kept.as_ref().filter(|kept| kept.counts(means.now));
        if let Some(kept) = counting
            && (id.is_none_or(|id| id == kept.id) || means.now < known.not_before)
        {
            return Ok(known);
        }
        match read(means.secrets, domain).await {
            Ok(read) => {
                known.kept = known
                    .kept
                    .into_iter()
                    .chain(read)
                    .max_by_key(|kept| kept.fetched);
                self.remember(domain, known.clone());
                Ok(known)
            }
            Err(error) if counting.is_some() => {
                tracing::warn!(domain, %error, "failed to read a kept MTA-STS policy; the one that is remembered counts");
                Ok(known)
            }
            Err(error) => Err(error),
        }
    }

    fn remember(&self, domain: &str, known: Known) {
        let mut all = self.known();
        if all.len() >= MAX_KNOWN && !all.contains_key(domain) {
            // All are in the store, and come back when they are asked for.
            all.clear();
        }
        all.insert(domain.to_owned(), known);
    }

    /// Fetches, unless somebody else is at it, who is then waited for.
    async fn renew(&self, means: &Means<'_>, domain: &str, id: &str, old: Option<Kept>) -> Found {
        if !self.under_way().insert(domain.to_owned()) {
            if old.is_none() {
                self.wait(domain).await;
                let known = self.known().get(domain).cloned().unwrap_or_default();
                return Found {
                    trouble: known.trouble,
                    ..found(known.kept.filter(|kept| kept.counts(means.now)))
                };
            }
            return found(old);
        }
        let at_work = AtWork(self, domain);
        let found = self.fetched(means, domain, id, old).await;
        drop(at_work);
        found
    }

    async fn wait(&self, domain: &str) {
        let over = async {
            loop {
                let finished = self.finished.notified();
                if !self.under_way().contains(domain) {
                    return;
                }
                finished.await;
            }
        };
        // What is not there by then is as if it had failed.
        let _ = tokio::time::timeout(FETCH_LIMIT, over).await;
    }

    async fn fetched(&self, means: &Means<'_>, domain: &str, id: &str, old: Option<Kept>) -> Found {
        match fetch(means, domain).await {
            Ok(policy) => {
                let kept = Kept {
                    id: id.to_owned(),
                    policy: Arc::new(policy),
                    fetched: means.now,
                };
                self.keep(means, domain, &kept).await;
                found(Some(kept))
            }
            Err(error) => {
                let text = with_causes(&error);
                tracing::info!(domain, error = text, "no MTA-STS policy fetched");
                let trouble = Some((error.result(), text));
                let known = Known {
                    kept: old.clone(),
                    not_before: means.now.saturating_add(AFTER_FAILURE),
                    trouble: trouble.clone(),
                };
                self.remember(domain, known);
                Found {
                    trouble,
                    ..found(old)
                }
            }
        }
    }

    async fn keep(&self, means: &Means<'_>, domain: &str, kept: &Kept) {
        let known = Known {
            kept: Some(kept.clone()),
            ..Known::default()
        };
        self.remember(domain, known);
        if let Err(error) = write(means.secrets, domain, kept).await {
            tracing::warn!(domain, %error, "failed to keep an MTA-STS policy");
        }
    }
}

/// A fetch that is under way; over when it is dropped, however that comes.
struct AtWork<'a>(&'a Policies, &'a str);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.under_way().remove(self.1);
        self.0.finished.notify_waiters();
    }
}

fn found(kept: Option<Kept>) -> Found {
    Found {
        policy: kept.map(|kept| kept.policy),
        trouble: None,
    }
}

async fn read(secrets: &dyn SecretStore, domain: &str) -> Result<Option<Kept>, StoreError> {
    let name = format!("{KEPT}{domain}");
    let corrupt = |error| StoreError::Corrupt(format!("{name}: {error}"));
    let kept = secrets.secret(&name).await?;
    kept.map(|kept| serde_json::from_slice(&kept).map_err(corrupt))
        .transpose()
}

async fn write(secrets: &dyn SecretStore, domain: &str, kept: &Kept) -> Result<(), StoreError> {
    let text = serde_json::to_vec(kept).map_err(|error| StoreError::Invalid(error.to_string()))?;
    let name = format!("{KEPT}{domain}");
    secrets.put_secret(&name, Zeroizing::new(text)).await
}

/// Forgets policies that ran out long ago, so that what is kept is bounded by the domains that mail goes to. What cannot be read stays,
/// and is told: nobody knows how long it counts.
pub(crate) async fn tidy(secrets: &dyn SecretStore, now: i64) -> Result<(), StoreError> {
    for name in secrets.secret_names(KEPT).await? {
        let domain = name.strip_prefix(KEPT).unwrap_or_default();
        let kept = match read(secrets, domain).await {
            Err(error @ StoreError::Corrupt(_)) => {
                tracing::error!(domain, %error, "a kept MTA-STS policy cannot be read; mail to the domain waits unless it can be fetched");
                continue;
            }
            kept => kept?,
        };
        if kept.is_some_and(|kept| !kept.counts(now.saturating_sub(FORGET))) {
            secrets.delete_secret(&name).await?;
        }
    }
    Ok(())
}

async fn fetch(means: &Means<'_>, domain: &str) -> Result<Policy, FetchError> {
    let host = format!("mta-sts.{domain}");
    let addresses = means.resolver.addresses(&host, Family::Both).await?;
    let addresses = addresses.into_iter().take(MAX_ADDRESSES);
    let addresses = addresses.map(|address| SocketAddr::new(address, means.port));
    let url = match means.port {
        443 => format!("https://{host}"),
        port => format!("https://{host}:{port}"),
    };
    let client = Client::at(url.parse()?, addresses.collect(), means.tls.clone());
    let request = Request {
        method: Method::GET,
        path: PATH.to_owned(),
        headers: HeaderMap::new(),
        body: Vec::new(),
    };
    let limits = Limits {
        time: FETCH_LIMIT,
        body: MAX_POLICY,
    };
    let response = client.send(&request, limits).await?;
    if response.status != StatusCode::OK {
        return Err(FetchError::Status(response.status));
    }
    check_media_type(&response.headers)?;
    Ok(Policy::parse(&response.body)?)
}

/// RFC 8461 §3.2: `text/plain`, so that what users may write to a web site cannot pass for a policy.
fn check_media_type(headers: &HeaderMap) -> Result<(), FetchError> {
    let value = headers.get(header::CONTENT_TYPE);
    let text = value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let media_type = text.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("text/plain") {
        return Ok(());
    }
    Err(FetchError::MediaType(text.chars().take(100).collect()))
}
