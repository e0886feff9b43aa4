//! The log-in service against stores in memory, with a clock that the test moves.
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use mailpods_api::MailboxAddress;
use mailpods_plan::{CredentialKind, PlanHandle};
use mailpods_policy::Reason;
use mailpods_sasl::client::{Client, ClientCredentials};
use mailpods_sasl::{ChannelBindings, Mechanism, Secret};
use mailpods_telemetry::metrics::Registry;

use super::memory::lock;
use super::*;
use crate::error::Result;
use crate::secrets::SavedCredential;
use crate::tokens::{Ban, Take, Taken};
use crate::trace::{TraceEvent, TraceQuery};

mod fixture;

use fixture::{ALICE, BOB, CAROL, plan};

#[derive(Default)]
struct Fake {
    counts: Mutex<HashMap<String, u64>>,
    bans: Mutex<HashMap<String, UnixMillis>>,
    saved: Mutex<HashMap<MailboxAddress, SavedCredential>>,
    events: Mutex<Vec<TraceEvent>>,
}

#[async_trait]
impl TokenStore for Fake {
    async fn take(&self, _: Vec<Take>, _: UnixMillis) -> Result<Taken> {
        Ok(Taken::Granted)
    }
    async fn give_back(&self, takes: Vec<Take>, _: UnixMillis) -> Result<()> {
        unreachable!("nobody takes: {takes:?}")
    }

    async fn add(&self, key: &str, amount: u64, _: Duration, _: UnixMillis) -> Result<u64> {
        let mut counts = lock(&self.counts);
        let count = counts.entry(key.to_owned()).or_default();
        *count += amount;
        Ok(*count)
    }
    async fn forget(&self, key: &str) -> Result<()> {
        lock(&self.counts).remove(key);
        Ok(())
    }
    async fn ban(&self, key: &str, until: UnixMillis) -> Result<()> {
        lock(&self.bans).insert(key.to_owned(), until);
        Ok(())
    }
    async fn bans(&self, now: UnixMillis) -> Result<Vec<Ban>> {
        let bans = lock(&self.bans);
        let bans = bans.iter().filter(|(_, until)| **until > now);
        Ok(bans
            .map(|(key, until)| Ban {
                key: key.clone(),
                until: *until,
            })
            .collect())
    }
    async fn banned(&self, key: &str, now: UnixMillis) -> Result<Option<UnixMillis>> {
        Ok(lock(&self.bans)
            .get(key)
            .copied()
            .filter(|until| *until > now))
    }
}

#[async_trait]
impl DirectoryStore for Fake {
    async fn saved_credential(&self, account: &MailboxAddress) -> Result<Option<SavedCredential>> {
        Ok(lock(&self.saved).get(account).cloned())
    }
    async fn save_credential(
        &self,
        account: &MailboxAddress,
        credential: SavedCredential,
    ) -> Result<()> {
        lock(&self.saved).insert(account.clone(), credential);
        Ok(())
    }
}

#[async_trait]
impl TraceStore for Fake {
    fn record(&self, event: TraceEvent) {
        lock(&self.events).push(event);
    }
    async fn events(&self, _: &TraceQuery, _: UnixMillis, _: usize) -> Result<Vec<TraceEvent>> {
        Ok(lock(&self.events).clone())
    }
}

struct World {
    directory: Directory,
    plan: PlanHandle,
    fake: Arc<Fake>,
    now: Arc<AtomicI64>,
    registry: Registry,
}

impl World {
    async fn new() -> Self {
        let fake = Arc::new(Fake::default());
        let now = Arc::new(AtomicI64::new(1_000_000));
        let (plan, registry) = (PlanHandle::new(plan()), Registry::new());
        let clock_now = now.clone();
        let parts = Parts {
            tokens: fake.clone(),
            saved: fake.clone(),
            trace: fake.clone(),
            clock: Arc::new(move || clock_now.load(Ordering::Relaxed)),
        };
        let secret = Zeroizing::new(b"server secret".to_vec());
        let directory = Directory::from_parts(parts, plan.clone(), &registry, secret).unwrap();
        Self {
            directory,
            plan,
            fake,
            now,
            registry,
        }
    }

