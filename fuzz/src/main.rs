//! `cargo run -p mailpods-fuzz -- TARGET|all --seconds N --seed S`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use clap::Parser;
use mailpods_fuzz::run::{Until, campaign};
use mailpods_fuzz::{Limits, TARGETS, Target, check, corpus, targets};

/// Throws mutated inputs at the parsers until one breaks.
#[derive(Parser)]
struct Arguments {
    /// A target, or `all`.
    target: String,
    /// How long each target runs.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Mutated inputs for each target, instead of a time; repeats exactly with the same seed and corpus.
    #[arg(long)]
    iterations: Option<u64>,
    /// The number that all inputs follow from; by default from the clock.
    #[arg(long)]
    seed: Option<u64>,
    /// Run this file alone, as after a finding.
    #[arg(long)]
    input: Option<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let chosen = choose(&arguments.target)?;
    if let Some(path) = &arguments.input {
        return repeat(&chosen, path);
    }
    let seed = arguments.seed.unwrap_or_else(clock);
    let until = arguments.iterations.map_or(
        Until::Time(Duration::from_secs(arguments.seconds)),
        Until::Count,
    );
    // Findings are reported below; a line for each caught panic would bury them.
    std::panic::set_hook(Box::new(|_| {}));
    println!("seed {seed}");
    let mut broken = 0;
    for target in chosen {
        broken += u32::from(!fuzz(target, seed, until)?);
    }
    Ok(if broken == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn choose(name: &str) -> anyhow::Result<Vec<&'static Target>> {
    if name == "all" {
        return Ok(TARGETS.iter().collect());
    }
    let Some(target) = targets::find(name) else {
        let known: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        bail!("no target {name:?}; there are: all, {}", known.join(", "));
    };
    Ok(vec![target])
}

fn repeat(chosen: &[&Target], path: &PathBuf) -> anyhow::Result<ExitCode> {
    let input =
        std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
    let mut code = ExitCode::SUCCESS;
    for target in chosen {
        match check(target.run, &input, Limits::default()) {
            Ok(()) => println!("{:12} ok", target.name),
            Err(problem) => {
                println!("{:12} {problem:?}", target.name);
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

/// True when nothing was found.
fn fuzz(target: &'static Target, seed: u64, until: Until) -> anyhow::Result<bool> {
    let home = corpus::home();
    let seeds = corpus::read(&home, target.name)
        .with_context(|| format!("failed to read the corpus of {}", target.name))?;
    let seeds: Vec<Vec<u8>> = seeds.into_iter().map(|(_, input)| input).collect();
    let count = seeds.len();
    match campaign(target, seeds, seed, until) {
        Ok(done) => {
            println!(
                "{:12} {count} seeds and {done} inputs, nothing found",
                target.name
            );
            Ok(true)
        }
        Err(finding) => {
            let path = corpus::keep(&home, target.name, &finding.input)
                .context("failed to keep the input")?;
            println!("{:12} FOUND {:?}", target.name, finding.problem);
            println!(
                "{:12} {} octets in {}",
                "",
                finding.input.len(),
                path.display()
            );
            println!(
                "{:12} cargo run -p mailpods-fuzz -- {} --input {}",
                "",
                target.name,
                path.display()
            );
            Ok(false)
        }
    }
}

fn clock() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
