//! Resources that the API server takes and that are wrong all the same: each ends with a reason and what was found.

use mailpods_api::v1alpha1::{MailingList, OutboundIP};

use super::*;
use crate::world::Broken;
use crate::{broken, outbound_ip, simple};

/// Conditions that a status was written with: `Type=status reason`, and the message of the first.
fn told(asked: &[Asked]) -> (Vec<String>, String) {
    let status = asked
        .iter()
        .find(|asked| asked.path.ends_with("/status"))
        .expect("a status is written");
    let conditions = status.body["status"]["conditions"].as_array().unwrap();
    let text = |condition: &Value, field: &str| condition[field].as_str().unwrap().to_owned();
    let lines = conditions.iter().map(|condition| {
        let (kind, status) = (text(condition, "type"), text(condition, "status"));
        format!("{kind}={status} {}", text(condition, "reason"))
    });
    (lines.collect(), text(&conditions[0], "message"))
}

async fn reconcile(context: &Context, kind: Kind, key: &Key) -> Outcome {
    let done = match kind {
        Kind::MailCluster => cluster::reconcile(context, key).await,
        Kind::MailDomain => domain::reconcile(context, key).await,
        Kind::Mailbox => simple::reconcile::<Mailbox>(context, key).await,
        Kind::OutboundIP => outbound_ip::reconcile(context, key).await,
        Kind::MailingList => simple::reconcile::<MailingList>(context, key).await,
    };
    done.unwrap()
}

fn add(context: &Context, kind: Kind, name: &str, spec: Value) -> Key {
    let world = &context.world;
    macro_rules! take {
        ($type:ty, $objects:ident) => {{
            let (key, object) = object::<$type>(kind.as_str(), name, spec);
            world.$objects.take(Event::Apply((key.clone(), Ok(object))));
            key
        }};
    }
    match kind {
        Kind::MailCluster => take!(MailCluster, clusters),
        Kind::MailDomain => take!(MailDomain, domains),
        Kind::Mailbox => take!(Mailbox, mailboxes),
        Kind::OutboundIP => take!(OutboundIP, outbound_ips),
        Kind::MailingList => take!(MailingList, mailing_lists),
    }
}

#[tokio::test]
async fn what_cannot_be_compiled_is_stalled_with_what_was_found() {
    let eleven: String = (0..11).map(|n| format!(" include:{n}.test")).collect();
    for (kind, spec, reason, words) in [
        (
            Kind::MailCluster,
            json!({"hostname": "mail.example.test", "smtp": {"idleTimeout": "0s"}}),
            "Invalid",
            "spec.smtp.idleTimeout: must not be zero; found 0; allowed: 1ms or more",
        ),
        (
            Kind::MailCluster,
            json!({"hostname": "mail.example.test", "dns": {"servers": ["300.0.0.1"]}}),
            "Invalid",
            "spec.dns.servers[0]: is no address; found 300.0.0.1",
        ),
        (
            Kind::MailDomain,
            json!({"domain": "b.test", "dns": {"spf": format!("v=spf1{eleven} ~all")}}),
            "Invalid",
            "spec.dns.spf: takes too many DNS look-ups; found 11; allowed: at most 10",
        ),
        (
            Kind::MailDomain,
            json!({"domain": "example.test"}),
            "Conflicted",
            "spec.domain: is already a domain of MailDomain/a in namespace mail",
        ),
        (
            Kind::MailDomain,
            json!({"domain": "b.test", "transport": {"backupMX": {}}}),
            "Unsupported",
            "spec.transport.backupMX: not supported yet",
        ),
        (
            Kind::Mailbox,
            json!({"address": "a+b@example.test"}),
            "Invalid",
            "spec.address: has a separator of plus addressing in it; found a+b@example.test",
        ),
        (
            Kind::OutboundIP,
            json!({"address": "192.0.2.1", "hostname": "mail.example.test", "attachment": {"type": "Cilium"}}),
            "Unsupported",
            "spec.attachment.type: pods do not send from it: the MailCluster runs no egress pods; its records are published; hint: spec.roles.egress: {} of the MailCluster",
        ),
        (
            Kind::MailingList,
            json!({"address": "l@example.test", "owners": ["a@example.test"]}),
            "Unsupported",
            "not supported yet",
        ),
    ] {
        let server = Server::start("");
        add_cluster(&server.context, json!({"hostname": "mail.example.test"}));
        add_domain(&server.context, "a", json!({"domain": "example.test"}));
        let name = if kind == Kind::MailCluster {
            "main"
        } else {
            "z"
        };
        let key = add(&server.context, kind, name, spec.clone());
        server.context.world.compile_now().await;
        reconcile(&server.context, kind, &key).await;
        let (conditions, message) = told(&server.taken().1);
        let wanted = [
            format!("Ready=False {reason}"),
            format!("Stalled=True {reason}"),
        ];
        assert!(
            conditions.starts_with(&wanted),
            "{spec}: {conditions:?} {message}"
        );
        assert!(message.contains(words), "{spec}: {message}");
    }
}

