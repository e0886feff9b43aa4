//! Changes of the header (RFC 5293).

use mailpods_sieve::{Action, Version};

use crate::world::{MESSAGE, outcome, show};

/// RFC 5293.
#[test]
fn header_edits() {
    let rows = [
        (
            "§4",
            "addheader \"X-A\" \"1\";",
            "X-A: 1\r\nReceived:",
            true,
        ),
        (
            "§4 last",
            "addheader :last \"X-A\" \"Grüße\";",
            "X-Empty:\r\nX-A: =?utf-8?B?R3LDvMOfZQ==?=\r\n\r\nHello",
            true,
        ),
        ("§5", "deleteheader \"x-count\";", "X-Count", false),
        (
            "§5 value",
            "deleteheader :is \"x-count\" \"11\";",
            "X-Count: 10",
            true,
        ),
        (
            "§5 value",
            "deleteheader :contains \"subject\" \"afar\";",
            "Subject",
            false,
        ),
        (
            "§6 protected",
            "deleteheader \"received\";",
            "Received: from b.test",
            true,
        ),
        (
            "§6 what this server saw",
            "addheader \"Authentication-Results\" \"mx.test; dmarc=pass\";",
            "Authentication-Results",
            false,
        ),
        (
            "§4 line breaks",
            "addheader \"X-A\" \"a\r\nBcc: b\";",
            "X-A: a Bcc: b\r\n",
            true,
        ),
        (
            "§5 seen by tests",
            "addheader \"X-A\" \"1\"; if header \"x-a\" \"1\" { deleteheader \"to\"; }",
            "\r\nTo:",
            false,
        ),
    ];
    for (section, script, text, wanted) in rows {
        let outcome = outcome(&format!("require \"editheader\"; {script}"));
        let [Action::Keep(keep)] = outcome.actions.as_slice() else {
            panic!("{section}: {outcome:?}");
        };
        let octets = outcome.versions[keep.version].octets(MESSAGE.as_bytes());
        let edited = String::from_utf8_lossy(&octets).into_owned();
        assert_eq!(edited.contains(text), wanted, "{section}: {edited}");
        assert!(
            edited.ends_with("\r\n\r\nHello there.\r\nSecond line.\r\n"),
            "{section}: {edited}"
        );
    }
}

/// RFC 5293 §6: an action takes the message as it is then.
#[test]
fn each_action_has_its_form() {
    let outcome = outcome(
        "require [\"editheader\",\"fileinto\"]; fileinto \"A\"; addheader \"X-A\" \"1\"; fileinto \"B\"; deleteheader \"x-a\"; keep;",
    );
    assert_eq!(show(&outcome), "A; B v1; keep v2");
    assert_eq!(outcome.versions[0], Version::Original);
    let [_, second, third] = outcome.versions.as_slice() else {
        panic!()
    };
    assert!(second.octets(MESSAGE.as_bytes()).starts_with(b"X-A: 1\r\n"));
    assert_eq!(third.octets(MESSAGE.as_bytes()), MESSAGE.as_bytes());
}
