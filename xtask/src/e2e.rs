//! Prepares this machine for a cluster and starts the program in `e2e/`.

use std::process::{Command, Stdio};

use anyhow::Result;

use crate::{packages, run};

/// `cargo xtask charts`.
pub fn charts() -> Result<()> {
    run::cargo(&[
        "run",
        "--quiet",
        "--package",
        "mailpods-e2e",
        "--",
        "charts",
    ])
}

/// `cargo xtask cluster`.
pub fn cluster(arguments: &[String]) -> Result<()> {
    start("cluster", arguments)
}

/// `cargo xtask image`.
pub fn image(arguments: &[String]) -> Result<()> {
    start("image", arguments)
}

/// `cargo xtask e2e`.
pub fn run(arguments: &[String]) -> Result<()> {
    packages::ensure_present(packages::WORLD)?;
    start("e2e", arguments)
}

/// The kind of cluster is chosen here, because its packages have to be there first.
fn start(task: &str, arguments: &[String]) -> Result<()> {
    let given = |option: &str| {
        let mut arguments = arguments.iter();
        arguments.any(|a| a == option || a.starts_with(&format!("{option}=")))
    };
    let mut line = vec!["run", "--quiet", "--package", "mailpods-e2e", "--", task];
    line.extend(arguments.iter().map(String::as_str));
    let wants_cluster = task != "image" || given("--load");
    let help = given("--help") || given("help") || arguments.is_empty() && task == "cluster";
    if wants_cluster && !help && !given("--kubeconfig") && !given("--make") {
        if docker_runs() {
            line.extend(["--make", "kind"]);
        } else {
            packages::ensure_present(packages::NODE)?;
        }
    }
    run::cargo(&line)
}

fn docker_runs() -> bool {
    Command::new("docker")
        .arg("info")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
