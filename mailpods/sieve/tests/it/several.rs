//! Scripts that include others, and scripts that nobody delivers to.

use mailpods_sieve::{Input, Location};

use crate::world::{MESSAGE, Scripts, input, run_with, show};

/// RFC 6609.
#[test]
fn includes() {
    let library = Scripts::default()
        .with(Location::Personal, "stop", "stop;")
        .with(Location::Personal, "return", "require \"include\"; return; discard;")
        .with(Location::Global, "file", "require [\"fileinto\",\"copy\"]; fileinto :copy \"G\";")
        .with(Location::Personal, "loop", "require \"include\"; include \"loop\";")
        .with(Location::Personal, "var", "require [\"include\",\"variables\"]; global \"a\"; set \"a\" \"x${a}\"; set \"b\" \"y\";")
        .with(Location::Personal, "flags", "require \"imap4flags\"; addflag \"f\";");
    let rows = [
        ("§3.2 stop ends all", "include \"stop\"; discard;", "keep"),
        (
            "§3.3 return ends one",
            "include \"return\"; discard;",
            "discard",
        ),
        ("§3.2 global", "include :global \"file\";", "G; keep"),
        (
            "§3.2 once",
            "include :global :once \"file\"; include :once :global \"file\"; discard;",
            "G; discard",
        ),
        (
            "§3.2 missing",
            "include \"none\";",
            "keep; error 1:45 there is no script \"none\" to include",
        ),
        (
            "§3.2 optional",
            "include :optional \"none\"; discard;",
            "discard",
        ),
        (
            "§3.2 loops",
            "include \"loop\";",
            "keep; error 1:20 scripts include each other deeper than 10",
        ),
        (
            "§3.4 global",
            "global \"a\"; set \"a\" \"1\"; include \"var\"; if string \"${a}${b}\" \"x1\" { discard; }",
            "discard",
        ),
        (
            "§3.4 namespace",
            "set \"global.a\" \"1\"; include \"var\"; if string \"${global.a}\" \"x1\" { discard; }",
            "discard",
        ),
        ("flags are shared", "include \"flags\";", "keep (f)"),
    ];
    for (section, script, wanted) in rows {
        let script = format!("require [\"include\",\"variables\"];            {script}");
        assert_eq!(
            show(&run_with(&script, &input(MESSAGE, &library))),
            wanted,
            "{section}"
        );
    }
}

/// RFC 6785 §3.11, §4.6: over a message that is in a mailbox already.
#[test]
fn what_belongs_to_delivery_is_an_error_without_one() {
    let library = Scripts::default().with(
        Location::Personal,
        "away",
        "require \"vacation\"; vacation \"x\";",
    );
    let event = || Input {
        envelope: None,
        ..input(MESSAGE, &library)
    };
    for (script, told) in [
        (
            "require \"reject\"; discard;",
            "\"reject\" is for mail that is delivered",
        ),
        (
            "require \"ereject\"; discard;",
            "\"ereject\" is for mail that is delivered",
        ),
        (
            "require \"vacation-seconds\"; stop;",
            "\"vacation\" is for mail that is delivered",
        ),
        (
            "require \"ihave\"; if ihave \"reject\" { reject \"x\"; }",
            "no envelope",
        ),
        (
            "require \"ihave\"; if ihave \"vacation\" { vacation \"x\"; }",
            "no envelope",
        ),
        (
            "require \"envelope\"; if envelope \"from\" \"x\" { discard; }",
            "no envelope",
        ),
        (
            "require \"include\"; include \"away\";",
            "\"vacation\" is for mail that is delivered",
        ),
        ("redirect \"a@b.test\";", "no envelope"),
        (
            "require \"enotify\"; notify \"mailto:a@b.test\";",
            "no envelope",
        ),
    ] {
        let outcome = run_with(script, &event());
        let error = outcome.error.expect(script);
        assert!(error.message.contains(told), "{script}: {error}");
    }
    let fine = run_with("require \"envelope\"; discard;", &event());
    assert_eq!(fine.error, None);
}
