//! Stock clients: curl reads over IMAP, swaks submits.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::outside::Outside;
use crate::command::{feed, run};

/// A person with a mailbox here.
#[derive(Clone, Copy)]
pub struct Person<'a> {
    /// Address and log-in name.
    pub address: &'a str,
    /// Password.
    pub password: &'a str,
}

/// A server of ours as clients know it: its name, and the address that DNS gives for it.
pub struct Imap<'a> {
    /// The host that the client runs on.
    pub outside: &'a Outside,
    /// Name of the server.
    pub host: &'a str,
    /// Who logs in.
    pub person: Person<'a>,
}

impl Imap<'_> {
    /// The messages in INBOX that contain `text`, as `curl` fetches them.
    pub fn find(&self, text: &str) -> Result<Vec<String>> {
        let request = format!("UID SEARCH TEXT \"{text}\"");
        let answer = self.curl("INBOX", &["--request", &request])?;
        let numbers = answer.lines().find_map(|l| l.strip_prefix("* SEARCH"));
        numbers
            .unwrap_or_default()
            .split_whitespace()
            .map(|uid| self.curl(&format!("INBOX;UID={uid}"), &[]))
            .collect()
    }

    /// The certificate that the server shows, as PEM.
    pub fn certificate(&self) -> Result<String> {
        let server = format!("{}:993", self.host);
        let mut words = vec!["openssl", "s_client", "-connect", &server];
        words.extend(["-servername", self.host]);
        let shown = feed(&mut self.outside.command(&words), b"")?;
        pem(&shown).with_context(|| format!("no certificate in {shown}"))
    }

    /// The subject of each message in INBOX, by Python's imaplib.
    pub fn subjects(&self) -> Result<Vec<String>> {
        let output = run(&mut self.python(include_str!("imap_subjects.py")))?;
        Ok(output.lines().map(str::to_owned).collect())
    }

    /// A session that stays open.
    pub fn session(&self) -> Result<Session> {
        let mut child = self
            .python(include_str!("imap_session.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start python3")?;
        let input = child.stdin.take().context("no standard input")?;
        let output = child.stdout.take().context("no standard output")?;
        let mut session = Session {
            child,
            input: Some(input),
            output: BufReader::new(output),
        };
        let greeting = session.line()?;
        ensure!(greeting == "ready", "the session said {greeting:?}");
        Ok(session)
    }

    fn python(&self, script: &str) -> Command {
        let Person { address, password } = self.person;
        self.outside
            .command(&["python3", "-c", script, self.host, address, password])
    }

    fn curl(&self, path: &str, more: &[&str]) -> Result<String> {
        let url = format!("imaps://{}/{path}", self.host);
        let log_in = format!("{}:{}", self.person.address, self.person.password);
        // What the certificate is worth is the subject of another scenario.
        let mut words = vec!["curl", "--silent", "--show-error", "--insecure"];
        words.extend(["--max-time", "30", "--user", &log_in]);
        words.extend(more);
        words.push(&url);
        self.outside.run(&words)
    }
}

/// An IMAP session that stays open.
pub struct Session {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Session {
    /// Fails when the session does not answer NOOP any more.
    pub fn lives(&mut self) -> Result<()> {
        let input = self.input.as_mut().context("the session has ended")?;
        input.write_all(b"\n")?;
        let answer = self.line()?;
        ensure!(answer == "OK", "NOOP returned {answer:?}");
        Ok(())
    }

    /// Logs out.
    pub fn end(mut self) -> Result<()> {
        drop(self.input.take());
        let status = self.child.wait()?;
        ensure!(status.success(), "the session ended with {status}");
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

/// The first certificate in the output of `openssl s_client`.
fn pem(text: &str) -> Option<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let start = text.find("-----BEGIN CERTIFICATE-----")?;
    let length = text[start..].find(END)? + END.len();
    Some(text[start..start + length].to_owned())
}

/// A submission by `swaks`, and what it printed.
pub struct Submission<'a> {
    /// The host that the client runs on.
    pub outside: &'a Outside,
    /// Name of the server.
    pub host: &'a str,
    /// Who sends.
    pub person: Person<'a>,
}

impl Submission<'_> {
    /// Sends one message with STARTTLS and AUTH. Fails when the server does not take it.
    pub fn send(&self, to: &str, subject: &str) -> Result<String> {
        let header = format!("Subject: {subject}");
        let Person { address, password } = self.person;
        let mut words = vec!["swaks", "--server", self.host, "--port", "587", "--tls"];
        words.extend(["--auth", "PLAIN", "--auth-user", address]);
        words.extend(["--auth-password", password, "--from", address, "--to", to]);
        words.extend(["--header", &header, "--body", subject]);
        self.outside.run(&words)
    }
}