/// Makes an object of the world one that cannot be read.
pub(super) fn break_it(context: &Context, kind: Kind, key: &Key) {
    let spec = json!({});
    broken_with(context, kind, key, &spec, &spec);
}

/// The same with what can be read of it.
fn broken_with(context: &Context, kind: Kind, key: &Key, spec: &Value, status: &Value) {
    let metadata = kube::api::ObjectMeta {
        namespace: Some(key.namespace.clone()),
        name: Some(key.name.clone()),
        uid: Some(format!("uid-{}", key.name)),
        generation: Some(1),
        ..kube::api::ObjectMeta::default()
    };
    let object = json!({"spec": spec, "status": status});
    let error = "not read".to_owned();
    let broken = Arc::new(Broken::of(kind.as_str(), error, &metadata, &object));
    let world = &context.world;
    match kind {
        Kind::MailCluster => drop(
            world
                .clusters
                .take(Event::Apply((key.clone(), Err(broken)))),
        ),
        Kind::MailDomain => drop(world.domains.take(Event::Apply((key.clone(), Err(broken))))),
        Kind::Mailbox => drop(
            world
                .mailboxes
                .take(Event::Apply((key.clone(), Err(broken)))),
        ),
        Kind::OutboundIP => drop(
            world
                .outbound_ips
                .take(Event::Apply((key.clone(), Err(broken)))),
        ),
        Kind::MailingList => drop(
            world
                .mailing_lists
                .take(Event::Apply((key.clone(), Err(broken)))),
        ),
    }
}

fn raw(kind: Kind, spec: &Value, status: Value) -> Value {
    json!({
        "apiVersion": "mailpods.dev/v1alpha1",
        "kind": kind.as_str(),
        "metadata": {"name": "z", "namespace": "mail", "uid": "u", "generation": 7, "resourceVersion": "1"},
        "spec": spec,
        "status": status,
    })
}

