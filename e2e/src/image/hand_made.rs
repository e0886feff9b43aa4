//! Small images that the one-node cluster and the tests need, made once for a machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::archive::Image;
use crate::{binaries, command};

/// What sandboxes are made of.
pub const PAUSE: &str = "mailpods.test/pause:1";
/// A shell and common tools, for pods that look around.
pub const BUSYBOX: &str = "mailpods.test/busybox:1";

/// The archive of [`PAUSE`].
pub fn pause() -> Result<PathBuf> {
    made("pause-1", |folder| {
        let program = folder.join("pause");
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        command::run(
            Command::new(rustc)
                .args(["--edition=2024", "-O", "-C", "target-feature=+crt-static"])
                .args(["-C", "strip=symbols", "-C", "panic=abort", "-o"])
                .arg(&program)
                .arg(crate::root().join("e2e/pause.rs")),
        )?;
        Ok(Image {
            reference: PAUSE.to_owned(),
            user: "65535:65535".to_owned(),
            entrypoint: vec!["/pause".to_owned()],
            files: vec![("pause".to_owned(), program)],
        })
    })
}

/// The archive of [`BUSYBOX`], from Debian's static build.
pub fn busybox() -> Result<PathBuf> {
    made("busybox-1", |_| {
        Ok(Image {
            reference: BUSYBOX.to_owned(),
            user: "65532:65532".to_owned(),
            entrypoint: vec!["/bin/busybox".to_owned()],
            files: vec![("bin/busybox".to_owned(), PathBuf::from("/bin/busybox"))],
        })
    })
}

fn made(name: &str, make: impl FnOnce(&Path) -> Result<Image>) -> Result<PathBuf> {
    let folder = binaries::cache()?.join(name);
    let archive = folder.join("image.tar");
    if !archive.exists() {
        std::fs::create_dir_all(&folder)?;
        let image = make(&folder).with_context(|| format!("failed to make image {name}"))?;
        let unfinished = folder.join(format!("image.tar.{}.part", std::process::id()));
        image.write(&unfinished)?;
        std::fs::rename(unfinished, &archive)?;
    }
    Ok(archive)
}
