//! mailbox migrate, from servers that misbehave.
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

use mailpods_store::mail::{Columns, FlagOp, Flags, SystemFlags};

use crate::fake::{Fake, GREETING, Reply, body, listed, mail, set, usual};
use crate::world::{Run, World};

pub const ALICE: &str = "alice@example.test";

/// UIDVALIDITY, UIDNEXT and the UIDs of a mailbox.
pub fn mailbox(world: &World, name: &str) -> (u32, u32, Vec<u32>) {
    world.with_store(async |store| {
        let account = store.mail.account(&ALICE.parse().unwrap()).await.unwrap();
        let found = store.mail.mailbox(account, name).await.unwrap().unwrap();
        let uids = store.mail.uids(found.id).await.unwrap();
        (found.uid_validity, found.uid_next, uids)
    })
}

pub fn arguments<'a>(url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let first = [
        "mailbox",
        "migrate",
        ALICE,
        "--from",
        url,
        "--insecure-loopback",
        "--create-account",
        "--password-file",
        "password",
        "--retry-wait",
        "1",
    ];
    [&first[..], more].concat()
}

pub fn migrate(world: &World, server: &Fake, more: &[&str]) -> Run {
    std::fs::write(world.path("password"), "open sesame\n").unwrap();
    world.run(&arguments(&server.url(), more))
}

pub fn totals(run: &Run) -> Vec<(String, u64, u64, u64)> {
    let accounts = run.rows();
    let folders = accounts[0]["folders"].as_array().unwrap();
    let number = |row: &serde_json::Value, name: &str| row[name].as_u64().unwrap();
    let one = |row: &serde_json::Value| {
        (
            row["mailbox"].as_str().unwrap().to_owned(),
            number(row, "brought"),
            number(row, "present"),
            number(row, "leftOut"),
        )
    };
    folders.iter().map(one).collect()
}

fn inbox(brought: u64, present: u64, left_out: u64) -> Vec<(String, u64, u64, u64)> {
    vec![("INBOX".to_owned(), brought, present, left_out)]
}

type Answer = fn(usize, &str) -> Reply;

pub const JSON: &[&str] = &["--output", "json"];

#[test]
fn a_folder_comes_with_uids_dates_and_flags_and_comes_once() {
    let world = World::new();
    let server = Fake::start(GREETING, |_, command| {
        Reply::Text(usual(command, &[2, 3, 7]))
    });
    let dry = migrate(&world, &server, &[JSON, &["--dry-run"]].concat());
    // Without a store nothing is made.
    dry.exits(3);
    world.with_store(async |_| ());
    let dry = migrate(&world, &server, &[JSON, &["--dry-run"]].concat()).exits(0);
    assert_eq!(totals(&dry), inbox(3, 0, 0));
    world.run(&["mailbox", "list", ALICE]).exits(4);
    let run = migrate(&world, &server, JSON).exits(0);
    assert_eq!(totals(&run), inbox(3, 0, 0));
    assert!(
        run.errors().contains("INBOX: 3 brought"),
        "{}",
        run.errors()
    );
    let (validity, next, uids) = mailbox(&world, "INBOX");
    assert_eq!((validity, uids), (1_600_000_000, vec![2, 3, 7]));
    assert!(next >= 8, "{next}");
    let entry = world.with_store(async |store| {
        let account = store.mail.account(&ALICE.parse().unwrap()).await.unwrap();
        let inbox = store.mail.mailbox(account, "INBOX").await.unwrap().unwrap();
        let mut found = store
            .mail
            .entries(inbox.id, 3..=3, 0, Columns::default(), 9)
            .await
            .unwrap();
        let entry = found.remove(0);
        let text = store.mail.body(entry.body).await.unwrap();
        (entry.received, entry.flags.system, text)
    });
    assert_eq!((entry.0, entry.1), (1_580_551_200, SystemFlags::SEEN));
    assert_eq!(entry.2, mail(3).as_bytes());
    let again = migrate(&world, &server, JSON).exits(0);
    assert_eq!(totals(&again), inbox(0, 3, 0));
    let fetched = server
        .commands()
        .iter()
        .filter(|command| command.contains("BODY.PEEK"))
        .count();
    assert_eq!(fetched, 1, "{:?}", server.commands());
    assert!(
        server
            .commands()
            .iter()
            .all(|command| !command.starts_with("SELECT"))
    );
}

