//! Tables for people, JSON for programs.
use std::io::{self, Write as _};

use serde::Serialize;

/// One JSON document: an object, or an array for a list.
pub fn json(value: &(impl Serialize + ?Sized)) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    out.write_all(b"\n")
}

/// A remark beside the result.
pub fn remark(text: &str) {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Text as it stands, and a line end.
pub fn line(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// Rows under a head, columns aligned. Cells hold what came from outside, so control characters are replaced: a message must
/// not drive the terminal.
pub struct Table {
    head: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(head: &'static [&'static str]) -> Self {
        Self {
            head,
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows
            .push(cells.iter().map(|cell| clean(cell)).collect());
    }

    /// Prints it, head included.
    pub fn print(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let head: Vec<String> = self.head.iter().map(|name| (*name).to_owned()).collect();
        let widths = self.widths(&head);
        for row in std::iter::once(&head).chain(&self.rows) {
            writeln!(out, "{}", align(row, &widths))?;
        }
        Ok(())
    }

    fn widths(&self, head: &[String]) -> Vec<usize> {
        let width = |column: usize| {
            let cells = std::iter::once(head).chain(self.rows.iter().map(Vec::as_slice));
            cells
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        (0..head.len()).map(width).collect()
    }
}

fn align(row: &[String], widths: &[usize]) -> String {
    let padded = row
        .iter()
        .zip(widths)
        .map(|(cell, width)| format!("{cell:width$}", width = *width));
    padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

/// Without control characters.
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// The start of a text that is longer than a cell of a table should be, in characters.
pub fn clip(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Octets for people: `10.2 KiB`.
pub fn octets(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = "B";
    for next in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "B" {
        format!("{count} B")
    } else {
        format!("{value:.1} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_control_characters_replaced() {
        let mut table = Table::new(&["ID", "TEXT"]);
        table.row(vec!["1".to_owned(), "a\x1b[31mb".to_owned()]);
        table.row(vec!["1234".to_owned(), String::new()]);
        let widths = table.widths(&["ID".to_owned(), "TEXT".to_owned()]);
        assert_eq!(widths, [4, 7]);
        let lines: Vec<String> = table.rows.iter().map(|row| align(row, &widths)).collect();
        assert_eq!(lines, ["1     a?[31mb", "1234"]);
    }

    #[test]
    fn what_is_too_long_for_a_cell_is_cut() {
        assert_eq!(clip("äbc", 3), "äbc");
        assert_eq!(clip("äbcd", 3), "äbc…");
        assert_eq!(clip("", 3), "");
    }

    #[test]
    fn octets_are_readable() {
        assert_eq!(octets(0), "0 B");
        assert_eq!(octets(1023), "1023 B");
        assert_eq!(octets(10_240), "10.0 KiB");
        assert_eq!(octets(3 << 30), "3.0 GiB");
    }
}
