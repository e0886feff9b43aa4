//! The API server, asked by plain requests: what is measured must not be paid for by the one who measures.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use mailpods_net::TlsClient;
use mailpods_net::https::{
    Client, HeaderMap, HeaderValue, Limits, Method, Request, ServerUrl, StatusCode, bearer, header,
};
use serde_json::{Value, json};

/// Of one request.
const LIMITS: Limits = Limits {
    time: Duration::from_secs(60),
    body: 256 * 1024 * 1024,
};
/// Objects of one page of a list.
const PAGE: usize = 1_000;

/// Path of the kinds of ours in the namespace of the bench.
pub const OURS: &str = "/apis/mailpods.dev/v1alpha1/namespaces/mail";

/// A client with a token.
#[derive(Clone)]
pub struct Api {
    client: Arc<Client>,
    headers: HeaderMap,
}

impl Api {
    /// A client of a server with a certificate of its own.
    ///
    /// # Errors
    /// When URL, certificate or token are none.
    pub fn new(url: &str, root: &str, token: &str) -> Result<Self> {
        let tls = TlsClient::of_authority(root.as_bytes())?;
        let token = bearer(token).context("no token")?;
        Ok(Self {
            client: Arc::new(Client::new(url.parse::<ServerUrl>()?, tls)),
            headers: HeaderMap::from_iter([(header::AUTHORIZATION, token)]),
        })
    }

    /// Asks; the body is JSON, and so is the answer, or null.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value)> {
        let mut headers = self.headers.clone();
        let kind = match method {
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        let body = body.map(serde_json::to_vec).transpose()?;
        let request = Request {
            method,
            path: path.to_owned(),
            headers,
            body: body.map(Bytes::from).into_iter().collect(),
        };
        let response = self.client.send(&request, LIMITS).await?;
        // Probes answer with text.
        let value = serde_json::from_slice(&response.body).unwrap_or(Value::Null);
        Ok((response.status, value))
    }

    /// Asks for what must be done.
    ///
    /// # Errors
    /// When it is not.
    pub async fn done(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let (status, answer) = self.ask(method, path, body).await?;
        ensure!(status.is_success(), "{path}: {status}: {answer}");
        Ok(answer)
    }

    /// Makes an object.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn create(&self, path: &str, object: &Value) -> Result<()> {
        self.done(Method::POST, path, Some(object)).await.map(drop)
    }

    /// Looks at every object of a list, page by page.
    ///
    /// # Errors
    /// When the API server does not give it.
    pub async fn each(&self, path: &str, mut look: impl FnMut(&Value)) -> Result<()> {
        let mut next = String::new();
        loop {
            let page = format!("{path}?limit={PAGE}&continue={next}");
            let list = self.done(Method::GET, &page, None).await?;
            let items = list.get("items").and_then(Value::as_array);
            items.into_iter().flatten().for_each(&mut look);
            match list.pointer("/metadata/continue").and_then(Value::as_str) {
                Some(more) if !more.is_empty() => more.clone_into(&mut next),
                _ => return Ok(()),
            }
        }
    }

    /// A token of a service account for the control channel.
    ///
    /// # Errors
    /// When there is no such account.
    pub async fn token(&self, account: &str) -> Result<String> {
        let path = format!("/api/v1/namespaces/mail/serviceaccounts/{account}/token");
        let ask = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": ["mailpods-control"], "expirationSeconds": 86_400},
        });
        let answer = self.done(Method::POST, &path, Some(&ask)).await?;
        let token = answer.pointer("/status/token").and_then(Value::as_str);
        token.map(str::to_owned).context("no token in the answer")
    }
}
