//! What a client can ask for.

use bytes::Bytes;

use super::lexer::Token;
use crate::secret::SaslResponse;

/// Most octets of a script's name; RFC 5804 §1.6 asks for 128 characters at least.
pub const MAX_NAME: usize = 512;

/// The name of a script (RFC 5804 §1.6): Unicode without control characters and line separators.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScriptName(String);

impl ScriptName {
    /// Reads a name.
    ///
    /// # Errors
    /// [`ParseError::Name`] for what no script may be called.
    pub fn parse(octets: &[u8]) -> Result<Self, ParseError> {
        let text = std::str::from_utf8(octets).map_err(|_| ParseError::Name)?;
        let is_bad = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        match text.is_empty() || text.len() > MAX_NAME || text.contains(is_bad) {
            true => Err(ParseError::Name),
            false => Ok(Self(text.to_owned())),
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A whole command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// RFC 5804 §2.1
    Authenticate {
        /// The name of the mechanism, as written.
        mechanism: String,
        /// What the client has to say first.
        initial: Option<SaslResponse>,
    },
    /// RFC 5804 §2.2
    StartTls,
    /// RFC 5804 §2.3
    Logout,
    /// RFC 5804 §2.4
    Capability,
    /// RFC 5804 §2.5
    HaveSpace {
        /// Name of the script.
        name: ScriptName,
        /// Its octets.
        octets: u64,
    },
    /// RFC 5804 §2.6
    PutScript {
        /// Name of the script.
        name: ScriptName,
        /// The script.
        source: Bytes,
    },
    /// RFC 5804 §2.7
    ListScripts,
    /// RFC 5804 §2.8; `None`: no script is active from now on.
    SetActive(Option<ScriptName>),
    /// RFC 5804 §2.9
    GetScript(ScriptName),
    /// RFC 5804 §2.10
    DeleteScript(ScriptName),
    /// RFC 5804 §2.11
    RenameScript {
        /// What it is called.
        from: ScriptName,
        /// What it will be called.
        to: ScriptName,
    },
    /// RFC 5804 §2.12
    CheckScript(Bytes),
    /// RFC 5804 §2.13, with what the answer repeats.
    Noop(Option<String>),
    /// RFC 5804 §2.14
    Unauthenticate,
}

/// Why octets are no command. The text is for the client and quotes nothing of what it sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// No such keyword.
    #[error("unknown command")]
    Unknown,
    /// An argument is missing, too many, or of the wrong form.
    #[error("the arguments do not fit the command")]
    Arguments,
    /// A quoted string does not end, is longer than 1024 octets, or escapes what needs no escape.
    #[error("a quoted string has the wrong form")]
    Quoted,
    /// Something else than `{5+}` where a literal begins.
    #[error("a literal has the wrong form")]
    Literal,
    /// Arguments without a space between them.
    #[error("a space is missing")]
    Space,
    /// What no script may be called.
    #[error("the name has the wrong form: 1 to 512 octets of UTF-8 without control characters")]
    Name,
    /// Not a number of octets.
    #[error("expected a number of octets, in digits alone")]
    Number,
    /// The initial response is not base64.
    #[error("invalid base64")]
    Base64,
}

type Result<T, E = ParseError> = std::result::Result<T, E>;

/// The arguments that are left.
struct Arguments(std::vec::IntoIter<Token>);

impl Arguments {
    fn optional(&mut self) -> Result<Option<Bytes>> {
        match self.0.next() {
            None => Ok(None),
            Some(Token::Text(text)) => Ok(Some(text)),
            Some(Token::Atom(_)) => Err(ParseError::Arguments),
        }
    }

    fn text(&mut self) -> Result<Bytes> {
        self.optional()?.ok_or(ParseError::Arguments)
    }

    fn name(&mut self) -> Result<ScriptName> {
        ScriptName::parse(&self.text()?)
    }

    fn utf8(&mut self) -> Result<Option<String>> {
        let text = self.optional()?.map(|text| String::from_utf8(text.into()));
        text.transpose().map_err(|_| ParseError::Arguments)
    }

    fn number(&mut self) -> Result<u64> {
        match self.0.next() {
            Some(Token::Atom(word)) if word.bytes().all(|octet| octet.is_ascii_digit()) => {
                word.parse().map_err(|_| ParseError::Number)
            }
            _ => Err(ParseError::Number),
        }
    }
}

impl Command {
    /// Makes a command of its tokens.
    pub(super) fn of(tokens: Vec<Token>) -> Result<Self> {
        let mut arguments = Arguments(tokens.into_iter());
        let Some(Token::Atom(keyword)) = arguments.0.next() else {
            return Err(ParseError::Unknown);
        };
        let command = Self::named(&keyword.to_ascii_uppercase(), &mut arguments)?;
        match arguments.0.next() {
            None => Ok(command),
            Some(_) => Err(ParseError::Arguments),
        }
    }

    fn named(keyword: &str, arguments: &mut Arguments) -> Result<Self> {
        Ok(match keyword {
            "AUTHENTICATE" => authenticate(arguments)?,
            "STARTTLS" => Self::StartTls,
            "LOGOUT" => Self::Logout,
            "CAPABILITY" => Self::Capability,
            "HAVESPACE" => Self::HaveSpace {
                name: arguments.name()?,
                octets: arguments.number()?,
            },
            "PUTSCRIPT" => Self::PutScript {
                name: arguments.name()?,
                source: arguments.text()?,
            },
            "LISTSCRIPTS" => Self::ListScripts,
            "SETACTIVE" => Self::SetActive(match arguments.text()? {
                none if none.is_empty() => None,
                name => Some(ScriptName::parse(&name)?),
            }),
            "GETSCRIPT" => Self::GetScript(arguments.name()?),
            "DELETESCRIPT" => Self::DeleteScript(arguments.name()?),
            "RENAMESCRIPT" => Self::RenameScript {
                from: arguments.name()?,
                to: arguments.name()?,
            },
            "CHECKSCRIPT" => Self::CheckScript(arguments.text()?),
            "NOOP" => Self::Noop(arguments.utf8()?),
            "UNAUTHENTICATE" => Self::Unauthenticate,
            _ => return Err(ParseError::Unknown),
        })
    }
}

fn authenticate(arguments: &mut Arguments) -> Result<Command> {
    let mechanism = arguments.utf8()?.ok_or(ParseError::Arguments)?;
    let initial = match arguments.optional()? {
        Some(initial) => Some(SaslResponse::decode(&initial).ok_or(ParseError::Base64)?),
        None => None,
    };
    Ok(Command::Authenticate { mechanism, initial })
}
