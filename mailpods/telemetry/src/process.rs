//! What this process uses, from `/proc/self`; on systems without it the metrics are simply not shown.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{IntGauge, Opts};

use crate::metrics::{MetricsError, Registry, register_error};

/// Clock ticks a second in `/proc/self/stat`: `USER_HZ` is 100 on every Linux architecture in use.
const USER_HZ: f64 = 100.0;

pub(crate) fn register(registry: &Registry, version: &str) -> Result<(), MetricsError> {
    let started = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64());
    registry.observed_gauge(
        "process_start_time_seconds",
        "When the process started, in Unix time.",
        move || Some(started),
    )?;
    registry.observed_gauge(
        "process_resident_memory_bytes",
        "Resident memory.",
        resident_octets,
    )?;
    registry.observed_gauge("process_open_fds", "Open file descriptors.", open_files)?;
    registry.observed_gauge(
        "process_cpu_seconds_total",
        "User and system CPU time.",
        cpu_seconds,
    )?;
    register_version(registry, version)
}

fn register_version(registry: &Registry, version: &str) -> Result<(), MetricsError> {
    let name = "mailpods_build_info";
    let opts =
        Opts::new(name, "Always 1; the label tells the version.").const_label("version", version);
    let gauge = IntGauge::with_opts(opts).map_err(|source| register_error(name, source))?;
    gauge.set(1);
    registry.register(name, Box::new(gauge))
}

fn resident_octets() -> Option<f64> {
    parse_resident(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn open_files() -> Option<f64> {
    let count = std::fs::read_dir("/proc/self/fd").ok()?.count();
    // Reading the folder holds one descriptor itself.
    Some(count.saturating_sub(1) as f64)
}

fn cpu_seconds() -> Option<f64> {
    parse_cpu(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

fn parse_resident(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

fn parse_cpu(stat: &str) -> Option<f64> {
    // The second field is the command in parentheses and may hold spaces; utime and stime are fields 14 and 15.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / USER_HZ)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernel_text() {
        assert_eq!(
            parse_resident("Name:\tx\nVmRSS:\t    2048 kB\n"),
            Some(2_097_152.0)
        );
        assert_eq!(parse_resident("Name:\tx\n"), None);
        let stat = "7 (a b) c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0";
        assert_eq!(parse_cpu(stat), Some(2.0));
        assert_eq!(parse_cpu("7 (x"), None);
    }
}
