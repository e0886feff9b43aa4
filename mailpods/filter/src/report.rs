//! A verdict for people and for programs: what `mailpods verify` prints.

use std::fmt::Write as _;

use mailpods_rpc::Verdict;

use crate::decide::action_name;

/// A table of the checks, then the decision and the fields that would be added.
#[must_use]
pub fn table(verdict: &Verdict) -> String {
    let rows: Vec<[&str; 4]> = std::iter::once(["CHECK", "RESULT", "SUBJECT", "REASON"])
        .chain(verdict.results.iter().map(|row| {
            [
                row.mechanism.as_str(),
                row.result,
                row.subject.as_str(),
                row.reason.as_str(),
            ]
        }))
        .collect();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths = [width(0), width(1), width(2).min(40)];
    let mut out = String::new();
    for [mechanism, result, subject, reason] in rows {
        let [a, b, c] = widths;
        let line = format!("{mechanism:a$}  {result:b$}  {subject:c$}  {reason}");
        let _ = writeln!(out, "{}", line.trim_end());
    }
    let _ = writeln!(
        out,
        "\nverdict: {} ({})",
        action_name(verdict.action),
        verdict.reason
    );
    if let Some((code, enhanced, text)) = &verdict.reply {
        let _ = writeln!(out, "reply:   {code} {enhanced} {text}");
    }
    out.push('\n');
    for field in &verdict.prepend {
        out.push_str(&field.replace("\r\n", "\n"));
    }
    out
}

/// The verdict as one JSON object.
///
/// # Errors
/// Never for the types of a verdict; the error of the serializer is passed on.
pub fn json(verdict: &Verdict) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(verdict)
}
