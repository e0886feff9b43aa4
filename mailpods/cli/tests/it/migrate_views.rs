//! mailbox migrate: what of a source's folders is whose, and what only a view of all mail shows.
use crate::fake::{Fake, GREETING, Reply, identified, usual};
use crate::migrate::{ALICE, JSON, migrate, totals};
use crate::world::World;

const VIEW: &str = "[Gmail]/All Mail";

/// A source of INBOX with 1 and 2, a label `Hidden` with 7, and a view of all mail with 11 to 13, 17, and 19: the first three are those of
/// the folders, 17 is archived, 19 too.
fn gmail(capability: &'static str, state: impl Fn() -> Vec<u32> + Send + Sync + 'static) -> Fake {
    gmail_that(capability, state, |_| true)
}

/// The same, of which the view tells only some when it is asked for what tells messages apart.
fn gmail_that(
    capability: &'static str,
    state: impl Fn() -> Vec<u32> + Send + Sync + 'static,
    tells: impl Fn(u32) -> bool + Send + Sync + 'static,
) -> Fake {
    let selected = std::sync::Mutex::new(String::new());
    Fake::start(GREETING, move |_, command| {
        let mut selected = selected.lock().unwrap();
        if let Some(name) = command.strip_prefix("EXAMINE ") {
            *selected = name.to_owned();
        }
        let uids = match selected.contains("All Mail") {
            true => state(),
            false if selected.contains("Hidden") => vec![7],
            false => vec![1, 2],
        };
        let id = |uid: &u32| match uid {
            11 => 1,
            12 => 2,
            13 => 7,
            21 => 17,
            other => *other,
        };
        Reply::Text(match command {
            "CAPABILITY" => format!("* CAPABILITY IMAP4rev1 {capability}\r\nTAG OK\r\n"),
            one if one.starts_with("LOGIN") => "TAG OK in\r\n".to_owned(),
            one if one.starts_with("LIST") => format!(
                "* LIST () \"/\" INBOX\r\n* LIST () \"/\" Hidden\r\n\
                 * LIST (\\All) \"/\" \"{VIEW}\"\r\nTAG OK\r\n"
            ),
            one if one.contains("X-GM-MSGID") => {
                let one = |uid: &u32| format!("* 1 FETCH (UID {uid} X-GM-MSGID {})\r\n", id(uid));
                let told = uids.iter().filter(|uid| tells(**uid));
                told.map(one).collect::<String>() + "TAG OK\r\n"
            }
            one if one.contains("EMAILID") => {
                let one = |uid: &u32| format!("* 1 FETCH (UID {uid} EMAILID (M{}))\r\n", id(uid));
                uids.iter().map(one).collect::<String>() + "TAG OK\r\n"
            }
            one if one.contains("HEADER.FIELDS") => {
                let one = |uid: &u32| match uid {
                    30.. => format!(
                        "* 1 FETCH (UID {uid} RFC822.SIZE 9 INTERNALDATE \"01-Jan-2026 00:00:00 +0000\" BODY[HEADER.FIELDS (MESSAGE-ID)] {{2}}\r\n\r\n)\r\n"
                    ),
                    _ => identified(*uid, id(uid)),
                };
                uids.iter().map(one).collect::<String>() + "TAG OK\r\n"
            }
            other => usual(other, &uids),
        })
    })
}

fn rows(all: &[(&str, u64, u64)]) -> Vec<(String, u64, u64, u64)> {
    let row =
        |(name, brought, present): &(&str, u64, u64)| ((*name).to_owned(), *brought, *present, 0);
    all.iter().map(row).collect()
}

#[test]
fn mail_that_only_a_view_shows_comes_into_archive() {
    for capability in ["X-GM-EXT-1", "OBJECTID", ""] {
        let world = World::new();
        let state = std::sync::Arc::new(std::sync::Mutex::new(vec![11, 12, 13, 17, 19]));
        let shared = std::sync::Arc::clone(&state);
        let server = gmail(capability, move || shared.lock().unwrap().clone());
        world.with_store(async |_| ());
        let exclude = [JSON, &["--exclude", "Hidden"]].concat();
        let dry = migrate(&world, &server, &[&exclude[..], &["--dry-run"]].concat()).exits(0);
        let wanted = rows(&[("INBOX", 2, 0), ("Archive", 2, 0)]);
        assert_eq!(totals(&dry), wanted, "{capability}");
        let run = migrate(&world, &server, &exclude).exits(0);
        assert_eq!(totals(&run), wanted, "{capability}");
        state.lock().unwrap().push(20);
        let run = migrate(&world, &server, &exclude).exits(0);
        let wanted = rows(&[("INBOX", 0, 2), ("Archive", 1, 2)]);
        assert_eq!(totals(&run), wanted, "{capability}");
        // One is deleted there.
        state.lock().unwrap().retain(|uid| *uid != 17);
        let run = migrate(&world, &server, &[&exclude[..], &["--delete"]].concat()).exits(0);
        assert_eq!(run.rows()[0]["folders"][1]["deleted"], 1, "{}", run.text());
    }
}

