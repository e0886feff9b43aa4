//! Mailboxes of others: rights, names, and a `\Seen` of one's own (RFC 4314, RFC 2342).

use std::sync::Arc;

use mailpods_plan::{Grant, Plan, Share, Shares};

use crate::world::{Client, World, address, mailbox, plan};

pub const MESSAGE: &str = "Subject: x\r\n\r\nbody\r\n";
pub const BOBS: &str = "\"Other Users/bob@example.test/";

fn grant(to: &str, rights: &str, mailbox: Option<&str>) -> Grant {
    Grant {
        to: to.parse().unwrap(),
        rights: rights.parse().unwrap(),
        mailbox: mailbox.map(str::to_owned),
    }
}

/// carol is there too, and `info` is public: anyone reads INBOX, alice does all.
fn shared_plan() -> Plan {
    let mut plan = plan();
    for who in ["carol@example.test", "info@example.test"] {
        plan.mailboxes
            .insert(address(who), Arc::new(mailbox(who, None)));
    }
    let share = Share {
        public_name: Some("Info".to_owned()),
        grants: vec![
            grant("anyone", "lrs", Some("INBOX")),
            grant("alice@example.test", "lrswipkxtea", None),
        ],
    };
    let mut shares = Shares::default();
    shares
        .mailboxes
        .insert(address("info@example.test"), Arc::new(share));
    plan.shares = shares.into();
    plan
}

pub async fn world() -> World {
    World::with(shared_plan()).await
}

/// bob gives alice rights in a mailbox of his.
pub async fn give(bob: &mut Client, mailbox: &str, rights: &str) {
    bob.talk(&format!(
        "C: g SETACL {mailbox} alice@example.test {rights}\nS: g OK ..."
    ))
    .await;
}

#[tokio::test]
async fn lists_are_set_told_and_deleted() {
    let world = world().await;
    let mut bob = world.login("bob").await;
    bob.talk(
        "C: a SETACL Sent Alice@Example.test lrs
         S: a OK ...
         C: b SETACL Sent alice@example.test +cd
         S: b OK ...
         C: c SETACL Sent alice@example.test -s
         S: c OK ...
         C: d SETACL Sent -carol@example.test l
         S: d OK ...
         C: e SETACL Sent anyone l
         S: e OK ...
         C: f GETACL Sent
         S: * ACL Sent bob@example.test lrswipkxteacd alice@example.test lrkxtecd anyone l -carol@example.test l
         S: f OK ...
         C: g DELETEACL Sent -carol@example.test
         S: g OK ...
         C: h SETACL Sent alice@example.test \"\"
         S: h OK ...
         C: i GETACL Sent
         S: * ACL Sent bob@example.test lrswipkxteacd anyone l
         S: i OK ...
         C: j MYRIGHTS Sent
         S: * MYRIGHTS Sent lrswipkxteacd
         S: j OK ...
         C: k LISTRIGHTS Sent Alice@Example.test
         S: * LISTRIGHTS Sent Alice@Example.test \"\" l r s w i p k x t e a c d
         S: k OK ...
         C: l LISTRIGHTS Sent bob@example.test
         S: * LISTRIGHTS Sent bob@example.test lrswipkxteacd
         S: l OK ...",
    )
    .await;
}

