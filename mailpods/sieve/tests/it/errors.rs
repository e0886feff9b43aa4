//! Wrong scripts: line, column, what was found.

use mailpods_sieve::{CAPABILITIES, Extension, Limits, compile};

#[test]
fn errors_point_to_the_place() {
    let rows = [
        (
            "keep",
            "line 1, column 5: found the end of the script; allowed: an argument, ';' or a block",
        ),
        ("\n  frob;", "line 2, column 3: unknown command \"frob\""),
        (
            "require \"vnd.none\";",
            "line 1, column 9: extension \"vnd.none\" is not supported; allowed: body, comparator",
        ),
        (
            "require [\"fileinto\",\n\"nope\"];",
            "line 2, column 1: extension \"nope\" is not supported",
        ),
        (
            "fileinto \"A\";",
            "line 1, column 1: command \"fileinto\" needs: require \"fileinto\";",
        ),
        (
            "keep; require \"copy\";",
            "line 1, column 7: \"require\" stands after another command",
        ),
        (
            "if header :is \"a\" { }",
            "line 1, column 4: \"header\" lacks the keys",
        ),
        (
            "if header :like \"a\" \"b\" { }",
            "line 1, column 11: \"header\" knows no \":like\"; allowed: :comparator, :is",
        ),
        (
            "if header :is :contains \"a\" \"b\" { }",
            "line 1, column 15: \":contains\" is a second match type",
        ),
        (
            "if header :comparator \"i;klingon\" \"a\" \"b\" { }",
            "line 1, column 23: comparator \"i;klingon\" is not supported; allowed: i;ascii-casemap",
        ),
        (
            "if size :over \"1\" { }",
            "line 1, column 15: found string \"1\" for \":over\"; allowed: a number",
        ),
        (
            "if size 1 { }",
            "line 1, column 4: \"size\" has not exactly one bound",
        ),
        (
            "if true { keep;",
            "line 1, column 16: found the end of the script; allowed: a command or '}'",
        ),
        (
            "else { }",
            "line 1, column 1: \"else\" stands without an \"if\"",
        ),
        (
            "if (true) { }",
            "line 1, column 1: \"if\" has a list of tests",
        ),
        (
            "if bogus { }",
            "line 1, column 4: unknown test \"bogus\"; allowed: address, allof",
        ),
        (
            "redirect \"nobody\";",
            "line 1, column 10: \"nobody\" is no address; allowed: local@domain",
        ),
        (
            "keep \"x\";",
            "line 1, column 6: found string \"x\", one argument more than \"keep\" takes",
        ),
        (
            "discard \"x\";",
            "line 1, column 9: \"discard\" takes no argument, found string \"x\"",
        ),
        ("# é\n\"abc", "line 2, column 1: the string is never closed"),
        ("/* x", "line 1, column 1: the comment is never closed"),
        ("keep; %", "line 1, column 7: found '%'"),
        (
            "if size :over 99999999999999999999 { }",
            "line 1, column 15: number 99999999999999999999 is too large",
        ),
        (
            "if size :over 1X { }",
            "line 1, column 15: found number \"1X\"; allowed: digits",
        ),
        (
            "if header \"a:b\" \"c\" { }",
            "line 1, column 11: \"a:b\" is no name of a header field",
        ),
        (
            "require \"regex\"; if header :regex \"a\" \"(\" { }",
            "line 1, column 39: the regular expression is wrong: unclosed group",
        ),
        (
            "require \"variables\"; set \"1a\" \"b\";",
            "line 1, column 26: \"1a\" is no name of a variable",
        ),
        (
            "require \"variables\"; set :lower :upper \"a\" \"b\";",
            "line 1, column 22: \":upper\" is a second modifier",
        ),
        (
            "redirect :copy \"a@b.test\";",
            "line 1, column 10: \":copy\" needs: require \"copy\";",
        ),
        (
            "require \"foreverypart\"; break;",
            "line 1, column 25: \"break\" stands outside of a loop",
        ),
        (
            "require \"envelope\"; if envelope \"x\" \"y\" { }",
            "line 1, column 33: the envelope has no \"x\"; allowed: \"from\"",
        ),
        (
            "require \"date\"; if currentdate \"era\" \"1\" { }",
            "line 1, column 32: \"era\" is no part of a date; allowed: year",
        ),
        (
            "require \"enotify\"; notify \"tel:1\";",
            "line 1, column 27: the method \"tel:1\" is not supported; allowed: mailto",
        ),
        (
            "require \"relational\"; if header :value \"xx\" \"a\" \"b\" { }",
            "line 1, column 40: found string \"xx\" for \":value\"; allowed: \"gt\"",
        ),
        (
            "require [\"relational\"]; if header :value \"eq\" :comparator \"i;ascii-numeric\" \"a\" \"b\" { }",
            "line 1, column 59: comparator \"i;ascii-numeric\" needs: require \"comparator-i;ascii-numeric\";",
        ),
    ];
    for (script, wanted) in rows {
        let errors = compile(script.as_bytes(), &Limits::default()).expect_err(script);
        let shown = errors[0].to_string();
        assert!(
            shown.starts_with(wanted),
            "{script}\nfound  {shown}\nwanted {wanted}"
        );
    }
}

#[test]
fn several_errors_are_told_at_once() {
    let errors =
        compile(b"frob;\nif true { nope; }\nkeep 1;", &Limits::default()).expect_err("wrong");
    let lines: Vec<u32> = errors.iter().map(|error| error.at.line).collect();
    assert_eq!(lines, [1, 2, 3]);
}

#[test]
fn octets_that_are_not_utf8() {
    let errors = compile(b"keep;\n  \xff", &Limits::default()).expect_err("wrong");
    assert_eq!(
        errors[0].to_string(),
        "line 2, column 3: an octet that is not UTF-8"
    );
}

#[test]
fn every_capability_can_be_required() {
    assert!(CAPABILITIES.is_sorted());
    for name in CAPABILITIES {
        let script = format!("require \"{name}\";");
        compile(script.as_bytes(), &Limits::default()).expect(name);
        assert_eq!(Extension::parse(name).expect(name).name(), name);
    }
}
