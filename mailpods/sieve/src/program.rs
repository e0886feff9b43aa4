//! A checked script.

use regex::Regex;

use crate::compare::{Comparator, Relation};
use crate::error::Position;
use crate::extension::{Enabled, Extension};
use crate::input::Location;
use crate::text::Text;

/// A script that was checked; immutable, to be shared.
#[derive(Clone, Debug)]
pub struct Script {
    pub(crate) body: Block,
    pub(crate) required: Enabled,
    pub(crate) uses_variables: bool,
}

/// A script that another one includes (RFC 6609 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Include<'a> {
    /// Where.
    pub at: Position,
    /// Where it comes from.
    pub location: Location,
    /// Its name.
    pub name: &'a str,
    /// It need not be there.
    pub optional: bool,
}

impl Script {
    /// Whether it names an extension in `require`.
    #[must_use]
    pub fn requires(&self, extension: Extension) -> bool {
        self.required.has(extension)
    }

    /// The scripts that it includes, in the order in which they stand.
    #[must_use]
    pub fn includes(&self) -> Vec<Include<'_>> {
        let mut found = Vec::new();
        collect(&self.body, &mut found);
        found
    }
}

fn collect<'a>(block: &'a Block, found: &mut Vec<Include<'a>>) {
    for statement in block {
        match &statement.command {
            Command::Include {
                location,
                name,
                optional,
                ..
            } => found.push(Include {
                at: statement.at,
                location: *location,
                name,
                optional: *optional,
            }),
            Command::If {
                branches,
                otherwise,
            } => {
                let blocks = branches.iter().map(|(_, block)| block);
                blocks
                    .chain([otherwise])
                    .for_each(|block| collect(block, found));
            }
            Command::ForEveryPart { body, .. } => collect(body, found),
            _ => {}
        }
    }
}

pub(crate) type Block = Vec<Statement>;

/// A command and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) at: Position,
    pub(crate) command: Command,
}

/// A command.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    If {
        branches: Vec<(Test, Block)>,
        otherwise: Block,
    },
    Stop,
    Return,
    Error(Text),
    Keep {
        flags: Option<Vec<Text>>,
    },
    Discard,
    FileInto(Box<FileIntoCommand>),
    Redirect {
        to: Text,
        copy: bool,
        list: bool,
    },
    Reject {
        reason: Text,
        extended: bool,
    },
    Vacation(Box<VacationCommand>),
    Notify(Box<NotifyCommand>),
    Flag {
        change: FlagChange,
        variable: Option<String>,
        flags: Vec<Text>,
    },
    Set {
        variable: Variable,
        value: Text,
        modifiers: Vec<Modifier>,
    },
    Global(Vec<String>),
    Include {
        location: Location,
        name: String,
        once: bool,
        optional: bool,
    },
    AddHeader {
        name: Text,
        value: Text,
        last: bool,
    },
    DeleteHeader {
        name: Text,
        index: Option<Index>,
        values: Option<Matching>,
    },
    ForEveryPart {
        label: Option<String>,
        body: Block,
    },
    Break {
        label: Option<String>,
    },
    ExtractText {
        first: Option<u64>,
        variable: Variable,
        modifiers: Vec<Modifier>,
    },
    Replace {
        mime: bool,
        subject: Option<Text>,
        from: Option<Text>,
        text: Text,
    },
    Enclose {
        subject: Option<Text>,
        headers: Vec<Text>,
        text: Text,
    },
}

/// Arguments of `fileinto`.
#[derive(Clone, Debug)]
pub(crate) struct FileIntoCommand {
    pub(crate) mailbox: Text,
    pub(crate) copy: bool,
    pub(crate) create: bool,
    pub(crate) flags: Option<Vec<Text>>,
    pub(crate) special_use: Option<Text>,
    pub(crate) mailbox_id: Option<Text>,
}

/// Arguments of `vacation` (RFC 5230 §4).
#[derive(Clone, Debug)]
pub(crate) struct VacationCommand {
    pub(crate) seconds: Option<u64>,
    pub(crate) subject: Option<Text>,
    pub(crate) from: Option<Text>,
    pub(crate) addresses: Vec<Text>,
    pub(crate) mime: bool,
    pub(crate) handle: Option<Text>,
    pub(crate) reason: Text,
}

/// Arguments of `notify` (RFC 5435 §3).
#[derive(Clone, Debug)]
pub(crate) struct NotifyCommand {
    pub(crate) from: Option<Text>,
    pub(crate) importance: Option<Text>,
    pub(crate) options: Vec<Text>,
    pub(crate) message: Option<Text>,
    pub(crate) method: Text,
}

/// What a flag command does (RFC 5232 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlagChange {
    Set,
    Add,
    Remove,
}

