//! Controllers against an API server that is played: which requests are made, in which order, with what in them.

use std::sync::{Arc, Mutex};

use axum::body::to_bytes;
use http::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use kube::runtime::watcher::Event;
use mailpods_api::v1alpha1::{MailCluster, MailDomain, Mailbox};
use mailpods_telemetry::metrics::Registry;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tower_test::mock;

use crate::cluster::build::Surroundings;
use crate::context::Context;
use crate::control::observed::Observed;
use crate::dns::look_ups::LookUps;
use crate::kube::Key;
use crate::kube::apply::Live;
use crate::kube::children::ChildKind;
use crate::kube::events::Events;
use crate::kube::queue::Outcome;
use crate::metrics::Metrics;
use crate::world::World;
use crate::{cluster, domain, simple};

/// A request that was made.
#[derive(Debug, Clone)]
struct Asked {
    method: Method,
    path: String,
    body: Value,
}

/// The played API server: takes everything, but for paths that end like `refused`.
struct Server {
    asked: Arc<Mutex<Vec<Asked>>>,
    context: Context,
}

impl Server {
    fn start(refused: &'static str) -> Self {
        let (service, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let seen = asked.clone();
        tokio::spawn(async move {
            while let Some((request, send)) = handle.next_request().await {
                let (parts, body) = request.into_parts();
                let octets = to_bytes(axum::body::Body::new(body), 1 << 20)
                    .await
                    .unwrap();
                let body = serde_json::from_slice(&octets).unwrap_or(Value::Null);
                let path = parts.uri.path().to_owned();
                let response = answer(
                    &parts.method,
                    &body,
                    !refused.is_empty() && path.ends_with(refused),
                );
                seen.lock().unwrap().push(Asked {
                    method: parts.method,
                    path,
                    body,
                });
                send.send_response(response);
            }
        });
        let client = Client::new(service, "mail");
        Self {
            asked,
            context: context(client),
        }
    }

    /// `METHOD path` of what was asked since the last time, the prefix of the API left out.
    fn taken(&self) -> (Vec<String>, Vec<Asked>) {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        let lines = asked.iter().map(|asked| {
            let path = asked.path.rsplit("/namespaces/").next().unwrap();
            format!("{} {path}", asked.method)
        });
        (lines.collect(), asked)
    }
}

fn answer(method: &Method, body: &Value, refuse: bool) -> Response<Body> {
    let (status, body) = if refuse {
        (
            StatusCode::UNPROCESSABLE_ENTITY,
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "spec is wrong", "reason": "Invalid", "code": 422}),
        )
    } else if *method == Method::DELETE {
        (
            StatusCode::OK,
            json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}),
        )
    } else {
        (StatusCode::OK, body.clone())
    };
    let body = Body::from(serde_json::to_vec(&body).unwrap());
    Response::builder().status(status).body(body).unwrap()
}

fn context(client: Client) -> Context {
    let world = World::new(None);
    let surroundings = Surroundings {
        image: "mailpods:test".to_owned(),
        control_url: "https://control".to_owned(),
        control_ca: "ca".to_owned(),
        operator_namespace: "mailpods-system".to_owned(),
        foreign: Vec::new(),
    };
    let look_ups = LookUps::new(vec!["127.0.0.1:1".parse().unwrap()]).unwrap();
    let events = Events::new(client.clone(), "test");
    let metrics = Metrics::new(&Registry::new()).unwrap();
    let observed = Observed::new(world.clone());
    Context::new(
        client,
        world,
        surroundings,
        (observed, look_ups),
        (events, metrics),
    )
}

fn object<K: DeserializeOwned>(kind: &str, name: &str, spec: Value) -> (Key, Arc<K>) {
    let object = json!({
        "apiVersion": "mailpods.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "mail", "uid": format!("uid-{name}"), "generation": 1},
        "spec": spec,
    });
    (
        Key::new("mail", name),
        Arc::new(serde_json::from_value(object).unwrap()),
    )
}

fn add_cluster(context: &Context, spec: Value) -> Key {
    let (key, object) = object::<MailCluster>("MailCluster", "main", spec);
    context
        .world
        .clusters
        .take(Event::Apply((key.clone(), Ok(object))));
    key
}

fn add_domain(context: &Context, name: &str, spec: Value) -> Key {
    let (key, object) = object::<MailDomain>("MailDomain", name, spec);
    context
        .world
        .domains
        .take(Event::Apply((key.clone(), Ok(object))));
    key
}

fn ready(asked: &[Asked]) -> Value {
    let status = asked
        .iter()
        .find(|asked| asked.path.ends_with("/status"))
        .unwrap();
    status.body["status"]["conditions"][0].clone()
}

