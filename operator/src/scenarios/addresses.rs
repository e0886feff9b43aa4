//! What pods see of OutboundIPs becomes their status, conditions and Events.

use mailpods_api::v1alpha1::OutboundIP;
use mailpods_rpc::control::{AddressObservation, Observations, ProviderObservation};

use super::*;
use crate::world::Broken;
use crate::{broken, outbound_ip};

const AT: i64 = 1_700_000_000_000;
const HOUR: i64 = 3_600_000;

fn add_ip(context: &Context, name: &str, address: &str) -> Key {
    let spec = json!({"address": address, "hostname": "out.example.test"});
    let (key, object) = object::<OutboundIP>("OutboundIP", name, spec);
    context
        .world
        .outbound_ips
        .take(Event::Apply((key.clone(), Ok(object))));
    key
}

fn tells(context: &Context, cluster: &Key, pod: &str, seen: AddressObservation) {
    let told = Observations {
        pod: pod.to_owned(),
        ready: true,
        addresses: vec![seen],
        ..Observations::default()
    };
    context.observed.tell(cluster, told);
}

fn active() -> AddressObservation {
    AddressObservation {
        name: "one".to_owned(),
        address: "192.0.2.1".to_owned(),
        phase: "Active".to_owned(),
        since: Some(AT),
        observed: Some("192.0.2.1".to_owned()),
        sent: 1_234,
        ..AddressObservation::default()
    }
}

fn hot() -> AddressObservation {
    AddressObservation {
        phase: "Hot".to_owned(),
        reason: "google: refusals 421 4.7.28 unusual rate".to_owned(),
        since: Some(AT + HOUR),
        until: Some(AT + 2 * HOUR),
        listed: vec!["bl.test".to_owned()],
        providers: vec![ProviderObservation {
            name: "google".to_owned(),
            phase: "Hot".to_owned(),
            reason: "refusals 421 4.7.28 unusual rate".to_owned(),
            since: AT + HOUR,
            until: AT + 2 * HOUR,
            relapses: 1,
        }],
        ..active()
    }
}

/// The status that was written, which the watch then tells of; the Events as `TYPE reason`.
async fn looked(server: &Server, key: &Key) -> (Option<Value>, Vec<String>) {
    let context = &server.context;
    outbound_ip::reconcile(context, key).await.unwrap();
    let (_, asked) = server.taken();
    let status = asked.iter().find(|asked| asked.path.ends_with("/status"));
    let status = status.map(|asked| asked.body["status"].clone());
    if let Some(status) = &status {
        let mut ip = (*context.world.outbound_ips.get(key).unwrap().unwrap()).clone();
        ip.status = Some(serde_json::from_value(status.clone()).unwrap());
        let told = Event::Apply((key.clone(), Ok(Arc::new(ip))));
        context.world.outbound_ips.take(told);
    }
    let events = asked.iter().filter(|asked| asked.path.contains("/events"));
    let event = |asked: &Asked| {
        if asked.method == Method::PATCH {
            // One that was told before is counted up.
            return "again".to_owned();
        }
        let text = |field: &str| asked.body[field].as_str().unwrap_or_default();
        assert_eq!(asked.body["regarding"]["name"], key.name.as_str());
        format!("{} {}", text("type"), text("reason"))
    };
    (status, events.map(event).collect())
}

fn conditions(status: &Value) -> Vec<String> {
    let all = status["conditions"].as_array().unwrap();
    let line = |one: &Value| {
        let text = |field: &str| one[field].as_str().unwrap();
        format!("{}={} {}", text("type"), text("status"), text("reason"))
    };
    all.iter().map(line).collect()
}

async fn start() -> (Server, Key, Key) {
    let server = Server::start("");
    let cluster = add_cluster(&server.context, json!({"hostname": "mail.example.test"}));
    let key = add_ip(&server.context, "one", "192.0.2.1");
    server.context.world.compile_now().await;
    (server, cluster, key)
}

