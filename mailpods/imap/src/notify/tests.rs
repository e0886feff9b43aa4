use mailpods_store::MailboxId;
use mailpods_store::mail::{Annotation, MailboxInfo};

use super::annotations::{differences, marks};
use super::changes::{Change, changes, subscription_changes};

fn info(id: i64, name: &str, messages: u32, modseq: u64) -> MailboxInfo {
    MailboxInfo {
        id: MailboxId(id),
        name: name.to_owned(),
        special_use: None,
        subscribed: false,
        uid_validity: 1,
        uid_next: messages + 1,
        highest_modseq: modseq,
        messages,
        unseen: 0,
        deleted: 0,
        octets: 0,
    }
}

#[test]
fn each_difference_is_found_once() {
    let before = [
        info(1, "a", 1, 1),
        info(2, "b", 1, 1),
        info(3, "c", 1, 1),
        info(5, "e", 1, 1),
    ];
    let now = [
        info(1, "a", 1, 1),
        info(2, "b", 2, 2),
        info(3, "x", 1, 2),
        info(4, "d", 0, 1),
        info(6, "f", 3, 1),
    ];
    assert_eq!(
        changes(&before, &now),
        [
            Change::Messages(&now[1]),
            Change::Renamed {
                info: &now[2],
                before: "c"
            },
            Change::Flags(&now[2]),
            Change::Made(&now[3]),
            Change::Gone(&before[3]),
            Change::Made(&now[4]),
            Change::Messages(&now[4]),
        ]
    );
    assert!(changes(&now, &now).is_empty());
    assert!(changes(&[], &[]).is_empty());
}

#[test]
fn subscriptions_come_and_go() {
    let list = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    let (before, now) = (list(&["a", "b"]), list(&["b", "c"]));
    assert_eq!(
        subscription_changes(&before, &now),
        [("c", true), ("a", false)]
    );
}

#[test]
fn annotations_differ() {
    let list = |all: &[(i64, &str, &'static str)]| {
        let annotation = |(mailbox, entry, value): &(i64, &str, &'static str)| {
            let annotation = Annotation {
                entry: (*entry).to_owned(),
                value: value.as_bytes().into(),
            };
            ((*mailbox != 0).then_some(MailboxId(*mailbox)), annotation)
        };
        marks(all.iter().map(annotation).collect())
    };
    let before = list(&[
        (0, "/a", "1"),
        (1, "/a", "1"),
        (1, "/b", "1"),
        (2, "/c", "1"),
    ]);
    let now = list(&[
        (0, "/a", "2"),
        (1, "/a", "1"),
        (1, "/d", "1"),
        (2, "/c", "1"),
    ]);
    assert_eq!(
        differences(&before, &now),
        [(None, vec!["/a"]), (Some(MailboxId(1)), vec!["/b", "/d"])]
    );
    assert!(differences(&now, &now).is_empty());
}
