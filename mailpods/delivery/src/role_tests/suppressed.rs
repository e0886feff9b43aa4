use std::time::Duration;

use super::remote::zone;
use crate::testing::{Rig, Script, Sink, plan};

#[tokio::test]
async fn a_recipient_that_does_not_exist_is_not_tried_again_for_a_while() {
    let mut sink = Sink::start(Script {
        rules: vec![("RCPT TO:<gone@", "550 5.1.1 no such user")],
        ..Script::default()
    })
    .await;
    let mut plan = plan(sink.addr.port());
    plan.outbound.suppression = Some(mailpods_plan::Suppression {
        hard_bounces: Duration::from_secs(86_400),
        complaints: Duration::from_secs(86_400),
    });
    let mut rig = Rig::start(plan, zone()).await;
    let to = ["gone@remote.test", "there@remote.test"];
    rig.send("bob@example.test", &to).await;
    let first = sink.message().await;
    assert!(first.has("RCPT TO:<gone@remote.test>"));
    rig.until_empty().await;
    rig.send("alice@example.test", &to).await;
    let second = sink.message().await;
    assert!(
        !second.has("RCPT TO:<gone@remote.test>"),
        "{:?}",
        second.commands
    );
    rig.until_empty().await;
    let bounce = rig.mailbox("alice@example.test", "INBOX").await;
    assert!(
        bounce[0].contains("no such user") && bounce[0].contains("not tried"),
        "{}",
        bounce[0]
    );
    rig.clock.advance(Duration::from_secs(86_401));
    rig.send("bob@example.test", &to).await;
    assert!(
        sink.message().await.has("RCPT TO:<gone@remote.test>"),
        "its time is over"
    );
    rig.until_empty().await;
}