#[tokio::test]
async fn the_life_of_an_address_comes_into_its_status_and_its_events() {
    let (server, cluster, key) = start().await;
    let (status, events) = looked(&server, &key).await;
    assert!(status.unwrap()["phase"].is_null(), "nobody has told");
    assert!(!events.iter().any(|event| event.contains("Active")));

    tells(&server.context, &cluster, "delivery-0", active());
    let (status, events) = looked(&server, &key).await;
    let status = status.unwrap();
    assert_eq!(status["phase"], "Active");
    assert_eq!(status["since"], "2023-11-14T22:13:20Z");
    assert_eq!(status["observedAddress"], "192.0.2.1");
    assert_eq!(status["sent"], 1_200);
    assert_eq!(events, ["Normal Active"]);
    let wanted = ["Sending=True Active", "Hot=False NoRefusals"];
    let found = conditions(&status);
    assert!(
        wanted.iter().all(|one| found.contains(&(*one).to_owned())),
        "{found:?}"
    );

    // The same again is nothing new.
    tells(&server.context, &cluster, "delivery-0", active());
    assert_eq!(looked(&server, &key).await, (None, Vec::new()));

    tells(&server.context, &cluster, "delivery-0", hot());
    let (status, events) = looked(&server, &key).await;
    let status = status.unwrap();
    assert_eq!(status["phase"], "Hot");
    assert_eq!(status["until"], "2023-11-15T00:13:20Z");
    assert_eq!(status["listed"], json!(["bl.test"]));
    let google = json!([{
        "name": "google", "phase": "Hot", "reason": "refusals 421 4.7.28 unusual rate",
        "since": "2023-11-14T23:13:20Z", "until": "2023-11-15T00:13:20Z", "relapses": 1,
    }]);
    assert_eq!(status["providers"], google);
    assert_eq!(
        events,
        ["Warning Hot", "Warning ProviderHot", "Warning Listed"]
    );
    let found = conditions(&status);
    for one in ["Sending=True Hot", "Hot=True Listed"] {
        assert!(found.contains(&one.to_owned()), "{found:?}");
    }

    let fine = AddressObservation {
        since: Some(AT + 3 * HOUR),
        ..active()
    };
    tells(&server.context, &cluster, "delivery-0", fine);
    let (status, events) = looked(&server, &key).await;
    let status = status.unwrap();
    assert!(
        status["providers"].is_null() && status["listed"].is_null() && status["until"].is_null()
    );
    assert_eq!(events, ["again", "Normal ProviderFine", "Normal Delisted"]);
}

#[tokio::test]
async fn pods_share_what_they_know_and_the_newest_change_counts() {
    let (server, cluster, key) = start().await;
    tells(&server.context, &cluster, "delivery-0", hot());
    // One that has not looked since.
    tells(&server.context, &cluster, "delivery-1", active());
    let (status, _) = looked(&server, &key).await;
    assert_eq!(status.unwrap()["phase"], "Hot");
    // Of another address of that name, and of another MailCluster, nothing is heard.
    let other = AddressObservation {
        address: "192.0.2.9".to_owned(),
        since: Some(AT + 9 * HOUR),
        ..active()
    };
    tells(&server.context, &cluster, "delivery-0", other);
    let strange = AddressObservation {
        since: Some(AT + 9 * HOUR),
        ..active()
    };
    tells(
        &server.context,
        &Key::new("else", "main"),
        "delivery-0",
        strange,
    );
    let (status, events) = looked(&server, &key).await;
    assert_eq!(
        status.unwrap()["phase"],
        "Active",
        "what the second pod still tells"
    );
    assert_eq!(
        events,
        ["Normal Active", "Normal ProviderFine", "Normal Delisted"]
    );
}

const FINALIZER: &str = "/outboundips/one";