#[tokio::test]
async fn what_cannot_be_read_is_stalled_with_its_path_and_keeps_what_was_told() {
    for (kind, plural, spec, message) in [
        (
            Kind::MailCluster,
            "mailclusters",
            json!({"hostname": "xn--a.test"}),
            "spec.hostname: \"xn--a.test\" is not a valid name; found xn--a.test",
        ),
        (
            Kind::MailCluster,
            "mailclusters",
            json!({"hostname": "a.test", "smtp": {"idleTimeout": "5000d"}}),
            "spec.smtp.idleTimeout: time is longer than ten years; found 5000d",
        ),
        (
            Kind::MailDomain,
            "maildomains",
            json!({"domain": "a.test", "aliases": [{"name": "i", "targets": ["a b@c.test"]}]}),
            "spec.aliases[0].targets[0]: \"a b\" is not a valid local part; found a b@c.test",
        ),
        (
            Kind::Mailbox,
            "mailboxes",
            json!({"address": "m@a.test", "quota": {"size": "9Ei"}}),
            "spec.quota.size: size is larger than 8Ei; found 9Ei",
        ),
        (
            Kind::OutboundIP,
            "outboundips",
            json!({"address": "999.0.0.1", "hostname": "mail.a.test"}),
            "spec.address: invalid IP address syntax; found 999.0.0.1",
        ),
        (
            Kind::MailingList,
            "mailinglists",
            json!({"address": ".@a.test", "owners": []}),
            "spec.address: \".\" is not a valid local part; found .@a.test",
        ),
    ] {
        let server = Server::start("");
        let key = Key::new("mail", "z");
        break_it(&server.context, kind, &key);
        assert!(server.context.world.broken(kind, &key).is_some());
        let path = format!("/{plural}/z");
        server.has(&path, raw(kind, &spec, json!({"usedOctets": 5})));
        broken::reconcile(&server.context, kind, &key)
            .await
            .unwrap();
        let (lines, asked) = server.taken();
        let written = [
            format!("PATCH mail{path}/status"),
            "POST mail/events".to_owned(),
        ];
        assert_eq!(lines, written);
        let (conditions, said) = told(&asked);
        assert_eq!(conditions, ["Ready=False Invalid", "Stalled=True Invalid"]);
        assert_eq!(said, message);
        let status = asked[0].body["status"].clone();
        assert_eq!(
            (&status["usedOctets"], &status["observedGeneration"]),
            (&json!(5), &json!(7))
        );
        // The same once more is not written.
        server.has(&path, raw(kind, &spec, status));
        broken::reconcile(&server.context, kind, &key)
            .await
            .unwrap();
        assert_eq!(server.taken().0, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_cluster_that_cannot_be_read_any_more_serves_on_and_its_domains_keep_their_records() {
    let server = Server::start("");
    let context = &server.context;
    let main = add_cluster(
        context,
        json!({"hostname": "mail.example.test", "dns": {"mode": "ExternalDNS"}, "dkim": {"keys": []}}),
    );
    let key = add_domain(context, "a", json!({"domain": "example.test"}));
    context.world.compile_now().await;
    domain::reconcile(context, &key).await.unwrap();
    tell(context, &server.taken().1);
    break_it(context, Kind::MailCluster, &main);
    context.world.compile_now().await;
    let view = context.world.snapshot().clusters[&main].clone();
    assert!(view.current && view.plan.unwrap().domains.len() == 1);
    domain::reconcile(context, &key).await.unwrap();
    assert_eq!(
        server
            .taken()
            .0
            .iter()
            .filter(|line| line.starts_with("DELETE"))
            .count(),
        0
    );
    // An operator that starts now has never read the cluster, and withdraws nothing.
    let fresh = Server::start("");
    add_domain(&fresh.context, "a", json!({"domain": "example.test"}));
    break_it(&fresh.context, Kind::MailCluster, &main);
    let endpoint = Live {
        version: "1".to_owned(),
        applied: Some("x".to_owned()),
        owner: Some(("MailDomain".to_owned(), "a".to_owned())),
        uid: "uid-endpoint".to_owned(),
        owners: vec![Reference {
            kind: "MailDomain".to_owned(),
            name: "a".to_owned(),
            uid: "uid-a".to_owned(),
        }],
        owner_namespace: None,
    };
    let named = (Key::new("mail", "mail-example.test"), endpoint);
    fresh.context.world.children[&ChildKind::DnsEndpoint].take(Event::Apply(named));
    fresh.context.world.compile_now().await;
    domain::reconcile(&fresh.context, &key).await.unwrap();
    let (lines, _) = fresh.taken();
    assert!(
        lines.iter().all(|line| !line.starts_with("DELETE")),
        "{lines:?}"
    );
    // Nor when it is gone for good: only the MailDomain's own end does that.
    let gone = Event::Delete((main.clone(), context.world.clusters.get(&main).unwrap()));
    fresh.context.world.clusters.take(gone);
    fresh.context.world.compile_now().await;
    domain::reconcile(&fresh.context, &key).await.unwrap();
    let (lines, _) = fresh.taken();
    assert!(
        lines.iter().all(|line| !line.starts_with("DELETE")),
        "{lines:?}"
    );
}

fn held_of(context: &Context, cluster: &Key) -> std::sync::Arc<mailpods_plan::Plan> {
    context.world.snapshot().clusters[cluster]
        .plan
        .clone()
        .unwrap()
}

#[tokio::test]
async fn mail_for_what_was_never_read_is_put_off_and_its_name_kept() {
    let server = Server::start("");
    let context = &server.context;
    let main = add_cluster(
        context,
        json!({"hostname": "mail.example.test", "dkim": {"keys": []}}),
    );
    add_domain(context, "a", json!({"domain": "example.test"}));
    let domain = Key::new("mail", "bad");
    let spec = json!({"domain": "bad.test", "domainAliases": ["worse.test"], "limits": 7});
    let status = json!({"cluster": "mail/main"});
    broken_with(context, Kind::MailDomain, &domain, &spec, &status);
    let mailbox = Key::new("mail", "box");
    let spec =
        json!({"address": "box@example.test", "aliases": ["other@example.test"], "quota": 7});
    broken_with(context, Kind::Mailbox, &mailbox, &spec, &json!({}));
    let later = add_domain(context, "later", json!({"domain": "bad.test"}));
    context.world.compile_now().await;
    let plan = held_of(context, &main);
    for address in [
        "x@bad.test",
        "x@worse.test",
        "box@example.test",
        "other@example.test",
    ] {
        assert!(plan.is_held(&address.parse().unwrap()), "{address}");
    }
    assert!(!plan.is_held(&"nobody@example.test".parse().unwrap()));
    domain::reconcile(context, &later).await.unwrap();
    let (conditions, message) = told(&server.taken().1);
    assert!(
        conditions.contains(&"Conflicted=True Conflicted".to_owned()),
        "{conditions:?}"
    );
    assert!(
        message.contains("is already a domain of MailDomain/bad in namespace mail"),
        "{message}"
    );
    // Mended, it serves.
    let spec = json!({"address": "box@example.test"});
    add(context, Kind::Mailbox, "box", spec);
    add_domain(context, "bad", json!({"domain": "bad.test"}));
    context.world.compile_now().await;
    let plan = held_of(context, &main);
    assert!(plan.mailbox(&"box@example.test".parse().unwrap()).is_some());
    assert!(plan.domains.contains_key("bad.test"));
    assert!(plan.held.domains.is_empty() && plan.held.addresses.is_empty());
}

#[tokio::test]
async fn a_cluster_that_was_never_read_keeps_its_domains_from_the_one_beside_it() {
    let server = Server::start("");
    let context = &server.context;
    add_cluster(
        context,
        json!({"hostname": "mail.example.test", "dkim": {"keys": []}}),
    );
    let spec = json!({"hostname": "mail.bad.test", "smtp": 7});
    broken_with(
        context,
        Kind::MailCluster,
        &Key::new("mail", "bad"),
        &spec,
        &json!({}),
    );
    let (key, served) = object::<MailDomain>("MailDomain", "a", json!({"domain": "example.test"}));
    let mut served = (*served).clone();
    served.status = Some(serde_json::from_value(json!({"cluster": "mail/bad"})).unwrap());
    let served = Arc::new(served);
    context
        .world
        .domains
        .take(Event::Apply((key.clone(), Ok(served))));
    let new = add_domain(context, "new", json!({"domain": "new.test"}));
    context.world.compile_now().await;
    let plan = held_of(context, &Key::new("mail", "main"));
    assert!(plan.domains.is_empty() && plan.held.domains.is_empty());
    for (key, message) in [
        (key, "the MailCluster cannot be read; found mail/bad"),
        (new, "there are several MailClusters in this namespace"),
    ] {
        domain::reconcile(context, &key).await.unwrap();
        let (lines, asked) = server.taken();
        assert_eq!(
            lines[0],
            format!("PATCH mail/maildomains/{}/status", key.name)
        );
        assert!(
            lines.iter().all(|line| !line.starts_with("DELETE")),
            "{lines:?}"
        );
        let (conditions, said) = told(&asked);
        assert!(
            conditions[0] == "Ready=False Missing" && said.contains(message),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_plan_that_is_kept_puts_off_mail_for_what_is_new() {
    let server = Server::start("");
    let context = &server.context;
    let main = add_cluster(context, json!({"hostname": "mail.example.test"}));
    add_domain(context, "a", json!({"domain": "example.test"}));
    context.world.compile_now().await;
    let before = held_of(context, &main);
    let bad = json!({"hostname": "mail.example.test", "tls": {"secretRef": {"name": "gone"}}});
    add_cluster(context, bad);
    context.world.compile_now().await;
    assert!(Arc::ptr_eq(&before, &held_of(context, &main)));
    add(
        context,
        Kind::Mailbox,
        "new",
        json!({"address": "new@example.test"}),
    );
    add_domain(context, "b", json!({"domain": "new.test"}));
    context.world.compile_now().await;
    let plan = held_of(context, &main);
    assert!(!context.world.snapshot().clusters[&main].current);
    for (address, held) in [
        ("new@example.test", true),
        ("x@new.test", true),
        ("nobody@example.test", false),
    ] {
        assert_eq!(plan.is_held(&address.parse().unwrap()), held, "{address}");
    }
    let same = plan;
    context.world.compile_now().await;
    assert!(Arc::ptr_eq(&same, &held_of(context, &main)));
}

#[tokio::test]
async fn a_name_that_is_not_allowed_is_told_with_those_that_are() {
    let server = Server::start("");
    let context = &server.context;
    let rules = json!({"from": "All", "domains": [{"suffixes": ["team.test"]}]});
    add_cluster(
        context,
        json!({"hostname": "mail.example.test", "allowedNamespaces": rules}),
    );
    let reference = json!({"name": "main", "namespace": "mail"});
    let spec = |domain: &str, aliases: &[&str]| json!({"domain": domain, "domainAliases": aliases, "clusterRef": reference});
    for (name, spec, served) in [
        ("bank", spec("bank.test", &[]), None),
        (
            "team",
            spec("team.test", &["bank.test", "a.team.test"]),
            Some("mail/main"),
        ),
    ] {
        let (_, domain) = object::<MailDomain>("MailDomain", name, spec);
        let mut domain = (*domain).clone();
        domain.metadata.namespace = Some("team".to_owned());
        let key = Key::new("team", name);
        let event = Event::Apply((key.clone(), Ok(Arc::new(domain))));
        context.world.domains.take(event);
        context.world.compile_now().await;
        domain::reconcile(context, &key).await.unwrap();
        let (_, asked) = server.taken();
        let (conditions, message) = told(&asked);
        assert_eq!(
            conditions[..2],
            ["Ready=False NotAllowed", "Stalled=True NotAllowed"]
        );
        let wanted = "is none of the names that MailCluster/main in namespace mail allows in namespace team; found bank.test; allowed: team.test, and names below";
        assert!(message.contains(wanted), "{message}");
        let status = asked.iter().find(|asked| asked.path.ends_with("/status"));
        let status = status.unwrap().body["status"].clone();
        assert_eq!(status["cluster"].as_str(), served);
        let aliases = served.map(|_| json!(["a.team.test"]));
        assert_eq!(status.get("domainAliases").cloned(), aliases);
    }
}

#[tokio::test]
async fn a_domain_that_nobody_lets_in_gets_nothing_of_the_one_that_has_its_name() {
    let server = Server::start("");
    let context = &server.context;
    add_cluster(
        context,
        json!({"hostname": "mail.example.test", "dns": {"mode": "ExternalDNS"}}),
    );
    add_domain(context, "new", json!({"domain": "example.test"}));
    let reference = json!({"name": "main", "namespace": "mail"});
    let spec = json!({"domain": "example.test", "clusterRef": reference});
    let (_, thief) = object::<MailDomain>("MailDomain", "thief", spec);
    let mut thief = (*thief).clone();
    thief.metadata.namespace = Some("thief".to_owned());
    let key = Key::new("thief", "thief");
    let event = Event::Apply((key.clone(), Ok(Arc::new(thief))));
    context.world.domains.take(event);
    context.world.compile_now().await;
    domain::reconcile(context, &key).await.unwrap();
    let (lines, asked) = server.taken();
    assert_eq!(lines, ["PATCH thief/maildomains/thief/status"]);
    let status = asked[0].body["status"].clone();
    assert_eq!(status.get("cluster"), None);
    assert_eq!(status["conditions"][0]["reason"], "Missing");
}
