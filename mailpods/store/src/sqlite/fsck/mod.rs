//! Looks for what cannot be right in a store, and mends it.

mod rules;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};
use serde::Serialize;

use self::rules::{RULES, Rule};
use super::backup::{Progress, body_names};
use super::body::file::{BodyFiles, ORPHAN_AGE};
use super::body::read;
use super::connection::{self, io_error};
use super::{schema, secrets};
use crate::error::{Result, StoreError};
use crate::types::BodyId;

/// Examples given for each problem.
const EXAMPLES: usize = 10;
/// Messages named that cannot be read: somebody has to see to each.
const NAMED: usize = 1_000;

const DAMAGED: &str = "`mailpods restore ARCHIVE --data OTHER` makes a store of the last good backup; this damaged one is best kept until \
                       that runs";
const UNREADABLE: &str = "nothing can mend it here. `mailpods restore ARCHIVE --data OTHER` a backup from before the damage, \
                          `mailpods mailbox export` the mailbox there, `mailpods mailbox import` it here, and delete the damaged \
                          message in a mail program; `mailpods queue delete` takes a queued one away";
const MISSING: &str = "mount or put back the folder `bodies`; or as for a message that cannot be read: `mailpods fsck --bodies`";
const UNOPENED: &str = "put seal.key back from a backup of this store. Where there is none, `mailpods fsck --forget-secrets` takes them \
                        away: new DKIM keys are made then, which `mailpods dns print` shows for publishing";

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FsckOptions {
    /// Mend what can be mended.
    pub repair: bool,
    /// Read every body, too.
    pub bodies: bool,
    /// Take sealed secrets away that the key does not open; they are lost for good.
    pub forget_secrets: bool,
}

/// Something that is not right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// What is wrong, for people.
    pub what: &'static str,
    /// How often.
    pub count: u64,
    /// The first of them.
    pub examples: Vec<String>,
    /// Whether it has been mended.
    pub repaired: bool,
    /// What a person does about it; `None` where a repair mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<&'static str>,
}

/// The result of a look at the whole store.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// Empty when all is well.
    pub problems: Vec<Problem>,
}

impl Report {
    /// Whether nothing is left to do.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.problems.iter().all(|problem| problem.repaired)
    }

    /// Something that a repair mends.
    fn add(&mut self, what: &'static str, found: Vec<String>, repaired: bool) {
        self.push(what, found, EXAMPLES, repaired, None);
    }

    /// Something that a person has to see to.
    fn advise(&mut self, what: &'static str, found: Vec<String>, advice: &'static str) {
        self.push(what, found, NAMED, false, Some(advice));
    }

    fn push(
        &mut self,
        what: &'static str,
        mut found: Vec<String>,
        examples: usize,
        repaired: bool,
        advice: Option<&'static str>,
    ) {
        if found.is_empty() {
            return;
        }
        let count = found.len() as u64;
        found.truncate(examples);
        self.problems.push(Problem {
            what,
            count,
            examples: found,
            repaired,
            advice,
        });
    }
}

