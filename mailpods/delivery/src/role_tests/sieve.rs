//! Sieve scripts at local delivery.

use std::sync::Arc;
use std::time::Duration;

use mailpods_net::dns::fixed::Zone;
use mailpods_plan::{Mailbox, Plan, QuotaRules, SieveScript};
use mailpods_store::queue::QueueAction;

use crate::testing::{Rig, Script, Sink, address, message, plan, with_mailbox};

fn script(text: &str) -> SieveScript {
    SieveScript::compile(text).unwrap()
}

pub(super) fn with_script(plan: &mut Plan, account: &str, text: &str) {
    let mailbox = plan.mailboxes[&address(account)].clone();
    let mailbox = Mailbox {
        sieve: Some(script(text)),
        ..(*mailbox).clone()
    };
    plan.mailboxes.insert(address(account), Arc::new(mailbox));
}

async fn rig(text: &str) -> Rig {
    let mut plan = plan(1);
    with_script(&mut plan, "alice@example.test", text);
    Rig::start(plan, Zone::new()).await
}

/// Messages of a mailbox that may not be there.
pub(super) async fn count(rig: &Rig, account: &str, mailbox: &str) -> usize {
    let account_id = rig.store.mail.account(&address(account)).await.unwrap();
    match rig.store.mail.mailbox(account_id, mailbox).await.unwrap() {
        Some(_) => rig.mailbox(account, mailbox).await.len(),
        None => 0,
    }
}

pub(super) const ALICE: &str = "alice@example.test";

#[tokio::test]
async fn mail_is_filed_with_flags_and_the_mailbox_is_made() {
    let mut rig = rig("require [\"fileinto\",\"imap4flags\"]; if header \"subject\" \"a test\" { fileinto :flags \"\\\\Seen work\" \"Lists/a\"; }").await;
    rig.send("s@remote.test", &[ALICE, "bob@example.test"])
        .await;
    rig.until_empty().await;
    assert_eq!(count(&rig, ALICE, "INBOX").await, 0);
    assert_eq!(count(&rig, ALICE, "Lists/a").await, 1);
    assert_eq!(count(&rig, "bob@example.test", "INBOX").await, 1);
    let account = rig.store.mail.account(&address(ALICE)).await.unwrap();
    let info = rig
        .store
        .mail
        .mailbox(account, "Lists/a")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(info.unseen, 0);
    assert_eq!(rig.store.mail.keywords(info.id).await.unwrap(), ["work"]);
}

#[tokio::test]
async fn a_changed_copy_reaches_its_mailbox_and_others_the_original() {
    let mut rig = rig("require [\"editheader\",\"fileinto\",\"imap4flags\"]; fileinto \"Plain\"; addheader \"X-Sieve\" \"yes\"; setflag \"\\\\Flagged\"; fileinto \"Edited\"; discard;").await;
    rig.send("s@remote.test", &["info@example.test"]).await;
    rig.until_empty().await;
    let edited = rig.mailbox(ALICE, "Edited").await;
    assert_eq!(edited.len(), 1);
    let wanted = "Return-Path: <s@remote.test>\r\nDelivered-To: alice@example.test\r\nX-Original-To: info@example.test\r\nX-Sieve: yes\r\nFrom:";
    assert!(edited[0].starts_with(wanted), "{}", edited[0]);
    let plain = rig.mailbox(ALICE, "Plain").await;
    assert!(plain.len() == 1 && !plain[0].contains("X-Sieve"));
    assert_eq!(count(&rig, ALICE, "INBOX").await, 0);
}

#[tokio::test]
async fn a_redirect_leaves_once_and_does_not_come_back_for_ever() {
    let mut sink = Sink::start(Script::default()).await;
    let zone = Zone::parse("remote.test MX 10 mx.remote.test\nmx.remote.test A 127.0.0.1").unwrap();
    let mut plan = plan(sink.addr.port());
    with_script(
        &mut plan,
        ALICE,
        "redirect \"carol@remote.test\"; redirect \"bob@example.test\";",
    );
    with_script(
        &mut plan,
        "bob@example.test",
        "redirect \"alice@example.test\";",
    );
    let mut rig = Rig::start(plan, zone).await;
    rig.send("s@other.test", &[ALICE]).await;
    let received = sink.message().await;
    assert!(
        received.has("MAIL FROM:<s@other.test>")
            && received.has("RCPT TO:<carol@remote.test> ORCPT=rfc822;alice@example.test"),
        "{:?}",
        received.commands
    );
    assert!(
        received
            .body
            .starts_with("Delivered-To: alice@example.test\r\nFrom:"),
        "{}",
        received.body
    );
    rig.until_empty().await;
    // The copy that bob sent back is kept: it was here before.
    assert_eq!(count(&rig, ALICE, "INBOX").await, 1);
    assert_eq!(count(&rig, "bob@example.test", "INBOX").await, 0);
    assert_eq!(sink.connections(), 1);
}

