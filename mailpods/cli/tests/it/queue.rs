//! queue and trace.
use bytes::Bytes;
use mailpods_api::QueueId;
use mailpods_policy::Reason;
use mailpods_store::NewBody;
use mailpods_store::queue::{
    BodyType, Destination, Envelope, NewMessage, NewRecipient, Notify, Origin,
};
use mailpods_store::trace::{Stage, TraceEvent};

use crate::world::World;

const HOUR: i64 = 3_600_000;

fn now() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

fn message(number: u64, sender: &str, recipient: &str, age: i64) -> NewMessage {
    let body = format!("From: <{sender}>\r\nSubject: number {number}\x1b[2J\r\n\r\nbody\r\n");
    NewMessage {
        id: QueueId::from_parts(1_700_000_000_000 + number, number),
        body: NewBody::Octets {
            slices: vec![Bytes::from(body)],
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
        created: now() - age,
        recipients: vec![NewRecipient {
            destination: Destination(recipient.rsplit('@').next().unwrap().into()),
            address: recipient.to_owned(),
            orcpt: None,
            notify: Notify::default(),
        }],
    }
}

/// Three messages; returns their ids.
fn queued(world: &World) -> Vec<String> {
    let messages = vec![
        message(1, "bob@example.test", "carol@example.org", 5 * HOUR),
        message(2, "bob@example.test", "dave@example.net", HOUR),
        message(3, "", "erin@example.net", 0),
    ];
    let ids = messages
        .iter()
        .map(|message| message.id.to_string())
        .collect();
    world.with_store(async |store| store.queue.enqueue(messages).await.unwrap());
    ids
}

fn ids(world: &World, filter: &[&str]) -> Vec<String> {
    let rows = world
        .run(&[&["queue", "list", "--output", "json"], filter].concat())
        .exits(0)
        .rows();
    rows.iter()
        .map(|row| row["message"]["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn filters_pick_messages() {
    let world = World::new();
    let all = queued(&world);
    let pick = |places: &[usize]| -> Vec<String> {
        places.iter().map(|place| all[*place].clone()).collect()
    };
    assert_eq!(ids(&world, &[]), all);
    assert_eq!(ids(&world, &["--domain", "EXAMPLE.net"]), pick(&[1, 2]));
    assert_eq!(ids(&world, &["--sender", "bob@"]), pick(&[0, 1]));
    assert_eq!(ids(&world, &["--sender", ""]), pick(&[2]));
    assert_eq!(ids(&world, &["--recipient", "carol"]), pick(&[0]));
    assert_eq!(ids(&world, &["--older-than", "2h"]), pick(&[0]));
    assert_eq!(ids(&world, &["--id", &all[1], &all[2]]), pick(&[2, 1]));
    assert_eq!(ids(&world, &["--state", "held"]), pick(&[]));
    assert_eq!(ids(&world, &["--state", "ready"]), all);
    world
        .run(&["queue", "list"])
        .exits(0)
        .says(&[&all[0], "carol@example.org", "<>", "3 listed"]);
    world
        .run(&["queue", "list", "--limit", "1"])
        .exits(0)
        .says(&["and more"]);
}

#[test]
fn a_message_is_shown_without_driving_the_terminal() {
    let world = World::new();
    let all = queued(&world);
    let run = world.run(&["queue", "show", &all[0]]).exits(0);
    run.says(&[
        "bob@example.test",
        "carol@example.org",
        "Subject: number 1?[2J",
        "5h ago",
    ]);
    assert!(
        !run.text().contains('\x1b') && !run.text().contains("body"),
        "{}",
        run.text()
    );
    world
        .run(&["queue", "show", "--raw", &all[0]])
        .exits(0)
        .says(&["\r\n\r\nbody\r\n"]);
    let run = world.run(&["queue", "show", "NOSUCHID"]).exits(4);
    assert!(run.errors().contains("mailpods trace"), "{}", run.errors());
}

#[test]
fn everything_must_be_asked_for() {
    let world = World::new();
    queued(&world);
    let run = world.run(&["queue", "delete"]).exits(2);
    assert!(run.errors().contains("--all"), "{}", run.errors());
    world
        .run(&["queue", "delete", "--all", "--domain", "example.net"])
        .exits(2);
    world
        .run(&["queue", "delete", "--all", "--dry-run"])
        .exits(0)
        .says(&[
            "would be deleted",
            "3 of 3 would be deleted; nothing was changed",
        ]);
    assert_eq!(ids(&world, &[]).len(), 3);
    world
        .run(&["queue", "delete", "--all"])
        .exits(0)
        .says(&["3 of 3 deleted"]);
    assert_eq!(ids(&world, &[]).len(), 0);
    world
        .run(&["queue", "delete", "--domain", "example.net"])
        .exits(4);
}

#[test]
fn messages_are_held_released_and_traced() {
    let world = World::new();
    let all = queued(&world);
    let held = world
        .run(&[
            "queue",
            "hold",
            "--domain",
            "example.net",
            "--output",
            "json",
        ])
        .exits(0)
        .rows();
    assert!(
        held.len() == 2 && held.iter().all(|row| row["done"] == true),
        "{held:?}"
    );
    assert_eq!(
        ids(&world, &["--state", "held"]),
        [all[1].clone(), all[2].clone()]
    );
    world
        .run(&["queue", "release", &all[1]])
        .exits(0)
        .says(&["1 of 1 released"]);
    assert_eq!(ids(&world, &["--state", "held"]), [all[2].clone()]);
    world
        .run(&["queue", "release", "--dry-run", "--all"])
        .exits(0)
        .says(&["left alone: it is not on hold", "1 of 3 would be released"]);
    world
        .run(&["queue", "release", &all[1]])
        .exits(0)
        .says(&["left alone: it is not on hold", "0 of 1 released"]);
    world
        .run(&["queue", "hold", &all[2]])
        .exits(0)
        .says(&["left alone: it is on hold already"]);
    world.run(&["queue", "retry", &all[0]]).exits(0);
    world
        .run(&["queue", "bounce", &all[0]])
        .exits(0)
        .says(&["returned to the sender"]);
    world
        .run(&["trace", &all[1]])
        .exits(0)
        .says(&["operator", "held", "released"]);
}

#[test]
fn the_trace_finds_what_was_refused() {
    let world = World::new();
    let event = TraceEvent {
        at: now(),
        id: "session1".to_owned(),
        stage: Stage::Accept,
        reason: Reason::UnknownRecipient.as_str(),
        sender: "bob@example.org".to_owned(),
        recipient: "nobody@example.test".to_owned(),
        peer: "192.0.2.1".to_owned(),
        text: "550 5.1.1 no such user\x07".to_owned(),
    };
    let second = TraceEvent {
        at: event.at + 1,
        text: "no such user again".to_owned(),
        ..event.clone()
    };
    world.with_store(async |store| store.trace.record(event));
    for what in ["session1", "bob@example.org", "nobody@example.test"] {
        world
            .run(&["trace", what])
            .exits(0)
            .says(&["unknown-recipient", "no such user?"]);
    }
    world.with_store(async |store| store.trace.record(second));
    let run = world
        .run(&["trace", "bob@example.org", "--limit", "1"])
        .exits(0);
    assert!(run.errors().contains("--limit"), "{}", run.errors());
    run.says(&["no such user again"]);
    let run = world
        .run(&["trace", "bob@example.org", "--limit", "2"])
        .exits(0);
    assert_eq!(run.errors(), "");
    let rows = world
        .run(&[
            "trace",
            "--as",
            "recipient",
            "nobody@example.test",
            "--output",
            "json",
        ])
        .exits(0)
        .rows();
    assert_eq!(rows[0]["reason"], "unknown-recipient");
    assert!(
        world
            .run(&["trace", "--as", "sender", "nobody@example.test"])
            .exits(4)
            .errors()
            .contains("Nothing is known")
    );
}

#[test]
fn a_missing_store_is_told_with_what_to_do() {
    let world = World::new();
    let run = world.run(&["queue", "list"]).exits(3);
    assert!(run.errors().contains("--data"), "{}", run.errors());
    assert!(!world.data().exists(), "a tool that reads makes no store");
}

#[test]
fn an_account_is_suspended_and_released() {
    let world = World::new();
    queued(&world);
    let account = "alice@example.test";
    let config = world.config();
    let config = crate::world::text_of(&config);
    let domain = crate::world::CONFIG.replace(
        "spec: {domain: example.test}",
        "spec: {domain: example.test, aliases: [{name: boss, targets: [alice@example.test]}]}",
    );
    std::fs::write(world.path("config/all.yaml"), domain).unwrap();
    let mut own = message(7, account, "carol@example.org", 0);
    own.origin = Origin::Submission(account.to_owned());
    world.with_store(async |store| store.queue.enqueue(vec![own]).await.unwrap());
    assert_eq!(ids(&world, &["--account", account]).len(), 1);
    for (stranger, hint) in [
        ("boss@good.test", "mailpods mailbox list"),
        ("boss@example.test", "its account is alice@example.test"),
    ] {
        let add = ["suspension", "add", stranger, "--config", config];
        let said = world.run(&add).exits(4).errors();
        assert!(said.contains("no Mailbox") && said.contains(hint), "{said}");
    }
    let said = world.run(&["suspension", "add", account]).exits(2).errors();
    assert!(said.contains("--config DIR"), "{said}");
    world
        .run(&["suspension", "list"])
        .exits(0)
        .says(&["Nobody is suspended."]);
    world
        .run(&[
            "suspension",
            "add",
            "Alice@Example.test",
            "--config",
            config,
            "--why",
            "sends spam",
        ])
        .exits(0)
        .says(&["alice@example.test: suspended"]);
    world.run(&["suspension", "list"]).exits(0).says(&[
        account,
        "by-hand",
        "sends spam",
        "released",
    ]);
    let route = ["route", "example.test", "--from", account];
    let run = world
        .run(&[&route[..], &["--config", config]].concat())
        .exits(0);
    run.says(&[
        "local",
        "SUSPENDED   the sender's mail is held",
        "sends spam",
    ]);
    for other in ["PROVIDER", "LIMITS", "POOL"] {
        assert!(!run.text().contains(other), "{}", run.text());
    }
    let rows = world
        .run(&["suspension", "list", "--output", "json"])
        .exits(0)
        .rows();
    assert_eq!(rows[0]["account"], account);
    world
        .run(&["suspension", "release", account, "--delete-queue"])
        .exits(0)
        .says(&["1 deleted from the queue", "released"]);
    assert_eq!(ids(&world, &[]).len(), 3, "nobody else's");
    world.run(&["suspension", "release", account]).exits(4);
}

#[test]
fn the_trace_goes_on_past_an_alias_and_finds_a_domain() {
    let world = World::new();
    let next = QueueId::from_parts(1, 2);
    let event = |id: &str, sender: &str, recipient: &str, text: &str| TraceEvent {
        at: now(),
        id: id.to_owned(),
        stage: Stage::Deliver,
        reason: Reason::Expanded.as_str(),
        sender: sender.to_owned(),
        recipient: recipient.to_owned(),
        peer: String::new(),
        text: text.to_owned(),
    };
    world.with_store(async |store| {
        let goes_on = TraceEvent::going_on(&next);
        store.trace.record(event(
            "first",
            "bob@example.org",
            "away@example.test",
            &goes_on,
        ));
        let relayed = TraceEvent {
            reason: Reason::Relayed.as_str(),
            ..event(
                next.as_str(),
                "SRS0=x@example.test",
                "home@elsewhere.test",
                "250 taken",
            )
        };
        store.trace.record(relayed);
    });
    for asked in [
        &["first"][..],
        &["bob@example.org"],
        &["--domain", "EXAMPLE.org"],
    ] {
        let words: Vec<&str> = ["trace"].iter().chain(asked).copied().collect();
        world
            .run(&words)
            .exits(0)
            .says(&["away@example.test", "home@elsewhere.test", "250 taken"]);
    }
    let rows = world
        .run(&["trace", "--domain", "example.test", "--output", "json"])
        .exits(0);
    assert_eq!(rows.json().as_array().unwrap().len(), 2, "each once");
    world.run(&["trace", "--domain", "ample.test"]).exits(4);
    world.run(&["trace"]).exits(2);
}
