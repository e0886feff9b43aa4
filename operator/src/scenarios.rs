//! Controllers against an API server that is played: which requests are made, in which order, with what in them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
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
use crate::kube::apply::{Live, Reference};
use crate::kube::children::ChildKind;
use crate::kube::events::Events;
use crate::kube::queue::Outcome;
use crate::metrics::Metrics;
use crate::world::World;
use crate::world::snapshot::Kind;
use crate::{cluster, domain, simple};

mod addresses;
mod certificates;
#[path = "../tests/support/dns.rs"]
mod dns;
mod invalid;
mod keys;
mod left;
mod look_ups;
mod others;
mod scaling;

/// A request that was made.
#[derive(Debug, Clone)]
struct Asked {
    method: Method,
    path: String,
    body: Value,
}

/// The played API server: takes everything, but for paths that end like `refused`, and has nothing but what it was given.
struct Server {
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Objects that it gives, by the end of their path.
    there: Arc<Mutex<BTreeMap<String, Value>>>,
    /// Codes that writes are answered with, by the end of their path.
    refused: Arc<Mutex<BTreeMap<String, u16>>>,
    context: Context,
}

impl Server {
    fn start(refused: &'static str) -> Self {
        let nobody = vec!["127.0.0.1:1".parse().unwrap()];
        Self::asking(nobody, refused)
    }

    /// One whose operator asks these DNS servers.
    fn asking(dns: Vec<SocketAddr>, refused: &'static str) -> Self {
        let (service, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let seen = asked.clone();
        let there: Arc<Mutex<BTreeMap<String, Value>>> = Arc::default();
        let given = there.clone();
        let codes = BTreeMap::from([(refused.to_owned(), 422)]);
        let codes = codes.into_iter().filter(|(end, _)| !end.is_empty());
        let refused: Arc<Mutex<BTreeMap<String, u16>>> = Arc::new(Mutex::new(codes.collect()));
        let refuses = refused.clone();
        tokio::spawn(async move {
            while let Some((request, send)) = handle.next_request().await {
                let (parts, body) = request.into_parts();
                let octets = to_bytes(axum::body::Body::new(body), 1 << 20)
                    .await
                    .unwrap();
                let body = serde_json::from_slice(&octets).unwrap_or(Value::Null);
                let path = parts.uri.path().to_owned();
                let kind = parts.headers.get(http::header::CONTENT_TYPE);
                if kind.is_some_and(|kind| kind == "application/merge-patch+json") {
                    let mut there = given.lock().unwrap();
                    if let Some(object) = there.get_mut(&path) {
                        merge(object, &body);
                    }
                }
                let refuse = refuses
                    .lock()
                    .unwrap()
                    .iter()
                    .find_map(|(end, code)| path.ends_with(end.as_str()).then_some(*code));
                let response = if parts.method == Method::GET {
                    given_object(&given.lock().unwrap(), &path)
                } else {
                    answer(&parts.method, &body, refuse)
                };
                if parts.method != Method::GET {
                    seen.lock().unwrap().push(Asked {
                        method: parts.method,
                        path,
                        body,
                    });
                }
                send.send_response(response);
            }
        });
        let client = Client::new(service, "mail");
        Self {
            asked,
            there,
            refused,
            context: context(client, dns),
        }
    }

    /// From now on an object is given to who asks for it.
    fn has(&self, path: &str, object: Value) {
        self.there.lock().unwrap().insert(path.to_owned(), object);
    }

    /// `METHOD path` of what was written since the last time, the prefix of the API left out.
    fn taken(&self) -> (Vec<String>, Vec<Asked>) {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        let lines = asked.iter().map(|asked| {
            let path = asked.path.rsplit("/namespaces/").next().unwrap();
            format!("{} {path}", asked.method)
        });
        (lines.collect(), asked)
    }
}

/// As a JSON merge patch has it.
fn merge(object: &mut Value, patch: &Value) {
    for (name, value) in patch.as_object().unwrap() {
        match value {
            Value::Null => drop(object.as_object_mut().unwrap().remove(name)),
            Value::Object(_) if object[name].is_object() => merge(&mut object[name], value),
            _ => object[name] = value.clone(),
        }
    }
}

fn given_object(there: &BTreeMap<String, Value>, path: &str) -> Response<Body> {
    let found = there.iter().find(|(end, _)| path.ends_with(end.as_str()));
    let (status, body) = match found {
        Some((_, object)) => (StatusCode::OK, object.clone()),
        None => (
            StatusCode::NOT_FOUND,
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "not found", "reason": "NotFound", "code": 404}),
        ),
    };
    let body = Body::from(serde_json::to_vec(&body).unwrap());
    Response::builder().status(status).body(body).unwrap()
}

