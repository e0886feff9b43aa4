//! Objects of somebody else, of owners that were there before, and kinds that are not there.

use k8s_openapi::api::core::v1::Secret;

use super::*;

const OURS: &str = "mailpods-operator";

/// Answers paths that end like `end` with this code.
fn refuses(server: &Server, end: &str, code: u16) {
    server.refused.lock().unwrap().insert(end.to_owned(), code);
}

#[tokio::test]
async fn what_is_somebody_elses_is_not_taken_over() {
    let server = Server::start("");
    let key = add_cluster(&server.context, json!({"hostname": "mail.example.test"}));
    let metadata = json!({"name": "main-imap", "namespace": "mail", "labels": {"app": "other"}});
    let kind = json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata"});
    let object = |metadata: &Value| json!({"apiVersion": kind["apiVersion"], "kind": kind["kind"], "metadata": metadata});
    server.has("/services/main-imap", object(&metadata));
    server.context.world.compile_now().await;
    let error = cluster::reconcile(&server.context, &key).await.unwrap_err();
    assert_eq!(error.class(), crate::kube::error::Class::Blocked);
    let (lines, asked) = server.taken();
    assert!(
        !lines.iter().any(|line| line.contains("main-imap")),
        "{lines:?}"
    );
    let ready = ready(&asked);
    assert_eq!(ready["reason"], "Taken");
    assert_eq!(
        ready["message"],
        "Objects: Service mail/main-imap is somebody else's: it has no label app.kubernetes.io/managed-by=mailpods-operator; delete or rename it, or choose another name here"
    );
    // What a late watch has not told of yet is ours.
    let metadata = json!({"name": "main-imap", "labels": {"app.kubernetes.io/managed-by": OURS}});
    server.has("/services/main-imap", object(&metadata));
    cluster::reconcile(&server.context, &key).await.unwrap();
    let (lines, _) = server.taken();
    assert!(lines.contains(&"PATCH mail/services/main-imap".to_owned()));
}

#[tokio::test]
async fn a_secret_of_somebody_else_is_not_taken_for_ours() {
    let server = Server::start("");
    let key = add_cluster(&server.context, json!({"hostname": "mail.example.test"}));
    refuses(&server, "/secrets", 409);
    server.has(
        "/secrets/main-seal",
        json!({"metadata": {"name": "main-seal"}}),
    );
    server.context.world.compile_now().await;
    cluster::reconcile(&server.context, &key).await.unwrap_err();
    let (lines, asked) = server.taken();
    assert!(
        !lines.iter().any(|line| line.contains("statefulsets")),
        "{lines:?}"
    );
    assert_eq!(ready(&asked)["reason"], "Taken");
    // Nor that of a DKIM key.
    let dkim = json!({"keys": [{"selector": "s", "algorithm": "Ed25519Sha256"}]});
    let domain = add_domain(
        &server.context,
        "a",
        json!({"domain": "example.test", "dkim": dkim}),
    );
    server.has(
        "/secrets/dkim-s.example.test",
        json!({"metadata": {"name": "dkim-s.example.test"}}),
    );
    server.context.world.compile_now().await;
    domain::reconcile(&server.context, &domain)
        .await
        .unwrap_err();
    assert_eq!(ready(&server.taken().1)["reason"], "Taken");
}

/// Metadata of an object that went with an owner of this UID.
fn made_for(kind: &str, owner: &str, uid: &str) -> Value {
    json!({
        "namespace": "mail",
        "uid": "uid-secret",
        "labels": {
            "app.kubernetes.io/managed-by": OURS,
            "mailpods.dev/owner-kind": kind,
            "mailpods.dev/owner": owner,
        },
        "ownerReferences": [{
            "apiVersion": "mailpods.dev/v1alpha1", "kind": kind, "name": owner, "uid": uid,
        }],
    })
}

/// The references that a patch brings, and the UID that it is for.
fn adopted(asked: &[Asked], path: &str) -> Vec<(Value, Vec<String>)> {
    let patches = asked
        .iter()
        .filter(|asked| asked.method == Method::PATCH && asked.path.ends_with(path));
    let uid = |reference: &Value| {
        let sign = if reference["$patch"] == "delete" {
            "-"
        } else {
            "+"
        };
        format!("{sign}{}", reference["uid"].as_str().unwrap())
    };
    patches
        .map(|asked| {
            let metadata = &asked.body["metadata"];
            let references = metadata["ownerReferences"].as_array().unwrap();
            (
                metadata["uid"].clone(),
                references.iter().map(uid).collect(),
            )
        })
        .collect()
}

