//! What was measured of each side, and what is asked of it.

use std::collections::HashMap;

use anyhow::Result;

/// Whose a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Mailpods in one process.
    Sqlite,
    /// Mailpods' pods on PostgreSQL.
    Postgres,
    /// Dovecot.
    Dovecot,
}

/// PostgreSQL may be so many times slower than SQLite.
const SLOWER: f64 = 3.0;

/// What is asked of a row.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// SQLite takes at most this part of Dovecot's, PostgreSQL at most three times SQLite's.
    Less(f64),
    /// SQLite has at least so many times Dovecot's, PostgreSQL at least a third of SQLite's.
    More(f64),
    /// Both stay at or below it.
    AtMost(f64),
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Measure {
    /// Its name.
    pub name: &'static str,
    /// What it is counted in.
    pub unit: &'static str,
    /// What is asked of it.
    pub goal: Goal,
}

/// The table.
pub struct Table {
    title: String,
    measures: &'static [Measure],
    samples: HashMap<(&'static str, Side), Vec<f64>>,
}

impl Table {
    /// An empty one.
    pub fn new(title: String, measures: &'static [Measure]) -> Self {
        Self {
            title,
            measures,
            samples: HashMap::new(),
        }
    }

    /// Adds a sample; a cell is the median.
    pub fn add(&mut self, side: Side, name: &'static str, value: f64) {
        eprintln!("    {side:?} {name}: {}", number(value));
        self.samples.entry((name, side)).or_default().push(value);
    }

    /// Prints the table; whether all goals were met.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn print(&self) -> Result<bool> {
        use std::io::Write as _;
        std::io::stdout().write_all(self.text().as_bytes())?;
        let mut verdicts = self.measures.iter().flat_map(|one| self.verdicts(one));
        Ok(verdicts.all(|(_, met)| met))
    }

    fn value(&self, measure: &Measure, side: Side) -> Option<f64> {
        let mut sorted = self.samples.get(&(measure.name, side))?.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied()
    }

    /// One side's by another's.
    fn ratio(&self, measure: &Measure, one: Side, other: Side) -> Option<f64> {
        let (one, other) = (self.value(measure, one)?, self.value(measure, other)?);
        (other != 0.0).then_some(one / other)
    }

    /// What there are figures for, and whether they are as good as asked.
    fn verdicts(&self, measure: &Measure) -> Vec<(&'static str, bool)> {
        let by_dovecot = self.ratio(measure, Side::Sqlite, Side::Dovecot);
        let by_sqlite = self.ratio(measure, Side::Postgres, Side::Sqlite);
        let (sqlite, postgres) = match measure.goal {
            Goal::Less(most) => (
                by_dovecot.map(|ratio| ratio <= most),
                by_sqlite.map(|ratio| ratio <= SLOWER),
            ),
            Goal::More(least) => (
                by_dovecot.map(|ratio| ratio >= least),
                by_sqlite.map(|ratio| ratio * SLOWER >= 1.0),
            ),
            Goal::AtMost(most) => (
                self.value(measure, Side::Sqlite).map(|value| value <= most),
                self.value(measure, Side::Postgres)
                    .map(|value| value <= most),
            ),
        };
        let named = [("SQLite", sqlite), ("PostgreSQL", postgres)];
        named
            .into_iter()
            .filter_map(|(name, met)| Some((name, met?)))
            .collect()
    }