/// As if pods had the address in their plan.
fn give_to_pods(context: &Context, ip: &OutboundIP) {
    let mut next = context.world.snapshot().shared();
    for view in next.clusters.values_mut() {
        let plan = Arc::make_mut(view.plan.as_mut().unwrap());
        let planned = json!({
            "name": "one", "address": ip.spec.address, "hostname": ip.spec.hostname, "sending": true, "pool": "default",
        });
        let planned: mailpods_plan::OutboundIp = serde_json::from_value(planned).unwrap();
        plan.outbound_ips = BTreeMap::from([("one".to_owned(), planned)]).into();
    }
    context.world.publish(Arc::new(next));
}

/// The object as the API server has it now.
async fn change(context: &Context, key: &Key, change: impl FnOnce(&mut OutboundIP)) {
    let mut ip = (*context.world.outbound_ips.get(key).unwrap().unwrap()).clone();
    change(&mut ip);
    let told = Event::Apply((key.clone(), Ok(Arc::new(ip.clone()))));
    context.world.outbound_ips.take(told);
    context.world.compile_now().await;
    give_to_pods(context, &ip);
}

/// The finalizers that were written.
async fn finalizers(server: &Server, key: &Key) -> Option<Value> {
    outbound_ip::reconcile(&server.context, key).await.unwrap();
    let (_, asked) = server.taken();
    let patch = asked.iter().find(|asked| asked.path.ends_with(FINALIZER));
    patch.map(|asked| asked.body["metadata"]["finalizers"].clone())
}

fn drains(connections: u64) -> AddressObservation {
    AddressObservation {
        draining: true,
        connections,
        phase: "Standby".to_owned(),
        ..active()
    }
}

#[tokio::test]
async fn an_address_that_is_deleted_is_drained_before_its_records_go() {
    let (server, cluster, key) = start().await;
    let context = &server.context;
    // Nobody sends from it: nothing holds it.
    assert_eq!(finalizers(&server, &key).await, None);
    change(context, &key, |_| {}).await;
    let held = json!(["mailpods.dev/drain"]);
    assert_eq!(finalizers(&server, &key).await, Some(held.clone()));
    let deleted = json!("2023-11-14T22:13:20Z");
    let now = k8s_openapi::jiff::Timestamp::now();
    change(context, &key, |ip| {
        ip.metadata.finalizers = serde_json::from_value(held).unwrap();
        ip.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now));
    })
    .await;
    let snapshot = context.world.snapshot();
    let plan = snapshot.clusters[&cluster].plan.as_ref().unwrap();
    assert!(plan.outbound.draining.contains("one"), "pods are told");
    assert!(
        plan.records
            .iter()
            .any(|record| record.name == "out.example.test"),
        "its records stay"
    );

    tells(context, &cluster, "delivery-0", active());
    tells(context, &cluster, "delivery-1", drains(2));
    let (status, events) = looked(&server, &key).await;
    let found = conditions(&status.unwrap());
    assert!(
        found.contains(&"Drained=False Connections".to_owned()),
        "{found:?}"
    );
    assert!(events.contains(&"Normal Draining".to_owned()), "{events:?}");

    tells(context, &cluster, "delivery-0", drains(0));
    tells(context, &cluster, "delivery-1", drains(0));
    let (status, events) = looked(&server, &key).await;
    let found = conditions(&status.unwrap());
    assert!(
        found.contains(&"Drained=True Unused".to_owned()),
        "{found:?}"
    );
    // Of two pods whose news are of one time either may have been shown before.
    assert!(events.contains(&"Normal Drained".to_owned()), "{events:?}");
    // Whoever has seen mail from it has its time to look.
    assert_eq!(finalizers(&server, &key).await, None);
    change(context, &key, |ip| {
        let status = ip.status.as_mut().unwrap();
        let mut all = status.conditions.iter_mut();
        let drained = all.find(|one| one.type_ == "Drained").unwrap();
        drained.last_transition_time.0 =
            serde_json::from_value::<k8s_openapi::jiff::Timestamp>(deleted).unwrap();
    })
    .await;
    assert_eq!(finalizers(&server, &key).await, Some(json!([])));
}

