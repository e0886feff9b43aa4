//! Reads a configuration folder: YAML files, and secrets as files beside them.

use std::path::{Path, PathBuf};

use mailpods_plan::Source;

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
    fn an_empty_folder_says_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let error = read(folder.path()).unwrap_err();
        assert!(
            error.to_string().ends_with("has no .yaml or .yml file"),
            "{error}"
        );
    }
}
