//! Mistakes that the API server cannot see: the status names them, and the rest goes on.

use anyhow::{Result, ensure};

use super::system::{LIMIT, MAIL, SITE, ready};
use crate::kubectl::Kubectl;
use crate::world::World;

const MISTAKES: &str = include_str!("t14_stalled.yaml");

/// A resource, a condition that becomes True, and what its message must name.
const TOLD: &[(&str, &str, &str)] = &[
    // It waits: a MailDomain may come.
    ("mailbox/lost", "Reconciling", "nowhere.test"),
    ("maildomain/again", "Conflicted", "example"),
    ("outboundip/impossible", "Stalled", "found xn--a.test"),
    ("maildomain/crowded", "Stalled", "look-ups; found 11"),
];

/// Each is told, and mail flows as before.
pub fn run(world: &World) -> Result<()> {
    let kubectl = &world.kubectl;
    kubectl.apply(MISTAKES)?;
    for (resource, condition, word) in TOLD {
        let message = message(kubectl, resource, condition)?;
        ensure!(
            message.contains(word),
            "{resource}: {condition} says {message:?}, without {word}"
        );
    }
    ready(
        kubectl,
        MAIL,
        &["mailcluster/main", "maildomain/example", "mailbox/ann"],
    )?;
    SITE.receives(world, &world.subject("in spite of mistakes"))?;
    let mut delete = vec!["-n", MAIL, "delete"];
    delete.extend(TOLD.iter().map(|(resource, ..)| *resource));
    kubectl.run(&delete)?;
    Ok(())
}

fn message(kubectl: &Kubectl, resource: &str, condition: &str) -> Result<String> {
    let path = |field: &str| {
        format!("-o=jsonpath={{.status.conditions[?(@.type=='{condition}')].{field}}}")
    };
    let holds = ["-n", MAIL, resource, &path("status")];
    kubectl.until(
        &format!("{resource} is {condition}"),
        LIMIT,
        &holds,
        |seen| seen == "True",
    )?;
    kubectl.run(&["-n", MAIL, "get", resource, &path("message")])
}
