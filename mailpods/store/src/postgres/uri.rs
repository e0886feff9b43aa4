//! The database's URI: what libpq takes, with its `sslmode`.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use zeroize::Zeroizing;

use super::Options;
use super::tls::{MakeTls, Verify};
use crate::error::{Result, StoreError};

/// Longest wait for a TCP connection and the log-in.
const CONNECT: Duration = Duration::from_secs(5);
/// Silence after which the other side is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Octets of a file with a URI.
const MAX_OCTETS: u64 = 16 << 10;

/// How to reach a database.
pub(super) struct Target {
    pub(super) config: Config,
    pub(super) tls: MakeTls,
}

/// Where the URI comes from, and what else makes a target.
pub(super) struct Source {
    file: Option<PathBuf>,
    ca: Option<Vec<u8>>,
    application: String,
}

impl Source {
    pub(super) fn of(options: &Options) -> Self {
        Self {
            file: options.uri_file.clone(),
            ca: options.ca.clone(),
            application: options.name.clone(),
        }
    }

    /// What the file says now; `None` when there is no file.
    pub(super) async fn read(&self) -> Result<Option<Target>> {
        let Some(file) = self.file.clone() else {
            return Ok(None);
        };
        let text = tokio::task::spawn_blocking(move || {
            let mut text = Zeroizing::new(String::new());
            let mut limited = std::fs::File::open(&file)?.take(MAX_OCTETS);
            limited.read_to_string(&mut text)?;
            std::io::Result::Ok(text)
        });
        let text = text.await.map_err(|error| invalid(&error.to_string()))?;
        let text = text.map_err(|error| invalid(&format!("failed to read it: {error}")))?;
        parse(text.trim(), self.ca.as_deref(), &self.application).map(Some)
    }
}

/// Reads `uri`; `ca` are the certificates (PEM) that sign the server's, in place of the public ones.
pub(super) fn parse(uri: &str, ca: Option<&[u8]>, application: &str) -> Result<Target> {
    let (rest, ssl) = split(uri)?;
    // The text of a bad URI is not repeated: it may hold the password.
    let mut config: Config = rest.parse().map_err(|error: tokio_postgres::Error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        invalid(&cause.unwrap_or_else(|| error.to_string()))
    })?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(invalid("it names no host"));
    }
    let root =
        match &ssl.root {
            Some(path) => Some(std::fs::read(path).map_err(|error| {
                invalid(&format!("sslrootcert: failed to read {path}: {error}"))
            })?),
            None => ca.map(<[u8]>::to_vec),
        };
    let verify = ssl.verify(&config)?;
    config.ssl_mode(if verify.is_some() {
        SslMode::Require
    } else {
        SslMode::Disable
    });
    config.application_name(application);
    // A standby takes no mail.
    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT);
    }
    config.keepalives_idle(KEEPALIVE);
    config.keepalives_interval(KEEPALIVE / 3);
    config.keepalives_retries(3);
    config.tcp_user_timeout(KEEPALIVE * 2);
    Ok(Target {
        config,
        tls: MakeTls::new(verify.unwrap_or(Verify::Full), root.as_deref())?,
    })
}

/// The parameters that are read here and not by the driver.
#[derive(Default)]
struct Ssl {
    mode: Option<String>,
    root: Option<String>,
}

impl Ssl {
    /// What is checked of the server's certificate; `None`: no TLS. Without a word in the URI it is everything, but for sockets of
    /// this machine.
    fn verify(&self, config: &Config) -> Result<Option<Verify>> {
        let local = config
            .get_hosts()
            .iter()
            .all(|host| matches!(host, Host::Unix(_)))
            && config.get_hostaddrs().is_empty();
        Ok(match self.mode.as_deref() {
            Some("disable") => None,
            _ if local => None,
            None | Some("verify-full") => Some(Verify::Full),
            Some("verify-ca") => Some(Verify::Chain),
            Some("require") => Some(Verify::Nothing),
            Some(other) => {
                return Err(invalid(&format!(
                    "sslmode is {other:?}; allowed are disable, require, verify-ca and verify-full"
                )));
            }
        })
    }
}

/// The URI without the parameters of [`Ssl`].
fn split(uri: &str) -> Result<(String, Ssl)> {
    if !uri.starts_with("postgres://") && !uri.starts_with("postgresql://") {
        return Err(invalid("it begins with postgresql://"));
    }
    let mut ssl = Ssl::default();
    let Some((base, query)) = uri.split_once('?') else {
        return Ok((uri.to_owned(), ssl));
    };
    let mut kept = Vec::new();
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("sslmode", mode)) => ssl.mode = Some(mode.to_owned()),
            Some(("sslrootcert", path)) => ssl.root = Some(decode(path)?),
            _ => kept.push(parameter),
        }
    }
    Ok((format!("{base}?{}", kept.join("&")), ssl))
}

/// RFC 3986 §2.1.
fn decode(text: &str) -> Result<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        if octet != b'%' {
            octets.push(octet);
            continue;
        }
        let mut digit = || rest.next().and_then(|octet| char::from(octet).to_digit(16));
        match (digit(), digit()) {
            (Some(high), Some(low)) => octets.push((high * 16 + low) as u8),
            _ => return Err(invalid("a % is not followed by two hexadecimal digits")),
        }
    }
    String::from_utf8(octets).map_err(|_| invalid("a parameter is not UTF-8"))
}

fn invalid(why: &str) -> StoreError {
    StoreError::Invalid(format!(
        "the URI of the database: {why} (wanted is postgresql://USER@HOST/DATABASE)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(uri: &str) -> Result<Option<Verify>> {
        let (rest, ssl) = split(uri)?;
        ssl.verify(&rest.parse().map_err(StoreError::from)?)
    }

    #[test]
    fn without_a_word_the_server_is_checked() {
        assert_eq!(
            mode("postgresql://a@db.test/mail").unwrap(),
            Some(Verify::Full)
        );
        assert_eq!(mode("postgresql://a@%2Frun%2Fpg/mail").unwrap(), None);
    }

    #[test]
    fn sslmode_is_honoured() {
        for (word, wanted) in [
            ("disable", None),
            ("require", Some(Verify::Nothing)),
            ("verify-ca", Some(Verify::Chain)),
            ("verify-full", Some(Verify::Full)),
        ] {
            let uri = format!("postgresql://a@db.test/mail?sslmode={word}&connect_timeout=3");
            assert_eq!(mode(&uri).unwrap(), wanted, "{word}");
        }
        for word in ["prefer", "allow", "on", ""] {
            let error = mode(&format!("postgresql://a@db.test/mail?sslmode={word}")).unwrap_err();
            assert!(error.to_string().contains("verify-full"), "{error}");
        }
    }

    #[test]
    fn a_bad_uri_does_not_tell_the_password() {
        for uri in ["postgresql://a:secret@h:no/x", "host=h password=secret"] {
            let error = parse(uri, None, "test").err().unwrap();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_path_is_decoded() {
        let (rest, ssl) =
            split("postgresql://a@h/m?sslrootcert=%2Fetc%2Fca.pem&sslmode=verify-full").unwrap();
        assert_eq!(rest, "postgresql://a@h/m?");
        assert_eq!(ssl.root.as_deref(), Some("/etc/ca.pem"));
    }
}
