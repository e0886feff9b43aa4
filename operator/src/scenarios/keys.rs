//! The life of DKIM keys: Secrets made, moved from phase to phase and deleted by what real DNS servers show.

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::dns::Zone;
use super::look_ups::{Sight, zone};
use super::*;
use crate::domain::ROTATE;

const PHASE: &str = "mailpods.dev/dkim-phase";
const SINCE: &str = "mailpods.dev/dkim-since";

/// A MailDomain with its Secrets as the API server would keep them.
struct Life {
    sight: Sight,
    key: Key,
    domain: Value,
    secrets: BTreeMap<String, Value>,
    /// `selector phase`, each once, in the order of their times.
    phases: Vec<String>,
}

impl Life {
    async fn start() -> Self {
        let sight = Sight::start(zone()).await;
        let context = &sight.server.context;
        let dkim = json!({
            "keys": [{"selector": "s", "algorithm": "Ed25519Sha256"}],
            "rotation": {"interval": "0s"},
        });
        add_cluster(
            context,
            json!({"hostname": "mail.example.test", "dkim": dkim}),
        );
        let domain = json!({
            "apiVersion": "mailpods.dev/v1alpha1",
            "kind": "MailDomain",
            "metadata": {"name": "example", "namespace": "mail", "uid": "u", "generation": 1},
            "spec": {"domain": "example.test"},
        });
        Self {
            sight,
            key: Key::new("mail", "example"),
            domain,
            secrets: BTreeMap::new(),
            phases: Vec::new(),
        }
    }

    /// What DNS shows: the keys that are wanted, or none.
    fn show(&self, zone: Zone) {
        let records = self.sight.server.context.world.keys();
        let shown = records
            .iter()
            .filter(|key| key.phase.is_published())
            .fold(zone, |zone, key| zone.txt(&key.record_name(), &key.record));
        self.sight.shows(shown);
    }

    /// One look at the domain, and what the API server made of it.
    async fn turn(&mut self) {
        let context = &self.sight.server.context;
        let object = Arc::new(serde_json::from_value(self.domain.clone()).unwrap());
        context
            .world
            .domains
            .take(Event::Apply((self.key.clone(), Ok(object))));
        context.world.compile_now().await;
        self.sight.look(&self.key.clone(), "example.test").await;
        for asked in self.sight.server.taken().1 {
            self.take(asked);
        }
    }

    fn take(&mut self, asked: Asked) {
        let name = asked.path.rsplit('/').next().unwrap().to_owned();
        let world = &self.sight.server.context.world;
        match (asked.method, asked.path.contains("/secrets")) {
            (_, false) if asked.path.ends_with("/maildomains/example/status") => {
                self.domain["status"] = asked.body["status"].clone();
            }
            (_, false) => {}
            (Method::POST, true) => {
                let name = asked.body["metadata"]["name"].as_str().unwrap().to_owned();
                let mut secret = asked.body;
                secret["metadata"]["creationTimestamp"] = json!(Timestamp::now().to_string());
                self.keep(name, secret);
            }
            (Method::DELETE, true) => {
                world.drop_secret(&Key::new("mail", name.clone()));
                self.secrets.remove(&name);
                self.phases.push(format!("{name} deleted"));
            }
            (_, true) => {
                let mut secret = self.secrets[&name].clone();
                for (field, value) in asked.body["metadata"]["annotations"].as_object().unwrap() {
                    secret["metadata"]["annotations"][field] = value.clone();
                }
                self.keep(name, secret);
            }
        }
    }

    fn keep(&mut self, name: String, secret: Value) {
        let mut object = secret.clone();
        let pem = object["stringData"].take();
        object.as_object_mut().unwrap().remove("stringData");
        let mut read: Secret = serde_json::from_value(object).unwrap();
        let pem: BTreeMap<String, String> = serde_json::from_value(pem).unwrap();
        let pem = pem.into_iter();
        read.data = Some(
            pem.map(|(name, text)| (name, k8s_openapi::ByteString(text.into_bytes())))
                .collect(),
        );
        self.sight.server.context.world.take_secret(read);
        let phase = secret["metadata"]["annotations"][PHASE].as_str().unwrap();
        let line = format!("{name} {phase}");
        if !self.phases.contains(&line) {
            self.phases.push(line);
        }
        self.secrets.insert(name, secret);
    }

