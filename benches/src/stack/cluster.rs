//! Mailpods as a cluster: a process for each role, all on one PostgreSQL.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use mailpods_plan::Role;
use mailpods_test_postgres::Server as Postgres;
use mailpods_tests::cluster::Cluster;
use mailpods_tests::server::Config;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use super::{Bench, Setup, Stack, mailpods};
use crate::report::Side;

/// What is set for the load, as somebody with a mail system would; durability and checkpoints by time are as shipped.
const SETTINGS: &[&str] = &[
    "shared_buffers=512MB",
    "max_wal_size=4GB",
    "min_wal_size=1GB",
    "wal_compression=off",
];

/// Pods and database; also ended where a runtime must not wait.
pub struct Running(Option<Cluster>);

impl Running {
    /// The pods' first processes, by role.
    pub fn pods(&self) -> Vec<(Role, u32)> {
        let cluster = self.0.iter();
        let pods = cluster.flat_map(|cluster| cluster.filter.iter().chain(&cluster.pods));
        pods.map(|pod| (pod.role(), pod.id())).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let cluster = self.0.take();
        if std::thread::spawn(move || drop(cluster)).join().is_err() {
            eprintln!("the cluster was not stopped");
        }
    }
}

/// Starts database and pods on new folders.
///
/// # Errors
/// When one does not get ready; its log is in the error.
pub async fn start(bench: &Bench, setup: Setup) -> Result<Stack> {
    let folder = bench.folder()?;
    let place = folder.path().to_owned();
    let (postgres, uri) = tokio::task::spawn_blocking(move || database(&place)).await??;
    start_on(bench, setup, folder, (postgres, uri)).await
}

/// Starts pods on a database, in which there may be mail already.
///
/// # Errors
/// As [`start`].
pub async fn start_on(
    bench: &Bench,
    setup: Setup,
    folder: TempDir,
    (postgres, uri): (Postgres, String),
) -> Result<Stack> {
    let config = mailpods::files(bench, setup)?
        .iter()
        .fold(Config::default(), |config, (name, text)| {
            config.with(name, text)
        });
    let binary = bench.binary()?;
    let started = tokio::task::spawn_blocking(move || {
        let begin = Instant::now();
        let cluster = Cluster::on(postgres, &uri, &binary, &config)?;
        anyhow::Ok((cluster, begin.elapsed()))
    });
    let (cluster, started) = started.await??;
    stack(cluster, started, folder)
}

fn stack(cluster: Cluster, started: Duration, folder: TempDir) -> Result<Stack> {
    let smtp = cluster.pod(Role::Smtp)?.address("smtp");
    let submissions = cluster.pod(Role::Smtp)?.address("submissions");
    let imap = cluster.pod(Role::Imap)?.address("imaps");
    let pop3 = cluster.pod(Role::Imap)?.address("pop3s");
    let database = cluster.postgres.id().context("the database has ended")?;
    let running = Running(Some(cluster));
    let pods = running.pods();
    Ok(Stack {
        side: Side::Ours,
        roots: pods.iter().map(|(_, id)| *id).chain([database]).collect(),
        smtp,
        submissions: Some(submissions),
        imap,
        pop3,
        started,
        children: Vec::new(),
        pods: Some(running),
        folder,
    })
}

/// The key that seals secrets of [`Cluster::on`].
pub const SEAL_KEY: [u8; 32] = [7; 32];

/// A database that is reached as in a cluster: over TCP, with TLS, by a name that is checked.
///
/// # Errors
/// When it does not start.
pub fn database(folder: &Path) -> Result<(Postgres, String)> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()])?.signed_by(&key, &authority)?;
    let mut postgres = Postgres::in_folder(folder, SETTINGS)?;
    postgres.encrypt(&certificate.pem(), &key.serialize_pem())?;
    let roots = postgres.put("ca.crt", &authority.pem())?;
    let uri = postgres.tcp_uri("localhost", &format!("sslrootcert={}", roots.display()));
    Ok((postgres, uri))
}