#[tokio::test]
async fn a_refusal_goes_to_the_sender() {
    let mut rig = rig("require \"reject\"; reject \"No, thanks.\";").await;
    rig.send("bob@example.test", &[ALICE]).await;
    rig.until_empty().await;
    assert_eq!(count(&rig, ALICE, "INBOX").await, 0);
    let told = rig.mailbox("bob@example.test", "INBOX").await;
    assert_eq!(told.len(), 1);
    for text in ["Status: 5.7.1", "No, thanks.", "Action: failed"] {
        assert!(told[0].contains(text), "{text} is not in {}", told[0]);
    }
    // Nobody can be told of mail from the null sender.
    rig.send("", &[ALICE]).await;
    rig.until_empty().await;
    assert_eq!(count(&rig, ALICE, "INBOX").await, 1);
}

/// A recipient with two ends, one of which refuses: the other has its copy, and the sender is told of the refusal.
#[tokio::test]
async fn a_refusal_of_one_end_leaves_the_others() {
    let mut plan = plan(1);
    with_script(&mut plan, ALICE, "require \"ereject\"; ereject \"no\";");
    plan.aliases.insert(
        address("both@example.test"),
        vec![address(ALICE), address("postmaster@example.test")],
    );
    let mut rig = Rig::start(plan, Zone::new()).await;
    rig.send("bob@example.test", &["both@example.test"]).await;
    rig.until_empty().await;
    assert_eq!(count(&rig, "postmaster@example.test", "INBOX").await, 1);
    let told = rig.mailbox("bob@example.test", "INBOX").await;
    assert!(
        told.len() == 1 && told[0].contains("Status: 5.7.1"),
        "{told:?}"
    );
}

pub(super) fn to_alice(plan: &Plan, sender: &str) -> mailpods_store::queue::NewMessage {
    let mut message = message(plan, sender, &[ALICE]);
    let octets = format!(
        "From: <{sender}>\r\nTo: alice@example.test\r\nSubject: hi\r\nMessage-ID: <2@a.test>\r\n\r\nx\r\n"
    );
    message.body = mailpods_store::NewBody::Octets {
        slices: vec![octets.into()],
        meta: None,
    };
    message
}

#[tokio::test]
async fn an_answer_goes_once_to_each_sender_in_a_period() {
    let mut rig = rig("require \"vacation\"; vacation :days 2 \"I am away.\";").await;
    let plan = rig.plan.current();
    rig.queue(vec![
        to_alice(&plan, "bob@example.test"),
        to_alice(&plan, "bob@example.test"),
    ])
    .await;
    rig.until_empty().await;
    let answers = rig.mailbox("bob@example.test", "INBOX").await;
    assert_eq!(answers.len(), 1);
    assert!(
        answers[0].starts_with("Return-Path: <>\r\n"),
        "{}",
        answers[0]
    );
    assert!(
        answers[0].contains("Auto-Submitted: auto-replied") && answers[0].contains("I am away.")
    );
    rig.queue(vec![to_alice(&plan, "postmaster@example.test")])
        .await;
    rig.until_empty().await;
    assert_eq!(
        count(&rig, "postmaster@example.test", "INBOX").await,
        0,
        "nobody reads there"
    );
    rig.clock.advance(Duration::from_secs(3 * 86_400));
    rig.queue(vec![to_alice(&plan, "bob@example.test")]).await;
    rig.until_empty().await;
    assert_eq!(count(&rig, "bob@example.test", "INBOX").await, 2);
    assert_eq!(count(&rig, ALICE, "INBOX").await, 4);
}

#[tokio::test]
async fn a_second_copy_is_a_duplicate_also_in_one_batch() {
    let mut rig = rig("require \"duplicate\"; if duplicate { discard; }").await;
    let plan = rig.plan.current();
    rig.queue(vec![
        to_alice(&plan, "bob@example.test"),
        to_alice(&plan, "bob@example.test"),
    ])
    .await;
    rig.until_empty().await;
    assert_eq!(count(&rig, ALICE, "INBOX").await, 1);
}

