//! What a run costs: CPU, disk and memory, read from /proc and /sys.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Ticks of /proc a second (USER_HZ, the same on every Linux machine).
const TICKS: f64 = 100.0;

/// A process, told apart from a later one with the same id by its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Process id.
    pub id: u32,
    start: u64,
}

struct Stat {
    process: Process,
    parent: u32,
    /// Seconds of CPU, its own and of children that it has waited for.
    cpu: f64,
    /// Its own alone.
    own: f64,
}

/// The figures of one moment.
pub struct Meter {
    server: f64,
    busy: f64,
    generator: f64,
    disk: Disk,
}

/// The difference of two moments.
pub struct Cost {
    /// CPU seconds of the server's processes.
    pub server: f64,
    /// CPU seconds of the whole machine without the generator's.
    pub machine: f64,
    /// CPU seconds of the generator: clients, DNS responder and sink.
    pub generator: f64,
    /// Octets that the device of the data took.
    pub written: f64,
    /// Flush requests to that device.
    pub flushes: f64,
}

#[derive(Clone, Copy)]
struct Disk {
    written: f64,
    flushes: f64,
}

impl Meter {
    /// Reads all figures; `folder` is on the device that is looked at.
    pub fn read(roots: &[u32], folder: &Path) -> Result<Self> {
        Ok(Self {
            server: tree(roots).iter().map(|stat| stat.cpu).sum(),
            busy: busy()?,
            generator: stat_of(std::process::id()).map_or(0.0, |stat| stat.own),
            disk: disk(folder)?,
        })
    }

    /// What it took since `earlier`. Disk figures are complete after [`sync`] only.
    pub fn since(&self, earlier: &Self) -> Cost {
        let generator = self.generator - earlier.generator;
        Cost {
            server: self.server - earlier.server,
            machine: self.busy - earlier.busy - generator,
            generator,
            written: self.disk.written - earlier.disk.written,
            flushes: self.disk.flushes - earlier.disk.flushes,
        }
    }
}

/// Writes out what the kernel still holds.
pub async fn sync(folder: &Path) -> Result<()> {
    tokio::process::Command::new("sync")
        .arg("-f")
        .arg(folder)
        .status()
        .await?;
    Ok(())
}

/// As many open files as the system lets this process have; the servers inherit it.
pub fn raise_file_limit() -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum.map(|most| most.min(65_536)),
        maximum: limit.maximum,
    };
    Ok(setrlimit(Resource::Nofile, raised)?)
}

/// The processes under `roots`, those included.
pub fn processes(roots: &[u32]) -> Vec<Process> {
    tree(roots).iter().map(|stat| stat.process).collect()
}

/// Whether that very process still runs.
pub fn runs(process: Process) -> bool {
    stat_of(process.id).is_some_and(|stat| stat.process == process)
}

/// Proportional set size of all processes under `roots`, octets.
pub fn pss(roots: &[u32]) -> f64 {
    let of = |stat: &Stat| field(&format!("/proc/{}/smaps_rollup", stat.process.id), "Pss:");
    tree(roots).iter().filter_map(of).sum()
}

/// The most memory that one process ever had resident, octets.
pub fn peak_resident(process: u32) -> f64 {
    field(&format!("/proc/{process}/status"), "VmHWM:").unwrap_or_default()
}

/// The memory that a process has resident, octets.
pub fn resident(process: u32) -> f64 {
    field(&format!("/proc/{process}/status"), "VmRSS:").unwrap_or_default()
}

/// Octets that a folder takes on disk, but for PostgreSQL's WAL: its files are written anew in turns.
pub fn stored(folder: &Path) -> f64 {
    let mut folders = vec![PathBuf::from(folder)];
    let mut blocks = 0;
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        for entry in entries {
            // A file may be gone by now; it takes nothing then.
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            blocks += metadata.blocks();
            if metadata.is_dir() && entry.file_name() != "pg_wal" {
                folders.push(entry.path());
            }
        }
    }
    blocks as f64 * 512.0
}

/// A field of a /proc file in kB, as octets.
fn field(path: &str, name: &str) -> Option<f64> {
    let text = fs::read_to_string(path).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: f64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0)
}

fn tree(roots: &[u32]) -> Vec<Stat> {
    let mut children: HashMap<u32, Vec<Stat>> = HashMap::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    for id in entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        if let Some(stat) = stat_of(id) {
            children.entry(stat.parent).or_default().push(stat);
        }
    }
    let mut found: Vec<Stat> = roots.iter().filter_map(|id| stat_of(*id)).collect();
    let mut next = 0;
    while let Some(id) = found.get(next).map(|stat| stat.process.id) {
        found.extend(children.remove(&id).unwrap_or_default());
        next += 1;
    }
    found
}

fn stat_of(id: u32) -> Option<Stat> {
    parse_stat(id, &fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

/// proc_pid_stat(5); the name in parentheses may hold spaces.
fn parse_stat(id: u32, text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let own = (number(11)? + number(12)?) as f64 / TICKS;
    let waited = (number(13)? + number(14)?) as f64 / TICKS;
    Some(Stat {
        process: Process {
            id,
            start: number(19)?,
        },
        parent: fields.get(1)?.parse().ok()?,
        cpu: own + waited,
        own,
    })
}

/// Seconds that the cores have worked.
fn busy() -> Result<f64> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().context("/proc/stat is empty")?;
    let ticks: Vec<f64> = line
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal
    let work = [0, 1, 2, 5, 6].iter().filter_map(|index| ticks.get(*index));
    Ok(work.sum::<f64>() / TICKS)
}

fn disk(folder: &Path) -> Result<Disk> {
    let device = fs::metadata(folder)?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let text = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat"));
    // A file system without a device (tmpfs) writes nothing.
    let text = text.unwrap_or_default();
    let fields: Vec<f64> = text
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let field = |index: usize| fields.get(index).copied().unwrap_or_default();
    Ok(Disk {
        written: field(6) * 512.0,
        flushes: field(15),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let text = "7 (a ) b) S 3 7 7 0 -1 4194560 1 2 3 4 150 50 25 75 20 0 1 0 9999 0 0";
        let stat = parse_stat(7, text).unwrap();
        assert_eq!((stat.parent, stat.process.start), (3, 9999));
        assert_eq!((stat.own, stat.cpu), (2.0, 3.0));
    }

    #[test]
    fn this_process_is_in_its_own_tree_and_has_memory() {
        let id = std::process::id();
        let found = processes(&[id]);
        assert!(found.iter().any(|process| process.id == id));
        assert!(runs(found[0]));
        assert!(pss(&[id]) > 100_000.0);
        assert!(peak_resident(id) > 100_000.0);
    }
}
