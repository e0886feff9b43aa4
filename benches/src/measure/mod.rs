//! The measures, one module each.

pub mod deliver;
pub mod idle;
pub mod idle_imap;
pub mod relay;
pub mod start;

use crate::machine::Cost;
use crate::report::{Report, Side};

/// Octets of a message.
const SIZE: usize = 10 * 1024;

/// Octets in a MiB.
const MIB: f64 = 1_048_576.0;

/// Rows that every mail run has.
fn costs(report: &mut Report, side: Side, name: &str, cost: &Cost, messages: usize) {
    let messages = messages as f64;
    let thousand = messages / 1000.0;
    let mut add =
        |part: &str, unit, value| report.add(side, &format!("{name}.{part}"), unit, value);
    add("cpu", "CPU-s/1000", cost.server / thousand);
    add("cpu-machine", "CPU-s/1000", cost.machine / thousand);
    add("cpu-generator", "CPU-s/1000", cost.generator / thousand);
    add("written", "KB/message", cost.written / messages / 1000.0);
    add("flushes", "flushes/message", cost.flushes / messages);
}
