//! Debian packages that tests and benchmarks use as they are: stock clients and peers.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// A package by name, and a file that shows that it is there.
type Package = (&'static str, &'static str);

/// Stock clients that the whole-process tests talk through.
pub const TESTS: &[Package] = &[
    ("curl", "/usr/bin/curl"),
    ("dovecot-imapd", "/usr/lib/dovecot/imap"),
    ("dovecot-sieve", "/usr/bin/sieve-test"),
    ("isync", "/usr/bin/mbsync"),
    ("libio-socket-ssl-perl", "/usr/share/perl5/IO/Socket/SSL.pm"),
    (
        "libnet-ssleay-perl",
        "/usr/lib/x86_64-linux-gnu/perl5/5.36/Net/SSLeay.pm",
    ),
    ("mutt", "/usr/bin/mutt"),
    ("offlineimap3", "/usr/bin/offlineimap"),
    ("openssl", "/usr/bin/openssl"),
    (
        "pdns-backend-sqlite3",
        "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql",
    ),
    ("pdns-server", "/usr/sbin/pdns_server"),
    ("postgresql", "/usr/bin/pg_ctlcluster"),
    ("python3", "/usr/bin/python3"),
    (
        "python3-dkim",
        "/usr/lib/python3/dist-packages/dkim/__init__.py",
    ),
    (
        "python3-dnspython",
        "/usr/lib/python3/dist-packages/dns/resolver.py",
    ),
    ("sieve-connect", "/usr/bin/sieve-connect"),
    ("sqlite3", "/usr/bin/sqlite3"),
    ("swaks", "/usr/bin/swaks"),
];

/// What the benchmarks measure against.
pub const PEERS: &[Package] = &[
    ("dovecot-imapd", "/usr/lib/dovecot/imap"),
    ("dovecot-lmtpd", "/usr/lib/dovecot/lmtp"),
    ("dovecot-pop3d", "/usr/lib/dovecot/pop3"),
    ("postfix", "/usr/sbin/postfix"),
    ("postgresql", "/usr/bin/pg_ctlcluster"),
];

/// What a one-node cluster of plain processes is made of, besides what `e2e/binaries` pins.
pub const NODE: &[Package] = &[
    ("conntrack", "/usr/sbin/conntrack"),
    ("containerd", "/usr/bin/containerd"),
    ("containernetworking-plugins", "/usr/lib/cni/ptp"),
    ("iproute2", "/usr/sbin/ip"),
    ("iptables", "/usr/sbin/iptables"),
    ("nftables", "/usr/sbin/nft"),
    ("runc", "/usr/sbin/runc"),
];

/// The world around the cluster: DNS, a database, other mail servers, clients.
pub const WORLD: &[Package] = &[
    ("bind9-dnsutils", "/usr/bin/dig"),
    ("busybox-static", "/bin/busybox"),
    ("curl", "/usr/bin/curl"),
    (
        "pdns-backend-sqlite3",
        "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql",
    ),
    ("pdns-server", "/usr/sbin/pdns_server"),
    ("postfix", "/usr/sbin/postfix"),
    ("postgresql", "/usr/bin/psql"),
    ("python3-venv", "/usr/lib/python3.11/ensurepip"),
    ("sqlite3", "/usr/bin/sqlite3"),
    ("swaks", "/usr/bin/swaks"),
];

/// Installs what is missing with apt-get, as root; says what to install otherwise.
pub fn ensure_present(packages: &[Package]) -> Result<()> {
    let missing: Vec<&str> = packages
        .iter()
        .filter(|(name, file)| !present(name, file))
        .map(|(name, _)| *name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("==> installing Debian packages: {}", missing.join(" "));
    if !apt_get(&["update", "-q"])? {
        bail!(
            "failed to update the package lists; install these packages by hand: {}",
            missing.join(" ")
        );
    }
    let mut arguments = vec!["install", "-y", "-q", "--no-install-recommends"];
    arguments.extend(&missing);
    ensure!(
        apt_get(&arguments)?,
        "failed to install packages; install these by hand: {}",
        missing.join(" ")
    );
    Ok(())
}

/// The file is there, or dpkg knows the package as installed (its files may stand elsewhere in another release).
fn present(name: &str, file: &str) -> bool {
    std::path::Path::new(file).exists()
        || Command::new("dpkg-query")
            .args(["--show", "--showformat=${db:Status-Abbrev}", name])
            .stderr(Stdio::null())
            .output()
            .is_ok_and(|output| output.stdout.starts_with(b"ii"))
}

fn apt_get(arguments: &[&str]) -> Result<bool> {
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdout(Stdio::null())
        .status()
        .context("failed to start apt-get; the tests need Debian's stock mail clients")?;
    Ok(status.success())
}
