//! The world's DNS: a PowerDNS that everybody asks, in the cluster and outside, and that ExternalDNS writes to.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::cluster::node::network::NODE_ADDRESS;
use crate::cluster::process::Processes;
use crate::command::{feed, run, words};
use crate::wait::{self, Seen};

/// The process.
pub const NAME: &str = "pdns";
/// Port of the HTTP API on the node's address.
const API_PORT: u16 = 8053;
const SCHEMA: &str = "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql";
const LIMIT: Duration = Duration::from_secs(30);

/// A zone here belongs to nobody else in the world of the tests.
pub const ZONES: &[&str] = &[
    "example.test",
    "second.test",
    "third.test",
    "small.test",
    "outside.test",
    "77.10.in-addr.arpa",
];

/// The server.
pub struct PowerDns {
    key: String,
}

/// A set of records with one name and type, as it should be.
pub struct RecordSet<'a> {
    /// Zone without the last dot.
    pub zone: &'a str,
    /// Name without the last dot.
    pub name: &'a str,
    /// Type, such as `A`.
    pub kind: &'a str,
    /// Contents in the form of a zone file; none removes the set.
    pub contents: &'a [&'a str],
}

impl PowerDns {
    /// Starts the server with its zones, unless it runs.
    pub fn start(folder: &Path, processes: &Processes) -> Result<Self> {
        let folder = folder.join(NAME);
        let server = Self {
            key: "a-key-of-the-tests".to_owned(),
        };
        let fresh = !folder.join("pdns.sqlite3").exists();
        if fresh {
            server
                .prepare(&folder)
                .context("failed to prepare PowerDNS")?;
        }
        let mut command = Command::new("pdns_server");
        command.arg(format!("--config-dir={}", folder.display()));
        processes.start(NAME, &mut command)?;
        wait::until("PowerDNS answers", LIMIT, || {
            processes.check(NAME)?;
            match server.call("GET", "zones", None) {
                Ok(_) => Ok(Seen::Yes(())),
                Err(error) => Ok(Seen::NotYet(error.to_string())),
            }
        })?;
        if fresh {
            server.make_zones()?;
        }
        Ok(server)
    }

    /// URL of the API, for ExternalDNS.
    pub fn url(&self) -> String {
        format!("http://{NODE_ADDRESS}:{API_PORT}")
    }

    /// Key of the API.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Replaces or removes a set of records, as an administrator would.
    pub fn set(&self, set: &RecordSet) -> Result<()> {
        let records: Vec<Value> = set
            .contents
            .iter()
            .map(|content| json!({"content": content, "disabled": false}))
            .collect();
        let change = if records.is_empty() {
            "DELETE"
        } else {
            "REPLACE"
        };
        let body = json!({"rrsets": [{
            "name": format!("{}.", set.name),
            "type": set.kind,
            "ttl": 60,
            "changetype": change,
            "records": records,
        }]});
        self.call("PATCH", &format!("zones/{}.", set.zone), Some(&body))?;
        Ok(())
    }

    /// What the server answers, sorted, each record as `dig +short` prints it.
    pub fn answer(&self, name: &str, kind: &str) -> Result<Vec<String>> {
        answer(name, kind)
    }

    /// All names and types of a zone apart from SOA and NS.
    pub fn names(&self, zone: &str) -> Result<Vec<String>> {
        let zone = self.call("GET", &format!("zones/{zone}."), None)?;
        let sets = zone["rrsets"].as_array().context("a zone without rrsets")?;
        let mut names: Vec<String> = sets
            .iter()
            .filter(|set| set["type"] != "SOA" && set["type"] != "NS")
            .map(|set| format!("{} {}", text(&set["name"]), text(&set["type"])))
            .collect();
        names.sort();
        Ok(names)
    }

    fn prepare(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        let schema = std::fs::read(SCHEMA).with_context(|| format!("failed to read {SCHEMA}"))?;
        let database = folder.join("pdns.sqlite3");
        feed(Command::new("sqlite3").arg(&database), &schema)?;
        let configuration = format!(
            include_str!("templates/pdns.conf"),
            folder = folder.display(),
            address = NODE_ADDRESS,
            port = API_PORT,
            key = self.key,
        );
        std::fs::write(folder.join("pdns.conf"), configuration)?;
        Ok(())
    }

    fn make_zones(&self) -> Result<()> {
        for zone in ZONES {
            let body = json!({
                "name": format!("{zone}."),
                "kind": "Native",
                "nameservers": ["ns1.example.test."],
            });
            self.call("POST", "zones", Some(&body))?;
        }
        self.set(&RecordSet {
            zone: "example.test",
            name: "ns1.example.test",
            kind: "A",
            contents: &[NODE_ADDRESS],
        })
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let mut curl = words(&["curl", "--silent", "--show-error", "--fail-with-body"]);
        curl.args(["--max-time", "10", "--request", method, "--header"])
            .arg(format!("X-API-Key: {}", self.key));
        if let Some(body) = body {
            curl.arg("--data").arg(body.to_string());
        }
        curl.arg(format!("{}/api/v1/servers/localhost/{path}", self.url()));
        let answer = run(&mut curl)?;
        if answer.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&answer).context("PowerDNS answered no JSON")
    }
}

/// What the world's DNS answers, sorted, each record as `dig +short` prints it.
pub fn answer(name: &str, kind: &str) -> Result<Vec<String>> {
    let server = format!("@{NODE_ADDRESS}");
    let mut dig = words(&["dig", "+short", "+time=2", "+tries=2", "+norecurse"]);
    let output = run(dig.args([&server, name, kind]))?;
    let mut lines: Vec<String> = output.lines().map(str::to_owned).collect();
    lines.sort();
    Ok(lines)
}

/// The text of a TXT record from its quoted strings.
pub fn joined(record: &str) -> String {
    record.trim_matches('"').replace("\" \"", "")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default().trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strings_of_a_record_are_joined() {
        assert_eq!(joined("\"v=DKIM1; p=AB\" \"CD\""), "v=DKIM1; p=ABCD");
    }
}
