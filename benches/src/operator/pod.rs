//! A pod's side of the control channel: long polls, steps taken into a slice of the plan, as the pods do it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use mailpods_net::TlsClient;
use mailpods_net::https::{
    Client, HeaderMap, HeaderValue, Limits, Method, Request, StatusCode, bearer, header,
};
use mailpods_plan::slice::{Slice, Update};
use mailpods_rpc::control::{MAX_PLAN_OCTETS, etag_header, plan_path, wait_query};
use serde_json::Value;
use tokio::sync::oneshot;

/// A plan request waits this long at the operator, as that of a pod does.
const WAIT: Duration = Duration::from_secs(25);
const LIMITS: Limits = Limits {
    time: Duration::from_secs(60),
    body: MAX_PLAN_OCTETS,
};

/// Where the operator is, and who asks.
#[derive(Debug, Clone)]
pub struct Identity {
    /// `https://localhost:PORT`.
    pub url: String,
    /// PEM of its authority.
    pub root: String,
    /// Token of the role's service account.
    pub token: String,
}

/// Changes that are waited for, by key of the plan entry: the number that will be in it, and when it was asked for.
#[derive(Clone, Default)]
pub struct Waiting(Arc<Mutex<HashMap<String, (u64, Instant)>>>);

impl Waiting {
    /// A change that is about to be made.
    pub fn expect(&self, key: String, number: u64) {
        self.lock().insert(key, (number, Instant::now()));
    }

    /// Changes that were not seen.
    pub fn left(&self) -> usize {
        self.lock().len()
    }

    fn seen(&self, key: &str, json: &str) -> Option<Duration> {
        let mut all = self.lock();
        let (number, asked) = all.get(key).copied()?;
        let value: Value = serde_json::from_str(json).ok()?;
        let found = ["/quotaMessages", "/limits/messagesPerHour"].map(|field| value.pointer(field));
        let same = |found: &&Value| found.as_u64() == Some(number);
        found.iter().flatten().find(|found| same(found))?;
        all.remove(key);
        Some(asked.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (u64, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pod on a thread of its own.
pub struct Pod {
    /// Name of its role.
    pub role: &'static str,
    /// What it is to see.
    pub waiting: Waiting,
    times: Arc<Mutex<Vec<Duration>>>,
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<Result<()>>,
}

impl Pod {
    /// Starts it and waits until it has the whole plan.
    ///
    /// # Errors
    /// When it does not get it.
    pub async fn start(role: &'static str, identity: Identity) -> Result<Self> {
        let (waiting, times) = (Waiting::default(), Arc::<Mutex<Vec<Duration>>>::default());
        let ((whole, has_whole), (stop, stopped)) = (oneshot::channel(), oneshot::channel());
        let (expected, seen) = (waiting.clone(), times.clone());
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                tokio::select! {
                    ended = follow(&identity, whole, &expected, &seen) => ended,
                    _ = stopped => Ok(()),
                }
            })
        });
        has_whole
            .await
            .with_context(|| format!("the pod of role {role} got no plan"))?;
        Ok(Self {
            role,
            waiting,
            times,
            stop,
            thread,
        })
    }

    /// Ends it; how long each change took to be in its plan.
    ///
    /// # Errors
    /// Why it ended by itself.
    pub fn stop(self) -> Result<Vec<Duration>> {
        // It may have ended by itself, which its result tells.
        self.stop.send(()).ok();
        match self.thread.join() {
            Ok(ended) => ended?,
            Err(_) => bail!("the pod of role {} panicked", self.role),
        }
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut times))
    }
}

async fn follow(
    identity: &Identity,
    whole: oneshot::Sender<()>,
    waiting: &Waiting,
    times: &Mutex<Vec<Duration>>,
) -> Result<()> {
    let tls = TlsClient::of_authority(identity.root.as_bytes())?;
    let client = Client::new(identity.url.parse()?, tls);
    let (mut slice, mut whole) = (Slice::default(), Some(whole));
    // The plan in use is held while the next one is made, as a role holds it.
    let mut in_use = None;
    loop {
        let Some(update) = ask(&client, identity, slice.etag()).await? else {
            continue;
        };
        let put = update.put.clone();
        slice.apply(update)?;
        in_use.replace(slice.plan()?);
        if let Some(whole) = whole.take() {
            whole.send(()).ok();
        }
        let seen = put
            .iter()
            .filter_map(|(key, entry)| waiting.seen(key, entry.json()));
        let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
        times.extend(seen);
    }
}

async fn ask(client: &Client, identity: &Identity, etag: Option<&str>) -> Result<Option<Update>> {
    let mut headers = HeaderMap::new();
    let token = bearer(&identity.token).context("no token")?;
    headers.insert(header::AUTHORIZATION, token);
    if let Some(etag) = etag {
        let known = HeaderValue::from_str(&etag_header(etag))?;
        headers.insert(header::IF_NONE_MATCH, known);
    }
    let request = Request {
        method: Method::GET,
        path: format!("{}?{}", plan_path("mail", "main"), wait_query(WAIT)),
        headers,
        body: Vec::new(),
    };
    let response = client.send(&request, LIMITS).await?;
    match response.status {
        StatusCode::OK => Ok(Some(Update::decode(&response.body)?)),
        StatusCode::NOT_MODIFIED => Ok(None),
        status => bail!("the operator answered {status}"),
    }
}