#[test]
fn what_cannot_be_told_apart_or_is_there_twice_comes() {
    // Two without Message-ID, of one size and one second.
    let (world, server) = (World::new(), gmail("", || vec![11, 31, 32]));
    let run = migrate(&world, &server, JSON).exits(0);
    let wanted = rows(&[("Hidden", 1, 0), ("INBOX", 2, 0), ("Archive", 2, 0)]);
    assert_eq!(totals(&run), wanted);
    // One message that only the view has, under two UIDs.
    let (world, server) = (World::new(), gmail("X-GM-EXT-1", || vec![13, 17, 21]));
    let run = migrate(&world, &server, JSON).exits(0);
    let wanted = rows(&[("Hidden", 1, 0), ("INBOX", 2, 0), ("Archive", 2, 0)]);
    assert_eq!(totals(&run), wanted);
}

#[test]
fn what_a_view_does_not_tell_of_is_not_deleted() {
    let world = World::new();
    let all = || vec![11, 12, 13, 17, 19];
    world.with_store(async |_| ());
    migrate(&world, &gmail("X-GM-EXT-1", all), JSON).exits(0);
    let server = gmail_that("X-GM-EXT-1", all, |uid| uid != 17);
    let run = migrate(&world, &server, &[JSON, &["--delete"]].concat()).exits(1);
    assert!(run.text().contains("4 messages of 5"), "{}", run.text());
    let listed = world.run(&["mailbox", "list", ALICE, "--output", "json"]);
    let listed = listed.exits(0);
    let archive = listed
        .rows()
        .into_iter()
        .find(|row| row["mailbox"] == "Archive");
    assert_eq!(archive.unwrap()["messages"], 2, "{}", listed.text());
}

#[test]
fn who_wants_no_archive_gets_none() {
    let world = World::new();
    let server = gmail("X-GM-EXT-1", || vec![17]);
    let run = migrate(&world, &server, &[JSON, &["--folder", "INBOX"]].concat()).exits(0);
    assert_eq!(totals(&run), rows(&[("INBOX", 2, 0)]));
}

#[test]
fn folders_of_others_come_only_when_asked_for() {
    let world = World::new();
    let server = Fake::start(GREETING, |_, command| {
        Reply::Text(match command.split(' ').next() {
            Some("CAPABILITY") => "* CAPABILITY IMAP4rev1 NAMESPACE\r\nTAG OK\r\n".to_owned(),
            Some("LOGIN") => "TAG OK in\r\n".to_owned(),
            Some("NAMESPACE") => {
                "* NAMESPACE ((\"\" \"/\")) ((\"Other/\" \"/\")) ((\"News/\" \"/\"))\r\nTAG OK\r\n"
                    .to_owned()
            }
            Some(word @ ("LIST" | "LSUB")) => format!(
                "* {word} () \"/\" INBOX\r\n* {word} (\\Sent) \"/\" Other/bob/Outbox\r\n* {word} () \"/\" News/rust\r\nTAG OK\r\n"
            ),
            _ => usual(command, &[1]),
        })
    });
    let run = migrate(&world, &server, &[]).exits(0);
    for words in [
        "folders of other users: 1 of them",
        "public folders: 1 of them",
        "--shared-folders",
    ] {
        assert!(run.text().contains(words), "{words}: {}", run.text());
    }
    let listed = world.run(&["mailbox", "list", ALICE]).exits(0).text();
    assert!(
        !listed.contains("bob") && !listed.contains("News"),
        "{listed}"
    );
    let run = migrate(&world, &server, &[JSON, &["--shared-folders"]].concat()).exits(0);
    assert_eq!(
        totals(&run),
        rows(&[
            ("INBOX", 0, 1),
            ("News/rust", 1, 0),
            ("Other/bob/Outbox", 1, 0)
        ])
    );
}
