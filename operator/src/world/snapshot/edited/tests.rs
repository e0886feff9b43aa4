//! What is edited is what would be compiled anew, or it is refused.

use k8s_openapi::jiff::Timestamp;
use mailpods_plan::slice::{Entries, entries};
use mailpods_plan::{DkimAlgorithm, Inventory, Role, Secret, SecretText};
use mailpods_policy::dkim_life::Phase;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::super::{ByKey, Objects};
use super::*;
use crate::dkim::key::Origin;

/// Specifications by kind and name; every object has the generation 1 until it is changed.
#[derive(Clone)]
struct Told {
    clusters: BTreeMap<&'static str, Value>,
    domains: BTreeMap<&'static str, Value>,
    mailboxes: BTreeMap<&'static str, Value>,
    keys: Vec<Arc<ManagedKey>>,
    generation: i64,
}

fn told() -> Told {
    let domain = json!({
        "domain": "a.test",
        "aliases": [{"name": "team", "targets": ["ann@a.test", "Out@elsewhere.test"]}],
    });
    Told {
        clusters: [(
            "main",
            json!({"hostname": "mail.a.test", "postmaster": "p@elsewhere.test"}),
        )]
        .into(),
        domains: [("a", domain), ("b", json!({"domain": "b.test"}))].into(),
        mailboxes: [
            ("ann", json!({"address": "ann@a.test"})),
            (
                "bob",
                json!({"address": "bob@b.test", "aliases": ["robert@b.test"]}),
            ),
        ]
        .into(),
        keys: vec![key("s1", "a.test", Phase::Publishing)],
        generation: 1,
    }
}

fn key(selector: &str, domain: &str, phase: Phase) -> Arc<ManagedKey> {
    Arc::new(ManagedKey {
        secret: Key::new("mail", selector),
        live: crate::kube::apply::Live::default(),
        domain: domain.parse().unwrap(),
        selector: selector.parse().unwrap(),
        algorithm: DkimAlgorithm::Ed25519Sha256,
        origin: Origin::default(),
        phase,
        since: Timestamp::UNIX_EPOCH,
        created: Timestamp::UNIX_EPOCH,
        has_signed: false,
        record: format!("v=DKIM1; k=ed25519; p={selector}"),
        pem: SecretText::new(format!("pem of {selector}")),
    })
}

