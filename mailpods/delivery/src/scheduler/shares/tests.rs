use std::sync::atomic::AtomicI64;

use async_trait::async_trait;
use mailpods_net::dns::fixed::Zone;
use mailpods_net::shutdown::channel;
use mailpods_plan::{HopTls, NextHop, PlanHandle, SecretText};
use mailpods_policy::outbound::shape::Feedback;
use mailpods_store::{StoreError, sqlite};

use super::*;
use crate::testing::{build, plan, unit};

#[test]
fn next_hops_have_short_keys_whatever_their_user_names_are() {
    let hop = |user: &str| NextHop {
        host: "relay.test".to_owned(),
        port: 587,
        tls: HopTls::Verify,
        lmtp: false,
        auth: Some((user.to_owned(), SecretText::new("secret".to_owned()))),
    };
    let key = |user: &str| next_hop(&route::hop_key(&hop(user)));
    assert_eq!(key("a"), key("a"));
    assert_ne!(key("a"), key("b"));
    for user in ["\0", "ann@example.test", &"x".repeat(10_000)] {
        let key = key(user);
        assert!(key.len() == "hop://".len() + 64 && key.is_ascii(), "{key}");
        assert!(!key.contains(user), "{key}");
    }
}

/// Does what it is asked, as the real one does, and loses answers.
struct Losing {
    level: Mutex<f64>,
    until: AtomicI64,
    loses: AtomicBool,
}

#[async_trait]
impl ShareStore for Losing {
    async fn share(
        &self,
        _: &str,
        asks: Vec<Ask>,
        _: Duration,
    ) -> mailpods_store::Result<Vec<Share>> {
        let [ask] = &asks[..] else {
            panic!("one provider: {asks:?}")
        };
        let mut level = self.level.lock().unwrap();
        let until = self.until.fetch_add(1, Ordering::SeqCst);
        if ask.again.is_none_or(|heard| heard == until) {
            *level *= ask.factor;
        }
        match self.loses.load(Ordering::SeqCst) {
            true => Err(StoreError::Unavailable("lost".to_owned())),
            false => Ok(vec![Share {
                granted: 4,
                level: *level,
                until: until + 1,
            }]),
        }
    }

    async fn give_back(&self, _: &str) -> mailpods_store::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_was_learned_counts_once_though_the_answer_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let options = sqlite::Options {
        free_reserve: 0,
        ..sqlite::Options::default()
    };
    let mut store = sqlite::open(dir.path(), options).unwrap();
    let shares = Arc::new(Losing {
        level: Mutex::new(10.0),
        until: AtomicI64::new(7),
        loses: AtomicBool::new(false),
    });
    store.shares = Some(shares.clone());
    let mut plan = plan(25);
    plan.outbound.concurrency_per_destination = 10;
    let handle = PlanHandle::new(plan.clone());
    let ctx = build(&store, &handle, &Arc::default(), Zone::new())
        .ctx
        .clone();
    let remote = Remote::new(ctx.clone(), channel().1);
    ctx.ips.remember("remote.test", "google");
    let lane = LaneKey("remote.test".to_owned());
    let pushed = remote
        .lanes
        .push(lane, unit("bob@example.test"), 0, &|_| None);
    assert!(pushed.is_none());
    let ask = async || renew(&remote, shares.as_ref(), true).await;
    let refused = || ctx.ips.feed(&plan, "google", Feedback::Refused);
    let own = || ctx.ips.level(&plan, "google").0;
    let stored = || *shares.level.lock().unwrap();
    ask().await;
    assert_eq!((own(), stored()), (10.0, 10.0));
    refused();
    let first = own();
    shares.loses.store(true, Ordering::SeqCst);
    ask().await;
    assert_eq!(stored(), first, "it was done");
    refused();
    let second = own();
    assert!(second < first && first < 10.0);
    ask().await;
    assert_eq!(stored(), first, "once");
    shares.loses.store(false, Ordering::SeqCst);
    ask().await;
    assert_eq!(stored(), first, "once");
    assert!((own() - second).abs() < 1e-9, "nothing is forgotten");
    ask().await;
    assert!(
        (stored() - second).abs() < 1e-9,
        "and then the rest is told"
    );
}