#[test]
fn a_connection_that_breaks_is_made_again_and_nothing_is_doubled() {
    let world = World::new();
    let server = Fake::start(GREETING, |connection, command| {
        match (connection, command) {
            (0, "CAPABILITY") => Reply::Last("* BYE too many users\r\n".to_owned()),
            (1, login) if login.starts_with("LOGIN") => {
                Reply::Last("TAG NO [UNAVAILABLE] later\r\n".to_owned())
            }
            (2, fetch) if fetch.contains("BODY.PEEK") => {
                Reply::Last(body(1) + &body(2) + "* 3 FETCH (UID 3 BODY[] {500}\r\nhalf of it")
            }
            (3, fetch) if fetch.contains("BODY.PEEK") => {
                Reply::Text(body(1) + &body(2) + "TAG NO [LIMIT] slow down\r\n")
            }
            (4, fetch) if fetch.contains("BODY.PEEK") => {
                Reply::Last(body(3) + "* BYE maintenance\r\n")
            }
            (_, command) => Reply::Text(usual(command, &[1, 2, 3, 4])),
        }
    });
    let run = migrate(&world, &server, JSON).exits(0);
    assert_eq!(totals(&run), inbox(4, 0, 0));
    for word in [
        "too many users",
        "later",
        "closed the connection",
        "slow down",
        "maintenance",
    ] {
        assert!(run.errors().contains(word), "{word}: {}", run.errors());
    }
    assert_eq!(mailbox(&world, "INBOX").2, [1, 2, 3, 4]);
}

#[test]
fn a_source_that_stays_away_is_temporary_and_a_wrong_password_is_not() {
    let world = World::new();
    std::fs::write(world.path("password"), "x").unwrap();
    let unknown = arguments("imap://alice@no-such-host.invalid", &[]);
    let tls = |one: &&str| *one != "--insecure-loopback";
    let unknown: Vec<&str> = unknown.into_iter().filter(tls).collect();
    let run = world.run(&unknown).exits(75);
    assert!(!run.errors().contains("again in"), "{}", run.errors());
    let server = Fake::start(GREETING, |_, _| Reply::Last("* BYE down\r\n".to_owned()));
    let run = migrate(&world, &server, &["--retries", "2"]).exits(75);
    assert!(run.errors().contains("down"), "{}", run.errors());
    assert_eq!(server.commands().len(), 3);
    let server = Fake::start(GREETING, |_, command| match command {
        login if login.starts_with("LOGIN") => {
            Reply::Text("TAG NO [AUTHENTICATIONFAILED] no\r\n".to_owned())
        }
        other => Reply::Text(usual(other, &[])),
    });
    let run = migrate(&world, &server, &[]).exits(1);
    assert!(run.errors().contains("log-in failed"), "{}", run.errors());
    assert!(!run.errors().contains("sesame") && !run.text().contains("sesame"));
}

#[test]
fn killed_in_the_middle_it_goes_on_where_it_was() {
    let world = World::new();
    let (tell, told) = channel();
    let (tell, stalls) = (Mutex::new(tell), AtomicBool::new(true));
    let all: Vec<u32> = (1..=350).collect();
    let server = Fake::start(GREETING, move |_, command| {
        let answer = usual(command, &all);
        let wanted = set(command.split(' ').nth(2).unwrap_or_default());
        let is_third = command.contains("BODY.PEEK") && wanted.contains(&250);
        if is_third && stalls.swap(false, Ordering::SeqCst) {
            // Two batches are committed before this one is asked for at the latest; half of it comes, and then nothing.
            tell.lock().unwrap().send(()).unwrap();
            return Reply::Stall((201..=240).map(body).collect());
        }
        Reply::Text(answer)
    });
    std::fs::write(world.path("password"), "open sesame").unwrap();
    let url = server.url();
    let mut child = world
        .command(&arguments(&url, &[]))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    told.recv_timeout(std::time::Duration::from_secs(60))
        .unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let run = migrate(&world, &server, JSON).exits(0);
    let (_, brought, present, _) = totals(&run).remove(0);
    assert_eq!(brought + present, 350, "{}", run.text());
    let (validity, _, uids) = mailbox(&world, "INBOX");
    assert_eq!(uids, (1..=350).collect::<Vec<u32>>());
    assert_eq!(validity, 1_600_000_000);
    world.run(&["fsck"]).exits(0).says(&["no damage"]);
}

