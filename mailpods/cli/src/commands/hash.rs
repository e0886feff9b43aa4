//! `mailpods hash`
use std::io::IsTerminal as _;

use clap::ValueEnum;
use mailpods_sasl::password::hash_argon2id;
use mailpods_sasl::{PasswordHash, ScramKeys};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::args::{Format, Globals};
use crate::failure::{Exit, Failure, Outcome};
use crate::output;
use crate::password::read_password;

const EXAMPLES: &str = "\
The password is read from standard input, so that it is in no history and no list of processes.

Examples:
  mailpods hash                                       type the password unseen, get {ARGON2ID}...
  printf %s 'quickstart' | mailpods hash              the same in a script
  printf %s 'quickstart' | mailpods hash --scheme scram-sha-256
  printf %s 'quickstart' | mailpods hash --check '{SSHA}YjOxnl...'   exit code 0 when it fits, else 1

Put the result in the `passwordHash` key of a Mailbox's Secret.";

/// Make a password hash for a Mailbox's Secret, or check one.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Which kind of hash.
    #[arg(long, value_enum, default_value_t = Scheme::Argon2id)]
    scheme: Scheme,
    /// Check the password against this hash of any known scheme instead.
    #[arg(long, value_name = "HASH", conflicts_with = "scheme")]
    check: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scheme {
    /// The best for log-ins by PLAIN and LOGIN.
    #[value(name = "argon2id")]
    Argon2id,
    /// Keys for SCRAM; PLAIN works with them too.
    #[value(name = "scram-sha-256")]
    ScramSha256,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked {
    matches: bool,
    scheme: &'static str,
    needs_rehash: bool,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Outcome {
        match &self.check {
            Some(hash) => check(hash, globals),
            None => make(self.scheme, globals),
        }
    }
}

fn make(scheme: Scheme, globals: &Globals) -> Outcome {
    let password = read_new_password()?;
    let mut salt = [0; 16];
    let filled = SystemRandom::new().fill(&mut salt);
    filled.map_err(|_| Failure::new(Exit::Failed, "the system gives no random octets"))?;
    let hash = match scheme {
        Scheme::Argon2id => hash_argon2id(&password, &salt)
            .map(Zeroizing::new)
            .ok_or_else(|| Failure::new(Exit::Failed, "failed to hash the password"))?,
        Scheme::ScramSha256 => ScramKeys::derive_default(&password, &salt).expose_text(),
    };
    match globals.output {
        Format::Table => output::line(&hash)?,
        Format::Json => output::json(&serde_json::json!({ "passwordHash": hash.as_str() }))?,
    }
    Ok(Exit::Done)
}

fn check(hash: &str, globals: &Globals) -> Outcome {
    let hash = PasswordHash::parse(hash)
        .map_err(|error| Failure::because(Exit::Usage, "failed to read the hash", &error))?;
    let checked = Checked {
        matches: hash.verify(&read_password("Password: ")?),
        scheme: hash.scheme().name(),
        needs_rehash: hash.needs_rehash(),
    };
    match globals.output {
        Format::Json => output::json(&checked)?,
        Format::Table => {
            let word = if checked.matches {
                "matches"
            } else {
                "does not match"
            };
            let rehash = if checked.needs_rehash {
                "; a better hash is saved at the next log-in"
            } else {
                ""
            };
            output::line(&format!("the password {word} ({}{rehash})", checked.scheme))?;
        }
    }
    Ok(if checked.matches {
        Exit::Done
    } else {
        Exit::Failed
    })
}

/// A password that nobody saw being typed is typed twice.
fn read_new_password() -> Result<Zeroizing<Vec<u8>>, Failure> {
    let password = read_password("Password: ")?;
    if std::io::stdin().is_terminal() && *read_password("The same again: ")? != *password {
        return Err(Failure::new(Exit::Usage, "the two passwords differ").hint("type it again"));
    }
    Ok(password)
}
