//! Which pod is taken, against an API server that is played, and what comes back from it.

use std::sync::{Arc, Mutex};

use futures_util::SinkExt as _;
use http::{HeaderValue, Request, Response};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server;
use tower_test::mock;

use super::exec::{code, tool};
use super::find::{Place, cluster, pod};
use super::*;

/// An API server with these answers by the end of a path; paths asked for are kept.
fn server(answers: Vec<(&'static str, u16, Value)>) -> (Client, Arc<Mutex<Vec<String>>>) {
    let (service, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = asked.clone();
    tokio::spawn(async move {
        while let Some((request, send)) = handle.next_request().await {
            seen.lock().unwrap().push(request.uri().to_string());
            let path = request.uri().path();
            let (code, body) = answers
                .iter()
                .find(|(end, _, _)| path.ends_with(end))
                .map_or(
                    (404, json!({"kind": "Status", "code": 404})),
                    |(_, code, body)| (*code, body.clone()),
                );
            let body = serde_json::to_vec(&body).unwrap();
            send.send_response(Response::builder().status(code).body(body.into()).unwrap());
        }
    });
    (Client::new(service, "mail"), asked)
}

fn clusters(names: &[&str]) -> Value {
    let items: Vec<Value> = names
        .iter()
        .map(|name| json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": name, "namespace": "mail"}}))
        .collect();
    json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList", "metadata": {}, "items": items})
}

fn a_pod(name: &str, role: &str, ready: bool, leaving: bool) -> Value {
    let mut metadata = json!({"name": name, "labels": {"app.kubernetes.io/component": role}});
    if leaving {
        metadata["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    }
    let ready = if ready { "True" } else { "False" };
    json!({
        "metadata": metadata,
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
    })
}

fn pods(items: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": items})
}

fn forbidden() -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "message": "no", "code": 403})
}

#[tokio::test]
async fn the_only_cluster_is_found_and_others_are_asked_for() {
    let found = async |answer: (u16, Value)| {
        let (client, _) = server(vec![("/mailclusters", answer.0, answer.1)]);
        cluster(&client, "mail").await
    };
    assert_eq!(found((200, clusters(&["main"]))).await.unwrap(), "main");
    let none = found((200, clusters(&[]))).await.unwrap_err();
    assert!(matches!(none, PluginError::NoCluster(_)), "{none}");
    let several = found((200, clusters(&["two", "one"]))).await.unwrap_err();
    assert_eq!(
        several.to_string(),
        "namespace mail has several MailClusters: one, two"
    );
    assert_eq!(several.hint().unwrap(), "--mailcluster one");
    let refused = found((403, forbidden())).await.unwrap_err();
    assert!(
        refused
            .hint()
            .unwrap()
            .contains(r#"{apiGroups: ["mailpods.dev"], resources: [mailclusters], verbs: [list]}"#)
    );
    let missing = found((
        404,
        json!({"kind": "Status", "status": "Failure", "code": 404}),
    ))
    .await;
    assert!(
        matches!(missing, Err(PluginError::NotInstalled)),
        "{missing:?}"
    );
}

#[tokio::test]
async fn a_ready_delivery_pod_is_taken_else_the_one_of_all_roles() {
    let taken = async |items: &[Value]| {
        let (client, asked) = server(vec![("/pods", 200, pods(items))]);
        let taken = pod(&client, "mail", "main").await;
        let asked = asked.lock().unwrap().join(" ");
        assert!(
            asked.contains("app.kubernetes.io%2Finstance%3Dmain") && asked.contains("delivery"),
            "{asked}"
        );
        taken
    };
    let several = [
        a_pod("main-all-0", "all", true, false),
        a_pod("main-delivery-c", "delivery", true, false),
        a_pod("main-delivery-b", "delivery", true, true),
        a_pod("main-delivery-a", "delivery", false, false),
    ];
    let place = taken(&several).await.unwrap();
    assert_eq!(
        (place.pod.as_str(), place.container.as_str()),
        ("main-delivery-c", "delivery")
    );
    let place = taken(&several[..1]).await.unwrap();
    assert_eq!(
        (place.pod.as_str(), place.container.as_str()),
        ("main-all-0", "all")
    );
    let waiting = taken(&several[2..]).await.unwrap_err().to_string();
    assert_eq!(
        waiting,
        "no pod of MailCluster mail/main is ready: main-delivery-a (Running), main-delivery-b (Terminating)"
    );
    assert!(matches!(taken(&[]).await, Err(PluginError::NoPod { .. })));
}

fn place() -> Place {
    Place {
        namespace: "mail".to_owned(),
        pod: "main-delivery-a".to_owned(),
        container: "delivery".to_owned(),
    }
}

/// Takes one connection as a kubelet does, says these frames by channel, and tells what was asked for.
async fn kubelet(listener: TcpListener, frames: Vec<(u8, String)>) -> String {
    let (stream, _) = listener.accept().await.unwrap();
    let mut asked = String::new();
    #[allow(clippy::result_large_err, reason = "the library's own type")]
    let take = |request: &server::Request, mut response: server::Response| {
        asked = request.uri().to_string();
        let protocol = HeaderValue::from_static("v5.channel.k8s.io");
        response
            .headers_mut()
            .insert("sec-websocket-protocol", protocol);
        Ok(response)
    };
    let mut socket = accept_hdr_async(stream, take).await.unwrap();
    for (channel, text) in frames {
        let frame = [&[channel], text.as_bytes()].concat();
        socket.send(Message::binary(frame)).await.unwrap();
    }
    socket.close(None).await.ok();
    asked
}

#[tokio::test]
async fn what_a_tool_says_and_its_exit_code_are_passed_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    let client = Client::try_from(kube::Config::new(uri.parse().unwrap())).unwrap();
    let status = json!({"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": [{"reason": "ExitCode", "message": "4"}]}});
    let long = "NAME  TOTAL\n".repeat(20_000);
    let frames = vec![
        (1, long.clone()),
        (2, "a remark\n".to_owned()),
        (3, status.to_string()),
    ];
    let kubelet = tokio::spawn(kubelet(listener, frames));
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let words = ["queue", "top"].map(str::to_owned);
    let place = place();
    let ran = tool(&client, &place, &words, (&mut output, &mut errors));
    let ran = tokio::time::timeout(std::time::Duration::from_secs(60), ran)
        .await
        .unwrap();
    assert_eq!(ran.unwrap(), 4);
    assert!(output == long.as_bytes() && errors == b"a remark\n");
    let asked = kubelet.await.unwrap();
    assert!(
        asked.starts_with("/api/v1/namespaces/mail/pods/main-delivery-a/exec?"),
        "{asked}"
    );
    assert!(
        asked.contains("container=delivery") && !asked.contains("stdin"),
        "{asked}"
    );
    assert!(
        asked.ends_with("command=mailpods&command=queue&command=top"),
        "{asked}"
    );
}

#[tokio::test]
async fn a_rule_that_is_missing_is_named() {
    let (client, _) = server(vec![("/exec", 403, forbidden())]);
    let refused = tool(
        &client,
        &place(),
        &["version".to_owned()],
        (Vec::new(), Vec::new()),
    )
    .await;
    let refused = refused.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "not allowed in namespace mail: get, create pods/exec"
    );
    assert!(refused.hint().unwrap().contains("resources: [pods/exec]"));
    let gone = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "pods \"x\" not found", "code": 404});
    let (client, _) = server(vec![("/exec", 404, gone)]);
    let gone = tool(&client, &place(), &[], (Vec::new(), Vec::new())).await;
    let told = gone.unwrap_err().to_string();
    assert_eq!(
        told,
        "failed to run a command in a pod: pods \"x\" not found"
    );
}