#[test]
fn flags_come_by_condstore_and_changes_here_stay() {
    let world = World::new();
    let second = AtomicBool::new(false);
    let server = Fake::start(GREETING, move |connection, command| {
        second.fetch_or(connection > 0, Ordering::SeqCst);
        if !second.load(Ordering::SeqCst) {
            return Reply::Text(usual(command, &[1, 2]));
        }
        if command.contains("CHANGEDSINCE 3") {
            let changed =
                listed(1, mail(1).len(), "\\Flagged Work") + &listed(3, mail(3).len(), "");
            return Reply::Text(changed + "TAG OK\r\n");
        }
        Reply::Text(usual(command, &[1, 2, 3]))
    });
    migrate(&world, &server, JSON).exits(0);
    world.with_store(async |store| {
        let account = store.mail.account(&ALICE.parse().unwrap()).await.unwrap();
        let inbox = store.mail.mailbox(account, "INBOX").await.unwrap().unwrap();
        let answered = Flags {
            system: SystemFlags::ANSWERED,
            keywords: Vec::new(),
        };
        let stored = store
            .mail
            .store_flags(inbox.id, vec![2], FlagOp::Add, answered, None);
        stored.await.unwrap();
    });
    let run = migrate(&world, &server, JSON).exits(0);
    assert_eq!(totals(&run), inbox(1, 2, 0));
    assert_eq!(run.rows()[0]["folders"][0]["changed"], 1);
    let flags = world.with_store(async |store| {
        let account = store.mail.account(&ALICE.parse().unwrap()).await.unwrap();
        let inbox = store.mail.mailbox(account, "INBOX").await.unwrap().unwrap();
        let found = store
            .mail
            .entries(inbox.id, 1..=2, 0, Columns::default(), 9)
            .await
            .unwrap();
        found
            .into_iter()
            .map(|entry| entry.flags)
            .collect::<Vec<_>>()
    });
    assert_eq!(flags[0].system, SystemFlags::FLAGGED);
    assert_eq!(flags[0].keywords, ["Work"]);
    assert_eq!(
        flags[1].system,
        SystemFlags::SEEN.union(SystemFlags::ANSWERED)
    );
}

#[test]
fn what_is_deleted_there_is_deleted_here_only_when_asked_for_and_certain() {
    let world = World::new();
    let state = std::sync::Arc::new(Mutex::new((vec![1, 2, 3], 0)));
    let shared = std::sync::Arc::clone(&state);
    let server = Fake::start(GREETING, move |_, command| {
        let (uids, hidden) = shared.lock().unwrap().clone();
        let text = usual(command, &uids);
        // A server that tells of fewer messages than it has.
        let exists = format!("* {} EXISTS", uids.len());
        Reply::Text(text.replace(&exists, &format!("* {} EXISTS", uids.len() + hidden)))
    });
    migrate(&world, &server, &[]).exits(0);
    state.lock().unwrap().0 = vec![1, 3];
    migrate(&world, &server, &[]).exits(0);
    assert_eq!(mailbox(&world, "INBOX").2, [1, 2, 3]);
    state.lock().unwrap().1 = 1;
    let run = migrate(&world, &server, &["--delete"]).exits(1);
    assert!(
        run.text().contains("nothing may be missing"),
        "{}",
        run.text()
    );
    assert_eq!(mailbox(&world, "INBOX").2, [1, 2, 3]);
    state.lock().unwrap().1 = 0;
    let run = migrate(&world, &server, &[JSON, &["--delete"]].concat()).exits(0);
    assert_eq!(run.rows()[0]["folders"][0]["deleted"], 1);
    assert_eq!(mailbox(&world, "INBOX").2, [1, 3]);
}

