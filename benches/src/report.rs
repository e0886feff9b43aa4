//! Rows, medians and how they are printed.

use anyhow::Result;
use serde_json::json;

use crate::args::Output;

/// Who a sample is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Mailpods.
    Ours,
    /// Postfix + Dovecot.
    Theirs,
}

struct Row {
    name: String,
    unit: &'static str,
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

/// All samples of a run of the program.
pub struct Report {
    peer: String,
    rows: Vec<Row>,
}

impl Report {
    /// An empty report against a peer.
    pub fn new(peer: String) -> Self {
        Self {
            peer,
            rows: Vec::new(),
        }
    }

    /// Adds a sample to the row of that name.
    pub fn add(&mut self, side: Side, name: &str, unit: &'static str, value: f64) {
        eprintln!("    {side:?} {name}: {} {unit}", number(value));
        let index = self
            .rows
            .iter()
            .position(|row| row.name == name)
            .unwrap_or(self.rows.len());
        if index == self.rows.len() {
            self.rows.push(Row {
                name: name.to_owned(),
                unit,
                ours: Vec::new(),
                theirs: Vec::new(),
            });
        }
        let Some(row) = self.rows.get_mut(index) else {
            return;
        };
        match side {
            Side::Ours => row.ours.push(value),
            Side::Theirs => row.theirs.push(value),
        }
    }

    /// The median of a row, ours by theirs.
    pub fn ratio(&self, name: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.name == name)?.ratio()
    }

    /// The median of our samples of a row.
    pub fn ours(&self, name: &str) -> Option<f64> {
        median(&self.rows.iter().find(|row| row.name == name)?.ours)
    }

    /// Prints medians.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn print(&self, output: Output) -> Result<()> {
        use std::io::Write as _;
        let text = match output {
            Output::Json => self.json(),
            Output::Table => self.table(),
        };
        Ok(std::io::stdout().write_all(text.as_bytes())?)
    }

    fn json(&self) -> String {
        let line = |row: &Row| {
            let object = json!({
                "name": row.name,
                "unit": row.unit,
                "ours": median(&row.ours),
                "peer": self.peer,
                "theirs": median(&row.theirs),
                "ratio": row.ratio(),
            });
            format!("{object}\n")
        };
        self.rows.iter().map(line).collect()
    }

    fn table(&self) -> String {
        let mut lines = vec![[
            "MEASURE".to_owned(),
            "UNIT".to_owned(),
            "MAILPODS".to_owned(),
            self.peer.to_uppercase(),
            "RATIO".to_owned(),
        ]];
        lines.extend(self.rows.iter().map(Row::cells));
        let mut widths = [0; 5];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let [name, unit, ours, theirs, ratio] = widths;
        lines
            .iter()
            .map(|[a, b, c, d, e]| {
                format!("{a:name$}  {b:unit$}  {c:>ours$}  {d:>theirs$}  {e:>ratio$}\n")
            })
            .collect()
    }
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        let theirs = median(&self.theirs)?;
        (theirs != 0.0).then(|| median(&self.ours).map(|ours| ours / theirs))?
    }

    fn cells(&self) -> [String; 5] {
        [
            self.name.clone(),
            self.unit.to_owned(),
            spread(&self.ours),
            spread(&self.theirs),
            self.ratio().map_or_else(|| "-".to_owned(), number),
        ]
    }
}

fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// The median, and the range when there is one.
fn spread(samples: &[f64]) -> String {
    let Some(middle) = median(samples) else {
        return "-".to_owned();
    };
    let low = samples.iter().copied().fold(f64::INFINITY, f64::min);
    let high = samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if samples.len() < 2 {
        number(middle)
    } else {
        format!("{} [{}..{}]", number(middle), number(low), number(high))
    }
}

/// Three figures that count.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 || size == 0.0 => format!("{value:.2}"),
        size if size >= 0.1 => format!("{value:.3}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_that_of_the_medians() {
        let mut report = Report::new("Peer".to_owned());
        for (ours, theirs) in [(10.0, 1.0), (30.0, 4.0), (20.0, 2.0)] {
            report.add(Side::Ours, "a", "x/s", ours);
            report.add(Side::Theirs, "a", "x/s", theirs);
        }
        let row: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(row["ours"], 20.0);
        assert_eq!(row["theirs"], 2.0);
        assert_eq!(row["ratio"], 10.0);
        assert_eq!(row["peer"], "Peer");
        assert!(report.table().contains("20.0 [10.0..30.0]"));
    }

    #[test]
    fn one_side_alone_has_no_ratio() {
        let mut report = Report::new("Peer".to_owned());
        report.add(Side::Ours, "a", "ms", 0.25);
        let row: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert!(row["theirs"].is_null() && row["ratio"].is_null());
        assert!(report.table().contains("0.250"));
    }
}
