//! Folders that details name, what domains hold together, warnings of quotas, and mail that goes for its age.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mailpods_api::DomainName;
use mailpods_net::dns::fixed::Zone;
use mailpods_plan::{
    Domain, DomainQuota, FolderRule, FolderUse, OverQuota, Plan, QuotaRules, QuotaWarnings,
};

use crate::Clock as _;
use crate::testing::{Rig, address, message, plan};
use crate::upkeep::Task;

const ALICE: &str = "alice@example.test";
const DAY: Duration = Duration::from_secs(86_400);

fn with_domain(plan: &mut Plan, change: impl FnOnce(&mut Domain)) {
    let name = DomainName::parse("example.test").unwrap();
    let mut domain = (*plan.domains[&name]).clone();
    change(&mut domain);
    let domain = Arc::new(domain);
    for name in std::iter::once(&domain.name).chain(&domain.alias_names) {
        plan.names.insert(name.clone(), domain.clone());
    }
    plan.domains.insert(name, domain);
}

async fn count(rig: &Rig, account: &str, mailbox: &str) -> usize {
    rig.mailbox(account, mailbox).await.len()
}

#[tokio::test]
async fn a_detail_names_a_folder_that_is_there() {
    let mut plan = plan(1);
    with_domain(&mut plan, |domain| domain.detail_folders = true);
    let mut rig = Rig::start(plan, Zone::new()).await;
    let mail = rig.store.mail.clone();
    let alice = mail.account(&address(ALICE)).await.unwrap();
    for folder in ["Lists", "Work/Reports"] {
        mail.create_mailbox(alice, folder, None).await.unwrap();
    }
    for detail in ["lists", "LISTS", "work/reports", "nowhere"] {
        let to = format!("alice+{detail}@example.test");
        rig.send("s@remote.test", &[&to]).await;
    }
    let to = ["alice+lists@example.test"];
    let mut junk = message(&rig.plan.current(), "s@remote.test", &to);
    junk.junk = true;
    rig.queue(vec![junk]).await;
    rig.until_empty().await;
    for (folder, wanted) in [("Lists", 2), ("Work/Reports", 1), ("INBOX", 1), ("Junk", 1)] {
        assert_eq!(count(&rig, ALICE, folder).await, wanted, "{folder}");
    }
    assert!(mail.mailbox(alice, "nowhere").await.unwrap().is_none());

    let mut off = (*rig.plan.current()).clone();
    with_domain(&mut off, |domain| domain.detail_folders = false);
    rig.plan.swap(off);
    rig.send("s@remote.test", &["alice+lists@example.test"])
        .await;
    rig.until_empty().await;
    assert_eq!(count(&rig, ALICE, "INBOX").await, 2);
}

#[tokio::test]
async fn a_domain_that_is_full_takes_nothing_for_any_of_its_mailboxes() {
    let mut plan = plan(1);
    plan.smtp.over_quota = OverQuota::Reject;
    with_domain(&mut plan, |domain| {
        domain.quota = DomainQuota {
            octets: None,
            messages: Some(2),
        };
    });
    let mut rig = Rig::start(plan, Zone::new()).await;
    let both = [ALICE, "bob@example.test"];
    rig.send("s@remote.test", &both).await;
    rig.until_empty().await;
    for account in both {
        assert_eq!(count(&rig, account, "INBOX").await, 1, "{account}");
    }
    // Delivery may go by what was so a moment ago; who asks anew tells it too.
    let domain = DomainName::parse("example.test").unwrap();
    let used = rig.store.upkeep.domain_usage(&domain, Duration::ZERO);
    assert_eq!(used.await.unwrap().messages, 2);
    rig.send("", &["postmaster@example.test"]).await;
    rig.until_empty().await;
    assert_eq!(count(&rig, "postmaster@example.test", "INBOX").await, 0);
}

fn warned(at: &[u8]) -> QuotaRules {
    QuotaRules {
        messages: Some(10),
        warnings: Some(QuotaWarnings {
            at: at.to_vec(),
            when_below: true,
        }),
        ..QuotaRules::default()
    }
}

async fn warnings(rig: &Rig) -> Vec<String> {
    let inbox = rig.mailbox(ALICE, "INBOX").await;
    let subject = "Subject: Your mailbox is ";
    let lines = inbox.iter().flat_map(|text| text.lines());
    let subjects = lines.filter_map(|line| line.strip_prefix(subject));
    subjects.map(str::to_owned).collect()
}

