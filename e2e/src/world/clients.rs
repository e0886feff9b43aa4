//! Stock clients: curl reads over IMAP, swaks submits.

use anyhow::Result;

use super::outside::Outside;

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
        let words = [
            "openssl",
            "s_client",
            "-connect",
            &server,
            "-servername",
            self.host,
        ];
        self.outside.run(&words)
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