/// A variable that is written to.
#[derive(Clone, Debug)]
pub(crate) enum Variable {
    Local(String),
    Global(String),
}

/// Modifiers of `set` (RFC 5229 §4.1), in the order of their precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Modifier {
    Lower,
    Upper,
    LowerFirst,
    UpperFirst,
    QuoteWildcard,
    QuoteRegex,
    EncodeUrl,
    Length,
}

impl Modifier {
    /// RFC 5229 §4.1, RFC 5435 §6: of one precedence only one may be given.
    pub(crate) fn precedence(self) -> u8 {
        match self {
            Self::Lower | Self::Upper => 40,
            Self::LowerFirst | Self::UpperFirst => 30,
            Self::QuoteWildcard | Self::QuoteRegex => 20,
            Self::EncodeUrl => 15,
            Self::Length => 10,
        }
    }
}

/// `:index` with `:last` (RFC 5260 §6).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Index {
    pub(crate) number: u64,
    pub(crate) last: bool,
}

/// A test and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Test {
    pub(crate) at: Position,
    pub(crate) name: &'static str,
    pub(crate) kind: TestKind,
}

/// A test.
#[derive(Clone, Debug)]
pub(crate) enum TestKind {
    Constant(bool),
    Not(Box<Test>),
    All(Vec<Test>),
    Any(Vec<Test>),
    Size {
        over: bool,
        limit: u64,
    },
    Header {
        headers: Vec<Text>,
        scope: Scope,
        matching: Matching,
    },
    Address {
        headers: Vec<Text>,
        part: AddressPart,
        scope: Scope,
        matching: Matching,
    },
    Exists {
        headers: Vec<Text>,
        scope: Scope,
    },
    Envelope {
        parts: Vec<Text>,
        part: AddressPart,
        matching: Matching,
    },
    Body {
        transform: Transform,
        matching: Matching,
    },
    Strings {
        sources: Vec<Text>,
        matching: Matching,
    },
    HasFlag {
        variables: Vec<String>,
        matching: Matching,
    },
    Date {
        header: Option<Text>,
        zone: Zone,
        part: DatePart,
        index: Option<Index>,
        matching: Matching,
    },
    Environment {
        item: Text,
        matching: Matching,
    },
    Spam {
        percent: bool,
        matching: Matching,
    },
    Virus {
        matching: Matching,
    },
    Duplicate {
        handle: Option<Text>,
        source: UniqueId,
        seconds: u64,
        last: bool,
    },
    MailboxExists(Vec<Text>),
    MailboxIdExists(Vec<Text>),
    SpecialUseExists {
        mailbox: Option<Text>,
        uses: Vec<Text>,
    },
    ValidExtList(Vec<Text>),
    ValidNotifyMethod(Vec<Text>),
    NotifyCapability {
        method: Text,
        capability: Text,
        matching: Matching,
    },
}

/// Which header fields a test looks at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) index: Option<Index>,
    pub(crate) mime: bool,
    pub(crate) any_child: bool,
    pub(crate) piece: MimePiece,
}

/// What of a MIME header field is looked at (RFC 5703 §4.1).
#[derive(Clone, Debug, Default)]
pub(crate) enum MimePiece {
    #[default]
    Whole,
    Type,
    Subtype,
    ContentType,
    Param(Vec<Text>),
}

/// What of an address is compared (RFC 5228 §2.7.4, RFC 5233 §4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum AddressPart {
    #[default]
    All,
    LocalPart,
    Domain,
    User,
    Detail,
}

/// How a body is looked at (RFC 5173 §5).
#[derive(Clone, Debug)]
pub(crate) enum Transform {
    Raw,
    Content(Vec<Text>),
    Text,
}

/// In which zone a date is shown (RFC 5260 §4.1).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Zone {
    Local,
    Original,
    Minutes(i32),
}

/// What of a date is compared (RFC 5260 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DatePart {
    Year,
    Month,
    Day,
    Date,
    Julian,
    Hour,
    Minute,
    Second,
    Time,
    Iso8601,
    Std11,
    Zone,
    Weekday,
}

/// What makes a message the same as another (RFC 7352 §3.1).
#[derive(Clone, Debug)]
pub(crate) enum UniqueId {
    Header(Text),
    Value(Text),
}

/// How values are compared with keys.
#[derive(Clone, Debug)]
pub(crate) struct Matching {
    pub(crate) kind: MatchKind,
    pub(crate) comparator: Comparator,
    pub(crate) keys: Vec<Key>,
}

/// A key; a regular expression without variables is compiled already.
#[derive(Clone, Debug)]
pub(crate) enum Key {
    Text(Text),
    Regex(Regex),
}

/// Match types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MatchKind {
    Is,
    Contains,
    Matches,
    Regex,
    Value(Relation),
    Count(Relation),
    List,
}