    fn context(&self, client: &str) -> LoginContext {
        LoginContext {
            service: Service::Imap,
            client: client.parse::<IpAddr>().unwrap(),
            tls: true,
            bindings: ChannelBindings {
                tls_exporter: Some(vec![5; 32]),
                tls_server_end_point: None,
            },
            session: "session".to_owned(),
        }
    }

    /// PLAIN from one client; the refusal as its reason.
    async fn plain(
        &self,
        client: &str,
        name: &str,
        password: &str,
    ) -> std::result::Result<String, Reason> {
        let message = format!("\0{name}\0{password}");
        let mut login = self
            .directory
            .login(Mechanism::Plain, self.context(client))
            .unwrap();
        outcome(login.start(Some(message.as_bytes())).await)
    }

    async fn scram(
        &self,
        mechanism: Mechanism,
        name: &str,
        password: &str,
    ) -> std::result::Result<String, Reason> {
        let credentials = ClientCredentials {
            name: name.to_owned(),
            password: Secret::new(password),
        };
        let context = self.context("192.0.2.1");
        let mut client = Client::new(
            mechanism,
            credentials,
            &context.bindings,
            true,
            "cnonce".to_owned(),
        )
        .unwrap();
        let mut login = self.directory.login(mechanism, context).unwrap();
        let mut step = login.start(client.initial().as_deref()).await;
        while let Step::Challenge(challenge) = step {
            step = login.step(&client.step(&challenge).unwrap()).await;
        }
        outcome(step)
    }

    fn change_password(&self, address: &str, password: &str) {
        let mut plan = fixture::plan();
        plan.digest = format!("digest with {password}");
        fixture::set_credential(&mut plan, address, CredentialKind::Password, password);
        self.plan.swap(plan);
    }

    fn hash_count(&self) -> usize {
        let text = self.registry.encode().unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with("mailpods_password_hash_seconds_count"));
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }
}

fn outcome(step: Step) -> std::result::Result<String, Reason> {
    match step {
        Step::Success(identity) => Ok(identity.mailbox.address.to_string()),
        Step::Failure(refusal) => Err(refusal.reason()),
        Step::Challenge(challenge) => panic!("unexpected challenge {challenge:?}"),
    }
}

