//! Processes that outlive the command that started them, known by id and start time, so that exactly they are stopped.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use std::os::unix::process::CommandExt;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::wait;

/// How long a process may take to end before it is killed.
const PATIENCE: Duration = Duration::from_secs(15);

/// The processes of one scratch folder: `pids/NAME` and `logs/NAME.log`.
pub struct Processes {
    folder: PathBuf,
}

/// A process as it was started. The start time tells it from a later one with the same id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Identity {
    pid: i32,
    start: u64,
}

impl Processes {
    /// The processes of a scratch folder.
    pub fn of(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Starts a process unless it runs already.
    pub fn start(&self, name: &str, command: &mut Command) -> Result<()> {
        // A Ctrl-C at the terminal is for the command in front, not for the cluster.
        self.start_session(name, command.process_group(0))
    }

    /// The same for a process that makes a session of its own, which the leader of a group cannot.
    pub fn start_session(&self, name: &str, command: &mut Command) -> Result<()> {
        if self.runs(name) {
            return Ok(());
        }
        for folder in ["pids", "logs"] {
            std::fs::create_dir_all(self.folder.join(folder))?;
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log(name))
            .with_context(|| format!("failed to open the log of {name}"))?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("failed to start {name}"))?;
        let pid = i32::try_from(child.id())?;
        let start = start_time(pid).with_context(|| self.ended(name))?;
        std::fs::write(self.record(name), format!("{pid} {start}\n"))?;
        // Until somebody collects what is left of it, its id is taken, and others believe that it runs.
        std::thread::spawn(move || child.wait());
        Ok(())
    }

    /// Whether a process runs.
    pub fn runs(&self, name: &str) -> bool {
        self.identity(name).is_some_and(Identity::runs)
    }

    /// The id of a process that runs.
    pub fn pid(&self, name: &str) -> Option<i32> {
        self.identity(name).filter(|i| i.runs()).map(|i| i.pid)
    }

    /// Fails with the end of its log when a process does not run.
    pub fn check(&self, name: &str) -> Result<()> {
        ensure!(self.runs(name), self.ended(name));
        Ok(())
    }

    /// Stops a process: asked first, then killed. Does nothing when it does not run.
    pub fn stop(&self, name: &str) -> Result<()> {
        if let Some(identity) = self.identity(name) {
            identity
                .stop()
                .with_context(|| format!("failed to stop {name}"))?;
            std::fs::remove_file(self.record(name))?;
        }
        Ok(())
    }

    /// Kills a process with no chance to tidy up, and waits until it is gone.
    pub fn kill(&self, name: &str) -> Result<()> {
        if let Some(identity) = self.identity(name).filter(|i| i.runs()) {
            identity.signal(Signal::KILL)?;
            identity.gone_within(PATIENCE)?;
        }
        Ok(())
    }

    /// The names of all that were started and not stopped.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.join("pids"));
        let entries = entries.into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// Where a process writes what it has to say.
    pub fn log(&self, name: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{name}.log"))
    }

    fn record(&self, name: &str) -> PathBuf {
        self.folder.join("pids").join(name)
    }

    fn identity(&self, name: &str) -> Option<Identity> {
        let text = std::fs::read_to_string(self.record(name)).ok()?;
        let (pid, start) = text.trim().split_once(' ')?;
        Some(Identity {
            pid: pid.parse().ok()?,
            start: start.parse().ok()?,
        })
    }

    /// The end of a process's log.
    pub fn last_words(&self, name: &str) -> String {
        let log = std::fs::read_to_string(self.log(name)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    fn ended(&self, name: &str) -> String {
        format!(
            "{name} ended; the end of {}:\n{}",
            self.log(name).display(),
            self.last_words(name)
        )
    }
}

impl Identity {
    fn runs(self) -> bool {
        start_time(self.pid) == Some(self.start)
    }

    fn stop(self) -> Result<()> {
        if !self.runs() {
            return Ok(());
        }
        self.signal(Signal::TERM)?;
        if self.gone_within(PATIENCE).is_err() {
            self.signal(Signal::KILL)?;
            self.gone_within(PATIENCE)?;
        }
        Ok(())
    }

    /// To the process and to those that it started in its group.
    fn signal(self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.pid).context("not a process id")?;
        sent(kill_process_group(pid, signal))
    }

    fn gone_within(self, limit: Duration) -> Result<()> {
        wait::quietly(limit, || {
            Ok(wait::holds(
                !self.runs(),
                format!("process {} runs", self.pid),
            ))
        })
    }
}

/// Kills a process by id; for those that others started on our behalf.
pub fn kill(pid: i32) -> Result<()> {
    let pid = Pid::from_raw(pid).context("not a process id")?;
    sent(kill_process(pid, Signal::KILL))
}

/// A process that has ended in between needs no signal any more.
fn sent(outcome: rustix::io::Result<()>) -> Result<()> {
    match outcome {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Field 22 of /proc/PID/stat (proc(5)); nothing for a process that has ended, even if nobody has collected it yet.
fn start_time(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses that may hold blanks.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_started_once_and_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let processes = Processes::of(folder.path());
        processes
            .start("sleep", Command::new("sleep").arg("600"))
            .unwrap();
        let pid = processes.pid("sleep");
        processes
            .start("sleep", Command::new("sleep").arg("600"))
            .unwrap();
        assert_eq!(processes.pid("sleep"), pid);
        processes.stop("sleep").unwrap();
        assert!(!processes.runs("sleep"));
        assert!(processes.names().is_empty());
    }

    #[test]
    fn a_process_with_the_same_id_is_not_ours() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("pids")).unwrap();
        std::fs::write(
            folder.path().join("pids/other"),
            format!("{} 1\n", std::process::id()),
        )
        .unwrap();
        let processes = Processes::of(folder.path());
        assert!(!processes.runs("other"));
        processes.stop("other").unwrap();
    }

    #[test]
    fn the_log_tells_why_a_process_ended() {
        let folder = tempfile::tempdir().unwrap();
        let processes = Processes::of(folder.path());
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such port"]);
        // It may have ended before the start is over, which tells as much.
        let told = match processes.start("sh", &mut command) {
            Err(error) => error,
            Ok(_) => {
                wait::quietly(Duration::from_secs(10), || {
                    Ok(wait::holds(!processes.runs("sh"), "runs"))
                })
                .unwrap();
                processes.check("sh").unwrap_err()
            }
        }
        .to_string();
        assert!(told.contains("no such port"), "{told}");
    }
}
