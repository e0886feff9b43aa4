//! A PostgreSQL server of a test's own: made by `initdb` in a temporary folder, listening on a socket in it and on a free port of the
//! loopback address, stopped with its value. It runs as `postgres` where the test is root, since PostgreSQL refuses root.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

/// A server must start, and stop, long before this.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Role and database.
const NAME: &str = "mailpods";

/// A running server, or one that was stopped and can be started again.
#[derive(Debug)]
pub struct Server {
    dir: TempDir,
    bin: PathBuf,
    port: u16,
    settings: Vec<String>,
    child: Option<Child>,
    schemas: AtomicU32,
}

impl Server {
    /// Makes and starts a server. `fsync` is off: tests end processes, not machines.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not start.
    pub fn start() -> Result<Self> {
        Self::with_settings(&["fsync=off"])
    }

    /// The same with settings of its configuration, `name=value`.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not start.
    pub fn with_settings(settings: &[&str]) -> Result<Self> {
        Self::in_folder(&std::env::temp_dir(), settings)
    }

    /// The same with its files below a folder.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not start.
    pub fn in_folder(folder: &Path, settings: &[&str]) -> Result<Self> {
        let mut server = Self {
            dir: tempfile::tempdir_in(folder).context("failed to make a folder")?,
            bin: bin()?,
            port: free_port()?,
            settings: settings.iter().map(|text| (*text).to_owned()).collect(),
            child: None,
            schemas: AtomicU32::new(0),
        };
        if let Some((uid, gid)) = other_user()? {
            chown(server.dir.path(), Some(uid), Some(gid))
                .context("failed to give the folder away")?;
        }
        let made = server
            .command("initdb")?
            .args([
                "--no-sync",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--username",
                NAME,
                "-D",
            ])
            .arg(server.data())
            .output()
            .context("failed to run initdb")?;
        ensure!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        server.run()?;
        server.execute_in("postgres", &format!("CREATE DATABASE {NAME}"))?;
        Ok(server)
    }

