//! Extensions, by RFC.

use crate::world::{table, tests};

#[test]
fn tests_of_extensions() {
    tests(&[
        (
            "5173 §5.1",
            "body",
            "body :raw :contains \"second LINE\"",
            true,
        ),
        (
            "5173 §5.2",
            "body",
            "body :content \"text\" :contains \"hello\"",
            true,
        ),
        (
            "5173 §5.2",
            "body",
            "body :content \"image\" :contains \"hello\"",
            false,
        ),
        ("5173 §5.3", "body", "body :contains \"there\"", true),
        (
            "5231 §4.1 value",
            "relational comparator-i;ascii-numeric",
            "header :value \"ge\" :comparator \"i;ascii-numeric\" \"x-count\" \"9\"",
            true,
        ),
        (
            "5231 §4.1 octets",
            "relational",
            "header :value \"lt\" \"x-count\" \"9\"",
            true,
        ),
        (
            "5231 §4.2 count",
            "relational comparator-i;ascii-numeric",
            "header :count \"eq\" :comparator \"i;ascii-numeric\" \"received\" \"2\"",
            true,
        ),
        (
            "5231 §4.2 count",
            "relational comparator-i;ascii-numeric",
            "address :count \"gt\" :comparator \"i;ascii-numeric\" [\"to\",\"cc\"] \"3\"",
            false,
        ),
        (
            "regex",
            "regex",
            "header :regex \"subject\" \"FROM (a|b)far$\"",
            true,
        ),
        (
            "regex octet",
            "regex",
            "header :regex :comparator \"i;octet\" \"subject\" \"FROM\"",
            false,
        ),
        (
            "regex variables",
            "regex variables",
            "allof (header :matches \"x-count\" \"1*\", header :regex \"x-count\" \"^1${1}$\")",
            true,
        ),
        ("5233 §4", "subaddress", "address :user \"to\" \"me\"", true),
        (
            "5233 §4",
            "subaddress",
            "address :detail \"to\" \"list\"",
            true,
        ),
        (
            "5233 §4 none",
            "subaddress",
            "address :detail \"from\" \"\"",
            false,
        ),
        (
            "5233 §4",
            "subaddress envelope",
            "envelope :detail \"to\" \"list\"",
            true,
        ),
        (
            "5260 §4",
            "date",
            "date :zone \"+0000\" \"date\" \"date\" \"2010-07-21\"",
            true,
        ),
        (
            "5260 §4 original",
            "date",
            "date :originalzone \"date\" \"hour\" \"22\"",
            true,
        ),
        (
            "5260 §4 received",
            "date",
            "date \"received\" \"time\" \"22:41:03\"",
            true,
        ),
        (
            "5260 §5",
            "date relational",
            "currentdate :value \"ge\" \"date\" \"2010-07-20\"",
            true,
        ),
        (
            "5260 §5",
            "date",
            "currentdate :matches \"weekday\" \"2\"",
            true,
        ),
        (
            "5260 §6",
            "index",
            "header :index 2 :contains \"received\" \"b.test\"",
            true,
        ),
        (
            "5260 §6 last",
            "index",
            "header :index 1 :last :contains \"received\" \"from a.test\"",
            false,
        ),
        (
            "5260 §6 date",
            "index date",
            "date :index 2 \"received\" \"minute\" \"30\"",
            true,
        ),
        (
            "5183 §4",
            "environment",
            "environment :is \"name\" \"mailpods\"",
            true,
        ),
        (
            "5183 §4 unknown",
            "environment",
            "environment :contains \"vnd.none\" \"\"",
            false,
        ),
        (
            "5235 §2.1",
            "spamtest relational comparator-i;ascii-numeric",
            "spamtest :value \"eq\" :comparator \"i;ascii-numeric\" \"5\"",
            true,
        ),
        (
            "5235 §2.1 percent",
            "spamtestplus",
            "spamtest :percent :is \"50\"",
            true,
        ),
        ("5235 §3.1", "virustest", "virustest :is \"1\"", true),
        (
            "5490 §3.1",
            "mailbox",
            "mailboxexists [\"INBOX\", \"Lists\"]",
            true,
        ),
        (
            "5490 §3.1",
            "mailbox",
            "mailboxexists [\"INBOX\", \"None\"]",
            false,
        ),
        ("9042 §5", "mailboxid", "mailboxidexists \"F1\"", true),
        (
            "8579 §3",
            "special-use",
            "specialuse_exists \"\\\\Junk\"",
            true,
        ),
        (
            "8579 §3",
            "special-use",
            "specialuse_exists \"Lists\" \"\\\\Junk\"",
            false,
        ),
        (
            "5435 §4",
            "enotify",
            "valid_notify_method [\"mailto:a@b.test\"]",
            true,
        ),
        (
            "5435 §4",
            "enotify",
            "valid_notify_method [\"xmpp:a@b.test\"]",
            false,
        ),
        (
            "5435 §5",
            "enotify",
            "notify_method_capability \"mailto:a@b.test\" \"Online\" \"maybe\"",
            true,
        ),
        (
            "6134 §2.5",
            "extlists",
            "address :list \"from\" \"friends\"",
            true,
        ),
        (
            "6134 §2.5",
            "extlists",
            "address :list \"to\" \"friends\"",
            false,
        ),
        ("6134 §2.6", "extlists", "valid_ext_list \"friends\"", true),
        (
            "6134 §2.6",
            "extlists",
            "valid_ext_list [\"friends\", \"foes\"]",
            false,
        ),
        ("5463 §4", "ihave", "ihave [\"fileinto\", \"body\"]", true),
        (
            "5463 §4",
            "ihave",
            "ihave [\"fileinto\", \"vnd.none\"]",
            false,
        ),
        (
            "5463 §4 not checked",
            "ihave",
            "allof (ihave \"vnd.none\", bogus :tag 1)",
            false,
        ),
        ("7352 §3", "duplicate", "duplicate", false),
        (
            "7352 §3 seen",
            "duplicate",
            "duplicate :uniqueid \"seen\"",
            true,
        ),
        (
            "7352 §3.1 absent",
            "duplicate",
            "duplicate :header \"x-none\"",
            false,
        ),
        (
            "6785 §4",
            "imapsieve environment",
            "environment :contains \"imap.cause\" \"\"",
            false,
        ),
    ]);
}