#[tokio::test]
async fn a_script_that_fails_keeps_the_message_and_tells_its_owner_once() {
    let mut rig =
        rig("require [\"fileinto\",\"include\"]; fileinto \"A\"; include \"missing\";").await;
    for _ in 0..2 {
        rig.send("s@remote.test", &[ALICE]).await;
        rig.until_empty().await;
    }
    let inbox = rig.mailbox(ALICE, "INBOX").await;
    let told: Vec<&String> = inbox
        .iter()
        .filter(|message| message.contains("A Sieve script failed"))
        .collect();
    assert_eq!((inbox.len(), told.len()), (3, 1), "{inbox:?}");
    assert!(
        told[0].contains("line 1, column 47: there is no script"),
        "{}",
        told[0]
    );
    assert_eq!(count(&rig, ALICE, "A").await, 0);
}

#[tokio::test]
async fn scripts_of_the_cluster_stand_around_those_of_mailboxes() {
    let mut plan = plan(1);
    plan.sieve.stages.before = Some(script(
        "require [\"include\"]; include :global \"archive\";",
    ));
    plan.sieve.stages.after = Some(script(
        "require [\"extlists\",\"fileinto\"]; if address :list \"from\" \"friends\" { fileinto \"Friends\"; }",
    ));
    plan.sieve.scripts.insert(
        "archive".to_owned(),
        script("require [\"fileinto\",\"copy\"]; fileinto :copy \"All\";"),
    );
    plan.sieve
        .lists
        .insert("friends".to_owned(), vec![address("s@remote.test")]);
    with_script(
        &mut plan,
        ALICE,
        "require [\"mailbox\",\"special-use\"]; if not allof (mailboxexists \"All\", specialuse_exists \"\\\\Junk\") { discard; }",
    );
    let mut rig = Rig::start(plan, Zone::new()).await;
    for _ in 0..2 {
        rig.send("s@remote.test", &[ALICE]).await;
        rig.until_empty().await;
    }
    rig.send("t@remote.test", &[ALICE]).await;
    rig.until_empty().await;
    assert_eq!(count(&rig, ALICE, "All").await, 3);
    assert_eq!(
        count(&rig, ALICE, "Friends").await,
        2,
        "also the first, which its owner dropped: All was not there yet"
    );
    assert_eq!(count(&rig, ALICE, "INBOX").await, 1);
}

/// All that a script wants happens with its settlement, or nothing of it.
#[tokio::test]
async fn nothing_is_done_for_a_mailbox_that_is_full() {
    let mut plan = plan(1);
    with_mailbox(&mut plan, ALICE, true, Some(1));
    with_script(
        &mut plan,
        ALICE,
        "require [\"fileinto\",\"copy\",\"vacation\"]; fileinto \"A\"; fileinto \"B\"; redirect :copy \"postmaster@example.test\"; vacation \"away\";",
    );
    let mut rig = Rig::start(plan, Zone::new()).await;
    let full = to_alice(&rig.plan.current(), "bob@example.test");
    rig.queue(vec![full]).await;
    rig.until_tried(1).await;
    for (account, mailbox) in [
        (ALICE, "A"),
        ("postmaster@example.test", "INBOX"),
        ("bob@example.test", "INBOX"),
    ] {
        assert_eq!(
            count(&rig, account, mailbox).await,
            0,
            "{account} {mailbox}"
        );
    }
    let mut room = (*rig.plan.current()).clone();
    let mailbox = Mailbox {
        quota: QuotaRules::default(),
        ..(*room.mailboxes[&address(ALICE)]).clone()
    };
    room.mailboxes.insert(address(ALICE), Arc::new(mailbox));
    rig.plan.swap(room);
    rig.clock.advance(Duration::from_secs(120));
    rig.act(QueueAction::Retry).await;
    rig.until_empty().await;
    for (account, mailbox) in [
        (ALICE, "A"),
        (ALICE, "B"),
        ("postmaster@example.test", "INBOX"),
        ("bob@example.test", "INBOX"),
    ] {
        assert_eq!(
            count(&rig, account, mailbox).await,
            1,
            "{account} {mailbox}"
        );
    }
}

