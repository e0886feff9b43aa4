//! Sieve (RFC 5228) and its extensions: scripts are checked once, and run over messages as a pure function.
//!
//! Nothing here opens a socket or a file, or reads a clock. Time and randomness come in with the [`Input`]; what only the caller
//! can know (is there such a mailbox, was this message seen before) is a [`Question`]: [`run`] returns it, the caller puts the
//! answer into [`Answers`] and runs again. A run is deterministic, so that it comes to the same place and goes on.
//!
//! - [`compile`] turns text into a [`Script`], or says at which line and column it is wrong, and what is allowed there.
//! - [`run`] turns scripts and a message into [`Action`]s. Whatever a script or message contains, time and memory are bounded by
//!   [`Limits`]; a script that reaches one ends with an error, and the message is kept.

mod action;
mod answers;
mod check;
mod compare;
mod compose;
mod error;
mod extension;
pub mod fuzzing;
mod input;
mod lexer;
mod limits;
mod mailto;
mod program;
mod run;
mod syntax;
mod text;

pub use action::{Action, FileInto, Notification, Outcome, Reply, TraceLine, Version};
pub use answers::{Answers, Question};
pub use check::compile;
pub use error::{Position, RunError, ScriptError};
pub use extension::{CAPABILITIES, Extension};
pub use input::{Envelope, Input, Library, Location, NoLibrary};
pub use limits::Limits;
pub use program::{Include, Script};
pub use run::{Progress, Stage, run, run_with_after};
