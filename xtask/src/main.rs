//! The project's own tasks. Run as `cargo xtask NAME`.

mod bench;
mod crds;
mod packages;
mod run;
mod tidy;

use clap::{Parser, Subcommand};

/// The project's own tasks.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Check what the compiler does not: import rules, sizes, RFC references, licences, documents.
    Tidy,
    /// Write crds/ from the Rust types.
    Crds {
        /// Only compare; fail when they differ.
        #[arg(long)]
        check: bool,
    },
    /// Run the tests of all crates, the whole-process tests and a short fuzz run.
    Test {
        /// Given to `cargo test`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measure against the peers, side by side.
    Bench {
        /// Given to the benchmark program; `--help` tells.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Everything that must pass before a change lands: format, tidy, clippy, tests, fuzz.
    Ci,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Tidy => tidy::run(),
        Task::Crds { check } => crds::run(check),
        Task::Test { arguments } => run::test(&arguments),
        Task::Bench { arguments } => bench::run(&arguments),
        Task::Ci => run::ci(),
    }
}