fn object<K: DeserializeOwned>(kind: &str, name: &str, generation: i64, spec: &Value) -> Arc<K> {
    let object = json!({
        "apiVersion": "mailpods.dev/v1alpha1",
        "kind": kind,
        "metadata": {
            "name": name, "namespace": "mail", "uid": format!("uid-{name}"),
            "generation": generation, "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": spec,
    });
    Arc::new(serde_json::from_value(object).unwrap())
}

impl Told {
    fn objects(&self) -> Objects {
        fn all<K: DeserializeOwned>(
            kind: &str,
            generation: i64,
            specs: &BTreeMap<&str, Value>,
        ) -> ByKey<K> {
            let object = |(name, spec): (&&str, &Value)| {
                let key = Arc::new(Key::new("mail", *name));
                (key, object(kind, name, generation, spec))
            };
            Arc::new(specs.iter().map(object).collect())
        }
        Objects {
            clusters: all("MailCluster", 1, &self.clusters),
            domains: all("MailDomain", self.generation, &self.domains),
            mailboxes: all("Mailbox", self.generation, &self.mailboxes),
            ..Objects::default()
        }
    }

    fn compiled(&self) -> Snapshot {
        let inventory = Inventory {
            secrets: secrets(),
            ..Inventory::default()
        };
        let before = Snapshot::default();
        Snapshot::compile(self.objects(), inventory, self.keys.clone(), &before)
    }

    /// All objects as edits, and the keys of a domain when one is named.
    fn edits(&self, keys_of: Option<&str>) -> Edits {
        let Objects {
            domains, mailboxes, ..
        } = self.objects();
        let owner = keys_of.map(|name| ("mail".to_owned(), name.parse().unwrap()));
        Edits {
            domains: domains
                .iter()
                .map(|(key, new)| (key.clone(), new.clone()))
                .collect(),
            mailboxes: mailboxes
                .iter()
                .map(|(key, new)| (key.clone(), new.clone()))
                .collect(),
            keys: self.keys.clone(),
            owners: owner.into_iter().collect(),
        }
    }
}

fn secrets() -> Arc<Secrets> {
    let data = [(
        "password".to_owned(),
        SecretText::new("correct horse".to_owned()),
    )];
    let secret = Secret { data: data.into() };
    let name = ("mail".to_owned(), "horse".to_owned());
    Arc::new([(name, Arc::new(secret))].into())
}

fn cut(snapshot: &Snapshot, role: Role) -> Entries {
    let view = &snapshot.clusters[&Key::new("mail", "main")];
    entries(view.plan.as_ref().unwrap(), role).unwrap()
}

/// Whether the change can be edited; it is then as if everything had been compiled.
fn is_edited(change: impl FnOnce(&mut Told)) -> bool {
    let mut now = told();
    let before = now.compiled();
    now.generation = 2;
    change(&mut now);
    let keys_of = (now.keys != told().keys).then_some("a.test");
    let Some(edited) = before.edited(now.edits(keys_of), secrets) else {
        return false;
    };
    let whole = now.compiled();
    for role in Role::ALL {
        assert_eq!(
            cut(&edited, role).digest(),
            cut(&whole, role).digest(),
            "{role}"
        );
    }
    assert_eq!(edited.marks, whole.marks);
    for name in ["a.test", "b.test"] {
        let name = name.parse().unwrap();
        assert_eq!(edited.records(&name), whole.records(&name));
    }
    let mailboxes = |snapshot: &Snapshot| -> Vec<Option<i64>> {
        let all = snapshot.objects.mailboxes.values();
        all.map(|mailbox| mailbox.metadata.generation).collect()
    };
    assert_eq!(mailboxes(&edited), mailboxes(&whole));
    true
}

#[test]
fn values_are_edited() {
    assert!(is_edited(|_| {}));
    assert!(is_edited(|now| {
        let ann = json!({"address": "ann@a.test", "quota": {"messages": 7, "grace": "10%"}, "folders": [{"name": "Trash", "autoexpunge": "30d"}], "passwordSecretRef": {"name": "horse"}});
        now.mailboxes.insert("ann", ann);
    }));
    assert!(is_edited(|now| {
        now.mailboxes
            .insert("new", json!({"address": "new@b.test"}));
    }));
    assert!(is_edited(|now| {
        let domain = json!({
            "domain": "b.test", "limits": {"messagesPerHour": 5}, "quota": {"size": "1Gi"}, "mailboxDefaults": {"quota": {"size": "1Mi"}}, "dns": {"dmarc": "v=DMARC1; p=none"},
        });
        now.domains.insert("b", domain);
    }));
    assert!(is_edited(|now| {
        now.keys = vec![
            key("s1", "a.test", Phase::Signing),
            key("s2", "a.test", Phase::Publishing),
        ];
    }));
}

#[test]
fn what_may_touch_others_is_compiled_whole() {
    let refused: [fn(&mut Told); 12] = [
        |now| {
            drop(now.domains.insert(
                "b",
                json!({"domain": "b.test", "domainAliases": ["c.test"]}),
            ))
        },
        |now| {
            drop(
                now.domains
                    .insert("b", json!({"domain": "b.test", "catchAll": "bob@b.test"})),
            )
        },
        |now| drop(now.domains.insert("c", json!({"domain": "c.test"}))),
        |now| {
            now.domains.get_mut("a").unwrap()["aliases"][0]["targets"][1] =
                json!("OUT@elsewhere.test")
        },
        |now| {
            drop(
                now.mailboxes
                    .insert("bob", json!({"address": "bob@b.test"})),
            )
        },
        |now| {
            now.mailboxes.get_mut("ann").unwrap()["forward"] = json!({"to": ["x@elsewhere.test"]})
        },
        |now| now.mailboxes.get_mut("ann").unwrap()["enabled"] = json!(false),
        |now| now.mailboxes.get_mut("ann").unwrap()["passwordSecretRef"] = json!({"name": "gone"}),
        |now| now.mailboxes.get_mut("ann").unwrap()["sieve"] = json!("nonsense"),
        |now| {
            drop(
                now.mailboxes
                    .insert("two", json!({"address": "robert@b.test"})),
            )
        },
        |now| {
            drop(
                now.mailboxes
                    .insert("two", json!({"address": "abuse@b.test"})),
            )
        },
        |now| {
            drop(
                now.mailboxes
                    .insert("two", json!({"address": "x@nowhere.test"})),
            )
        },
    ];
    for (index, change) in refused.into_iter().enumerate() {
        assert!(!is_edited(change), "{index}");
    }
}

#[test]
fn what_waited_for_a_new_mailbox_is_looked_at() {
    let mut now = told();
    now.domains.get_mut("b").unwrap()["aliases"] =
        json!([{"name": "all", "targets": ["new@b.test"]}]);
    let before = now.compiled();
    now.mailboxes
        .insert("new", json!({"address": "new@b.test"}));
    assert!(before.edited(now.edits(None), secrets).is_none());
}

#[test]
fn a_new_mailbox_that_may_be_the_first_is_compiled_whole() {
    let mut now = told();
    now.clusters
        .insert("main", json!({"hostname": "mail.a.test"}));
    let before = now.compiled();
    now.mailboxes
        .insert("aaa", json!({"address": "aaa@b.test"}));
    // All are of the same second, in which names decide.
    assert!(before.edited(now.edits(None), secrets).is_none());
    let mut edits = now.edits(None);
    let (_, new) = edits
        .mailboxes
        .iter_mut()
        .find(|(key, _)| key.name == "aaa")
        .unwrap();
    let later = serde_json::from_value(json!("2026-01-01T00:00:01Z")).unwrap();
    Arc::make_mut(new).metadata.creation_timestamp = Some(later);
    assert!(before.edited(edits, secrets).is_some());
}

#[test]
fn an_object_that_was_made_anew_is_compiled_whole() {
    let now = told();
    let before = now.compiled();
    let mut edits = now.edits(None);
    for (_, mailbox) in &mut edits.mailboxes {
        Arc::make_mut(mailbox).metadata.uid = Some("another".to_owned());
    }
    assert!(before.edited(edits, secrets).is_none());
}
