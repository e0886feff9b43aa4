//! mailbox migrate, from servers that break, drip, or never end.
use crate::fake::{Fake, GREETING, Reply, body, set, usual};
use crate::migrate::{ALICE, JSON, mailbox, migrate, totals};
use crate::world::World;

/// The messages that a FETCH of bodies asks for.
fn asked(command: &str) -> Vec<u32> {
    match command.contains("BODY.PEEK[]") {
        true => set(command.split(' ').nth(2).unwrap_or_default()),
        false => Vec::new(),
    }
}

/// All before the third; there it breaks.
fn before_the_third(command: &str) -> String {
    let uids = asked(command).into_iter();
    uids.take_while(|uid| *uid != 3).map(body).collect()
}

type Breaks = fn(&str) -> Reply;

#[test]
fn a_message_that_cannot_be_delivered_holds_up_no_other() {
    let cases: [(&str, Breaks); 4] = [
        ("closed the connection", |command| {
            Reply::Last(before_the_third(command) + "* 3 FETCH (UID 3 BODY[] {99}\r\nhalf")
        }),
        ("internal failure", |command| {
            Reply::Last(before_the_third(command) + "* BYE internal failure\r\n")
        }),
        ("cannot read it", |command| {
            Reply::Text(before_the_third(command) + "TAG NO [SERVERBUG] cannot read it\r\n")
        }),
        ("no IMAP response", |command| {
            Reply::Text(before_the_third(command) + "Segmentation fault\r\n")
        }),
    ];
    for (words, breaks) in cases {
        let world = World::new();
        let server = Fake::start(GREETING, move |_, command| {
            match asked(command).contains(&3) {
                true => breaks(command),
                false => Reply::Text(usual(command, &[1, 2, 3, 4, 5])),
            }
        });
        let run = migrate(&world, &server, JSON).exits(1);
        let account = &run.rows()[0];
        assert_eq!(totals(&run), [("INBOX".to_owned(), 4, 0, 1)], "{words}");
        let left_out = &account["leftOut"][0];
        assert_eq!(left_out["uid"], 3);
        let why = left_out["why"].as_str().unwrap();
        assert!(why.contains(words), "{words}: {why}");
        assert_eq!(mailbox(&world, "INBOX").2, [1, 2, 4, 5]);
        let tries = server
            .commands()
            .iter()
            .filter(|one| asked(one) == [3])
            .count();
        assert_eq!(tries, 3, "{words}");
        // It is tried again, and the source can by now.
        let healed = Fake::start(GREETING, |_, command| {
            Reply::Text(usual(command, &[1, 2, 3, 4, 5]))
        });
        let again = migrate(&world, &healed, JSON).exits(0);
        let (_, brought, present, left_out) = totals(&again).remove(0);
        assert_eq!((brought, present, left_out), (1, 4, 0), "{words}");
    }
}

#[test]
fn a_message_that_is_refused_costs_no_other_of_its_batch() {
    let world = World::new();
    let server = Fake::start(GREETING, |_, command| match asked(command).contains(&3) {
        true => Reply::Text(before_the_third(command) + "TAG NO some could not be fetched\r\n"),
        false => Reply::Text(usual(command, &[1, 2, 3, 4, 5])),
    });
    let run = migrate(&world, &server, JSON).exits(1);
    assert_eq!(totals(&run), [("INBOX".to_owned(), 4, 0, 1)]);
    assert_eq!(mailbox(&world, "INBOX").2, [1, 2, 4, 5]);
}

#[test]
fn a_source_that_drips_or_never_ends_is_left() {
    let examine = |reply: fn() -> Reply| {
        move |_: usize, command: &str| match command.starts_with("EXAMINE") {
            true => reply(),
            false => Reply::Text(usual(command, &[1])),
        }
    };
    let drip = Fake::start(GREETING, examine(|| Reply::Drip("* OK\r\n".to_owned())));
    let line = format!("* OK {}\r\n", "x".repeat(1000));
    let flood = Fake::start(GREETING, move |_, command| {
        match command.starts_with("LIST") {
            true => Reply::Flood(line.clone()),
            false => Reply::Text(usual(command, &[1])),
        }
    });
    let more = Fake::start(GREETING, examine(|| Reply::Flood("+ more\r\n".to_owned())));
    let plain = Fake::start(GREETING, |_, command| match command {
        "CAPABILITY" => Reply::Text("* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nTAG OK\r\n".to_owned()),
        _ => Reply::Text("+ \r\n".to_owned()),
    });
    let silent = Fake::start(
        GREETING,
        examine(|| Reply::Stall("* 1 EXISTS\r\n".to_owned())),
    );
    for (words, server, code) in [
        ("was not done", &drip, 75),
        ("more than 67108864 octets", &flood, 1),
        ("waits for more", &more, 1),
        ("waits for more", &plain, 1),
        ("silent for 1 s", &silent, 75),
    ] {
        let world = World::new();
        let run = migrate(&world, server, &["--patience", "1", "--retries", "0"]).exits(code);
        assert!(run.errors().contains(words), "{words}: {}", run.errors());
    }
}

#[test]
fn a_message_that_never_ends_is_left_out() {
    let world = World::new();
    let line = format!("* 2 FETCH (UID 2 FLAGS ({}))\r\n", "x".repeat(4000));
    let server = Fake::start(GREETING, move |_, command| {
        match asked(command).contains(&2) {
            true => Reply::Flood(line.clone()),
            false => Reply::Text(usual(command, &[1, 2, 3])),
        }
    });
    let run = migrate(&world, &server, &[JSON, &["--retries", "1"]].concat()).exits(1);
    assert_eq!(totals(&run), [("INBOX".to_owned(), 2, 0, 1)]);
    assert!(
        run.text().contains("octets to one command"),
        "{}",
        run.text()
    );
}

#[test]
fn two_sources_of_one_host_are_told_apart_by_their_ports() {
    let world = World::new();
    let start = || Fake::start(GREETING, |_, command| Reply::Text(usual(command, &[1, 2])));
    let (one, other) = (start(), start());
    migrate(&world, &one, &["--exclude", "x"]).exits(0);
    world.with_store(async |store| {
        let account = store.mail.account(&ALICE.parse().unwrap()).await.unwrap();
        let find = async |server: &Fake| {
            let name = format!("imap://alice@{}/INBOX", server.address);
            store.migrations.origin(account, &name).await.unwrap()
        };
        assert!(find(&one).await.is_some() && find(&other).await.is_none());
    });
    // What an earlier release remembers of a source, without its port, is used on.
    let world = World::new();
    world.with_store(async |store| {
        let account = store.mail.account(&ALICE.parse().unwrap()).await.unwrap();
        let inbox = store.mail.mailbox(account, "INBOX").await.unwrap().unwrap();
        let name = "imap://alice@127.0.0.1/INBOX";
        let origin = store
            .migrations
            .begin_origin(inbox.id, name, 1_600_000_000, true);
        let origin = origin.await.unwrap();
        let gone = |source| mailpods_store::migrations::Brought {
            source,
            uid: source,
            flags: 0,
        };
        let known = vec![gone(1), gone(2)];
        store.migrations.remember(origin.id, known).await.unwrap();
    });
    let run = migrate(&world, &one, JSON).exits(0);
    assert_eq!(totals(&run), [("INBOX".to_owned(), 0, 2, 0)]);
}