/// What a watch would tell of what was applied.
fn tell(context: &Context, asked: &[Asked]) {
    for asked in asked
        .iter()
        .filter(|asked| !asked.path.ends_with("/status"))
    {
        let metadata: kube::api::ObjectMeta =
            serde_json::from_value(asked.body["metadata"].clone()).unwrap_or_default();
        let kinds = ChildKind::ALL.into_iter();
        for kind in kinds.filter(|kind| asked.body["kind"] == kind.kind()) {
            let told = (Key::of(&metadata), Live::of(&metadata));
            context.world.children[&kind].take(Event::Apply(told));
        }
    }
}

#[tokio::test]
async fn a_new_cluster_is_applied_in_order_and_then_nothing_is_written_any_more() {
    let server = Server::start("");
    let key = add_cluster(&server.context, json!({"hostname": "mail.example.test"}));
    server.context.world.compile_now().await;
    let outcome = cluster::reconcile(&server.context, &key).await.unwrap();
    assert!(matches!(outcome, Outcome::Again(_)));
    let (lines, asked) = server.taken();
    assert_eq!(
        lines,
        [
            "PATCH mail/serviceaccounts/main-all",
            "PATCH mail/configmaps/main-control",
            "POST mail/secrets",
            "PATCH mail/services/main-imap",
            "PATCH mail/services/main-pods",
            "PATCH mail/services/main-smtp",
            "PATCH mail/networkpolicies/main-all",
            "PATCH mail/poddisruptionbudgets/main-all",
            "PATCH mail/statefulsets/main-all",
            "PATCH mail/mailclusters/main/status",
        ]
    );
    let key_made = asked[2].body["data"]["seal.key"].as_str().unwrap();
    assert_eq!(key_made.len(), 44);
    assert_eq!(ready(&asked)["reason"], "NotObserved");
    assert_eq!(
        asked[8].body["metadata"]["ownerReferences"][0]["uid"],
        "uid-main"
    );
    tell(&server.context, &asked);
    let mut written: MailCluster =
        (*server.context.world.clusters.get(&key).unwrap().unwrap()).clone();
    written.status = Some(serde_json::from_value(asked[9].body["status"].clone()).unwrap());
    server
        .context
        .world
        .clusters
        .take(Event::Apply((key.clone(), Ok(Arc::new(written)))));
    server.context.world.compile_now().await;
    cluster::reconcile(&server.context, &key).await.unwrap();
    assert_eq!(server.taken().0, Vec::<String>::new());
}

#[tokio::test]
async fn what_the_api_server_refuses_stalls_the_cluster_and_says_why() {
    let server = Server::start("/services/main-smtp");
    let key = add_cluster(&server.context, json!({"hostname": "mail.example.test"}));
    server.context.world.compile_now().await;
    assert_eq!(
        cluster::reconcile(&server.context, &key).await.unwrap(),
        Outcome::Done
    );
    let (lines, asked) = server.taken();
    assert!(!lines.contains(&"PATCH mail/statefulsets/main-all".to_owned()));
    let ready = ready(&asked);
    assert_eq!(
        (
            ready["status"].as_str(),
            ready["reason"].as_str(),
            ready["message"].as_str()
        ),
        (
            Some("False"),
            Some("ApplyFailed"),
            Some("failed to apply Service mail/main-smtp: spec is wrong")
        )
    );
}

#[tokio::test]
async fn what_a_cluster_wants_no_more_is_removed_and_keys_stay() {
    let server = Server::start("");
    let key = add_cluster(&server.context, json!({"hostname": "mail.example.test"}));
    server.context.world.compile_now().await;
    let owner = Some(("MailCluster".to_owned(), "main".to_owned()));
    let there = |applied: Option<&str>| Live {
        version: "1".to_owned(),
        applied: applied.map(str::to_owned),
        owner: owner.clone(),
    };
    let children = &server.context.world.children;
    let of = |name: &str| Key::new("mail", name);
    children[&ChildKind::Deployment].take(Event::Apply((of("main-smtp"), there(Some("x")))));
    children[&ChildKind::Secret].take(Event::Apply((of("main-filter"), there(None))));
    let stranger = Live {
        owner: Some(("MailCluster".to_owned(), "other".to_owned())),
        ..there(Some("x"))
    };
    children[&ChildKind::Deployment].take(Event::Apply((of("other-smtp"), stranger)));
    cluster::reconcile(&server.context, &key).await.unwrap();
    let removed: Vec<String> = server
        .taken()
        .0
        .into_iter()
        .filter(|line| line.starts_with("DELETE"))
        .collect();
    assert_eq!(removed, ["DELETE mail/deployments/main-smtp"]);
}