#[tokio::test]
async fn an_address_without_pods_is_let_go_of() {
    let (server, _, key) = start().await;
    let mut ip = (*server
        .context
        .world
        .outbound_ips
        .get(&key)
        .unwrap()
        .unwrap())
    .clone();
    ip.metadata.finalizers = Some(vec![
        "else.test/x".to_owned(),
        "mailpods.dev/drain".to_owned(),
    ]);
    let now = k8s_openapi::jiff::Timestamp::now();
    ip.metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now));
    let told = Event::Apply((key.clone(), Ok(Arc::new(ip))));
    server.context.world.outbound_ips.take(told);
    server.context.world.compile_now().await;
    assert_eq!(
        finalizers(&server, &key).await,
        Some(json!(["else.test/x"]))
    );
}

/// The object as it is when it cannot be read any more and is deleted: the finalizers that are written, and when it is looked at again.
async fn unread(server: &Server, key: &Key, deleted: &str) -> (Option<Value>, Outcome) {
    let object = json!({
        "apiVersion": "mailpods.dev/v1alpha1",
        "kind": "OutboundIP",
        "metadata": {
            "name": key.name, "namespace": key.namespace, "uid": "uid-one", "generation": 2, "resourceVersion": "2",
            "finalizers": ["mailpods.dev/drain"], "deletionTimestamp": deleted,
        },
        "spec": {"address": "999.0.0.1", "hostname": "out.example.test"},
    });
    let metadata = serde_json::from_value(object["metadata"].clone()).unwrap();
    let broken = Broken::of("OutboundIP", "not read".to_owned(), &metadata, &object);
    let known = server.context.world.snapshot().objects.outbound_ips[key].clone();
    let told = Event::Apply((key.clone(), Err(Arc::new(broken))));
    server.context.world.outbound_ips.take(told);
    server.context.world.compile_now().await;
    give_to_pods(&server.context, &known);
    server.has(FINALIZER, object);
    let done = broken::reconcile(&server.context, Kind::OutboundIP, key).await;
    let (_, asked) = server.taken();
    let mut patches = asked.iter().filter(|asked| asked.path.ends_with(FINALIZER));
    let written = patches.find_map(|asked| asked.body["metadata"].get("finalizers"));
    (written.cloned(), done.unwrap())
}

#[tokio::test]
async fn an_address_that_cannot_be_read_is_let_go_of_in_the_end() {
    let (server, cluster, key) = start().await;
    change(&server.context, &key, |_| {}).await;
    let now = k8s_openapi::jiff::Timestamp::now().to_string();
    let (written, done) = unread(&server, &key, &now).await;
    assert_eq!(written, None);
    assert!(matches!(done, Outcome::Again(_)), "{done:?}");
    let snapshot = server.context.world.snapshot();
    let plan = snapshot.clusters[&cluster].plan.as_ref().unwrap();
    assert!(plan.outbound.draining.contains("one"), "pods are told");
    let (written, done) = unread(&server, &key, "2023-11-14T22:13:20Z").await;
    assert_eq!((written, done), (Some(json!([])), Outcome::Done));
}

#[tokio::test]
async fn an_address_stays_held_while_a_cluster_was_never_read() {
    let server = Server::start("");
    let context = &server.context;
    let key = add_ip(context, "one", "192.0.2.1");
    let mut ip = (*context.world.outbound_ips.get(&key).unwrap().unwrap()).clone();
    ip.metadata.finalizers = Some(vec![outbound_ip::drain::FINALIZER.to_owned()]);
    let told = Event::Apply((key.clone(), Ok(Arc::new(ip))));
    context.world.outbound_ips.take(told);
    let cluster = Key::new(key.namespace.clone(), "main");
    invalid::break_it(context, Kind::MailCluster, &cluster);
    context.world.compile_now().await;
    assert_eq!(finalizers(&server, &key).await, None);
    add_cluster(context, json!({"hostname": "mail.example.test"}));
    context.world.compile_now().await;
    assert_eq!(finalizers(&server, &key).await, Some(json!([])));
}