    /// As if so much time had passed: all times are that much earlier.
    fn age(&mut self, hours: i64) {
        let earlier = |text: &Value| {
            let time: Timestamp = text.as_str().unwrap().parse().unwrap();
            json!((time - SignedDuration::from_hours(hours)).to_string())
        };
        for (name, mut secret) in self.secrets.clone() {
            let since = earlier(&secret["metadata"]["annotations"][SINCE]);
            secret["metadata"]["annotations"][SINCE] = since;
            let created = earlier(&secret["metadata"]["creationTimestamp"]);
            secret["metadata"]["creationTimestamp"] = created;
            self.keep(name, secret);
        }
        let records = self.domain["status"]["records"].as_array_mut();
        for record in records.into_iter().flatten() {
            record["since"] = earlier(&record["since"]);
        }
    }

    async fn turns(&mut self, count: usize) {
        for _ in 0..count {
            self.show(zone());
            self.turn().await;
            self.age(2);
        }
    }

    fn signing(&self) -> Vec<String> {
        let snapshot = self.sight.server.context.world.snapshot();
        let plan = snapshot.clusters[&Key::new("mail", "main")].plan.clone();
        let domain = plan.unwrap().domains["example.test"].clone();
        let keys = domain.dkim.iter();
        keys.map(|key| key.selector.to_string()).collect()
    }

    fn reason(&self) -> String {
        let conditions = self.domain["status"]["conditions"].as_array().unwrap();
        let dkim = conditions.iter().find(|c| c["type"] == "DKIMReady");
        dkim.unwrap()["reason"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_key_signs_once_dns_shows_it_and_is_replaced_when_asked_for() {
    let mut life = Life::start().await;
    // Nothing is shown: however long that takes, nothing signs.
    for _ in 0..3 {
        life.turn().await;
        life.age(48);
    }
    let first = "dkim-s.example.test";
    assert_eq!(life.phases, [format!("{first} Publishing")]);
    assert_eq!(
        (life.signing(), life.reason()),
        (Vec::new(), "Publishing".to_owned())
    );
    life.turns(5).await;
    let wanted = ["Publishing", "Published", "Signing"].map(|phase| format!("{first} {phase}"));
    assert_eq!(life.phases, wanted);
    assert_eq!(
        (life.signing(), life.reason()),
        (vec!["s".to_owned()], "Signing".to_owned())
    );
    life.phases.clear();
    life.domain["metadata"]["annotations"] = json!({ROTATE: "now"});
    life.turns(6).await;
    let second = life
        .secrets
        .keys()
        .find(|name| *name != first)
        .unwrap()
        .clone();
    let order: Vec<String> = [
        (&*second, "Publishing"),
        (&*second, "Published"),
        (&*second, "Signing"),
        (first, "Retiring"),
    ]
    .map(|(name, phase)| format!("{name} {phase}"))
    .into();
    let seen: Vec<String> = life
        .phases
        .iter()
        .filter(|line| **line != format!("{first} Signing"))
        .cloned()
        .collect();
    assert_eq!(seen, order);
    // Its record stays for mail that is read late, then goes, and the key with it.
    assert!(life.sight.server.context.world.keys().len() == 2);
    life.phases.clear();
    life.age(8 * 24);
    life.turns(6).await;
    let removed = life
        .phases
        .iter()
        .position(|line| *line == format!("{first} Removed"));
    let deleted = life
        .phases
        .iter()
        .position(|line| *line == format!("{first} deleted"));
    assert!(removed.is_some() && removed < deleted, "{:?}", life.phases);
    assert_eq!(life.signing().len(), 1);
    assert_eq!(life.secrets.keys().collect::<Vec<_>>(), [&second]);
}
