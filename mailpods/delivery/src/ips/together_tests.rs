//! Several delivery pods on one store, each with what it remembers by itself.

use std::sync::Arc;
use std::time::Duration;

use mailpods_net::Connector;
use mailpods_net::dns::fixed::{StaticResolver, Zone};
use mailpods_plan::{Attachment, OutboundIp, Plan, PlanHandle, WarmUp};
use mailpods_policy::outbound::choose::seats;
use mailpods_policy::outbound::classify::Blame;
use mailpods_policy::outbound::life::{Cause, Check, Finding, Life, Order, Phase};
use mailpods_store::postgres::{self, PostgresStore};
use mailpods_store::{Store, sqlite};
use mailpods_telemetry::metrics::Registry;
use mailpods_test_postgres::Server;

use super::seats::short_of;
use super::{Attempted, kept};
use crate::context::Context;
use crate::metrics::Changed;
use crate::testing::{TestClock, name, plan};
use crate::{Clock as _, Delivery, Dependencies};

const PROVIDER: &str = "google";
const PODS: usize = 2;

struct Pods {
    pods: Vec<Arc<Context>>,
    clock: Arc<TestClock>,
    plan: Plan,
    connections: Vec<PostgresStore>,
    // Last, so that they end after their users.
    _server: Option<Server>,
    _dir: tempfile::TempDir,
}

fn ip(name_of: &str, last: u8) -> OutboundIp {
    OutboundIp {
        name: name_of.to_owned(),
        address: [127, 0, 0, last].into(),
        hostname: name("out.example.test"),
        sending: true,
        pool: "default".to_owned(),
        weight: 1,
        warm_up: None,
        attachment: Attachment::Host,
    }
}

impl Pods {
    /// Two pods with addresses `one` and `two` of a pool; on PostgreSQL, or in one folder.
    async fn start(postgres: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock::default());
        let mut plan = plan(25);
        for ip in [ip("one", 1), ip("two", 2)] {
            plan.outbound_ips.insert(ip.name.clone(), ip);
        }
        let server = postgres.then(|| Server::start().unwrap());
        let mut connections = Vec::new();
        let mut stores: Vec<Store> = Vec::new();
        match &server {
            Some(server) => {
                for _ in 0..PODS {
                    let key = zeroize::Zeroizing::new([7; 32]);
                    let options = postgres::Options::new(&server.uri(), key);
                    connections.push(PostgresStore::connect(options).await.unwrap());
                }
                stores.extend(connections.iter().map(PostgresStore::store));
            }
            None => {
                let options = sqlite::Options {
                    free_reserve: 0,
                    ..sqlite::Options::default()
                };
                let store = sqlite::open(dir.path(), options).unwrap();
                stores.extend((0..PODS).map(|_| store.clone()));
            }
        }
        let pod = |(number, store): (usize, Store)| {
            let dependencies = Dependencies {
                store,
                plan: PlanHandle::new(plan.clone()),
                resolver: Arc::new(StaticResolver::new(Zone::new())),
                connector: Connector::direct(),
                egress: None,
                extra_roots: Vec::new(),
                clock: clock.clone(),
                worker: format!("pod-{number}"),
                https_port: 443,
            };
            let delivery = Delivery::new(dependencies, &Registry::new()).unwrap();
            delivery.ctx.clone()
        };
        let pods = Self {
            pods: stores.into_iter().enumerate().map(pod).collect(),
            clock,
            plan,
            connections,
            _server: server,
            _dir: dir,
        };
        for ip in pods.plan.outbound_ips.values() {
            let pass = |life: &mut Life| life.gate(&[(Check::Helo, Finding::Passed)], 1);
            pods.pods[0].ips.change(&pods.pods[0], ip, pass).await;
        }
        pods.look().await;
        pods
    }

    fn ip(&self, name: &str) -> &OutboundIp {
        &self.plan.outbound_ips[name]
    }

    /// What every pod does once in a second.
    async fn look(&self) {
        for pod in &self.pods {
            for ip in self.plan.outbound_ips.values() {
                pod.ips.admit(pod, &self.plan, ip).await;
                pod.ips.take_over(pod, ip).await;
            }
        }
    }

    /// Every pod is refused so often at the same time.
    async fn refuse(&self, name: &str, times: usize) {
        let mut tasks = tokio::task::JoinSet::new();
        for pod in &self.pods {
            for _ in 0..times {
                let (pod, plan, ip) = (pod.clone(), self.plan.clone(), self.ip(name).clone());
                tasks.spawn(async move {
                    let attempted = Attempted {
                        ip: &ip,
                        provider: PROVIDER,
                        taken: false,
                        blame: Some(Blame::Ip),
                        reply: "421 4.7.28 too many",
                    };
                    pod.ips.learn(&pod, &plan, attempted).await;
                });
            }
        }
        tasks.join_all().await;
    }

    async fn tick(&self) {
        let ticks = self
            .pods
            .iter()
            .map(|pod| async { pod.ips.end_rests(pod, &self.plan).await });
        let [one, other] = <[_; PODS]>::try_from(ticks.collect::<Vec<_>>())
            .ok()
            .unwrap();
        tokio::join!(one, other);
    }

    async fn kept(&self, name: &str) -> Life {
        let secrets = self.pods[1].store.secrets.as_ref();
        kept::life(secrets, self.ip(name)).await.unwrap().unwrap()
    }

    /// How often pods have told of a change.
    fn told(&self, cause: Cause) -> u64 {
        let told = self
            .pods
            .iter()
            .map(|pod| pod.metrics.transitions.get(Changed(cause)));
        told.sum()
    }

    /// Who sends to the provider, as each pod has it.
    fn senders(&self) -> Vec<Vec<String>> {
        let candidates: Vec<&OutboundIp> = self.plan.outbound_ips.values().collect();
        let senders = |pod: &Arc<Context>| {
            let now = self.clock.now();
            let members = pod.ips.members(&candidates, &self.plan, PROVIDER, now);
            let seats = seats(&members, self.plan.outbound.min_standby);
            let names = seats.sending.iter().map(|&at| candidates[at].name.clone());
            names.collect()
        };
        self.pods.iter().map(senders).collect()
    }

    async fn stop(self) {
        drop(self.pods);
        for connection in self.connections {
            connection.close().await;
        }
    }
}

