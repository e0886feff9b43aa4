use super::*;
use mailpods_imap_proto::ListReturn;
use mailpods_store::MailboxId;

fn info(name: &str, special_use: Option<mail::SpecialUse>) -> MailboxInfo {
    MailboxInfo {
        id: MailboxId(1),
        name: name.to_owned(),
        special_use,
        subscribed: false,
        uid_validity: 1,
        uid_next: 1,
        highest_modseq: 1,
        messages: 0,
        unseen: 0,
        deleted: 0,
        octets: 0,
    }
}

fn mailboxes() -> Vec<MailboxInfo> {
    vec![
        info("INBOX", None),
        info("Sent", Some(mail::SpecialUse::Sent)),
        info("a", None),
        info("a/b", None),
        info("x/y/z", None),
    ]
}

/// `name attributes` of each row; `+` marks CHILDINFO.
fn told(command: &ListCommand, subscriptions: &[&str]) -> Vec<String> {
    let subscriptions: Vec<String> = subscriptions
        .iter()
        .map(|name| (*name).to_owned())
        .collect();
    let mailboxes = mailboxes();
    let rows = list(&mailboxes, &subscriptions, command);
    let line = |row: Row<'_>| {
        let attributes: Vec<_> = row
            .attributes
            .iter()
            .map(|attribute| attribute.as_str())
            .collect();
        format!(
            "{}{} {}",
            row.name,
            if row.subscribed_below { "+" } else { "" },
            attributes.join(" ")
        )
    };
    rows.into_iter().map(line).collect()
}

fn command(patterns: &[&str]) -> ListCommand {
    ListCommand {
        patterns: patterns
            .iter()
            .map(|pattern| (*pattern).to_owned())
            .collect(),
        ..ListCommand::default()
    }
}

#[test]
fn one_level_tells_names_that_only_lie_above_others() {
    let expected = [
        "INBOX \\HasNoChildren",
        "Sent \\HasNoChildren \\Sent",
        "a \\HasChildren",
        "x \\NonExistent \\Noselect \\HasChildren",
    ];
    assert_eq!(told(&command(&["%"]), &[]), expected);
    assert_eq!(
        told(&command(&["a/%", "inbox"]), &[]),
        ["INBOX \\HasNoChildren", "a/b \\HasNoChildren"]
    );
}

#[test]
fn subscribed_tells_names_that_are_gone() {
    let returns = ListReturn {
        subscribed: true,
        ..ListReturn::default()
    };
    let subscribed = ListCommand {
        subscribed: true,
        returns,
        ..command(&["*"])
    };
    let expected = [
        "a/b \\HasNoChildren \\Subscribed",
        "gone \\NonExistent \\Noselect \\HasNoChildren \\Subscribed",
    ];
    assert_eq!(told(&subscribed, &["a/b", "gone"]), expected);
}

#[test]
fn recursive_match_tells_the_parents_of_hidden_subscriptions() {
    let recursive = ListCommand {
        subscribed: true,
        recursive_match: true,
        ..command(&["%"])
    };
    assert_eq!(
        told(&recursive, &["a/b", "INBOX"]),
        ["INBOX \\HasNoChildren", "a+ \\HasChildren"]
    );
}

#[test]
fn special_use_selects() {
    let special = ListCommand {
        special_use: true,
        ..command(&["*"])
    };
    assert_eq!(told(&special, &[]), ["Sent \\HasNoChildren \\Sent"]);
}

#[test]
fn lsub_tells_parents_for_one_level() {
    let subscriptions = vec!["a/b".to_owned(), "c".to_owned()];
    assert_eq!(lsub(&subscriptions, "", "*"), [("a/b", true), ("c", true)]);
    assert_eq!(lsub(&subscriptions, "", "%"), [("a", false), ("c", true)]);
    assert_eq!(lsub(&subscriptions, "a/", "%"), [("a/b", true)]);
}
