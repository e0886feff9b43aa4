//! A PostgreSQL server beside the cluster, reached at the node's address.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cluster::node::network::{NODE_ADDRESS, PODS};
use crate::cluster::process::Processes;
use crate::command::{attempt, feed, run, words};
use crate::wait;

/// The process.
pub const NAME: &str = "postgresql";
const PASSWORD: &str = "a-password-of-the-tests";
const LIMIT: Duration = Duration::from_secs(60);

/// The server.
pub struct Postgres {
    folder: PathBuf,
    programs: PathBuf,
}

impl Postgres {
    /// Starts the server with an empty database, unless it runs.
    pub fn start(folder: &Path, processes: &Processes) -> Result<Self> {
        let server = Self {
            folder: folder.join(NAME),
            programs: programs()?,
        };
        let fresh = !server.folder.exists();
        if fresh {
            server.prepare().context("failed to prepare PostgreSQL")?;
        }
        server.resume(processes)?;
        if fresh {
            let role = format!("CREATE ROLE mailpods LOGIN PASSWORD '{PASSWORD}';\n");
            feed(&mut server.psql("postgres"), role.as_bytes())?;
            server.empty()?;
        }
        Ok(server)
    }

    /// Replaces the database by an empty one.
    pub fn empty(&self) -> Result<()> {
        let statements = "DROP DATABASE IF EXISTS mailpods WITH (FORCE);\nCREATE DATABASE mailpods OWNER mailpods;\n";
        feed(&mut self.psql("postgres"), statements.as_bytes())?;
        Ok(())
    }

    /// Starts it again after it was stopped or killed. A new server refuses to start as long as a process of the old one lives.
    pub fn resume(&self, processes: &Processes) -> Result<()> {
        wait::until("PostgreSQL answers", LIMIT, || {
            let mut command = self.as_owner(&self.programs.join("postgres"));
            command.arg("-D").arg(self.folder.join("data"));
            processes.start(NAME, &mut command)?;
            let mut look = Command::new(self.programs.join("pg_isready"));
            look.arg("--quiet").arg("--host").arg(&self.folder);
            let ready = attempt(&mut look)?.status.success();
            Ok(wait::holds(ready, processes.last_words(NAME)))
        })
    }

    /// The URI that pods connect with. The server's certificate is its own, so that TLS is demanded and the name is not checked.
    pub fn uri() -> String {
        format!("postgresql://mailpods:{PASSWORD}@{NODE_ADDRESS}:5432/mailpods?sslmode=require")
    }

    fn prepare(&self) -> Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        run(words(&["chown", "postgres"]).arg(&self.folder))?;
        std::fs::set_permissions(&self.folder, Permissions::from_mode(0o711))?;
        let data = self.folder.join("data");
        let mut initdb = self.as_owner(&self.programs.join("initdb"));
        initdb.args([
            "--auth=peer",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--pgdata",
        ]);
        run(initdb.arg(&data))?;
        self.make_certificate(&data)?;
        let socket = self.folder.display();
        let settings = format!(
            "listen_addresses = '{NODE_ADDRESS}'\nunix_socket_directories = '{socket}'\nmax_connections = 200\nssl = on\n"
        );
        append(&data.join("postgresql.conf"), &settings)?;
        append(
            &data.join("pg_hba.conf"),
            &format!(
                "hostssl all all {PODS} scram-sha-256\nhostssl all all {NODE_ADDRESS}/32 scram-sha-256\n"
            ),
        )
    }

    /// Under the names that the server looks for by itself.
    fn make_certificate(&self, data: &Path) -> Result<()> {
        let made = rcgen::generate_simple_self_signed(vec![NODE_ADDRESS.to_owned()])?;
        for (name, pem) in [
            ("server.crt", made.cert.pem()),
            ("server.key", made.signing_key.serialize_pem()),
        ] {
            let file = data.join(name);
            std::fs::write(&file, pem)?;
            std::fs::set_permissions(&file, Permissions::from_mode(0o600))?;
            run(words(&["chown", "postgres"]).arg(&file))?;
        }
        Ok(())
    }

    fn psql(&self, database: &str) -> Command {
        let mut psql = self.as_owner(Path::new("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
            .args(["--set=ON_ERROR_STOP=1", "--dbname", database, "--host"])
            .arg(&self.folder);
        psql
    }

    /// The server refuses to be root.
    fn as_owner(&self, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        command
            .args([
                "--reuid=postgres",
                "--regid=postgres",
                "--init-groups",
                "--",
            ])
            .arg(program)
            .current_dir("/");
        command
    }
}

fn append(path: &Path, text: &str) -> Result<()> {
    let mut file = std::fs::File::options().append(true).open(path)?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    Ok(())
}

/// Debian keeps each version in a folder; the newest serves.
fn programs() -> Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .context("PostgreSQL is not installed; `apt-get install postgresql`")?;
    let number = |path: &PathBuf| -> Option<u32> { path.file_name()?.to_str()?.parse().ok() };
    versions
        .flatten()
        .map(|entry| entry.path())
        .max_by_key(number)
        .map(|path| path.join("bin"))
        .context("/usr/lib/postgresql is empty")
}
