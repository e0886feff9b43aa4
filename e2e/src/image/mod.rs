//! Container images without Docker.

pub mod archive;
mod build;
pub mod hand_made;

pub use build::plugin;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use crate::cluster;

pub use build::program;

/// Options of `cargo xtask image`.
#[derive(Args)]
pub struct Options {
    /// Name of the image.
    #[arg(long, default_value = NAME)]
    name: String,
    /// Tag of the image.
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    tag: String,
    /// The archive; target/image/mailpods-TAG.tar when left out.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Load it into the cluster that runs.
    #[arg(long)]
    load: bool,
    #[command(flatten)]
    cluster: cluster::Choice,
}

/// What the chart pulls unless told otherwise.
pub const NAME: &str = "ghcr.io/mailpods/mailpods";

/// Name and tag of this version.
pub fn reference() -> String {
    format!("{NAME}:{}", env!("CARGO_PKG_VERSION"))
}

/// Builds the image, writes it, and loads it where asked.
pub fn run(options: &Options) -> Result<()> {
    let reference = format!("{}:{}", options.name, options.tag);
    let output = match &options.output {
        Some(file) => file.clone(),
        None => crate::root().join(format!("target/image/mailpods-{}.tar", options.tag)),
    };
    let id = write(&reference, &output)?;
    println!("{reference} {id}");
    println!("{}", output.display());
    if options.load {
        options.cluster.cluster()?.load(&output)?;
        println!("loaded");
    }
    Ok(())
}

/// Builds the programs and writes the image. Returns the image's id, which is the same for the same programs.
pub fn write(reference: &str, output: &Path) -> Result<String> {
    let programs = build::programs()?;
    let image = archive::Image {
        reference: reference.to_owned(),
        // `nonroot` of distroless, so that policies know it.
        user: "65532:65532".to_owned(),
        entrypoint: vec!["/usr/bin/mailpods".to_owned()],
        files: programs,
    };
    if let Some(folder) = output.parent() {
        std::fs::create_dir_all(folder)?;
    }
    image
        .write(output)
        .with_context(|| format!("failed to write {}", output.display()))
}
