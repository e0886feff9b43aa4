//! The project's own tasks. Run as `cargo xtask NAME`.

mod bench;
mod crds;
mod e2e;
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
    /// Compare ways of sending in virtual time: policies against round-robin and fixed limits.
    Simulate {
        /// `--messages N`, `--seed N`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Check the charts, and what the operator makes, against the schemas of the kinds; no cluster is needed.
    Charts,
    /// Start, stop or show a cluster for tests: `up`, `down`, `status`.
    Cluster {
        /// See `cargo xtask cluster help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Build the container image, without Docker.
    Image {
        /// See `cargo xtask image --help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Mail through a real cluster, from end to end.
    E2e {
        /// See `cargo xtask e2e --help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Everything that must pass before a change lands: format, tidy, clippy, tests, fuzz, and mail through a real cluster.
    Ci,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Tidy => tidy::run(),
        Task::Crds { check } => crds::run(check),
        Task::Test { arguments } => run::test(&arguments),
        Task::Bench { arguments } => bench::run(&arguments),
        Task::Simulate { arguments } => bench::simulate(&arguments),
        Task::Charts => e2e::charts(),
        Task::Cluster { arguments } => e2e::cluster(&arguments),
        Task::Image { arguments } => e2e::image(&arguments),
        Task::E2e { arguments } => e2e::run(&arguments),
        Task::Ci => run::ci(),
    }
}
