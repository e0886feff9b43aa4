//! The table.

use std::fmt::Write as _;

use super::receiver::NATURES;
use super::sender::ADDRESSES;
use super::world::{Result, percentile};

const HOUR: i64 = 3_600_000;

/// The results side by side.
pub fn table(messages: usize, seed: u64, results: &[Result]) -> String {
    let mut out = format!(
        "{messages} messages, {ADDRESSES} addresses, {} providers, seed {seed}; virtual time\n\n",
        NATURES.len()
    );
    row(&mut out, "", results, |result| {
        result.habit.title().to_owned()
    });
    row(&mut out, "delivered within the hour", results, |result| {
        let within = result.waits.partition_point(|wait| *wait <= HOUR);
        percent(within as u64, messages as u64)
    });
    row(&mut out, "delivered at last", results, |result| {
        percent(result.waits.len() as u64, messages as u64)
    });
    row(&mut out, "returned to the sender", results, |result| {
        result.returned.to_string()
    });
    row(&mut out, "attempts", results, |result| {
        result.attempts.to_string()
    });
    row(&mut out, "refused attempts", results, |result| {
        result.refused.to_string()
    });
    row(&mut out, "wait, median", results, |result| {
        span(percentile(&result.waits, 50))
    });
    row(&mut out, "wait, 99 of 100", results, |result| {
        span(percentile(&result.waits, 99))
    });
    row(
        &mut out,
        "same, others in the bad hour",
        results,
        |result| span(result.others_wait),
    );
    row(
        &mut out,
        "hours refused, all addresses",
        results,
        |result| result.blocked_hours.to_string(),
    );
    out
}

fn row(out: &mut String, title: &str, results: &[Result], cell: impl Fn(&Result) -> String) {
    let cells: String = results
        .iter()
        .map(|result| format!("{:>16}", cell(result)))
        .collect();
    // Writing to a string does not fail.
    let _ = writeln!(out, "{title:<30}{cells}");
}

fn percent(part: u64, whole: u64) -> String {
    let permille = part * 10_000 / whole.max(1);
    format!("{}.{:02} %", permille / 100, permille % 100)
}

fn span(millis: i64) -> String {
    match millis / 1_000 {
        0 => format!("{millis} ms"),
        seconds @ 1..600 => format!("{seconds} s"),
        seconds @ 600..36_000 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}
