//! What was measured, against what is asked for.

use anyhow::Result;

struct Row {
    name: String,
    value: String,
    unit: &'static str,
    goal: String,
    met: Option<bool>,
}

/// The table.
pub struct Report {
    title: String,
    rows: Vec<Row>,
}

impl Report {
    /// An empty one.
    pub const fn new(title: String) -> Self {
        Self {
            title,
            rows: Vec::new(),
        }
    }

    /// A figure without a goal.
    pub fn note(&mut self, name: &str, unit: &'static str, value: f64) {
        self.add(name, number(value), unit, (String::new(), None));
    }

    /// A figure that has to be below another.
    pub fn below(&mut self, name: &str, unit: &'static str, value: f64, limit: f64) {
        let goal = (format!("below {limit}"), Some(value < limit));
        self.add(name, number(value), unit, goal);
    }

    /// A figure that has to be as large as another.
    pub fn at_least(&mut self, name: &str, unit: &'static str, value: f64, limit: f64) {
        let goal = (format!("at least {limit}"), Some(value >= limit));
        self.add(name, number(value), unit, goal);
    }

    /// Something of which there may be none.
    pub fn none(&mut self, name: &str, unit: &'static str, count: usize) {
        let goal = ("0".to_owned(), Some(count == 0));
        self.add(name, count.to_string(), unit, goal);
    }

    fn add(&mut self, name: &str, value: String, unit: &'static str, goal: (String, Option<bool>)) {
        eprintln!("    {name}: {value} {unit}");
        self.rows.push(Row {
            name: name.to_owned(),
            value,
            unit,
            goal: goal.0,
            met: goal.1,
        });
    }

    /// Prints the table; whether all goals were met.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn print(&self) -> Result<bool> {
        use std::io::Write as _;
        std::io::stdout().write_all(self.table().as_bytes())?;
        Ok(self.rows.iter().all(|row| row.met != Some(false)))
    }

    fn table(&self) -> String {
        let head = ["MEASURE", "VALUE", "UNIT", "GOAL", ""].map(str::to_owned);
        let mut lines = vec![head];
        lines.extend(self.rows.iter().map(Row::cells));
        let mut widths = [0; 5];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = cell.chars().count().max(*width);
            }
        }
        let [name, value, unit, goal, _] = widths;
        let line = |[a, b, c, d, e]: &[String; 5]| {
            format!("{a:name$}  {b:>value$}  {c:unit$}  {d:goal$}  {e}")
                .trim_end()
                .to_owned()
        };
        let lines: Vec<String> = lines.iter().map(line).collect();
        format!("{}\n{}\n", self.title, lines.join("\n"))
    }
}

impl Row {
    fn cells(&self) -> [String; 5] {
        let met = match self.met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        [
            self.name.clone(),
            self.value.clone(),
            self.unit.to_owned(),
            self.goal.clone(),
            met.to_owned(),
        ]
    }
}

/// Three figures that count.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_goal_shows() {
        let mut report = Report::new("some".to_owned());
        report.below("start", "s", 1.0, 60.0);
        assert!(!report.table().contains("MISSED"));
        report.below("memory", "MiB", 300.0, 256.0);
        let table = report.table();
        assert!(
            table.contains("memory     300  MiB   below 256  MISSED"),
            "{table}"
        );
        assert!(!report.print().unwrap());
    }
}