#[tokio::test]
async fn what_was_made_once_goes_with_an_owner_that_is_made_anew() {
    let server = Server::start("");
    let context = &server.context;
    let key = add_cluster(context, json!({"hostname": "mail.example.test"}));
    let mut metadata = made_for("MailCluster", "main", "uid-before");
    metadata["name"] = json!("main-seal");
    let metadata: kube::api::ObjectMeta = serde_json::from_value(metadata).unwrap();
    let told = (Key::of(&metadata), Live::of(&metadata));
    context.world.children[&ChildKind::Secret].take(Event::Apply(told));
    context.world.compile_now().await;
    cluster::reconcile(context, &key).await.unwrap();
    let wanted = vec!["-uid-before".to_owned(), "+uid-main".to_owned()];
    let (_, asked) = server.taken();
    assert_eq!(
        adopted(&asked, "/secrets/main-seal"),
        [(json!("uid-secret"), wanted)]
    );
}

#[tokio::test]
async fn keys_go_with_a_domain_that_is_made_anew() {
    let server = Server::start("");
    let context = &server.context;
    let mut metadata = made_for("MailDomain", "a", "uid-before");
    metadata["name"] = json!("dkim-s.example.test");
    metadata["labels"]["app.kubernetes.io/component"] = json!("dkim-key");
    metadata["annotations"] = json!({
        "mailpods.dev/domain": "example.test",
        "mailpods.dev/selector": "s",
        "mailpods.dev/dkim-phase": "Signing",
    });
    let pem = mailpods_dkim::PrivateKey::generate(
        mailpods_dkim::Algorithm::Ed25519Sha256,
        &ring::rand::SystemRandom::new(),
    );
    let pem = k8s_openapi::ByteString(pem.unwrap().as_bytes().to_vec());
    let secret = json!({"metadata": metadata, "data": {"private.pem": pem}});
    let secret: Secret = serde_json::from_value(secret).unwrap();
    context.world.take_secret(secret);
    // Even before there is a plan: the garbage collector does not wait for one.
    let key = add_domain(context, "a", json!({"domain": "example.test"}));
    context.world.compile_now().await;
    domain::reconcile(context, &key).await.unwrap();
    let wanted = vec!["-uid-before".to_owned(), "+uid-a".to_owned()];
    let (_, asked) = server.taken();
    assert_eq!(
        adopted(&asked, "/secrets/dkim-s.example.test"),
        [(json!("uid-secret"), wanted)]
    );
}

#[tokio::test]
async fn a_kind_that_is_not_there_is_named() {
    let server = Server::start("");
    refuses(&server, "/dnsendpoints/mail-example.test", 404);
    add_cluster(
        &server.context,
        json!({"hostname": "mail.example.test", "dns": {"mode": "ExternalDNS"}, "dkim": {"keys": []}}),
    );
    let key = add_domain(&server.context, "a", json!({"domain": "example.test"}));
    server.context.world.compile_now().await;
    let error = domain::reconcile(&server.context, &key).await.unwrap_err();
    assert_eq!(error.class(), crate::kube::error::Class::Blocked);
    let ready = ready(&server.taken().1);
    assert_eq!(ready["reason"], "NotInstalled");
    assert_eq!(
        ready["message"],
        "Objects: ExternalDNS's definitions are not installed: there is no kind DNSEndpoint; install them, or ask for nothing of that kind"
    );
}

#[test]
fn a_kind_that_is_gone_is_asked_for_no_more() {
    let world = World::new(None);
    let kind = ChildKind::ServiceMonitor;
    world.children[&kind].take(Event::InitDone);
    assert_eq!(world.foreign(), [kind]);
    world.set_gone(kind, true);
    assert_eq!(world.foreign(), []);
    world.set_gone(kind, false);
    assert_eq!(world.foreign(), [kind]);
}

#[tokio::test]
async fn hosts_that_are_in_no_domain_are_published_by_the_cluster() {
    let server = Server::start("");
    let context = &server.context;
    let dns = json!({"mode": "ExternalDNS", "addresses": ["192.0.2.1"], "reverse": true});
    let key = add_cluster(
        context,
        json!({"hostname": "mx.hoster.test", "dns": dns, "dkim": {"keys": []}}),
    );
    add_domain(context, "a", json!({"domain": "example.test"}));
    context.world.compile_now().await;
    cluster::reconcile(context, &key).await.unwrap();
    let (_, asked) = server.taken();
    let path = "/dnsendpoints/main-hosts";
    let endpoint = asked.iter().find(|asked| asked.path.ends_with(path));
    let endpoints = endpoint.unwrap().body["spec"]["endpoints"].clone();
    let names = endpoints.as_array().unwrap().iter();
    let names: Vec<_> = names
        .map(|endpoint| format!("{} {}", endpoint["dnsName"], endpoint["targets"]))
        .collect();
    assert_eq!(
        names,
        [
            "\"1.2.0.192.in-addr.arpa\" [\"mx.hoster.test\"]",
            "\"mx.hoster.test\" [\"192.0.2.1\"]"
        ]
    );
    // With a MailDomain they are that one's.
    tell(context, &asked);
    add_domain(context, "h", json!({"domain": "hoster.test"}));
    context.world.compile_now().await;
    cluster::reconcile(context, &key).await.unwrap();
    let (lines, _) = server.taken();
    assert!(lines.contains(&format!("DELETE mail{path}")), "{lines:?}");
}

