//! The operator, as a pod sees it: where the plan comes from, and who is told what is seen.

mod observe;
mod poll;

use std::time::Duration;

use bytes::Bytes;
use mailpods_net::https::{HeaderMap, HeaderValue, Limits, Method, Response, StatusCode, header};
use mailpods_plan::slice::{DecodeError, Update};
use mailpods_rpc::control::{
    CONTENT_TYPE, MAX_PLAN_OCTETS, Observations, etag_header, observations_path, plan_path,
    wait_query,
};
use mailpods_telemetry::metrics::{Counter, Label, MetricsError, Registry};

pub use observe::{Reporter, Sight};
pub use poll::{Poller, Step};

use crate::remote::{Question, Remote, RemoteError, RemoteOptions};

/// A plan request waits this long at the operator.
const WAIT: Duration = Duration::from_secs(25);
/// Time for connecting and for the answer itself.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// Octets of an answer that says nothing but a status.
const MAX_ANSWER_OCTETS: usize = 4096;

/// Where the operator is, and which cluster is ours.
#[derive(Debug, Clone)]
pub struct ControlOptions {
    /// The operator's address, certificates and our token.
    pub remote: RemoteOptions,
    /// Namespace of the MailCluster.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Why the operator gave no plan.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// It cannot be asked.
    #[error("failed to ask the operator")]
    Remote(#[from] RemoteError),
    /// It does not know us.
    #[error(
        "the operator does not accept this pod's token ({0}): its audience must be mailpods-control"
    )]
    Denied(StatusCode),
    /// It does not know the cluster.
    #[error("the operator knows no MailCluster {namespace}/{name}")]
    NoCluster {
        /// Namespace asked for.
        namespace: String,
        /// Name asked for.
        name: String,
    },
    /// It answers something else.
    #[error("the operator answered {0}")]
    Status(StatusCode),
    /// Its answer cannot be read.
    #[error("failed to read the operator's answer")]
    Update(#[from] DecodeError),
    /// What is seen cannot be written.
    #[error("failed to write observations")]
    Observations(#[from] serde_json::Error),
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Update,
    Unchanged,
    Failed,
}

impl Label for Outcome {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Update => "update",
            Self::Unchanged => "unchanged",
            Self::Failed => "failed",
        }
    }
}

/// The operator's two resources.
pub struct Control {
    remote: Remote,
    options: ControlOptions,
    requests: Counter<Outcome>,
}

impl Control {
    /// Checks the URL; nothing is asked yet.
    ///
    /// # Errors
    /// When the URL is none, or a metric's name is taken.
    pub fn new(options: ControlOptions, registry: &Registry) -> Result<Self, SetupError> {
        Ok(Self {
            remote: Remote::new(options.remote.clone())?,
            options,
            requests: registry.counter(
                "mailpods_control_requests_total",
                "Plan requests to the operator, by outcome.",
                &["outcome"],
            )?,
        })
    }

    /// The step from `etag` to the operator's plan of now, or the whole; `None` when nothing changed within the wait.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn plan(&self, etag: Option<&str>) -> Result<Option<Update>, ControlError> {
        let asked = self.ask_plan(etag).await;
        self.requests.inc(match &asked {
            Ok(Some(_)) => Outcome::Update,
            Ok(None) => Outcome::Unchanged,
            Err(_) => Outcome::Failed,
        });
        asked
    }

    async fn ask_plan(&self, etag: Option<&str>) -> Result<Option<Update>, ControlError> {
        let mut headers = HeaderMap::new();
        let known = etag.and_then(|etag| HeaderValue::from_str(&etag_header(etag)).ok());
        if let Some(known) = known {
            headers.insert(header::IF_NONE_MATCH, known);
        }
        let path = plan_path(&self.options.namespace, &self.options.name);
        let question = Question {
            method: Method::GET,
            path: format!("{path}?{}", wait_query(WAIT)),
            headers,
            body: Vec::new(),
        };
        let limits = Limits {
            time: WAIT + ANSWER_LIMIT,
            body: MAX_PLAN_OCTETS,
        };
        let response = self.remote.ask(question, limits).await?;
        match response.status {
            StatusCode::OK => Ok(Some(Update::decode(&response.body)?)),
            StatusCode::NOT_MODIFIED => Ok(None),
            _ => Err(self.failure(&response)),
        }
    }

    /// Tells what is seen.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn report(&self, seen: &Observations) -> Result<(), ControlError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        let question = Question {
            method: Method::POST,
            path: observations_path(&self.options.namespace, &self.options.name),
            headers,
            body: vec![Bytes::from(seen.encode()?)],
        };
        let limits = Limits {
            time: ANSWER_LIMIT,
            body: MAX_ANSWER_OCTETS,
        };
        let response = self.remote.ask(question, limits).await?;
        match response.status.is_success() {
            true => Ok(()),
            false => Err(self.failure(&response)),
        }
    }

    fn failure(&self, response: &Response) -> ControlError {
        match response.status {
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                ControlError::Denied(status)
            }
            StatusCode::NOT_FOUND => ControlError::NoCluster {
                namespace: self.options.namespace.clone(),
                name: self.options.name.clone(),
            },
            status => ControlError::Status(status),
        }
    }
}

/// Why the operator cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The address or a file is wrong.
    #[error("failed to use the operator's address")]
    Remote(#[from] RemoteError),
    /// A metric's name is taken.
    #[error("failed to register metrics")]
    Metrics(#[from] MetricsError),
}
