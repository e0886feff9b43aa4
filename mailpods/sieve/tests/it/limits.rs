//! Limits: each ends in an error and a keep.

use mailpods_sieve::{Limits, NoLibrary, compile};

use crate::world::{MESSAGE, input, run_with, show};

#[test]
fn of_scripts() {
    let limits = Limits {
        script_octets: 200,
        nesting: 4,
        list_strings: 3,
        ..Limits::default()
    };
    let rows = [
        (
            " ".repeat(201),
            "the script has 201 octets; allowed: 200 octets at most",
        ),
        (
            "if true { if true { if true { if true { if true { } } } } }".to_owned(),
            "nested deeper than 4",
        ),
        (
            "if not not not not not true { }".to_owned(),
            "nested deeper than 4",
        ),
        (
            "if header \"a\" [\"1\",\"2\",\"3\",\"4\"] { }".to_owned(),
            "more than 3 strings",
        ),
    ];
    for (script, wanted) in rows {
        let errors = compile(script.as_bytes(), &limits).expect_err(&script);
        assert!(
            errors[0].to_string().contains(wanted),
            "{script}: {}",
            errors[0]
        );
    }
}

#[test]
fn of_a_regular_expression() {
    let script = b"require \"regex\"; if header :regex \"a\" \"(((x{500}){500}){500})\" { }";
    let errors = compile(script, &Limits::default()).expect_err("too large");
    assert!(
        errors[0].to_string().contains("size limit"),
        "{}",
        errors[0]
    );
}

#[test]
fn of_runs() {
    let files: String = (0..40).map(|n| format!("fileinto \"{n}\";")).collect();
    let redirects: String = (0..5)
        .map(|n| format!("redirect \"{n}@b.test\";"))
        .collect();
    let sets: String = (0..130).map(|n| format!("set \"v{n}\" \"x\";")).collect();
    let grow = "set \"a\" \"${a}${a}${a}${a}\";".repeat(20);
    let exists: String = (0..70)
        .map(|n| format!("if mailboxexists \"{n}\" {{ }}"))
        .collect();
    let rows = [
        (
            format!("require \"fileinto\"; {files}"),
            "more than 32 actions",
        ),
        (redirects, "more than 4 redirects"),
        (
            format!("require \"variables\"; {sets}"),
            "more than 128 variables",
        ),
        (
            "require [\"variables\",\"regex\"]; set \"r\" \"(((x{500}){500}){500})\"; if header :regex \"subject\" \"${r}\" { }".to_owned(),
            "regular expression",
        ),
        (
            format!("require \"mailbox\"; {exists}"),
            "looks up more than 64 things",
        ),
    ];
    for (script, wanted) in rows {
        let shown = show(&run_with(&script, &input(MESSAGE, &NoLibrary)));
        assert!(
            shown.starts_with("keep; error ") && shown.contains(wanted),
            "{script}: {shown}"
        );
    }
    let cut = format!(
        "require \"variables\"; set \"a\" \"x\"; {grow} set :length \"l\" \"${{a}}\"; if string \"${{l}}\" \"8192\" {{ discard; }}"
    );
    assert_eq!(
        show(&run_with(&cut, &input(MESSAGE, &NoLibrary))),
        "discard"
    );
}

#[test]
fn of_work() {
    let long = format!("Subject: {}\r\n\r\n", "ab ".repeat(20_000));
    let test = "if header :matches \"subject\" \"*a*b*c*d*e*f*g*\" { }".repeat(600);
    let shown = show(&run_with(&test, &input(&long, &NoLibrary)));
    assert!(shown.contains("takes more than 1000000 steps"), "{shown}");
}

#[test]
fn of_edited_messages() {
    let mut input = input(MESSAGE, &NoLibrary);
    input.limits.edited_octets = 2000;
    let script = format!(
        "require [\"editheader\",\"fileinto\"]; {}",
        (0..6)
            .map(|n| format!("addheader \"X\" \"{n}\"; fileinto \"{n}\";"))
            .collect::<String>()
    );
    let shown = show(&run_with(&script, &input));
    assert!(
        shown.contains("edited messages have more than 2000 octets together"),
        "{shown}"
    );
}