#[tokio::test]
async fn an_owner_is_told_once_of_each_mark_and_when_there_is_room_again() {
    let mut rig = Rig::start(plan(1), Zone::new()).await;
    for _ in 0..7 {
        rig.send("s@remote.test", &[ALICE]).await;
    }
    rig.until_empty().await;
    let mut limited = (*rig.plan.current()).clone();
    with_domain(&mut limited, |domain| {
        domain.defaults.quota = warned(&[70, 90])
    });
    rig.plan.swap(limited);
    for _ in 0..2 {
        rig.upkeep(Task::Warn).await;
        rig.until_empty().await;
        assert_eq!(warnings(&rig).await, ["70 % full"], "once");
    }
    // The warning is the eighth; one more, and the next mark is reached.
    rig.send("s@remote.test", &[ALICE]).await;
    rig.until_empty().await;
    rig.upkeep(Task::Warn).await;
    rig.until_empty().await;
    assert_eq!(warnings(&rig).await, ["70 % full", "90 % full"]);
    let inbox = rig.mailbox(ALICE, "INBOX").await;
    let told = inbox.last().unwrap();
    for wanted in [
        "Return-Path: <>",
        "To: <alice@example.test>",
        "Auto-Submitted: auto-generated",
        "9 of 10 messages",
    ] {
        assert!(told.contains(wanted), "{told}");
    }

    let mail = &rig.store.mail;
    let alice = mail.account(&address(ALICE)).await.unwrap();
    let folder = mail.mailbox(alice, "INBOX").await.unwrap().unwrap();
    let future = 1 << 40;
    let gone = rig.store.upkeep.expunge_saved_before(folder.id, future, 20);
    assert_eq!(gone.await.unwrap().len(), 10);
    rig.upkeep(Task::Warn).await;
    rig.upkeep(Task::Warn).await;
    rig.until_empty().await;
    assert_eq!(warnings(&rig).await, ["0 % full"], "there is room again");
    let inbox = rig.mailbox(ALICE, "INBOX").await;
    assert!(inbox.last().unwrap().contains("There is room again"));
}

#[tokio::test]
async fn a_mailbox_that_is_full_is_told_of_it() {
    let mut rig = Rig::start(plan(1), Zone::new()).await;
    for _ in 0..10 {
        rig.send("s@remote.test", &[ALICE]).await;
    }
    rig.until_empty().await;
    let mut limited = (*rig.plan.current()).clone();
    limited.smtp.over_quota = OverQuota::Reject;
    with_domain(&mut limited, |domain| {
        domain.defaults.quota = warned(&[100])
    });
    rig.plan.swap(limited);
    rig.upkeep(Task::Warn).await;
    rig.until_empty().await;
    assert_eq!(warnings(&rig).await, ["100 % full"]);
    assert_eq!(count(&rig, "postmaster@example.test", "INBOX").await, 0);
}

fn trash(keep_for: Duration, below: bool) -> FolderRule {
    FolderRule {
        name: "Trash".to_owned(),
        special_use: Some(FolderUse::Trash),
        create: false,
        subscribe: false,
        keep_for: Some(keep_for),
        below,
    }
}

#[tokio::test]
async fn mail_goes_when_it_has_been_in_its_folder_for_long_enough() {
    let mut rig = Rig::start(plan(1), Zone::new()).await;
    for _ in 0..4 {
        rig.send("s@remote.test", &[ALICE]).await;
    }
    rig.until_empty().await;
    let mail = rig.store.mail.clone();
    let alice = mail.account(&address(ALICE)).await.unwrap();
    // The use counts, and the name does not.
    mail.rename_mailbox(alice, "Trash", "Papierkorb")
        .await
        .unwrap();
    mail.create_mailbox(alice, "Papierkorb/Old", None)
        .await
        .unwrap();
    let id = async |name| mail.mailbox(alice, name).await.unwrap().unwrap().id;
    let inbox = id("INBOX").await;
    for (uid, folder) in [(1, "Papierkorb"), (2, "Papierkorb/Old"), (3, "Junk")] {
        let folder = id(folder).await;
        mail.move_messages(inbox, vec![uid], folder).await.unwrap();
    }
    let counts = async |rig: &Rig| {
        let mut counts = Vec::new();
        for folder in ["INBOX", "Papierkorb", "Papierkorb/Old", "Junk"] {
            counts.push(count(rig, ALICE, folder).await);
        }
        counts
    };
    let keep = |rig: &Rig, rules: Vec<FolderRule>| {
        let mut plan = (*rig.plan.current()).clone();
        plan.mailbox_defaults.folders = rules;
        rig.plan.swap(plan);
    };
    keep(&rig, vec![trash(30 * DAY, false)]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let behind = now.as_millis() as i64 - rig.clock.now();
    let behind = Duration::from_millis(behind.unsigned_abs());
    rig.clock.advance(behind + 29 * DAY);
    rig.upkeep(Task::Expire).await;
    assert_eq!(counts(&rig).await, [1, 1, 1, 1], "not yet");
    rig.clock.advance(2 * DAY);
    rig.upkeep(Task::Expire).await;
    assert_eq!(counts(&rig).await, [1, 0, 1, 1]);
    keep(&rig, vec![trash(30 * DAY, true)]);
    rig.upkeep(Task::Expire).await;
    assert_eq!(counts(&rig).await, [1, 0, 0, 1]);
}