#[tokio::test]
async fn what_is_refused() {
    let world = world().await;
    let mut bob = world.login("bob").await;
    bob.talk(
        "C: a SETACL Sent alice@example.test lrq
         S: a BAD ...
         C: b SETACL Sent alice@example.test LR
         S: b BAD ...
         C: c SETACL Sent alice lr
         S: c BAD ...
         C: d SETACL Sent \"\" lr
         S: d BAD ...
         C: e SETACL Sent bob@example.test -a
         S: e NO [CANNOT] ...
         C: f SETACL Sent -bob@example.test a
         S: f NO [CANNOT] ...
         C: g SETACL Sent somebody@elsewhere.test lr
         S: g NO [CANNOT] ...
         C: h GETACL nothing
         S: h NO [NONEXISTENT] ...",
    )
    .await;
    let mut alice = world.alice().await;
    // What is not there, what may not be seen, and whom nobody knows have one answer.
    for name in ["Sent", "Nothing", "INBOX"] {
        for command in ["GETACL", "MYRIGHTS", "SELECT", "STATUS"] {
            let more = if command == "STATUS" {
                " (MESSAGES)"
            } else {
                ""
            };
            let bobs = alice
                .command(&format!("{command} {BOBS}{name}\"{more}"))
                .await;
            let nobodys = alice
                .command(&format!(
                    "{command} \"Other Users/zoe@example.test/{name}\"{more}"
                ))
                .await;
            assert_eq!(bobs, nobodys);
            assert!(bobs[0].starts_with("t NO [NONEXISTENT]"), "{bobs:?}");
        }
        for command in ["DELETE", "LISTRIGHTS"] {
            let more = if command == "LISTRIGHTS" {
                " anyone"
            } else {
                ""
            };
            let bobs = alice
                .command(&format!("{command} {BOBS}{name}\"{more}"))
                .await;
            assert!(bobs[0].starts_with("t NO [NONEXISTENT]"), "{bobs:?}");
        }
        let made = alice.command(&format!("CREATE {BOBS}{name}\"")).await;
        assert!(made[0].starts_with("t NO [NOPERM]"), "{made:?}");
    }
    alice
        .talk(
            "C: a CREATE Public/Own
             S: a NO [NOPERM] ...
             C: b CREATE \"Other Users\"
             S: b NO [NOPERM] ...",
        )
        .await;
}

#[tokio::test]
async fn names_of_others_are_listed() {
    let world = world().await;
    let (mut alice, mut bob) = (world.alice().await, world.login("bob").await);
    give(&mut bob, "Sent", "lr").await;
    give(&mut bob, "Drafts", "r").await;
    give(&mut bob, "Junk", "l").await;
    alice
        .talk(
            "C: a LIST \"\" \"Other Users/*\"
             S: * LIST (\\NonExistent \\Noselect \\HasChildren) \"/\" \"Other Users/bob@example.test\"
             S: * LIST (\\HasNoChildren) \"/\" \"Other Users/bob@example.test/Junk\"
             S: * LIST (\\HasNoChildren) \"/\" \"Other Users/bob@example.test/Sent\"
             S: a OK ...
             C: b LIST \"Public/\" * RETURN (STATUS (MESSAGES))
             S: * LIST (\\NonExistent \\Noselect \\HasChildren) \"/\" Public/Info
             S: * LIST (\\HasNoChildren) \"/\" Public/Info/Archive
             S: * STATUS Public/Info/Archive (MESSAGES 0)
             S: * LIST (\\HasNoChildren) \"/\" Public/Info/Drafts
             S: * STATUS Public/Info/Drafts (MESSAGES 0)
             S: * LIST (\\HasNoChildren) \"/\" Public/Info/INBOX
             S: * STATUS Public/Info/INBOX (MESSAGES 0)
             S: * LIST (\\HasNoChildren) \"/\" Public/Info/Junk
             S: * STATUS Public/Info/Junk (MESSAGES 0)
             S: * LIST (\\HasNoChildren) \"/\" Public/Info/Sent
             S: * STATUS Public/Info/Sent (MESSAGES 0)
             S: * LIST (\\HasNoChildren) \"/\" Public/Info/Trash
             S: * STATUS Public/Info/Trash (MESSAGES 0)
             S: b OK ...
             C: c LIST \"\" \"Other Users/%/J%\" RETURN (STATUS (MESSAGES))
             S: * LIST (\\HasNoChildren) \"/\" \"Other Users/bob@example.test/Junk\"
             S: c OK ...
             C: k LIST \"\" \"Other Users/%/J%\" RETURN (MYRIGHTS)
             S: * LIST (\\HasNoChildren) \"/\" \"Other Users/bob@example.test/Junk\"
             S: * MYRIGHTS \"Other Users/bob@example.test/Junk\" l
             S: k OK ...
             C: l LIST \"\" INBOX RETURN (MYRIGHTS)
             S: * LIST (\\HasNoChildren) \"/\" INBOX
             S: * MYRIGHTS INBOX lrswipkxteacd
             S: l OK ...
             C: d SELECT \"Other Users/bob@example.test/Junk\"
             S: d NO [NOPERM] ...
             C: e MYRIGHTS \"Other Users/bob@example.test/Junk\"
             S: * MYRIGHTS \"Other Users/bob@example.test/Junk\" l
             S: e OK ...
             C: f SUBSCRIBE \"Other Users/bob@example.test/Sent\"
             S: f OK ...
             C: g LSUB \"\" \"Other Users/*\"
             S: * LSUB () \"/\" \"Other Users/bob@example.test/Sent\"
             S: g OK ...
             C: h GETQUOTAROOT Public/Info/INBOX
             S: * QUOTAROOT Public/Info/INBOX
             S: h OK ...
             C: i GETACL Public/Info/INBOX
             S: * ACL Public/Info/INBOX info@example.test lrswipkxteacd anyone lrs alice@example.test lrswipkxteacd
             S: i OK ...
             C: j LISTRIGHTS Public/Info/INBOX anyone
             S: * LISTRIGHTS Public/Info/INBOX anyone lrs w i p k x t e a c d
             S: j OK ...",
        )
        .await;
    let mut carol = world.login("carol").await;
    carol
        .talk(
            "C: a LIST \"\" \"Public/*\"
             S: * LIST (\\NonExistent \\Noselect \\HasChildren) \"/\" Public/Info
             S: * LIST (\\HasNoChildren) \"/\" Public/Info/INBOX
             S: a OK ...
             C: b LIST \"\" \"Other Users/*\"
             S: b OK ...
             C: c SELECT Public/Info/Sent
             S: c NO [NONEXISTENT] ...
             C: d SELECT \"Other Users/info@example.test/INBOX\"
             S: d NO [NONEXISTENT] ...",
        )
        .await;
}

