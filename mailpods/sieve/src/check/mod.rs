//! Names and arguments of commands and tests: syntax becomes a program, or errors with their places.

mod arguments;
mod commands;
mod mime;
mod tests;

use crate::error::{Position, ScriptError};
use crate::extension::{CAPABILITIES, Enabled, Extension};
use crate::lexer;
use crate::limits::Limits;
use crate::program::{Block, Command, Script, Statement, Test, TestKind};
use crate::syntax::{self, Node, Value};
use crate::text::{Text, decode_characters};

use arguments::Arguments;
pub(crate) use arguments::is_header_name;
pub(crate) use tests::is_envelope_part;

/// Most errors that are told at once.
const MAX_ERRORS: usize = 20;

type Result<T> = std::result::Result<T, ScriptError>;

/// Checks a script.
///
/// # Errors
/// What is wrong in it: of the syntax the first error, of names and arguments up to 20.
pub fn compile(source: &[u8], limits: &Limits) -> std::result::Result<Script, Vec<ScriptError>> {
    let nodes = parse(source, limits).map_err(|error| vec![error])?;
    let mut checker = Checker {
        limits,
        enabled: Enabled::default(),
        errors: Vec::new(),
        labels: Vec::new(),
    };
    let (required, body) = checker.script(&nodes);
    if checker.errors.is_empty() {
        let uses_variables = checker.has(Extension::Variables);
        return Ok(Script {
            body,
            required,
            uses_variables,
        });
    }
    checker.errors.sort_by_key(|error| error.at);
    Err(checker.errors)
}

fn parse(source: &[u8], limits: &Limits) -> Result<Vec<Node>> {
    let start = Position { line: 1, column: 1 };
    if source.len() > limits.script_octets {
        let message = format!("the script has {} octets", source.len());
        return Err(ScriptError::new(start, message)
            .allowed(format!("{} octets at most", limits.script_octets)));
    }
    syntax::parse(lexer::utf8(source)?, limits)
}

pub(super) struct Checker<'a> {
    limits: &'a Limits,
    enabled: Enabled,
    errors: Vec<ScriptError>,
    /// Labels of the loops around the present command.
    labels: Vec<Option<String>>,
}

