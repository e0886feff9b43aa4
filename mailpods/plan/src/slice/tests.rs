use std::sync::Arc;

use zeroize::Zeroizing;

use super::*;
use crate::model::{Attachment, Resolved, Target, Transport};
use crate::tests::{address, name, resource, source};
use crate::{Plan, check};

const KEY: &str = "-----BEGIN PRIVATE KEY-----\nDKIM-MARK\n-----END PRIVATE KEY-----";

/// Every kind of secret, each with a mark of its own.
fn marked() -> Plan {
    let cluster = resource(
        "MailCluster",
        "main",
        "{hostname: mail.example.test, tls: {secretRef: {name: web}}, postmaster: Post@elsewhere.test,
         outbound: {smartHost: {host: smart.test, port: 587, tls: Verify, authSecretRef: {name: smart}}}}",
    );
    let domain = resource(
        "MailDomain",
        "d",
        "{domain: example.test, domainAliases: [alias.test], aliases: [{name: team, targets: [alice@example.test, Bob@elsewhere.test]}],
          dkim: {keys: [{selector: s1, algorithm: RsaSha256, privateKeySecretRef: {name: key}}]}, outboundIPs: [one], sharing: {acrossDomains: true}}",
    );
    let relay = resource(
        "MailDomain",
        "r",
        "{domain: relay.test, transport: {relay: {host: inner.test, port: 25, tls: Verify, authSecretRef: {name: inner}}}}",
    );
    let alice = resource(
        "Mailbox",
        "alice",
        "{address: alice@example.test, passwordSecretRef: {name: alice}, quota: {size: 1Gi},
          sharing: {publicName: Team, grants: [{to: anyone, rights: lr, mailbox: INBOX}]}}",
    );
    let ip = resource(
        "OutboundIP",
        "one",
        "{address: 192.0.2.1, hostname: out.example.test}",
    );
    let far = resource(
        "OutboundIP",
        "two",
        "{address: 192.0.2.2, hostname: far.example.test, attachment: {type: EgressProxy, egressProxy: {host: far.test, secretRef: {name: far}}}}",
    );
    let sources = [
        source(
            "a.yaml",
            &[cluster, domain, relay, alice, ip, far].join("---\n"),
        ),
        source("secrets/web/tls.crt", "-----BEGIN CERTIFICATE-----\nCHAIN"),
        source(
            "secrets/web/tls.key",
            "-----BEGIN PRIVATE KEY-----\nTLS-MARK",
        ),
        source("secrets/far/ca.crt", "-----BEGIN CERTIFICATE-----\nFAR"),
        source("secrets/far/token", "PROXY-MARK"),
        source("secrets/smart/username", "smart"),
        source("secrets/smart/password", "SMART-MARK"),
        source("secrets/inner/username", "inner"),
        source("secrets/inner/password", "HOP-MARK"),
        source("secrets/key/private.pem", KEY),
        source("secrets/alice/password", "LOGIN-MARK"),
    ];
    let (plan, problems) = check(&sources);
    plan.unwrap_or_else(|| panic!("{problems:#?}"))
}

fn text(entries: &Entries) -> String {
    let line = |(key, entry): (Arc<str>, Arc<Entry>)| format!("{key} {}\n", entry.json());
    entries.iter().map(line).collect()
}

#[test]
fn each_role_gets_its_secrets_and_no_other() {
    let plan = marked();
    let marks = [
        "TLS-MARK",
        "SMART-MARK",
        "PROXY-MARK",
        "HOP-MARK",
        "DKIM-MARK",
        "LOGIN-MARK",
    ];
    let wanted: [(Role, &[&str]); 6] = [
        (Role::Smtp, &["TLS-MARK", "LOGIN-MARK"]),
        (Role::Imap, &["TLS-MARK", "LOGIN-MARK"]),
        (Role::Filter, &[]),
        (
            Role::Delivery,
            &["SMART-MARK", "PROXY-MARK", "HOP-MARK", "DKIM-MARK"],
        ),
        (Role::Egress, &[]),
        (Role::All, &marks),
    ];
    for (role, wanted) in wanted {
        let text = text(&entries(&plan, role).unwrap());
        let found: Vec<_> = marks
            .into_iter()
            .filter(|mark| text.contains(mark))
            .collect();
        assert_eq!(found, wanted, "{role}");
    }
    let debug = format!("{:?}", entries(&plan, Role::All).unwrap());
    assert!(!debug.contains("MARK"), "{debug}");
}