#[tokio::test]
async fn each_reader_has_a_seen_of_its_own() {
    let world = world().await;
    let mut alice = world.alice().await;
    for _ in 0..2 {
        alice.append("Public/Info/INBOX", "", MESSAGE).await;
    }
    let mut carol = world.login("carol").await;
    carol
        .talk(
            "C: a STATUS Public/Info/INBOX (MESSAGES UNSEEN)
             S: * STATUS Public/Info/INBOX (MESSAGES 2 UNSEEN 2)
             S: a OK ...
             C: b SELECT Public/Info/INBOX (CONDSTORE)
             S: * 2 EXISTS
             S: * 0 RECENT
             S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)
             S: * OK [PERMANENTFLAGS (\\Seen)] ...
             S: * OK [UNSEEN 1] ...
             S: * OK [UIDVALIDITY ...
             S: * OK [UIDNEXT 3] ...
             S: * OK [MAILBOXID ...
             S: * OK [HIGHESTMODSEQ 3] ...
             S: b OK [READ-ONLY] ...
             C: c FETCH 1 (BODY[TEXT])
             S: * 1 FETCH (FLAGS (\\Seen) MODSEQ (4) BODY[TEXT] {6}
             S: body
             S: )
             S: c OK ...
             C: d STORE 2 +FLAGS (\\Seen \\Flagged)
             S: * 2 FETCH (FLAGS (\\Seen) MODSEQ (5))
             S: d OK ...
             C: e STORE 2 +FLAGS (\\Flagged x)
             S: e NO [NOPERM] ...
             C: f STORE 2 -FLAGS (\\Seen)
             S: * 2 FETCH (FLAGS () MODSEQ (6))
             S: f OK ...
             C: g SEARCH UNSEEN
             S: * SEARCH 2
             S: g OK ...
             C: h EXPUNGE
             S: h NO [NOPERM] ...
             C: i MOVE 1 Sent
             S: i NO [NOPERM] ...
             C: j COPY 1:2 Sent
             S: j OK [COPYUID ...
             C: k CLOSE
             S: k OK ...
             C: l STATUS Public/Info/INBOX (MESSAGES UNSEEN)
             S: * STATUS Public/Info/INBOX (MESSAGES 2 UNSEEN 1)
             S: l OK ...
             C: m STATUS Sent (UNSEEN)
             S: * STATUS Sent (UNSEEN 1)
             S: m OK ...",
        )
        .await;
    alice
        .talk(
            "C: a STATUS Public/Info/INBOX (MESSAGES UNSEEN)
             S: * STATUS Public/Info/INBOX (MESSAGES 2 UNSEEN 2)
             S: a OK ...",
        )
        .await;
    let mut info = world.login("info").await;
    info.talk(
        "C: a STATUS INBOX (UNSEEN)
         S: * STATUS INBOX (UNSEEN 2)
         S: a OK ...",
    )
    .await;
}

#[tokio::test]
async fn changes_of_a_reader_are_told_to_its_other_sessions_alone() {
    let world = world().await;
    let mut alice = world.alice().await;
    alice.append("Public/Info/INBOX", "(\\Seen)", MESSAGE).await;
    let (mut one, mut two) = (world.login("carol").await, world.login("carol").await);
    for client in [&mut one, &mut two, &mut alice] {
        client.command("SELECT Public/Info/INBOX").await;
    }
    alice
        .talk("C: a FETCH 1 (FLAGS)\nS: * 1 FETCH (FLAGS (\\Seen))\nS: a OK ...")
        .await;
    one.talk("C: a STORE 1 +FLAGS.SILENT (\\Seen)\nS: a OK ...")
        .await;
    two.talk("C: a NOOP\nS: * 1 FETCH (FLAGS (\\Seen))\nS: a OK ...")
        .await;
    alice
        .talk("C: b STORE 1 FLAGS.SILENT (\\Flagged)\nS: b OK ...")
        .await;
    two.talk("C: b NOOP\nS: * 1 FETCH (FLAGS (\\Flagged \\Seen))\nS: b OK ...")
        .await;
    // What comes back is what this reader has missed.
    let mut late = world.login("carol").await;
    late.command("ENABLE QRESYNC").await;
    let lines = late.command("SELECT Public/Info/INBOX").await;
    let validity = lines
        .iter()
        .find_map(|line| line.split("UIDVALIDITY ").nth(1))
        .unwrap();
    let validity = validity.split(']').next().unwrap();
    let lines = late
        .command(&format!(
            "SELECT Public/Info/INBOX (QRESYNC ({validity} 2))"
        ))
        .await;
    assert!(
        lines.contains(&"* 1 FETCH (UID 1 FLAGS (\\Flagged \\Seen) MODSEQ (5))".to_owned()),
        "{lines:?}"
    );
}

#[tokio::test]
async fn rights_are_looked_at_with_each_command() {
    let world = world().await;
    let (mut alice, mut bob) = (world.alice().await, world.login("bob").await);
    bob.append("Sent", "", MESSAGE).await;
    give(&mut bob, "Sent", "lrswit").await;
    alice
        .talk(&format!(
            "C: a SELECT {BOBS}Sent\"
             S: * 1 EXISTS
             S: * 0 RECENT
             S: * FLAGS ...
             S: * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] ...
             S: * OK [UNSEEN 1] ...
             S: * OK [UIDVALIDITY ...
             S: * OK [UIDNEXT ...
             S: * OK [MAILBOXID ...
             S: * OK [HIGHESTMODSEQ ...
             S: a OK [READ-WRITE] ...
             C: b STORE 1 +FLAGS (\\Deleted)
             S: * 1 FETCH (FLAGS (\\Deleted))
             S: b OK ...
             C: c EXPUNGE
             S: c NO [NOPERM] ...
             C: d CLOSE
             S: d OK ...
             C: e STATUS {BOBS}Sent\" (MESSAGES)
             S: * STATUS \"Other Users/bob@example.test/Sent\" (MESSAGES 1)
             S: e OK ..."
        ))
        .await;
    alice.command(&format!("SELECT {BOBS}Sent\"")).await;
    give(&mut bob, "Sent", "lrt").await;
    alice
        .talk(
            "C: f STORE 1 +FLAGS (\\Flagged)
             S: * OK [PERMANENTFLAGS (\\Deleted)] ...
             S: f NO [NOPERM] ...",
        )
        .await;
    bob.talk("C: a DELETEACL Sent alice@example.test\nS: a OK ...")
        .await;
    alice
        .talk("C: g FETCH 1 (FLAGS)\nS: * BYE you may not read the selected mailbox any more")
        .await;
}

#[tokio::test]
async fn readers_on_another_process_see_it_too() {
    let world = World::new().await;
    let other = world.second().await;
    let (mut alice, mut bob) = (world.alice().await, other.login("bob").await);
    bob.append("Sent", "", MESSAGE).await;
    give(&mut bob, "Sent", "lrs").await;
    alice.command(&format!("SELECT {BOBS}Sent\"")).await;
    alice
        .talk("C: a STORE 1 +FLAGS.SILENT (\\Seen)\nS: a OK ...")
        .await;
    let mut far = other.alice().await;
    far.talk(&format!(
        "C: a STATUS {BOBS}Sent\" (UNSEEN)
         S: * STATUS \"Other Users/bob@example.test/Sent\" (UNSEEN 0)
         S: a OK ..."
    ))
    .await;
    bob.talk("C: a SETACL Sent alice@example.test l\nS: a OK ...")
        .await;
    alice
        .talk("C: b NOOP\nS: * BYE you may not read the selected mailbox any more")
        .await;
}

#[tokio::test]
async fn mailboxes_of_others_are_made_renamed_and_deleted() {
    let world = world().await;
    let (mut alice, mut bob) = (world.alice().await, world.login("bob").await);
    bob.command("CREATE team").await;
    give(&mut bob, "team", "lrikx").await;
    alice
        .talk(&format!(
            "C: a CREATE {BOBS}team/a/b\"
             S: a OK ...
             C: b MYRIGHTS {BOBS}team/a/b\"
             S: * MYRIGHTS \"Other Users/bob@example.test/team/a/b\" lrikxc
             S: b OK ...
             C: c RENAME {BOBS}team/a/b\" {BOBS}team/c\"
             S: c OK ...
             C: d RENAME {BOBS}team/c\" own
             S: d NO [CANNOT] ...
             C: e RENAME {BOBS}team/c\" {BOBS}c\"
             S: e NO [NOPERM] ...
             C: f RENAME Sent {BOBS}team/sent\"
             S: f NO [CANNOT] ...
             C: g DELETE {BOBS}team/a\"
             S: g OK ...
             C: h DELETE Public/Info/INBOX
             S: h NO [CANNOT] ...
             C: i CREATE Public/Info/new
             S: i OK ...
             C: j CREATE Public/Info/use (USE (\\Archive))
             S: j NO [USEATTR] ..."
        ))
        .await;
    bob.talk(
        "C: a LIST \"\" team/*
         S: * LIST (\\HasNoChildren) \"/\" team/c
         S: a OK ...",
    )
    .await;
}

#[tokio::test]
async fn the_quota_is_the_owners_and_flags_are_those_that_may_be_set() {
    let world = world().await;
    let (mut alice, mut bob) = (world.alice().await, world.login("bob").await);
    give(&mut bob, "INBOX", "i").await;
    alice
        .append(&format!("{BOBS}INBOX\""), "(\\Seen \\Flagged x)", MESSAGE)
        .await;
    bob.command("SELECT INBOX").await;
    bob.talk("C: a FETCH 1 (FLAGS)\nS: * 1 FETCH (FLAGS ())\nS: a OK ...")
        .await;
    // bob may hold 2048 octets.
    let large = format!("Subject: x\r\n\r\n{}\r\n", "x".repeat(2040));
    let lines = alice
        .command(&format!(
            "APPEND {BOBS}INBOX\" {{{}+}}\r\n{large}",
            large.len()
        ))
        .await;
    assert!(lines[0].starts_with("t NO [OVERQUOTA]"), "{lines:?}");
    alice.append("INBOX", "", &large).await;
    alice.command("SELECT INBOX").await;
    alice
        .talk(&format!(
            "C: a COPY 1 {BOBS}INBOX\"
             S: a NO [OVERQUOTA] ...
             C: b MOVE 1 {BOBS}INBOX\"
             S: b NO [OVERQUOTA] ...
             C: c COPY 1 {BOBS}Sent\"
             S: c NO [TRYCREATE] ...
             C: d COPY 1 {BOBS}Nothing\"
             S: d NO [TRYCREATE] ..."
        ))
        .await;
    // A drop box is read by nobody else.
    alice
        .talk(&format!(
            "C: e SELECT {BOBS}INBOX\"\nS: * OK [CLOSED] ...\nS: e NO [NONEXISTENT] ..."
        ))
        .await;
}

#[tokio::test]
async fn annotations_of_others_are_the_shared_ones() {
    let world = world().await;
    let (mut alice, mut bob) = (world.alice().await, world.login("bob").await);
    give(&mut bob, "Sent", "lr").await;
    bob.command("SETMETADATA Sent (/shared/comment \"ours\" /private/comment \"mine\")")
        .await;
    alice
        .talk(&format!(
            "C: a GETMETADATA {BOBS}Sent\" (/shared/comment /private/comment)
             S: * METADATA \"Other Users/bob@example.test/Sent\" (/private/comment NIL /shared/comment \"ours\")
             S: a OK ...
             C: b SETMETADATA {BOBS}Sent\" (/private/comment \"x\")
             S: b NO [METADATA NOPRIVATE] ...
             C: c SETMETADATA {BOBS}Sent\" (/shared/comment \"x\")
             S: c NO [NOPERM] ...
             C: d GETMETADATA {BOBS}Drafts\" /shared/comment
             S: d NO [NONEXISTENT] ..."
        ))
        .await;
}

#[tokio::test]
async fn notify_tells_of_mailboxes_of_others() {
    let world = world().await;
    let (mut alice, mut bob) = (world.alice().await, world.login("bob").await);
    alice
        .talk(
            "C: a NOTIFY SET (subtree (\"Other Users\") (MailboxName MessageNew MessageExpunge)) (personal (MailboxName))
             S: a OK ...",
        )
        .await;
    give(&mut bob, "Sent", "lr").await;
    alice
        .talk("S: * LIST (\\HasNoChildren) \"/\" \"Other Users/bob@example.test/Sent\"")
        .await;
    bob.append("Sent", "", MESSAGE).await;
    alice
        .talk("S: * STATUS \"Other Users/bob@example.test/Sent\" (MESSAGES 1 UIDNEXT 2 UIDVALIDITY ...")
        .await;
    bob.talk("C: a DELETEACL Sent alice@example.test\nS: a OK ...")
        .await;
    alice
        .talk("S: * LIST (\\NonExistent) \"/\" \"Other Users/bob@example.test/Sent\"")
        .await;
}

#[tokio::test]
async fn domains_share_when_both_say_so() {
    let mut plan = shared_plan();
    let far = "dave@other.test";
    let domain = plan.domains.values().next().unwrap().clone();
    let mut other = (*domain).clone();
    other.name = address(far).domain().clone();
    let other = Arc::new(other);
    plan.domains.insert(other.name.clone(), other.clone());
    plan.names.insert(other.name.clone(), other.clone());
    plan.mailboxes
        .insert(address(far), Arc::new(mailbox(far, None)));
    let world = World::with(plan.clone()).await;
    let mut bob = world.login("bob").await;
    bob.talk(&format!(
        "C: a SETACL Sent {far} lr\nS: a NO [CANNOT] ...\nC: b SETACL Sent anyone lr\nS: b OK ..."
    ))
    .await;
    let mut dave = world.secure().await;
    dave.talk(&format!("C: l LOGIN {far} quickstart\nS: l OK ..."))
        .await;
    let quiet =
        "C: a LIST \"\" \"Other Users/*\"\nS: a OK ...\nC: b LIST \"\" \"Public/*\"\nS: b OK ...";
    dave.talk(quiet).await;
    plan.shares.domains.insert(other.name.clone());
    world.plan.swap(plan.clone());
    dave.talk(quiet).await;
    plan.shares.domains.insert(domain.name.clone());
    world.plan.swap(plan);
    // A public name is one in its own domain.
    dave.talk(
        "C: a LIST \"\" \"Other Users/%/%\"
         S: * LIST (\\HasNoChildren) \"/\" \"Other Users/bob@example.test/Sent\"
         S: * LIST (\\HasNoChildren) \"/\" \"Other Users/info@example.test/INBOX\"
         S: a OK ...
         C: b SELECT \"Other Users/info@example.test/INBOX\"
         S: * 0 EXISTS",
    )
    .await;
}
