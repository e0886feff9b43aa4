//! One command line into a [`Command`] (RFC 5321 §4.1.1).

use crate::address::{ForwardPath, ReversePath};
use crate::error::ProtocolError;
use crate::params::{MailParams, RcptParams};

/// Which greeting command was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HelloKind {
    /// `HELO`: no extensions.
    Helo,
    /// `EHLO`.
    Ehlo,
    /// `LHLO` (RFC 2033 §4.1).
    Lhlo,
}

/// A command without its arguments: the rows of the transition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// EHLO, HELO, LHLO.
    Hello,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// BDAT.
    Bdat,
    /// RSET.
    Rset,
    /// NOOP.
    Noop,
    /// QUIT.
    Quit,
    /// VRFY.
    Vrfy,
    /// EXPN.
    Expn,
    /// HELP.
    Help,
    /// STARTTLS.
    StartTls,
    /// AUTH.
    Auth,
}

/// A command that follows the grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// EHLO, HELO or LHLO with the client's name as written.
    Hello {
        /// Which of the three.
        kind: HelloKind,
        /// The name or address literal; printable, at most 255 octets.
        name: String,
    },
    /// MAIL FROM.
    Mail {
        /// The sender.
        path: ReversePath,
        /// Its parameters.
        params: MailParams,
    },
    /// RCPT TO.
    Rcpt {
        /// The recipient.
        path: ForwardPath,
        /// Its parameters.
        params: RcptParams,
    },
    /// DATA.
    Data,
    /// BDAT.
    Bdat {
        /// Octets that follow.
        size: u64,
        /// This is the last chunk.
        last: bool,
    },
    /// RSET.
    Rset,
    /// NOOP.
    Noop,
    /// QUIT.
    Quit,
    /// VRFY.
    Vrfy(String),
    /// EXPN.
    Expn(String),
    /// HELP.
    Help(String),
    /// STARTTLS.
    StartTls,
    /// AUTH.
    Auth {
        /// In upper case.
        mechanism: String,
        /// As written: base64, `=` for an empty one.
        initial: Option<String>,
    },
}

/// RFC 5321 §4.5.3.1.4: 512 octets with CRLF.
const BASE_LINE: usize = 512;
/// SIZE 26 (RFC 1870 §3), BODY 17 (RFC 6152 §2), SMTPUTF8 10 (RFC 6531 §3.4), AUTH 500 (RFC 4954 §3), RET and ENVID 107
/// (RFC 3461 §4), and room for a long sender in UTF-8.
const MAIL_LINE: usize = BASE_LINE + 26 + 17 + 10 + 500 + 107 + 320;
/// NOTIFY and ORCPT 531 (RFC 3461 §4), and room for a long recipient.
const RCPT_LINE: usize = BASE_LINE + 531 + 320;
/// RFC 4954 §4: the longest line of an authentication exchange with CRLF.
pub(crate) const AUTH_LINE: usize = 12_288;

impl Verb {
    /// The longest line of this command in octets, CRLF included.
    pub(crate) fn line_limit(word: &[u8]) -> usize {
        let is = |name: &str| {
            word.get(..4)
                .is_some_and(|w| w.eq_ignore_ascii_case(name.as_bytes()))
        };
        match () {
            () if is("MAIL") => MAIL_LINE,
            () if is("RCPT") => RCPT_LINE,
            () if is("AUTH") => AUTH_LINE,
            () => BASE_LINE,
        }
    }
}

impl Command {
    /// Reads one line without its CRLF.
    ///
    /// # Errors
    /// The fault to answer with; unknown verbs, bad arguments and bad parameters have their own.
    pub fn parse(line: &[u8]) -> Result<Command, ProtocolError> {
        let text = std::str::from_utf8(line).map_err(|_| ProtocolError::Syntax("command"))?;
        if text.chars().any(|c| c.is_control() && c != '\t') {
            return Err(ProtocolError::BadLineEnd);
        }
        // RFC 5321 §4.1.1: trailing white space is tolerated.
        let text = text.trim_end_matches([' ', '\t']);
        let (verb, args) = text.split_once(' ').unwrap_or((text, ""));
        let args = args.trim_start_matches(' ');
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => parse_hello(HelloKind::Ehlo, args),
            "HELO" => parse_hello(HelloKind::Helo, args),
            "LHLO" => parse_hello(HelloKind::Lhlo, args),
            "MAIL" => parse_mail(args),
            "RCPT" => parse_rcpt(args),
            "DATA" => no_args(args, Command::Data, "DATA"),
            "BDAT" => parse_bdat(args),
            "RSET" => no_args(args, Command::Rset, "RSET"),
            "QUIT" => no_args(args, Command::Quit, "QUIT"),
            "STARTTLS" => no_args(args, Command::StartTls, "STARTTLS"),
            // RFC 5321 §4.1.1.9: a parameter of NOOP is ignored.
            "NOOP" => Ok(Command::Noop),
            "HELP" => Ok(Command::Help(args.to_owned())),
            "VRFY" => with_args(args, Command::Vrfy, "VRFY"),
            "EXPN" => with_args(args, Command::Expn, "EXPN"),
            "AUTH" => parse_auth(args),
            _ => Err(ProtocolError::UnknownCommand),
        }
    }

    /// The row of the transition table.
    pub fn verb(&self) -> Verb {
        match self {
            Command::Hello { .. } => Verb::Hello,
            Command::Mail { .. } => Verb::Mail,
            Command::Rcpt { .. } => Verb::Rcpt,
            Command::Data => Verb::Data,
            Command::Bdat { .. } => Verb::Bdat,
            Command::Rset => Verb::Rset,
            Command::Noop => Verb::Noop,
            Command::Quit => Verb::Quit,
            Command::Vrfy(_) => Verb::Vrfy,
            Command::Expn(_) => Verb::Expn,
            Command::Help(_) => Verb::Help,
            Command::StartTls => Verb::StartTls,
            Command::Auth { .. } => Verb::Auth,
        }
    }
}

