//! The same scripts over the same message by this interpreter and by Pigeonhole's sieve-test, with the same outcome.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use mailpods_tests::client;
use mailpods_tests::server::tool;

const MESSAGE: &str = "Received: from a.test by mx.example.test; Tue, 20 Jul 2010 22:41:03 +0200\r\n\
Received: from b.test by a.test; Tue, 20 Jul 2010 22:30:00 +0200\r\n\
From: Anna <anna@Sender.test>\r\n\
To: me+list@example.test, \"Other\" <other@example.test>\r\n\
Cc: third@example.test\r\n\
Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?= from afar\r\n\
Date: Tue, 20 Jul 2010 22:00:00 -0700\r\n\
Message-ID: <m1@sender.test>\r\n\
X-Count: 10\r\n\
X-Empty:\r\n\
MIME-Version: 1.0\r\n\
Content-Type: multipart/mixed; boundary=\"=b\"\r\n\r\n\
--=b\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ngr=FC=DFe\r\n\
--=b\r\nContent-Type: application/x-evil\r\nContent-Disposition: attachment; filename=\"a.exe\"\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n\
--=b--\r\n";

const REQUIRES: &str = "require [\"fileinto\",\"copy\",\"envelope\",\"body\",\"variables\",\"relational\",\"comparator-i;ascii-numeric\",\
\"regex\",\"imap4flags\",\"subaddress\",\"vacation\",\"date\",\"index\",\"editheader\",\"mailbox\",\"reject\",\"environment\",\"ihave\",\
\"foreverypart\",\"mime\",\"extracttext\",\"encoded-character\",\"vacation-seconds\",\"include\",\
\"duplicate\",\"enotify\"];\n";

