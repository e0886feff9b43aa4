//! RFC 5703, RFC 5173 over several parts.

use mailpods_message::Structure;
use mailpods_message::header::find;
use mailpods_sieve::{Action, NoLibrary, Outcome};

use crate::world::{input, run_with, show};

const MIXED: &str = "From: anna@sender.test\r\nTo: me@example.test\r\nSubject: parts\r\nMIME-Version: 1.0\r\n\
Content-Type: multipart/mixed; boundary=\"=b1\"\r\n\r\npreamble\r\n\
--=b1\r\nContent-Type: multipart/alternative; boundary=b2\r\n\r\n\
--b2\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ngr=FC=DFe\r\n\
--b2\r\nContent-Type: text/html\r\n\r\n<p>bold &amp; <b>loud</b></p>\r\n--b2--\r\n\
--=b1\r\nContent-Type: application/x-evil; name=\"a.exe\"\r\nContent-Disposition: attachment; filename=\"a.exe\"\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n\
--=b1\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner body\r\n\
--=b1--\r\nepilogue\r\n";

const ALL: &str = "require [\"foreverypart\",\"mime\",\"extracttext\",\"replace\",\"enclose\",\"variables\",\"fileinto\",\"copy\",\"body\",\"relational\",\"comparator-i;ascii-numeric\",\"imap4flags\"]; ";

fn over(script: &str) -> Outcome {
    run_with(&format!("{ALL}{script}"), &input(MIXED, &NoLibrary))
}

fn table(rows: &[(&str, &str, &str)]) {
    for (section, script, wanted) in rows {
        assert_eq!(show(&over(script)), *wanted, "{section}: {script}");
    }
}

#[test]
fn bodies() {
    table(&[
        (
            "5173 §5.3 decoded",
            "if body :contains \"grüße\" { discard; }",
            "discard",
        ),
        (
            "5173 §5.3 HTML as text",
            "if body :text :contains \"bold & loud\" { discard; }",
            "discard",
        ),
        (
            "5173 §5.3 no attachments",
            "if body :text :contains \"hello\" { discard; }",
            "keep",
        ),
        (
            "5173 §5.2 exact type",
            "if body :content \"application/x-evil\" :is \"hello\" { discard; }",
            "discard",
        ),
        (
            "5173 §5.2 multipart",
            "if body :content \"multipart/mixed\" :contains \"epilogue\" { discard; }",
            "discard",
        ),
        (
            "5173 §5.2 multipart",
            "if body :content \"multipart\" :contains \"grüße\" { discard; }",
            "keep",
        ),
        (
            "5173 §5.2 message",
            "if body :content \"message/rfc822\" :contains \"inner\" { discard; }",
            "discard",
        ),
        (
            "5173 §5.1 raw",
            "if body :raw :contains \"gr=FC\" { discard; }",
            "discard",
        ),
    ]);
}

#[test]
fn loops_and_tests() {
    table(&[
        (
            "5703 §3 all parts",
            "foreverypart { set \"n\" \"x${n}\"; } fileinto \"${n}\";",
            "xxxxxxx",
        ),
        (
            "5703 §3 leaves",
            "foreverypart { if header :mime :type \"content-type\" \"text\" { set \"n\" \"x${n}\"; } } fileinto \"${n}\";",
            "xx",
        ),
        (
            "5703 §3 nested",
            "foreverypart { if header :mime :subtype \"content-type\" \"alternative\" { foreverypart { set \"n\" \"x${n}\"; } } } fileinto \"${n}\";",
            "xx",
        ),
        (
            "5703 §3.1 break",
            "foreverypart { set \"n\" \"x${n}\"; break; } fileinto \"${n}\";",
            "x",
        ),
        (
            "5703 §3.1 name",
            "foreverypart :name \"o\" { foreverypart { set \"n\" \"x${n}\"; break :name \"o\"; } } fileinto \"${n}\";",
            "x",
        ),
        (
            "5703 §4.1 param",
            "foreverypart { if header :mime :param \"filename\" :matches \"content-disposition\" \"*.exe\" { discard; } }",
            "discard",
        ),
        (
            "5703 §4.1 contenttype",
            "if header :mime :anychild :contenttype \"content-type\" \"application/x-evil\" { discard; }",
            "discard",
        ),
        (
            "5703 §4.1 without anychild",
            "if header :mime :contenttype \"content-type\" \"application/x-evil\" { discard; }",
            "keep",
        ),
        (
            "5703 §4.1 disposition",
            "if header :mime :anychild :type \"content-disposition\" \"attachment\" { discard; }",
            "discard",
        ),
        (
            "5703 §4.3 exists",
            "if exists :mime :anychild \"content-disposition\" { discard; }",
            "discard",
        ),
        (
            "5703 §7 extracttext",
            "foreverypart { if header :mime :subtype \"content-type\" \"plain\" { extracttext :upper :first 4 \"t\"; fileinto \"${t}\"; break; } }",
            "GRüß",
        ),
        (
            "5703 §7 no text",
            "foreverypart { if header :mime :type \"content-type\" \"application\" { extracttext :length \"t\"; fileinto \"${t}\"; } }",
            "0",
        ),
    ]);
}

