//! Looks for what cannot be right in a store, and mends it.

mod rules;

use std::collections::HashSet;
use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};
use serde::Serialize;

use self::rules::{RULES, Rule};
use super::backup::{Progress, body_names};
use super::body::file::{BodyFiles, ORPHAN_AGE};
use super::body::read;
use super::connection::{self, io_error};
use super::{DATABASE_FILE, schema};
use crate::error::{Result, StoreError};
use crate::types::BodyId;

/// Examples given for each problem.
const EXAMPLES: usize = 10;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FsckOptions {
    /// Mend what can be mended.
    pub repair: bool,
    /// Read every body, too.
    pub bodies: bool,
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

    fn add(&mut self, what: &'static str, mut found: Vec<String>, repaired: bool) {
        if found.is_empty() {
            return;
        }
        let count = found.len() as u64;
        found.truncate(EXAMPLES);
        self.problems.push(Problem {
            what,
            count,
            examples: found,
            repaired,
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
    if !dir.join(DATABASE_FILE).is_file() {
        return Err(StoreError::NotFound("store"));
    }
    let mut connection = connection::open_existing(dir)?;
    schema::version(&connection)?;
    let files = BodyFiles::open(dir)?;
    let mut report = Report::default();
    report.add(
        "the database file is damaged",
        integrity(&connection)?,
        false,
    );
    if !report.is_clean() {
        // Repairs by rule would build on what cannot be trusted.
        return Ok(report);
    }
    let behavior = if options.repair {
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
        report.add(
            "a body cannot be read",
            damaged_bodies(&transaction, &files, progress)?,
            false,
        );
    }
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
    report.add(rule.what, found, repaired);
    Ok(())
}

fn damaged_bodies(
    connection: &Connection,
    files: &BodyFiles,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT id FROM body ORDER BY id")?;
    let ids = statement
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<i64>>>()?;
    let total = ids.len() as u64;
    let mut damaged = Vec::new();
    for (done, id) in (1_u64..).zip(ids) {
        if let Err(error) = read::read(connection, files, BodyId(id), &(0..u64::MAX)) {
            damaged.push(format!("body {id}: {error}"));
        }
        progress(Progress {
            step: "bodies",
            done,
            total,
        });
    }
    Ok(damaged)
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
    report.add(
        "the file of a body is missing",
        named
            .iter()
            .filter(|name| !there.contains(name))
            .cloned()
            .collect(),
        false,
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
