//! Commands.

use super::arguments::{Arguments, header_name};
use super::{Checker, Result, no_arguments, no_tests};
use crate::error::{Position, ScriptError};
use crate::extension::Extension;
use crate::input::Location;
use crate::mailto;
use crate::program::{
    Command, FileIntoCommand, FlagChange, Modifier, NotifyCommand, VacationCommand, Variable,
};
use crate::syntax::Node;
use crate::text::is_identifier;

const DAY: u64 = 86_400;
/// RFC 5230 §4.1: a site may bound the period.
const MAX_DAYS: u64 = 365;
/// RFC 6131 §2: shorter periods would let two machines talk to each other at speed.
const MIN_SECONDS: u64 = 60;

/// Commands of extensions.
const OF_EXTENSIONS: [(&str, Extension); 20] = [
    ("addheader", Extension::EditHeader),
    ("addflag", Extension::Imap4Flags),
    ("break", Extension::ForEveryPart),
    ("deleteheader", Extension::EditHeader),
    ("enclose", Extension::Enclose),
    ("ereject", Extension::Ereject),
    ("error", Extension::Ihave),
    ("extracttext", Extension::ExtractText),
    ("fileinto", Extension::FileInto),
    ("foreverypart", Extension::ForEveryPart),
    ("global", Extension::Include),
    ("include", Extension::Include),
    ("notify", Extension::Enotify),
    ("reject", Extension::Reject),
    ("removeflag", Extension::Imap4Flags),
    ("replace", Extension::Replace),
    ("return", Extension::Include),
    ("set", Extension::Variables),
    ("setflag", Extension::Imap4Flags),
    ("vacation", Extension::Vacation),
];

/// RFC 5228 §4: part of every script.
const CORE: &str = "if, require, stop, keep, discard, redirect, and those of required extensions";

