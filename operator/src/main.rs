//! The `mailpods-operator` command.

mod args;

use std::process::ExitCode;

use clap::Parser as _;
use mimalloc::MiMalloc;

/// Compiling makes and drops hundreds of thousands of small values beside those that stay; this allocator gives their memory back.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match args::Args::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("mailpods-operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}
