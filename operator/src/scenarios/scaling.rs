//! Who says how many pods a role has, and what the store's errors and certificates come to.

use mailpods_rpc::control::{Observations, SuspendedObservation};

use super::*;

fn postgresql(roles: Value) -> Value {
    json!({
        "hostname": "mail.example.test",
        "store": {"postgresql": {"uriSecretRef": {"name": "db"}}},
        "roles": roles,
    })
}

/// `manager replicas` of each patch of a Deployment.
fn patches(asked: &[Asked], name: &str) -> Vec<String> {
    let path = format!("/deployments/{name}");
    let of_it = |asked: &&Asked| asked.method == Method::PATCH && asked.path.ends_with(&path);
    asked
        .iter()
        .filter(of_it)
        .map(|asked| {
            let replicas = &asked.body["spec"]["replicas"];
            let whole = asked.body["spec"]["template"].is_object();
            format!("{} {replicas}", if whole { "whole" } else { "replicas" })
        })
        .collect()
}

#[tokio::test]
async fn a_role_without_a_number_is_scaled_by_others_and_one_with_a_number_is_not() {
    let server = Server::start("");
    let key = add_cluster(
        &server.context,
        postgresql(json!({"imap": {"replicas": 3}})),
    );
    server.has(
        "/deployments/main-smtp",
        json!({"metadata": {"name": "main-smtp", "labels": {"app.kubernetes.io/managed-by": "mailpods-operator"}}, "spec": {"replicas": 5}}),
    );
    server.context.world.compile_now().await;
    cluster::reconcile(&server.context, &key).await.unwrap();
    let (_, asked) = server.taken();
    assert_eq!(patches(&asked, "main-imap"), ["whole 3"]);
    // The first number, then what is there is left to others, then everything else.
    assert_eq!(
        patches(&asked, "main-smtp"),
        ["whole 2", "replicas 5", "whole null"]
    );
    tell(&server.context, &asked);
    let key = add_cluster(
        &server.context,
        postgresql(json!({"smtp": {"replicas": 2}})),
    );
    server.context.world.compile_now().await;
    cluster::reconcile(&server.context, &key).await.unwrap();
    let (_, asked) = server.taken();
    assert_eq!(patches(&asked, "main-smtp"), ["whole 2"]);
    assert_eq!(patches(&asked, "main-imap"), ["whole null"]);
}

#[tokio::test]
async fn why_pods_do_not_reach_the_store_is_told() {
    let server = Server::start("");
    let key = add_cluster(&server.context, postgresql(json!({})));
    for (pod, role, error) in [
        ("main-smtp-1", "smtp", None),
        (
            "main-delivery-1",
            "delivery",
            Some("failed to connect: invalid peer certificate: UnknownIssuer"),
        ),
    ] {
        let not_ready = error.iter().map(|error| format!("store: {error}"));
        let told = Observations {
            pod: pod.to_owned(),
            role: role.to_owned(),
            store_reachable: Some(error.is_none()),
            not_ready: std::iter::once("plan: none yet".to_owned())
                .chain(not_ready)
                .collect(),
            ..Observations::default()
        };
        server.context.observed.tell(&key, told);
    }
    server.context.world.compile_now().await;
    cluster::reconcile(&server.context, &key).await.unwrap();
    let (_, asked) = server.taken();
    let status = asked.iter().find(|asked| asked.path.ends_with("/status"));
    let conditions = status.unwrap().body["status"]["conditions"].clone();
    let conditions = conditions.as_array().unwrap();
    let store = conditions
        .iter()
        .find(|c| c["type"] == "StoreReady")
        .unwrap();
    assert_eq!(store["reason"], "Unreachable");
    assert_eq!(
        store["message"],
        "1 of 2 pods do not reach the store; delivery: failed to connect: invalid peer certificate: UnknownIssuer"
    );
}

#[tokio::test]
async fn accounts_that_may_not_send_and_pools_without_standby_are_told() {
    let server = Server::start("");
    let key = add_cluster(&server.context, postgresql(json!({})));
    let suspended = |since| SuspendedObservation {
        account: "alice@example.test".to_owned(),
        since,
        cause: "burst".to_owned(),
    };
    for (pod, suspended) in [
        ("main-delivery-1", vec![]),
        ("main-delivery-2", vec![suspended(1_700_000_000_000)]),
    ] {
        let told = Observations {
            pod: pod.to_owned(),
            role: "delivery".to_owned(),
            suspended,
            short: vec!["main (IPv4) for google".to_owned()],
            ..Observations::default()
        };
        server.context.observed.tell(&key, told);
    }
    server.context.world.compile_now().await;
    cluster::reconcile(&server.context, &key).await.unwrap();
    let (_, asked) = server.taken();
    let status = asked.iter().find(|asked| asked.path.ends_with("/status"));
    let conditions = status.unwrap().body["status"]["conditions"].clone();
    let conditions = conditions.as_array().unwrap();
    let found = conditions
        .iter()
        .find(|condition| condition["type"] == "SendersSuspended")
        .unwrap();
    assert_eq!(found["status"], "True");
    assert_eq!(
        found["message"],
        "alice@example.test (burst, since 2023-11-14T22:13:20Z) may not send: `mailpods suspension list`"
    );
    let short = conditions
        .iter()
        .find(|condition| condition["type"] == "StandbyShort")
        .unwrap();
    assert_eq!(
        (short["status"].as_str(), short["message"].as_str()),
        (
            Some("True"),
            Some(
                "fewer than spec.outbound.minStandby are on standby of main (IPv4) for google: `mailpods ip list`"
            )
        )
    );
    let events = asked.iter().filter(|asked| asked.path.contains("/events"));
    let reasons: Vec<_> = events.map(|event| event.body["reason"].clone()).collect();
    assert_eq!(reasons, ["SendersSuspended", "StandbyShort"]);
    let status = |message: &str| {
        let condition = json!({"type": "StandbyShort", "status": "True", "reason": "Short", "message": message, "lastTransitionTime": "2023-11-14T22:13:20Z"});
        serde_json::from_value(json!({"conditions": [condition]})).unwrap()
    };
    let before = short["message"].as_str().unwrap();
    let told = |after: &str| crate::cluster::status::events(&status(before), &status(after)).len();
    assert_eq!(told(&before.replace("google", "google, yahoo")), 0);
    assert_eq!(told(&before.replace("main", "other")), 1);
}
