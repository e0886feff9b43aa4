//! A docker-archive: configuration, one layer, manifest. The same files make the same bytes.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};

/// The programs of an image by their path in it.
pub struct Image {
    /// NAME:TAG.
    pub reference: String,
    /// UID:GID.
    pub user: String,
    /// What runs when nothing else is said.
    pub entrypoint: Vec<String>,
    /// Path in the image without the leading slash, and the file here.
    pub files: Vec<(String, PathBuf)>,
}

impl Image {
    /// Writes the archive and returns the image's id.
    pub fn write(&self, path: &Path) -> Result<String> {
        let layer = self.layer()?;
        let layer_digest = digest(&layer);
        let configuration = self.configuration(&layer_digest);
        let id = digest(&configuration);
        let (configuration_name, layer_name) =
            (format!("{id}.json"), format!("{layer_digest}.tar"));
        let manifest = json!([{
            "Config": configuration_name,
            "RepoTags": [self.reference],
            "Layers": [layer_name],
        }]);
        let mut archive = tar::Builder::new(File::create(path)?);
        append(&mut archive, &configuration_name, 0o644, &configuration)?;
        append(&mut archive, &layer_name, 0o644, &layer)?;
        append(
            &mut archive,
            "manifest.json",
            0o644,
            manifest.to_string().as_bytes(),
        )?;
        archive.into_inner()?.flush()?;
        Ok(format!("sha256:{id}"))
    }

    fn layer(&self) -> Result<Vec<u8>> {
        let mut files: Vec<_> = self.files.iter().collect();
        files.sort();
        let mut layer = tar::Builder::new(Vec::new());
        for folder in folders(&files) {
            append_folder(&mut layer, &folder)?;
        }
        for (name, path) in files {
            let data = std::fs::read(path)
                .with_context(|| format!("failed to read {}", path.display()))?;
            append(&mut layer, name, 0o755, &data)?;
        }
        Ok(layer.into_inner()?)
    }

    /// The OCI image configuration; Docker's own is a superset.
    fn configuration(&self, layer_digest: &str) -> Vec<u8> {
        let configuration = json!({
            "architecture": "amd64",
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {
                "User": self.user,
                "Env": ["PATH=/usr/bin:/bin"],
                "Entrypoint": self.entrypoint,
                "WorkingDir": "/",
            },
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_digest}")]},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "cargo xtask image"}],
        });
        configuration.to_string().into_bytes()
    }
}

/// The folders that the files are in, outermost first.
fn folders(files: &[&(String, PathBuf)]) -> Vec<String> {
    let mut folders: Vec<String> = files
        .iter()
        .flat_map(|(name, _)| Path::new(name).ancestors().skip(1))
        .map(|folder| folder.display().to_string())
        .filter(|folder| !folder.is_empty())
        .collect();
    folders.sort();
    folders.dedup();
    folders
}

fn append<W: Write>(
    archive: &mut tar::Builder<W>,
    name: &str,
    mode: u32,
    data: &[u8],
) -> Result<()> {
    let mut header = header(tar::EntryType::Regular, mode);
    header.set_size(u64::try_from(data.len())?);
    archive.append_data(&mut header, name, data)?;
    Ok(())
}

fn append_folder<W: Write>(archive: &mut tar::Builder<W>, name: &str) -> Result<()> {
    let mut header = header(tar::EntryType::Directory, 0o755);
    header.set_size(0);
    archive.append_data(&mut header, format!("{name}/"), std::io::empty())?;
    Ok(())
}

/// Owner root, time zero.
fn header(kind: tar::EntryType, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn digest(data: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(data) {
        text += &format!("{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn image(folder: &Path) -> Image {
        let file = folder.join("program");
        std::fs::write(&file, "#!").unwrap();
        Image {
            reference: "example.test/program:1".to_owned(),
            user: "65532:65532".to_owned(),
            entrypoint: vec!["/usr/bin/program".to_owned()],
            files: vec![("usr/bin/program".to_owned(), file)],
        }
    }

    #[test]
    fn the_same_files_make_the_same_archive() {
        let folder = tempfile::tempdir().unwrap();
        let image = image(folder.path());
        let (first, second) = (folder.path().join("1.tar"), folder.path().join("2.tar"));
        let id = image.write(&first).unwrap();
        assert_eq!(id, image.write(&second).unwrap());
        assert_eq!(
            std::fs::read(first).unwrap(),
            std::fs::read(second).unwrap()
        );
    }

    #[test]
    fn names_are_the_digests_of_what_they_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.tar");
        let id = image(folder.path()).write(&path).unwrap();
        let mut archive = tar::Archive::new(File::open(path).unwrap());
        let mut names = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut data = Vec::new();
            entry.read_to_end(&mut data).unwrap();
            if name != "manifest.json" {
                assert!(name.starts_with(&digest(&data)), "{name}");
            }
            names.push(name);
        }
        assert_eq!(names.len(), 3);
        assert_eq!(format!("sha256:{}", names[0].trim_end_matches(".json")), id);
        assert_eq!(names[2], "manifest.json");
    }
}