#[test]
fn the_exit_code_is_the_tools() {
    let place = place();
    let ended = |status: Value| {
        let status: Status = serde_json::from_value(status).unwrap();
        code(Some(status), &place)
    };
    assert_eq!(ended(json!({"status": "Success"})).unwrap(), 0);
    let exited = json!({"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": [{"reason": "ExitCode", "message": "4"}]}});
    assert_eq!(ended(exited).unwrap(), 4);
    let failed =
        ended(json!({"status": "Failure", "reason": "InternalError", "message": "no such file"}));
    assert_eq!(
        failed.unwrap_err().to_string(),
        "pod main-delivery-a did not run the tool: no such file"
    );
    assert!(matches!(code(None, &place), Err(PluginError::Cut(_))));
}

#[test]
fn options_stand_anywhere_and_the_rest_is_the_tools() {
    let parse = |line: &str| Options::parse(line.split(' ').map(str::to_owned));
    let parsed = parse("queue top -n mail --by sender --mailcluster=main -o json")
        .unwrap()
        .unwrap();
    assert_eq!(
        (parsed.namespace.as_deref(), parsed.cluster.as_deref()),
        (Some("mail"), Some("main"))
    );
    assert_eq!(
        parsed.words,
        ["queue", "top", "--by", "sender", "-o", "json"]
    );
    let parsed = parse("--kubeconfig k --context=c trace -- -n x")
        .unwrap()
        .unwrap();
    assert_eq!(parsed.words, ["trace", "-n", "x"]);
    assert_eq!(
        (parsed.kubeconfig, parsed.context.as_deref()),
        (Some("k".into()), Some("c"))
    );
    assert_eq!(parse("--help").unwrap(), None);
    assert_eq!(
        parse("queue --help").unwrap().unwrap().words,
        ["queue", "--help"]
    );
    assert!(matches!(parse("queue -n"), Err(PluginError::Value(name)) if name == "-n"));
    assert!(matches!(parse("standalone"), Err(PluginError::Tool { word }) if word == "standalone"));
}