async fn rests_and_doubles_once(pods: &Pods) {
    pods.refuse("one", 8).await;
    let first = pods.kept("one").await.heat[PROVIDER].clone();
    assert!(first.resting && first.level == 0, "{first:?}");
    // Late replies of both do not prolong it.
    pods.clock.advance(Duration::from_secs(1));
    pods.refuse("one", 8).await;
    assert_eq!(pods.kept("one").await.heat[PROVIDER], first);
    let rest = u64::try_from(first.until - first.since).unwrap();
    pods.clock.advance(Duration::from_millis(rest));
    pods.tick().await;
    pods.look().await;
    let second = pods.kept("one").await.heat[PROVIDER].clone();
    assert!(!second.resting, "{second:?}");
    pods.refuse("one", 8).await;
    let third = pods.kept("one").await.heat[PROVIDER].clone();
    assert!(third.resting && third.level == 1, "{third:?}");
    assert_eq!(
        (pods.told(Cause::RestOver), pods.told(Cause::Relapse)),
        (1, 1)
    );
    assert_eq!(third.until - third.since, 2 * (first.until - first.since));
}

async fn agree_on_who_sends(pods: &Pods) {
    let both = |name: &str| vec![vec![name.to_owned()]; PODS];
    assert_eq!(pods.senders(), both("one"), "one is kept back");
    pods.refuse("one", 8).await;
    assert_eq!(pods.told(Cause::Refusals), 1);
    pods.look().await;
    assert_eq!(pods.senders(), both("two"), "the other takes over at both");
    for pod in &pods.pods {
        let life = &pod.ips.lives()["one/127.0.0.1"];
        assert_eq!(life.phase(Some(PROVIDER), pods.clock.now()), Phase::Hot);
    }
}

/// What pods change at the same time is all there afterwards.
async fn lose_nothing(pods: &Pods) {
    let now = pods.clock.now();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..12 {
        let pod = pods.pods[number % PODS].clone();
        let ip = pods.ip("two").clone();
        tasks.spawn(async move {
            let provider = format!("p{number}");
            let see = |life: &mut Life| {
                life.observe(&provider, ip.address, now);
                None
            };
            pod.ips.change(&pod, &ip, see).await;
        });
    }
    tasks.join_all().await;
    assert_eq!(pods.kept("two").await.seen.len(), 12);
}

async fn obey_once(pods: &Pods) {
    let secrets = pods.pods[0].store.secrets.clone();
    let [a, b] = [&pods.pods[0], &pods.pods[1]];
    for _ in 0..2 {
        let activate = Order::Activate;
        kept::give(secrets.as_ref(), "one", &activate)
            .await
            .unwrap();
        let before = pods.kept("one").await.obeyed;
        tokio::join!(
            a.ips.take_orders(a, &pods.plan),
            b.ips.take_orders(b, &pods.plan)
        );
        assert!(
            kept::order(secrets.as_ref(), "one")
                .await
                .unwrap()
                .is_none()
        );
        let life = pods.kept("one").await;
        assert!(life.forced && life.obeyed != before, "{life:?}");
        assert!(life.heat.is_empty());
    }
    // One that was done and not taken away is not done again.
    let order = Order::Rest {
        provider: Some(PROVIDER.to_owned()),
        until: pods.clock.now() + 60_000,
    };
    kept::give(secrets.as_ref(), "one", &order).await.unwrap();
    let name = "outbound/order/one";
    let octets = secrets.secret(name).await.unwrap().unwrap();
    a.ips.take_orders(a, &pods.plan).await;
    assert_eq!(pods.kept("one").await.heat.len(), 1);
    let forget = |life: &mut Life| {
        life.heat.clear();
        None
    };
    a.ips.change(a, pods.ip("one"), forget).await;
    secrets.put_secret(name, octets).await.unwrap();
    b.ips.take_orders(b, &pods.plan).await;
    assert!(pods.kept("one").await.heat.is_empty());
}

