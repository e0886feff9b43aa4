//! `mailpods-operator check`: whether an installation is whole, for `helm test`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::body::Body;
use http::{Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use mailpods_rpc::control::plan_path;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::control::{PORT, SERVICE, tls};

/// How long the control channel may take until it can be reached, and the pause between two tries.
const CONNECT_WITHIN: Duration = Duration::from_secs(15);
const CONNECT_PAUSE: Duration = Duration::from_millis(500);

/// Lists each kind, and asks the control channel for a plan without a token: it has to refuse.
///
/// # Errors
/// What is not as it should be.
pub async fn check(client: Client, namespace: &str, only: Option<&str>, url: &str) -> Result<()> {
    for definition in mailpods_api::definitions()? {
        listed(&client, &definition, only).await?;
    }
    let secrets: Api<Secret> = Api::namespaced(client, namespace);
    let secret = secrets
        .get(SERVICE)
        .await
        .with_context(|| format!("failed to read the Secret {SERVICE}; does the operator run?"))?;
    let authority = secret
        .data
        .and_then(|data| data.get("ca.crt").map(|value| value.0.clone()))
        .with_context(|| format!("the Secret {SERVICE} has no ca.crt"))?;
    refuses(url, &authority).await
}

async fn listed(client: &Client, definition: &serde_json::Value, only: Option<&str>) -> Result<()> {
    let text = |pointer: &str| {
        let text = definition
            .pointer(pointer)
            .and_then(serde_json::Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let (kind, plural) = (text("/spec/names/kind"), text("/spec/names/plural"));
    let version = text("/spec/versions/0/name");
    let gvk = GroupVersionKind::gvk(mailpods_api::GROUP, &version, &kind);
    let resource = ApiResource::from_gvk_with_plural(&gvk, &plural);
    let api: Api<DynamicObject> = match only {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    api.list(&ListParams::default().limit(1))
        .await
        .with_context(|| {
            format!("failed to list {kind} objects; is the chart mailpods-crds installed?")
        })?;
    println!("{kind}: served");
    Ok(())
}

/// Nodes learn a moment later than the API server that pods are ready.
async fn connect(host: &str, port: u16) -> Result<TcpStream> {
    let until = Instant::now() + CONNECT_WITHIN;
    loop {
        match TcpStream::connect((host, port)).await {
            Ok(stream) => return Ok(stream),
            Err(_) if Instant::now() < until => tokio::time::sleep(CONNECT_PAUSE).await,
            Err(error) => {
                return Err(error).with_context(|| format!("failed to connect to {host}:{port}"));
            }
        }
    }
}

async fn refuses(url: &str, authorities: &[u8]) -> Result<()> {
    let uri: Uri = url
        .parse()
        .context("the URL of the control channel cannot be read")?;
    let host = uri
        .host()
        .context("the URL of the control channel has no host")?;
    let port = uri.port_u16().unwrap_or(PORT);
    let authorities = std::str::from_utf8(authorities).context("ca.crt is not text")?;
    let config = tls::client(authorities)?;
    let stream = connect(host, port).await?;
    let name = ServerName::try_from(host.to_owned())?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .context("the control channel has another certificate than its Secret")?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(plan_path("none", "none"))
        .header(header::HOST, SERVICE)
        .body(Body::empty())?;
    let status = tokio::select! {
        answer = sender.send_request(request) => answer?.status(),
        ended = connection => { ended?; bail!("the control channel closed the connection") }
    };
    if status != StatusCode::UNAUTHORIZED {
        bail!("the control channel answered {status} to a request without a token");
    }
    println!("control channel: answers, and asks for a token");
    Ok(())
}
