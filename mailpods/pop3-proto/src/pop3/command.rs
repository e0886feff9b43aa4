//! What a client can ask for.

use crate::secret::{Password, SaslResponse};

/// A whole command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// RFC 2449 §5
    Capa,
    /// RFC 2595 §4
    Stls,
    /// RFC 5034 §4
    Auth {
        /// The name of the mechanism, as written.
        mechanism: String,
        /// What the client has to say first.
        initial: Option<SaslResponse>,
    },
    /// RFC 1939 §7
    User(String),
    /// RFC 1939 §7
    Pass(Password),
    /// RFC 1939 §5
    Quit,
    /// RFC 1939 §5
    Stat,
    /// RFC 1939 §5
    List(Option<u32>),
    /// RFC 1939 §5
    Retr(u32),
    /// RFC 1939 §5
    Dele(u32),
    /// RFC 1939 §5
    Noop,
    /// RFC 1939 §5
    Rset,
    /// RFC 1939 §7
    Top {
        /// Number of the message.
        message: u32,
        /// Lines of its body.
        lines: u32,
    },
    /// RFC 1939 §7
    Uidl(Option<u32>),
}

/// Why a line is no command. The text is for the client and quotes nothing of what it sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// No such keyword.
    #[error("unknown command")]
    Unknown,
    /// An argument is missing, too many, or of the wrong form.
    #[error("the arguments do not fit the command")]
    Arguments,
    /// Not a number of a message.
    #[error("expected a number from 1 on")]
    Number,
    /// The initial response is not base64.
    #[error("invalid base64")]
    Base64,
}

impl Command {
    /// Reads a line without its end.
    ///
    /// # Errors
    /// Why it is no command.
    pub fn parse(line: &[u8]) -> Result<Self, ParseError> {
        let (keyword, rest) = match memchr::memchr(b' ', line) {
            Some(at) => line.split_at(at),
            None => (line, &[][..]),
        };
        // The space is no part of the arguments; a trailing one is none at all, apart from passwords.
        let rest = rest.get(1..);
        let arguments = rest
            .map(<[u8]>::trim_ascii_end)
            .filter(|text| !text.is_empty());
        match keyword.to_ascii_uppercase().as_slice() {
            b"CAPA" => none(arguments, Self::Capa),
            b"STLS" => none(arguments, Self::Stls),
            b"QUIT" => none(arguments, Self::Quit),
            b"STAT" => none(arguments, Self::Stat),
            b"NOOP" => none(arguments, Self::Noop),
            b"RSET" => none(arguments, Self::Rset),
            b"AUTH" => auth(arguments),
            b"USER" => Ok(Self::User(text(arguments)?)),
            // RFC 1939 §7: the argument is all that is behind the first space
            b"PASS" => rest
                .map(|rest| Self::Pass(Password::new(rest)))
                .ok_or(ParseError::Arguments),
            b"LIST" => Ok(Self::List(arguments.map(message).transpose()?)),
            b"UIDL" => Ok(Self::Uidl(arguments.map(message).transpose()?)),
            b"RETR" => Ok(Self::Retr(message(
                arguments.ok_or(ParseError::Arguments)?,
            )?)),
            b"DELE" => Ok(Self::Dele(message(
                arguments.ok_or(ParseError::Arguments)?,
            )?)),
            b"TOP" => top(arguments),
            _ => Err(ParseError::Unknown),
        }
    }
}

fn none(arguments: Option<&[u8]>, command: Command) -> Result<Command, ParseError> {
    match arguments {
        None => Ok(command),
        Some(_) => Err(ParseError::Arguments),
    }
}

fn text(arguments: Option<&[u8]>) -> Result<String, ParseError> {
    let text = arguments.and_then(|text| std::str::from_utf8(text).ok());
    text.map(str::to_owned).ok_or(ParseError::Arguments)
}

fn two(arguments: Option<&[u8]>) -> Result<(&[u8], Option<&[u8]>), ParseError> {
    let arguments = arguments.ok_or(ParseError::Arguments)?;
    let mut words = arguments.split(|octet| *octet == b' ');
    let pair = (words.next().unwrap_or_default(), words.next());
    match words.next() {
        None => Ok(pair),
        Some(_) => Err(ParseError::Arguments),
    }
}

fn auth(arguments: Option<&[u8]>) -> Result<Command, ParseError> {
    let (mechanism, initial) = two(arguments)?;
    let initial = match initial {
        None => None,
        // RFC 5034 §4: an initial response of no octets
        Some(b"=") => Some(SaslResponse::empty()),
        Some(initial) => Some(SaslResponse::decode(initial).ok_or(ParseError::Base64)?),
    };
    Ok(Command::Auth {
        mechanism: text(Some(mechanism))?,
        initial,
    })
}

fn top(arguments: Option<&[u8]>) -> Result<Command, ParseError> {
    let (number, lines) = two(arguments)?;
    Ok(Command::Top {
        message: message(number)?,
        lines: digits(lines.ok_or(ParseError::Arguments)?)?,
    })
}

/// RFC 1939 §3: messages are numbered from 1
fn message(octets: &[u8]) -> Result<u32, ParseError> {
    match digits(octets)? {
        0 => Err(ParseError::Number),
        number => Ok(number),
    }
}

fn digits(octets: &[u8]) -> Result<u32, ParseError> {
    let digits = !octets.is_empty() && octets.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(octets).ok().filter(|_| digits);
    text.and_then(|text| text.parse().ok())
        .ok_or(ParseError::Number)
}
