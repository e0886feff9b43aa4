//! Time from exec to ready, of the quickstart example on free ports.

use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::report::{Report, Side};
use crate::stack::{Bench, Setup, classic, mailpods};

const QUICKSTART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/quickstart");

/// Measures both sides in turns; the peers' folders are made before the clock starts.
///
/// # Errors
/// When a server does not start.
pub async fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    for _ in 0..bench.args.runs {
        if !bench.args.skip_ours {
            ours(bench, report).await?;
        }
        if !bench.args.skip_peers {
            let stack = classic::start(bench, Setup::default()).await?;
            let time = stack.started.as_secs_f64() * 1000.0;
            report.add(Side::Theirs, "start.first", "ms", time);
        }
    }
    Ok(())
}

/// The first start makes store, keys and certificate; the second finds them.
async fn ours(bench: &Bench, report: &mut Report) -> Result<()> {
    let folder = bench.folder()?;
    let (config, data) = (folder.path().join("config"), folder.path().join("data"));
    copy_example(Path::new(QUICKSTART), &config)?;
    for row in ["start.first", "start.later"] {
        let mut running = mailpods::exec(bench, &config, &data).await?;
        report.add(
            Side::Ours,
            row,
            "ms",
            running.started.as_secs_f64() * 1000.0,
        );
        let id = i32::try_from(running.child.id()).ok();
        let id = id.and_then(Pid::from_raw).context("no process id")?;
        kill_process(id, Signal::TERM)?;
        tokio::task::spawn_blocking(move || running.child.wait()).await??;
    }
    Ok(())
}

fn copy_example(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from).context("no quickstart example")? {
        let entry = entry?;
        if !entry.file_type()?.is_file() {
            continue;
        }
        let text = std::fs::read_to_string(entry.path())?;
        std::fs::write(to.join(entry.file_name()), free_ports(&text))?;
    }
    Ok(())
}

/// Every `port: N` becomes `port: 0`.
fn free_ports(text: &str) -> String {
    let mut parts = text.split("port: ");
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        result.push_str("port: 0");
        result.push_str(part.trim_start_matches(|letter: char| letter.is_ascii_digit()));
    }
    result
}

#[cfg(test)]
mod tests {
    #[test]
    fn ports_are_freed() {
        assert_eq!(
            super::free_ports("a: { port: 2525 }\nb: {port: 1}"),
            "a: { port: 0 }\nb: {port: 0}"
        );
    }
}
