//! What a person sees at start: listeners, domains, mailboxes, DNS to publish, and how to try it.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use mailpods_plan::{Plan, Protocol, Transport};
use serde_json::{Value, json};

use mailpods_process::Bound;

/// Records shown of one domain, and mailboxes shown in all, before `…`.
const MOST_ROWS: usize = 20;

/// Facts to show.
pub struct Summary<'a> {
    /// The plan that runs.
    pub plan: &'a Plan,
    /// Open sockets.
    pub bound: &'a [Bound],
    /// Wanted records as zone text, one a line.
    pub zone: &'a str,
    /// Configuration folder.
    pub config: &'a Path,
    /// Data folder.
    pub data: &'a Path,
}

impl Summary<'_> {
    /// One line of JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let listener = |bound: &Bound| {
            json!({
                "name": bound.name,
                "protocol": bound.protocol.as_str(),
                "address": bound.address.to_string(),
            })
        };
        json!({
            "ready": true,
            "hostname": self.plan.hostname.to_string(),
            "plan": self.plan.digest,
            "listeners": self.bound.iter().map(listener).collect::<Vec<_>>(),
            "domains": self.plan.domains.keys().map(ToString::to_string).collect::<Vec<_>>(),
            "outboundIPs": self.plan.outbound_ips.keys().collect::<Vec<_>>(),
            "mailboxes": self.plan.mailboxes.len(),
        })
    }

    /// Tables for a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        let data = self.data.display();
        line(
            &mut out,
            &format!(
                "Mailpods {} is running as {}, data in {data}",
                env!("CARGO_PKG_VERSION"),
                self.plan.hostname
            ),
        );
        section(
            &mut out,
            "Listeners",
            &["NAME", "PROTOCOL", "ADDRESS"],
            self.listeners(),
        );
        section(
            &mut out,
            "Domains",
            &["DOMAIN", "ALSO", "MAIL GOES TO"],
            self.domains(),
        );
        if !self.plan.outbound_ips.is_empty() {
            section(
                &mut out,
                "Mail leaves from (`mailpods ip list` tells how they stand)",
                &["NAME", "ADDRESS", "HOSTNAME", "POOL", "ROLE"],
                self.addresses(),
            );
        }
        section(
            &mut out,
            "Mailboxes",
            &["ADDRESS", "QUOTA", "LOG-IN"],
            self.mailboxes(),
        );
        line(
            &mut out,
            "\nDNS to publish (`mailpods dns print` shows all of it, `mailpods dns check` compares)",
        );
        line(
            &mut out,
            &format!(
                "  ; {} needs an A or AAAA record with this machine's address, and that address a PTR record back",
                self.plan.hostname
            ),
        );
        if let Some(http) = self
            .bound
            .iter()
            .find(|bound| bound.protocol == Protocol::Http)
        {
            line(
                &mut out,
                &format!(
                    "  ; autoconfig.DOMAIN: ports 80 and 443 there have to lead /mail/config-v1.1.xml to {} here (a reverse proxy)",
                    http.address
                ),
            );
        }
        for record in self.zone.lines().take(MOST_ROWS) {
            line(&mut out, &format!("  {}", shortened(record)));
        }
        if self.zone.lines().count() > MOST_ROWS {
            line(&mut out, "  …");
        }
        self.try_it(&mut out);
        out
    }

    fn listeners(&self) -> Vec<Vec<String>> {
        let row = |bound: &Bound| {
            vec![
                bound.name.clone(),
                bound.protocol.as_str().to_owned(),
                bound.address.to_string(),
            ]
        };
        self.bound.iter().map(row).collect()
    }

    fn domains(&self) -> Vec<Vec<String>> {
        let row = |domain: &std::sync::Arc<mailpods_plan::Domain>| {
            let also: Vec<String> = domain.alias_names.iter().map(ToString::to_string).collect();
            let to = match &domain.transport {
                Transport::Mailboxes => "mailboxes here".to_owned(),
                Transport::Relay(hop) => format!("{} port {}", hop.host, hop.port),
            };
            vec![domain.name.to_string(), or_dash(also.join(" ")), to]
        };
        self.plan.domains.values().map(row).collect()
    }

    fn addresses(&self) -> Vec<Vec<String>> {
        let ips = self.plan.outbound_ips.values();
        let mut rows: Vec<Vec<String>> = ips
            .take(MOST_ROWS)
            .map(|ip| {
                let role = if ip.sending { "sending" } else { "standby" };
                vec![
                    ip.name.clone(),
                    ip.address.to_string(),
                    ip.hostname.to_string(),
                    ip.pool.clone(),
                    role.to_owned(),
                ]
            })
            .collect();
        if self.plan.outbound_ips.len() > MOST_ROWS {
            let more = self.plan.outbound_ips.len() - MOST_ROWS;
            rows.push(
                std::iter::once(format!("… {more} more"))
                    .chain(std::iter::repeat_n(String::new(), 4))
                    .collect(),
            );
        }
        rows
    }

    fn mailboxes(&self) -> Vec<Vec<String>> {
        let mut mailboxes: Vec<_> = self.plan.mailboxes.values().collect();
        mailboxes.sort_by(|a, b| a.address.cmp(&b.address));
        let count = mailboxes.len();
        let mut rows: Vec<Vec<String>> = mailboxes
            .into_iter()
            .take(MOST_ROWS)
            .map(|mailbox| {
                let quota = self.plan.quota(mailbox).octets;
                let quota = quota.map_or_else(|| "-".to_owned(), quantity);
                let login = match (mailbox.enabled, &mailbox.credential) {
                    (false, _) => "disabled",
                    (true, Some(_)) => "password",
                    (true, None) => "none",
                };
                vec![mailbox.address.to_string(), quota, login.to_owned()]
            })
            .collect();
        if count > MOST_ROWS {
            rows.push(vec![
                format!("… {} more", count - MOST_ROWS),
                String::new(),
                String::new(),
            ]);
        }
        rows
    }

    fn try_it(&self, out: &mut String) {
        let address = |protocol| {
            self.bound
                .iter()
                .find(|bound| bound.protocol == protocol)
                .map(|bound| reachable(bound.address))
        };
        let mut people: Vec<_> = self
            .plan
            .mailboxes
            .values()
            .filter(|mailbox| mailbox.enabled)
            .map(|mailbox| mailbox.address.to_string())
            .collect();
        people.sort();
        let (Some(first), Some(second)) = (people.first(), people.get(1).or(people.first())) else {
            return;
        };
        line(out, "\nTry it");
        if let Some(smtp) = address(Protocol::Submission) {
            line(
                out,
                &format!(
                    "  swaks --server {} --port {} --tls --auth PLAIN --auth-user {first} --from {first} --to {second}",
                    smtp.ip(),
                    smtp.port()
                ),
            );
        }
        if let Some(imaps) = address(Protocol::Imaps) {
            line(
                out,
                &format!("  curl --insecure --user {second} 'imaps://{imaps}/INBOX;MAILINDEX=1'"),
            );
            line(
                out,
                &format!(
                    "  mutt -f imaps://{}@{imaps}/INBOX",
                    second.replace('@', "%40")
                ),
            );
        }
        if let Some(http) = address(Protocol::Http) {
            line(out, &format!("  curl http://{http}/readyz"));
        }
        line(
            out,
            &format!(
                "  edit the YAML in {}: it takes effect within a second",
                self.config.display()
            ),
        );
    }
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

