//! The `mailpods-operator` command.

mod args;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match args::Args::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("mailpods-operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}
