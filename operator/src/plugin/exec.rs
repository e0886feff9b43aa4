//! A tool in a pod: what it reads, says and ends with.

use std::io::ErrorKind;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{Api, AttachParams, AttachedProcess};
use kube::client::UpgradeConnectionError;
use kube::{Client, Error};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::PluginError;
use super::find::Place;

/// The program; images have it in their path.
const PROGRAM: &str = "mailpods";
/// The exit code of who writes to somebody who does not read on.
const SIGPIPE: u8 = 128 + 13;
/// Octets that are under way.
const BUFFER: usize = 64 * 1024;

/// Runs a tool to its end; what it says goes to `told`, output and errors. Returns its exit code.
pub(super) async fn tool(
    client: &Client,
    place: &Place,
    words: &[String],
    told: (impl AsyncWrite + Unpin, impl AsyncWrite + Unpin),
) -> Result<u8, PluginError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &place.namespace);
    // Tools read what `-` stands for and nothing else; an input that nobody reads would keep the connection waiting.
    let reads = words.iter().any(|word| word == "-");
    let parameters = AttachParams::default()
        .container(&place.container)
        .stdin(reads)
        .max_stdin_buf_size(BUFFER)
        .max_stdout_buf_size(BUFFER)
        .max_stderr_buf_size(BUFFER);
    let command = std::iter::once(PROGRAM).chain(words.iter().map(String::as_str));
    let process = pods.exec(&place.pod, command, &parameters).await;
    let process = process.map_err(|error| refused(error, place))?;
    pass_on(process, place, told).await
}

fn refused(error: Error, place: &Place) -> PluginError {
    let code = match &error {
        Error::Api(status) => Some(status.code),
        Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(code)) => {
            Some(code.as_u16())
        }
        _ => None,
    };
    match code {
        Some(403) => PluginError::Forbidden {
            // GET opens the connection; newer API servers ask for `create` too.
            verbs: "get, create",
            resource: "pods/exec",
            namespace: place.namespace.clone(),
        },
        _ => PluginError::api("run a command in a pod", error),
    }
}

async fn pass_on(
    mut process: AttachedProcess,
    place: &Place,
    told: (impl AsyncWrite + Unpin, impl AsyncWrite + Unpin),
) -> Result<u8, PluginError> {
    let status = process.take_status();
    if let Some(mut input) = process.stdin() {
        // It ends with the tool, whether anybody types or not.
        tokio::spawn(async move {
            let copied = tokio::io::copy(&mut tokio::io::stdin(), &mut input).await;
            // A tool that does not read on is no error.
            copied.and(input.shutdown().await).ok();
        });
    }
    let (output, errors) = (process.stdout(), process.stderr());
    match tokio::try_join!(copy(output, told.0), copy(errors, told.1)) {
        Ok(_) => {}
        // `| head` has read enough: a program that minds ends by SIGPIPE, which shells tell as 128 and its number.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(SIGPIPE),
        Err(error) => return Err(error.into()),
    }
    let status = match status {
        Some(status) => status.await,
        None => None,
    };
    code(status, place)
}

async fn copy(
    from: Option<impl AsyncRead + Unpin>,
    mut to: impl AsyncWrite + Unpin,
) -> std::io::Result<()> {
    if let Some(mut from) = from {
        tokio::io::copy(&mut from, &mut to).await?;
        to.flush().await?;
    }
    Ok(())
}

/// The exit code of a status as the kubelet writes it.
pub(super) fn code(status: Option<Status>, place: &Place) -> Result<u8, PluginError> {
    let status = status.ok_or_else(|| PluginError::Cut(place.pod.clone()))?;
    if status.status.as_deref() == Some("Success") {
        return Ok(0);
    }
    let causes = status
        .details
        .iter()
        .flat_map(|details| details.causes.iter().flatten());
    let code = causes
        .filter(|cause| cause.reason.as_deref() == Some("ExitCode"))
        .find_map(|cause| cause.message.as_ref()?.parse().ok());
    code.ok_or_else(|| PluginError::Exec {
        pod: place.pod.clone(),
        why: status
            .message
            .unwrap_or_else(|| "no reason given".to_owned()),
    })
}
