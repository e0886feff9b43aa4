use std::sync::Arc;

use mailpods_imap_proto::{SortCriterion, SortKey};
use mailpods_message::Meta;
use mailpods_store::mail::{Entry, Flags};
use mailpods_store::{BodyId, Uid};

use super::collate;
use super::columns::Columns;
use super::keys::{Keys, order};

#[test]
fn text_is_compared_without_case_and_composition() {
    assert_eq!(collate("Hello, World"), "HELLO, WORLD");
    for (one, other) in [
        ("Grüße", "gRÜße"),
        ("é", "e\u{301}"),
        ("ﬁne", "fine"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("ǆ", "Ǆ"),
    ] {
        assert_eq!(collate(one).to_lowercase(), collate(other).to_lowercase());
    }
    // RFC 5051 §2: one character stays one
    assert_ne!(collate("ß"), collate("ss"));
    assert!(collate("apple") < collate("Banana") && collate("z") < collate("ä").replace('A', "z"));
}

/// A message with a subject of few different ones, and a date of few.
fn entry(uid: Uid) -> Entry {
    let text = format!(
        "Subject: Re: {}\r\n\r\n",
        ["b", "A", "ä", "", "c"][uid as usize * 7 % 5]
    );
    Entry {
        uid,
        modseq: 1,
        flags: Flags::default(),
        received: i64::from(uid * 5 % 3),
        saved: None,
        size: 10,
        body: BodyId(1),
        prefix_len: 0,
        prefix: None,
        meta: Some(Meta::compute(text.as_bytes()).encode().into()),
    }
}

/// The columns of the messages at positions.
fn columns(uids: &[Uid], positions: impl Iterator<Item = u32>, by: &[SortCriterion]) -> Columns {
    let mut columns = Columns::new(by.to_vec());
    for position in positions {
        let uid = uids[position as usize];
        assert!(columns.add(position, &entry(uid)).is_ok());
    }
    columns
}

#[test]
fn kept_keys_order_as_what_is_read_anew() {
    let uids: Vec<Uid> = (1..60).map(|uid| uid * 3).collect();
    let by = |key, reverse| SortCriterion { reverse, key };
    // Of some of the messages; others came later, one is gone.
    let wanted: Vec<u32> = (0..59).filter(|position| position % 4 != 1).collect();
    let keys = |key| {
        let all = [by(key, false)];
        let first = Keys::after(None, &uids, columns(&uids, 0..40, &all)).unwrap();
        let behind = (40..59).filter(|position| *position != 50);
        let keys = Keys::after(Some(&first), &uids, columns(&uids, behind, &all));
        Arc::new(keys.unwrap())
    };
    let (subject, arrival) = (keys(SortKey::Subject), keys(SortKey::Arrival));
    for backwards in [false, true] {
        let criteria = [
            by(SortKey::Arrival, backwards),
            by(SortKey::Subject, !backwards),
        ];
        let read = wanted.iter().copied().filter(|position| *position != 50);
        let expected = columns(&uids, read, &criteria).order();
        let by = [
            (Arc::clone(&arrival), backwards),
            (Arc::clone(&subject), !backwards),
        ];
        assert_eq!(order(&uids, &wanted, &by), expected);
        assert_eq!(expected.len(), wanted.len() - 1);
    }
}