/// Scripts without their `require`.
const SCRIPTS: &[&str] = &[
    // RFC 5228
    "",
    "keep; keep;",
    "discard;",
    "keep; discard;",
    "fileinto \"A\"; fileinto \"A\"; fileinto \"B\";",
    "fileinto \"INBOX\"; keep;",
    "redirect \"x@y.test\";",
    "redirect \"x@y.test\"; redirect \"x@y.test\"; keep;",
    "stop; fileinto \"A\";",
    "if false { stop; } elsif true { discard; } else { keep; }",
    "if header :contains \"subject\" \"AFAR\" { fileinto \"1\"; }",
    "if header :is \"subject\" \"Grüße from afar\" { fileinto \"1\"; }",
    "if header :comparator \"i;octet\" :contains \"subject\" \"AFAR\" { fileinto \"1\"; }",
    "if header :is \"x-empty\" \"\" { fileinto \"1\"; }",
    "if header :contains \"x-none\" \"\" { fileinto \"1\"; }",
    "if header :matches \"subject\" \"*fr?m*\" { fileinto \"1\"; }",
    "if header :matches \"subject\" \"fr?m\" { fileinto \"1\"; }",
    "if exists [\"from\", \"x-none\"] { fileinto \"1\"; }",
    "if not exists \"x-none\" { fileinto \"1\"; }",
    "if size :over 400 { fileinto \"1\"; }",
    "if size :over 1M { fileinto \"1\"; }",
    "if address :is \"from\" \"anna@sender.test\" { fileinto \"1\"; }",
    "if address :domain \"from\" \"SENDER.TEST\" { fileinto \"1\"; }",
    "if address :localpart [\"to\",\"cc\"] \"third\" { fileinto \"1\"; }",
    "if address :all :contains \"to\" \"other\" { fileinto \"1\"; }",
    "if envelope \"from\" \"anna@sender.test\" { fileinto \"1\"; }",
    "if anyof (false, not true, header \"x-count\" \"10\") { fileinto \"1\"; }",
    "if allof (true, header \"x-count\" \"11\") { fileinto \"1\"; }",
    "fileinto \"$${hex:40 41}${unicode:e4}\";",
    // RFC 3894, 5232
    "fileinto :copy \"A\"; redirect :copy \"x@y.test\";",
    "setflag \"\\\\Seen\"; addflag [\"a b\", \"A\"]; removeflag \"b\";",
    "setflag \"x\"; fileinto :flags \"y z\" \"A\"; keep;",
    "setflag \"x y\"; if hasflag :contains \"Y\" { discard; }",
    "setflag \"v\" \"a b\"; removeflag \"v\" \"a\"; keep :flags \"${v}\";",
    // RFC 5229
    "set \"A\" \"x\"; fileinto \"${a}${b}${1x}$\";",
    "if header :matches \"subject\" \"* from *\" { fileinto \"${2}-${1}-${0}\"; }",
    "if header :matches \"message-id\" \"<*@*>\" { fileinto \"${1} ${2}\"; }",
    "set :upperfirst :lower \"a\" \"jUMBLED\"; set :length \"l\" \"äöü\"; fileinto \"${a} ${l}\";",
    "set :quotewildcard \"q\" \"a*b?\"; fileinto \"${q}\";",
    "set \"a\" \"x\"; if string :is \"${a}y\" \"xy\" { discard; }",
    "if anyof (header :matches \"x-count\" \"1?\", header :matches \"subject\" \"*\") { fileinto \"${1}\"; }",
    // RFC 5231, 4790
    "if header :value \"ge\" :comparator \"i;ascii-numeric\" \"x-count\" \"9\" { fileinto \"1\"; }",
    "if header :value \"lt\" \"x-count\" \"9\" { fileinto \"1\"; }",
    "if header :count \"eq\" :comparator \"i;ascii-numeric\" \"received\" \"2\" { fileinto \"1\"; }",
    "if address :count \"ge\" :comparator \"i;ascii-numeric\" [\"to\",\"cc\"] \"4\" { fileinto \"1\"; }",
    "if header :is :comparator \"i;ascii-numeric\" \"x-count\" \"010\" { fileinto \"1\"; }",
    // regex
    "if header :regex \"subject\" \"FROM (a|b)(far)$\" { fileinto \"${1} ${2}\"; }",
    "if header :regex :comparator \"i;octet\" \"subject\" \"FROM\" { fileinto \"1\"; }",
    // RFC 5233
    "if address :user \"to\" \"me\" { fileinto \"1\"; }",
    "if address :detail \"to\" \"list\" { fileinto \"1\"; }",
    "if address :detail \"from\" \"\" { fileinto \"1\"; }",
    "if envelope :detail \"to\" \"list\" { fileinto \"1\"; }",
    // RFC 5173
    "if body :raw :contains \"gr=FC\" { fileinto \"1\"; }",
    "if body :content \"text\" :contains \"grüße\" { fileinto \"1\"; }",
    "if body :text :contains \"grüße\" { fileinto \"1\"; }",
    "if body :content \"application/x-evil\" :contains \"hello\" { fileinto \"1\"; }",
    // RFC 5260
    "if date :zone \"+0000\" \"date\" \"date\" \"2010-07-21\" { fileinto \"1\"; }",
    "if date :originalzone \"date\" \"hour\" \"22\" { fileinto \"1\"; }",
    "if date :originalzone \"date\" \"iso8601\" \"2010-07-20T22:00:00-07:00\" { fileinto \"1\"; }",
    "if date :zone \"+0200\" \"received\" \"std11\" \"Tue, 20 Jul 2010 22:41:03 +0200\" { fileinto \"1\"; }",
    "if date :zone \"+0000\" \"date\" \"julian\" \"55398\" { fileinto \"1\"; }",
    "if date :originalzone \"date\" \"weekday\" \"2\" { fileinto \"1\"; }",
    "if header :index 2 :contains \"received\" \"b.test\" { fileinto \"1\"; }",
    "if header :index 1 :last :contains \"received\" \"from a.test\" { fileinto \"1\"; }",
    // RFC 5293
    "addheader \"X-A\" \"1\"; if header \"x-a\" \"1\" { fileinto \"1\"; }",
    "deleteheader \"x-count\"; if not exists \"x-count\" { fileinto \"1\"; }",
    "deleteheader :contains \"subject\" \"nothing\"; if exists \"subject\" { fileinto \"1\"; }",
    "deleteheader :index 1 \"x-count\"; deleteheader \"received\"; if exists \"received\" { fileinto \"1\"; }",
    // RFC 5429, 5230, 6131
    "reject \"no thanks\";",
    "fileinto \"A\"; reject \"no\";",
    "vacation \"away\";",
    "vacation :seconds 1800 \"away\"; fileinto \"A\";",
    "vacation \"a\"; vacation \"b\";",
    // RFC 5463, 5703
    "if ihave \"vnd.none\" { bogus; } else { discard; }",
    "if not ihave \"vnd.none\" { error \"needs it\"; }",
    "foreverypart { if header :mime :type \"content-type\" \"application\" { fileinto \"1\"; break; } }",
    "foreverypart { set \"n\" \"x${n}\"; } fileinto \"${n}\";",
    "foreverypart { if header :mime :param \"filename\" :matches \"content-disposition\" \"*.exe\" { discard; } }",
    "if header :mime :anychild :contenttype \"content-type\" \"application/x-evil\" { discard; }",
    "foreverypart { if header :mime :subtype \"content-type\" \"plain\" { extracttext :upper :first 2 \"t\"; fileinto \"${t}\"; } }",
    // RFC 7352, 5490, 5435, 5436
    "if duplicate { discard; } else { fileinto \"1\"; }",
    "if duplicate :header \"x\" :uniqueid \"y\" { discard; }",
    "if mailboxexists \"INBOX\" { fileinto \"1\"; }",
    "if mailboxexists \"None\" { fileinto \"1\"; }",
    "fileinto :create \"New\";",
    "notify \"mailto:a@b.test\"; fileinto \"1\";",
    "notify :importance \"1\" :from \"x@y.test\" :message \"hi\" \"mailto:a@b.test?subject=x\";",
    "notify \"http://x/\";",
    "if valid_notify_method \"mailto:a@b.test\" { fileinto \"1\"; }",
    "if valid_notify_method \"xmpp:a@b.test\" { fileinto \"1\"; }",
    "if notify_method_capability \"mailto:a@b.test\" \"online\" \"maybe\" { fileinto \"1\"; }",
    "set :encodeurl \"a\" \"a b/ä\"; fileinto \"${a}\";",
    // Corners
    "redirect :copy \"a@b.test\"; discard;",
    "redirect \"a@b.test\"; keep;",
    "fileinto \"INBOX\"; fileinto \"inbox\";",
    "return; discard;",
    "if header :matches \"subject\" \"Gr??e*\" { discard; }",
    "if header :is [\"x-count\",\"subject\"] [\"9\",\"10\"] { discard; }",
    "if size :under 1K { discard; }",
    "if address :all :is :comparator \"i;octet\" \"from\" \"Anna@Sender.test\" { discard; }",
    "if envelope :localpart \"to\" \"me+list\" { fileinto \"1\"; }",
    "if envelope :user \"to\" \"me\" { fileinto \"1\"; }",
    "if envelope \"bogus\" \"x\" { discard; }",
    "fileinto \"${unicode:d800}\";",
    "addflag [\"\\\\Seen\",\"\\\\Bogus\",\"x\"]; fileinto \"a\";",
    "addflag \"v\" \"a\"; if hasflag \"v\" \"a\" { discard; }",
    "setflag \"a b c\"; if hasflag :count \"eq\" :comparator \"i;ascii-numeric\" \"3\" { discard; }",
    "if body :contains \"hello\" { fileinto \"1\"; }",
    "if body :content [\"text\",\"application\"] :contains \"hello\" { fileinto \"1\"; }",
    "if body :content \"multipart\" :contains \"=b\" { fileinto \"1\"; }",
    "if currentdate :matches \"year\" \"20*\" { fileinto \"1\"; }",
    "if currentdate :value \"ge\" \"date\" \"2020-01-01\" { fileinto \"1\"; }",
    "addheader :last \"Received\" \"x\"; if header :contains \"received\" \"x\" { fileinto \"1\"; }",
    "deleteheader :index 1 :last \"received\"; if header :contains \"received\" \"a.test\" { fileinto \"1\"; }",
    "vacation :days 0 \"x\";",
    "vacation :mime \"Content-Type: text/plain\r\n\r\nx\";",
    "vacation :addresses \"third@example.test\" \"x\";",
    "vacation :handle \"a\" :subject \"s\" :from \"me@example.test\" \"x\"; discard;",
    "reject \"a\"; reject \"b\";",
    "foreverypart { if exists :mime \"content-disposition\" { fileinto \"1\"; } }",
    "if address :mime :anychild \"from\" \"anna@sender.test\" { fileinto \"1\"; }",
    "foreverypart :name \"a\" { foreverypart { break :name \"a\"; } } discard;",
    // Errors.
    "frob;",
    "keep",
    "if header :like \"a\" \"b\" { }",
    "if header :is :contains \"a\" \"b\" { }",
    "redirect \"nobody\";",
    "if size 1 { }",
    "if true { keep;",
    "set \"1a\" \"b\";",
    "set :lower :upper \"a\" \"b\";",
    "if header :regex \"a\" \"(\" { }",
    "break;",
    "keep; require \"copy\";",
    "redirect \"a@b.test\"; redirect \"b@b.test\"; redirect \"c@b.test\"; redirect \"d@b.test\"; redirect \"e@b.test\";",
];

