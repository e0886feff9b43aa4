//! Tests.

use super::arguments::Arguments;
use super::{Checker, Result, no_arguments};
use crate::error::{Position, ScriptError};
use crate::extension::Extension;
use crate::program::{DatePart, MimePiece, Scope, Test, TestKind, Transform, UniqueId, Zone};
use crate::syntax::Node;
use crate::text::Text;

/// All tests: name, and the extension that it belongs to.
const TESTS: [(&str, Option<Extension>); 26] = [
    ("address", None),
    ("allof", None),
    ("anyof", None),
    ("body", Some(Extension::Body)),
    ("currentdate", Some(Extension::Date)),
    ("date", Some(Extension::Date)),
    ("duplicate", Some(Extension::Duplicate)),
    ("envelope", Some(Extension::Envelope)),
    ("environment", Some(Extension::Environment)),
    ("exists", None),
    ("false", None),
    ("hasflag", Some(Extension::Imap4Flags)),
    ("header", None),
    ("ihave", Some(Extension::Ihave)),
    ("mailboxexists", Some(Extension::Mailbox)),
    ("mailboxidexists", Some(Extension::MailboxId)),
    ("not", None),
    ("notify_method_capability", Some(Extension::Enotify)),
    ("size", None),
    ("spamtest", Some(Extension::SpamTest)),
    ("specialuse_exists", Some(Extension::SpecialUse)),
    ("string", Some(Extension::Variables)),
    ("true", None),
    ("valid_ext_list", Some(Extension::ExtLists)),
    ("valid_notify_method", Some(Extension::Enotify)),
    ("virustest", Some(Extension::VirusTest)),
];

/// RFC 7352 §3: without `:seconds`, and the most of it.
const DUPLICATE_SECONDS: u64 = 7 * 86_400;
const MAX_DUPLICATE_SECONDS: u64 = 30 * 86_400;

const DATE_PARTS: [(&str, DatePart); 13] = [
    ("year", DatePart::Year),
    ("month", DatePart::Month),
    ("day", DatePart::Day),
    ("date", DatePart::Date),
    ("julian", DatePart::Julian),
    ("hour", DatePart::Hour),
    ("minute", DatePart::Minute),
    ("second", DatePart::Second),
    ("time", DatePart::Time),
    ("iso8601", DatePart::Iso8601),
    ("std11", DatePart::Std11),
    ("zone", DatePart::Zone),
    ("weekday", DatePart::Weekday),
];

