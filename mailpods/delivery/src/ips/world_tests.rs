//! Addresses in a world of names: SPF records that change, block lists that answer or do not.

use std::sync::Arc;
use std::time::Duration;

use mailpods_net::Connector;
use mailpods_net::dns::fixed::{StaticResolver, Zone};
use mailpods_plan::{BlockList, BlockLists, OutboundIp, Plan, PlanHandle};
use mailpods_policy::outbound::choose;
use mailpods_policy::outbound::life::{Cause, Check, Finding, Phase, Rest};
use mailpods_store::sqlite;
use mailpods_telemetry::metrics::Registry;

use super::leaving::Step;
use super::spf::Standing;
use crate::context::Context;
use crate::metrics::Changed;
use crate::testing::{TestClock, name, plan};
use crate::{Delivery, Dependencies};

const TTL: Duration = Duration::from_secs(3600);
const SENDER: &str = "bob@example.test";
const REST: Rest = Rest {
    cool_down: Duration::from_secs(1800),
    longest: Duration::from_secs(86_400),
};

struct World {
    ctx: Arc<Context>,
    clock: Arc<TestClock>,
    resolver: StaticResolver,
    plan: Plan,
    ip: OutboundIp,
    _dir: tempfile::TempDir,
}

impl World {
    fn new(zone: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = sqlite::Options {
            free_reserve: 0,
            ..sqlite::Options::default()
        };
        let store = sqlite::open(dir.path(), options).unwrap();
        let ip = OutboundIp {
            name: "one".to_owned(),
            address: "192.0.2.1".parse().unwrap(),
            hostname: name("out.example.test"),
            sending: true,
            pool: "default".to_owned(),
            weight: 1,
            warm_up: None,
            attachment: mailpods_plan::Attachment::Host,
        };
        let mut plan = plan(25);
        plan.dns.ttl = TTL;
        plan.outbound_ips.insert("one".to_owned(), ip.clone());
        let clock = Arc::new(TestClock::default());
        let resolver = StaticResolver::new(Zone::parse(zone).unwrap());
        let dependencies = Dependencies {
            store,
            plan: PlanHandle::new(plan.clone()),
            resolver: Arc::new(resolver.clone()),
            connector: Connector::direct(),
            egress: None,
            extra_roots: Vec::new(),
            clock: clock.clone(),
            worker: "test".to_owned(),
            https_port: 443,
        };
        let delivery = Delivery::new(dependencies, &Registry::new()).unwrap();
        Self {
            ctx: delivery.ctx.clone(),
            clock,
            resolver,
            plan,
            ip,
            _dir: dir,
        }
    }

    fn zone(&self, zone: &str) {
        self.resolver.set(Zone::parse(zone).unwrap());
    }

    async fn standing(&self) -> Standing {
        self.ctx.ips.look_at_domains(&self.ctx, &self.plan).await;
        self.ctx
            .ips
            .standing(&self.ctx, &self.plan, &self.ip, SENDER)
            .await
    }

    async fn lists(&self) -> Phase {
        self.clock.advance(Duration::from_secs(120));
        self.ctx.ips.ask_lists(&self.ctx, &self.plan).await;
        let now = self.clock.advance(Duration::ZERO);
        let lives = self.ctx.ips.lives();
        lives[&super::kept::id(&self.ip)].phase(None, now)
    }

    /// As if the gate had been passed.
    async fn activate(&self) {
        let now = self.clock.advance(Duration::ZERO);
        let pass = |life: &mut super::Life| {
            life.rename(self.ip.hostname.as_str(), now);
            life.gate(&[(Check::ReverseName, Finding::Passed)], now)
        };
        self.take_in(&self.ip);
        self.ctx.ips.change(&self.ctx, &self.ip, pass).await;
    }

    /// As if the store had been asked for it.
    fn take_in(&self, ip: &OutboundIp) {
        let mut lives = self.ctx.ips.lives();
        lives.entry(super::kept::id(ip)).or_default();
    }
}

