//! One leader among the replicas, by a Lease. Who loses the lease ends the process: nothing of it may write any more.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, Error};
use tokio::time::Instant;

/// Name of the Lease.
const NAME: &str = "mailpods-operator";
/// Time without renewal after which others take over.
const DURATION: Duration = Duration::from_secs(15);
/// Time without renewal after which the leader ends: earlier than others take over.
const DEADLINE: Duration = Duration::from_secs(10);
/// Time for giving the lease back: without an API server there is nobody to give it to, and it runs out by itself.
const GOODBYE: Duration = Duration::from_secs(2);
/// Longest wait for the answer to the first try: with [`DEADLINE`] less than the lease.
const ANSWER: Duration = Duration::from_secs(4);
/// Time between tries.
const RETRY: Duration = Duration::from_secs(2);

/// A replica's part in the election.
pub struct Election {
    api: Api<Lease>,
    identity: String,
    /// What was last seen of another holder, and when by our own clock: clocks of machines differ.
    seen: Option<(String, Option<MicroTime>, Instant)>,
}

impl Election {
    /// Takes part under a name that no other replica has.
    #[must_use]
    pub fn new(client: Client, namespace: &str, identity: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            identity: identity.to_owned(),
            seen: None,
        }
    }

    /// Waits until this replica leads. An answer that comes late is none: the lease counts from when it was asked for.
    pub async fn won(&mut self) {
        loop {
            match tokio::time::timeout(ANSWER, self.attempt()).await {
                Ok(Ok(true)) => return,
                Ok(Ok(false)) | Err(_) => {}
                Ok(Err(error)) => {
                    let error = mailpods_telemetry::error_chain(&error);
                    tracing::warn!(%error, "failed to ask for the lease");
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Keeps the lease for as long as possible; returns when it is lost.
    pub async fn lost(&mut self) {
        let mut renewed = Instant::now();
        while renewed.elapsed() < DEADLINE {
            tokio::time::sleep(RETRY).await;
            let left = DEADLINE.saturating_sub(renewed.elapsed());
            let asked = Instant::now();
            match tokio::time::timeout(left, self.attempt()).await {
                Ok(Ok(true)) => renewed = asked,
                Ok(Ok(false)) => return,
                Ok(Err(error)) => {
                    let error = mailpods_telemetry::error_chain(&error);
                    tracing::warn!(%error, "failed to renew the lease");
                }
                Err(_) => return,
            }
        }
    }

    /// Gives the lease back, so that the next leader need not wait.
    pub async fn release(&self) {
        let released = async {
            let mut lease = self.api.get(NAME).await?;
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() == Some(self.identity.as_str()) {
                spec.holder_identity = None;
                spec.renew_time = None;
                self.api
                    .replace(NAME, &PostParams::default(), &lease)
                    .await?;
            }
            Ok::<(), Error>(())
        };
        match tokio::time::timeout(GOODBYE, released).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = %mailpods_telemetry::error_chain(&error), "failed to give the lease back");
            }
            Err(_) => tracing::warn!("the API server does not answer: the lease is not given back"),
        }
    }

    /// Who leads, as far as the API server knows.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn holder(&self) -> Result<Option<String>, Error> {
        let lease = self.api.get_opt(NAME).await?;
        Ok(lease.and_then(|lease| lease.spec?.holder_identity))
    }

    /// Takes or renews the lease; whether this replica holds it.
    async fn attempt(&mut self) -> Result<bool, Error> {
        let Some(mut lease) = self.api.get_opt(NAME).await? else {
            return self.written(self.api.create(&PostParams::default(), &self.fresh()).await);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let own = spec.holder_identity.as_deref() == Some(self.identity.as_str());
        if !own && !self.ran_out(&spec) {
            return Ok(false);
        }
        lease.spec = Some(self.taken(&spec, own));
        // The resource version of what was read goes along: of two that try at once, one fails.
        self.written(self.api.replace(NAME, &PostParams::default(), &lease).await)
    }

    fn written(&self, result: Result<Lease, Error>) -> Result<bool, Error> {
        match result {
            Ok(_) => Ok(true),
            Err(Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn fresh(&self) -> Lease {
        Lease {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(self.taken(&LeaseSpec::default(), false)),
        }
    }

    fn taken(&self, before: &LeaseSpec, own: bool) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            renew_time: Some(now.clone()),
            acquire_time: if own {
                before.acquire_time.clone()
            } else {
                Some(now)
            },
            lease_transitions: Some(before.lease_transitions.unwrap_or(0) + i32::from(!own)),
            ..LeaseSpec::default()
        }
    }

    /// Whether the holder has not renewed for the whole duration, by our own clock.
    fn ran_out(&mut self, spec: &LeaseSpec) -> bool {
        let Some(holder) = spec
            .holder_identity
            .clone()
            .filter(|holder| !holder.is_empty())
        else {
            return true;
        };
        let now = (holder, spec.renew_time.clone());
        match &self.seen {
            Some((holder, renewed, at)) if (holder, renewed) == (&now.0, &now.1) => {
                at.elapsed() >= DURATION
            }
            _ => {
                self.seen = Some((now.0, now.1, Instant::now()));
                false
            }
        }
    }
}
