//! The role on a real store in a folder of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use mailpods_api::QueueId;
use mailpods_net::Connector;
use mailpods_net::dns::Resolver;
use mailpods_net::dns::fixed::{StaticResolver, Zone};
use mailpods_net::shutdown::{Stage, Trigger, channel};
use mailpods_net::socks::Proxy;
use mailpods_plan::{Plan, PlanHandle};
use mailpods_policy::outbound::life::Order;
use mailpods_store::mail::Columns;
use mailpods_store::queue::{
    BodyType, Envelope, NewMessage, NewRecipient, Notify, Origin, QueueAction, QueueFilter,
    QueueItem,
};
use mailpods_store::{NewBody, Store, sqlite};
use mailpods_telemetry::metrics::Registry;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::address;
use crate::context::{Context, destination_of};
use crate::ips::kept;
use crate::outbound::protection::reports::send_due;
use crate::upkeep::{Task, round};
use crate::{Clock, Delivery, Dependencies};

const LIMIT: Duration = Duration::from_secs(20);
/// The first moment of every test, milliseconds since 1970.
const START: i64 = 1_700_000_000_000;

/// A clock that is set.
pub(crate) struct TestClock(AtomicI64);

impl Default for TestClock {
    fn default() -> Self {
        Self(AtomicI64::new(START))
    }
}

