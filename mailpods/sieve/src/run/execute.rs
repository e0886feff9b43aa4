//! Commands.

use super::{Halt, Result, Run, fail};
use crate::program::{Block, Command, FlagChange, Statement, Test};
use crate::text::Text;

use super::deliver::deduplicate;

impl Run<'_> {
    pub(super) fn block(&mut self, block: &Block) -> Result<()> {
        block
            .iter()
            .try_for_each(|statement| self.statement(statement))
    }

    fn statement(&mut self, statement: &Statement) -> Result<()> {
        self.at = statement.at;
        self.charge(0)?;
        match &statement.command {
            Command::If {
                branches,
                otherwise,
            } => self.conditional(branches, otherwise),
            Command::Stop => {
                self.note(|| "stop".to_owned());
                Err(Halt::Stop)
            }
            Command::Return => Err(Halt::Return),
            Command::Break { label } => Err(Halt::Break(label.clone())),
            Command::Error(text) => {
                let text = self.expand(text)?;
                fail(text)
            }
            Command::Keep { flags } => self.explicit_keep(flags.as_deref()),
            Command::Discard => self.discard(),
            Command::FileInto(command) => self.file_into(command),
            Command::Redirect { to, copy, list } => self.redirect(to, *copy, *list),
            Command::Reject { reason, extended } => self.reject(reason, *extended),
            Command::Vacation(command) => self.vacation(command),
            Command::Notify(command) => self.notify(command),
            Command::Flag {
                change,
                variable,
                flags,
            } => self.flag(*change, variable.as_deref(), flags),
            Command::Set {
                variable,
                value,
                modifiers,
            } => {
                let value = self.expand(value)?;
                self.set(variable, value, modifiers)
            }
            Command::Global(names) => {
                self.variables.globals.extend(names.iter().cloned());
                Ok(())
            }
            Command::Include {
                location,
                name,
                once,
                optional,
            } => self.include(*location, name, *once, *optional),
            Command::AddHeader { name, value, last } => self.add_header(name, value, *last),
            Command::DeleteHeader {
                name,
                index,
                values,
            } => self.delete_header(name, *index, values.as_ref()),
            Command::ForEveryPart { label, body } => self.for_every_part(label.as_deref(), body),
            Command::ExtractText {
                first,
                variable,
                modifiers,
            } => self.extract_text(*first, variable, modifiers),
            Command::Replace {
                mime,
                subject,
                from,
                text,
            } => self.replace(*mime, subject.as_ref(), from.as_ref(), text),
            Command::Enclose {
                subject,
                headers,
                text,
            } => self.enclose(subject.as_ref(), headers, text),
        }
    }

    fn conditional(&mut self, branches: &[(Test, Block)], otherwise: &Block) -> Result<()> {
        for (test, body) in branches {
            if self.test(test)? {
                return self.block(body);
            }
        }
        self.block(otherwise)
    }

    /// RFC 5232 §3.
    fn flag(&mut self, change: FlagChange, variable: Option<&str>, flags: &[Text]) -> Result<()> {
        let mut named = self.flag_list(flags)?;
        let mut present = self.flags_of(variable);
        match change {
            FlagChange::Set => present = std::mem::take(&mut named),
            FlagChange::Add => present.append(&mut named),
            FlagChange::Remove => {
                present.retain(|flag| !named.iter().any(|gone| gone.eq_ignore_ascii_case(flag)))
            }
        }
        deduplicate(&mut present);
        self.note(|| format!("flags are now \"{}\"", present.join(" ")));
        match variable {
            None => self.flags = present,
            Some(name) => self.assign(name, present.join(" "))?,
        }
        Ok(())
    }

    /// The flags in a variable, or those of the internal one.
    pub(super) fn flags_of(&self, variable: Option<&str>) -> Vec<String> {
        match variable {
            None => self.flags.clone(),
            Some(name) => self
                .variable(name)
                .split_ascii_whitespace()
                .map(str::to_owned)
                .collect(),
        }
    }

    /// The flags in strings: each string may hold several (RFC 5232 §2). What is no flag is passed over.
    pub(super) fn flag_list(&mut self, texts: &[Text]) -> Result<Vec<String>> {
        let mut flags = Vec::new();
        for text in texts {
            let text = self.expand(text)?;
            flags.extend(
                text.split_ascii_whitespace()
                    .filter(|flag| is_flag(flag))
                    .map(str::to_owned),
            );
            if flags.len() > MAX_FLAGS {
                return fail(format!("more than {MAX_FLAGS} flags"));
            }
        }
        deduplicate(&mut flags);
        Ok(flags)
    }
}

/// Most flags of one message.
const MAX_FLAGS: usize = 100;
const SYSTEM_FLAGS: [&str; 5] = ["\\answered", "\\flagged", "\\deleted", "\\seen", "\\draft"];

/// RFC 9051 §9: a flag of the system (but \Recent) or a keyword.
fn is_flag(flag: &str) -> bool {
    if flag.starts_with('\\') {
        return SYSTEM_FLAGS
            .iter()
            .any(|known| known.eq_ignore_ascii_case(flag));
    }
    flag.len() <= 100
        && flag
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"(){%*\"\\]".contains(&byte))
}
