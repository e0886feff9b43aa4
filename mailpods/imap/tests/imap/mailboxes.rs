//! Commands about mailboxes.

use mailpods_plan::{Domain, FolderRule, FolderUse, Plan};

use crate::world::{World, address, plan};

#[tokio::test]
async fn select_tells_all_that_rfc_3501_asks_for() {
    let world = World::new().await;
    let mut client = world.alice().await;
    client
        .append("INBOX", "(\\Seen)", "Subject: a\r\n\r\nx\r\n")
        .await;
    client
        .append("INBOX", "($Forwarded)", "Subject: b\r\n\r\nx\r\n")
        .await;
    client
        .talk(
            "C: a SELECT inbox
             S: * 2 EXISTS
             S: * 0 RECENT
             S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Forwarded)
             S: * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Forwarded \\*)] ...
             S: * OK [UNSEEN 2] ...
             S: * OK [UIDVALIDITY ...
             S: * OK [UIDNEXT 3] ...
             S: * OK [MAILBOXID (M...
             S: * OK [HIGHESTMODSEQ ...
             S: a OK [READ-WRITE] ...
             C: b EXAMINE Sent
             S: * OK [CLOSED] ...
             S: * 0 EXISTS
             S: * 0 RECENT
             S: * FLAGS ...
             S: * OK [PERMANENTFLAGS ()] ...
             S: * OK [UIDVALIDITY ...
             S: * OK [UIDNEXT 1] ...
             S: * OK [MAILBOXID (M...
             S: * OK [HIGHESTMODSEQ ...
             S: b OK [READ-ONLY] ...
             C: c EXPUNGE
             S: c NO ...
             C: d UNSELECT
             S: d OK ...
             C: e CLOSE
             S: e BAD ...
             C: f SELECT nothing
             S: f NO [NONEXISTENT] ...",
        )
        .await;
}

#[tokio::test]
async fn rev2_has_its_own_select_and_utf8_names() {
    let world = World::new().await;
    let mut client = world.alice().await;
    client
        .talk(
            "C: a CREATE \"Entw&APw-rfe\"
             S: a OK ...
             C: b ENABLE IMAP4rev2 CONDSTORE X-NONE
             S: * ENABLED CONDSTORE IMAP4rev2
             S: b OK ...
             C: c SELECT \"Entwürfe\"
             S: * 0 EXISTS
             S: * FLAGS ...
             S: * OK [PERMANENTFLAGS ...
             S: * OK [UIDVALIDITY ...
             S: * OK [UIDNEXT ...
             S: * OK [MAILBOXID (M...
             S: * OK [HIGHESTMODSEQ ...
             S: * LIST (\\HasNoChildren) \"/\" \"Entwürfe\"
             S: c OK [READ-WRITE] ...
             C: d SEARCH ALL
             S: * ESEARCH (TAG \"d\")
             S: d OK ...
             C: e ENABLE IMAP4rev2
             S: * ENABLED
             S: e OK ...",
        )
        .await;
}

#[tokio::test]
async fn the_default_mailboxes_are_there_with_their_use() {
    let world = World::new().await;
    let mut client = world.alice().await;
    client
        .talk(
            "C: a LIST \"\" \"\"
             S: * LIST (\\Noselect) \"/\" \"\"
             S: a OK ...
             C: b LIST \"\" *
             S: * LIST (\\HasNoChildren \\Archive) \"/\" Archive
             S: * LIST (\\HasNoChildren \\Drafts) \"/\" Drafts
             S: * LIST (\\HasNoChildren) \"/\" INBOX
             S: * LIST (\\HasNoChildren \\Junk) \"/\" Junk
             S: * LIST (\\HasNoChildren \\Sent) \"/\" Sent
             S: * LIST (\\HasNoChildren \\Trash) \"/\" Trash
             S: b OK ...
             C: c LIST (SPECIAL-USE) \"\" % RETURN (SUBSCRIBED STATUS (MESSAGES UIDNEXT))
             S: * LIST (\\HasNoChildren \\Subscribed \\Archive) \"/\" Archive
             S: * STATUS Archive (MESSAGES 0 UIDNEXT 1)
             S: * LIST (\\HasNoChildren \\Subscribed \\Drafts) \"/\" Drafts
             S: * STATUS Drafts ...
             S: * LIST ...
             S: * STATUS ...
             S: * LIST ...
             S: * STATUS ...
             S: * LIST ...
             S: * STATUS ...
             S: c OK ...
             C: d NAMESPACE
             S: * NAMESPACE ((\"\" \"/\")) ((\"Other Users/\" \"/\")) ((\"Public/\" \"/\"))
             S: d OK ...",
        )
        .await;
}

#[tokio::test]
async fn mailboxes_are_made_renamed_and_deleted() {
    let world = World::new().await;
    let mut client = world.alice().await;
    client
        .talk(
            "C: a CREATE work/2026/
             S: a OK ...
             C: b CREATE work/2026
             S: b NO [ALREADYEXISTS] ...
             C: c CREATE INBOX
             S: c NO [ALREADYEXISTS] ...
             C: d CREATE a//b
             S: d NO [CANNOT] ...
             C: e RENAME work job
             S: e OK ...
             C: f LIST \"\" job*
             S: * LIST (\\HasChildren) \"/\" job
             S: * LIST (\\HasNoChildren) \"/\" job/2026
             S: f OK ...
             C: g RENAME job job/below
             S: g NO [CANNOT] ...
             C: h RENAME none other
             S: h NO [NONEXISTENT] ...
             C: i DELETE INBOX
             S: i NO [CANNOT] ...
             C: i2 CREATE job/2026/May
             S: i2 OK ...
             C: i3 DELETE job/2026
             S: i3 OK ...
             C: i4 LIST \"\" job/*
             S: * LIST (\\NonExistent \\Noselect \\HasChildren) \"/\" job/2026
             S: * LIST (\\HasNoChildren) \"/\" job/2026/May
             S: i4 OK ...
             C: i5 STATUS job/2026/May (MESSAGES)
             S: * STATUS job/2026/May (MESSAGES 0)
             S: i5 OK ...
             C: i6 CREATE job/2026
             S: i6 OK ...
             C: j DELETE job/2026
             S: j OK ...
             C: k DELETE job/2026
             S: k NO [NONEXISTENT] ...
             C: l CREATE Old (USE (\\Flagged))
             S: l NO [USEATTR] ...
             C: m STATUS job (MESSAGES UNSEEN SIZE DELETED RECENT)
             S: * STATUS job (MESSAGES 0 UNSEEN 0 SIZE 0 DELETED 0 RECENT 0)
             S: m OK ...",
        )
        .await;
}

#[tokio::test]
async fn subscriptions_outlive_their_mailboxes() {
    let world = World::new().await;
    let mut client = world.alice().await;
    client
        .talk(
            "C: a CREATE lists/rust
             S: a OK ...
             C: b SUBSCRIBE lists/rust
             S: b OK ...
             C: c LSUB \"\" lists/*
             S: * LSUB () \"/\" lists/rust
             S: c OK ...
             C: d LSUB \"\" l%
             S: * LSUB (\\Noselect) \"/\" lists
             S: d OK ...
             C: e DELETE lists/rust
             S: e OK ...
             C: f LIST (SUBSCRIBED) \"\" lists/*
             S: * LIST (\\NonExistent \\Noselect \\HasNoChildren \\Subscribed) \"/\" lists/rust
             S: f OK ...
             C: g UNSUBSCRIBE lists/rust
             S: g OK ...
             C: h LIST (SUBSCRIBED) \"\" lists/*
             S: h OK ...",
        )
        .await;
}

#[tokio::test]
async fn quota_is_told_and_enforced() {
    let world = World::new().await;
    let mut client = world.login("bob").await;
    client
        .append(
            "INBOX",
            "",
            &format!("Subject: x\r\n\r\n{}\r\n", "y".repeat(1500)),
        )
        .await;
    client
        .talk(
            "C: a GETQUOTAROOT INBOX
             S: * QUOTAROOT INBOX \"user\"
             S: * QUOTA \"user\" (STORAGE 2 2)
             S: a OK ...
             C: b GETQUOTA other
             S: b NO [NONEXISTENT] ...",
        )
        .await;
    let large = "z".repeat(1000);
    let lines = client
        .command(&format!("APPEND INBOX {{1000+}}\r\n{large}"))
        .await;
    assert!(lines[0].starts_with("t NO [OVERQUOTA] "), "{lines:?}");
    let mut alice = world.alice().await;
    // RFC 9208 §4.2.2: no root where nothing is limited.
    alice
        .talk(
            "C: a GETQUOTAROOT INBOX
             S: * QUOTAROOT INBOX
             S: a OK ...
             C: b GETQUOTA user
             S: b NO [NONEXISTENT] ...",
        )
        .await;
}

#[tokio::test]
async fn what_expunge_would_free_is_told() {
    let world = World::new().await;
    let mut client = world.login("bob").await;
    client.append("INBOX", "(\\Deleted)", "0123456789").await;
    client.append("INBOX", "(\\Deleted)", "01234").await;
    client.append("INBOX", "", "0123456789").await;
    // RFC 9208 §4.1.4: DELETED comes with QUOTA=RES-MESSAGE, DELETED-STORAGE with QUOTA=RES-STORAGE
    client
        .talk(
            "C: a STATUS INBOX (MESSAGES DELETED DELETED-STORAGE)
             S: * STATUS INBOX (MESSAGES 3 DELETED 2 DELETED-STORAGE 15)
             S: a OK ...
             C: b LIST \"\" (INBOX Sent) RETURN (STATUS (DELETED-STORAGE))
             S: * LIST (\\HasNoChildren) \"/\" INBOX
             S: * STATUS INBOX (DELETED-STORAGE 15)
             S: * LIST (\\HasNoChildren \\Sent) \"/\" Sent
             S: * STATUS Sent (DELETED-STORAGE 0)
             S: b OK ...",
        )
        .await;
}

/// RFC 9208 §3.2: QUOTASET is said by servers that have SETQUOTA.
#[tokio::test]
async fn quotas_are_not_set_over_imap() {
    let world = World::new().await;
    let mut client = world.login("bob").await;
    let lines = client.command("CAPABILITY").await;
    let names: Vec<&str> = lines[0]
        .split(' ')
        .filter(|name| name.starts_with("QUOTA"))
        .collect();
    assert_eq!(names, ["QUOTA", "QUOTA=RES-STORAGE", "QUOTA=RES-MESSAGE"]);
    let lines = client.command("SETQUOTA \"user\" (STORAGE 1)").await;
    assert!(lines[0].starts_with("t BAD "), "{lines:?}");
}

fn with_domain(plan: &mut Plan, change: impl FnOnce(&mut Domain)) {
    let name = address("alice@example.test").domain().clone();
    let mut domain = (*plan.domains[&name]).clone();
    change(&mut domain);
    plan.domains.insert(name, domain.into());
}

#[tokio::test]
async fn limits_of_the_domain_hold_for_its_mailboxes() {
    let mut plan = plan();
    with_domain(&mut plan, |domain| {
        domain.defaults.quota.messages = Some(3);
        domain.defaults.quota.octets = Some(5 << 20);
        domain.quota.messages = Some(1);
    });
    let world = World::with(plan).await;
    let mut alice = world.alice().await;
    alice
        .talk(
            "C: a GETQUOTA user
             S: * QUOTA \"user\" (STORAGE 0 5120 MESSAGE 0 3)
             S: a OK ...",
        )
        .await;
    let two = "APPEND INBOX {10+}\r\n0123456789 {10+}\r\n0123456789";
    let lines = alice.command(two).await;
    assert!(lines[0].starts_with("t NO [OVERQUOTA] "), "{lines:?}");
    alice.append("INBOX", "", "0123456789").await;
    alice
        .talk(
            "C: a GETQUOTA user
             S: * QUOTA \"user\" (STORAGE 1 5120 MESSAGE 1 3)
             S: a OK ...",
        )
        .await;
}

fn folder(name: &str, special_use: Option<FolderUse>) -> FolderRule {
    FolderRule {
        name: name.to_owned(),
        special_use,
        create: true,
        subscribe: false,
        keep_for: None,
        below: false,
    }
}

#[tokio::test]
async fn folders_that_are_wanted_are_made_at_log_in() {
    let mut plan = plan();
    let receipts = FolderRule {
        subscribe: true,
        ..folder("Work/Receipts", None)
    };
    plan.mailbox_defaults.folders = vec![
        receipts,
        folder("Notes", None),
        folder("Papierkorb", Some(FolderUse::Trash)),
    ];
    let world = World::with(plan).await;
    let mut alice = world.alice().await;
    let listed = "C: a LIST \"\" (Work* Notes Papier* Trash) RETURN (SUBSCRIBED)
             S: * LIST (\\HasNoChildren) \"/\" Notes
             S: * LIST (\\HasNoChildren \\Subscribed \\Trash) \"/\" Trash
             S: * LIST (\\HasChildren) \"/\" Work
             S: * LIST (\\HasNoChildren \\Subscribed) \"/\" Work/Receipts
             S: a OK ...";
    alice.talk(listed).await;
    alice
        .talk(
            "C: b DELETE Notes
             S: b OK ...
             C: c UNSUBSCRIBE Work/Receipts
             S: c OK ...",
        )
        .await;
    let mut again = world.alice().await;
    again
        .talk(&listed.replace(
            "\\HasNoChildren \\Subscribed) \"/\" Work/",
            "\\HasNoChildren) \"/\" Work/",
        ))
        .await;
}

#[tokio::test]
async fn append_has_its_refusals() {
    let world = World::new().await;
    let mut client = world.alice().await;
    client
        .talk(
            "C: a APPEND none {1+}
             C: x
             S: a NO [TRYCREATE] ...
             C: b APPEND INBOX {9999999}
             S: b NO [TOOBIG] ...
             C: c APPEND INBOX {0+}
             C:\x20
             S: c NO [CANNOT] ...
             C: d APPEND INBOX (\\Seen) \" 1-Feb-2020 03:04:05 +0100\" {14}
             S: + ...
             C: Subject: a
             C:\x20
             C:\x20
             S: d OK [APPENDUID ...",
        )
        .await;
    client.command("SELECT INBOX").await;
    client
        .talk(
            "C: e FETCH 1 (INTERNALDATE FLAGS)
             S: * 1 FETCH (INTERNALDATE \"01-Feb-2020 02:04:05 +0000\" FLAGS (\\Seen))
             S: e OK ...",
        )
        .await;
}

/// RFC 9051 §6.3.2
#[tokio::test]
async fn rev2_tells_the_attributes_of_what_was_selected() {
    let world = World::new().await;
    let mut client = world.alice().await;
    client.command("ENABLE IMAP4rev2").await;
    client.command("CREATE Sent/2026").await;
    client.command("CREATE lonely").await;
    for (command, told) in [
        (
            "SELECT Sent",
            "* LIST (\\HasChildren \\Subscribed \\Sent) \"/\" Sent",
        ),
        ("EXAMINE lonely", "* LIST (\\HasNoChildren) \"/\" lonely"),
    ] {
        let lines = client.command(command).await;
        assert!(lines.iter().any(|line| line == told), "{lines:?}");
    }
}

/// RFC 9051 §5.1, §6.3.4, §6.3.9.7: names are made and found in NFC, and the client is told so.
#[tokio::test]
async fn names_are_brought_into_nfc() {
    let world = World::new().await;
    let mut client = world.alice().await;
    client
        .talk(
            "C: a CREATE Ku&AwE-che
             S: a OK ...
             C: b LIST \"\" K*
             S: * LIST (\\HasNoChildren) \"/\" K&APo-che
             S: b OK ...
             C: c LIST \"\" Ku&AwE-%
             S: * LIST (\\HasNoChildren) \"/\" K&APo-che
             S: c OK ...
             C: d ENABLE IMAP4rev2
             S: * ENABLED IMAP4rev2
             S: d OK ...
             C: e CREATE \"u\u{308}ben\"
             S: * LIST (\\HasNoChildren) \"/\" \"\u{fc}ben\" (\"OLDNAME\" (\"u\u{308}ben\"))
             S: e OK ...
             C: f CREATE \"\u{fc}ben\"
             S: f NO [ALREADYEXISTS] ...
             C: g APPEND \"u\u{308}ben\" {1+}
             C: x
             S: * LIST (\\HasNoChildren) \"/\" \"\u{fc}ben\" (\"OLDNAME\" (\"u\u{308}ben\"))
             S: g OK [APPENDUID ...
             C: h RENAME Sent \"o\u{308}\"
             S: * LIST (\\HasNoChildren \\Sent) \"/\" \"\u{f6}\" (\"OLDNAME\" (\"o\u{308}\"))
             S: h OK ...
             C: i DELETE \"o\u{308}\"
             S: * LIST (\\HasNoChildren \\Sent) \"/\" \"\u{f6}\" (\"OLDNAME\" (\"o\u{308}\"))
             S: i OK ...",
        )
        .await;
    let lines = client.command("SELECT \"u\u{308}ben\"").await;
    let told = "* LIST (\\HasNoChildren) \"/\" \"\u{fc}ben\" (\"OLDNAME\" (\"u\u{308}ben\"))";
    assert!(lines.iter().any(|line| line == told), "{lines:?}");
}

/// RFC 9051 App. A.1 and §6.3.9
#[tokio::test]
async fn names_and_patterns_in_wrong_utf7() {
    let world = World::new().await;
    let mut client = world.alice().await;
    for wrong in ["a&AGE-", "&APw-&APw-", "&APw", "&APx-"] {
        for command in [format!("CREATE {wrong}"), format!("RENAME Sent {wrong}")] {
            let lines = client.command(&command).await;
            assert!(lines[0].starts_with("t BAD "), "{command}: {lines:?}");
        }
    }
    let long = "x".repeat(1001);
    for list in [
        "LIST \"\" &x".to_owned(),
        "LIST &x *".to_owned(),
        format!("LIST \"\" {long}"),
    ] {
        let lines = client.command(&list).await;
        assert!(lines[0].starts_with("t OK "), "{list}: {lines:?}");
    }
    let lines = client.command("LIST \"\" (&x Sent)").await;
    assert_eq!(lines.len(), 2, "{lines:?}");
    client.talk("C: a CREATE R&-D\nS: a OK ...").await;
}

/// RFC 9051 §7.1
#[tokio::test]
async fn at_the_limit_of_keywords_no_more_are_offered() {
    let world = World::new().await;
    let mut client = world.alice().await;
    for _ in 0..11 {
        client.append("INBOX", "", "Subject: x\r\n\r\n").await;
    }
    let may_make = |lines: &[String]| {
        let told = |line: &&String| line.starts_with("* OK [PERMANENTFLAGS (");
        let last = lines.iter().rfind(told);
        last.map(|line| line.contains(" \\*)]"))
    };
    assert_eq!(may_make(&client.command("SELECT INBOX").await), Some(true));
    for message in 1..=10 {
        let words: Vec<String> = (0..100).map(|word| format!("k{message}x{word}")).collect();
        let store = format!("STORE {message} FLAGS.SILENT ({})", words.join(" "));
        let lines = client.command(&store).await;
        assert!(lines.last().unwrap().starts_with("t OK"), "{lines:?}");
        let told = (message == 10).then_some(false);
        assert_eq!(may_make(&lines), told, "{message}");
    }
    let lines = client.command("STORE 11 +FLAGS (onemore)").await;
    assert_eq!(may_make(&lines), None, "it was told already");
    assert!(lines[0].starts_with("t NO "), "{lines:?}");
    assert_eq!(may_make(&client.command("SELECT INBOX").await), Some(false));
}