impl Checker<'_> {
    fn has(&self, extension: Extension) -> bool {
        self.enabled.has(extension)
    }

    fn need(&self, at: Position, what: &str, extension: Extension) -> Result<()> {
        if self.has(extension) {
            return Ok(());
        }
        let name = extension.name();
        Err(ScriptError::new(
            at,
            format!("{what} needs: require \"{name}\";"),
        ))
    }

    /// What it requires, and its commands.
    fn script(&mut self, nodes: &[Node]) -> (Enabled, Block) {
        let split = nodes
            .iter()
            .position(|node| node.name != "require")
            .unwrap_or(nodes.len());
        let (requires, rest) = nodes.split_at_checked(split).unwrap_or((nodes, &[]));
        for node in requires {
            if let Err(error) = self.require(node) {
                self.errors.push(error);
            }
        }
        // `ihave` enables more from here on.
        (self.enabled, self.block(rest))
    }

    /// RFC 5228 §3.2.
    fn require(&mut self, node: &Node) -> Result<()> {
        let mut arguments = Arguments::new(node)?;
        let names = arguments.names("the extensions")?;
        arguments.finish()?;
        for (at, name) in names {
            match Extension::parse(&name) {
                Some(extension) => self.enabled.add(extension),
                None => self.errors.push(
                    ScriptError::new(at, format!("extension \"{name}\" is not supported"))
                        .allowed(CAPABILITIES.join(", ")),
                ),
            }
        }
        Ok(())
    }

    /// The commands of a block. What is wrong is written down, and the rest is looked at too.
    fn block(&mut self, nodes: &[Node]) -> Block {
        let mut block = Block::new();
        let mut nodes = nodes.iter().peekable();
        while let Some(node) = nodes.next() {
            if self.errors.len() >= MAX_ERRORS {
                break;
            }
            let command = if node.name == "if" {
                let mut chain = vec![node];
                while let Some(next) =
                    nodes.next_if(|next| matches!(next.name.as_str(), "elsif" | "else"))
                {
                    chain.push(next);
                }
                self.conditional(&chain)
            } else {
                self.command(node)
            };
            match command {
                Ok(command) => block.push(Statement {
                    at: node.at,
                    command,
                }),
                Err(error) => self.errors.push(error),
            }
        }
        block
    }

    /// RFC 5228 §3.1. A branch that `ihave` switches off is not looked at (RFC 5463 §4).
    fn conditional(&mut self, chain: &[&Node]) -> Result<Command> {
        let mut branches = Vec::new();
        let mut otherwise = Block::new();
        let mut ended = None;
        for node in chain {
            if let Some(before) = ended {
                let message = format!("found \"{}\" after {before}", node.name);
                return Err(ScriptError::new(node.at, message).allowed("a new \"if\""));
            }
            let Some(body) = &node.block else {
                return Err(
                    ScriptError::new(node.at, format!("\"{}\" has no block", node.name))
                        .allowed("'{'"),
                );
            };
            if node.name == "else" {
                only_block(node)?;
                otherwise = self.block(body);
                ended = Some("\"else\"");
                continue;
            }
            let test = self.one_test(node)?;
            match test.kind {
                TestKind::Constant(false) if is_ihave(node) => {}
                TestKind::Constant(true) if is_ihave(node) => {
                    otherwise = self.block(body);
                    return Ok(Command::If {
                        branches,
                        otherwise,
                    });
                }
                _ => {
                    let body = self.block(body);
                    branches.push((test, body));
                }
            }
        }
        Ok(Command::If {
            branches,
            otherwise,
        })
    }

    /// The only test of a command or test.
    fn one_test(&mut self, node: &Node) -> Result<Test> {
        let [test] = node.tests.as_slice() else {
            let message = format!("\"{}\" has {} tests", node.name, node.tests.len());
            return Err(ScriptError::new(node.at, message).allowed("one test"));
        };
        if node.listed {
            let message = format!("\"{}\" has a list of tests", node.name);
            return Err(ScriptError::new(node.at, message).allowed("one test, or anyof or allof"));
        }
        no_arguments(node)?;
        self.test(test)
    }

    /// A string as the extensions in use understand it.
    fn text(&self, at: Position, text: String) -> Result<Text> {
        let text = if self.has(Extension::EncodedCharacter) {
            decode_characters(&text).map_err(|message| ScriptError::new(at, message))?
        } else {
            text
        };
        if self.has(Extension::Variables) {
            return Ok(Text::with_variables(&text, self.has(Extension::Include)));
        }
        Ok(Text::literal(text))
    }
}

/// Whether the node's test has `ihave` in it, so that it is decided now.
fn is_ihave(node: &Node) -> bool {
    node.tests
        .iter()
        .any(|test| test.name == "ihave" || is_ihave(test))
}

fn no_arguments(node: &Node) -> Result<()> {
    match node.arguments.first() {
        None => Ok(()),
        Some(argument) => {
            let shown = show(&argument.value);
            Err(ScriptError::new(
                argument.at,
                format!("\"{}\" takes no argument, found {shown}", node.name),
            ))
        }
    }
}

fn no_tests(node: &Node) -> Result<()> {
    match node.tests.first() {
        None if !node.listed => Ok(()),
        test => {
            let at = test.map_or(node.at, |test| test.at);
            Err(ScriptError::new(
                at,
                format!("\"{}\" takes no test", node.name),
            ))
        }
    }
}

fn only_block(node: &Node) -> Result<()> {
    no_arguments(node)?;
    no_tests(node)
}

fn show(value: &Value) -> String {
    match value {
        Value::Number(number) => format!("number {number}"),
        Value::Tag(tag) => format!("\":{tag}\""),
        Value::Text(text) => {
            let short: String = text.chars().filter(|c| !c.is_control()).take(30).collect();
            format!("string \"{short}\"")
        }
        Value::List(list) => format!("a list of {} strings", list.len()),
    }
}
