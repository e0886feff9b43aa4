//! MTA-STS policies that are kept, whatever becomes of records, stores and connections meanwhile.

use std::time::Duration;

use mailpods_policy::outbound::tls::{Minimum, Wish};

use super::protection::{Case, Shown, send, sink_with, waits, zone};
use crate::Clock as _;
use crate::outbound::protection::policies::tidy;
use crate::testing::{Closed, Rig, Sink, Tls, World, name, plan, web};

/// A domain with an enforced policy that was kept once, and a server that falls short of it: the store after that, and what is kept.
async fn with_kept_policy() -> (Case, Vec<u8>) {
    let enforced = web::policy("enforce", "mx.remote.test", 100_000);
    let mut case = Case::sts(Shown::SelfSigned, enforced, |_| {}).await;
    send(&case.rig, Wish::Usual).await;
    assert!(waits(&mut case.rig, 1).await.contains("certificate"));
    let secrets = &case.rig.store.secrets;
    let kept = secrets.secret(KEPT).await.unwrap().unwrap().to_vec();
    (case, kept)
}

const KEPT: &str = "outbound/sts/remote.test";

#[tokio::test]
async fn a_policy_that_another_process_keeps_counts_without_its_record() {
    let (case, kept) = with_kept_policy().await;
    let plan = (*case.rig.plan.current()).clone();
    for record in ["", "_mta-sts.remote.test FAIL servfail"] {
        // Before another process has fetched it, nothing is asked for.
        let mut sink = Sink::start(sink_with(Tls::good("mx.remote.test"))).await;
        let mut plan = plan.clone();
        plan.outbound.port = sink.addr.port();
        plan.outbound.messages_per_connection = 1;
        let mut rig = Rig::start(plan, zone(record)).await;
        send(&rig, Wish::Usual).await;
        sink.message().await;
        rig.until_empty().await;
        let value = zeroize::Zeroizing::new(kept.clone());
        rig.store.secrets.put_secret(KEPT, value).await.unwrap();
        send(&rig, Wish::Usual).await;
        assert!(waits(&mut rig, 1).await.contains("certificate"), "{record}");
    }
}

#[tokio::test]
async fn mail_waits_while_nobody_knows_whether_a_policy_is_kept() {
    let (case, _) = with_kept_policy().await;
    let plan = (*case.rig.plan.current()).clone();
    let connections = case.sink.connections();
    let (mut store, dir) = case.rig.stop(false).await;
    let closed = Closed::new(store.secrets.clone(), Some("outbound/sts/"));
    store.secrets = closed.clone();
    let mut rig = Rig::on_in(store, dir, plan, World::of(zone("")));
    rig.pass(Duration::from_secs(1)).await;
    let error = waits(&mut rig, 2).await;
    assert!(error.contains("is not known"), "{error}");
    assert_eq!(case.sink.connections(), connections);
    closed.set(None);
    rig.pass(Duration::from_secs(60)).await;
    assert!(waits(&mut rig, 3).await.contains("certificate"));
}

#[tokio::test]
async fn tidying_passes_over_a_policy_that_cannot_be_read() {
    let (case, _) = with_kept_policy().await;
    let secrets = case.rig.store.secrets.as_ref();
    let broken = "outbound/sts/a.test";
    let value = zeroize::Zeroizing::new(b"no policy".to_vec());
    secrets.put_secret(broken, value).await.unwrap();
    let later = case.rig.clock.now() + 30 * 86_400_000;
    tidy(secrets, later).await.unwrap();
    assert_eq!(
        secrets.secret_names("outbound/sts/").await.unwrap(),
        [broken]
    );
}

#[tokio::test]
async fn a_connection_from_before_more_was_asked_takes_no_more_mail() {
    let mut sink = Sink::start(sink_with(Tls::good("mx.remote.test"))).await;
    let mut rig = Rig::start(plan(sink.addr.port()), zone("")).await;
    send(&rig, Wish::Usual).await;
    sink.message().await;
    rig.until_empty().await;
    let mut raised = (*rig.plan.current()).clone();
    let destinations = &mut raised.outbound.tls.destinations;
    destinations.insert(name("remote.test"), Minimum::Verify);
    raised.digest = "2".to_owned();
    rig.plan.swap(raised);
    send(&rig, Wish::Usual).await;
    let error = waits(&mut rig, 1).await;
    assert!(error.contains("certificate"), "{error}");
    assert_eq!(sink.connections(), 2);
}
