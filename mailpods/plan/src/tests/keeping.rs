//! Which limits and folders hold for a mailbox.

use std::time::Duration;

use mailpods_api::Allowance;

use super::{address, domain, mailbox, resource, source};
use crate::slice::Slice;
use crate::{DomainQuota, Plan, QuotaWarnings, Role, check, slice};

const DAY: Duration = Duration::from_secs(86_400);
const DEFAULTS: &str = "{hostname: mail.example.test, mailboxDefaults: {
    quota: {size: 1Gi, messages: 1000, grace: 10%, warnings: {at: [95, 80]}},
    folders: [{name: Trash, specialUse: Trash, autoexpunge: 30d, subfolders: true}, {name: Notes, autocreate: true}]}}";

fn plan(documents: &[String]) -> (Option<Plan>, Vec<String>) {
    let cluster = resource("MailCluster", "main", DEFAULTS);
    let documents = [&[cluster], documents].concat();
    let (plan, problems) = check(&[source("a.yaml", &documents.join("---\n"))]);
    (plan, problems.iter().map(ToString::to_string).collect())
}

fn three() -> Plan {
    let (plan, problems) = plan(&[
        domain(
            "example.test",
            "quota: {size: 20Gi}, plusAddressing: {folders: true}, mailboxDefaults: {quota: {size: 2Gi, trashExtra: 100Mi},
             folders: [{name: Notes, autocreate: true, autosubscribe: true}, {name: inbox, autoexpunge: 365d}]}",
        ),
        domain("other.test", ""),
        mailbox("alice@example.test", ""),
        mailbox(
            "bob@example.test",
            "quota: {size: 3Gi, grace: 5Mi, warnings: {at: []}}, folders: [{name: Trash}]",
        ),
        mailbox("carol@other.test", ""),
    ]);
    plan.unwrap_or_else(|| panic!("{problems:#?}"))
}

#[test]
fn a_mailbox_goes_before_its_domain_and_that_before_the_cluster() {
    let plan = three();
    let quota = |name| plan.quota(&plan.mailboxes[&address(name)]);
    let alice = quota("alice@example.test");
    assert_eq!(
        (alice.octets, alice.messages, alice.trash_extra),
        (Some(2 << 30), Some(1000), Some(100 << 20))
    );
    assert_eq!(alice.grace, Some(Allowance::Percent(10)));
    assert_eq!(alice.grace_octets(), (2 << 30) / 10);
    let warnings = QuotaWarnings {
        at: vec![80, 95],
        when_below: false,
    };
    assert_eq!(alice.warnings, Some(warnings));
    let bob = quota("bob@example.test");
    assert_eq!((bob.octets, bob.grace_octets()), (Some(3 << 30), 5 << 20));
    assert_eq!(bob.warnings, Some(QuotaWarnings::default()), "none for him");
    assert_eq!(quota("carol@other.test").octets, Some(1 << 30));
    let domains = ["alice@example.test", "carol@other.test"];
    let [one, other] = domains.map(|name| plan.domain_quota(&plan.mailboxes[&address(name)]));
    assert_eq!(
        (one.octets, other),
        (Some(20 << 30), DomainQuota::default())
    );
}

#[test]
fn folders_are_taken_name_by_name() {
    let plan = three();
    let folders = |name| {
        let rules = plan.folders(&plan.mailboxes[&address(name)]).into_iter();
        let rules = rules.map(|rule| {
            let days = rule
                .keep_for
                .map(|keep_for| keep_for.as_secs() / DAY.as_secs());
            (rule.name.clone(), rule.create, rule.subscribe, days)
        });
        rules.collect::<Vec<_>>()
    };
    let notes = ("Notes".to_owned(), true, true, None);
    let inbox = ("INBOX".to_owned(), false, false, Some(365));
    let trash = |days| ("Trash".to_owned(), false, false, days);
    assert_eq!(
        folders("alice@example.test"),
        [notes.clone(), inbox.clone(), trash(Some(30))]
    );
    assert_eq!(folders("bob@example.test"), [trash(None), notes, inbox]);
    let notes = ("Notes".to_owned(), true, false, None);
    assert_eq!(folders("carol@other.test"), [trash(Some(30)), notes]);
}

#[test]
fn pods_get_them() {
    let plan = three();
    for role in [Role::Smtp, Role::Imap, Role::Delivery] {
        let mut pod = Slice::default();
        pod.apply(slice::full(&slice::entries(&plan, role).unwrap()))
            .unwrap();
        let pod = pod.plan().unwrap();
        for (address, mailbox) in plan.mailboxes.iter() {
            let there = &pod.mailboxes[address];
            assert_eq!(pod.quota(there), plan.quota(mailbox), "{role:?} {address}");
            assert_eq!(pod.folders(there), plan.folders(mailbox));
            assert_eq!(pod.domain_quota(there), plan.domain_quota(mailbox));
        }
        let domain = |plan: &Plan| plan.domains[&super::name("example.test")].detail_folders;
        assert!(domain(&pod) && domain(&plan));
    }
}

#[test]
fn what_would_empty_a_folder_at_once_is_refused() {
    let (_, problems) = plan(&[
        domain("example.test", ""),
        mailbox(
            "alice@example.test",
            "folders: [{name: Trash, autoexpunge: 59m}]",
        ),
    ]);
    let [problem] = problems.as_slice() else {
        panic!("{problems:#?}")
    };
    for wanted in ["spec.folders[0].autoexpunge", "3540s", "1h and longer"] {
        assert!(problem.contains(wanted), "{problem}");
    }
    let refused = [
        (
            "folders: [{name: Trash, autosubscribe: true}]",
            "autocreate must be true",
        ),
        ("folders: [{name: Trash, subfolders: true}]", "autoexpunge"),
        (
            "folders: [{name: 'a//b', autocreate: true}]",
            "spec.folders[0].name",
        ),
        (
            "folders: [{name: 'a*', autocreate: true}]",
            "spec.folders[0].name",
        ),
        ("quota: {grace: 101%}", "spec.quota.grace"),
        ("quota: {warnings: {at: [0]}}", "spec.quota.warnings.at[0]"),
        (
            "quota: {warnings: {at: [101]}}",
            "spec.quota.warnings.at[0]",
        ),
    ];
    for (more, wanted) in refused {
        let (plan, problems) = plan(&[domain("example.test", ""), mailbox("a@example.test", more)]);
        assert!(plan.is_none(), "{more}");
        let said = problems.join("\n");
        assert!(said.contains(wanted), "{more}: {said}");
    }
}

#[test]
fn grace_is_a_part_or_a_size() {
    let grace = |text: &str| text.parse::<Allowance>().map(|grace| grace.of(1000));
    assert_eq!(
        ["10%", "0%", "100%", "1Ki", "5"].map(|text| grace(text).unwrap()),
        [100, 0, 1000, 1024, 5]
    );
    for text in ["", "%", "+5%", "101%", "1.5%", "1Q"] {
        assert!(grace(text).is_err(), "{text}");
    }
}