#[tokio::test]
async fn a_new_leader_says_what_was_said_before() {
    let server = Server::start("");
    let context = &server.context;
    let key = add_cluster(context, json!({"hostname": "mail.example.test"}));
    context.world.compile_now().await;
    let condition = |kind: &str, reason: &str| {
        json!({"type": kind, "status": "True", "reason": reason, "message": "",
               "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1})
    };
    let status = json!({
        "observedGeneration": 1,
        "conditions": [condition("Ready", "Ready"), condition("StoreReady", "Reachable"), condition("RolesReady", "Serving")],
        "version": "1.2.3",
        "queueDepth": 7,
        "roles": {"all": {"replicas": 1, "ready": 1, "updated": 1, "selector": "x"}},
    });
    let mut before: MailCluster = (*context.world.clusters.get(&key).unwrap().unwrap()).clone();
    before.status = Some(serde_json::from_value(status).unwrap());
    let before = Arc::new(before);
    let event = Event::Apply((key.clone(), Ok(before)));
    context.world.clusters.take(event);
    tokio::time::pause();
    context.lead();
    let said = async || {
        cluster::reconcile(context, &key).await.unwrap();
        let (_, asked) = server.taken();
        let status = asked.iter().find(|asked| asked.path.ends_with("/status"));
        let status = status.unwrap().body["status"].clone();
        let conditions = status["conditions"].as_array().unwrap().clone();
        let store = conditions
            .into_iter()
            .find(|condition| condition["type"] == "StoreReady");
        let ready = status["conditions"][0]["status"].clone();
        (
            ready,
            store.unwrap()["reason"].clone(),
            status["version"].clone(),
        )
    };
    let kept = (json!("True"), json!("Reachable"), json!("1.2.3"));
    assert_eq!(said().await, kept);
    tokio::time::advance(std::time::Duration::from_secs(61)).await;
    let gone = (json!("False"), json!("NotObserved"), Value::Null);
    assert_eq!(said().await, gone);
}

#[tokio::test]
async fn an_edit_that_nobody_saw_is_undone_at_the_start() {
    let spec = json!({"hostname": "mail.example.test"});
    let before = Server::start("");
    let key = add_cluster(&before.context, spec.clone());
    before.context.world.compile_now().await;
    cluster::reconcile(&before.context, &key).await.unwrap();
    let (_, asked) = before.taken();
    // The same objects as an operator finds them that starts now.
    let server = Server::start("");
    add_cluster(&server.context, spec);
    tell(&server.context, &asked);
    server.context.world.compile_now().await;
    let patched = async || {
        cluster::reconcile(&server.context, &key).await.unwrap();
        let (lines, asked) = server.taken();
        tell(&server.context, &asked);
        lines.contains(&"PATCH mail/services/main-smtp".to_owned())
    };
    assert!(patched().await);
    assert!(!patched().await);
}

#[tokio::test]
async fn the_cluster_that_served_a_domain_puts_its_mail_off() {
    let server = Server::start("");
    let context = &server.context;
    let main = add_cluster(context, json!({"hostname": "mail.example.test"}));
    let spec = json!({"domain": "example.test", "clusterRef": {"name": "mian"}});
    let (key, domain) = object::<MailDomain>("MailDomain", "a", spec);
    let mut domain = (*domain).clone();
    let status = json!({"cluster": "mail/main"});
    domain.status = Some(serde_json::from_value(status).unwrap());
    let event = Event::Apply((key.clone(), Ok(Arc::new(domain))));
    context.world.domains.take(event);
    context.world.compile_now().await;
    let snapshot = context.world.snapshot();
    let plan = snapshot.clusters[&main].plan.clone().unwrap();
    assert!(plan.is_held_domain(&"example.test".parse().unwrap()));
    // And goes on to do so.
    domain::reconcile(context, &key).await.unwrap();
    let (_, asked) = server.taken();
    let status = asked.iter().find(|asked| asked.path.ends_with("/status"));
    assert_eq!(status.unwrap().body["status"]["cluster"], "mail/main");
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
    simple::reconcile::<Mailbox>(&server.context, &key)
        .await
        .unwrap();
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