#[test]
fn a_message_that_goes_while_a_folder_is_listed_is_missed_only_with_delete() {
    for (line, more, code) in [
        ("", &[][..], 1),
        ("* 2 EXPUNGE\r\n", &[], 0),
        ("* 2 EXPUNGE\r\n", &["--delete"], 1),
    ] {
        let world = World::new();
        let server = Fake::start(GREETING, move |_, command| {
            let text = usual(command, &[1, 3]);
            let text = text.replace("* 2 EXISTS", "* 3 EXISTS");
            Reply::Text(match command.starts_with("UID FETCH 1:* (UID FLAGS") {
                true => text.replace("TAG OK", &format!("{line}TAG OK")),
                false => text,
            })
        });
        let run = migrate(&world, &server, more).exits(code);
        let told = run.text().contains("told of 2 messages of 3");
        assert_eq!(told, code == 1, "{line} {more:?}: {}", run.text());
    }
}

#[test]
fn what_is_too_large_is_told_and_the_rest_comes() {
    let world = World::new();
    let server = Fake::start(GREETING, |_, command| {
        let small = mail(1).len();
        if command.contains("BODY.PEEK") {
            // The second lied about its size.
            let lie = format!(
                "* 2 FETCH (UID 2 BODY[] {{5000}}\r\n{})\r\n",
                "x".repeat(5000)
            );
            return Reply::Text(body(1) + &lie + &body(4) + "TAG OK\r\n");
        }
        if command.starts_with("UID FETCH") {
            let all = [(1, small), (2, small), (3, 70_000), (4, small)];
            let all: String = all
                .iter()
                .map(|(uid, size)| listed(*uid, *size, ""))
                .collect();
            return Reply::Text(all + "TAG OK\r\n");
        }
        Reply::Text(usual(command, &[1, 2, 3, 4]))
    });
    let run = migrate(&world, &server, &["--max-message-size", "4000"]).exits(1);
    for words in [
        "uid 2: it has 5000 octets",
        "uid 3: it has 70000 octets",
        "--max-message-size",
    ] {
        assert!(run.text().contains(words), "{words}: {}", run.text());
    }
    assert_eq!(mailbox(&world, "INBOX").2, [1, 4]);
}

#[test]
fn a_hostile_source_is_bounded() {
    let endless = |_: usize, command: &str| match command.split(' ').next() {
        Some("LIST") => Reply::Text(
            (0..10_001)
                .map(|n| format!("* LIST () \"/\" f{n}\r\n"))
                .collect(),
        ),
        _ => Reply::Text(usual(command, &[])),
    };
    let literal = |_: usize, command: &str| match command.contains("BODY.PEEK") {
        true => Reply::Text("* 1 FETCH (UID 1 BODY[] {99999999999}\r\n".to_owned()),
        false => Reply::Text(usual(command, &[1])),
    };
    let deep = |_: usize, command: &str| match command.starts_with("UID") {
        true => Reply::Text(format!("* 1 FETCH {}\r\n", "(".repeat(100))),
        false => Reply::Text(usual(command, &[1])),
    };
    let garbage = |_: usize, _: &str| Reply::Text("HTTP/1.1 400 Bad Request\r\n".to_owned());
    let cases: [(&str, Answer); 4] = [
        ("more than 10000 folders", endless),
        ("literal of 99999999999 octets", literal),
        ("too many values or levels", deep),
        ("no IMAP response", garbage),
    ];
    for (words, answer) in cases {
        let world = World::new();
        let server = Fake::start(GREETING, answer);
        let run = migrate(&world, &server, &[]).exits(1);
        assert!(run.errors().contains(words), "{words}: {}", run.errors());
    }
}

