//! The smtp pod's side.

use async_trait::async_trait;
use mailpods_net::https::{HeaderMap, HttpsError, Limits, Method, Response, StatusCode};
use mailpods_plan::PlanHandle;
use mailpods_policy::Reason;
use mailpods_rpc::scan::{MAX_VERDICT_OCTETS, PATH};
use mailpods_rpc::{Scan, ScanError, ScanRequest, Verdict};
use mailpods_telemetry::error_chain;

use crate::remote::{Question, Remote, RemoteError, RemoteOptions};

/// A filter in another pod. When it does not answer, the client is told 451 and comes back.
pub struct RemoteScan {
    remote: Remote,
    plan: PlanHandle,
}

impl RemoteScan {
    /// Asks the filter at `options`, within the time limit of the current plan.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn new(options: RemoteOptions, plan: PlanHandle) -> Result<Self, RemoteError> {
        Ok(Self {
            remote: Remote::new(options)?,
            plan,
        })
    }
}

#[async_trait]
impl Scan for RemoteScan {
    async fn scan(&self, request: ScanRequest) -> Result<Verdict, ScanError> {
        let octets = request.message.as_ref().map_or(0, bytes::Bytes::len);
        let body = request.encode().map_err(|error| unavailable(&error))?;
        let question = Question {
            method: Method::POST,
            path: PATH.to_owned(),
            headers: HeaderMap::new(),
            body,
        };
        let limits = Limits {
            time: self.plan.current().filter.timeout,
            body: MAX_VERDICT_OCTETS,
        };
        let response = self.remote.ask(question, limits).await.map_err(failure)?;
        verdict(&response, octets)
    }
}

fn verdict(response: &Response, octets: usize) -> Result<Verdict, ScanError> {
    match response.status {
        StatusCode::OK => {
            Verdict::decode(&response.body, octets).map_err(|error| unavailable(&error))
        }
        status => Err(
            serde_json::from_slice(&response.body).unwrap_or_else(|_| ScanError {
                reason: Reason::FilterUnavailable,
                text: format!("the filter answered {status}"),
            }),
        ),
    }
}

fn failure(error: RemoteError) -> ScanError {
    let reason = match error {
        RemoteError::Https(HttpsError::Timeout(_)) => Reason::TimedOut,
        _ => Reason::FilterUnavailable,
    };
    ScanError {
        reason,
        text: error_chain(&error),
    }
}

fn unavailable(error: &dyn std::error::Error) -> ScanError {
    ScanError {
        reason: Reason::FilterUnavailable,
        text: error_chain(error),
    }
}
