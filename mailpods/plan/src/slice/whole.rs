//! All that a role has of a plan, written at once: many entries take much memory, and nobody needs them but to send them.

use std::io::{self, Write};

use serde::Serialize;
use serde::ser::Error as _;

use super::{Role, Sink, VERSION, each};
use crate::model::Plan;

/// Octets that [`write_whole`] writes.
///
/// # Errors
/// When a value cannot be encoded; always a mistake in the program.
pub fn whole_octets(plan: &Plan, role: Role, etag: &str) -> Result<usize, serde_json::Error> {
    let mut count = Count(0);
    write_whole(plan, role, etag, &mut count)?;
    Ok(count.0)
}

/// Writes what [`Update::encode`](super::Update::encode) writes of [`full`](super::full) entries, but for their order. `etag` is
/// the digest of the [`entries`](super::entries).
///
/// # Errors
/// When a value cannot be encoded, always a mistake in the program, or `out` does not take it.
pub fn write_whole(
    plan: &Plan,
    role: Role,
    etag: &str,
    out: &mut impl Write,
) -> Result<(), serde_json::Error> {
    let head = format!("{{\"version\":{VERSION},\"etag\":{etag:?},\"put\":{{");
    let mut writer = Writer { out, first: true };
    writer.raw(&head)?;
    each(plan, role, &mut writer)?;
    writer.raw("},\"delete\":[]}")
}

/// Octets that would be written.
struct Count(usize);

impl Write for Count {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0 += octets.len();
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Writer<'w, W> {
    out: &'w mut W,
    first: bool,
}

impl<W: Write> Writer<'_, W> {
    fn raw(&mut self, text: &str) -> Result<(), serde_json::Error> {
        let written = self.out.write_all(text.as_bytes());
        written.map_err(serde_json::Error::custom)
    }
}

impl<W: Write> Sink for Writer<'_, W> {
    fn put(&mut self, key: String, value: &impl Serialize) -> Result<(), serde_json::Error> {
        if !std::mem::take(&mut self.first) {
            self.raw(",")?;
        }
        serde_json::to_writer(&mut *self.out, &key)?;
        self.raw(":")?;
        serde_json::to_writer(&mut *self.out, value)
    }
}