fn no_args(args: &str, command: Command, verb: &'static str) -> Result<Command, ProtocolError> {
    if args.is_empty() {
        Ok(command)
    } else {
        Err(ProtocolError::Syntax(verb))
    }
}

fn with_args(
    args: &str,
    make: fn(String) -> Command,
    verb: &'static str,
) -> Result<Command, ProtocolError> {
    if args.is_empty() {
        Err(ProtocolError::Syntax(verb))
    } else {
        Ok(make(args.to_owned()))
    }
}

/// RFC 5321 §4.1.4: the name is not checked against anything here, only for length and blanks.
fn parse_hello(kind: HelloKind, args: &str) -> Result<Command, ProtocolError> {
    let ok = (1..=crate::MAX_DOMAIN).contains(&args.len()) && !args.contains(char::is_whitespace);
    if ok {
        Ok(Command::Hello {
            kind,
            name: args.to_owned(),
        })
    } else {
        Err(ProtocolError::Syntax("EHLO"))
    }
}

fn parse_mail(args: &str) -> Result<Command, ProtocolError> {
    let args = strip_keyword(args, "FROM:").ok_or(ProtocolError::Syntax("MAIL"))?;
    let (path, rest) = ReversePath::parse_prefix(args).map_err(|_| ProtocolError::BadSender)?;
    let params = MailParams::parse(separated(rest).ok_or(ProtocolError::BadSender)?)?;
    // RFC 6531 §3.4: SMTPUTF8 on MAIL comes before any UTF-8 address.
    if !params.smtputf8 && path.mailbox().is_some_and(|mailbox| !mailbox.is_ascii()) {
        return Err(ProtocolError::NeedsSmtpUtf8);
    }
    Ok(Command::Mail { path, params })
}

fn parse_rcpt(args: &str) -> Result<Command, ProtocolError> {
    let args = strip_keyword(args, "TO:").ok_or(ProtocolError::Syntax("RCPT"))?;
    let (path, rest) = ForwardPath::parse_prefix(args).map_err(|_| ProtocolError::BadRecipient)?;
    let params = RcptParams::parse(separated(rest).ok_or(ProtocolError::BadRecipient)?)?;
    Ok(Command::Rcpt { path, params })
}

/// Strips `FROM:` or `TO:` in any case; a blank after the colon, which is common, is tolerated.
fn strip_keyword<'a>(args: &'a str, keyword: &str) -> Option<&'a str> {
    let head = args.get(..keyword.len())?;
    let rest = args.get(keyword.len()..)?;
    head.eq_ignore_ascii_case(keyword)
        .then(|| rest.trim_start_matches(' '))
}

/// What follows a path is nothing, or parameters after a blank.
fn separated(rest: &str) -> Option<&str> {
    (rest.is_empty() || rest.starts_with(' ')).then_some(rest)
}

/// RFC 3030 §2.
fn parse_bdat(args: &str) -> Result<Command, ProtocolError> {
    let mut words = args.split(' ').filter(|word| !word.is_empty());
    let size = words
        .next()
        .filter(|w| w.len() <= 20 && w.bytes().all(|b| b.is_ascii_digit()));
    let size = size
        .and_then(|w| w.parse().ok())
        .ok_or(ProtocolError::Syntax("BDAT"))?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return Err(ProtocolError::Syntax("BDAT")),
    };
    if words.next().is_some() {
        return Err(ProtocolError::Syntax("BDAT"));
    }
    Ok(Command::Bdat { size, last })
}

/// RFC 4954 §4.
fn parse_auth(args: &str) -> Result<Command, ProtocolError> {
    let mut words = args.split(' ').filter(|word| !word.is_empty());
    let mechanism = words
        .next()
        .ok_or(ProtocolError::Syntax("AUTH"))?
        .to_ascii_uppercase();
    let initial = words.next().map(str::to_owned);
    // RFC 4422 §3.1: a mechanism name is at most 20 of these characters.
    let name_ok = mechanism.len() <= 20
        && mechanism
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if !name_ok || words.next().is_some() {
        return Err(ProtocolError::Syntax("AUTH"));
    }
    Ok(Command::Auth { mechanism, initial })
}
