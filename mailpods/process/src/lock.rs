//! One server for one data folder.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

const FILE: &str = "server.lock";

/// Why the folder cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another server has it.
    #[error("{} is in use by another mailpods server; stop that one, or give this one a folder of its own with --data", path.display())]
    Taken {
        /// The data folder.
        path: PathBuf,
    },
    /// The lock file cannot be made.
    #[error("failed to lock {}", path.display())]
    File {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Takes the data folder for as long as the result lives. The kernel lets go of it however the process ends.
///
/// # Errors
/// When another server has it, or the lock file cannot be made.
pub fn take(data: &Path) -> Result<File, LockError> {
    let path = data.join(FILE);
    let opened = make_folder(data).and_then(|()| File::create(&path));
    let file = opened.map_err(|source| LockError::File {
        path: path.clone(),
        source,
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LockError::Taken {
            path: data.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(LockError::File { path, source }),
    }
}

/// Mail and keys are for the server alone. The rights of a folder that is there are its administrator's.
fn make_folder(data: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(data)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_folder_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let _lock = take(&data).unwrap();
        let mode = std::fs::metadata(&data).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn the_second_server_is_told_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let first = take(folder.path()).unwrap();
        let error = take(folder.path()).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("in use by another mailpods server"),
            "{error}"
        );
        drop(first);
        take(folder.path()).unwrap();
    }
}
