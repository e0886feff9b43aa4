//! RFC 5228.

use crate::world::{table, tests};

#[test]
fn actions() {
    table(&[
        ("5228 §2.10.2 implicit keep", "", "keep"),
        ("5228 §2.10.2", "if false { discard; }", "keep"),
        ("5228 §4.3 keep", "keep; keep;", "keep"),
        ("5228 §4.4 discard", "discard;", "discard"),
        (
            "5228 §4.4 discard and keep",
            "keep; discard;",
            "keep; discard",
        ),
        (
            "5228 §4.1 fileinto",
            "require \"fileinto\"; fileinto \"A\";",
            "A",
        ),
        (
            "5228 §4.1 twice",
            "require \"fileinto\"; fileinto \"A\"; fileinto \"A\"; fileinto \"B\";",
            "A; B",
        ),
        (
            "5228 §4.1 INBOX",
            "require \"fileinto\"; fileinto \"inbox\"; keep;",
            "inbox",
        ),
        (
            "5228 §4.2 redirect",
            "redirect \"x@y.test\"; redirect \"X@y.test\";",
            ">x@y.test",
        ),
        (
            "5228 §3.3 stop",
            "require \"fileinto\"; stop; fileinto \"A\";",
            "keep",
        ),
        (
            "5228 §3.1 if",
            "if false { stop; } elsif true { discard; } else { keep; }",
            "discard",
        ),
        (
            "5228 §3.1 else",
            "if false { stop; } else { discard; }",
            "discard",
        ),
        (
            "5228 §2.3 comments",
            "# a\n/* b ; } */ discard; # c",
            "discard",
        ),
        (
            "5228 §2.4.2 multi-line",
            "require \"reject\"; reject text: # comment\r\na\r\n..b\r\n.\r\n;",
            "reject a\r\n.b\r\n",
        ),
        (
            "5228 §2.4.2 quoting",
            "require \"fileinto\"; fileinto \"a\\\"b\\\\c\\d\";",
            "a\"b\\cd",
        ),
        (
            "5228 §2.4.2.4 encoded",
            "require [\"fileinto\", \"encoded-character\"]; fileinto \"$${hex:40 41}${unicode:e4}${hex:}\";",
            "$@Aä${hex:}",
        ),
        ("5228 §1.3 case", "IF TRUE { DISCARD; }", "discard"),
    ]);
}

#[test]
fn tests_of_the_core() {
    tests(&[
        (
            "5228 §5.1",
            "",
            "address :is \"from\" \"anna@sender.test\"",
            true,
        ),
        (
            "5228 §5.1 octet",
            "",
            "address :comparator \"i;octet\" :is \"from\" \"anna@sender.test\"",
            false,
        ),
        (
            "5228 §2.7.4",
            "",
            "address :domain \"from\" \"SENDER.TEST\"",
            true,
        ),
        (
            "5228 §2.7.4",
            "",
            "address :localpart [\"to\",\"cc\"] \"third\"",
            true,
        ),
        (
            "5228 §5.1 all addresses",
            "",
            "address \"to\" \"other@example.test\"",
            true,
        ),
        ("5228 §5.2", "", "allof (true, false)", false),
        ("5228 §5.3", "", "anyof (false, true)", true),
        ("5228 §5.8", "", "not false", true),
        ("5228 §5.5", "", "exists [\"from\", \"X-Empty\"]", true),
        ("5228 §5.5", "", "exists [\"from\", \"x-none\"]", false),
        ("5228 §5.6", "", "false", false),
        (
            "5228 §5.7",
            "",
            "header :contains \"subject\" \"AFAR\"",
            true,
        ),
        (
            "5228 §2.7.2 encoded word",
            "",
            "header :is \"subject\" \"Grüße from afar\"",
            true,
        ),
        ("5228 §5.7 empty", "", "header :is \"x-empty\" \"\"", true),
        (
            "5228 §5.7 absent",
            "",
            "header :contains \"x-none\" \"\"",
            false,
        ),
        (
            "5228 §5.7 contains nothing",
            "",
            "header :contains \"x-empty\" \"\"",
            true,
        ),
        (
            "5228 §2.7.1",
            "",
            "header :matches \"subject\" \"*fr?m*\"",
            true,
        ),
        (
            "5228 §2.7.1",
            "",
            "header :matches \"subject\" \"fr?m\"",
            false,
        ),
        ("5228 §5.9", "", "size :over 400", true),
        ("5228 §5.9", "", "size :over 1K", false),
        ("5228 §5.9", "", "size :under 1M", true),
        (
            "5228 §5.4",
            "envelope",
            "envelope :is \"from\" \"anna@sender.test\"",
            true,
        ),
        (
            "5228 §5.4",
            "envelope",
            "envelope :localpart \"to\" \"me+list\"",
            true,
        ),
        (
            "5228 §5.4 auth",
            "envelope",
            "envelope :contains \"auth\" \"\"",
            false,
        ),
    ]);
}
