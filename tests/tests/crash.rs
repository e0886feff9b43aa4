//! What was acknowledged is there once, whatever ends the process; what was refused is not.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use mailpods_tests::dns::Dns;
use mailpods_tests::server::{Config, Server, succeeded, tool_through};
use mailpods_tests::{eventually, smtp};

const CRASHES: u64 = 100;
const CLIENTS: usize = 8;
/// Texts of words, long enough that a group commit holds several and some are written while the kill comes.
const WORDS: &str = "a message of some length that is written while the process may end at any moment, and must be there once or not at all. ";

/// What the clients know of their messages, by subject.
#[derive(Debug, Default)]
struct Ledger {
    /// 250 was read.
    acknowledged: BTreeSet<String>,
    /// 4xx or 5xx was read.
    refused: BTreeSet<String>,
}

/// Sends messages until told to stop or the server is gone. An end of data without a reply is neither acknowledged nor refused.
fn client(server: std::net::SocketAddr, name: &str, stop: &AtomicBool, ledger: &Mutex<Ledger>) {
    let Ok(mut client) = smtp::Client::hello(server, "EHLO") else {
        return;
    };
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let subject = format!("{name}-{number}");
        let message = format!(
            "From: x@sender.test\r\nSubject: {subject}\r\n\r\n{}\r\n",
            WORDS.repeat(number % 40)
        );
        let Ok(reply) = client.message(
            "x@sender.test",
            &["alice@example.test", "bob@example.test"],
            &message,
        ) else {
            return;
        };
        let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
        match reply.code {
            250 => ledger.acknowledged.insert(subject),
            _ => ledger.refused.insert(subject),
        };
    }
}

/// A data folder, and the program that leads to where it is mounted, if not here.
struct Place {
    data: String,
    through: Vec<String>,
}

impl Place {
    fn new(data: &Path) -> Self {
        Self {
            data: data.to_string_lossy().into_owned(),
            through: Vec::new(),
        }
    }

    /// In the namespaces of a server.
    fn of_server(data: &Path, server: &Server) -> Self {
        let id = server.id().to_string();
        let enter = [
            "nsenter",
            "--target",
            &id,
            "--user",
            "--preserve-credentials",
            "--mount",
        ];
        Self {
            through: enter.map(str::to_owned).to_vec(),
            ..Self::new(data)
        }
    }

    fn tool(&self, arguments: &[&str]) -> Result<String> {
        let arguments = [&["--data", &self.data], arguments].concat();
        let through: Vec<&str> = self.through.iter().map(String::as_str).collect();
        succeeded(tool_through(&through, &arguments)?, &arguments)
    }

    /// Subjects in a person's INBOX with how often each is there.
    fn subjects(&self, person: &str) -> Result<BTreeMap<String, usize>> {
        let folder = tempfile::tempdir()?;
        let out = folder.path().join("mbox");
        let account = format!("{person}@example.test");
        self.tool(&[
            "mailbox",
            "export",
            &account,
            "--format",
            "mbox",
            &out.to_string_lossy(),
        ])?;
        let text = std::fs::read(out)?;
        let mut subjects = BTreeMap::new();
        for line in String::from_utf8_lossy(&text).lines() {
            if let Some(subject) = line.strip_prefix("Subject: ") {
                *subjects.entry(subject.trim_end().to_owned()).or_default() += 1;
            }
        }
        Ok(subjects)
    }

    fn queue_is_empty(&self) -> Result<Option<()>> {
        let list: serde_json::Value =
            serde_json::from_str(&self.tool(&["queue", "list", "--output", "json"])?)?;
        Ok(list.as_array().is_some_and(Vec::is_empty).then_some(()))
    }
}

fn check(ledger: &Ledger, found: &BTreeMap<String, usize>) -> Result<()> {
    if let Some(lost) = ledger
        .acknowledged
        .iter()
        .find(|subject| !found.contains_key(*subject))
    {
        bail!("{lost} was acknowledged and is not there");
    }
    if let Some((twice, count)) = found.iter().find(|(_, count)| **count != 1) {
        bail!("{twice} is there {count} times");
    }
    if let Some(refused) = ledger
        .refused
        .iter()
        .find(|subject| found.contains_key(*subject))
    {
        bail!("{refused} was refused and is there");
    }
    Ok(())
}