impl Checker<'_> {
    pub(super) fn command(&mut self, node: &Node) -> Result<Command> {
        let extension = OF_EXTENSIONS.iter().find(|(name, _)| *name == node.name);
        if let Some((name, extension)) = extension {
            self.need(node.at, &format!("command \"{name}\""), *extension)?;
        }
        match node.name.as_str() {
            "stop" => bare(node).map(|()| Command::Stop),
            "return" => bare(node).map(|()| Command::Return),
            "discard" => bare(node).map(|()| Command::Discard),
            "keep" => self.keep(node),
            "redirect" => self.redirect(node),
            "fileinto" => self.file_into(node),
            "reject" | "ereject" => self.reject(node),
            "vacation" => self.vacation(node),
            "notify" => self.notify(node),
            "setflag" => self.flag(node, FlagChange::Set),
            "addflag" => self.flag(node, FlagChange::Add),
            "removeflag" => self.flag(node, FlagChange::Remove),
            "set" => self.set(node),
            "global" => self.global(node),
            "include" => self.include(node),
            "error" => self.error(node),
            "addheader" => self.add_header(node),
            "deleteheader" => self.delete_header(node),
            "foreverypart" => self.for_every_part(node),
            "break" => self.break_loop(node),
            "extracttext" => self.extract_text(node),
            "replace" => self.replace(node),
            "enclose" => self.enclose(node),
            name => Err(unknown(node.at, name)),
        }
    }

    fn keep(&self, node: &Node) -> Result<Command> {
        let mut arguments = Arguments::new(node)?;
        let flags = self.flags_tag(&mut arguments)?;
        arguments.finish()?;
        Ok(Command::Keep { flags })
    }

    /// `:flags` (RFC 5232 §5).
    fn flags_tag(&self, arguments: &mut Arguments) -> Result<Option<Vec<crate::text::Text>>> {
        let flags = arguments.texts_of(self, "flags")?;
        if flags.is_some() {
            self.need(arguments.at, "\":flags\"", Extension::Imap4Flags)?;
        }
        Ok(flags)
    }

    /// RFC 5228 §4.2; `:copy` by RFC 3894 §3, `:list` by RFC 6134 §2.7.
    fn redirect(&self, node: &Node) -> Result<Command> {
        let mut arguments = Arguments::new(node)?;
        let copy = arguments.tag_of(self, "copy", Extension::Copy)?;
        let list = arguments.tag_of(self, "list", Extension::ExtLists)?;
        let (at, address) = arguments.string("the address")?;
        arguments.finish()?;
        let to = self.text(at, address)?;
        match to.constant() {
            Some(address) if !list && mailto::address(address).is_none() => {
                let shown: String = address.escape_default().take(80).collect();
                Err(ScriptError::new(at, format!("\"{shown}\" is no address"))
                    .allowed("local@domain"))
            }
            _ => Ok(Command::Redirect { to, copy, list }),
        }
    }

    fn file_into(&self, node: &Node) -> Result<Command> {
        let mut arguments = Arguments::new(node)?;
        let copy = arguments.tag_of(self, "copy", Extension::Copy)?;
        let create = arguments.tag_of(self, "create", Extension::Mailbox)?;
        let flags = self.flags_tag(&mut arguments)?;
        let special_use = arguments.text_of(self, "specialuse")?;
        let mailbox_id = arguments.text_of(self, "mailboxid")?;
        if special_use.is_some() {
            self.need(node.at, "\":specialuse\"", Extension::SpecialUse)?;
        }
        if mailbox_id.is_some() {
            self.need(node.at, "\":mailboxid\"", Extension::MailboxId)?;
        }
        // RFC 9042 §4.1.
        if special_use.is_some() && mailbox_id.is_some() {
            return Err(ScriptError::new(
                node.at,
                "\":specialuse\" and \":mailboxid\" exclude each other",
            ));
        }
        let mailbox = arguments.text(self, "the mailbox")?;
        arguments.finish()?;
        Ok(Command::FileInto(Box::new(FileIntoCommand {
            mailbox,
            copy,
            create,
            flags,
            special_use,
            mailbox_id,
        })))
    }

    fn reject(&self, node: &Node) -> Result<Command> {
        let mut arguments = Arguments::new(node)?;
        let reason = arguments.text(self, "the reason")?;
        arguments.finish()?;
        Ok(Command::Reject {
            reason,
            extended: node.name == "ereject",
        })
    }

    fn vacation(&self, node: &Node) -> Result<Command> {
        let mut arguments = Arguments::new(node)?;
        let days = arguments.number_of("days")?;
        let exact = arguments.number_of("seconds")?;
        if let Some((at, _)) = exact {
            self.need(at, "\":seconds\"", Extension::VacationSeconds)?;
        }
        if let (Some(_), Some((at, _))) = (days, exact) {
            return Err(
                ScriptError::new(at, "\":seconds\" stands beside \":days\"").allowed("one of them")
            );
        }
        let of_days = days.map(|(_, days)| days.clamp(1, MAX_DAYS) * DAY);
        let seconds = exact
            .map(|(_, seconds)| seconds.clamp(MIN_SECONDS, MAX_DAYS * DAY))
            .or(of_days);
        let subject = arguments.text_of(self, "subject")?;
        let from = arguments.text_of(self, "from")?;
        let addresses = arguments.texts_of(self, "addresses")?.unwrap_or_default();
        let mime = arguments.tag("mime");
        let handle = arguments.text_of(self, "handle")?;
        let reason = arguments.text(self, "the reason")?;
        arguments.finish()?;
        Ok(Command::Vacation(Box::new(VacationCommand {
            seconds,
            subject,
            from,
            addresses,
            mime,
            handle,
            reason,
        })))
    }

    fn notify(&self, node: &Node) -> Result<Command> {
        let mut arguments = Arguments::new(node)?;
        let from = arguments.text_of(self, "from")?;
        let importance = self.importance(&mut arguments)?;
        let options = arguments.texts_of(self, "options")?.unwrap_or_default();
        let message = arguments.text_of(self, "message")?;
        let (at, method) = arguments.string("the method")?;
        arguments.finish()?;
        let method = self.text(at, method)?;
        if let Some(Err(error)) = method.constant().map(mailto::parse) {
            return Err(ScriptError::new(at, error).allowed("mailto:local@domain"));
        }
        Ok(Command::Notify(Box::new(NotifyCommand {
            from,
            importance,
            options,
            message,
            method,
        })))
    }

    /// RFC 5435 §3.4.
    fn importance(&self, arguments: &mut Arguments) -> Result<Option<crate::text::Text>> {
        let Some((at, text)) = arguments.string_of("importance")? else {
            return Ok(None);
        };
        let text = self.text(at, text)?;
        match text.constant() {
            Some(constant) if !matches!(constant, "1" | "2" | "3") => {
                Err(ScriptError::new(at, format!("importance \"{constant}\""))
                    .allowed("\"1\", \"2\", \"3\""))
            }
            _ => Ok(Some(text)),
        }
    }

    /// RFC 5232 §3: with two arguments the first is a variable, which needs `variables`.
    fn flag(&self, node: &Node, change: FlagChange) -> Result<Command> {
        let mut arguments = Arguments::new(node)?;
        let variable = if arguments.positional() > 1 {
            let (at, name) = arguments.string("the variable")?;
            Some(self.flag_variable(at, &name)?)
        } else {
            None
        };
        let flags = arguments.texts(self, "the flags")?;
        arguments.finish()?;
        Ok(Command::Flag {
            change,
            variable,
            flags,
        })
    }

    pub(super) fn flag_variable(&self, at: Position, name: &str) -> Result<String> {
        self.need(at, "a variable of flags", Extension::Variables)?;
        if !is_identifier(name) {
            return Err(no_variable(at, name));
        }
        Ok(name.to_ascii_lowercase())
    }

    /// RFC 5229 §4.
    fn set(&self, node: &Node) -> Result<Command> {
        let mut arguments = Arguments::new(node)?;
        let modifiers = self.modifiers(&mut arguments)?;
        let (at, name) = arguments.string("the variable")?;
        let variable = self.variable(at, &name)?;
        let value = arguments.text(self, "the value")?;
        arguments.finish()?;
        Ok(Command::Set {
            variable,
            value,
            modifiers,
        })
    }

    pub(super) fn modifiers(&self, arguments: &mut Arguments) -> Result<Vec<Modifier>> {
        let mut modifiers: Vec<Modifier> = Vec::new();
        for (name, modifier, extension) in [
            ("lower", Modifier::Lower, Extension::Variables),
            ("upper", Modifier::Upper, Extension::Variables),
            ("lowerfirst", Modifier::LowerFirst, Extension::Variables),
            ("upperfirst", Modifier::UpperFirst, Extension::Variables),
            (
                "quotewildcard",
                Modifier::QuoteWildcard,
                Extension::Variables,
            ),
            ("quoteregex", Modifier::QuoteRegex, Extension::Regex),
            ("encodeurl", Modifier::EncodeUrl, Extension::Enotify),
            ("length", Modifier::Length, Extension::Variables),
        ] {
            if !arguments.tag_of(self, name, extension)? {
                continue;
            }
            if modifiers
                .iter()
                .any(|other| other.precedence() == modifier.precedence())
            {
                let message = format!("\":{name}\" is a second modifier of its precedence");
                return Err(
                    ScriptError::new(arguments.at, message).allowed("one of each precedence")
                );
            }
            modifiers.push(modifier);
        }
        Ok(modifiers)
    }

    /// A variable that is written to.
    pub(super) fn variable(&self, at: Position, name: &str) -> Result<Variable> {
        if is_identifier(name) {
            return Ok(Variable::Local(name.to_ascii_lowercase()));
        }
        match name.split_once('.') {
            Some((space, name)) if space.eq_ignore_ascii_case("global") && is_identifier(name) => {
                self.need(at, "\"global.\"", Extension::Include)?;
                Ok(Variable::Global(name.to_ascii_lowercase()))
            }
            _ => Err(no_variable(at, name)),
        }
    }

    /// RFC 6609 §3.4.
    fn global(&self, node: &Node) -> Result<Command> {
        self.need(node.at, "command \"global\"", Extension::Variables)?;
        let mut arguments = Arguments::new(node)?;
        let names = arguments.names("the variables")?;
        arguments.finish()?;
        let name = |(at, name): (Position, String)| {
            if is_identifier(&name) {
                Ok(name.to_ascii_lowercase())
            } else {
                Err(no_variable(at, &name))
            }
        };
        names
            .into_iter()
            .map(name)
            .collect::<Result<_>>()
            .map(Command::Global)
    }

    /// RFC 6609 §3.2: the name is constant.
    fn include(&self, node: &Node) -> Result<Command> {
        let mut arguments = Arguments::new(node)?;
        let (personal, global) = (arguments.tag("personal"), arguments.tag("global"));
        if personal && global {
            return Err(
                ScriptError::new(node.at, "both \":personal\" and \":global\"")
                    .allowed("one of them"),
            );
        }
        let (once, optional) = (arguments.tag("once"), arguments.tag("optional"));
        let (at, name) = arguments.string("the script's name")?;
        arguments.finish()?;
        if self.text(at, name.clone())?.constant().is_none() {
            return Err(
                ScriptError::new(at, "the name of a script has a variable in it")
                    .allowed("a constant name"),
            );
        }
        let location = if global {
            Location::Global
        } else {
            Location::Personal
        };
        Ok(Command::Include {
            location,
            name,
            once,
            optional,
        })
    }

    fn error(&self, node: &Node) -> Result<Command> {
        let mut arguments = Arguments::new(node)?;
        let text = arguments.text(self, "the message")?;
        arguments.finish()?;
        Ok(Command::Error(text))
    }

    /// RFC 5293 §4.
    fn add_header(&self, node: &Node) -> Result<Command> {
        let mut arguments = Arguments::new(node)?;
        let last = arguments.tag("last");
        let (at, name) = arguments.string("the header name")?;
        let name = header_name(self, at, name)?;
        let value = arguments.text(self, "the value")?;
        arguments.finish()?;
        Ok(Command::AddHeader { name, value, last })
    }

    /// RFC 5293 §5.
    fn delete_header(&self, node: &Node) -> Result<Command> {
        let mut arguments = Arguments::new(node)?;
        let index = arguments.index(self)?;
        let spec = arguments.matching(self)?;
        let (at, name) = arguments.string("the header name")?;
        let name = header_name(self, at, name)?;
        let values = if arguments.positional() > 0 {
            Some(arguments.keys(self, spec, "the values")?)
        } else {
            None
        };
        arguments.finish()?;
        Ok(Command::DeleteHeader {
            name,
            index,
            values,
        })
    }
}

fn bare(node: &Node) -> Result<()> {
    no_arguments(node)?;
    no_tests(node)?;
    match node.block {
        None => Ok(()),
        Some(_) => {
            Err(ScriptError::new(node.at, format!("\"{}\" has a block", node.name)).allowed("';'"))
        }
    }
}

fn no_variable(at: Position, name: &str) -> ScriptError {
    let shown: String = name.escape_default().take(40).collect();
    ScriptError::new(at, format!("\"{shown}\" is no name of a variable"))
        .allowed("letters, digits, '_'")
}

fn unknown(at: Position, name: &str) -> ScriptError {
    match name {
        "require" => ScriptError::new(at, "\"require\" stands after another command")
            .allowed("at the top of the script"),
        "elsif" | "else" => {
            ScriptError::new(at, format!("\"{name}\" stands without an \"if\" before it"))
        }
        _ => ScriptError::new(at, format!("unknown command \"{name}\"")).allowed(CORE),
    }
}
