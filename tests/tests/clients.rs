//! Stock clients against the quickstart example.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use mailpods_tests::client::{output, output_on_terminal, succeeded};
use mailpods_tests::eventually;
use mailpods_tests::server::Server;

/// The example as it stands in the repository, on free ports and away from the machine's DNS.
fn quickstart() -> Result<(tempfile::TempDir, tempfile::TempDir, Server)> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/quickstart");
    let (config, data) = (tempfile::tempdir()?, tempfile::tempdir()?);
    for entry in std::fs::read_dir(example)? {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path)?;
        let line = |line: &str| match line.split_once("port: ") {
            Some((before, port)) => {
                let after = port.trim_start_matches(|character: char| character.is_ascii_digit());
                format!("{before}port: 0{after}\n")
            }
            None => format!("{line}\n"),
        };
        let text: String = text.lines().map(line).collect();
        std::fs::write(
            config.path().join(path.file_name().context("a name")?),
            text,
        )?;
    }
    let server = Server::start_in(config.path(), data.path(), &[])?;
    Ok((config, data, server))
}

fn send(server: &Server, subject: &str) -> Result<()> {
    let address = server.address("submission");
    let mut swaks = Command::new("swaks");
    swaks
        .args([
            "--server",
            &address.ip().to_string(),
            "--port",
            &address.port().to_string(),
            "--tls",
        ])
        .args([
            "--auth",
            "PLAIN",
            "--auth-user",
            "alice@example.test",
            "--auth-password",
            "quickstart",
        ])
        .args([
            "--from",
            "alice@example.test",
            "--to",
            "bob@example.test",
            "--header",
            &format!("Subject: {subject}"),
        ]);
    succeeded(&mut swaks).map(drop)
}

fn curl(server: &Server, path: &str, arguments: &[&str]) -> Command {
    let url = format!("imaps://{}/{path}", server.address("imaps"));
    let mut curl = Command::new("curl");
    curl.args([
        "--silent",
        "--show-error",
        "--insecure",
        "--user",
        "bob@example.test:quickstart",
        &url,
    ])
    .args(arguments);
    curl
}

fn arrived(server: &Server, subject: &str) -> Result<String> {
    eventually("the message by curl", || {
        let found = output(&mut curl(server, "INBOX;MAILINDEX=1", &[]))?;
        let text = String::from_utf8_lossy(&found.stdout).into_owned();
        Ok(text.contains(subject).then_some(text))
    })
}

#[test]
fn swaks_sends_and_curl_reads() -> Result<()> {
    let (_config, _data, server) = quickstart()?;
    send(&server, "by swaks")?;
    let text = arrived(&server, "by swaks")?;
    assert!(text.contains("Delivered-To: bob@example.test"), "{text}");
    let list = succeeded(&mut curl(&server, "", &["--request", "LIST \"\" \"*\""]))?;
    for folder in ["INBOX", "Sent", "Drafts", "Junk", "Trash", "Archive"] {
        assert!(list.contains(folder), "{folder} is missing in\n{list}");
    }
    Ok(())
}

#[test]
fn imaplib_uses_what_people_use() -> Result<()> {
    let (_config, _data, server) = quickstart()?;
    send(&server, "for imaplib")?;
    arrived(&server, "for imaplib")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/imaplib_session.py");
    let ports = [
        server.address("imap").port(),
        server.address("imaps").port(),
    ]
    .map(|port| port.to_string());
    succeeded(Command::new("python3").arg(script).args(ports)).map(drop)
}

#[test]
fn mbsync_copies_both_ways() -> Result<()> {
    let (_config, _data, server) = quickstart()?;
    send(&server, "for mbsync")?;
    arrived(&server, "for mbsync")?;
    let folder = tempfile::tempdir()?;
    let here = folder.path().display();
    let port = server.address("imaps").port();
    let settings = format!(
        "IMAPAccount m\nHost 127.0.0.1\nPort {port}\nUser bob@example.test\nPass quickstart\nSSLType IMAPS\nCertificateFile {here}/cert.pem\n\
         AuthMechs PLAIN\n\nIMAPStore far\nAccount m\n\nMaildirStore near\nPath {here}/mail/\nInbox {here}/mail/INBOX\nSubFolders Verbatim\n\n\
         Channel all\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nExpunge Both\nSyncState *\n"
    );
    std::fs::create_dir_all(folder.path().join("mail"))?;
    std::fs::write(folder.path().join("cert.pem"), certificate(port)?)?;
    let file = folder.path().join("mbsyncrc");
    std::fs::write(&file, settings)?;
    let sync = || succeeded(Command::new("mbsync").arg("-c").arg(&file).arg("-a"));
    sync()?;
    let inbox = folder.path().join("mail/INBOX");
    ensure!(messages(&inbox)? == 1, "one message came down");
    let upload = folder.path().join("mail/INBOX/cur/1.local:2,S");
    std::fs::write(
        upload,
        "From: bob@example.test\nSubject: written here\n\nx\n",
    )?;
    sync()?;
    let list = succeeded(&mut curl(
        &server,
        "INBOX",
        &["--request", "SEARCH SUBJECT \"written here\""],
    ))?;
    assert!(list.contains("SEARCH 2"), "{list}");
    Ok(())
}