#[tokio::test]
async fn spf_first_then_its_time_to_live_then_mail() {
    let world = World::new("example.test TXT \"v=spf1 ip4:192.0.2.9 -all\"");
    assert!(matches!(world.standing().await, Standing::Hidden(text) if text.contains("-all")));
    assert!(matches!(
        world
            .ctx
            .ips
            .spf_finding(&world.ctx, &world.plan, &world.ip)
            .await,
        Some(Finding::Failed(_))
    ));
    world.zone("example.test TXT \"v=spf1 ip4:192.0.2.0/28 -all\"");
    world.clock.advance(Duration::from_secs(61));
    let Standing::Waits(until) = world.standing().await else {
        panic!("others may still keep the record of before");
    };
    assert_eq!(until, world.clock.advance(Duration::ZERO) + 3_600_000);
    assert!(matches!(
        world
            .ctx
            .ips
            .spf_finding(&world.ctx, &world.plan, &world.ip)
            .await,
        Some(Finding::Unknown(_))
    ));
    world.clock.advance(TTL);
    assert_eq!(world.standing().await, Standing::Shown);
    let finding = world
        .ctx
        .ips
        .spf_finding(&world.ctx, &world.plan, &world.ip)
        .await;
    assert_eq!(finding, Some(Finding::Passed));
    world.zone("example.test FAIL servfail");
    world.clock.advance(Duration::from_secs(601));
    assert_eq!(
        world.standing().await,
        Standing::Shown,
        "no answer changes nothing"
    );
    world.zone("example.test TXT \"v=spf1 -all\"");
    world.clock.advance(Duration::from_secs(601));
    assert!(matches!(world.standing().await, Standing::Hidden(_)));
}

#[tokio::test]
async fn what_was_waited_for_is_not_waited_for_again() {
    let zone = "example.test TXT \"v=spf1 ip4:192.0.2.1 -all\"";
    let world = World::new(zone);
    assert!(matches!(world.standing().await, Standing::Waits(_)));
    world.clock.advance(TTL);
    assert_eq!(world.standing().await, Standing::Shown);
    // As after a restart.
    *world.ctx.ips.views() = super::spf::Views::default();
    assert_eq!(world.standing().await, Standing::Shown);
}

#[tokio::test]
async fn an_address_in_use_does_not_pause_for_an_upgrade() {
    let world = World::new("example.test TXT \"v=spf1 ip4:192.0.2.1 -all\"");
    world.activate().await;
    assert_eq!(world.standing().await, Standing::Shown);
}

#[tokio::test]
async fn a_domain_without_a_record_and_a_sender_of_others_forbid_nothing() {
    let world = World::new("else.test TXT \"v=spf1 -all\"");
    assert_eq!(world.standing().await, Standing::Shown);
    let foreign = world
        .ctx
        .ips
        .standing(&world.ctx, &world.plan, &world.ip, "x@else.test")
        .await;
    assert_eq!(foreign, Standing::Shown);
}

#[tokio::test]
async fn a_listed_address_rests_and_an_unbelievable_list_changes_nothing() {
    let good = "2.0.0.127.bl.test A 127.0.0.2";
    let mut world = World::new(good);
    world.activate().await;
    world.plan.outbound.block_lists = Some(BlockLists {
        interval: Duration::from_secs(60),
        zones: vec![BlockList {
            zone: "bl.test".to_owned(),
            ignore: Vec::new(),
            rests: true,
        }],
    });
    assert_eq!(world.lists().await, Phase::Active);
    let listed = "1.2.0.192.bl.test A 127.0.0.4";
    for nothing in [
        // The list has been given up, lists everybody, refuses to answer, is away.
        listed.to_owned(),
        format!("{good}\n{listed}\n1.0.0.127.bl.test A 127.0.0.2"),
        format!("{good}\n1.2.0.192.bl.test A 127.255.255.254"),
        format!("{good}\n1.2.0.192.bl.test FAIL refused"),
    ] {
        world.zone(&nothing);
        assert_eq!(world.lists().await, Phase::Active, "{nothing}");
    }
    world.zone(&format!("{good}\n{listed}"));
    assert_eq!(world.lists().await, Phase::Hot);
    world.zone(&format!("{good}\n1.2.0.192.bl.test FAIL servfail"));
    assert_eq!(world.lists().await, Phase::Hot, "no answer frees nobody");
    world.zone(good);
    assert_eq!(world.lists().await, Phase::Active);
    world.zone(&format!("{good}\n{listed}"));
    assert_eq!(world.lists().await, Phase::Hot);
    world.plan.outbound.block_lists = None;
    assert_eq!(world.lists().await, Phase::Active, "nobody asks any more");
}