    fn text(&self) -> String {
        let head = [
            "MEASURE",
            "UNIT",
            "SQLITE",
            "POSTGRESQL",
            "DOVECOT",
            "SQLITE/DOVECOT",
            "POSTGRESQL/SQLITE",
            "GOAL",
            "",
        ];
        let mut lines = vec![head.map(str::to_owned)];
        let measured = |one: &&Measure| self.samples.keys().any(|key| key.0 == one.name);
        lines.extend(
            self.measures
                .iter()
                .filter(measured)
                .map(|one| self.cells(one)),
        );
        let mut widths = [0; 9];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = cell.chars().count().max(*width);
            }
        }
        let [name, unit, ours, pods, theirs, first, second, goal, _] = widths;
        let line = |[a, b, c, d, e, f, g, h, i]: &[String; 9]| {
            let line = format!(
                "{a:name$}  {b:unit$}  {c:>ours$}  {d:>pods$}  {e:>theirs$}  {f:>first$}  {g:>second$}  {h:goal$}  {i}"
            );
            line.trim_end().to_owned()
        };
        let lines: Vec<String> = lines.iter().map(line).collect();
        format!("{}\n{}\n", self.title, lines.join("\n"))
    }

    fn cells(&self, measure: &Measure) -> [String; 9] {
        let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
        let goal = match measure.goal {
            Goal::Less(most) => format!("at most {most}, {SLOWER}"),
            Goal::More(least) => format!("at least {least}, 1/{SLOWER}"),
            Goal::AtMost(most) => format!("at most {most} {}", measure.unit),
        };
        [
            measure.name.to_owned(),
            measure.unit.to_owned(),
            shown(self.value(measure, Side::Sqlite)),
            shown(self.value(measure, Side::Postgres)),
            shown(self.value(measure, Side::Dovecot)),
            shown(self.ratio(measure, Side::Sqlite, Side::Dovecot)),
            shown(self.ratio(measure, Side::Postgres, Side::Sqlite)),
            goal,
            verdict(&self.verdicts(measure)),
        ]
    }
}

/// One word where all agree.
fn verdict(all: &[(&'static str, bool)]) -> String {
    let word = |met: bool| if met { "met" } else { "MISSED" };
    match all {
        [] => String::new(),
        [(_, first), rest @ ..] if rest.iter().all(|(_, met)| met == first) => {
            word(*first).to_owned()
        }
        all => {
            let each = all
                .iter()
                .map(|(name, met)| format!("{name} {}", word(*met)));
            each.collect::<Vec<_>>().join(", ")
        }
    }
}

/// Three figures that count.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEASURES: &[Measure] = &[
        Measure {
            name: "search",
            unit: "ms",
            goal: Goal::Less(0.1),
        },
        Measure {
            name: "append",
            unit: "messages/s",
            goal: Goal::More(1.0),
        },
        Measure {
            name: "idle",
            unit: "KiB",
            goal: Goal::AtMost(30.0),
        },
    ];

    fn table(samples: &[(Side, &'static str, f64)]) -> Table {
        let mut table = Table::new("some".to_owned(), MEASURES);
        for (side, name, value) in samples {
            table.add(*side, name, *value);
        }
        table
    }

    #[test]
    fn each_side_has_its_own_goal() {
        use Side::{Dovecot, Postgres, Sqlite};
        let good = [
            (Sqlite, "search", 1.0),
            (Postgres, "search", 2.9),
            (Dovecot, "search", 11.0),
        ];
        let table_of = |more: (Side, &'static str, f64)| table(&[&good[..], &[more]].concat());
        assert!(table_of((Sqlite, "idle", 30.0)).print().unwrap());
        let missed = table_of((Postgres, "idle", 30.5));
        assert!(!missed.print().unwrap() && missed.text().contains("MISSED"));
        let slow = table(&[
            (Sqlite, "search", 2.0),
            (Postgres, "search", 6.0),
            (Dovecot, "search", 11.0),
        ]);
        assert!(
            slow.text().contains("SQLite MISSED, PostgreSQL met"),
            "{}",
            slow.text()
        );
        let few = table(&[
            (Sqlite, "append", 9.0),
            (Postgres, "append", 2.0),
            (Dovecot, "append", 9.0),
        ]);
        assert!(
            few.text().contains("SQLite met, PostgreSQL MISSED"),
            "{}",
            few.text()
        );
    }

    #[test]
    fn without_the_peer_nothing_is_said_of_it() {
        let alone = table(&[(Side::Sqlite, "search", 1.0)]);
        assert!(alone.print().unwrap() && !alone.text().contains("met"));
    }
}
