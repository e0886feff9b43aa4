//! A real cluster, the image, and mail through both from end to end. `cargo xtask charts`, `cluster`, `image` and `e2e` start it.

mod binaries;
mod charts;
mod cluster;
mod command;
mod image;
mod kubectl;
mod scenarios;
mod wait;
mod world;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// What xtask asks for.
#[derive(Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Start, stop or show the cluster for tests.
    Cluster {
        #[command(subcommand)]
        action: Action,
    },
    /// Check the charts, and what the operator makes, against the schemas of the kinds.
    Charts,
    /// Build the container image, without Docker.
    Image(image::Options),
    /// Mail through a real cluster, from end to end.
    E2e(scenarios::Options),
    /// Print where programs in Go are that are built once for a machine, one a line.
    #[command(hide = true)]
    Program {
        /// As in e2e/binaries.
        names: Vec<String>,
    },
    /// Give addresses to Services of type LoadBalancer.
    #[command(hide = true)]
    Balancer(cluster::balancer::Options),
}

#[derive(Subcommand)]
enum Action {
    /// Start it and wait until pods can run.
    Up(cluster::Choice),
    /// Stop it and remove all that was made for it.
    Down(cluster::Choice),
    /// Show what runs.
    Status(cluster::Choice),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Cluster { action } => act(&action),
        Task::Charts => charts::check(),
        Task::Image(options) => image::run(&options),
        Task::E2e(options) => scenarios::run(&options),
        Task::Program { names } => {
            for name in names {
                println!("{}", binaries::program(&name)?.display());
            }
            Ok(())
        }
        Task::Balancer(options) => cluster::balancer::serve(&options),
    }
}

fn act(action: &Action) -> anyhow::Result<()> {
    match action {
        Action::Up(options) => {
            let cluster = options.cluster()?;
            cluster.up()?;
            println!("export KUBECONFIG={}", cluster.kubeconfig().display());
            Ok(())
        }
        Action::Down(options) => {
            let cluster = options.cluster()?;
            world::end(&cluster)?;
            cluster.down()
        }
        Action::Status(options) => options.cluster()?.status(),
    }
}

/// The root of the workspace.
fn root() -> PathBuf {
    let mut folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    folder.pop();
    folder
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Arguments::command().debug_assert();
    }
}