impl World {
    /// Follows the addresses for a second, after some time; the names of those whose records should stay.
    async fn leaving(&self, plan: &Plan, after: Duration) -> Vec<String> {
        let now = self.clock.advance(after);
        self.ctx.ips.see_off(&self.ctx, plan).await;
        self.ctx.ips.leaving(now).await
    }

    async fn told(&self) -> Vec<(String, Step, usize)> {
        let now = self.clock.advance(Duration::ZERO);
        let places = super::leaving(self.ctx.store.secrets.as_ref())
            .await
            .unwrap();
        let gone = places.iter().filter_map(|place| {
            let gone = place.gone.as_ref()?;
            Some((place.name.clone(), gone.step(now), gone.connections))
        });
        gone.collect()
    }
}

#[tokio::test]
async fn the_records_of_an_address_that_is_gone_stay_until_nothing_uses_it() {
    const NONE: [&str; 0] = [];
    let world = World::new("");
    let (with, mut without) = (world.plan.clone(), world.plan.clone());
    without.outbound_ips = std::collections::BTreeMap::new().into();
    let (zero, second) = (Duration::ZERO, Duration::from_secs(1));
    let one = |step, connections| vec![("one".to_owned(), step, connections)];
    assert_eq!(world.leaving(&with, zero).await, NONE);
    assert!(world.told().await.is_empty());
    let uses = &world.ctx.ips.uses;
    let connection = uses.begin(world.ip.address);
    assert_eq!(world.leaving(&without, zero).await, ["one"]);
    assert_eq!(world.told().await, one(Step::Draining, 1));
    assert_eq!(world.leaving(&without, 599 * second).await, ["one"]);
    drop(connection);
    assert_eq!(uses.of(&world.ip.address), 0);
    assert_eq!(world.leaving(&without, zero).await, ["one"]);
    assert_eq!(world.told().await, one(Step::Drained, 0));
    assert_eq!(
        world.leaving(&without, TTL - second).await,
        ["one"],
        "receivers may still look"
    );
    assert_eq!(world.leaving(&without, second).await, NONE);
    assert_eq!(world.told().await, one(Step::Withdrawn, 0));
    // One that comes back is not gone.
    assert_eq!(world.leaving(&with, zero).await, NONE);
    assert!(world.told().await.is_empty());
    assert_eq!(world.leaving(&without, zero).await, ["one"]);
    assert_eq!(world.leaving(&with, zero).await, NONE);
    // A connection that does not end is not waited for without end.
    let _connection = uses.begin(world.ip.address);
    assert_eq!(world.leaving(&without, zero).await, ["one"]);
    assert_eq!(world.leaving(&without, 600 * second).await, ["one"]);
    assert_eq!(world.told().await, one(Step::Drained, 1));
    assert_eq!(world.leaving(&without, TTL).await, NONE);
    assert_eq!(world.leaving(&without, 8 * 24 * TTL).await, NONE);
    assert!(world.told().await.is_empty(), "told for long enough");
}

