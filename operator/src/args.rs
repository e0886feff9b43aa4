//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use mailpods_operator::render;

/// Makes pods, Services, keys and DNS records of mail resources.
#[derive(Debug, Parser)]
#[command(name = "mailpods-operator", version, max_term_width = 120)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the CustomResourceDefinitions.
    Crds,
    /// Print every object and DNS record that the resources of a folder bring about.
    Render(Render),
}

#[derive(Debug, clap::Args)]
struct Render {
    /// Folder with YAML files.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// Image of the pods.
    #[arg(
        long,
        env = "MAILPODS_IMAGE",
        default_value = "ghcr.io/mailpods/mailpods:latest"
    )]
    image: String,
    /// Namespace of the operator.
    #[arg(long, env = "POD_NAMESPACE", default_value = "mailpods-system")]
    namespace: String,
}

impl Args {
    /// Does what was asked for.
    pub fn run(self) -> Result<ExitCode> {
        match self.command {
            Command::Crds => crds(),
            Command::Render(args) => rendered(&args),
        }
    }
}

fn crds() -> Result<ExitCode> {
    for file in mailpods_api::crds()? {
        print!("---\n{}", file.yaml);
    }
    Ok(ExitCode::SUCCESS)
}

fn rendered(args: &Render) -> Result<ExitCode> {
    let sources = render::read_folder(&args.folder)?;
    let surroundings = render::surroundings(&args.image, &args.namespace);
    let rendered = render::render(&sources, &surroundings)?;
    print!("{}", rendered.text);
    for problem in &rendered.problems {
        eprintln!("{problem}");
    }
    Ok(if rendered.problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