async fn count_the_warm_up_together(pods: &Pods) {
    let mut new = pods.ip("two").clone();
    new.warm_up = Some(WarmUp {
        initial_per_day: 7,
        duration: Duration::from_secs(30 * 86_400),
    });
    let begin = |life: &mut Life| {
        life.activated = Some(pods.clock.now());
        None
    };
    pods.pods[0].ips.change(&pods.pods[0], &new, begin).await;
    pods.look().await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..20 {
        let (pod, new) = (pods.pods[number % PODS].clone(), new.clone());
        tasks.spawn(async move { pod.ips.room(&pod, &new, "yahoo").await });
    }
    let had = tasks
        .join_all()
        .await
        .into_iter()
        .filter(|had| *had == Some(true));
    assert_eq!(had.count(), 7);
}

async fn all(postgres: bool) {
    let pods = Pods::start(postgres).await;
    agree_on_who_sends(&pods).await;
    obey_once(&pods).await;
    pods.clock.advance(Duration::from_secs(3_600));
    rests_and_doubles_once(&pods).await;
    lose_nothing(&pods).await;
    count_the_warm_up_together(&pods).await;
    pods.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_on_postgres_make_one_life_of_an_address() {
    all(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_they_do_on_one_folder() {
    all(false).await;
}

#[tokio::test]
async fn an_address_is_not_used_while_nobody_knows_whether_it_rests() {
    use crate::testing::Closed;
    let pods = Pods::start(false).await;
    pods.refuse("one", 8).await;
    let (clock, mut store) = (pods.clock.clone(), pods.pods[0].store.clone());
    let closed = Closed::new(store.secrets.clone(), Some("outbound/ip/"));
    store.secrets = closed.clone();
    let dependencies = Dependencies {
        store,
        plan: PlanHandle::new(pods.plan.clone()),
        resolver: Arc::new(StaticResolver::new(Zone::new())),
        connector: Connector::direct(),
        egress: None,
        extra_roots: Vec::new(),
        clock: clock.clone(),
        worker: "new".to_owned(),
        https_port: 443,
    };
    let delivery = Delivery::new(dependencies, &Registry::new()).unwrap();
    let (pod, one) = (&delivery.ctx, pods.ip("one"));
    pod.ips.admit(pod, &pods.plan, one).await;
    assert!(!pod.ips.lives().contains_key("one/127.0.0.1"));
    closed.set(None);
    pod.ips.admit(pod, &pods.plan, one).await;
    assert!(!pod.ips.lives()["one/127.0.0.1"].is_usable(PROVIDER, clock.now()));
}

#[tokio::test]
async fn a_pool_of_one_is_not_short_of_a_standby() {
    let pods = Pods::start(false).await;
    let (pod, now) = (&pods.pods[0], pods.clock.now());
    let mut plan = pods.plan.clone();
    plan.outbound.min_standby = 1;
    assert_eq!(short_of(&plan, &pod.ips.lives(), now).len(), 0);
    pods.refuse("one", 8).await;
    assert_eq!(
        short_of(&plan, &pod.ips.lives(), now).len(),
        1,
        "two, and one of them rests"
    );
    plan.outbound_ips.remove("one");
    assert_eq!(short_of(&plan, &pod.ips.lives(), now).len(), 0);
}

#[tokio::test]
async fn an_order_that_cannot_be_read_stays() {
    let pods = Pods::start(false).await;
    let (pod, secrets) = (&pods.pods[0], pods.pods[0].store.secrets.clone());
    let broken = zeroize::Zeroizing::new(b"no order".to_vec());
    let name = "outbound/order/one";
    secrets.put_secret(name, broken).await.unwrap();
    pod.ips.take_orders(pod, &pods.plan).await;
    assert!(secrets.secret(name).await.unwrap().is_some());
    let stuck = pod.ips.stuck()["one"].clone();
    assert!(stuck.contains("puts another one in its place"), "{stuck}");
    // Another one takes its place, and is done.
    kept::give(secrets.as_ref(), "one", &Order::Drain)
        .await
        .unwrap();
    pod.ips.take_orders(pod, &pods.plan).await;
    assert!(secrets.secret(name).await.unwrap().is_none());
    assert!(pods.kept("one").await.drained && pod.ips.stuck().is_empty());
    // For an address that is not there it stays until it is tidied away.
    kept::give(secrets.as_ref(), "three", &Order::Drain)
        .await
        .unwrap();
    pod.ips.take_orders(pod, &pods.plan).await;
    assert!(
        kept::order(secrets.as_ref(), "three")
            .await
            .unwrap()
            .is_some()
    );
    pod.ips.tidy_orders(pod, &pods.plan).await.unwrap();
    assert!(
        kept::order(secrets.as_ref(), "three")
            .await
            .unwrap()
            .is_none()
    );
}