#[tokio::test]
async fn an_address_that_moves_or_goes_while_nothing_runs_is_seen_off_too() {
    let world = World::new("");
    world.leaving(&world.plan, Duration::ZERO).await;
    // As after a restart.
    *world.ctx.ips.leaving.lock().await = super::leaving::Leaving::default();
    let mut moved = world.plan.clone();
    let mut ip = world.ip.clone();
    ip.address = "192.0.2.77".parse().unwrap();
    moved.outbound_ips.insert("one".to_owned(), ip);
    assert_eq!(world.leaving(&moved, Duration::ZERO).await, ["one"]);
    let places = super::leaving(world.ctx.store.secrets.as_ref())
        .await
        .unwrap();
    assert_eq!(places.len(), 1);
    assert_eq!(places[0].address, world.ip.address);
    // A clock that is set back makes nobody wait for years.
    *world.ctx.ips.leaving.lock().await = super::leaving::Leaving::default();
    let mut place = places[0].clone();
    let gone = place.gone.as_mut().unwrap();
    (gone.since, gone.until) = (i64::MAX / 2, i64::MAX);
    super::kept::put_place(world.ctx.store.secrets.as_ref(), &place)
        .await
        .unwrap();
    assert_eq!(world.leaving(&moved, Duration::ZERO).await, ["one"]);
    let longest = TTL + Duration::from_secs(600);
    assert!(world.leaving(&moved, longest).await.is_empty());
}

#[tokio::test]
async fn nothing_new_leaves_from_an_address_that_is_being_removed() {
    let mut world = World::new("");
    world.activate().await;
    let (ips, now) = (&world.ctx.ips, world.clock.advance(Duration::ZERO));
    let candidates = [&world.ip];
    let seats = choose::seats(
        &ips.members(&candidates, &world.plan, "google", now),
        world.plan.outbound.min_standby,
    );
    assert_eq!(seats.sending, [0]);
    world.plan.outbound.draining.insert("one".to_owned());
    let seats = choose::seats(
        &ips.members(&candidates, &world.plan, "google", now),
        world.plan.outbound.min_standby,
    );
    assert!(seats.sending.is_empty());
}

#[tokio::test]
async fn a_state_that_cannot_be_read_is_told_once() {
    let world = World::new("");
    world.activate().await;
    let (ips, secrets) = (&world.ctx.ips, &world.ctx.store.secrets);
    let key = "outbound/ip/one/192.0.2.1";
    let good = secrets.secret(key).await.unwrap().unwrap();
    let bad = |text: &str| zeroize::Zeroizing::new(text.as_bytes().to_vec());
    secrets.put_secret(key, bad("{")).await.unwrap();
    for _ in 0..2 {
        ips.take_over(&world.ctx, &world.ip).await;
    }
    let told = ips.unread()["one"].clone();
    let error = super::kept::life(secrets.as_ref(), &world.ip)
        .await
        .unwrap_err();
    assert_eq!(told, error.to_string());
    assert!(!ips.is_news(&world.ip, &error), "it was told");
    let now = world.clock.advance(Duration::ZERO);
    assert_eq!(
        ips.lives()["one/192.0.2.1"].phase(None, now),
        Phase::Active,
        "what was known stays"
    );
    secrets.put_secret(key, good).await.unwrap();
    ips.take_over(&world.ctx, &world.ip).await;
    assert!(ips.unread().is_empty());
    assert!(ips.is_news(&world.ip, &error), "it would be told again");
}