fn answer(method: &Method, body: &Value, refuse: Option<u16>) -> Response<Body> {
    let (status, body) = if let Some(code) = refuse {
        (
            StatusCode::from_u16(code).unwrap(),
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "spec is wrong", "reason": "Invalid", "code": code}),
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

fn context(client: Client, dns: Vec<SocketAddr>) -> Context {
    let world = World::new(None);
    let surroundings = Surroundings {
        image: "mailpods:test".to_owned(),
        control_url: "https://control".to_owned(),
        control_ca: "ca".to_owned(),
        operator_namespace: "mailpods-system".to_owned(),
        foreign: Vec::new(),
        policy_hosts: Vec::new(),
        addresses: Vec::new(),
    };
    let look_ups = LookUps::new(dns).unwrap();
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
    let error = cluster::reconcile(&server.context, &key).await.unwrap_err();
    // A webhook that refuses may change its mind.
    assert!(matches!(
        crate::context::after(error.class()),
        Outcome::Again(_)
    ));
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
        uid: "uid-child".to_owned(),
        owners: vec![Reference {
            kind: "MailCluster".to_owned(),
            name: "main".to_owned(),
            uid: "uid-main".to_owned(),
        }],
        owner_namespace: None,
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
    // Somebody's copy, labels and all, goes with nobody; and what went with an older MailCluster of that name is not ours to remove.
    let copy = Live {
        owners: Vec::new(),
        ..there(Some("x"))
    };
    children[&ChildKind::Deployment].take(Event::Apply((of("copy"), copy)));
    let mut older = there(Some("x"));
    older.owners[0].uid = "uid-older".to_owned();
    children[&ChildKind::Deployment].take(Event::Apply((of("older"), older)));
    cluster::reconcile(&server.context, &key).await.unwrap();
    let (lines, asked) = server.taken();
    let removed = lines.iter().zip(asked);
    let removed: Vec<_> = removed
        .filter(|(line, _)| line.starts_with("DELETE"))
        .map(|(line, asked)| (line.as_str(), asked.body["preconditions"]["uid"].clone()))
        .collect();
    let wanted = ("DELETE mail/deployments/main-smtp", json!("uid-child"));
    assert_eq!(removed, [wanted]);
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
async fn a_domain_with_an_alias_that_is_taken_keeps_its_records() {
    let server = Server::start("");
    add_cluster(
        &server.context,
        json!({"hostname": "mail.example.test", "dns": {"mode": "ExternalDNS"}}),
    );
    let alias = json!({"name": "info", "targets": ["m@example.test"]});
    let key = add_domain(
        &server.context,
        "a",
        json!({"domain": "example.test", "aliases": [alias], "dkim": {"keys": []}}),
    );
    for name in ["m", "info"] {
        let spec = json!({"address": format!("{name}@example.test")});
        let (key, object) = object::<Mailbox>("Mailbox", name, spec);
        let mailboxes = &server.context.world.mailboxes;
        mailboxes.take(Event::Apply((key, Ok(object))));
    }
    server.context.world.compile_now().await;
    domain::reconcile(&server.context, &key).await.unwrap();
    let (lines, asked) = server.taken();
    assert_eq!(lines[0], "PATCH mail/dnsendpoints/mail-example.test");
    assert_eq!(ready(&asked)["reason"], "Conflicted");
    // Nor are they removed at the next look, when they are there.
    tell(&server.context, &asked);
    domain::reconcile(&server.context, &key).await.unwrap();
    let (lines, _) = server.taken();
    let deleted = lines.iter().filter(|line| line.starts_with("DELETE"));
    assert_eq!(deleted.count(), 0, "{lines:?}");
}

#[tokio::test]
async fn a_problem_of_the_cluster_withdraws_no_records() {
    let server = Server::start("");
    let spec = json!({
        "hostname": "mail.example.test",
        "dns": {"mode": "ExternalDNS"},
        "outbound": {"smartHost": {"host": "smtp.example.test", "tls": "Verify", "authSecretRef": {"name": "gone"}}},
    });
    add_cluster(&server.context, spec);
    let domain = json!({"domain": "example.test", "dkim": {"keys": []}});
    let key = add_domain(&server.context, "a", domain);
    has_endpoint(&server.context);
    server.context.world.compile_now().await;
    domain::reconcile(&server.context, &key).await.unwrap();
    let (lines, asked) = server.taken();
    assert_eq!(lines, ["PATCH mail/maildomains/a/status"]);
    assert_eq!(ready(&asked)["reason"], "NoPlan");
    assert_eq!(asked[0].body["status"]["cluster"], "mail/main");
}

/// The DNSEndpoint of MailDomain `a` is there, as it was applied before.
fn has_endpoint(context: &Context) {
    let labels = json!({"mailpods.dev/owner-kind": "MailDomain", "mailpods.dev/owner": "a"});
    let metadata = json!({
        "name": "mail-example.test", "namespace": "mail", "labels": labels,
        "annotations": {"mailpods.dev/applied": "before"},
        "ownerReferences": [{
            "apiVersion": "mailpods.dev/v1alpha1", "kind": "MailDomain", "name": "a", "uid": "uid-a",
        }],
    });
    let metadata: kube::api::ObjectMeta = serde_json::from_value(metadata).unwrap();
    let told = (Key::of(&metadata), Live::of(&metadata));
    context.world.children[&ChildKind::DnsEndpoint].take(Event::Apply(told));
}

#[tokio::test]
async fn a_domain_whose_cluster_is_gone_keeps_its_records() {
    let server = Server::start("");
    let domain = json!({"domain": "example.test", "dkim": {"keys": []}});
    let key = add_domain(&server.context, "a", domain);
    has_endpoint(&server.context);
    server.context.world.compile_now().await;
    domain::reconcile(&server.context, &key).await.unwrap();
    let (lines, asked) = server.taken();
    assert_eq!(lines, ["PATCH mail/maildomains/a/status"]);
    assert_eq!(ready(&asked)["reason"], "Missing");
}

#[tokio::test]
async fn a_key_of_the_cluster_is_not_copied_into_another_namespace() {
    let server = Server::start("");
    let keys = json!([{"selector": "s", "privateKeySecretRef": {"name": "key"}}]);
    let spec = json!({
        "hostname": "mail.example.test", "allowedNamespaces": {"from": "All"}, "dkim": {"keys": keys},
    });
    let world = &server.context.world;
    add_cluster(&server.context, spec);
    let (_, domain) = object::<MailDomain>(
        "MailDomain",
        "a",
        json!({"domain": "example.test", "clusterRef": {"name": "main", "namespace": "mail"}}),
    );
    let mut domain = (*domain).clone();
    domain.metadata.namespace = Some("team".to_owned());
    let key = Key::new("team", "a");
    world
        .domains
        .take(Event::Apply((key.clone(), Ok(Arc::new(domain)))));
    world.compile_now().await;
    domain::reconcile(&server.context, &key).await.unwrap();
    let (lines, asked) = server.taken();
    assert_eq!(lines, ["PATCH team/maildomains/a/status"]);
    let conditions = asked[0].body["status"]["conditions"].as_array().unwrap();
    let reasons = conditions
        .iter()
        .map(|condition| condition["reason"].as_str().unwrap());
    assert!(
        reasons
            .into_iter()
            .any(|reason| reason == "KeyOfAnotherNamespace")
    );
}