impl Checker<'_> {
    pub(super) fn test(&mut self, node: &Node) -> Result<Test> {
        let Some((name, extension)) = TESTS.iter().find(|(name, _)| *name == node.name) else {
            let known: Vec<&str> = TESTS.iter().map(|(name, _)| *name).collect();
            return Err(
                ScriptError::new(node.at, format!("unknown test \"{}\"", node.name))
                    .allowed(known.join(", ")),
            );
        };
        if let Some(extension) = extension {
            self.need(node.at, &format!("test \"{name}\""), *extension)?;
        }
        let kind = match *name {
            "allof" | "anyof" => self.several(node)?,
            "not" => match self.one_test(node)? {
                Test {
                    kind: TestKind::Constant(value),
                    ..
                } => TestKind::Constant(!value),
                test => TestKind::Not(Box::new(test)),
            },
            "true" | "false" => {
                no_arguments(node)?;
                super::no_tests(node)?;
                TestKind::Constant(*name == "true")
            }
            _ => self.leaf(node, name)?,
        };
        Ok(Test {
            at: node.at,
            name,
            kind,
        })
    }

    /// RFC 5228 §5.2, §5.3. What follows a decided `ihave` is not looked at (RFC 5463 §4).
    fn several(&mut self, node: &Node) -> Result<TestKind> {
        no_arguments(node)?;
        if !node.listed {
            return Err(ScriptError::new(
                node.at,
                format!("\"{}\" has no list of tests", node.name),
            )
            .allowed("(test, test)"));
        }
        let all = node.name == "allof";
        let mut tests = Vec::with_capacity(node.tests.len());
        for child in &node.tests {
            let test = self.test(child)?;
            match test.kind {
                TestKind::Constant(value) if value == all => {}
                TestKind::Constant(value) if child.name != "true" && child.name != "false" => {
                    return Ok(TestKind::Constant(value));
                }
                _ => tests.push(test),
            }
        }
        Ok(match (tests.is_empty(), all) {
            (true, _) => TestKind::Constant(all),
            (false, true) => TestKind::All(tests),
            (false, false) => TestKind::Any(tests),
        })
    }

    fn leaf(&mut self, node: &Node, name: &str) -> Result<TestKind> {
        let mut arguments = Arguments::new(node)?;
        let a = &mut arguments;
        let kind = match name {
            "address" => self.address(a)?,
            "body" => self.body(a)?,
            "currentdate" | "date" => self.date(a, name == "date")?,
            "duplicate" => self.duplicate(a)?,
            "envelope" => self.envelope(a)?,
            "environment" => self.environment(a)?,
            "exists" => TestKind::Exists {
                scope: self.scope(a, false)?,
                headers: a.headers(self)?,
            },
            "hasflag" => self.has_flag(a)?,
            "header" => self.header(a)?,
            "ihave" => self.ihave(a)?,
            "mailboxexists" => TestKind::MailboxExists(a.texts(self, "the mailboxes")?),
            "mailboxidexists" => TestKind::MailboxIdExists(a.texts(self, "the MAILBOXIDs")?),
            "notify_method_capability" => self.notify_capability(a)?,
            "size" => size(a)?,
            "spamtest" | "virustest" => self.score(a, name == "spamtest")?,
            "specialuse_exists" => self.special_use(a)?,
            "string" => {
                let spec = a.matching(self)?;
                TestKind::Strings {
                    sources: a.texts(self, "the sources")?,
                    matching: a.keys(self, spec, "the keys")?,
                }
            }
            "valid_ext_list" => TestKind::ValidExtList(a.texts(self, "the lists")?),
            _ => TestKind::ValidNotifyMethod(a.texts(self, "the methods")?),
        };
        arguments.finish()?;
        Ok(kind)
    }

    /// `:index` (RFC 5260 §6) and the MIME tags (RFC 5703 §4).
    fn scope(&self, a: &mut Arguments, index: bool) -> Result<Scope> {
        let index = if index { a.index(self)? } else { None };
        let mime = a.tag_of(self, "mime", Extension::Mime)?;
        let any_child = a.tag_of(self, "anychild", Extension::Mime)?;
        let mut piece = MimePiece::Whole;
        for (name, kind) in [
            ("type", MimePiece::Type),
            ("subtype", MimePiece::Subtype),
            ("contenttype", MimePiece::ContentType),
        ] {
            if a.tag_of(self, name, Extension::Mime)? {
                piece = kind;
            }
        }
        if let Some(params) = a.texts_of(self, "param")? {
            self.need(a.at, "\":param\"", Extension::Mime)?;
            piece = MimePiece::Param(params);
        }
        if !mime && (any_child || !matches!(piece, MimePiece::Whole)) {
            return Err(ScriptError::new(
                a.at,
                "a MIME tag stands without \":mime\"",
            ));
        }
        Ok(Scope {
            index,
            mime,
            any_child,
            piece,
        })
    }

    fn header(&self, a: &mut Arguments) -> Result<TestKind> {
        let spec = a.matching(self)?;
        let scope = self.scope(a, true)?;
        Ok(TestKind::Header {
            headers: a.headers(self)?,
            scope,
            matching: a.keys(self, spec, "the keys")?,
        })
    }

    fn address(&self, a: &mut Arguments) -> Result<TestKind> {
        let (spec, part) = (a.matching(self)?, a.address_part(self)?);
        let scope = self.scope(a, true)?;
        let headers = a.headers(self)?;
        Ok(TestKind::Address {
            headers,
            part,
            scope,
            matching: a.keys(self, spec, "the keys")?,
        })
    }

    /// RFC 5228 §5.4: an unknown part of the envelope is an error.
    fn envelope(&self, a: &mut Arguments) -> Result<TestKind> {
        let (spec, part) = (a.matching(self)?, a.address_part(self)?);
        let mut parts = Vec::new();
        for (at, name) in a.names("the envelope parts")? {
            let text = self.text(at, name)?;
            if let Some(name) = text.constant().filter(|name| !is_envelope_part(name)) {
                return Err(
                    ScriptError::new(at, format!("the envelope has no \"{name}\""))
                        .allowed("\"from\", \"to\", \"auth\""),
                );
            }
            parts.push(text);
        }
        Ok(TestKind::Envelope {
            parts,
            part,
            matching: a.keys(self, spec, "the keys")?,
        })
    }

    fn body(&self, a: &mut Arguments) -> Result<TestKind> {
        let spec = a.matching(self)?;
        let raw = a.tag("raw");
        let content = a.texts_of(self, "content")?;
        let text = a.tag("text");
        let transform = match (raw, content, text) {
            (true, None, false) => Transform::Raw,
            (false, Some(types), false) => Transform::Content(types),
            (false, None, _) => Transform::Text,
            _ => {
                return Err(ScriptError::new(a.at, "a second body transform")
                    .allowed("one of :raw, :content, :text"));
            }
        };
        Ok(TestKind::Body {
            transform,
            matching: a.keys(self, spec, "the keys")?,
        })
    }

    /// RFC 5232 §4: with two arguments the first names variables.
    fn has_flag(&self, a: &mut Arguments) -> Result<TestKind> {
        let spec = a.matching(self)?;
        let mut variables = Vec::new();
        if a.positional() > 1 {
            for (at, name) in a.names("the variables")? {
                variables.push(self.flag_variable(at, &name)?);
            }
        }
        Ok(TestKind::HasFlag {
            variables,
            matching: a.keys(self, spec, "the flags")?,
        })
    }

    /// RFC 5260 §4, §5.
    fn date(&self, a: &mut Arguments, of_header: bool) -> Result<TestKind> {
        let spec = a.matching(self)?;
        let index = if of_header { a.index(self)? } else { None };
        let zone = a.string_of("zone")?;
        let original = of_header && a.tag("originalzone");
        let zone = match (zone, original) {
            (None, false) => Zone::Local,
            (None, true) => Zone::Original,
            (Some((at, text)), false) => Zone::Minutes(minutes(at, &text)?),
            (Some((at, _)), true) => {
                return Err(ScriptError::new(at, "both \":zone\" and \":originalzone\""));
            }
        };
        let header = match of_header {
            true => {
                let (at, name) = a.string("the header name")?;
                Some(super::arguments::header_name(self, at, name)?)
            }
            false => None,
        };
        let (at, part) = a.string("the date part")?;
        let found = DATE_PARTS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(&part));
        let Some((_, part)) = found else {
            let known = DATE_PARTS.map(|(name, _)| name).join(", ");
            return Err(
                ScriptError::new(at, format!("\"{part}\" is no part of a date")).allowed(known),
            );
        };
        Ok(TestKind::Date {
            header,
            zone,
            part: *part,
            index,
            matching: a.keys(self, spec, "the keys")?,
        })
    }

    fn environment(&self, a: &mut Arguments) -> Result<TestKind> {
        let spec = a.matching(self)?;
        Ok(TestKind::Environment {
            item: a.text(self, "the item")?,
            matching: a.keys(self, spec, "the keys")?,
        })
    }

    /// RFC 5235 §2.1, §3.1.
    fn score(&self, a: &mut Arguments, spam: bool) -> Result<TestKind> {
        let spec = a.matching(self)?;
        let percent = spam && a.tag_of(self, "percent", Extension::SpamTestPlus)?;
        let matching = a.keys(self, spec, "the value")?;
        Ok(if spam {
            TestKind::Spam { percent, matching }
        } else {
            TestKind::Virus { matching }
        })
    }

    /// RFC 7352 §3.
    fn duplicate(&self, a: &mut Arguments) -> Result<TestKind> {
        let handle = a.text_of(self, "handle")?;
        let header = match a.string_of("header")? {
            Some((at, name)) => Some(super::arguments::header_name(self, at, name)?),
            None => None,
        };
        let unique = a.text_of(self, "uniqueid")?;
        let source = match (header, unique) {
            (Some(_), Some(_)) => {
                return Err(ScriptError::new(a.at, "both \":header\" and \":uniqueid\"")
                    .allowed("one of them"));
            }
            (Some(header), None) => UniqueId::Header(header),
            (None, Some(value)) => UniqueId::Value(value),
            (None, None) => UniqueId::Header(Text::literal("Message-ID")),
        };
        let seconds = a
            .number_of("seconds")?
            .map_or(DUPLICATE_SECONDS, |(_, seconds)| seconds);
        let last = a.tag("last");
        Ok(TestKind::Duplicate {
            handle,
            source,
            seconds: seconds.min(MAX_DUPLICATE_SECONDS),
            last,
        })
    }

    /// RFC 8579 §3.
    fn special_use(&self, a: &mut Arguments) -> Result<TestKind> {
        let mailbox = if a.positional() > 1 {
            Some(a.text(self, "the mailbox")?)
        } else {
            None
        };
        Ok(TestKind::SpecialUseExists {
            mailbox,
            uses: a.texts(self, "the special-use attributes")?,
        })
    }

    /// RFC 5435 §5.
    fn notify_capability(&self, a: &mut Arguments) -> Result<TestKind> {
        let spec = a.matching(self)?;
        let (method, capability) = (a.text(self, "the method")?, a.text(self, "the capability")?);
        Ok(TestKind::NotifyCapability {
            method,
            capability,
            matching: a.keys(self, spec, "the keys")?,
        })
    }

    /// RFC 5463 §4: decided now; what is there may be used from here on.
    fn ihave(&mut self, a: &mut Arguments) -> Result<TestKind> {
        let names = a.names("the extensions")?;
        let found: Option<Vec<Extension>> = names
            .iter()
            .map(|(_, name)| Extension::parse(name))
            .collect();
        for extension in found.iter().flatten() {
            self.enabled.add(*extension);
        }
        Ok(TestKind::Constant(found.is_some()))
    }
}