#[test]
fn names_that_lead_elsewhere_stay_names_and_what_cannot_be_is_told() {
    let world = World::new();
    let server = Fake::start(GREETING, |_, command| {
        match command.split(' ').next() {
        Some("LIST") => Reply::Text(
            "* LIST () \"/\" INBOX\r\n* LIST () \"/\" \"../..\"\r\n* LIST () \"/\" \"a//b\"\r\n* LIST () \"/\" \"w*%x\"\r\n\
             * LIST (\\Noselect) \"/\" hull\r\n* LIST (\\All) \"/\" everything\r\n* LIST () \"/\" B&APw-ro\r\nTAG OK\r\n"
                .to_owned(),
        ),
        Some("LSUB") => Reply::Text("* LSUB () \"/\" B&APw-ro\r\nTAG OK\r\n".to_owned()),
        _ => Reply::Text(usual(command, &[1])),
    }
    });
    let run = migrate(&world, &server, &["--exclude", "INBOX"]).exits(1);
    let words = "a//b: its name has an empty level";
    assert!(run.text().contains(words), "{words}: {}", run.text());
    let rows = world
        .run(&["mailbox", "list", ALICE, "--output", "json"])
        .exits(0)
        .rows();
    let filled = rows.iter().filter(|row| row["messages"] == 1);
    let names: Vec<&str> = filled.map(|row| row["mailbox"].as_str().unwrap()).collect();
    assert_eq!(names, ["../..", "Büro", "w__x"]);
    let subscribed = |name: &str| {
        rows.iter()
            .any(|row| row["mailbox"] == name && row["subscribed"] == true)
    };
    assert!(subscribed("Büro") && !subscribed("../.."));
}

#[test]
fn passwords_are_not_sent_in_clear_text() {
    let world = World::new();
    let server = Fake::start(GREETING, |_, command| Reply::Text(usual(command, &[])));
    std::fs::write(world.path("password"), "open sesame").unwrap();
    let url = server.url();
    let all = arguments(&url, &[]);
    let secure: Vec<&str> = all
        .into_iter()
        .filter(|one| *one != "--insecure-loopback")
        .collect();
    let run = world.run(&secure).exits(1);
    assert!(
        run.errors().contains("offers no STARTTLS"),
        "{}",
        run.errors()
    );
    assert!(
        server
            .commands()
            .iter()
            .all(|command| !command.contains("sesame"))
    );
    let run = world
        .run(&[
            "mailbox",
            "migrate",
            ALICE,
            "--from",
            "imaps://alice:sesame@old.test",
        ])
        .exits(2);
    assert!(run.errors().contains("--password-file"), "{}", run.errors());
}

#[test]
fn many_accounts_come_from_a_list_and_one_that_fails_stops_no_other() {
    let world = World::new();
    let server = Fake::start(GREETING, |_, command| match command {
        login if login.starts_with("LOGIN \"bob*master\"") => {
            Reply::Text("TAG NO no such user\r\n".to_owned())
        }
        other => Reply::Text(usual(other, &[1, 2])),
    });
    std::fs::write(
        world.path("list.csv"),
        "address,user\nalice@example.test,alice\nbob@example.test,bob\ncarol@example.test,\n",
    )
    .unwrap();
    std::fs::write(world.path("password"), "open sesame").unwrap();
    let url = format!("imap://{}", server.address);
    let run = world
        .run(&[
            "mailbox",
            "migrate",
            "--list",
            "list.csv",
            "--from",
            &url,
            "--insecure-loopback",
            "--create-account",
            "--master",
            "master",
            "--password-file",
            "password",
            "--jobs",
            "2",
            "--output",
            "json",
        ])
        .exits(1);
    let rows = run.rows();
    let brought = |at: usize| rows[at]["folders"][0]["brought"].as_u64();
    assert_eq!(
        (brought(0), brought(1), brought(2)),
        (Some(2), None, Some(2))
    );
    assert!(rows[1]["error"].as_str().unwrap().contains("no such user"));
    let logins = server.commands();
    assert!(
        logins.contains(&"LOGIN \"carol@example.test*master\" \"open sesame\"".to_owned()),
        "{logins:?}"
    );
}
