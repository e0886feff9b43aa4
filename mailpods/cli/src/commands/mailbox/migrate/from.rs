//! `--from`: where mail comes from.
use std::fmt;
use std::path::PathBuf;

/// Where mail comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// An IMAP server.
    Imap(Server),
    /// A Maildir tree or mbox files.
    Files(PathBuf),
}

/// An IMAP server, and who logs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `None` where a list has it.
    pub user: Option<String>,
    pub host: String,
    pub port: u16,
    /// `imap://`: TLS by STARTTLS.
    pub starttls: bool,
}

const ALLOWED: &str =
    "imaps://USER@HOST[:PORT], imap://USER@HOST[:PORT] (with STARTTLS), maildir:PATH or mbox:PATH";

impl Place {
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text
            .split_once(':')
            .ok_or_else(|| format!("found {text:?}; allowed: {ALLOWED}"))?;
        match scheme.to_ascii_lowercase().as_str() {
            "imaps" => Server::parse(rest, false).map(Self::Imap),
            "imap" => Server::parse(rest, true).map(Self::Imap),
            "maildir" | "mbox" if !rest.is_empty() => Ok(Self::Files(rest.into())),
            _ => Err(format!("found {scheme:?}; allowed: {ALLOWED}")),
        }
    }
}

impl Server {
    fn parse(rest: &str, starttls: bool) -> Result<Self, String> {
        let rest = rest
            .strip_prefix("//")
            .ok_or_else(|| format!("allowed: {ALLOWED}"))?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        // An address is a user name of many servers: the last @ is the URL's.
        let (user, host) = match rest.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, rest),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return Err(
                "a password (or a colon that is not written %3A) in the URL would be seen by everybody on this machine: \
                 --password-file, MAILPODS_SOURCE_PASSWORD, or wait to be asked"
                    .to_owned(),
            );
        }
        let (host, port) = host_and_port(host)?;
        Ok(Self {
            user: user.map(decode).transpose()?,
            host,
            port: port.unwrap_or(if starttls { 143 } else { 993 }),
            starttls,
        })
    }
}

fn host_and_port(text: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or("a [ without its ]")?;
            (host, after.strip_prefix(':'))
        }
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() || host.contains(['/', '?', '#', ' ']) {
        return Err(format!("{host:?} is no host name; allowed: {ALLOWED}"));
    }
    let port = port.map(|port| port.parse::<u16>().ok().filter(|port| *port > 0));
    match port {
        Some(None) => Err(format!("the port of {text:?} is not 1 to 65535")),
        Some(port) => Ok((host.to_owned(), port)),
        None => Ok((host.to_owned(), None)),
    }
}

/// RFC 3986 §2.1
fn decode(text: &str) -> Result<String, String> {
    let wrong =
        || format!("{text:?} has a % that two hexadecimal digits do not follow, or is no UTF-8");
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        if octet != b'%' {
            octets.push(octet);
            continue;
        }
        let digits = [
            rest.next().ok_or_else(wrong)?,
            rest.next().ok_or_else(wrong)?,
        ];
        let digits = std::str::from_utf8(&digits).map_err(|_| wrong())?;
        octets.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
    }
    String::from_utf8(octets).map_err(|_| wrong())
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.starttls { "imap" } else { "imaps" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> (Option<String>, String, u16, bool) {
        match Place::parse(text) {
            Ok(Place::Imap(server)) => (server.user, server.host, server.port, server.starttls),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn servers_have_users_ports_and_tls() {
        let user = |name: &str| Some(name.to_owned());
        let host = || "mail.example.test".to_owned();
        for (text, wanted) in [
            (
                "imaps://a@b.test@mail.example.test",
                (user("a@b.test"), host(), 993, false),
            ),
            (
                "imap://a@mail.example.test:1143",
                (user("a"), host(), 1143, true),
            ),
            (
                "IMAPS://a*master@mail.example.test/",
                (user("a*master"), host(), 993, false),
            ),
            (
                "imaps://a%3Ab%40c@mail.example.test",
                (user("a:b@c"), host(), 993, false),
            ),
            ("imaps://mail.example.test", (None, host(), 993, false)),
            (
                "imaps://a@[::1]:1993",
                (user("a"), "::1".to_owned(), 1993, false),
            ),
        ] {
            assert_eq!(server(text), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, word) in [
            ("imaps://a:secret@host", "--password-file"),
            ("pop3://a@host", "allowed"),
            ("host", "allowed"),
            ("imaps:host", "allowed"),
            ("imaps://a@host:0", "port"),
            ("imaps://a@", "host name"),
            ("imaps://a%2@host", "hexadecimal"),
            ("maildir:", "allowed"),
        ] {
            let error = Place::parse(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn files_are_named_by_their_form() {
        for text in ["maildir:/home/a/Maildir", "mbox:/var/mail/a"] {
            let path = text.split_once(':').unwrap().1;
            assert_eq!(Place::parse(text), Ok(Place::Files(path.into())), "{text}");
        }
    }
}
