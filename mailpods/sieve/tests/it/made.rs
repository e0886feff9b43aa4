//! Messages that scripts make: answers and notifications, and when there are none.

use mailpods_message::header::{decode_text, find};
use mailpods_sieve::{Action, NoLibrary};

use crate::world::{MESSAGE, input, outcome, run_with, show};

fn answer(script: &str) -> Vec<u8> {
    let outcome = outcome(script);
    let found = outcome.actions.iter().find_map(|action| match action {
        Action::Vacation(reply) => Some(reply.message.clone()),
        Action::Notify(notification) => Some(notification.message.clone()),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("{}", show(&outcome)))
}

fn value(message: &[u8], name: &str) -> String {
    find(message, name.as_bytes())
        .map(decode_text)
        .unwrap_or_else(|| panic!("no {name}"))
}

/// RFC 5230 §5, RFC 3834 §3.1.
#[test]
fn an_answer_has_the_fields_of_one() {
    let message = answer("require \"vacation\"; vacation \"Away until Monday.\";");
    for (name, wanted) in [
        ("From", "<me@example.test>"),
        ("To", "<anna@sender.test>"),
        ("Subject", "Auto: Grüße from afar"),
        ("In-Reply-To", "<m1@sender.test>"),
        ("References", "<m1@sender.test>"),
        ("Auto-Submitted", "auto-replied (vacation)"),
        ("Date", "Tue, 20 Jul 2010 22:41:03 +0200"),
        ("Content-Type", "text/plain; charset=utf-8"),
    ] {
        assert_eq!(value(&message, name), wanted, "{name}");
    }
    assert!(message.ends_with(b"\r\n\r\nAway until Monday.\r\n"));
}

#[test]
fn an_answer_as_the_script_wants_it() {
    let message = answer(
        "require \"vacation\"; vacation :subject \"Weg: Süd\" :from \"Me <alias@example.test>\" :mime text:\r\nContent-Type: text/html\r\n\r\n<b>x</b>\r\n.\r\n;",
    );
    assert_eq!(value(&message, "Subject"), "Weg: Süd");
    assert_eq!(value(&message, "From"), "<alias@example.test>");
    assert_eq!(value(&message, "Content-Type"), "text/html");
    assert!(message.ends_with(b"\r\n\r\n<b>x</b>\r\n"));
}

/// RFC 5230 §4.2: the same handle is the same answer, whatever it says.
#[test]
fn identities() {
    let identity = |script: &str| match outcome(script).actions.into_iter().next() {
        Some(Action::Vacation(reply)) => reply.identity,
        other => panic!("{other:?}"),
    };
    let with = |arguments: &str| identity(&format!("require \"vacation\"; vacation {arguments};"));
    assert_eq!(with(":handle \"a\" \"x\""), with(":handle \"a\" \"y\""));
    assert_ne!(with("\"x\""), with("\"y\""));
    assert_ne!(with(":subject \"s\" \"x\""), with("\"x\""));
}

/// RFC 5230 §4.5, §4.6, RFC 3834 §2.
#[test]
fn nobody_answers_machines_lists_and_strangers_copies() {
    let edit = |from: &str, to: &str| MESSAGE.replace(from, to);
    let rows = [
        ("plain", MESSAGE.to_owned(), "anna@sender.test", true),
        ("null sender", MESSAGE.to_owned(), "", false),
        (
            "own address",
            MESSAGE.to_owned(),
            "Me+x@example.test",
            false,
        ),
        ("own alias", MESSAGE.to_owned(), "alias@example.test", false),
        (
            "daemon",
            MESSAGE.to_owned(),
            "MAILER-DAEMON@sender.test",
            false,
        ),
        (
            "list request",
            MESSAGE.to_owned(),
            "x-request@sender.test",
            false,
        ),
        (
            "list owner",
            MESSAGE.to_owned(),
            "owner-x@sender.test",
            false,
        ),
        (
            "auto",
            edit("X-Count: 10", "Auto-Submitted: auto-replied"),
            "anna@sender.test",
            false,
        ),
        (
            "auto no",
            edit("X-Count: 10", "Auto-Submitted: no"),
            "anna@sender.test",
            true,
        ),
        (
            "list",
            edit("X-Count: 10", "List-Id: <x>"),
            "anna@sender.test",
            false,
        ),
        (
            "bulk",
            edit("X-Count: 10", "Precedence: bulk"),
            "anna@sender.test",
            false,
        ),
        (
            "suppressed",
            edit("X-Count: 10", "X-Auto-Response-Suppress: OOF"),
            "anna@sender.test",
            false,
        ),
        (
            "Bcc",
            edit("To: me+list@example.test, ", "To: "),
            "anna@sender.test",
            false,
        ),
        (
            "alias in Cc",
            edit("third@example.test", "alias@example.test"),
            "anna@sender.test",
            true,
        ),
    ];
    for (name, message, sender, wanted) in rows {
        let mut input = input(&message, &NoLibrary);
        let envelope = input.envelope.as_mut().unwrap();
        sender.clone_into(&mut envelope.from);
        let shown = show(&run_with(
            "require \"vacation\"; vacation \"away\";",
            &input,
        ));
        assert_eq!(shown.contains("vacation"), wanted, "{name}: {shown}");
        assert!(shown.ends_with("keep"), "{name}: {shown}");
    }
}

/// RFC 5230 §4.5: `:addresses` names more of the owner's.
#[test]
fn more_addresses() {
    let message = MESSAGE.replace("me+list@example.test", "sales@example.test");
    let script = "require \"vacation\"; vacation :addresses \"sales@example.test\" \"away\";";
    assert!(show(&run_with(script, &input(&message, &NoLibrary))).contains("vacation"));
}

/// RFC 5436 §2.
#[test]
fn a_notification() {
    let message = answer(
        "require \"enotify\"; notify :importance \"1\" \"mailto:p@q.test?body=Look%20here&X-A=b&Bcc=no@b.test\";",
    );
    assert_eq!(value(&message, "To"), "<p@q.test>");
    assert_eq!(value(&message, "Subject"), "Grüße from afar");
    assert_eq!(value(&message, "Importance"), "high");
    assert_eq!(value(&message, "X-A"), "b");
    assert_eq!(
        value(&message, "Auto-Submitted"),
        "auto-notified; owner-email=\"me@example.test\""
    );
    assert_eq!(find(&message, b"bcc"), None);
    assert!(message.ends_with(b"\r\n\r\nLook here\r\n"));
}

/// RFC 5436 §2.2.
#[test]
fn a_notification_leads_to_none() {
    let message = MESSAGE.replace(
        "X-Count: 10",
        "Auto-Submitted: auto-notified; owner-email=\"a@b.test\"",
    );
    let script = "require \"enotify\"; notify \"mailto:p@q.test\";";
    assert_eq!(
        show(&run_with(script, &input(&message, &NoLibrary))),
        "keep"
    );
}