#[tokio::test]
async fn an_order_does_not_have_an_address_send_that_is_not_there() {
    use mailpods_policy::outbound::life::Order;
    let world = World::new("");
    let (ctx, ips) = (&world.ctx, &world.ctx.ips);
    ips.admit(ctx, &world.plan, &world.ip).await;
    let secrets = ctx.store.secrets.as_ref();
    super::kept::give(secrets, "one", &Order::Activate)
        .await
        .unwrap();
    ips.take_orders(ctx, &world.plan).await;
    let now = world.clock.advance(Duration::ZERO);
    let life = ips.lives()["one/192.0.2.1"].clone();
    assert!(life.forced && !life.is_usable("google", now), "{life:?}");
    assert!(matches!(
        life.gate[&Check::ObservedSource],
        Finding::Failed(_)
    ));
    // It is given to the machine; its names are passed over.
    let there = |life: &mut super::Life| {
        life.absent = false;
        life.gate(
            &[(Check::ReverseName, Finding::Failed("none".to_owned()))],
            now,
        )
    };
    ips.change(ctx, &world.ip, there).await;
    assert!(ips.lives()["one/192.0.2.1"].is_usable("google", now));
}

impl World {
    /// The address under other settings, taken in as the next look does.
    async fn looked_at(&self, change: impl FnOnce(&mut OutboundIp)) -> (OutboundIp, Plan) {
        let (mut ip, mut plan) = (self.ip.clone(), self.plan.clone());
        change(&mut ip);
        plan.outbound_ips.insert("one".to_owned(), ip.clone());
        self.ctx.plan.swap(plan.clone());
        self.ctx.ips.admit(&self.ctx, &plan, &ip).await;
        (ip, plan)
    }

    fn sends(&self, ip: &OutboundIp, plan: &Plan) -> bool {
        let now = self.clock.advance(Duration::ZERO);
        let members = self.ctx.ips.members(&[ip], plan, "google", now);
        let seats = choose::seats(&members, plan.outbound.min_standby);
        !seats.sending.is_empty()
    }

    async fn kept(&self, ip: &OutboundIp) -> super::Life {
        let secrets = self.ctx.store.secrets.as_ref();
        super::kept::life(secrets, ip).await.unwrap().unwrap()
    }
}

/// The address with its names, on this machine.
fn named() -> World {
    let mut world = World::new("");
    world.ip.address = "127.0.0.1".parse().unwrap();
    world
}

#[tokio::test]
async fn another_address_is_another_life() {
    let world = World::new("");
    let rest = |life: &mut super::Life| life.refused("google", REST, "no", 1);
    world.looked_at(|_| {}).await;
    world.activate().await;
    world.ctx.ips.change(&world.ctx, &world.ip, rest).await;
    let before = world.kept(&world.ip).await;
    assert!(before.activated.is_some() && before.heat.len() == 1);
    // Nobody on this machine has the new one.
    let (moved, plan) = world
        .looked_at(|ip| ip.address = "192.0.2.9".parse().unwrap())
        .await;
    assert!(!world.sends(&moved, &plan), "nothing of it was checked");
    let after = world.kept(&moved).await;
    assert_eq!((after.activated, after.changed), (None, None));
    assert!(after.heat.is_empty());
    let failed = |check| matches!(after.gate.get(&check), Some(Finding::Failed(_)));
    assert!(failed(Check::ReverseName) && failed(Check::ObservedSource));
    // What is answered late to what left from the old one is its own matter.
    let late = |life: &mut super::Life| life.refused("yahoo", REST, "no", 2);
    world.ctx.ips.change(&world.ctx, &world.ip, late).await;
    assert_eq!(world.kept(&moved).await, after);
    assert_eq!(world.kept(&world.ip).await.heat.len(), 2);
}

#[tokio::test]
async fn what_spf_showed_of_the_old_address_says_nothing_of_the_new_one() {
    let world = World::new("example.test TXT \"v=spf1 ip4:192.0.2.1 -all\"");
    world.activate().await;
    assert_eq!(world.standing().await, Standing::Shown);
    let (moved, plan) = world
        .looked_at(|ip| ip.address = "192.0.2.9".parse().unwrap())
        .await;
    let standing = world.ctx.ips.standing(&world.ctx, &plan, &moved, SENDER);
    assert!(matches!(standing.await, Standing::Hidden(_)));
}

