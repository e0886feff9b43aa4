//! Tokens to commands, tests and arguments, whatever their names (RFC 5228 §8.2).

use crate::error::{Position, ScriptError};
use crate::lexer::{Lexer, Token};
use crate::limits::Limits;

/// A string and where it starts.
pub(crate) type Located = (Position, String);

/// An argument.
#[derive(Clone, Debug)]
pub(crate) struct Argument {
    pub(crate) at: Position,
    pub(crate) value: Value,
}

/// What an argument is.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Number(u64),
    Tag(String),
    Text(String),
    List(Vec<Located>),
}

/// A command or a test.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) name: String,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) tests: Vec<Node>,
    /// The tests stand in parentheses.
    pub(crate) listed: bool,
    /// The block of a command; `None`: it ended with `;`.
    pub(crate) block: Option<Vec<Node>>,
}

type Result<T> = std::result::Result<T, ScriptError>;

/// The commands of a script.
pub(crate) fn parse(source: &str, limits: &Limits) -> Result<Vec<Node>> {
    let mut lexer = Lexer::new(source);
    let (at, token) = lexer.next()?;
    let mut parser = Parser {
        lexer,
        at,
        token,
        depth: 0,
        limits,
    };
    let commands = parser.commands()?;
    match parser.token {
        Token::End => Ok(commands),
        _ => Err(parser.unexpected("a command")),
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    at: Position,
    token: Token,
    depth: usize,
    limits: &'a Limits,
}

impl Parser<'_> {
    fn advance(&mut self) -> Result<Token> {
        let (at, token) = self.lexer.next()?;
        self.at = at;
        Ok(std::mem::replace(&mut self.token, token))
    }

    fn is_mark(&self, mark: char) -> bool {
        self.token == Token::Mark(mark)
    }

    fn unexpected(&self, allowed: &str) -> ScriptError {
        ScriptError::new(self.at, format!("found {}", self.token.show())).allowed(allowed)
    }

    fn expect(&mut self, mark: char, allowed: &str) -> Result<()> {
        if !self.is_mark(mark) {
            return Err(self.unexpected(allowed));
        }
        self.advance().map(drop)
    }

    fn deeper(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > self.limits.nesting {
            let message = format!("nested deeper than {}", self.limits.nesting);
            return Err(ScriptError::new(self.at, message));
        }
        Ok(())
    }

    fn commands(&mut self) -> Result<Vec<Node>> {
        let mut commands = Vec::new();
        while let Token::Word(_) = self.token {
            commands.push(self.command()?);
        }
        Ok(commands)
    }

    fn command(&mut self) -> Result<Node> {
        let mut node = self.node()?;
        if self.is_mark('{') {
            self.deeper()?;
            self.advance()?;
            node.block = Some(self.commands()?);
            self.expect('}', "a command or '}'")?;
            self.depth -= 1;
        } else {
            let allowed = if node.tests.is_empty() {
                "an argument, ';' or a block"
            } else {
                "';' or a block"
            };
            self.expect(';', allowed)?;
        }
        Ok(node)
    }

    /// A name, its arguments, and its tests.
    fn node(&mut self) -> Result<Node> {
        let at = self.at;
        let Token::Word(name) = self.advance()? else {
            return Err(self.unexpected("a name"));
        };
        let mut node = Node {
            at,
            name,
            arguments: self.arguments()?,
            tests: Vec::new(),
            listed: false,
            block: None,
        };
        self.deeper()?;
        match self.token {
            Token::Word(_) => node.tests.push(self.node()?),
            Token::Mark('(') => {
                node.listed = true;
                node.tests = self.test_list()?;
            }
            _ => {}
        }
        self.depth -= 1;
        Ok(node)
    }

    fn test_list(&mut self) -> Result<Vec<Node>> {
        self.advance()?;
        let mut tests = Vec::new();
        loop {
            let Token::Word(_) = self.token else {
                return Err(self.unexpected("a test"));
            };
            tests.push(self.node()?);
            if !self.is_mark(',') {
                break;
            }
            self.advance()?;
        }
        self.expect(')', "',' or ')'")?;
        Ok(tests)
    }

    fn arguments(&mut self) -> Result<Vec<Argument>> {
        let mut arguments = Vec::new();
        loop {
            let at = self.at;
            let value = match &self.token {
                Token::Mark('[') => Value::List(self.list()?),
                Token::Number(_) | Token::Tag(_) | Token::Text(_) => match self.advance()? {
                    Token::Number(number) => Value::Number(number),
                    Token::Tag(tag) => Value::Tag(tag),
                    Token::Text(text) => Value::Text(text),
                    Token::Word(_) | Token::Mark(_) | Token::End => return Ok(arguments),
                },
                Token::Word(_) | Token::Mark(_) | Token::End => return Ok(arguments),
            };
            arguments.push(Argument { at, value });
        }
    }

    fn list(&mut self) -> Result<Vec<Located>> {
        self.advance()?;
        let mut strings = Vec::new();
        loop {
            let at = self.at;
            let Token::Text(_) = self.token else {
                return Err(self.unexpected("a string"));
            };
            if let Token::Text(text) = self.advance()? {
                strings.push((at, text));
            }
            if strings.len() > self.limits.list_strings {
                let message = format!("more than {} strings", self.limits.list_strings);
                return Err(ScriptError::new(at, message));
            }
            if !self.is_mark(',') {
                break;
            }
            self.advance()?;
        }
        self.expect(']', "',' or ']'")?;
        Ok(strings)
    }
}