#[test]
fn the_whole_is_what_all_entries_are() {
    let plan = marked();
    for role in Role::ALL {
        let entries = entries(&plan, role).unwrap();
        let mut written = Vec::new();
        write_whole(&plan, role, entries.digest(), &mut written).unwrap();
        let octets = whole_octets(&plan, role, entries.digest()).unwrap();
        assert_eq!(octets, written.len());
        let mut slice = Slice::default();
        slice.apply(Update::decode(&written).unwrap()).unwrap();
        assert_eq!(slice.etag(), Some(entries.digest()));
        assert_eq!(text(slice.entries()), text(&entries));
        let digests = digests(&plan, role).unwrap();
        assert_eq!(digests.digest(), entries.digest());
        assert_eq!(text(&digests), text(&entries.bare()));
    }
}

#[test]
fn each_role_gets_its_keys_and_listeners() {
    let plan = marked();
    let of = |role| {
        let mut slice = Slice::default();
        slice.apply(full(&entries(&plan, role).unwrap())).unwrap();
        let plan = slice.plan().unwrap();
        let keys: Vec<_> = slice
            .entries()
            .iter()
            .map(|(key, _)| key.to_owned())
            .collect();
        let open: Vec<_> = plan
            .listeners
            .iter()
            .map(|open| open.name.clone())
            .collect();
        (keys.join(" "), open.join(" "))
    };
    let mail = "domain/example.test domain/relay.test mailbox/alice@example.test";
    let alias = "alias/team@example.test";
    let shares = "share/alice@example.test sharing-domain/example.test";
    let wanted = [
        (
            Role::Smtp,
            format!("{alias} {mail} settings"),
            "smtp submission submissions",
        ),
        (
            Role::Imap,
            format!("{mail} settings {shares}"),
            "imap imaps",
        ),
        (Role::Filter, "settings".to_owned(), ""),
        (
            Role::Delivery,
            format!("{alias} {mail} outbound-ip/one outbound-ip/two settings {shares}"),
            "",
        ),
        // The address is not at one of its proxies.
        (Role::Egress, "settings".to_owned(), ""),
        (
            Role::All,
            format!("{alias} {mail} outbound-ip/one outbound-ip/two settings {shares}"),
            "smtp submission submissions imap imaps",
        ),
    ];
    for (role, keys, listeners) in wanted {
        assert_eq!(of(role), (keys, listeners.to_owned()), "{role}");
        assert_eq!(role.as_str().parse(), Ok(role));
    }
    assert!(
        "mda"
            .parse::<Role>()
            .unwrap_err()
            .to_string()
            .contains("delivery")
    );
}

#[test]
fn a_slice_makes_the_plan_that_it_was_cut_from() {
    let plan = marked();
    for role in [Role::Smtp, Role::Delivery, Role::All] {
        let cut = entries(&plan, role).unwrap();
        let update = Update::decode(&full(&cut).encode().unwrap()).unwrap();
        let mut slice = Slice::default();
        slice.apply(update).unwrap();
        let made = slice.plan().unwrap();
        assert_eq!(made.digest, cut.digest());
        // What is cut out again is the same, so nothing was lost on the way.
        assert_eq!(text(&entries(&made, role).unwrap()), text(&cut), "{role}");
        assert!(made.is_local(&name("alias.test")));
        let Resolved::Targets(targets) = made.resolve(&address("team@alias.test")) else {
            panic!("team leads nowhere")
        };
        let remote = targets.iter().find_map(|target| match target {
            Target::Remote(address) => Some(address.written()),
            Target::Mailbox { .. } => None,
        });
        assert_eq!(remote.as_deref(), Some("Bob@elsewhere.test"));
        assert_eq!(
            made.outbound.postmaster.unwrap().written(),
            "Post@elsewhere.test"
        );
        assert!(matches!(
            made.domains[&name("relay.test")].transport,
            Transport::Relay(_)
        ));
    }
}

