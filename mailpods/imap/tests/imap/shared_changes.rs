//! What becomes of mailboxes and messages that several people use when they are moved, renamed and deleted (RFC 4314 §4).

use crate::sharing::{BOBS, MESSAGE, give, world};

#[tokio::test]
async fn a_move_in_a_mailbox_of_another_keeps_its_flags() {
    let world = world().await;
    let (mut alice, mut bob) = (world.alice().await, world.login("bob").await);
    bob.append("INBOX", "(\\Seen \\Flagged x)", MESSAGE).await;
    // Without `w`, alice may set neither \Flagged nor keywords.
    give(&mut bob, "INBOX", "lrste").await;
    give(&mut bob, "Archive", "lrsi").await;
    alice.command(&format!("SELECT {BOBS}INBOX\"")).await;
    alice
        .talk(&format!(
            "C: a STORE 1 +FLAGS.SILENT (\\Seen)
             S: a OK ...
             C: b MOVE 1 {BOBS}Archive\"
             S: * OK [COPYUID ...
             S: * 1 EXPUNGE
             S: b OK ...
             C: c STATUS {BOBS}Archive\" (MESSAGES UNSEEN)
             S: * STATUS \"Other Users/bob@example.test/Archive\" (MESSAGES 1 UNSEEN 0)
             S: c OK ..."
        ))
        .await;
    bob.command("SELECT Archive").await;
    bob.talk("C: a FETCH 1 (FLAGS)\nS: * 1 FETCH (FLAGS (\\Flagged \\Seen x))\nS: a OK ...")
        .await;
}

#[tokio::test]
async fn what_readers_have_seen_goes_along_when_the_owner_moves_it() {
    let world = world().await;
    let (mut alice, mut bob) = (world.alice().await, world.login("bob").await);
    for _ in 0..2 {
        bob.append("INBOX", "", MESSAGE).await;
    }
    give(&mut bob, "INBOX", "lrs").await;
    give(&mut bob, "Archive", "lrs").await;
    alice.command(&format!("SELECT {BOBS}INBOX\"")).await;
    alice
        .talk("C: a STORE 2 +FLAGS.SILENT (\\Seen)\nS: a OK ...\nC: b CLOSE\nS: b OK ...")
        .await;
    bob.command("SELECT INBOX").await;
    bob.command("MOVE 1:2 Archive").await;
    alice.command(&format!("SELECT {BOBS}Archive\"")).await;
    alice
        .talk(
            "C: c FETCH 1:2 (FLAGS)
             S: * 1 FETCH (FLAGS ())
             S: * 2 FETCH (FLAGS (\\Seen))
             S: c OK ...",
        )
        .await;
}

#[tokio::test]
async fn what_is_hidden_keeps_the_name_of_what_is_above() {
    let world = world().await;
    let (mut alice, mut bob) = (world.alice().await, world.login("bob").await);
    bob.command("CREATE team").await;
    give(&mut bob, "team", "lrkx").await;
    bob.command("CREATE team/a").await;
    bob.command("CREATE team/secret").await;
    bob.command("DELETEACL team/secret alice@example.test")
        .await;
    bob.command("CREATE other").await;
    give(&mut bob, "other", "lrkx").await;
    alice
        .talk(&format!(
            "C: a RENAME {BOBS}team\" {BOBS}other/team\"
             S: a NO [NOPERM] ..."
        ))
        .await;
    bob.talk(
        "C: b LIST \"\" team/*
         S: * LIST (\\HasNoChildren) \"/\" team/a
         S: * LIST (\\HasNoChildren) \"/\" team/secret
         S: b OK ...
         C: c LIST \"\" other/*
         S: c OK ...",
    )
    .await;
    give(&mut bob, "team/secret", "lx").await;
    alice
        .talk(&format!(
            "C: d RENAME {BOBS}team\" {BOBS}other/team\"
             S: d OK ..."
        ))
        .await;
    bob.talk(
        "C: e LIST \"\" other/team/*
         S: * LIST (\\HasNoChildren) \"/\" other/team/a
         S: * LIST (\\HasNoChildren) \"/\" other/team/secret
         S: e OK ...",
    )
    .await;
}

#[tokio::test]
async fn mailboxes_of_the_plan_are_found_before_their_first_mail() {
    let world = world().await;
    let found = || async {
        let address = crate::world::address("info@example.test");
        world.store.mail.find_account(&address).await.unwrap()
    };
    assert_eq!(found().await, None);
    let mut alice = world.alice().await;
    let lines = alice.command("LIST \"\" Public/Info/%").await;
    assert_eq!(lines.len(), 7, "{lines:?}");
    assert!(found().await.is_some());
}
