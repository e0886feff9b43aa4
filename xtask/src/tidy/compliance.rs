//! `tests/compliance/*.md`: every row says how its requirement stands, and every test that a row names is there.

use std::path::Path;

use anyhow::{Context, Result};

const FOLDER: &str = "tests/compliance";
const LEVELS: &[&str] = &["MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "REQUIRED"];
const REASONS: &[&str] = &["not applicable; ", "deviation; ", "by construction; "];

/// Rows of one table by their state.
#[derive(Default)]
struct Counts {
    test: usize,
    reason: usize,
    missing: usize,
}

/// What the last cell of a row says.
enum State<'a> {
    Tests(Vec<&'a str>),
    Reason(&'a str),
    Missing(&'a str),
}

/// Findings, one a line. The counts of each table are printed.
pub fn check() -> Result<Vec<String>> {
    let folder = crate::run::root().join(FOLDER);
    let entries = std::fs::read_dir(&folder).with_context(|| format!("failed to read {FOLDER}"))?;
    let mut names: Vec<String> = entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    names.retain(|name| name.starts_with("rfc") && name.ends_with(".md"));
    names.sort();
    let mut findings = Vec::new();
    for name in &names {
        let text = std::fs::read_to_string(folder.join(name))
            .with_context(|| format!("failed to read {FOLDER}/{name}"))?;
        findings.extend(check_table(name, &text));
    }
    Ok(findings)
}

fn check_table(name: &str, text: &str) -> Vec<String> {
    let (mut findings, mut counts) = (Vec::new(), Counts::default());
    let rows = text.lines().enumerate().filter(|(_, line)| is_row(line));
    for (index, line) in rows {
        if let Err(problem) = check_row(line, &mut counts) {
            findings.push(format!("{FOLDER}/{name}:{}: {problem}", index + 1));
        }
    }
    let Counts {
        test,
        reason,
        missing,
    } = counts;
    eprintln!("tidy: {name}: {test} by test, {reason} by reason, {missing} missing");
    if test == 0 {
        findings.push(format!("{FOLDER}/{name}: has no row with a test"));
    }
    findings
}

/// Rows, without the two lines of the table's head.
fn is_row(line: &str) -> bool {
    line.starts_with("| ") && !line.starts_with("| § ") && !line.starts_with("| ---")
}

fn check_row(line: &str, counts: &mut Counts) -> Result<(), String> {
    let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
    let [_, level, requirement, state] = cells[..] else {
        return Err(format!("has {} cells of 4", cells.len()));
    };
    if !level.split(", ").all(|level| LEVELS.contains(&level)) {
        return Err(format!("level `{level}` is none of {LEVELS:?}"));
    }
    if requirement.is_empty() {
        return Err("says no requirement".to_owned());
    }
    match parse(state)? {
        State::Tests(tests) => {
            counts.test += 1;
            tests.into_iter().try_for_each(check_test)
        }
        State::Reason(reason) => {
            counts.reason += 1;
            let known = REASONS.iter().any(|kind| reason.starts_with(kind));
            known
                .then_some(())
                .ok_or_else(|| format!("a reason begins with one of {REASONS:?}"))
        }
        State::Missing(what) => {
            counts.missing += 1;
            (!what.is_empty())
                .then_some(())
                .ok_or_else(|| "says not what is missing".to_owned())
        }
    }
}

fn parse(state: &str) -> Result<State<'_>, String> {
    if let Some(tests) = state.strip_prefix("test: ") {
        return Ok(State::Tests(
            tests
                .split(", ")
                .map(|test| test.trim_matches('`'))
                .collect(),
        ));
    }
    let reason = state.strip_prefix("reason: ").map(State::Reason);
    let missing = || state.strip_prefix("missing: ").map(State::Missing);
    reason.or_else(missing).ok_or_else(|| {
        "the last cell begins with none of `test: `, `reason: `, `missing: `".to_owned()
    })
}

/// `path` of a transcript, or `path::function`.
fn check_test(test: &str) -> Result<(), String> {
    let (path, function) = match test.split_once("::") {
        Some((path, function)) => (path, Some(function)),
        None => (test, None),
    };
    let file = crate::run::root().join(Path::new(path));
    let text = std::fs::read_to_string(file).map_err(|error| format!("{path}: {error}"))?;
    match function {
        Some(function) if !text.contains(&format!("fn {function}(")) => {
            Err(format!("{path} has no function {function}"))
        }
        None if path.ends_with(".rs") => Err(format!("{path}: name the test")),
        _ => Ok(()),
    }
}