/// Where scripts, message and settings are; the user that sieve-test becomes must reach it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777))?;
        std::fs::write(folder.path().join("message"), MESSAGE)?;
        let home = folder.path().display();
        let id = client::output(Command::new("id").arg("-un"))?;
        let name = String::from_utf8(id.stdout)?.trim().to_owned();
        let (user, group) = if name == "root" {
            ("nobody", "nogroup")
        } else {
            (name.as_str(), name.as_str())
        };
        let settings = format!(
            "mail_location = maildir:{home}/mail\nmail_home = {home}\nmail_uid = {user}\nmail_gid = {group}\n\
             postmaster_address = postmaster@example.test\nhostname = mx.example.test\nrecipient_delimiter = +\n\
             plugin {{\n  sieve_extensions = +editheader +vacation-seconds\n}}\n"
        );
        std::fs::write(folder.path().join("dovecot.conf"), settings)?;
        Ok(Self(folder))
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}

const SENDER: &str = "anna@sender.test";
const RECIPIENT: &str = "me+list@example.test";

/// What each side did: its actions, or that the script is wrong.
#[derive(Debug, PartialEq, Eq)]
enum Did {
    Refused,
    Actions(BTreeSet<String>),
}

fn stored(mailbox: &str, flags: &str) -> String {
    let flags: BTreeSet<String> = flags
        .split_whitespace()
        .map(str::to_ascii_lowercase)
        .collect();
    format!("store {mailbox} {flags:?}")
}

