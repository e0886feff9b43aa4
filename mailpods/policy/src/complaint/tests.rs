use zeroize::Zeroizing;

use super::*;
use crate::srs::KEY;

fn keys(octets: &[u8]) -> Keys {
    let key = |octet: &u8| Key {
        made: 0,
        octets: Zeroizing::new([*octet; KEY]),
    };
    Keys(octets.iter().map(key).collect())
}

fn sent() -> Sent {
    Sent {
        account: "alice@example.test".to_owned(),
        sender: "news@example.test".to_owned(),
        id: "01JQZ8W3A7K2M4P6R".to_owned(),
    }
}

#[test]
fn what_was_sealed_is_opened_by_any_key_that_is_kept() {
    let token = sent().seal(&keys(&[1]), [7; NONCE]).unwrap();
    assert_eq!(Sent::open(&keys(&[1]), &token), Some(sent()));
    assert_eq!(Sent::open(&keys(&[2, 1]), &token), Some(sent()));
    assert_eq!(Sent::open(&keys(&[2]), &token), None, "the key is gone");
    assert_eq!(sent().seal(&keys(&[]), [7; NONCE]), None);
}

#[test]
fn it_tells_nothing_and_is_made_of_letters_that_a_field_may_have() {
    let token = sent().seal(&keys(&[1]), [7; NONCE]).unwrap();
    assert!(!token.contains("alice"));
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    assert!(token.chars().all(fine), "{token}");
    assert_ne!(token, sent().seal(&keys(&[1]), [8; NONCE]).unwrap());
}

#[test]
fn a_forged_one_is_none() {
    let keys = keys(&[1]);
    let token = sent().seal(&keys, [7; NONCE]).unwrap();
    for at in 0..token.len() {
        let mut forged = token.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(forged).unwrap();
        assert_eq!(Sent::open(&keys, &forged), None, "at {at}");
    }
    let long = "A".repeat(MAX_TOKEN + 1);
    for none in ["", "A", "AAAAAAAAAAAAAAAAAAAA", "!!", long.as_str()] {
        assert_eq!(Sent::open(&keys, none), None, "{none}");
    }
}

#[test]
fn who_complained() {
    let list =
        |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    let one = list(&["Bob@x.test"]);
    let two = list(&["bob@x.test", "carol@y.test"]);
    for (named, sent_to, wanted) in [
        (&[][..], &one, Some("Bob@x.test")),
        (&["bob@x.test"], &one, Some("Bob@x.test")),
        (&["victim@x.test"], &one, Some("Bob@x.test")),
        (&[], &two, None),
        (&["carol@y.test"], &two, Some("carol@y.test")),
        (&["victim@x.test"], &two, None),
    ] {
        let found = complainer(&list(named), sent_to).map(String::as_str);
        assert_eq!(found, wanted, "{named:?} {sent_to:?}");
    }
}

#[test]
fn which_reports_complain() {
    for (kind, wanted) in [
        ("abuse", true),
        ("fraud", true),
        ("opt-out", true),
        ("other", true),
        ("not-spam", false),
        ("auth-failure", false),
        ("virus", false),
    ] {
        assert_eq!(is_complaint(kind), wanted, "{kind}");
    }
}