    /// Starts the server again on what it left.
    ///
    /// # Errors
    /// When it does not start.
    pub fn run(&mut self) -> Result<()> {
        let log = self.dir.path().join("log");
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(log)?;
        let mut command = self.command("postgres")?;
        command
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(self.dir.path());
        command.args([
            "-c",
            "listen_addresses=127.0.0.1",
            "-p",
            &self.port.to_string(),
        ]);
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn();
        self.child = Some(child.context("failed to start postgres")?);
        self.wait_until_ready()
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let started = Instant::now();
        loop {
            let ready = Command::new(self.bin.join("pg_isready"))
                .args([
                    "-q",
                    "-U",
                    NAME,
                    "-d",
                    "postgres",
                    "-p",
                    &self.port.to_string(),
                    "-h",
                ])
                .arg(self.dir.path())
                .status()?;
            if ready.success() {
                return Ok(());
            }
            let ended = match &mut self.child {
                Some(child) => child.try_wait()?.is_some(),
                None => true,
            };
            if ended || started.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
                bail!("postgres did not start: {log}");
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Stops the server as a crash does (`pg_ctl stop -m immediate`): connections are cut, and nothing is written any more.
    ///
    /// # Errors
    /// When it does not end.
    pub fn crash(&mut self) -> Result<()> {
        self.stop("QUIT")
    }

    /// Stops it from doing anything, as a machine that hangs: connections stay, and nobody answers.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause(&self) -> Result<()> {
        self.signal_all("STOP")
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&self) -> Result<()> {
        self.signal_all("CONT")
    }

    /// To the first process, then to those that it has started.
    fn signal_all(&self, name: &str) -> Result<()> {
        let first = self.id().context("the server does not run")?;
        signal(first, name)?;
        let children = std::fs::read_to_string(format!("/proc/{first}/task/{first}/children"))?;
        for child in children.split_whitespace() {
            // It may have ended by itself.
            signal(child.parse()?, name).ok();
        }
        Ok(())
    }

    fn stop(&mut self, name: &str) -> Result<()> {
        if self.child.is_some() {
            self.resume()?;
        }
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        signal(child.id(), name)?;
        let started = Instant::now();
        while child.try_wait()?.is_none() {
            if started.elapsed() > PATIENCE {
                child.kill()?;
                bail!("postgres did not end after SIG{name}");
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Its first process, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Asks a role for its password on TCP from now on.
    ///
    /// # Errors
    /// When the server does not take it.
    pub fn demand_passwords(&self, role: &str) -> Result<()> {
        let path = self.data().join("pg_hba.conf");
        let rules = std::fs::read_to_string(&path)?;
        std::fs::write(
            &path,
            format!("host all {role} 127.0.0.1/32 scram-sha-256\n{rules}"),
        )?;
        self.execute("SELECT pg_reload_conf()").map(drop)
    }

    /// Whether it runs; it may have ended by itself.
    ///
    /// # Errors
    /// When its process cannot be asked.
    pub fn runs(&mut self) -> Result<bool> {
        if let Some(child) = &mut self.child
            && child.try_wait()?.is_some()
        {
            self.child = None;
        }
        Ok(self.child.is_some())
    }

    /// Starts it again with TLS, by a certificate and its key in PEM.
    ///
    /// # Errors
    /// When it does not start.
    pub fn encrypt(&mut self, certificate: &str, key: &str) -> Result<()> {
        self.stop("INT")?;
        let certificate = self.put("server.crt", certificate)?;
        let key = self.put("server.key", key)?;
        self.set("ssl=on");
        self.set(&format!("ssl_cert_file={}", certificate.display()));
        self.set(&format!("ssl_key_file={}", key.display()));
        self.run()
    }

    /// Adds a setting of the configuration, `name=value`, for the next [`Server::run`].
    pub fn set(&mut self, setting: &str) {
        self.settings.push(setting.to_owned());
    }

    /// Begins a transaction with `sql` in a `psql` that ends with the value.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn hold(&self, sql: &str) -> Result<Held> {
        let mut command = self.psql(NAME);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut held = Held(child.context("failed to run psql")?);
        let input = held.0.stdin.as_mut().context("psql has no input")?;
        writeln!(input, "BEGIN; {sql}; SELECT 'held';")?;
        input.flush()?;
        let output = held.0.stdout.as_mut().context("psql has no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        ensure!(line.trim() == "held", "psql: {line:?}");
        Ok(held)
    }

    /// The URI over the socket, in the schema `public`.
    #[must_use]
    pub fn uri(&self) -> String {
        let socket = self.dir.path().to_string_lossy().replace('/', "%2F");
        format!("postgresql://{NAME}@{socket}:{}/{NAME}", self.port)
    }

    /// The URI over TCP; `parameters` follow the question mark.
    #[must_use]
    pub fn tcp_uri(&self, host: &str, parameters: &str) -> String {
        format!(
            "postgresql://{NAME}@{host}:{}/{NAME}?{parameters}",
            self.port
        )
    }

    /// Host and port of TCP.
    #[must_use]
    pub fn place(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The URI over TCP without TLS through a proxy on a port of this machine.
    #[must_use]
    pub fn uri_through(&self, port: u16) -> String {
        format!("postgresql://{NAME}@127.0.0.1:{port}/{NAME}?sslmode=disable")
    }

    /// The URI of a new, empty schema.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn empty(&self) -> Result<String> {
        let schema = format!("s{}", self.schemas.fetch_add(1, Ordering::Relaxed));
        self.execute(&format!("CREATE SCHEMA {schema}"))?;
        Ok(format!(
            "{}?options=-c%20search_path%3D{schema}",
            self.uri()
        ))
    }

    /// Runs SQL with `psql` and gives what it prints, unaligned and without headers.
    ///
    /// # Errors
    /// When the server does not answer, or refuses.
    pub fn execute(&self, sql: &str) -> Result<String> {
        self.execute_in(NAME, sql)
    }

    fn execute_in(&self, database: &str, sql: &str) -> Result<String> {
        let output = self.psql(database).args(["-c", sql]).output();
        let output = output.context("failed to run psql")?;
        ensure!(
            output.status.success(),
            "psql: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn psql(&self, database: &str) -> Command {
        let mut command = Command::new(self.bin.join("psql"));
        command
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                NAME,
                "-d",
                database,
            ])
            .args(["-p", &self.port.to_string(), "-h"])
            .arg(self.dir.path());
        command
    }

    /// The server's folder, where certificates may be put before [`Server::run`].
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A file system of so many MiB in memory, mounted for the server's user; it goes with the value. Needs root.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub fn small_disk(mib: u32) -> Result<SmallDisk> {
        ensure!(
            id(&["-u"])? == 0,
            "this test mounts a small file system: run it as root"
        );
        let dir = tempfile::tempdir()?;
        let (uid, gid) = other_user()?.context("no user for the server")?;
        let options = format!("size={mib}m,mode=0755,uid={uid},gid={gid}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(dir.path())
            .status()?;
        ensure!(mounted.success(), "failed to mount a file system");
        Ok(SmallDisk(dir))
    }

    /// Puts a file into the server's folder, for its eyes alone.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content)?;
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        if let Some((uid, gid)) = other_user()? {
            chown(&path, Some(uid), Some(gid))?;
        }
        Ok(path)
    }

    /// A command of PostgreSQL, as a user that it accepts.
    fn command(&self, name: &str) -> Result<Command> {
        let program = self.bin.join(name);
        let mut command = match other_user()? {
            None => Command::new(program),
            Some((uid, gid)) => {
                let mut command = Command::new("setpriv");
                command
                    .args([format!("--reuid={uid}"), format!("--regid={gid}")])
                    .arg("--clear-groups")
                    .arg(program);
                command
            }
        };
        command.current_dir(self.dir.path()).env("LC_ALL", "C");
        Ok(command)
    }
}

/// A small file system; it is unmounted with the value.
#[derive(Debug)]
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all room but so many KiB.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn fill(&self, left_kib: u64) -> Result<()> {
        let output = Command::new("df")
            .args(["--output=avail", "--block-size=1K"])
            .arg(self.path())
            .output()?;
        let text = String::from_utf8(output.stdout)?;
        let free: u64 = text.lines().last().context("no figure")?.trim().parse()?;
        let octets = free.saturating_sub(left_kib) * 1024;
        let ballast = vec![0; usize::try_from(octets)?];
        std::fs::write(self.ballast(), ballast).context("failed to fill the disk")
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// When none was taken.
    pub fn relieve(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.ballast())?)
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazy: a server that fails to stop must not keep it for ever.
        let unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} is still mounted", self.path().display());
        }
    }
}