#[tokio::test]
async fn another_hostname_is_checked_before_it_is_said() {
    use mailpods_policy::outbound::life::Order;
    let mut world = named();
    world
        .plan
        .outbound_ips
        .insert("one".to_owned(), world.ip.clone());
    world.looked_at(|_| {}).await;
    assert!(
        world.sends(&world.ip, &world.plan),
        "nobody looks its names up"
    );
    // Before anybody has looked nothing leaves.
    let mut renamed = world.ip.clone();
    renamed.hostname = name("other.example.test");
    assert!(!world.sends(&renamed, &world.plan));
    let started = world.kept(&world.ip).await.activated;
    let rest = |life: &mut super::Life| life.refused("google", REST, "no", 1);
    world.ctx.ips.change(&world.ctx, &world.ip, rest).await;
    let drain = |life: &mut super::Life| Some(life.order(&Order::Drain, 2));
    world.ctx.ips.change(&world.ctx, &world.ip, drain).await;
    let force = |life: &mut super::Life| {
        life.forced = true;
        None
    };
    world.ctx.ips.change(&world.ctx, &world.ip, force).await;
    world.clock.advance(Duration::from_secs(60));
    world
        .looked_at(|ip| ip.hostname = renamed.hostname.clone())
        .await;
    let life = world.kept(&renamed).await;
    assert!(life.is_named("other.example.test") && !life.forced && life.drained);
    assert_eq!(life.activated, started, "the warm-up goes on");
    assert_eq!(life.heat.len(), 1, "the rest stays");
}

#[tokio::test]
async fn another_hostname_that_is_wrong_waits() {
    let world = World::new("1.2.0.192.in-addr.arpa PTR out.example.test");
    world.looked_at(|_| {}).await;
    world.activate().await;
    assert!(world.sends(&world.ip, &world.plan));
    let changed = || {
        let cause = mailpods_policy::outbound::life::Cause::HostnameChanged;
        world
            .ctx
            .metrics
            .transitions
            .get(crate::metrics::Changed(cause))
    };
    assert_eq!(changed(), 0);
    let (renamed, plan) = world
        .looked_at(|ip| ip.hostname = name("other.example.test"))
        .await;
    assert!(!world.sends(&renamed, &plan));
    assert_eq!(changed(), 1);
    let life = world.kept(&renamed).await;
    assert!(life.activated.is_none() && life.started.is_some());
    let text = format!("{:?}", life.gate[&Check::ReverseName]);
    assert!(text.contains("not other.example.test"), "{text}");
}

#[tokio::test]
async fn processes_whose_plans_differ_do_not_name_an_address_in_turns() {
    use mailpods_policy::outbound::life::Order;
    let world = named();
    let (old, before) = world.looked_at(|_| {}).await;
    let (new, plan) = world
        .looked_at(|ip| ip.hostname = name("other.example.test"))
        .await;
    let (ctx, ips) = (&world.ctx, &world.ctx.ips);
    let force = |life: &mut super::Life| Some(life.order(&Order::Activate, 1));
    ips.change(ctx, &new, force).await;
    // What is under way with the plan of before, and the checks of another process that still has it.
    ips.admit(ctx, &before, &old).await;
    ips.check(ctx, &before, &old).await;
    let life = world.kept(&new).await;
    assert!(life.is_named("other.example.test") && life.forced);
    assert!(world.sends(&new, &plan) && !world.sends(&old, &before));
}

#[tokio::test]
async fn another_hostname_replaces_a_life_that_cannot_be_read() {
    let world = named();
    world.looked_at(|_| {}).await;
    let rest = |life: &mut super::Life| life.refused("google", REST, "no", 1);
    world.ctx.ips.change(&world.ctx, &world.ip, rest).await;
    let secrets = world.ctx.store.secrets.as_ref();
    let octets = zeroize::Zeroizing::new(b"{".to_vec());
    let key = "outbound/ip/one/127.0.0.1";
    secrets.put_secret(key, octets).await.unwrap();
    let (renamed, plan) = world
        .looked_at(|ip| ip.hostname = name("other.example.test"))
        .await;
    let life = world.kept(&renamed).await;
    assert!(life.is_named("other.example.test") && life.heat.contains_key("google"));
    assert!(life.activated.is_some() && plan.outbound_ips["one"] == renamed);
}