#[tokio::test]
async fn a_password_in_clear_logs_in_by_every_mechanism() {
    let world = World::new().await;
    assert_eq!(
        world.plain("192.0.2.1", ALICE, "quickstart").await,
        Ok(ALICE.to_owned())
    );
    assert_eq!(
        world
            .plain("192.0.2.1", "ALICE@Example.TEST", "quickstart")
            .await,
        Ok(ALICE.to_owned())
    );
    assert_eq!(
        world
            .plain("192.0.2.1", "alice@alias.test", "quickstart")
            .await,
        Ok(ALICE.to_owned())
    );
    for mechanism in [
        Mechanism::ScramSha256,
        Mechanism::ScramSha256Plus,
        Mechanism::Login,
    ] {
        assert_eq!(
            world.scram(mechanism, ALICE, "quickstart").await,
            Ok(ALICE.to_owned()),
            "{mechanism}"
        );
        assert_eq!(
            world.scram(mechanism, ALICE, "wrong").await,
            Err(Reason::WrongCredentials),
            "{mechanism}"
        );
    }
    let context = world.context("192.0.2.1");
    assert!(
        world
            .directory
            .password_login(ALICE, b"quickstart", &context)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn an_account_with_a_password_that_attackers_try_first_is_blocked() {
    let world = World::new().await;
    let mut plan = plan();
    let mailbox = plan.mailboxes.get_mut(&fixture::address(ALICE)).unwrap();
    let credential = Arc::make_mut(mailbox).credential.as_mut().unwrap();
    credential.value = mailpods_plan::SecretText::new("Password123".to_owned());
    world.plan.swap(plan);
    assert_eq!(
        world.plain("192.0.2.1", ALICE, "Password123").await,
        Err(Reason::SprayedPassword)
    );
    assert!(Refusal::SprayedPassword.looks_like_wrong_password());
}

#[tokio::test]
async fn what_is_no_account_is_refused_like_a_wrong_password() {
    let world = World::new().await;
    for name in [
        "nobody@example.test",
        "alice",
        "info@example.test",
        "alice@elsewhere.test",
        "alice+tag@example.test",
    ] {
        assert_eq!(
            world.plain("10.0.0.7", name, "quickstart").await,
            Err(Reason::WrongCredentials),
            "{name}"
        );
    }
    assert_eq!(
        world
            .scram(Mechanism::ScramSha256, "nobody@example.test", "x")
            .await,
        Err(Reason::WrongCredentials)
    );
    assert_eq!(
        world.plain("10.0.0.7", CAROL, "quickstart").await,
        Err(Reason::MailboxDisabled)
    );
    assert_eq!(
        world
            .scram(Mechanism::ScramSha256, CAROL, "quickstart")
            .await,
        Err(Reason::MailboxDisabled)
    );
    assert!(Refusal::Disabled.looks_like_wrong_password());
    // Each of the six PLAIN log-ins above cost a hash, as one with a wrong password does.
    assert_eq!(world.hash_count(), 6);
}

#[tokio::test]
async fn nobody_acts_as_somebody_else() {
    let world = World::new().await;
    let attempt = async |message: &[u8]| {
        let mut login = world
            .directory
            .login(Mechanism::Plain, world.context("192.0.2.1"))
            .unwrap();
        outcome(login.start(Some(message)).await)
    };
    assert_eq!(
        attempt(b"bob@example.test\0alice@example.test\0quickstart").await,
        Err(Reason::WrongCredentials)
    );
    assert_eq!(
        attempt(b"alice@alias.test\0alice@example.test\0quickstart").await,
        Ok(ALICE.to_owned())
    );
}

#[tokio::test]
async fn no_log_in_without_tls() {
    let world = World::new().await;
    let context = LoginContext {
        tls: false,
        ..world.context("192.0.2.1")
    };
    assert!(world.directory.mechanisms(&context).await.is_empty());
    let refused = world
        .directory
        .login(Mechanism::Plain, context.clone())
        .map(|_| ())
        .unwrap_err();
    assert_eq!(refused.reason(), Reason::TlsRequired);
    let refused = world
        .directory
        .password_login(ALICE, b"quickstart", &context)
        .await
        .unwrap_err();
    assert_eq!(refused.reason(), Reason::TlsRequired);
}

#[tokio::test]
async fn a_hash_is_made_better_at_log_in_and_brings_scram() {
    let world = World::new().await;
    let context = world.context("192.0.2.1");
    let plain_only = vec![Mechanism::Plain, Mechanism::Login];
    assert_eq!(
        world.directory.mechanisms(&context).await,
        plain_only,
        "bob's hash does not allow SCRAM yet"
    );
    assert_eq!(
        world
            .scram(Mechanism::ScramSha256, BOB, "correct horse")
            .await,
        Err(Reason::WrongCredentials)
    );
    assert!(
        lock(&world.fake.counts).is_empty(),
        "a failure that no password could avoid is not counted"
    );

    assert_eq!(
        world.plain("192.0.2.1", BOB, "correct horse").await,
        Ok(BOB.to_owned())
    );
    let saved = lock(&world.fake.saved)
        .get(&MailboxAddress::parse(BOB).unwrap())
        .cloned()
        .unwrap();
    assert!(saved.hash.unwrap().starts_with("{ARGON2ID}"));
    assert_eq!(
        world.directory.mechanisms(&context).await,
        Mechanism::ALL.to_vec()
    );
    assert_eq!(
        world
            .scram(Mechanism::ScramSha256, BOB, "correct horse")
            .await,
        Ok(BOB.to_owned())
    );
    assert_eq!(
        world.scram(Mechanism::ScramSha256, BOB, "wrong").await,
        Err(Reason::WrongCredentials)
    );

    world.change_password(BOB, "new");
    assert_eq!(
        world.plain("192.0.2.1", BOB, "correct horse").await,
        Err(Reason::WrongCredentials)
    );
    assert_eq!(
        world
            .scram(Mechanism::ScramSha256, BOB, "correct horse")
            .await,
        Err(Reason::WrongCredentials)
    );
    assert_eq!(
        world.plain("192.0.2.1", BOB, "new").await,
        Ok(BOB.to_owned())
    );
}

#[tokio::test]
async fn a_right_password_costs_one_hash_until_it_changes() {
    let world = World::new().await;
    for _ in 0..5 {
        assert_eq!(
            world.plain("192.0.2.1", BOB, "correct horse").await,
            Ok(BOB.to_owned())
        );
    }
    assert_eq!(world.hash_count(), 1);
    world.change_password(BOB, "other");
    assert_eq!(
        world.plain("192.0.2.1", BOB, "correct horse").await,
        Err(Reason::WrongCredentials),
        "revoked at once"
    );
}

#[tokio::test]
async fn guesses_ban_the_client_and_its_prefix_for_a_while() {
    let world = World::new().await;
    for guess in 0..5 {
        let name = format!("user{guess}@elsewhere.test");
        let refused = world
            .plain("2001:db8::1", &name, &format!("guess{guess}"))
            .await;
        assert_eq!(refused, Err(Reason::WrongCredentials));
    }
    assert_eq!(
        world.plain("2001:db8::2", ALICE, "quickstart").await,
        Err(Reason::Banned),
        "the same /64"
    );
    assert_eq!(
        world.plain("2001:db8:0:1::1", ALICE, "quickstart").await,
        Ok(ALICE.to_owned()),
        "another /64"
    );
    world.now.fetch_add(3_600_001, Ordering::Relaxed);
    assert_eq!(
        world.plain("2001:db8::2", ALICE, "quickstart").await,
        Ok(ALICE.to_owned()),
        "the ban has ended"
    );
}

#[tokio::test]
async fn guesses_from_everywhere_ban_the_account_but_not_its_owner() {
    let world = World::new().await;
    assert_eq!(
        world.plain("192.0.2.1", ALICE, "quickstart").await,
        Ok(ALICE.to_owned())
    );
    for guess in 0..10 {
        let _ = world
            .plain(
                &format!("198.51.100.{guess}"),
                ALICE,
                &format!("guess{guess}"),
            )
            .await;
    }
    assert_eq!(
        world.plain("203.0.113.1", ALICE, "quickstart").await,
        Err(Reason::Banned)
    );
    assert_eq!(
        world.plain("192.0.2.1", ALICE, "quickstart").await,
        Ok(ALICE.to_owned()),
        "the usual place"
    );
    for guess in 0..10 {
        let _ = world
            .plain(
                &format!("198.51.100.{guess}"),
                "nobody@example.test",
                &format!("guess{guess}"),
            )
            .await;
    }
    let refused = world.plain("203.0.113.1", "nobody@example.test", "x").await;
    assert_eq!(
        refused,
        Err(Reason::Banned),
        "a name that is no account behaves the same"
    );
}

#[tokio::test]
async fn exempt_clients_are_never_banned_and_an_old_password_counts_once() {
    let world = World::new().await;
    for guess in 0..8 {
        let name = format!("user{guess}@elsewhere.test");
        assert_eq!(
            world.plain("10.0.0.7", &name, "guess").await,
            Err(Reason::WrongCredentials)
        );
    }
    assert_eq!(
        world.plain("10.0.0.7", ALICE, "quickstart").await,
        Ok(ALICE.to_owned())
    );
    for _ in 0..20 {
        assert_eq!(
            world.plain("192.0.2.9", ALICE, "last year's").await,
            Err(Reason::WrongCredentials)
        );
    }
    assert_eq!(
        world.plain("192.0.2.9", ALICE, "quickstart").await,
        Ok(ALICE.to_owned())
    );
}

#[tokio::test]
async fn refusals_are_told_with_their_reason_and_without_secrets() {
    let world = World::new().await;
    let _ = world.plain("192.0.2.1", ALICE, "hunter2").await;
    let _ = world.plain("192.0.2.1", "hunter2", "hunter2").await;
    let events = lock(&world.fake.events).clone();
    assert_eq!(events.len(), 2);
    assert!(
        events
            .iter()
            .all(|event| event.reason == "wrong-credentials"
                && !format!("{event:?}").contains("hunter2"))
    );
    let text = world.registry.encode().unwrap();
    assert!(text.contains(r#"mailpods_logins_total{mechanism="PLAIN",reason="wrong-credentials",service="imap"} 2"#), "{text}");
}

/// The names of the fields of refusals that are logged.
#[derive(Clone, Default)]
struct Fields(Arc<Mutex<Vec<&'static str>>>);

impl tracing::Subscriber for Fields {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let fields = event.metadata().fields();
        if fields.field("mechanism").is_some() {
            lock(&self.0).extend(fields.iter().map(|field| field.name()));
        }
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn the_log_leaves_to_the_span_whose_session_it_is() {
    let world = World::new().await;
    let fields = Fields::default();
    // For all threads: what other tests log first would else count as something that nobody listens to.
    tracing::subscriber::set_global_default(fields.clone()).unwrap();
    let _ = world.plain("192.0.2.1", ALICE, "hunter2").await;
    let fields = lock(&fields.0);
    assert!(fields.contains(&"reason"), "{fields:?}");
    assert!(
        !fields.contains(&"session") && !fields.contains(&"client"),
        "{fields:?}"
    );
}

#[tokio::test]
async fn a_client_that_breaks_the_mechanism_is_told_so_and_not_counted() {
    let world = World::new().await;
    let mut login = world
        .directory
        .login(Mechanism::Plain, world.context("192.0.2.1"))
        .unwrap();
    assert_eq!(
        outcome(login.start(Some(b"nonsense")).await),
        Err(Reason::MalformedLogin)
    );
    let mut login = world
        .directory
        .login(Mechanism::ScramSha256, world.context("192.0.2.1"))
        .unwrap();
    assert_eq!(
        outcome(login.start(Some(b"y,,n=alice@example.test,r=nonce")).await),
        Err(Reason::MalformedLogin)
    );
    assert!(lock(&world.fake.counts).is_empty());
}

#[tokio::test]
async fn nobody_is_banned_over_a_resource_with_a_problem() {
    let world = World::new().await;
    let mut held = (*world.plan.current()).clone();
    held.mailboxes = Default::default();
    held.held = mailpods_plan::Held {
        addresses: [fixture::address(ALICE)].into(),
        ..Default::default()
    }
    .into();
    world.plan.swap(held);
    for _ in 0..50 {
        assert_eq!(
            world.plain("192.0.2.1", ALICE, "quickstart").await,
            Err(Reason::OnHold)
        );
    }
    assert_eq!(
        world
            .scram(Mechanism::ScramSha256, ALICE, "quickstart")
            .await,
        Err(Reason::OnHold)
    );
    assert!(Refusal::OnHold.is_temporary());
    assert!(lock(&world.fake.bans).is_empty());
    world.plan.swap(plan());
    assert_eq!(
        world.plain("192.0.2.1", ALICE, "quickstart").await,
        Ok(ALICE.to_owned())
    );
}
