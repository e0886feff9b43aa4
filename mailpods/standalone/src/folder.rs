//! Reads a configuration folder: YAML files, and secrets as files beside them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use mailpods_plan::{Problem, Source};

/// A folder deeper than this, or with more files, is not a Mailpods configuration.
const MOST_LEVELS: usize = 8;
const MOST_FILES: usize = 10_000;
/// A file larger than this is not read.
const MOST_OCTETS: u64 = 16 * 1024 * 1024;

/// Why a folder cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file or folder cannot be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// More than a configuration ever has.
    #[error("{} has more than {MOST_FILES} files or {MOST_LEVELS} levels; --config wants the folder with the YAML files", path.display())]
    TooMuch {
        /// The folder.
        path: PathBuf,
    },
    /// A file is too large.
    #[error("{} has {octets} octets; {MOST_OCTETS} at most", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        octets: u64,
    },
    /// Nothing to read.
    #[error("{} has no .yaml or .yml file", path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
}

/// All sources of a folder, sorted by path, named relative to it: `*.yaml` and `*.yml` at any level, and `secrets/NAME/KEY`.
/// Names that start with a dot are passed over (editors' files, Kubernetes' `..data`).
///
/// # Errors
/// When something cannot be read, or there is nothing or too much of it.
pub fn read(folder: &Path) -> Result<Vec<Source>, FolderError> {
    let mut files = Vec::new();
    walk(folder, folder, 0, &mut files)?;
    files.sort();
    if !files.iter().any(|file| is_yaml(file)) {
        return Err(FolderError::Empty {
            path: folder.to_owned(),
        });
    }
    files.iter().map(|file| source(folder, file)).collect()
}

/// Warnings about files of secrets that every user of the machine can read.
pub fn exposed(folder: &Path, sources: &[Source]) -> Vec<Problem> {
    let secrets = sources
        .iter()
        .filter(|source| is_secret(folder, &folder.join(&source.path)));
    let open = secrets.filter(|source| {
        let path = folder.join(&source.path);
        // The folders above the configuration are somebody else's.
        let folders = path.ancestors().skip(1).take(3);
        allows(&path, READ) && folders.into_iter().all(|folder| allows(folder, ENTER))
    });
    let warning = |source: &Source| {
        Problem::of_file(
            &source.path,
            "every user of this machine can read the secret",
        )
        .hint("chmod -R o-rwx on the folder `secrets`")
    };
    open.map(warning).collect()
}

const READ: u32 = 0o004;
const ENTER: u32 = 0o001;

/// Whether others than owner and group have a right.
fn allows(path: &Path, right: u32) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & right != 0)
}

fn walk(
    root: &Path,
    folder: &Path,
    level: usize,
    files: &mut Vec<PathBuf>,
) -> Result<(), FolderError> {
    let failed = |source| FolderError::Read {
        path: folder.to_owned(),
        source,
    };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if hidden(&path) {
            continue;
        }
        if path.is_dir() {
            if level == MOST_LEVELS {
                return Err(FolderError::TooMuch {
                    path: root.to_owned(),
                });
            }
            walk(root, &path, level + 1, files)?;
        } else if is_yaml(&path) || is_secret(root, &path) {
            files.push(path);
        }
        if files.len() > MOST_FILES {
            return Err(FolderError::TooMuch {
                path: root.to_owned(),
            });
        }
    }
    Ok(())
}

fn hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

fn is_yaml(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml")
}

fn is_secret(root: &Path, path: &Path) -> bool {
    let Ok(relative) = path.strip_prefix(root) else {
        return false;
    };
    relative.starts_with("secrets") && relative.components().count() == 3
}

fn source(root: &Path, path: &Path) -> Result<Source, FolderError> {
    let failed = |source| FolderError::Read {
        path: path.to_owned(),
        source,
    };
    let octets = std::fs::metadata(path).map_err(failed)?.len();
    if octets > MOST_OCTETS {
        return Err(FolderError::TooLarge {
            path: path.to_owned(),
            octets,
        });
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let path = path
        .strip_prefix(root)
        .unwrap_or(path)
        .to_string_lossy()
        .into_owned();
    Ok(Source { path, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_at_any_level_and_secrets_are_read_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("b.yaml", "b");
        write("a/c.yml", "c");
        write("secrets/alice/password", "quickstart");
        write("secrets/README", "no");
        write(".git/x.yaml", "no");
        write("notes.txt", "no");
        let sources = read(folder.path()).unwrap();
        let paths: Vec<_> = sources.iter().map(|source| source.path.as_str()).collect();
        assert_eq!(paths, ["a/c.yml", "b.yaml", "secrets/alice/password"]);
    }

    #[test]
    fn secrets_that_everybody_can_read_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secrets/alice/password");
        std::fs::create_dir_all(secret.parent().unwrap()).unwrap();
        std::fs::write(&secret, "quickstart").unwrap();
        std::fs::write(folder.path().join("a.yaml"), "a").unwrap();
        let allow = |path: &Path, mode: u32| {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        };
        let told = || exposed(folder.path(), &read(folder.path()).unwrap()).len();
        for path in secret.ancestors().skip(1).take(3) {
            allow(path, 0o755);
        }
        allow(&secret, 0o644);
        assert_eq!(told(), 1);
        allow(&folder.path().join("secrets"), 0o700);
        assert_eq!(told(), 0, "nobody gets there");
        allow(&folder.path().join("secrets"), 0o755);
        allow(&secret, 0o640);
        assert_eq!(told(), 0);
    }

    #[test]
    fn an_empty_folder_says_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let error = read(folder.path()).unwrap_err();
        assert!(
            error.to_string().ends_with("has no .yaml or .yml file"),
            "{error}"
        );
    }
}
