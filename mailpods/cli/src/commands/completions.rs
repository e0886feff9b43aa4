//! `mailpods completions`
use std::io::Write as _;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::failure::{Exit, Outcome};

const EXAMPLES: &str = "\
Examples:
  mailpods completions bash > /etc/bash_completion.d/mailpods
  mailpods completions zsh > \"${fpath[1]}/_mailpods\"
  mailpods completions fish > ~/.config/fish/completions/mailpods.fish";

/// Print the completions of a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Which shell.
    shell: Shell,
}

impl Args {
    pub fn run(self) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(
            self.shell,
            &mut crate::args::Args::command(),
            "mailpods",
            &mut script,
        );
        std::io::stdout().lock().write_all(&script)?;
        Ok(Exit::Done)
    }
}
