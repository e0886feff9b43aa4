//! How the source is told who comes.
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailpods_imap_proto::client::data::argument;
use mailpods_imap_proto::client::{Condition, Response, StatusReply};
use zeroize::Zeroizing;

use super::from::Server;
use super::session::{Session, SourceError, is_busy};

/// Octets of a token.
const MAX_TOKEN: u64 = 16 << 10;

/// Who logs in.
#[derive(Clone)]
pub struct LogIn {
    /// The account there, as a name to log in with.
    pub user: String,
    /// Who logs in for it, where that is told apart (RFC 4616 §2, `authcid`).
    pub master: Option<String>,
    pub proof: Proof,
}

/// What proves it.
#[derive(Clone)]
pub enum Proof {
    Password(Zeroizing<Vec<u8>>),
    /// File with a token of OAuth 2.0. It is read at each log-in: tokens are short-lived.
    Token(PathBuf),
}

impl Session {
    pub(super) async fn log_in(
        &mut self,
        login: &LogIn,
        server: &Server,
    ) -> Result<(), SourceError> {
        if self.capabilities.is_empty() {
            self.ask_capabilities().await?;
        }
        let reply = match &login.proof {
            Proof::Token(path) => {
                let token = token(path)?;
                self.bearer(login, server, &token).await?
            }
            Proof::Password(password) if self.has("AUTH=PLAIN") => {
                let message = plain(login, password);
                self.authenticate("PLAIN", &message, None).await?
            }
            Proof::Password(_) if login.master.is_some() => {
                return Err(self.lacks("PLAIN, which --master-sasl needs"));
            }
            Proof::Password(_) if self.has("LOGINDISABLED") => {
                return Err(self.lacks("a log-in by password that this program can do"));
            }
            Proof::Password(password) => self.login_command(login, password).await?,
        };
        self.capabilities.clear();
        self.note(&reply);
        match reply.condition {
            Condition::Ok => Ok(()),
            _ if is_busy(&reply) => Err(SourceError::Busy(reply.text)),
            _ => Err(SourceError::LogIn(reply.text)),
        }
    }

    fn lacks(&self, what: &str) -> SourceError {
        let offered = self.capabilities.iter();
        let offered: Vec<&str> = offered
            .filter_map(|one| one.strip_prefix("AUTH="))
            .collect();
        let offered = match offered.is_empty() {
            true => "nothing".to_owned(),
            false => offered.join(", "),
        };
        SourceError::LogIn(format!("the server has not {what}; it offers {offered}"))
    }

    /// RFC 7628, or what Google and Microsoft had before it.
    async fn bearer(
        &mut self,
        login: &LogIn,
        server: &Server,
        token: &str,
    ) -> Result<StatusReply, SourceError> {
        let LogIn { user, .. } = login;
        if self.has("AUTH=OAUTHBEARER") {
            // RFC 5801 §4: in a name, = and , are written otherwise.
            let name = user.replace('=', "=3D").replace(',', "=2C");
            let Server { host, port, .. } = server;
            let message = Zeroizing::new(format!(
                "n,a={name},\u{1}host={host}\u{1}port={port}\u{1}auth=Bearer {token}\u{1}\u{1}"
            ));
            // RFC 7628 §3.2.3: this ends an exchange that failed.
            let after = Some(&b"\x01"[..]);
            return self
                .authenticate("OAUTHBEARER", message.as_bytes(), after)
                .await;
        }
        if self.has("AUTH=XOAUTH2") {
            let message = Zeroizing::new(format!("user={user}\u{1}auth=Bearer {token}\u{1}\u{1}"));
            return self
                .authenticate("XOAUTH2", message.as_bytes(), Some(b""))
                .await;
        }
        Err(self.lacks("OAUTHBEARER or XOAUTH2, which --oauth-token-file needs"))
    }

    /// RFC 9051 §6.2.2, with one message, and one more where the mechanism has that for failures.
    async fn authenticate(
        &mut self,
        mechanism: &str,
        message: &[u8],
        after: Option<&[u8]>,
    ) -> Result<StatusReply, SourceError> {
        let mut left = [Some(message), after].into_iter().flatten();
        let tag = self
            .send(format!("AUTHENTICATE {mechanism}").as_bytes())
            .await?;
        loop {
            match self.response().await? {
                Response::Continue => {
                    let Some(message) = left.next() else {
                        return Err(SourceError::Continues);
                    };
                    let mut line = Zeroizing::new(STANDARD.encode(message));
                    line.push_str("\r\n");
                    self.write(line.as_bytes()).await?;
                }
                Response::Status(status) if status.tag.as_ref() == Some(&tag) => return Ok(status),
                Response::Status(status) if status.condition == Condition::Bye => {
                    return Err(SourceError::Bye(status.text));
                }
                _ => {}
            }
        }
    }

    async fn login_command(
        &mut self,
        login: &LogIn,
        password: &[u8],
    ) -> Result<StatusReply, SourceError> {
        let quote = |octets: &[u8]| {
            argument(octets, self.has("LITERAL+") || self.has("LITERAL-")).ok_or_else(|| {
                SourceError::LogIn(
                    "the name or the password has characters beyond ASCII".to_owned(),
                )
            })
        };
        let mut command = Zeroizing::new(b"LOGIN ".to_vec());
        command.extend_from_slice(&quote(login.user.as_bytes())?);
        command.push(b' ');
        command.extend_from_slice(&Zeroizing::new(quote(password)?));
        self.run(&command, |_| Ok(())).await
    }
}

/// RFC 4616 §2: for whom, who, and the password. A master user may also be part of the name, as in `alice*master`.
fn plain(login: &LogIn, password: &[u8]) -> Zeroizing<Vec<u8>> {
    let (authzid, authcid) = match &login.master {
        Some(master) => (login.user.as_str(), master),
        None => ("", &login.user),
    };
    let length = authzid.len() + authcid.len() + password.len() + 2;
    let mut message = Zeroizing::new(Vec::with_capacity(length));
    message.extend_from_slice(authzid.as_bytes());
    message.push(0);
    message.extend_from_slice(authcid.as_bytes());
    message.push(0);
    message.extend_from_slice(password);
    message
}

/// The token in a file: one line of what a header field may have (RFC 6750 §2.1).
fn token(path: &std::path::Path) -> Result<Zeroizing<String>, SourceError> {
    use std::io::Read as _;
    let wrong = |what: String| SourceError::LogIn(format!("{}: {what}", path.display()));
    let mut text = Zeroizing::new(String::with_capacity(MAX_TOKEN as usize + 1));
    let file = std::fs::File::open(path);
    let read = file.and_then(|file| file.take(MAX_TOKEN + 1).read_to_string(&mut text));
    read.map_err(|error| wrong(error.to_string()))?;
    let token = text.trim_end();
    let is_one = token.bytes().all(|octet| octet.is_ascii_graphic());
    match (1..=MAX_TOKEN as usize).contains(&token.len()) && is_one {
        true => Ok(Zeroizing::new(token.to_owned())),
        false => Err(wrong(format!(
            "a token is one line of 1 to {MAX_TOKEN} characters without spaces"
        ))),
    }
}