/// Looks at the store in `dir`, which may be in use; writers wait while it is repaired.
///
/// # Errors
/// When the store cannot be opened or read at all.
pub fn fsck(
    dir: &Path,
    options: FsckOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report> {
    connection::require(dir)?;
    let mut connection = connection::open_existing(dir)?;
    schema::version(&connection)?;
    let files = BodyFiles::open(dir)?;
    let mut report = Report::default();
    report.advise(
        "the database file is damaged",
        integrity(&connection)?,
        DAMAGED,
    );
    if !report.is_clean() {
        // Repairs by rule would build on what cannot be trusted.
        return Ok(report);
    }
    let behavior = if options.repair || options.forget_secrets {
        TransactionBehavior::Immediate
    } else {
        TransactionBehavior::Deferred
    };
    let transaction = connection.transaction_with_behavior(behavior)?;
    for (done, rule) in (1_u64..).zip(RULES) {
        check(&transaction, rule, options.repair, &mut report)?;
        progress(Progress {
            step: "rules",
            done,
            total: RULES.len() as u64,
        });
    }
    if options.bodies {
        let damaged = damaged_bodies(&transaction, &files, progress)?;
        report.advise(
            "a message cannot be read",
            messages(&transaction, &damaged)?,
            UNREADABLE,
        );
    }
    check_secrets(&transaction, dir, options.forget_secrets, &mut report)?;
    check_files(&transaction, &files, options.repair, &mut report)?;
    transaction.commit()?;
    Ok(report)
}

fn integrity(connection: &Connection) -> Result<Vec<String>> {
    let mut statement = connection.prepare("PRAGMA integrity_check(100)")?;
    let lines = statement
        .query_map([], |row| row.get::<_, String>(0))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(lines.into_iter().filter(|line| line != "ok").collect())
}

fn check(connection: &Connection, rule: &Rule, repair: bool, report: &mut Report) -> Result<()> {
    let mut statement = connection.prepare(rule.find)?;
    let found = statement
        .query_map([], |row| row.get::<_, String>(0))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let repaired = repair && !found.is_empty() && !rule.repair.is_empty();
    if repaired {
        connection.execute_batch(rule.repair)?;
    }
    match rule.repair {
        "" => report.advise(rule.what, found, UNREADABLE),
        _ => report.add(rule.what, found, repaired),
    }
    Ok(())
}

fn check_secrets(
    connection: &Connection,
    dir: &Path,
    forget: bool,
    report: &mut Report,
) -> Result<()> {
    const WHAT: &str = "a sealed secret does not open";
    let closed = secrets::unopened(dir, connection)?;
    let names = closed.iter().map(ToString::to_string).collect();
    if forget {
        closed.iter().try_for_each(|one| one.forget(connection))?;
        report.add(WHAT, names, true);
    } else {
        report.advise(WHAT, names, UNOPENED);
    }
    Ok(())
}

/// Bodies that cannot be read, each with the reason.
fn damaged_bodies(
    connection: &Connection,
    files: &BodyFiles,
    progress: &mut dyn FnMut(Progress),
) -> Result<BTreeMap<i64, String>> {
    let mut statement = connection.prepare("SELECT id FROM body ORDER BY id")?;
    let ids = statement
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<i64>>>()?;
    let total = ids.len() as u64;
    let mut damaged = BTreeMap::new();
    for (done, id) in (1_u64..).zip(ids) {
        match read::read(connection, files, BodyId(id), &(0..u64::MAX)) {
            Ok(_) => {}
            Err(StoreError::Corrupt(reason)) => drop(damaged.insert(id, reason)),
            Err(error) => drop(damaged.insert(id, error.to_string())),
        }
        progress(Progress {
            step: "bodies",
            done,
            total,
        });
    }
    Ok(damaged)
}

/// The messages that have these bodies, by the names that people know them by.
fn messages(connection: &Connection, bodies: &BTreeMap<i64, String>) -> Result<Vec<String>> {
    let mut named = Vec::new();
    if bodies.is_empty() {
        return Ok(named);
    }
    let mut unnamed = bodies.clone();
    let mut statement = connection.prepare(rules::MESSAGES)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (body, name): (i64, String) = (row.get(0)?, row.get(1)?);
        if let Some(reason) = bodies.get(&body) {
            named.push(format!("{name}: body {body}: {reason}"));
            unnamed.remove(&body);
        }
    }
    named.sort();
    named.extend(
        unnamed
            .iter()
            .map(|(body, reason)| format!("body {body}: {reason}")),
    );
    Ok(named)
}

/// A missing file is only told: its folder may just not be mounted.
fn check_files(
    connection: &Connection,
    files: &BodyFiles,
    repair: bool,
    report: &mut Report,
) -> Result<()> {
    let failed = |error: std::io::Error| io_error("failed to read the folder of bodies", &error);
    let named: HashSet<String> = body_names(connection)?.into_iter().collect();
    let present = files.all().map_err(failed)?;
    let there: HashSet<&String> = present.iter().map(|(name, _)| name).collect();
    let missing = missing_files(connection, |name| there.contains(name))?;
    report.advise(
        "the file of a message is missing",
        messages(connection, &missing)?,
        MISSING,
    );
    let orphans: Vec<String> = present
        .iter()
        .filter(|(name, age)| !named.contains(name) && *age >= ORPHAN_AGE)
        .map(|(name, _)| name.clone())
        .collect();
    if repair && !orphans.is_empty() {
        files.sweep(&named, ORPHAN_AGE).map_err(failed)?;
    }
    report.add("a file belongs to no body", orphans, repair);
    Ok(())
}

/// Bodies whose file is not there, each with the file's name.
fn missing_files(
    connection: &Connection,
    is_there: impl Fn(&String) -> bool,
) -> Result<BTreeMap<i64, String>> {
    let mut statement = connection.prepare("SELECT id, file FROM body WHERE file IS NOT NULL")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let bodies = rows.collect::<rusqlite::Result<BTreeMap<i64, String>>>()?;
    Ok(bodies
        .into_iter()
        .filter(|(_, name)| !is_there(name))
        .map(|(id, name)| (id, format!("no file {name}")))
        .collect())
}
