//! The `mailpods` command: roles and tools.
mod args;
mod commands;
mod failure;
mod mail;
mod output;
mod password;
mod plans;
mod session;
mod time;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = args::Args::parse();
    match args.run() {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(),
    }
}