#[test]
fn offlineimap_copies() -> Result<()> {
    let (_config, _data, server) = quickstart()?;
    send(&server, "for offlineimap")?;
    arrived(&server, "for offlineimap")?;
    let folder = tempfile::tempdir()?;
    let here = folder.path().display();
    let port = server.address("imaps").port();
    std::fs::write(folder.path().join("cert.pem"), certificate(port)?)?;
    let settings = format!(
        "[general]\naccounts = m\nmetadata = {here}/meta\nui = quiet\n[Account m]\nlocalrepository = near\nremoterepository = far\n\
         [Repository near]\ntype = Maildir\nlocalfolders = {here}/mail\n[Repository far]\ntype = IMAP\nremotehost = localhost\nremoteport = {port}\n\
         remoteuser = bob@example.test\nremotepass = quickstart\nssl = yes\nsslcacertfile = {here}/cert.pem\nauth_mechanisms = PLAIN\n"
    );
    let file = folder.path().join("offlineimaprc");
    std::fs::write(&file, settings)?;
    succeeded(
        Command::new("offlineimap")
            .arg("-c")
            .arg(&file)
            .arg("-o")
            .env("HOME", folder.path()),
    )?;
    let inbox = folder.path().join("mail/INBOX");
    ensure!(messages(&inbox)? == 1, "one message came down");
    Ok(())
}

#[test]
fn mutt_opens_the_mailbox_and_saves_a_message() -> Result<()> {
    let (_config, _data, server) = quickstart()?;
    send(&server, "for mutt")?;
    arrived(&server, "for mutt")?;
    let folder = tempfile::tempdir()?;
    let port = server.address("imaps").port();
    let certificates = folder.path().join("cert.pem");
    std::fs::write(&certificates, certificate(port)?)?;
    let settings = format!(
        "set imap_user=bob@example.test\nset imap_pass=quickstart\nset certificate_file={0}\nset ssl_verify_host=no\n\
         set folder=imaps://127.0.0.1:{port}/\nset spoolfile=imaps://127.0.0.1:{port}/INBOX\nset quit=yes\nset confirmcreate=no\nset confirmappend=no\n\
         set mbox_type=mbox\nset copy=no\nset delete=no\nset header_cache=\"\"\n\
         push \"<save-message>{1}/saved<enter><quit>\"\n",
        certificates.display(),
        folder.path().display(),
    );
    let file = folder.path().join("muttrc");
    std::fs::write(&file, settings)?;
    let home = folder.path().display();
    let line = format!("HOME={home} mutt -n -F {}", file.display());
    let output = output_on_terminal(&line)?;
    let screen = String::from_utf8_lossy(&output.stdout).into_owned();
    let saved =
        std::fs::read_to_string(folder.path().join("saved")).with_context(|| screen.clone())?;
    assert!(saved.contains("Subject: for mutt"), "{saved}");
    Ok(())
}

/// Messages in a Maildir.
fn messages(maildir: &Path) -> Result<usize> {
    let count =
        |folder: &str| -> Result<usize> { Ok(std::fs::read_dir(maildir.join(folder))?.count()) };
    Ok(count("new")? + count("cur")?)
}

/// The server's certificate, by openssl's own client.
fn certificate(port: u16) -> Result<String> {
    let address = format!("127.0.0.1:{port}");
    let found =
        output(Command::new("openssl").args(["s_client", "-connect", &address, "-showcerts"]))?;
    let text = String::from_utf8_lossy(&found.stdout).into_owned();
    let start = text
        .find("-----BEGIN CERTIFICATE-----")
        .context("no certificate")?;
    let end = text
        .find("-----END CERTIFICATE-----")
        .context("no end of the certificate")?;
    Ok(format!("{}-----END CERTIFICATE-----\n", &text[start..end]))
}
