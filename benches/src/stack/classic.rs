//! Postfix and Dovecot, Debian's packages with configuration, queue and mail in a folder of their own. Needs root, as both do.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::{Bench, Setup, Stack, free_port};
use crate::args::PeerFormat;
use crate::report::Side;

const MAIN: &str = include_str!("postfix.main.cf");
const MASTER: &str = include_str!("postfix.master.cf");
const DOVECOT: &str = include_str!("dovecot.conf");

/// Owner of Dovecot's mail: nobody.
const MAIL_USER: u32 = 65_534;

/// Longest wait for a port to answer.
const READY_LIMIT: Duration = Duration::from_secs(20);

/// Starts both on new folders.
///
/// # Errors
/// When one does not get ready.
pub async fn start(bench: &Bench, setup: Setup) -> Result<Stack> {
    let folder = bench.folder()?;
    let (smtp, imap, pop3) = (free_port()?, free_port()?, free_port()?);
    let format = bench.args.peer_format;
    write_postfix(folder.path(), smtp, setup)?;
    write_dovecot(folder.path(), (imap, pop3), format)?;
    let begin = Instant::now();
    let children = vec![dovecot(folder.path())?, postfix(folder.path())?];
    let mut stack = Stack {
        side: Side::Theirs,
        roots: children.iter().map(Child::id).collect(),
        smtp,
        submissions: None,
        imap,
        pop3,
        started: Duration::ZERO,
        children,
        pods: None,
        folder,
    };
    ready(&mut stack).await?;
    stack.started = begin.elapsed();
    Ok(stack)
}

/// Waits until both accept connections and Postfix greets.
async fn ready(stack: &mut Stack) -> Result<()> {
    let deadline = Instant::now() + READY_LIMIT;
    while !(greets(stack.smtp) && TcpStream::connect(stack.imap).is_ok()) {
        for child in &mut stack.children {
            if let Some(status) = child.try_wait()? {
                bail!("a peer ended with {status}:\n{}", logs(stack.folder()));
            }
        }
        ensure!(
            Instant::now() < deadline,
            "the peers do not answer:\n{}",
            logs(stack.folder())
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

fn greets(server: SocketAddr) -> bool {
    let greeting = || {
        let stream = TcpStream::connect(server)?;
        stream.set_read_timeout(Some(READY_LIMIT))?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        std::io::Result::Ok(line)
    };
    greeting().is_ok_and(|line| line.starts_with("220"))
}

fn logs(folder: &Path) -> String {
    ["postfix.log", "dovecot.log", "dovecot.err"]
        .iter()
        .filter_map(|name| std::fs::read_to_string(folder.join(name)).ok())
        .collect()
}

fn write_postfix(folder: &Path, smtp: SocketAddr, setup: Setup) -> Result<()> {
    let transport = setup.sink.map_or_else(String::new, |sink| {
        format!(
            "inline:{{ relay.test=smtp:[{}]:{} }}",
            sink.ip(),
            sink.port()
        )
    });
    let fill = |text: &str| {
        text.replace("@FOLDER@", &folder.to_string_lossy())
            .replace("@PORT@", &smtp.port().to_string())
            .replace("@TRANSPORT@", &transport)
    };
    let config = folder.join("postfix");
    for part in ["postfix", "queue", "postfix-data"] {
        std::fs::create_dir(folder.join(part))?;
    }
    std::fs::write(config.join("main.cf"), fill(MAIN))?;
    std::fs::write(config.join("master.cf"), fill(MASTER))?;
    let owner = Command::new("chown")
        .arg("postfix")
        .arg(folder.join("postfix-data"))
        .status()?;
    ensure!(
        owner.success(),
        "failed to hand a folder to postfix; it needs root"
    );
    // Makes the folders of the queue.
    let check = Command::new("postfix")
        .arg("-c")
        .arg(&config)
        .arg("check")
        .stdin(Stdio::null())
        .output()?;
    ensure!(
        check.status.success(),
        "postfix check failed: {}",
        String::from_utf8_lossy(&check.stderr)
    );
    Ok(())
}

fn write_dovecot(
    folder: &Path,
    (imap, pop3): (SocketAddr, SocketAddr),
    format: PeerFormat,
) -> Result<()> {
    let version = Command::new("dovecot").arg("--version").output()?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    ensure!(
        version.starts_with("2.3."),
        "the peer's configuration is for Dovecot 2.3 (Debian 12), found {version}"
    );
    let location = match format {
        PeerFormat::Mdbox => "mdbox:~/mdbox",
        PeerFormat::Maildir => "maildir:~/Maildir",
    };
    let text = DOVECOT
        .replace("@FOLDER@", &folder.to_string_lossy())
        .replace("@PORT@", &imap.port().to_string())
        .replace("@POP3_PORT@", &pop3.port().to_string())
        .replace("@LOCATION@", location)
        .replace("@USER@", &MAIL_USER.to_string());
    std::fs::write(folder.join("dovecot.conf"), text)?;
    let mail = folder.join("mail");
    std::fs::create_dir(&mail)?;
    std::os::unix::fs::chown(&mail, Some(MAIL_USER), Some(MAIL_USER))?;
    let made = rcgen::generate_simple_self_signed(vec!["mail.example.test".to_owned()])?;
    std::fs::write(folder.join("cert.pem"), made.cert.pem())?;
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem())?;
    Ok(())
}

/// No process group is set: `master` makes a session of its own, which the leader of a group cannot.
fn postfix(folder: &Path) -> Result<Child> {
    let daemons = Command::new("postconf")
        .args(["-dh", "daemon_directory"])
        .output()?;
    let daemons = String::from_utf8(daemons.stdout)?;
    Command::new(Path::new(daemons.trim()).join("master"))
        .arg("-c")
        .arg(folder.join("postfix"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("failed to start postfix")
}

fn dovecot(folder: &Path) -> Result<Child> {
    Command::new("dovecot")
        .arg("-F")
        .arg("-c")
        .arg(folder.join("dovecot.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(folder.join("dovecot.err"))?)
        .process_group(0)
        .spawn()
        .context("failed to start dovecot")
}
