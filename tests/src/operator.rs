//! The operator's control channel as a server in the test: real HTTPS, plan slices of a YAML configuration, tokens checked.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};
use mailpods_net::https::{
    Answer, Asked, HeaderValue, Method, StatusCode, answer, header, read_body, serve, token,
};
use mailpods_net::tls::{MinimumVersion, Pem, ServerIdentity, self_signed};
use mailpods_net::{Listener, ListenerOptions, Stage, TlsServer, Tracker, Trigger, shutdown};
use mailpods_plan::slice::{Entries, Entry, Update, diff, entries, full};
use mailpods_plan::{Role, check};
use mailpods_rpc::control::{
    MAX_OBSERVATIONS_OCTETS, Observations, etag_header, etag_of, observations_path, plan_path,
    wait_of,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::server::Config;

/// Namespace and name of the cluster.
pub const CLUSTER: (&str, &str) = ("mail", "test");

/// A running control channel.
pub struct Operator {
    shared: Arc<Shared>,
    runtime: Runtime,
    pem: Pem,
    address: SocketAddr,
    stop: Option<Trigger>,
    folder: TempDir,
}

struct Shared {
    plans: Mutex<Plans>,
    changed: watch::Sender<u64>,
    observations: Mutex<HashMap<String, Observations>>,
}

#[derive(Default)]
struct Plans {
    now: BTreeMap<Role, Entries>,
    /// By etag, so that a step can be made from each.
    known: HashMap<String, Entries>,
}

/// An edit of entries: key to JSON text.
pub type Edit<'a> = &'a dyn Fn(&mut BTreeMap<String, String>);

impl Operator {
    /// Starts with the plan of a configuration.
    ///
    /// # Errors
    /// When the configuration is wrong, or no port is free.
    pub fn start(config: &Config) -> Result<Self> {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let pem = self_signed(&names, SystemTime::now(), 30)?;
        let folder = TempDir::new()?;
        std::fs::write(folder.path().join("ca.pem"), &pem.chain)?;
        std::fs::write(folder.path().join("tls.pem"), &pem.key)?;
        for role in Role::ALL {
            std::fs::write(
                folder.path().join(format!("token-{role}")),
                format!("secret-{role}\n"),
            )?;
        }
        let mut operator = Self {
            shared: Arc::new(Shared {
                plans: Mutex::default(),
                changed: watch::Sender::new(0),
                observations: Mutex::default(),
            }),
            runtime: Runtime::new()?,
            pem,
            address: "127.0.0.1:0".parse()?,
            stop: None,
            folder,
        };
        operator.change(config)?;
        operator.resume()?;
        Ok(operator)
    }

    /// Puts the plan of another configuration in place.
    ///
    /// # Errors
    /// When it is wrong.
    pub fn change(&self, config: &Config) -> Result<()> {
        self.change_edited(config, &|_| {})
    }

    /// [`Operator::change`], with entries as another release might write them.
    ///
    /// # Errors
    /// When the configuration is wrong.
    pub fn change_edited(&self, config: &Config, edit: Edit<'_>) -> Result<()> {
        let (plan, problems) = check(&config.sources());
        let Some(plan) = plan else {
            bail!("{problems:?}")
        };
        let mut plans = self.shared.plans();
        for role in Role::ALL {
            let cut = entries(&plan, role)?;
            let text = |(key, entry): (Arc<str>, Arc<Entry>)| {
                (key.as_ref().to_owned(), entry.json().to_owned())
            };
            let mut map: BTreeMap<String, String> = cut.iter().map(text).collect();
            edit(&mut map);
            let entry = |(key, json)| (key, Arc::new(Entry::new(Zeroizing::new(json))));
            let entries: Entries = map.into_iter().map(entry).collect();
            plans
                .known
                .insert(entries.digest().to_owned(), entries.clone());
            plans.now.insert(role, entries);
        }
        self.shared.changed.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Serves on the port of before.
    ///
    /// # Errors
    /// When it is taken.
    pub fn resume(&mut self) -> Result<()> {
        let identity = ServerIdentity::from_pem(
            self.pem.chain.as_bytes(),
            self.pem.key.as_bytes(),
            MinimumVersion::Tls13,
        )?;
        let (trigger, stop) = shutdown::channel();
        let _in_runtime = self.runtime.enter();
        let listener = Listener::bind(ListenerOptions::new("operator", self.address))?;
        self.address = listener.local_addr();
        let shared = self.shared.clone();
        let handler = move |request| {
            let shared = shared.clone();
            async move { shared.handle(request).await }
        };
        let tracker = Tracker::new();
        let serving = serve(
            listener,
            TlsServer::new(identity),
            stop,
            tracker.clone(),
            handler,
        );
        let cut = trigger.shutdown();
        self.runtime.spawn(async move {
            serving.await;
            cut.force().await;
            tracker
                .finish(&shutdown::channel().0, std::time::Duration::ZERO)
                .await;
        });
        self.stop = Some(trigger);
        Ok(())
    }

    /// Goes away, as a node that dies: requests under way are cut.
    pub fn pause(&mut self) {
        if let Some(trigger) = self.stop.take() {
            trigger.advance(Stage::Force);
        }
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// A folder with `ca.pem`, its key `tls.pem`, and `token-ROLE` for each role.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The etag of a role's plan.
    ///
    /// # Errors
    /// When it has none.
    pub fn etag(&self, role: Role) -> Result<String> {
        let plans = self.shared.plans();
        let entries = plans.now.get(&role).context("no plan")?;
        Ok(entries.digest().to_owned())
    }

    /// What a pod said last.
    #[must_use]
    pub fn observed(&self, pod: &str) -> Option<Observations> {
        let observations = &self.shared.observations;
        let observations = observations.lock().unwrap_or_else(PoisonError::into_inner);
        observations.get(pod).cloned()
    }

    /// Waits until a pod says something that `wanted` takes.
    ///
    /// # Errors
    /// When it does not; what it said last is in the error.
    pub fn wait_for(
        &self,
        pod: &str,
        wanted: impl Fn(&Observations) -> bool,
    ) -> Result<Observations> {
        let found = crate::eventually("an observation", || {
            Ok(self.observed(pod).filter(|seen| wanted(seen)))
        });
        found.with_context(|| format!("{pod} says {:?}", self.observed(pod)))
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.pause();
    }
}

impl Shared {
    fn plans(&self) -> MutexGuard<'_, Plans> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn handle(&self, request: Asked) -> Answer {
        let role = token(request.headers()).and_then(|token| {
            std::str::from_utf8(token)
                .ok()?
                .strip_prefix("secret-")?
                .parse()
                .ok()
        });
        let Some(role) = role else {
            return answer(StatusCode::UNAUTHORIZED, "");
        };
        let (namespace, name) = CLUSTER;
        let path = request.uri().path().to_owned();
        match *request.method() {
            Method::GET if path == plan_path(namespace, name) => self.plan(role, &request).await,
            Method::POST if path == observations_path(namespace, name) => {
                self.observe(request).await
            }
            _ => answer(StatusCode::NOT_FOUND, ""),
        }
    }

    async fn plan(&self, role: Role, request: &Asked) -> Answer {
        let etag = request.headers().get(header::IF_NONE_MATCH);
        let etag = etag.and_then(|value| etag_of(value.to_str().ok()?));
        let wait = wait_of(request.uri().query().unwrap_or_default());
        let mut changed = self.changed.subscribe();
        // The time running out means that nothing has changed.
        let update = timeout(wait, async {
            loop {
                if let Some(update) = self.update(role, etag) {
                    return Some(update);
                }
                changed.changed().await.ok()?;
            }
        });
        let Ok(Some(update)) = update.await else {
            return answer(StatusCode::NOT_MODIFIED, "");
        };
        let Ok(octets) = update.encode() else {
            return answer(StatusCode::INTERNAL_SERVER_ERROR, "");
        };
        let mut found = answer(StatusCode::OK, octets.to_vec());
        if let Ok(value) = HeaderValue::from_str(&etag_header(&update.etag)) {
            found.headers_mut().insert(header::ETAG, value);
        }
        found
    }

    fn update(&self, role: Role, etag: Option<&str>) -> Option<Update> {
        let plans = self.plans();
        let now = plans.now.get(&role)?;
        if etag == Some(now.digest()) {
            return None;
        }
        let known = etag.and_then(|etag| plans.known.get(etag));
        Some(known.map_or_else(|| full(now), |old| diff(old, now)))
    }

    async fn observe(&self, request: Asked) -> Answer {
        let body = read_body(request.into_body(), MAX_OBSERVATIONS_OCTETS).await;
        let Some(seen) = body.ok().and_then(|body| Observations::decode(&body).ok()) else {
            return answer(StatusCode::BAD_REQUEST, "");
        };
        let mut observations = self
            .observations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        observations.insert(seen.pod.clone(), seen);
        answer(StatusCode::NO_CONTENT, "")
    }
}