#[tokio::test]
async fn junk_is_kept_instead_of_redirected_to_another_domain() {
    let mut rig = rig("redirect \"away@remote.test\";").await;
    let mut junk = message(&rig.plan.current(), "s@remote.test", &[ALICE]);
    junk.junk = true;
    rig.queue(vec![junk]).await;
    rig.until_empty().await;
    assert_eq!(count(&rig, ALICE, "Junk").await, 1);
}

/// What ManageSieve does.
async fn keep(rig: &Rig, account: &str, name: &str, text: &str) {
    let owner = rig.store.mail.account(&address(account)).await.unwrap();
    let source = text.as_bytes().to_vec().into();
    let scripts = &rig.store.scripts;
    scripts.put_script(owner, name, source).await.unwrap();
}

async fn activate(rig: &Rig, account: &str, name: Option<&str>) {
    let owner = rig.store.mail.account(&address(account)).await.unwrap();
    let scripts = &rig.store.scripts;
    scripts.activate_script(owner, name).await.unwrap();
}

#[tokio::test]
async fn the_script_that_its_owner_made_active_runs_in_place_of_the_resources() {
    let mut rig = rig("require \"fileinto\"; fileinto \"Resource\";").await;
    keep(
        &rig,
        ALICE,
        "own",
        "require \"fileinto\"; fileinto \"Own\";",
    )
    .await;
    let steps = [
        (None, ["Resource"].as_slice()),
        (Some("own"), &["Resource", "Own"]),
        (None, &["Resource", "Own", "Resource"]),
    ];
    for (active, wanted) in steps {
        activate(&rig, ALICE, active).await;
        rig.send("s@remote.test", &[ALICE]).await;
        rig.until_empty().await;
        for folder in ["Resource", "Own"] {
            let count_wanted = wanted.iter().filter(|name| **name == folder).count();
            assert_eq!(
                count(&rig, ALICE, folder).await,
                count_wanted,
                "{active:?} {folder}"
            );
        }
    }
    assert_eq!(count(&rig, ALICE, "INBOX").await, 0);
}

#[tokio::test]
async fn a_changed_script_counts_from_the_next_message_on() {
    let mut rig = Rig::start(plan(1), Zone::new()).await;
    for folder in ["One", "Two"] {
        let text = format!("require \"fileinto\"; fileinto \"{folder}\";");
        keep(&rig, ALICE, "own", &text).await;
        activate(&rig, ALICE, Some("own")).await;
        rig.send("s@remote.test", &[ALICE, "bob@example.test"])
            .await;
        rig.until_empty().await;
        assert_eq!(count(&rig, ALICE, folder).await, 1, "{folder}");
    }
    assert_eq!(count(&rig, "bob@example.test", "INBOX").await, 2);
}

/// RFC 6609 §3.2
#[tokio::test]
async fn scripts_include_those_of_their_owner_alone() {
    let mut plan = plan(1);
    let include = "require \"include\"; include :personal :optional \"shared\"; include :personal :optional \"own\";";
    with_script(&mut plan, ALICE, include);
    let mut rig = Rig::start(plan, Zone::new()).await;
    keep(&rig, "bob@example.test", "shared", "discard;").await;
    rig.send("s@remote.test", &[ALICE]).await;
    rig.until_empty().await;
    assert_eq!(
        count(&rig, ALICE, "INBOX").await,
        1,
        "bob's script is not alice's"
    );
    keep(
        &rig,
        ALICE,
        "own",
        "require \"fileinto\"; fileinto \"Own\";",
    )
    .await;
    rig.send("s@remote.test", &[ALICE]).await;
    rig.until_empty().await;
    assert_eq!(count(&rig, ALICE, "Own").await, 1);
}

#[tokio::test]
async fn an_included_script_that_is_gone_keeps_the_mail_and_tells_its_owner() {
    let mut rig = Rig::start(plan(1), Zone::new()).await;
    keep(
        &rig,
        ALICE,
        "own",
        "require \"include\"; include :personal \"gone\"; discard;",
    )
    .await;
    activate(&rig, ALICE, Some("own")).await;
    rig.send("s@remote.test", &[ALICE]).await;
    rig.until_empty().await;
    let mails = rig.mailbox(ALICE, "INBOX").await;
    assert_eq!(mails.len(), 2, "the mail, and the word to its owner");
    let told = mails
        .iter()
        .find(|mail| mail.contains("A Sieve script failed"));
    let told = told.unwrap().replace("=\r\n", "");
    assert!(
        told.contains("the script \"own\": line 1, column 20: there is no script \"gone\""),
        "{told}"
    );
}