/// `keep in INBOX with flags a b`, `file into X`, `redirect to a@b.test` ...
fn ours(folder: &Folder, script: &str) -> Result<Did> {
    let arguments = [
        "sieve",
        "test",
        script,
        "--message",
        &folder.path("message"),
        "--from",
        SENDER,
        "--to",
        RECIPIENT,
        "--output",
        "json",
    ];
    let output = tool(&arguments)?;
    if output.stdout.is_empty() {
        ensure!(
            output.status.code() == Some(1),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        return Ok(Did::Refused);
    }
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let actions = report["actions"].as_array().context("no actions")?;
    let one = |action: &serde_json::Value| {
        let text = action
            .as_str()
            .unwrap_or_default()
            .trim_end_matches(", changed")
            .to_owned();
        let stores = text
            .strip_prefix("keep in ")
            .or_else(|| text.strip_prefix("file into "));
        match stores.map(|rest| rest.split_once(" with flags ").unwrap_or((rest, ""))) {
            Some((mailbox, flags)) => stored(mailbox, flags),
            None if text.starts_with("answer ") => "vacation".to_owned(),
            None if text.starts_with("notify ") => "notify".to_owned(),
            None if text.starts_with("remember ") => "track duplicate".to_owned(),
            None => text
                .replace("redirect to ", "redirect ")
                .replace("reject: ", "reject "),
        }
    };
    Ok(Did::Actions(actions.iter().map(one).collect()))
}

fn theirs(folder: &Folder, script: &str) -> Result<Did> {
    let mut command = Command::new("sieve-test");
    command.args([
        "-c",
        &folder.path("dovecot.conf"),
        "-f",
        SENDER,
        "-a",
        RECIPIENT,
        "-r",
        RECIPIENT,
    ]);
    command.args([script, &folder.path("message")]);
    let output = client::output(&mut command)?;
    let (text, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    if errors.contains("failed to compile") {
        return Ok(Did::Refused);
    }
    if errors.contains("resolved with successful implicit keep") {
        return Ok(Did::Actions(BTreeSet::from([stored("INBOX", "")])));
    }
    ensure!(
        text.contains("Performed actions"),
        "{script}: {text}{errors}"
    );
    let mut actions: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if let Some(action) = line.strip_prefix(" * ") {
            actions.push((action.to_owned(), String::new()));
        } else if let (Some(flags), Some(last)) = (
            line.trim().strip_prefix("+ add IMAP flags: "),
            actions.last_mut(),
        ) {
            flags.clone_into(&mut last.1);
        }
    }
    Ok(Did::Actions(
        actions
            .iter()
            .map(|(action, flags)| their_action(action, flags))
            .collect(),
    ))
}

fn their_action(action: &str, flags: &str) -> String {
    if let Some(mailbox) = action.strip_prefix("store message in folder: ") {
        return stored(mailbox, flags);
    }
    if let Some(address) = action.strip_prefix("redirect message to: ") {
        return format!("redirect {}", address.trim_matches(['<', '>']));
    }
    if action.starts_with("send vacation message") {
        return "vacation".to_owned();
    }
    if action.starts_with("send notification") {
        return "notify".to_owned();
    }
    action.replace("reject message with reason: ", "reject ")
}

#[test]
fn scripts_end_as_with_pigeonhole() -> Result<()> {
    let folder = Folder::new()?;
    let mut differences = Vec::new();
    for (number, script) in SCRIPTS.iter().enumerate() {
        let path = folder.path(&format!("{number}.sieve"));
        std::fs::write(Path::new(&path), format!("{REQUIRES}{script}\n"))?;
        let (ours, theirs) = (ours(&folder, &path)?, theirs(&folder, &path)?);
        if ours != theirs {
            differences.push(format!(
                "{script}\n  here:       {ours:?}\n  Pigeonhole: {theirs:?}"
            ));
        }
    }
    ensure!(
        differences.is_empty(),
        "{} differences\n{}",
        differences.len(),
        differences.join("\n")
    );
    Ok(())
}
