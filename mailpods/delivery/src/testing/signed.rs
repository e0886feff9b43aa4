//! A signed root zone on loopback, served by PowerDNS: the keys, signatures and proofs of absence are those of another author.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mailpods_net::dns::{HickoryResolver, Resolver as _, ResolverOptions, TrustedKeys};

const SCHEMA: &str = "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql";
const LIMIT: Duration = Duration::from_secs(20);
const SOA: &str = "SOA ns.root.test. host.root.test. 1 3600 600 86400 60";

/// The running server; it ends when dropped.
pub(crate) struct Signed {
    server: Child,
    addr: SocketAddr,
    anchor: String,
    _dir: tempfile::TempDir,
}

impl Signed {
    /// A signed root with `records` (lines of a zone file, names absolute), and an unsigned zone `plain.test` with `plain`.
    pub(crate) async fn start(records: &str, plain: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        let addr = UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        write_files(dir.path(), addr.port(), records, plain);
        let tool = |arguments: &[&str]| {
            let mut command = Command::new("pdnsutil");
            let done = command
                .arg(format!("--config-dir={path}"))
                .args(arguments)
                .output()
                .unwrap();
            assert!(done.status.success(), "{arguments:?}: {done:?}");
            String::from_utf8(done.stdout).unwrap()
        };
        tool(&["load-zone", ".", &format!("{path}/root")]);
        tool(&["load-zone", "plain.test", &format!("{path}/plain")]);
        tool(&["secure-zone", "."]);
        tool(&["rectify-zone", "."]);
        let shown = tool(&["show-zone", "."]);
        let key = shown
            .lines()
            .find_map(|line| line.split_once("DNSKEY = "))
            .unwrap()
            .1;
        let anchor = key.split(" ; ").next().unwrap().to_owned();
        let server = Command::new("pdns_server")
            .arg(format!("--config-dir={path}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let signed = Self {
            server,
            addr,
            anchor,
            _dir: dir,
        };
        signed.wait().await;
        signed
    }

    /// A resolver that trusts the zone's key; `None`: the keys of the real root.
    pub(crate) fn resolver(&self, trusting: bool) -> HickoryResolver {
        let keys = trusting.then(|| self.anchor.parse::<TrustedKeys>().unwrap());
        HickoryResolver::with_options(&ResolverOptions {
            servers: vec![self.addr],
            timeout: Duration::from_secs(2),
            trusted_keys: keys.unwrap_or_default(),
            ..ResolverOptions::default()
        })
        .unwrap()
    }

    /// Until it answers.
    async fn wait(&self) {
        let answers = async {
            while self
                .resolver(false)
                .mx("ns.root.test")
                .await
                .is_err_and(|error| error.is_temporary())
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LIMIT, answers)
            .await
            .expect("PowerDNS does not answer");
    }
}

/// Configuration, database and zone files.
fn write_files(dir: &Path, port: u16, records: &str, plain: &str) {
    let path = dir.display();
    let config = format!(
        "launch=gsqlite3\ngsqlite3-database={path}/db\ngsqlite3-dnssec=yes\nlocal-address=127.0.0.1\nlocal-port={port}\n\
         socket-dir={path}\nguardian=no\ndaemon=no\ndisable-syslog=yes\nsecurity-poll-suffix=\n"
    );
    fs::write(dir.join("pdns.conf"), config).unwrap();
    let schema = fs::File::open(SCHEMA).unwrap();
    let made = Command::new("sqlite3")
        .arg(dir.join("db"))
        .stdin(schema)
        .status();
    assert!(made.unwrap().success());
    let root = format!(
        "$TTL 60\n. IN {SOA}\n. IN NS ns.root.test.\nns.root.test. IN A 127.0.0.1\nplain.test. IN NS ns.root.test.\n{records}\n"
    );
    let below =
        format!("$TTL 60\nplain.test. IN {SOA}\nplain.test. IN NS ns.root.test.\n{plain}\n");
    fs::write(dir.join("root"), root).unwrap();
    fs::write(dir.join("plain"), below).unwrap();
}

impl Drop for Signed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