impl Clock for TestClock {
    fn now(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl TestClock {
    /// Lets time pass; returns the time that it is then.
    pub(crate) fn advance(&self, by: Duration) -> i64 {
        let by = i64::try_from(by.as_millis()).unwrap();
        self.0.fetch_add(by, Ordering::SeqCst) + by
    }
}

/// A message from a log-in to some recipients, not queued yet.
pub(crate) fn message(plan: &Plan, sender: &str, recipients: &[&str]) -> NewMessage {
    let recipient = |text: &&str| NewRecipient {
        destination: destination_of(plan, text).unwrap(),
        address: (*text).to_owned(),
        orcpt: None,
        notify: Notify::default(),
    };
    let octets = format!(
        "From: <{sender}>\r\nTo: somebody\r\nSubject: a test\r\nMessage-ID: <1@example.test>\r\n\r\nhello\r\n.dot\r\n"
    );
    NewMessage {
        id: QueueId::from_parts(START.unsigned_abs(), rand()),
        body: NewBody::Octets {
            slices: vec![octets.into()],
            meta: None,
        },
        envelope: Envelope {
            sender: sender.to_owned(),
            ret: None,
            envid: None,
            smtputf8: false,
            tls: Default::default(),
            body_type: BodyType::SevenBit,
        },
        origin: Origin::Inbound,
        junk: false,
        created: START,
        recipients: recipients.iter().map(recipient).collect(),
    }
}

fn rand() -> u64 {
    u64::from_le_bytes(crate::clock::random(&ring::rand::SystemRandom::new()))
}

/// The role, not running.
pub(crate) fn build(
    store: &Store,
    plan: &PlanHandle,
    clock: &Arc<TestClock>,
    zone: Zone,
) -> Delivery {
    build_in(store, plan, clock, World::of(zone))
}

/// What is around the role.
pub(crate) struct World {
    pub(crate) resolver: Arc<dyn Resolver>,
    /// PEM roots that count as public ones.
    pub(crate) roots: String,
    /// Where policies are served.
    pub(crate) https_port: u16,
    /// Name of the worker.
    pub(crate) worker: String,
    pub(crate) egress: Option<Arc<Proxy>>,
}

impl World {
    pub(crate) fn of(zone: Zone) -> Self {
        Self {
            resolver: Arc::new(StaticResolver::new(zone)),
            roots: String::new(),
            https_port: 443,
            worker: "test".to_owned(),
            egress: None,
        }
    }
}

fn build_in(store: &Store, plan: &PlanHandle, clock: &Arc<TestClock>, world: World) -> Delivery {
    let dependencies = Dependencies {
        store: store.clone(),
        plan: plan.clone(),
        resolver: world.resolver,
        connector: Connector::direct(),
        egress: world.egress,
        extra_roots: world.roots.into_bytes(),
        https_port: world.https_port,
        clock: clock.clone(),
        worker: world.worker,
    };
    Delivery::new(dependencies, &Registry::new()).unwrap()
}

/// A running role.
pub(crate) struct Rig {
    pub(crate) store: Store,
    pub(crate) plan: PlanHandle,
    pub(crate) clock: Arc<TestClock>,
    ctx: Arc<Context>,
    settled: watch::Receiver<u64>,
    trigger: Trigger,
    task: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Rig {
    pub(crate) async fn start(plan: Plan, zone: Zone) -> Self {
        Self::start_in(plan, World::of(zone)).await
    }

    pub(crate) async fn start_in(plan: Plan, world: World) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = sqlite::open(
            dir.path(),
            sqlite::Options {
                free_reserve: 0,
                ..sqlite::Options::default()
            },
        )
        .unwrap();
        Self::on_in(store, dir, plan, world)
    }

    /// On a store that is there.
    pub(crate) fn on(store: Store, dir: tempfile::TempDir, plan: Plan, zone: Zone) -> Self {
        Self::on_in(store, dir, plan, World::of(zone))
    }

    pub(crate) fn on_in(store: Store, dir: tempfile::TempDir, plan: Plan, world: World) -> Self {
        let clock = Arc::new(TestClock::default());
        let plan = PlanHandle::new(plan);
        let delivery = build_in(&store, &plan, &clock, world);
        let settled = delivery.watch_settled();
        let ctx = delivery.ctx.clone();
        let (trigger, shutdown) = channel();
        let task = tokio::spawn(delivery.run(shutdown));
        Self {
            store,
            plan,
            clock,
            ctx,
            settled,
            trigger,
            task,
            _dir: dir,
        }
    }

    pub(crate) async fn queue(&self, messages: Vec<NewMessage>) {
        self.store.queue.enqueue(messages).await.unwrap();
    }

    pub(crate) async fn send(&self, sender: &str, recipients: &[&str]) {
        let message = message(&self.plan.current(), sender, recipients);
        self.queue(vec![message]).await;
    }

    /// Waits until the queue is as `done` wants it.
    pub(crate) async fn until(&mut self, done: impl Fn(&[QueueItem]) -> bool) -> Vec<QueueItem> {
        let wait = async {
            loop {
                self.settled.borrow_and_update();
                let items = self
                    .store
                    .queue
                    .list(&QueueFilter::default(), None, 1_000)
                    .await
                    .unwrap();
                if done(&items) {
                    return items;
                }
                self.settled.changed().await.unwrap();
            }
        };
        tokio::time::timeout(LIMIT, wait)
            .await
            .expect("the queue never came to what the test waits for")
    }

    pub(crate) async fn until_empty(&mut self) {
        self.until(<[QueueItem]>::is_empty).await;
    }

    /// Waits until every unit left has failed `attempts` times.
    pub(crate) async fn until_tried(&mut self, attempts: u32) -> Vec<QueueItem> {
        self.until(|items| {
            !items.is_empty()
                && items
                    .iter()
                    .all(|item| item.attempts == attempts && !item.leased)
        })
        .await
    }

    /// Waits until every unit left waits for an address, which is no attempt, or for a new one's next day.
    pub(crate) async fn until_held_back(&mut self) -> Vec<QueueItem> {
        let now = self.clock.now();
        self.until(|items| {
            let waits = |item: &QueueItem| {
                item.class.as_deref() == Some("held-back")
                    && item.next_attempt > now
                    && !item.leased
            };
            !items.is_empty() && items.iter().all(waits)
        })
        .await
    }

    /// Units that it has settled.
    pub(crate) fn settled(&self) -> u64 {
        *self.settled.borrow()
    }

    /// Begins to stop it.
    pub(crate) fn stopping(&self) {
        self.trigger.advance(Stage::Drain);
    }

    /// Sends the TLS reports that are due, if it is this role's turn.
    pub(crate) async fn report(&self) {
        send_due(&self.ctx).await.unwrap();
    }

    /// Does once for all accounts what is done from time to time.
    pub(crate) async fn upkeep(&self, task: Task) {
        round(&self.ctx, task, None).await.unwrap();
    }

    pub(crate) async fn act(&self, action: QueueAction) {
        self.store
            .queue
            .act(&QueueFilter::default(), action, self.clock.now())
            .await
            .unwrap();
    }

    /// Gives an order for an address, and waits until it is done.
    pub(crate) async fn order(&self, ip: &str, order: &Order) {
        let secrets = self.store.secrets.as_ref();
        kept::give(secrets, ip, order).await.unwrap();
        let wait = async {
            while kept::order(secrets, ip).await.unwrap().is_some() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LIMIT, wait)
            .await
            .expect("the order is not done");
    }

    /// Lets time pass and makes everything due.
    pub(crate) async fn pass(&self, by: Duration) {
        self.clock.advance(by);
        self.act(QueueAction::Retry).await;
    }

    /// The messages in a mailbox, with their prefixes.
    pub(crate) async fn mailbox(&self, account: &str, mailbox: &str) -> Vec<String> {
        let account = self.store.mail.account(&address(account)).await.unwrap();
        let mailbox = self
            .store
            .mail
            .mailbox(account, mailbox)
            .await
            .unwrap()
            .unwrap();
        let columns = Columns {
            prefix: true,
            meta: false,
            reader: None,
        };
        let entries = self
            .store
            .mail
            .entries(mailbox.id, 1..=u32::MAX, 0, columns, 1_000)
            .await
            .unwrap();
        let mut out = Vec::new();
        for entry in entries {
            let body = self.store.mail.body(entry.body).await.unwrap();
            let prefix = entry.prefix.unwrap_or_default();
            out.push(String::from_utf8_lossy(&[prefix, body].concat()).into_owned());
        }
        out
    }

    /// Stops the role: cleanly when it is idle, by force else.
    pub(crate) async fn stop(self, force: bool) -> (Store, tempfile::TempDir) {
        self.trigger
            .advance(if force { Stage::Force } else { Stage::Drain });
        tokio::time::timeout(LIMIT, self.task)
            .await
            .expect("the role does not stop")
            .unwrap();
        (self.store, self._dir)
    }
}