#[tokio::test]
async fn a_paused_cluster_is_left_alone() {
    let server = Server::start("");
    let key = add_cluster(
        &server.context,
        json!({"hostname": "mail.example.test", "paused": true}),
    );
    server.context.world.compile_now().await;
    cluster::reconcile(&server.context, &key).await.unwrap();
    let (lines, _) = server.taken();
    assert_eq!(lines, ["PATCH mail/mailclusters/main/status"]);
}

#[tokio::test]
async fn a_cluster_of_which_nothing_can_be_built_is_stalled() {
    let server = Server::start("");
    let listeners = json!([{"name": "smtp", "protocol": "smtp", "port": 0}]);
    let key = add_cluster(
        &server.context,
        json!({"hostname": "mail.example.test", "listeners": listeners}),
    );
    server.context.world.compile_now().await;
    cluster::reconcile(&server.context, &key).await.unwrap();
    let (lines, asked) = server.taken();
    assert_eq!(
        lines,
        ["PATCH mail/mailclusters/main/status", "POST mail/events"]
    );
    assert_eq!(asked[0].body["status"]["conditions"][1]["type"], "Stalled");
}

#[tokio::test]
async fn a_new_domain_gets_keys_and_records() {
    let server = Server::start("");
    let dkim = json!({"keys": [{"selector": "s", "algorithm": "Ed25519Sha256"}]});
    add_cluster(
        &server.context,
        json!({"hostname": "mail.example.test", "dns": {"mode": "ExternalDNS"}, "dkim": dkim}),
    );
    let key = add_domain(
        &server.context,
        "example",
        json!({"domain": "example.test"}),
    );
    server.context.world.compile_now().await;
    domain::reconcile(&server.context, &key).await.unwrap();
    let (lines, asked) = server.taken();
    assert_eq!(
        lines,
        [
            "POST mail/secrets",
            "PATCH mail/dnsendpoints/mail-example.test",
            "PATCH mail/maildomains/example/status",
        ]
    );
    assert_eq!(asked[0].body["metadata"]["name"], "dkim-s.example.test");
    assert_eq!(
        asked[0].body["metadata"]["annotations"]["mailpods.dev/dkim-phase"],
        "Publishing"
    );
    assert_eq!(
        asked[1].body["spec"]["endpoints"][0]["dnsName"],
        "_dmarc.example.test"
    );
    assert_eq!(ready(&asked)["reason"], "NotLookedUp");
}

#[tokio::test]
async fn the_later_of_two_domains_is_conflicted_and_names_the_older() {
    let server = Server::start("");
    add_cluster(&server.context, json!({"hostname": "mail.example.test"}));
    add_domain(&server.context, "a", json!({"domain": "example.test"}));
    let later = add_domain(&server.context, "b", json!({"domain": "example.test"}));
    server.context.world.compile_now().await;
    domain::reconcile(&server.context, &later).await.unwrap();
    let (lines, asked) = server.taken();
    assert_eq!(
        lines,
        ["PATCH mail/maildomains/b/status", "POST mail/events"]
    );
    let conditions = asked[0].body["status"]["conditions"].as_array().unwrap();
    let types: Vec<_> = conditions
        .iter()
        .map(|condition| condition["type"].as_str().unwrap())
        .collect();
    assert_eq!(types, ["Ready", "Stalled", "Conflicted"]);
    assert_eq!(
        conditions[2]["message"],
        "spec.domain: is already a domain of MailDomain/a in namespace mail; found example.test"
    );
}

#[tokio::test]
async fn a_mailbox_that_waits_for_its_secret_is_not_stalled() {
    let server = Server::start("");
    add_cluster(&server.context, json!({"hostname": "mail.example.test"}));
    add_domain(&server.context, "a", json!({"domain": "example.test"}));
    let (key, object) = object::<Mailbox>(
        "Mailbox",
        "m",
        json!({"address": "m@example.test", "passwordSecretRef": {"name": "gone"}}),
    );
    server
        .context
        .world
        .mailboxes
        .take(Event::Apply((key.clone(), Ok(object))));
    server.context.world.compile_now().await;
    simple::reconcile::<Mailbox>(&server.context, &key).await.unwrap();
    let (_, asked) = server.taken();
    let conditions = asked[0].body["status"]["conditions"].as_array().unwrap();
    let said: Vec<_> = conditions
        .iter()
        .map(|condition| {
            (
                condition["type"].as_str().unwrap(),
                condition["reason"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(said, [("Ready", "Missing"), ("Reconciling", "Missing")]);
}
