//! What every mail system of these tests must do, whatever runs it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::wait::{self, Seen};
use crate::world::World;
use crate::world::clients::{Imap, Person, Submission};
use crate::world::outside;
use crate::world::powerdns::RecordSet;

/// Long enough for a greeting, a retry and a look-up that failed once.
const LIMIT: Duration = Duration::from_secs(90);

/// A mail system as the world knows it.
pub struct Site {
    /// Its domain.
    pub domain: &'static str,
    /// Name of its servers.
    pub host: &'static str,
    /// Somebody with a mailbox.
    pub person: Person<'static>,
}

impl Site {
    /// Gives the servers' name an address, as their administrator would.
    pub fn publish_host(&self, world: &World, address: &str) -> Result<()> {
        world.dns()?.set(&RecordSet {
            zone: self.domain,
            name: self.host,
            kind: "A",
            contents: &[address],
        })
    }

    /// The outside Postfix finds our MX in DNS and delivers; a stock client reads it.
    pub fn receives(&self, world: &World, subject: &str) -> Result<String> {
        let sender = format!("stranger@{}", outside::DOMAIN);
        let message = message(&sender, self.person.address, subject);
        let outside = world.outside()?;
        outside.send(&sender, self.person.address, &message)?;
        self.await_read(world, subject)
    }

    /// Waits until a message can be read over IMAP.
    pub fn await_read(&self, world: &World, text: &str) -> Result<String> {
        let outside = world.outside()?;
        let what = format!("{} reads `{text}`", self.person.address);
        wait::until(&what, LIMIT, || {
            Ok(match self.imap(world)?.find(text) {
                Ok(found) => found.into_iter().next().map_or_else(
                    || Seen::NotYet(format!("not in INBOX\n{}", outside.log())),
                    Seen::Yes,
                ),
                Err(error) => Seen::NotYet(error.to_string()),
            })
        })
    }

    /// RFC 5321 §3.3: an address that does not exist is refused at RCPT, not bounced later.
    pub fn refuses_strangers(&self, world: &World) -> Result<()> {
        let nobody = format!("nobody-here@{}", self.domain);
        let line = [
            "swaks",
            "--server",
            self.host,
            "--port",
            "25",
            "--to",
            &nobody,
            "--quit-after",
            "RCPT",
        ];
        let output = crate::command::attempt(&mut world.outside()?.command(&line))?;
        let talk = String::from_utf8_lossy(&output.stdout).into_owned();
        let refused = talk.lines().any(|line| line.starts_with("<** 550 5.1.1"));
        ensure!(
            refused,
            "RCPT for {nobody} was not refused with 550 5.1.1:\n{talk}"
        );
        Ok(())
    }

    /// Our user's mail arrives outside, and independent verifiers pass it against the DNS that everybody sees. Returns it.
    pub fn sends_signed(&self, world: &World, subject: &str) -> Result<String> {
        self.submission(world)?
            .send(&format!("friend@{}", outside::DOMAIN), subject)?;
        let message = world.outside()?.await_message("friend", subject, LIMIT)?;
        self.verify(world, &message)?;
        Ok(message)
    }

    /// DKIM by dkimpy, SPF by pyspf.
    pub fn verify(&self, world: &World, message: &str) -> Result<()> {
        let verifiers = world.verifiers()?;
        let signatures = verifiers.dkim(world.outside()?, message)?;
        let passed = signatures.iter().all(|line| line.ends_with(" pass"));
        ensure!(
            !signatures.is_empty() && passed,
            "DKIM: {signatures:?} for this message:\n{message}"
        );
        let client = client_address(message).context("no Received field of the outside Postfix")?;
        let result = verifiers.spf(world.outside()?, client, self.person.address, self.host)?;
        ensure!(
            result == "pass",
            "SPF: {result} for {} from {client}",
            self.person.address
        );
        Ok(())
    }

    /// Submission as the person.
    pub fn submission<'a>(&self, world: &'a World) -> Result<Submission<'a>> {
        Ok(Submission {
            outside: world.outside()?,
            host: self.host,
            person: self.person,
        })
    }

    /// IMAP as the person.
    pub fn imap<'a>(&self, world: &'a World) -> Result<Imap<'a>> {
        Ok(Imap {
            outside: world.outside()?,
            host: self.host,
            person: self.person,
        })
    }
}

/// A message with the fields that RFC 5322 §3.6 wants.
pub fn message(from: &str, to: &str, subject: &str) -> String {
    let id = subject.replace(' ', "-");
    format!(
        "From: <{from}>\nTo: <{to}>\nSubject: {subject}\nDate: Thu, 01 Jan 2026 12:00:00 +0000\nMessage-ID: <{id}@{}>\n\n{subject}\n",
        outside::DOMAIN
    )
}

/// The address in the brackets of the first Received field: `from NAME (NAME [ADDRESS])`.
pub fn client_address(message: &str) -> Option<&str> {
    let field = message.split_once("Received: from ")?.1;
    let address = field.split_once('[')?.1.split_once(']')?.0;
    address.parse::<std::net::IpAddr>().ok()?;
    Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_stands_in_the_first_received_field() {
        let message = "Return-Path: <a@b.test>\nReceived: from mail.b.test (unknown [10.77.0.1])\n\tby mx.c.test\nReceived: from x (x [192.0.2.1])\n";
        assert_eq!(client_address(message), Some("10.77.0.1"));
        assert_eq!(client_address("Subject: [1]\n"), None);
    }
}
