//! Seeds and findings as files.

use std::io;
use std::path::{Path, PathBuf};

/// The folder of this crate, which holds `corpus/` and `crashes/`.
#[must_use]
pub fn home() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The inputs in `corpus/TARGET`, by file name, so that a run can be repeated.
///
/// # Errors
/// When the folder cannot be read.
pub fn read(home: &Path, target: &str) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let folder = home.join("corpus").join(target);
    let mut paths = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    paths
        .into_iter()
        .map(|path| std::fs::read(&path).map(|input| (path, input)))
        .collect()
}

/// Writes an input to `crashes/TARGET-HASH` and returns where.
///
/// # Errors
/// When the file cannot be written.
pub fn keep(home: &Path, target: &str, input: &[u8]) -> io::Result<PathBuf> {
    let folder = home.join("crashes");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{target}-{:016x}", fnv1a(input)));
    std::fs::write(&path, input)?;
    Ok(path)
}

fn fnv1a(input: &[u8]) -> u64 {
    input.iter().fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
        (hash ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
