//! Commands over MIME parts (RFC 5703).

use super::arguments::Arguments;
use super::{Checker, Result, no_tests};
use crate::error::ScriptError;
use crate::extension::Extension;
use crate::program::Command;
use crate::syntax::Node;

impl Checker<'_> {
    /// RFC 5703 §3.
    pub(super) fn for_every_part(&mut self, node: &Node) -> Result<Command> {
        no_tests(node)?;
        let mut arguments = Arguments::of(node);
        let label = arguments.string_of("name")?.map(|(_, name)| name);
        arguments.finish()?;
        let Some(body) = &node.block else {
            return Err(ScriptError::new(node.at, "\"foreverypart\" has no block").allowed("'{'"));
        };
        self.labels.push(label.clone());
        let body = self.block(body);
        self.labels.pop();
        Ok(Command::ForEveryPart { label, body })
    }

    pub(super) fn break_loop(&mut self, node: &Node) -> Result<Command> {
        let mut arguments = Arguments::new(node)?;
        let label = arguments.string_of("name")?;
        arguments.finish()?;
        self.inside_loop(node)?;
        match label {
            None => Ok(Command::Break { label: None }),
            Some((at, name)) if !self.labels.contains(&Some(name.clone())) => Err(
                ScriptError::new(at, format!("no loop around has the name \"{name}\"")),
            ),
            Some((_, name)) => Ok(Command::Break { label: Some(name) }),
        }
    }

    fn inside_loop(&self, node: &Node) -> Result<()> {
        if self.labels.is_empty() {
            let message = format!("\"{}\" stands outside of a loop", node.name);
            return Err(ScriptError::new(node.at, message).allowed("inside of foreverypart"));
        }
        Ok(())
    }

    /// RFC 5703 §7.
    pub(super) fn extract_text(&mut self, node: &Node) -> Result<Command> {
        self.need(node.at, "command \"extracttext\"", Extension::Variables)?;
        self.inside_loop(node)?;
        let mut arguments = Arguments::new(node)?;
        let first = arguments.number_of("first")?.map(|(_, number)| number);
        let modifiers = self.modifiers(&mut arguments)?;
        let (at, name) = arguments.string("the variable")?;
        let variable = self.variable(at, &name)?;
        arguments.finish()?;
        Ok(Command::ExtractText {
            first,
            variable,
            modifiers,
        })
    }

    /// RFC 5703 §5.
    pub(super) fn replace(&mut self, node: &Node) -> Result<Command> {
        let mut arguments = Arguments::new(node)?;
        let mime = arguments.tag("mime");
        let subject = arguments.text_of(self, "subject")?;
        let from = arguments.text_of(self, "from")?;
        let text = arguments.text(self, "the text")?;
        arguments.finish()?;
        Ok(Command::Replace {
            mime,
            subject,
            from,
            text,
        })
    }

    /// RFC 5703 §6.
    pub(super) fn enclose(&mut self, node: &Node) -> Result<Command> {
        let mut arguments = Arguments::new(node)?;
        let subject = arguments.text_of(self, "subject")?;
        let headers = arguments.texts_of(self, "headers")?.unwrap_or_default();
        let text = arguments.text(self, "the text")?;
        arguments.finish()?;
        Ok(Command::Enclose {
            subject,
            headers,
            text,
        })
    }
}