pub(crate) fn is_envelope_part(name: &str) -> bool {
    ["from", "to", "auth"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name))
}

fn size(a: &mut Arguments) -> Result<TestKind> {
    let (over, under) = (a.number_of("over")?, a.number_of("under")?);
    match (over, under) {
        (Some((_, limit)), None) => Ok(TestKind::Size { over: true, limit }),
        (None, Some((_, limit))) => Ok(TestKind::Size { over: false, limit }),
        _ => Err(ScriptError::new(a.at, "\"size\" has not exactly one bound")
            .allowed(":over or :under with a number")),
    }
}

/// `+0130` as minutes.
fn minutes(at: Position, text: &str) -> Result<i32> {
    let wrong =
        || ScriptError::new(at, format!("\"{text}\" is no zone")).allowed("\"+hhmm\" or \"-hhmm\"");
    let (sign, digits) = match text.split_at_checked(1) {
        Some(("+", digits)) => (1, digits),
        Some(("-", digits)) => (-1, digits),
        _ => return Err(wrong()),
    };
    if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let value: i32 = digits.parse().map_err(|_| wrong())?;
    let (hours, minutes) = (value / 100, value % 100);
    if hours > 23 || minutes > 59 {
        return Err(wrong());
    }
    Ok(sign * (hours * 60 + minutes))
}