/// A session that holds a transaction open; it ends with the value.
#[derive(Debug)]
pub struct Held(Child);

impl Drop for Held {
    fn drop(&mut self) {
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait()) {
            eprintln!("{error}");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.stop("INT") {
            eprintln!("{error:#}");
        }
    }
}

/// Where Debian puts the programs: the newest version; else where PATH leads.
fn bin() -> Result<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .collect();
    found.sort();
    if let Some((_, newest)) = found.pop() {
        return Ok(newest);
    }
    let output = Command::new("pg_config").arg("--bindir").output();
    let output = output.context("PostgreSQL is not installed; install the package postgresql")?;
    Ok(Path::new(String::from_utf8_lossy(&output.stdout).trim()).to_owned())
}

fn signal(process: u32, name: &str) -> Result<()> {
    let done = Command::new("kill")
        .args([&format!("-{name}"), &process.to_string()])
        .stderr(Stdio::null())
        .status()?;
    ensure!(done.success(), "process {process} took no SIG{name}");
    Ok(())
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// User and group for the server where this process is root.
fn other_user() -> Result<Option<(u32, u32)>> {
    if id(&["-u"])? != 0 {
        return Ok(None);
    }
    Ok(Some((id(&["-u", "postgres"])?, id(&["-g", "postgres"])?)))
}

fn id(arguments: &[&str]) -> Result<u32> {
    let output = Command::new("id").args(arguments).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim()
        .parse()
        .with_context(|| format!("id {arguments:?}: {text:?}"))
}