fn kept(script: &str) -> (Vec<u8>, Structure) {
    let outcome = over(script);
    let [Action::Keep(keep)] = outcome.actions.as_slice() else {
        panic!("{}", show(&outcome));
    };
    let octets = outcome.versions[keep.version].octets(MIXED.as_bytes());
    let structure = Structure::parse(&octets);
    (octets, structure)
}

fn types(structure: &Structure) -> Vec<String> {
    structure
        .parts
        .iter()
        .map(|part| format!("{}/{}", part.main_type, part.subtype))
        .collect()
}

/// RFC 5703 §5.
#[test]
fn a_part_is_replaced() {
    let (octets, structure) = kept(
        "foreverypart { if header :mime :type \"content-type\" \"application\" { replace \"removed\"; } }",
    );
    assert_eq!(
        types(&structure),
        [
            "multipart/mixed",
            "multipart/alternative",
            "text/plain",
            "text/html",
            "text/plain",
            "message/rfc822",
            "text/plain"
        ]
    );
    assert_eq!(structure.parts[4].body.of(&octets), b"removed\r\n");
    assert_eq!(find(&octets, b"subject"), Some(&b"parts"[..]));
    let (octets, structure) = kept(
        "foreverypart { if header :mime :subtype \"content-type\" [\"alternative\", \"html\"] { replace :mime text:\nContent-Type: text/x-gone\n\ngone\n.\n; } }",
    );
    assert_eq!(types(&structure)[1], "text/x-gone");
    assert_eq!(structure.parts[1].body.of(&octets), b"gone\r\n");
    assert_eq!(structure.parts.len(), 5);
}

/// RFC 5703 §5: outside of a loop the whole message.
#[test]
fn the_message_is_replaced() {
    let (octets, structure) = kept("replace :subject \"new\" :from \"x@y.test\" \"all\";");
    assert_eq!(types(&structure), ["text/plain"]);
    assert_eq!(find(&octets, b"subject"), Some(&b"new"[..]));
    assert_eq!(find(&octets, b"from"), Some(&b"<x@y.test>"[..]));
    assert!(octets.ends_with(b"\r\n\r\nall\r\n"));
}

/// RFC 5703 §6.
#[test]
fn the_message_is_enclosed() {
    let (octets, structure) = kept("enclose :subject \"Warning\" :headers [\"From\"] \"beware\";");
    assert_eq!(
        types(&structure)[..4],
        [
            "multipart/mixed",
            "text/plain",
            "message/rfc822",
            "multipart/mixed"
        ]
    );
    assert_eq!(find(&octets, b"subject"), Some(&b"Warning"[..]));
    assert_eq!(find(&octets, b"from"), Some(&b"anna@sender.test"[..]));
    let inner = structure.parts[2].body.of(&octets);
    assert_eq!(
        inner,
        MIXED
            .as_bytes()
            .strip_suffix(b"\r\n")
            .map_or(inner, |_| MIXED.as_bytes())
    );
}