#[test]
fn a_hundred_kills_lose_and_double_nothing() -> Result<()> {
    let dns = Dns::start()?;
    let limits = "  smtp: {limitExempt: [127.0.0.0/8]}\n";
    let (config, data) = (tempfile::tempdir()?, tempfile::tempdir()?);
    Config::standard(&(dns.yaml() + limits)).write(config.path())?;
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    for crash in 0..CRASHES {
        let mut server = Server::start_in(config.path(), data.path(), &[])?;
        let stop = Arc::new(AtomicBool::new(false));
        let address = server.address("smtp");
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (stop, ledger) = (stop.clone(), ledger.clone());
                std::thread::spawn(move || {
                    client(address, &format!("c{crash}-{number}"), &stop, &ledger)
                })
            })
            .collect();
        // The kill comes at a moment that has nothing to do with what the server does: 0 to 300 ms in, spread by a fixed sequence.
        std::thread::sleep(Duration::from_millis(crash * 7919 % 300));
        server.kill()?;
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client
                .join()
                .map_err(|_| anyhow::anyhow!("a client panicked"))?;
        }
    }
    let mut server = Server::start_in(config.path(), data.path(), &[])?;
    let place = Place::new(data.path());
    eventually("the queue to empty", || place.queue_is_empty())?;
    server.stop()?;
    let ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(
        ledger.acknowledged.len() > 100,
        "too little was sent to show anything: {}",
        ledger.acknowledged.len()
    );
    for person in ["alice", "bob"] {
        check(&ledger, &place.subjects(person)?)?;
    }
    place.tool(&["fsck"])?;
    Ok(())
}

/// Whether this user may make a mount namespace with a small file system of its own in it.
fn may_mount() -> bool {
    let probe = [
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        "mount -t tmpfs tmpfs /mnt",
    ];
    Command::new("unshare")
        .args(probe)
        .output()
        .is_ok_and(|output| output.status.success())
}

#[test]
fn a_full_disk_defers_and_loses_nothing_and_goes_on_when_there_is_space() -> Result<()> {
    if !may_mount() {
        bail!(
            "this test makes a 200 MiB tmpfs in a namespace of its own; it needs `unshare --user --map-root-user --mount`"
        );
    }
    let dns = Dns::start()?;
    let limits = "  smtp: {limitExempt: [127.0.0.0/8]}\n";
    let (config, folder) = (tempfile::tempdir()?, tempfile::tempdir()?);
    Config::standard(&(dns.yaml() + limits)).write(config.path())?;
    let data = folder.path().join("data");
    std::fs::create_dir(&data)?;
    // 90 MiB are free, of which the store keeps 64 in reserve. Files in the namespace are reached through /proc/PID/root.
    let mount = format!(
        "mount -t tmpfs -o size=200m tmpfs {0} && fallocate -l 110m {0}/ballast && exec \"$@\"",
        data.display()
    );
    let wrapper = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        &mount,
        "sh",
    ];
    let mut server = Server::start_in(config.path(), &data, &wrapper)?;
    let root = Path::new("/proc")
        .join(server.id().to_string())
        .join("root");
    let inside = root.join(data.strip_prefix("/")?);
    let mut ledger = Ledger::default();
    let mut sender = Sender {
        server: server.address("smtp"),
        noise: noise(100_000),
        number: 0,
    };
    let mut refusal = 250;
    for _ in 0..600 {
        refusal = sender.send(&mut ledger)?;
        if refusal != 250 {
            break;
        }
    }
    assert_eq!(refusal, 452, "a full disk is a temporary condition");
    // Now not even the reserve is left: what is in the queue cannot be delivered either.
    fill(&inside.join("more"))?;
    assert_eq!(sender.send(&mut ledger)?, 452);
    std::fs::remove_file(inside.join("more"))?;
    std::fs::remove_file(inside.join("ballast"))?;
    eventually("mail to be taken again", || {
        Ok((sender.send(&mut ledger)? == 250).then_some(()))
    })?;
    let place = Place::of_server(&data, &server);
    eventually("the queue to empty", || place.queue_is_empty())?;
    place.tool(&["fsck"])?;
    for person in ["alice", "bob"] {
        check(&ledger, &place.subjects(person)?)?;
    }
    server.stop()
}

/// Writes a file until there is no space left.
fn fill(path: &Path) -> Result<()> {
    let mut file = std::fs::File::create(path)?;
    let block = vec![0; 1 << 20];
    loop {
        match file.write_all(&block) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends one numbered message after the other, each on a connection of its own.
struct Sender {
    server: std::net::SocketAddr,
    noise: String,
    number: usize,
}

impl Sender {
    fn send(&mut self, ledger: &mut Ledger) -> Result<u16> {
        self.number += 1;
        let subject = format!("full-{}", self.number);
        let message = format!(
            "From: x@sender.test\r\nSubject: {subject}\r\n\r\n{}\r\n",
            self.noise
        );
        let mut client = smtp::Client::hello(self.server, "EHLO")?;
        let reply = client.message(
            "x@sender.test",
            &["alice@example.test", "bob@example.test"],
            &message,
        )?;
        match reply.code {
            250 => ledger.acknowledged.insert(subject),
            _ => ledger.refused.insert(subject),
        };
        Ok(reply.code)
    }
}

/// Text that no compression makes small, in lines.
fn noise(octets: usize) -> String {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut text = String::with_capacity(octets + octets / 70);
    while text.len() < octets {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push(char::from(b'0' + (state % 75) as u8));
        if text.len() % 72 == 70 {
            text.push_str("\r\n");
        }
    }
    // Dots at line starts would need stuffing.
    text.replace("\n.", "\n:")
}
