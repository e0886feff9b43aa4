//! What the operator wrote, as the API server noted it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

/// Requests that change no object of anybody's: the lease of the leader, and questions that are asked by POST.
const APART: [&str; 2] = ["leases", "tokenreviews"];

/// Reads the audit log from where it was last read.
pub struct Audit {
    path: PathBuf,
    read: u64,
}

/// Writes by verb and resource, such as `patch maildomains/status`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Writes {
    /// Those that count.
    pub counted: BTreeMap<String, usize>,
    /// Those that are named apart.
    pub apart: BTreeMap<String, usize>,
}

impl Audit {
    /// From its beginning.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            read: 0,
        }
    }

    /// What was written since the last call.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn since(&mut self) -> Result<Writes> {
        let mut file = std::fs::File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.read))?;
        let mut reader = BufReader::new(file);
        let (mut writes, mut line) = (Writes::default(), String::new());
        loop {
            line.clear();
            let length = reader.read_line(&mut line)?;
            // A line without its end is still being written.
            if length == 0 || !line.ends_with('\n') {
                return Ok(writes);
            }
            self.read += length as u64;
            writes.add(&line);
        }
    }
}

impl Writes {
    fn add(&mut self, line: &str) {
        let event: Value = serde_json::from_str(line).unwrap_or(Value::Null);
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
        let resource = text("/objectRef/resource").unwrap_or("unknown");
        let part = text("/objectRef/subresource").map(|part| format!("/{part}"));
        let verb = text("/verb").unwrap_or("unknown");
        let name = format!("{verb} {resource}{}", part.unwrap_or_default());
        let counts = match APART.contains(&resource) {
            true => &mut self.apart,
            false => &mut self.counted,
        };
        *counts.entry(name).or_default() += 1;
    }

    /// Moves to those apart what is applied once after each start, whether it changed meanwhile or not: the objects that a
    /// MailCluster brings about. Where they are as they should be, nothing of that is stored.
    pub fn set_applied_apart(&mut self) {
        let is_applied = |name: &str| name.starts_with("patch ") && !name.ends_with("/status");
        let applied = self.counted.extract_if(.., |name, _| is_applied(name));
        self.apart.extend(applied);
    }

    /// How many count.
    pub fn count(&self) -> usize {
        self.counted.values().sum()
    }

    /// Adds those of a later look.
    pub fn extend(&mut self, later: Self) {
        for (name, count) in later.counted {
            *self.counted.entry(name).or_default() += count;
        }
        for (name, count) in later.apart {
            *self.apart.entry(name).or_default() += count;
        }
    }
}

/// `3 patch mailboxes/status, 1 create secrets`, or `none`.
pub fn shown(counts: &BTreeMap<String, usize>) -> String {
    let parts: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    match parts.is_empty() {
        true => "none".to_owned(),
        false => parts.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_and_reviews_are_named_apart() {
        let line = |verb: &str, resource: &str, part: &str| {
            format!("{{\"verb\":\"{verb}\",\"objectRef\":{{\"resource\":\"{resource}\"{part}}}}}\n")
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let status = line("patch", "mailboxes", ",\"subresource\":\"status\"");
        let text = [
            status.clone(),
            line("update", "leases", ""),
            line("create", "tokenreviews", ""),
        ];
        std::fs::write(&path, text.concat() + "{\"verb\":").unwrap();
        let mut audit = Audit::new(&path);
        let mut writes = audit.since().unwrap();
        assert_eq!(shown(&writes.counted), "1 patch mailboxes/status");
        assert_eq!(
            shown(&writes.apart),
            "1 create tokenreviews, 1 update leases"
        );
        assert_eq!(audit.since().unwrap(), Writes::default());
        writes.add(&status);
        writes.add(&line("patch", "services", ""));
        assert_eq!(writes.count(), 3);
        writes.set_applied_apart();
        assert_eq!(writes.count(), 2);
        assert_eq!(shown(&audit.since().unwrap().counted), "none");
    }
}