#[tokio::test]
async fn what_a_release_kept_by_the_name_is_taken_over_once() {
    let world = named();
    let secrets = world.ctx.store.secrets.as_ref();
    let old = super::Life {
        activated: Some(7),
        rested_until: Some(i64::MAX),
        ..super::Life::default()
    };
    let octets = mailpods_store::secrets::to_octets(&old).unwrap();
    secrets.put_secret("outbound/ip/one", octets).await.unwrap();
    let drain = |life: &mut super::Life| {
        life.drained = true;
        None
    };
    let (ctx, ips) = (&world.ctx, &world.ctx.ips);
    assert!(!ips.change(ctx, &world.ip, drain).await);
    assert!(ips.try_change(ctx, &world.ip, drain).await.is_err());
    let (_, before) = world.looked_at(|_| {}).await;
    let life = world.kept(&world.ip).await;
    assert_eq!(
        (life.activated, life.rested_until),
        (Some(7), Some(i64::MAX))
    );
    let (moved, plan) = world
        .looked_at(|ip| ip.address = "192.0.2.9".parse().unwrap())
        .await;
    assert_eq!(world.kept(&moved).await.activated, None);
    let at = world.clock.advance(Duration::ZERO);
    let month = 30 * 86_400_000;
    let tidied = async |plan: &Plan, now: i64| {
        super::kept::tidy_lives(secrets, plan, now).await.unwrap();
        secrets.secret_names("outbound/ip/").await.unwrap().len()
    };
    assert_eq!(tidied(&plan, at).await, 2, "that of the name is gone");
    // A process with the plan of before still has it.
    assert_eq!(tidied(&before, at + 1).await, 2);
    assert_eq!(tidied(&plan, at + month + 1).await, 2, "left again now");
    assert_eq!(tidied(&plan, at + 2 * month + 1).await, 2);
    assert_eq!(tidied(&plan, at + 2 * month + 2).await, 1);
    let left = secrets.secret_names("outbound/ip/").await.unwrap();
    assert_eq!(left, ["outbound/ip/one/192.0.2.9"]);
}

#[tokio::test]
async fn a_life_that_cannot_be_read_hides_no_other() {
    let world = named();
    world.looked_at(|_| {}).await;
    let secrets = world.ctx.store.secrets.as_ref();
    let two = OutboundIp {
        name: "two".to_owned(),
        address: "192.0.2.2".parse().unwrap(),
        ..world.ip.clone()
    };
    let octets = zeroize::Zeroizing::new(b"{".to_vec());
    let name = "outbound/ip/two/192.0.2.2";
    secrets.put_secret(name, octets).await.unwrap();
    let told = super::AddressState::all([&two, &world.ip], 1, secrets, 1).await;
    let told: Vec<String> = told.unwrap().into_iter().map(|state| state.name).collect();
    assert_eq!(told, ["one"]);
}

#[tokio::test]
async fn a_drained_address_is_counted_as_drained() {
    use mailpods_policy::outbound::life::Order;
    let mut world = named();
    world
        .plan
        .outbound_ips
        .insert("one".to_owned(), world.ip.clone());
    world.looked_at(|_| {}).await;
    let counted = |phase| {
        world.ctx.ips.measure(&world.ctx, &world.plan);
        world
            .ctx
            .metrics
            .addresses
            .get(crate::metrics::Stands(phase))
    };
    assert_eq!((counted(Some(Phase::Active)), counted(None)), (1, 0));
    let drain = |life: &mut super::Life| Some(life.order(&Order::Drain, 2));
    world.ctx.ips.change(&world.ctx, &world.ip, drain).await;
    assert_eq!((counted(Some(Phase::Standby)), counted(None)), (0, 1));
    world.ip.hostname = name("other.example.test");
    world
        .plan
        .outbound_ips
        .insert("one".to_owned(), world.ip.clone());
    world.ctx.ips.measure(&world.ctx, &world.plan);
    let pending = crate::metrics::Stands(Some(Phase::Pending));
    assert_eq!(world.ctx.metrics.addresses.get(pending), 1);
}

