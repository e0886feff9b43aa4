//! The world's DNS: a PowerDNS that everybody asks; in the cluster and outside, where ExternalDNS writes to it, or in a namespace of its own.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::cluster::node::network::NODE_ADDRESS;
use crate::cluster::process::Processes;
use crate::command::{feed, run, within, words};
use crate::wait::{self, Seen};

/// The process.
pub const NAME: &str = "pdns";
/// Port of the HTTP API on the server's address.
const API_PORT: u16 = 8053;
/// Time to live of records that are set one by one, seconds.
const TTL: u32 = 60;
const SCHEMA: &str = "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql";
const LIMIT: Duration = Duration::from_secs(30);

/// Where a server is, and what it answers for.
pub struct Place {
    /// Its address.
    pub address: &'static str,
    /// Its network namespace; that of this process when left out.
    pub namespace: Option<&'static str>,
    /// Its zones without the last dot; an empty name is the root.
    pub zones: &'static [&'static str],
}

/// Beside the cluster. A zone here belongs to nobody else in the world of the tests.
pub const CLUSTER: Place = Place {
    address: NODE_ADDRESS,
    namespace: None,
    zones: &[
        "example.test",
        "second.test",
        "third.test",
        "small.test",
        "outside.test",
        "77.10.in-addr.arpa",
    ],
};

/// The server.
pub struct PowerDns {
    key: String,
    place: Place,
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
    pub fn start(folder: &Path, processes: &Processes, place: Place) -> Result<Self> {
        let folder = folder.join(NAME);
        let server = Self {
            key: "a-key-of-the-tests".to_owned(),
            place,
        };
        let fresh = !folder.join("pdns.sqlite3").exists();
        if fresh {
            server
                .prepare(&folder)
                .context("failed to prepare PowerDNS")?;
        }
        let mut command = within(server.place.namespace, &["pdns_server"]);
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
        format!("http://{}:{API_PORT}", self.place.address)
    }

    /// Key of the API.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Replaces or removes a set of records, as an administrator would.
    pub fn set(&self, set: &RecordSet) -> Result<()> {
        self.set_all(set.zone, TTL, std::slice::from_ref(set))
    }

    /// The same for several sets of one zone at once; `ttl` in seconds.
    pub fn set_all(&self, zone: &str, ttl: u32, sets: &[RecordSet]) -> Result<()> {
        let changes: Vec<Value> = sets.iter().map(|set| change(set, ttl)).collect();
        let body = json!({"rrsets": changes});
        self.call("PATCH", &format!("zones/{}", id(zone)), Some(&body))?;
        Ok(())
    }

    /// What the server answers, sorted, each record as `dig +short` prints it.
    pub fn answer(&self, name: &str, kind: &str) -> Result<Vec<String>> {
        answer(name, kind)
    }

    /// All names and types of a zone apart from SOA and NS.
    pub fn names(&self, zone: &str) -> Result<Vec<String>> {
        let zone = self.call("GET", &format!("zones/{}", id(zone)), None)?;
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
            address = self.place.address,
            port = API_PORT,
            key = self.key,
        );
        std::fs::write(folder.join("pdns.conf"), configuration)?;
        Ok(())
    }

    fn make_zones(&self) -> Result<()> {
        for zone in self.place.zones {
            let body = json!({
                "name": format!("{zone}."),
                "kind": "Native",
                "nameservers": ["ns1.example.test."],
            });
            self.call("POST", "zones", Some(&body))?;
        }
        self.set(&RecordSet {
            zone: self.place.zones.first().context("no zones")?,
            name: "ns1.example.test",
            kind: "A",
            contents: &[self.place.address],
        })
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let line = ["curl", "--silent", "--show-error", "--fail-with-body"];
        let mut curl = within(self.place.namespace, &line);
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

fn change(set: &RecordSet, ttl: u32) -> Value {
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
    json!({
        "name": format!("{}.", set.name),
        "type": set.kind,
        "ttl": ttl,
        "changetype": change,
        "records": records,
    })
}

/// A zone in paths of the API; octets that are not of a name are written as `=XX` there.
fn id(zone: &str) -> String {
    match zone {
        "" => "=2E".to_owned(),
        zone => format!("{zone}."),
    }
}

/// What the cluster's DNS answers, sorted, each record as `dig +short` prints it.
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