/// Where a client on this machine finds a listener on every address.
fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port())
    } else {
        address
    }
}

/// Octets in the largest unit that has no fraction, as YAML writes them.
fn quantity(octets: u64) -> String {
    let units = ["Ti", "Gi", "Mi", "Ki"]
        .into_iter()
        .zip([40_u32, 30, 20, 10]);
    units
        .map(|(unit, shift)| (unit, octets >> shift, shift))
        .find(|(_, count, shift)| *count > 0 && count << shift == octets)
        .map_or_else(
            || octets.to_string(),
            |(unit, count, _)| format!("{count}{unit}"),
        )
}

fn or_dash(text: String) -> String {
    if text.is_empty() {
        "-".to_owned()
    } else {
        text
    }
}

/// Key data is of no use on a terminal.
fn shortened(record: &str) -> String {
    match record.char_indices().nth(110) {
        Some((at, _)) => format!("{} …", &record[..at]),
        None => record.to_owned(),
    }
}

/// A titled table with columns as wide as they must be.
fn section(out: &mut String, title: &str, head: &[&str], rows: Vec<Vec<String>>) {
    line(out, &format!("\n{title}"));
    let head = head.iter().map(|cell| (*cell).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns)
        .map(|column| width(column).unwrap_or_default())
        .collect();
    for row in &rows {
        let mut text = String::from(" ");
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a String cannot fail.
            let _ = write!(text, " {cell:<width$} ");
        }
        line(out, text.trim_end());
    }
}

#[cfg(test)]
mod tests;