#[test]
fn steps_lead_where_the_whole_leads() {
    let old = marked();
    let mut new = old.clone();
    new.mailboxes.clear();
    let domain = Arc::new(crate::Domain {
        alias_names: vec![name("other.test")],
        ..(*old.domains[&name("example.test")]).clone()
    });
    new.domains.insert(domain.name.clone(), domain);
    new.smtp.max_recipients += 1;
    let (old, new) = (
        entries(&old, Role::Smtp).unwrap(),
        entries(&new, Role::Smtp).unwrap(),
    );
    let step = diff(&old, &new);
    let put: Vec<_> = step.put.iter().map(|(key, _)| &**key).collect();
    assert_eq!(put, ["domain/example.test", "settings"]);
    assert_eq!(step.delete, ["mailbox/alice@example.test".into()]);

    let mut slice = Slice::default();
    slice.apply(full(&old)).unwrap();
    let before = slice.plan().unwrap();
    slice
        .apply(Update::decode(&step.encode().unwrap()).unwrap())
        .unwrap();
    let mut whole = Slice::default();
    whole.apply(full(&old)).unwrap();
    whole.apply(full(&new)).unwrap();
    for plan in [slice.plan().unwrap(), whole.plan().unwrap()] {
        assert_eq!(plan.digest, new.digest());
        assert!(plan.mailboxes.is_empty());
        assert!(plan.is_local(&name("other.test")) && !plan.is_local(&name("alias.test")));
    }
    // Who still holds the plan of before sees nothing of it.
    assert!(before.is_local(&name("alias.test")) && before.mailboxes.len() == 1);
}

#[test]
fn what_is_shared_follows_the_plan() {
    let old = marked();
    let mut new = old.clone();
    new.shares.domains.clear();
    new.shares.domains.insert(name("relay.test"));
    new.shares.mailboxes.clear();
    let share = Arc::new(crate::Share::default());
    new.shares
        .mailboxes
        .insert(address("bob@example.test"), share);
    let known = entries(&old, Role::Imap).unwrap();
    let followed = follow((&old, &known), &new, Role::Imap).unwrap();
    let whole = entries(&new, Role::Imap).unwrap();
    assert_eq!(followed.digest(), whole.digest());
    let mut slice = Slice::default();
    slice.apply(full(&known)).unwrap();
    assert_eq!(*slice.plan().unwrap().shares, *old.shares);
    slice.apply(diff(&known, &whole)).unwrap();
    assert_eq!(*slice.plan().unwrap().shares, *new.shares);
}