#[test]
fn actions_of_extensions() {
    table(&[
        (
            "3894",
            "require [\"copy\",\"fileinto\"]; fileinto :copy \"A\"; redirect :copy \"x@y.test\";",
            "A; >x@y.test; keep",
        ),
        (
            "5232 §3",
            "require [\"imap4flags\"]; setflag \"\\\\Seen\"; addflag [\"a b\", \"A\"]; removeflag \"b\";",
            "keep (\\Seen a)",
        ),
        (
            "5232 §3 bad flags",
            "require [\"imap4flags\"]; setflag [\"\\\\Recent\", \"a(b\", \"ok\"];",
            "keep (ok)",
        ),
        (
            "5232 §5",
            "require [\"imap4flags\",\"fileinto\"]; setflag \"x\"; fileinto :flags \"y z\" \"A\"; keep;",
            "A (y z); keep (x)",
        ),
        (
            "5232 §4",
            "require [\"imap4flags\"]; setflag \"x y\"; if hasflag :contains \"Y\" { discard; }",
            "discard",
        ),
        (
            "5232 §2 variables",
            "require [\"imap4flags\",\"variables\"]; setflag \"v\" \"a b\"; removeflag \"v\" \"a\"; keep :flags \"${v}\";",
            "keep (b)",
        ),
        (
            "5229 §3",
            "require [\"variables\",\"fileinto\"]; set \"A\" \"x\"; fileinto \"${a}${b}${}${1x}$\";",
            "x${}${1x}$",
        ),
        (
            "5229 §3.2",
            "require [\"variables\",\"fileinto\"]; if header :matches \"subject\" \"* from *\" { fileinto \"${2}/${1}/${0}\"; }",
            "afar/Grüße/Grüße from afar",
        ),
        (
            "5229 §4.1",
            "require [\"variables\",\"fileinto\"]; set :upperfirst :lower \"a\" \"jUMBLED\"; set :length \"l\" \"äöü\"; set :quotewildcard \"q\" \"a*b\"; fileinto \"${a} ${l} ${q}\";",
            "Jumbled 3 a\\*b",
        ),
        (
            "5229 §5",
            "require [\"variables\"]; set \"a\" \"x\"; if string :is \"${a}y\" \"xy\" { discard; }",
            "discard",
        ),
        (
            "5435 §6",
            "require [\"variables\",\"enotify\",\"fileinto\"]; set :encodeurl \"a\" \"a b/ä\"; fileinto \"${a}\";",
            "a%20b%2F%C3%A4",
        ),
        (
            "5429 §2.1",
            "require \"reject\"; reject \"no\";",
            "reject no",
        ),
        (
            "5429 §2.2",
            "require \"ereject\"; ereject \"no\";",
            "ereject no",
        ),
        (
            "5429 §2.1.3",
            "require [\"reject\",\"fileinto\"]; fileinto \"A\"; reject \"no\";",
            "keep; error 1:46 reject conflicts with a fileinto before it",
        ),
        (
            "5230",
            "require \"vacation\"; vacation \"away\";",
            "vacation anna@sender.test 604800; keep",
        ),
        (
            "5230 §4.1",
            "require \"vacation\"; vacation :days 3 :handle \"h\" \"away\";",
            "vacation anna@sender.test 259200; keep",
        ),
        (
            "6131",
            "require \"vacation-seconds\"; vacation :seconds 1800 \"away\";",
            "vacation anna@sender.test 1800; keep",
        ),
        (
            "5230 §4.7",
            "require \"vacation\"; vacation \"a\"; vacation \"b\";",
            "keep; error 1:35 a second vacation",
        ),
        (
            "5435 §3",
            "require \"enotify\"; notify :importance \"1\" :message \"hi\" \"mailto:p@q.test\";",
            "notify p@q.test; keep",
        ),
        (
            "5490 §3.2",
            "require [\"fileinto\",\"mailbox\"]; fileinto :create \"N\";",
            "N :create",
        ),
        (
            "9042 §4",
            "require [\"fileinto\",\"mailboxid\"]; fileinto :mailboxid \"F1\" \"N\";",
            "Lists",
        ),
        (
            "9042 §4 none",
            "require [\"fileinto\",\"mailboxid\"]; fileinto :mailboxid \"F2\" \"N\";",
            "N",
        ),
        (
            "8579 §4",
            "require [\"fileinto\",\"special-use\"]; fileinto :specialuse \"\\\\Junk\" \"Spam\";",
            "Junk",
        ),
        (
            "8579 §4 none",
            "require [\"fileinto\",\"special-use\"]; fileinto :specialuse \"\\\\Archive\" \"Old\";",
            "Old",
        ),
        (
            "6134 §2.7",
            "require [\"extlists\"]; redirect :list \"friends\";",
            ">a@f.test; >b@f.test",
        ),
        (
            "5463 §5",
            "require \"ihave\"; if not ihave \"vnd.none\" { error \"needs it\"; }",
            "keep; error 1:44 needs it",
        ),
        (
            "5463 §4",
            "require \"ihave\"; if ihave \"fileinto\" { fileinto \"A\"; }",
            "A",
        ),
        (
            "5463 §4",
            "require \"ihave\"; if ihave \"vnd.none\" { bogus; } else { discard; }",
            "discard",
        ),
        (
            "7352 §3",
            "require \"duplicate\"; if duplicate :handle \"h\" :seconds 60 { discard; }",
            "remember h|<m1@sender.test> 60; keep",
        ),
        (
            "7352 §3 last",
            "require \"duplicate\"; if duplicate :last :uniqueid \"seen\" :seconds 9 { discard; }",
            "remember |seen 9 again; discard",
        ),
    ]);
}
