//! `cargo xtask crds`: writes the CustomResourceDefinitions to `crds/`, and for Helm to `charts/mailpods-crds/files/`.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Writes the files, or with `check` only compares them.
///
/// # Errors
/// When a file cannot be written, or with `check` when one differs.
pub fn run(check: bool) -> anyhow::Result<()> {
    let files = mailpods_api::crds().context("failed to generate the definitions")?;
    for folder in FOLDERS {
        fill(folder, &files, check)?;
    }
    Ok(())
}

/// Helm reads files of the chart's own folder alone, so that there are two copies.
const FOLDERS: [&str; 2] = ["crds", "charts/mailpods-crds/files"];

fn fill(name: &str, files: &[mailpods_api::CrdFile], check: bool) -> anyhow::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    let mut stale = stale_files(&folder)?;
    for file in files {
        let path = folder.join(&file.name);
        stale.retain(|other| *other != path);
        if std::fs::read_to_string(&path).is_ok_and(|kept| kept == file.yaml) {
            continue;
        }
        if check {
            bail!(
                "{name}/{} differs from mailpods/api: run `cargo xtask crds`",
                file.name
            );
        }
        write(&path, &file.yaml)?;
    }
    remove(&stale, check)
}

fn write(path: &Path, yaml: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("failed to make {}", folder.display()))?;
    }
    std::fs::write(path, yaml).with_context(|| format!("failed to write {}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}

fn stale_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("failed to list {}", folder.display()))?;
    let paths = entries
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .map(|entry| entry.path());
    Ok(paths
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect())
}

fn remove(stale: &[PathBuf], check: bool) -> anyhow::Result<()> {
    for path in stale {
        if check {
            bail!(
                "{} belongs to no kind: run `cargo xtask crds`",
                path.display()
            );
        }
        std::fs::remove_file(path)
            .with_context(|| format!("failed to remove {}", path.display()))?;
        println!("removed {}", path.display());
    }
    Ok(())
}