#[test]
fn a_name_that_moves_between_domains_stays() {
    let domain = |primary: &str, aliases: &str| {
        (
            format!("domain/{primary}"),
            entry(&format!(r#"{{"aliasNames": [{aliases}]}}"#)),
        )
    };
    let settings = (
        "settings".to_owned(),
        entry(r#"{"cluster": "c", "hostname": "m.test"}"#),
    );
    let old = Entries::from_iter([
        settings.clone(),
        domain("a.test", ""),
        domain("b.test", r#""x.test""#),
    ]);
    let new = Entries::from_iter([
        settings,
        domain("a.test", r#""x.test""#),
        domain("b.test", ""),
    ]);
    let mut slice = Slice::default();
    slice.apply(full(&old)).unwrap();
    for (from, to, owner) in [(&old, &new, "a.test"), (&new, &old, "b.test")] {
        slice.apply(diff(from, to)).unwrap();
        let plan = slice.plan().unwrap();
        assert_eq!(plan.domain(&name("x.test")).unwrap().name, name(owner));
    }
}

#[test]
fn a_bad_update_changes_nothing() {
    let cut = entries(&marked(), Role::Smtp).unwrap();
    let mut slice = Slice::default();
    assert!(matches!(slice.plan(), Err(ApplyError::NoSettings)));
    assert_eq!(slice.etag(), None);
    slice.apply(full(&cut)).unwrap();
    let good = slice.etag().unwrap().to_owned();
    let with = |key: &str, json: &str| {
        let put = (Arc::from(key), entry(json));
        diff(&cut, &cut.iter().chain([put]).collect())
    };
    let empty = Entries::default();
    let bad = [
        with("mailbox/alice@example.test", r#"{"credential": "SECRET"}"#),
        with("mailbox/none", "{}"),
        with("domain/-", "{}"),
        diff(&cut, &empty),
        diff(&empty, &cut),
        Update {
            etag: "x".to_owned(),
            ..diff(&cut, &cut)
        },
        Update {
            version: 2,
            ..diff(&cut, &cut)
        },
    ];
    let wanted = [
        "failed to read plan entry mailbox/alice@example.test at credential; a newer release may have written it".to_owned(),
        "failed to read the name in plan entry mailbox/none".to_owned(),
        "failed to read the name in plan entry domain/-".to_owned(),
        "plan has no settings".to_owned(),
        format!("plan update starts from {}, this pod has {good}", empty.digest()),
        format!("plan update leads to {good}, it was to lead to x"),
        "plan update has version 2; this release reads 1".to_owned(),
    ];
    for (update, wanted) in bad.into_iter().zip(wanted) {
        assert_eq!(slice.apply(update).unwrap_err().to_string(), wanted);
        assert_eq!(slice.etag(), Some(good.as_str()));
        assert_eq!(slice.plan().unwrap().mailboxes.len(), 1);
    }
}

/// What this release writes. A later release must read it; `UPDATE=1` writes it anew.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/slice/golden/v1.json");

#[test]
fn the_encoding_is_that_of_the_golden_file() {
    let octets = full(&entries(&marked(), Role::All).unwrap())
        .encode()
        .unwrap();
    let value: serde_json::Value = serde_json::from_slice(&octets).unwrap();
    let text = serde_json::to_string_pretty(&value).unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(GOLDEN, &text).unwrap();
    }
    let golden = std::fs::read_to_string(GOLDEN).unwrap();
    assert!(
        golden == text,
        "the encoding has changed; UPDATE=1 accepts it:\n{text}"
    );
}

/// The golden file as another release might have written it.
fn golden(change: impl FnOnce(&mut serde_json::Map<String, serde_json::Value>)) -> Update {
    let text = std::fs::read_to_string(GOLDEN).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let put = value["put"].as_object_mut().unwrap();
    change(put);
    let entries = put
        .iter()
        .map(|(key, value)| (key.clone(), entry(&value.to_string())));
    full(&entries.collect())
}

#[test]
fn a_newer_operator_is_understood() {
    let update = golden(|put| {
        put["settings"]["weather"] = "fine".into();
        put["settings"]["smtp"]["maxMood"] = 3.into();
        let jmap = serde_json::json!({"name": "jmap", "protocol": "jmap", "address": "[::]:80"});
        put["settings"]["listeners"]
            .as_array_mut()
            .unwrap()
            .push(jmap);
        put["mailbox/alice@example.test"]["sieve"] = "keep;".into();
        put.insert(
            "list/news@example.test".to_owned(),
            serde_json::json!({"members": []}),
        );
    });
    let mut slice = Slice::default();
    slice.apply(update).unwrap();
    let plan = slice.plan().unwrap();
    assert_eq!((plan.mailboxes.len(), plan.listeners.len()), (1, 5));
    // What is not understood is kept: the etag is the operator's, and a later release finds it in the store.
    assert!(slice.entries().get("list/news@example.test").is_some());
    slice.apply(golden(|_| {})).unwrap();
    assert!(slice.entries().get("list/news@example.test").is_none());
}

#[test]
fn an_older_operator_is_understood() {
    let update = golden(|put| {
        put["settings"].as_object_mut().unwrap().remove("auth");
        put["settings"]["smtp"]
            .as_object_mut()
            .unwrap()
            .remove("maxRecipients");
        put["mailbox/alice@example.test"]
            .as_object_mut()
            .unwrap()
            .remove("sendAs");
        put["domain/example.test"]
            .as_object_mut()
            .unwrap()
            .remove("detailSeparators");
    });
    let mut slice = Slice::default();
    slice.apply(update).unwrap();
    let plan = slice.plan().unwrap();
    assert_eq!(
        plan.smtp.max_recipients,
        crate::SmtpSettings::default().max_recipients
    );
    assert_eq!(plan.auth.window, crate::AuthSettings::default().window);
}

#[test]
fn octets_that_are_no_update_are_refused() {
    let long = format!(
        r#"{{"version":1,"etag":"","put":{{"k":"{}"}}}}"#,
        "x".repeat(MAX_VALUE_OCTETS)
    );
    for bad in ["", "{}", r#"{"version": 2}"#, r#"{"version": 1}"#, &long] {
        assert!(Update::decode(bad.as_bytes()).is_err(), "{bad}");
    }
}

fn entry(json: &str) -> Arc<Entry> {
    Arc::new(Entry::new(Zeroizing::new(json.to_owned())))
}

/// Prints what a change costs in a large cluster; `cargo test -p mailpods-plan --release -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn a_change_in_a_large_cluster() {
    let mut plan = marked();
    let (domain, mailbox) = (
        plan.domains[&name("example.test")].clone(),
        plan.mailboxes[&address("alice@example.test")].clone(),
    );
    for number in 0..10_000 {
        let mut domain = (*domain).clone();
        (domain.name, domain.alias_names) = (name(&format!("d{number}.test")), Vec::new());
        for local in 0..5 {
            let mut mailbox = (*mailbox).clone();
            mailbox.address = address(&format!("person{local}@d{number}.test"));
            plan.mailboxes
                .insert(mailbox.address.clone(), Arc::new(mailbox));
        }
        plan.domains.insert(domain.name.clone(), Arc::new(domain));
    }
    let timed = |what: &str, start: std::time::Instant| println!("{what}: {:?}", start.elapsed());
    let start = std::time::Instant::now();
    let old = entries(&plan, Role::Smtp).unwrap();
    timed("entries", start);
    let changed = crate::Mailbox {
        enabled: false,
        ..(*mailbox).clone()
    };
    plan.mailboxes
        .insert(changed.address.clone(), Arc::new(changed));
    let new = entries(&plan, Role::Smtp).unwrap();
    let start = std::time::Instant::now();
    let step = diff(&old, &new);
    timed("diff", start);
    let start = std::time::Instant::now();
    let octets = full(&old).encode().unwrap();
    timed("encode all", start);
    println!("{} octets", octets.len());
    let mut slice = Slice::default();
    let start = std::time::Instant::now();
    slice.apply(Update::decode(&octets).unwrap()).unwrap();
    timed("apply all", start);
    let in_use = slice.plan().unwrap();
    let start = std::time::Instant::now();
    slice.apply(step).unwrap();
    let now = slice.plan().unwrap();
    timed("apply one", start);
    assert_ne!(in_use.digest, now.digest);
}

#[test]
fn egress_knows_the_addresses_of_the_clusters_own_proxies_and_the_ports_of_mail() {
    let before = marked();
    let mut plan = before.clone();
    let mut one = plan.outbound_ips["one"].clone();
    one.attachment = Attachment::Egress(None);
    plan.outbound_ips.insert("one".to_owned(), one);
    let cut = entries(&plan, Role::Egress).unwrap();
    let keys: Vec<_> = cut.iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["outbound-ip/one".into(), "settings".into()]);
    let mut slice = Slice::default();
    slice.apply(full(&cut)).unwrap();
    let made = slice.plan().unwrap();
    assert_eq!(
        made.outbound_ips["one"].attachment,
        Attachment::Egress(None)
    );
    assert_eq!((made.outbound.port, &made.hostname), (25, &plan.hostname));
    let smart_host = made.outbound.smart_host.as_ref().unwrap();
    assert_eq!((smart_host.port, &smart_host.auth), (587, &None));
    // An address comes to our proxies, and leaves them.
    let old = entries(&before, Role::Egress).unwrap();
    let followed = follow((&before, &old), &plan, Role::Egress).unwrap();
    assert_eq!(followed.digest(), cut.digest());
    let back = follow((&plan, &cut), &before, Role::Egress).unwrap();
    assert_eq!(back.digest(), old.digest());
    // The token is delivery's.
    let cut = entries(&plan, Role::Delivery).unwrap();
    let mut slice = Slice::default();
    slice.apply(full(&cut)).unwrap();
    let made = slice.plan().unwrap();
    let attachment = |plan: &Plan| plan.outbound_ips["two"].attachment.clone();
    assert_eq!(attachment(&made), attachment(&plan));
    assert!(
        matches!(attachment(&made), Attachment::Egress(Some(proxy)) if proxy.token.reveal() == "PROXY-MARK")
    );
}
