//! Verifiers that share nothing with the code under test: dkimpy for DKIM, pyspf for SPF.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::outside::Outside;
use crate::binaries;
use crate::command::{feed, run, words};

/// Pinned, so that a verdict does not change by itself.
const PACKAGES: &[&str] = &[
    "dkimpy==1.1.8",
    "dnspython==2.9.2",
    "py3dns==4.0.2",
    "pynacl==1.5.0",
    "pyspf==2.0.14",
];

const DKIM: &str = include_str!("verify_dkim.py");
const SPF: &str = include_str!("verify_spf.py");

/// A Python with the packages.
pub struct Verifiers {
    python: PathBuf,
}

impl Verifiers {
    /// Installs them into the cache once.
    pub fn install() -> Result<Self> {
        let folder = binaries::cache()?.join(format!("verifiers-{}", PACKAGES.join("-")));
        let python = folder.join("bin/python");
        if !folder.join("complete").exists() {
            eprintln!("==> installing {}", PACKAGES.join(" "));
            run(words(&["python3", "-m", "venv"]).arg(&folder))?;
            let mut pip = Command::new(&python);
            pip.args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ]);
            run(pip.args(PACKAGES)).context("failed to install the verifiers with pip")?;
            std::fs::write(folder.join("complete"), "")?;
        }
        Ok(Self { python })
    }

    /// The interpreter that has them.
    pub fn python(&self) -> &Path {
        &self.python
    }

    /// The verdict on each DKIM signature of a message, as the outside host sees DNS: `SELECTOR ALGORITHM pass`, one a line.
    pub fn dkim(&self, outside: &Outside, message: &str) -> Result<Vec<String>> {
        let output = feed(&mut self.script(outside, DKIM, &[]), message.as_bytes())?;
        Ok(output.lines().map(str::to_owned).collect())
    }

    /// The SPF result for a client, as the outside host sees DNS: `pass`, `softfail` ...
    pub fn spf(&self, outside: &Outside, client: &str, sender: &str, helo: &str) -> Result<String> {
        let output = run(&mut self.script(outside, SPF, &[client, sender, helo]))?;
        Ok(output.trim().to_owned())
    }

    fn script(&self, outside: &Outside, script: &str, arguments: &[&str]) -> Command {
        let mut command = outside.command(&[]);
        command
            .arg(&self.python)
            .args(["-c", script])
            .args(arguments);
        command
    }
}
