//! Accounts that may not send.

use std::time::Duration;

use mailpods_plan::RateLimits;
use mailpods_policy::outbound::suspension::{Added, Cause, Most, Rules, Suspension, Verdicts};
use mailpods_store::suspension::{all, suspend};

use crate::world::World;

const ALICE: &str = "alice@example.test";
const MESSAGE: &str = "From: alice@example.test\r\nSubject: x\r\n\r\nhi";

async fn world(recipients: u64) -> World {
    World::with(|plan| {
        plan.outbound.suspension = Some(rules(recipients));
    })
    .await
}

fn rules(recipients: u64) -> Rules {
    let most = |most| Most {
        most,
        within: Duration::from_secs(600),
    };
    Rules {
        burst: most(recipients),
        verdicts: Verdicts {
            refusals: 0,
            percent: 1,
            within: Duration::from_secs(600),
        },
        complaints: most(0),
        length: Duration::ZERO,
    }
}

fn now() -> i64 {
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

#[tokio::test]
async fn a_burst_suspends_the_account_and_nobody_else() {
    let world = world(3).await;
    let mut peer = world.submit(ALICE).await;
    peer.send(
        ALICE,
        &["a@elsewhere.test", "b@elsewhere.test"],
        MESSAGE,
        "250",
    )
    .await;
    peer.send(ALICE, &["c@elsewhere.test"], MESSAGE, "250")
        .await;
    let told = peer
        .send(ALICE, &["d@elsewhere.test"], MESSAGE, "450 4.7.1")
        .await;
    assert!(
        told.contains("is suspended (burst): 4 recipients within 10m, and 3 are fine"),
        "{told}"
    );
    let told = peer
        .ask("MAIL FROM:<alice@example.test>", "450 4.7.1")
        .await;
    assert!(told.contains("suspended (burst)"), "{told}");
    peer.ask("MAIL FROM:<>", "450 4.7.1").await;
    let mut other = world.submit("bob@example.test").await;
    let of_bob = MESSAGE.replace("alice", "bob");
    other
        .send("bob@example.test", &["a@elsewhere.test"], &of_bob, "250")
        .await;
    let kept = all(world.store.secrets.as_ref()).await.unwrap();
    assert_eq!(kept.0[ALICE].cause, Cause::Burst);
    assert!(world.reasons().contains(&"sender-suspended"));
    // Nothing of the message that was too much is queued.
    assert_eq!(world.queue().await.len(), 3);
}

#[tokio::test]
async fn an_operator_suspends_without_any_setting() {
    let world = World::new().await;
    let mut peer = world.submit(ALICE).await;
    let hour = Duration::from_secs(3_600);
    let by_hand = |since| Suspension::new(Cause::ByHand, "a test".to_owned(), since, hour);
    assert_eq!(
        suspend(&world.store, ALICE, by_hand(0)).await.unwrap(),
        Added::New
    );
    peer.ask("MAIL FROM:<alice@example.test>", "250").await;
    peer.ask("RSET", "250").await;
    let new = by_hand(now());
    assert_eq!(suspend(&world.store, ALICE, new).await.unwrap(), Added::New);
    // What a process knows is a second old at most.
    let refused = async {
        loop {
            let mut late = world.submit(ALICE).await;
            let reply = late.try_ask("MAIL FROM:<alice@example.test>").await;
            if reply.starts_with("450 4.7.1") {
                return reply;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(30), refused).await;
    assert!(told.unwrap().contains("suspended (by-hand): a test"));
}

#[tokio::test]
async fn what_is_refused_for_a_suspension_costs_no_allowance() {
    let world = World::with(|plan| {
        plan.outbound.suspension = Some(rules(1));
        plan.submission.account = RateLimits {
            recipients_per_day: Some(3),
            ..RateLimits::default()
        };
    })
    .await;
    let mut peer = world.submit(ALICE).await;
    peer.send(ALICE, &["a@elsewhere.test"], MESSAGE, "250")
        .await;
    let two = ["b@elsewhere.test", "c@elsewhere.test"];
    let told = peer.send(ALICE, &two, MESSAGE, "450 4.7.1").await;
    assert!(told.contains("suspended (burst)"), "{told}");
    let key = format!("submission/recipients/day/account/{ALICE}");
    let day = Duration::from_secs(86_400);
    let used = world.store.tokens.add(&key, 0, day, now()).await.unwrap();
    assert_eq!(used, 1, "what was accepted alone");
}