#[tokio::test]
async fn the_end_of_a_slow_start_changes_the_life_once() {
    let mut world = World::new("");
    let days = Duration::from_secs(30 * 86_400);
    world.ip.warm_up = Some(mailpods_plan::WarmUp {
        initial_per_day: 50,
        duration: days,
    });
    world
        .plan
        .outbound_ips
        .insert("one".to_owned(), world.ip.clone());
    let ips = &world.ctx.ips;
    world.activate().await;
    ips.end_rests(&world.ctx, &world.plan).await;
    assert!(ips.lives()["one/192.0.2.1"].warming);
    let over = world.clock.advance(days);
    for _ in 0..2 {
        ips.end_rests(&world.ctx, &world.plan).await;
        let life = ips.lives()["one/192.0.2.1"].clone();
        assert_eq!((life.warming, life.changed), (false, Some(over)));
        let told = &world.ctx.metrics.transitions;
        assert_eq!(told.get(Changed(Cause::RampOver)), 1);
        world.clock.advance(Duration::from_secs(1));
    }
}

#[tokio::test]
async fn a_standby_that_sends_in_place_of_another_one_is_told() {
    let mut world = World::new("");
    world.plan.outbound.min_standby = 1;
    let standby = OutboundIp {
        name: "two".to_owned(),
        address: "192.0.2.2".parse().unwrap(),
        sending: false,
        ..world.ip.clone()
    };
    world
        .plan
        .outbound_ips
        .insert("two".to_owned(), standby.clone());
    let (ctx, ips) = (&world.ctx, &world.ctx.ips);
    let now = world.clock.advance(Duration::ZERO);
    let pass = |life: &mut super::Life| {
        life.rename(standby.hostname.as_str(), now);
        life.gate(&[(Check::ReverseName, Finding::Passed)], now)
    };
    world.take_in(&standby);
    ips.change(ctx, &standby, pass).await;
    let seat = |provider: &str| ("two".to_owned(), provider.to_owned());
    let stand_ins = || {
        ips.stand_ins(&world.plan, now)
            .into_iter()
            .collect::<Vec<_>>()
    };
    assert_eq!(stand_ins(), [seat("")], "the other one is Pending");
    let unseen = [(Check::Spf, Finding::Failed("-all".to_owned()))];
    let hide = |life: &mut super::Life| life.gate(&unseen, now);
    world.take_in(&world.ip);
    ips.change(ctx, &world.ip, hide).await;
    assert_eq!(stand_ins(), [], "SPF does not show the other one yet");
    let taken = || ctx.metrics.transitions.get(Changed(Cause::SeatTaken));
    ips.tell_seats(ctx, &world.plan);
    assert_eq!(taken(), 0, "it was so before the start");
    world.activate().await;
    assert_eq!(stand_ins(), []);
    let rest = super::Rest {
        cool_down: Duration::from_secs(60),
        longest: Duration::from_secs(60),
    };
    let refuse = |life: &mut super::Life| life.refused("google", rest, "421", now);
    ips.change(ctx, &world.ip, refuse).await;
    assert_eq!(stand_ins(), [seat("google")]);
    for _ in 0..2 {
        ips.tell_seats(ctx, &world.plan);
    }
    assert_eq!(taken(), 1);
    let short = super::seats::short_of(&world.plan, &ips.lives(), now);
    let short: Vec<String> = short.iter().map(ToString::to_string).collect();
    assert_eq!(short, ["default (IPv4) for google"]);
}
