use std::sync::Arc;

use mailpods_api::QueueId;
use mailpods_policy::Reason;
use mailpods_store::queue::{
    BodyType, Destination, Envelope, Lease, LeasedUnit, Notify, Origin, QueuedMessage,
    QueuedRecipient,
};
use mailpods_store::{BodyId, UnitId};

use super::*;
use crate::testing::plan;

fn unit(recipients: &[&str]) -> LeasedUnit {
    let envelope = Envelope {
        sender: "s@remote.test".to_owned(),
        ret: None,
        envid: None,
        smtputf8: false,
        tls: Default::default(),
        body_type: BodyType::SevenBit,
    };
    let message = QueuedMessage {
        id: QueueId::from_parts(0, 0),
        body: BodyId(1),
        size: 0,
        envelope,
        origin: Origin::Inbound,
        junk: false,
        created: 0,
    };
    let success = Notify {
        given: true,
        success: true,
        failure: true,
        delay: false,
    };
    let recipient = |(index, address): (usize, &&str)| QueuedRecipient {
        index: u32::try_from(index).unwrap(),
        address: (*address).to_owned(),
        orcpt: None,
        notify: success,
    };
    LeasedUnit {
        lease: Lease {
            unit: UnitId(1),
            token: 1,
        },
        message: Arc::new(message),
        destination: Destination::local(),
        recipients: recipients.iter().enumerate().map(recipient).collect(),
        attempts: 0,
        warned: false,
        bounce: false,
        urgent: false,
    }
}

#[test]
fn recipients_share_mailboxes_and_forwards() {
    let expanded = expand(
        &plan(25),
        &unit(&[
            "team@example.test",
            "info@example.test",
            "away@example.test",
        ]),
        5,
    );
    assert_eq!(expanded.incoming.len(), 2);
    let owners: Vec<_> = expanded
        .incoming
        .iter()
        .map(|end| end.owners.clone())
        .collect();
    assert_eq!(owners, [vec![0, 1], vec![0]]);
    assert_eq!(expanded.shared, [true, false, false]);
    assert_eq!(
        expanded.fates,
        [Fate::Delivered, Fate::Delivered, Fate::Expanded]
    );
    assert_eq!(expanded.forwards.len(), 1);
    let (alias, forwards) = &expanded.forwards[0];
    assert_eq!((alias.as_str(), forwards.len()), ("team@example.test", 1));
    assert_eq!(
        forwards[0].orcpt.as_deref(),
        Some("rfc822;team@example.test")
    );
    assert!(!forwards[0].notify.success && forwards[0].notify.failure);
}

#[test]
fn an_alias_with_one_target_elsewhere_passes_on_what_was_asked_for() {
    let mut unit = unit(&["away@example.test"]);
    unit.recipients[0].orcpt = Some("rfc822;first@other.test".to_owned());
    let expanded = expand(&plan(25), &unit, 5);
    assert_eq!(expanded.fates, [Fate::Rerouted]);
    let (alias, forwards) = &expanded.forwards[0];
    assert_eq!((alias.as_str(), forwards.len()), ("away@example.test", 1));
    assert_eq!(forwards[0].notify, unit.recipients[0].notify);
    assert_eq!(
        forwards[0].orcpt.as_deref(),
        Some("rfc822;first@other.test")
    );
}

#[test]
fn what_leads_nowhere_fails_by_name() {
    let recipients = [
        "nobody@example.test",
        "gone@example.test",
        "no address",
        "x@moved.test",
    ];
    let expanded = expand(&plan(25), &unit(&recipients), 5);
    let reasons: Vec<Reason> = expanded.fates.iter().map(Fate::reason).collect();
    let wanted = [
        Reason::UnknownRecipient,
        Reason::MailboxDisabled,
        Reason::UnknownRecipient,
        Reason::Expanded,
    ];
    assert_eq!(reasons, wanted);
    assert!(expanded.incoming.is_empty());
    assert_eq!(&*expanded.rerouted[0].destination.0, "moved.test");
}

#[test]
fn what_a_problem_of_a_resource_is_in_the_way_of_waits() {
    let mut plan = plan(25);
    plan.held = mailpods_plan::Held {
        domains: ["held.test".parse().unwrap()].into(),
        addresses: [crate::testing::address("erin@example.test")].into(),
    }
    .into();
    let recipients = [
        "loop@example.test",
        "erin@example.test",
        "anybody@held.test",
    ];
    let mut unit = unit(&recipients);
    let waits = |unit: &LeasedUnit| {
        let fates = expand(&plan, unit, 5).fates;
        assert!(
            fates.iter().all(|fate| matches!(fate, Fate::Deferred(_))),
            "{fates:?}"
        );
        fates.iter().map(Fate::reason).collect::<Vec<_>>()
    };
    let wanted = [Reason::AliasLoop, Reason::OnHold, Reason::OnHold];
    assert_eq!(waits(&unit), wanted);
    // What was expanded before leads to its mailbox alone.
    unit.recipients.remove(0);
    let message = QueuedMessage {
        origin: Origin::Expanded("1".to_owned()),
        ..(*unit.message).clone()
    };
    unit.message = Arc::new(message);
    assert_eq!(waits(&unit), wanted[1..]);
}

#[test]
fn a_hostile_sender_adds_no_field() {
    let text = prefix(
        "a\r\nBcc: x@y",
        &crate::testing::address("bob@example.test"),
        "b\r\nX: y@example.test",
    );
    assert_eq!(text.iter().filter(|&&byte| byte == b'\n').count(), 3);
}

#[test]
fn junk_goes_to_mailboxes_here_alone() {
    let mut junk = unit(&["team@example.test", "away@example.test"]);
    Arc::get_mut(&mut junk.message).unwrap().junk = true;
    let expanded = expand(&plan(25), &junk, 5);
    assert_eq!(expanded.fates, [Fate::Delivered, Fate::Withheld]);
    assert_eq!(expanded.incoming.len(), 2);
    assert!(expanded.forwards.is_empty() && expanded.rerouted.is_empty());
    assert_eq!(
        expanded.withheld,
        ["carol@remote.test", "carol@remote.test"]
    );
}
