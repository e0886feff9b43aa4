//! Programs in Go that are pinned by the modules under `e2e/binaries` and built once for a machine.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::command;

/// A program: where it is pinned, and how it is told its version.
struct Program {
    name: &'static str,
    /// Folder under `e2e/binaries`.
    module: &'static str,
    package: &'static str,
    /// Go module whose version names the program's.
    versioned_by: &'static str,
    /// Go variable that holds the version, where the linker has to set it.
    version_variable: Option<&'static str>,
}

const KUBERNETES_VERSION: Option<&str> = Some("k8s.io/component-base/version.gitVersion");

const fn kubernetes(name: &'static str, package: &'static str) -> Program {
    Program {
        name,
        module: "kubernetes",
        package,
        versioned_by: "k8s.io/kubernetes",
        version_variable: KUBERNETES_VERSION,
    }
}

const PROGRAMS: &[Program] = &[
    kubernetes("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    kubernetes(
        "kube-controller-manager",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
    ),
    kubernetes("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
    kubernetes("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
    kubernetes("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
    kubernetes("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
    Program {
        name: "etcd",
        module: "etcd",
        package: "go.etcd.io/etcd/server/v3",
        versioned_by: "go.etcd.io/etcd/server/v3",
        version_variable: None,
    },
    Program {
        name: "coredns",
        module: "coredns",
        package: "github.com/coredns/coredns",
        versioned_by: "github.com/coredns/coredns",
        version_variable: None,
    },
    Program {
        name: "helm",
        module: "helm",
        package: "helm.sh/helm/v4/cmd/helm",
        versioned_by: "helm.sh/helm/v4",
        version_variable: Some("helm.sh/helm/v4/internal/version.version"),
    },
    Program {
        name: "external-dns",
        module: "external-dns",
        package: "sigs.k8s.io/external-dns",
        versioned_by: "sigs.k8s.io/external-dns",
        version_variable: Some("sigs.k8s.io/external-dns/pkg/apis/externaldns.Version"),
    },
    Program {
        name: "kubeconform",
        module: "kubeconform",
        package: "github.com/yannh/kubeconform/cmd/kubeconform",
        versioned_by: "github.com/yannh/kubeconform",
        version_variable: None,
    },
    // The interpreter that Argo CD runs health checks with.
    Program {
        name: "glua",
        module: "gopher-lua",
        package: "github.com/yuin/gopher-lua/cmd/glua",
        versioned_by: "github.com/yuin/gopher-lua",
        version_variable: None,
    },
    Program {
        name: "kind",
        module: "kind",
        package: "sigs.k8s.io/kind",
        versioned_by: "sigs.k8s.io/kind",
        version_variable: None,
    },
];

/// The path of a program by its name, built when the cache lacks it.
pub fn program(name: &str) -> Result<PathBuf> {
    let program = PROGRAMS.iter().find(|program| program.name == name);
    program
        .with_context(|| format!("`{name}` is not pinned in e2e/binaries"))?
        .built()
}

/// A file of a Go module that is pinned in `e2e/binaries/FOLDER`, kept in the cache.
pub fn file(folder: &str, module: &str, path: &str) -> Result<PathBuf> {
    let version = pinned(folder, module)?;
    let name = path.rsplit('/').next().unwrap_or(path);
    let kept = cache()?.join(format!("{folder}-{version}")).join(name);
    if kept.exists() {
        return Ok(kept);
    }
    let text = std::fs::read(unpacked(folder, module, &version)?.join(path))
        .with_context(|| format!("{module} {version} has no {path}"))?;
    if let Some(folder) = kept.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("failed to make {}", folder.display()))?;
    }
    let unfinished = kept.with_extension(format!("{}.part", std::process::id()));
    std::fs::write(&unfinished, text)
        .and_then(|()| std::fs::rename(&unfinished, &kept))
        .with_context(|| format!("failed to keep {}", kept.display()))?;
    Ok(kept)
}

/// Where Go keeps a module; it is fetched, and compared with go.sum, when it is not there.
fn unpacked(folder: &str, module: &str, version: &str) -> Result<PathBuf> {
    let mut download = Command::new(go());
    download
        .current_dir(crate::root().join("e2e/binaries").join(folder))
        .args(["mod", "download", "-json"])
        .arg(format!("{module}@{version}"));
    let told = command::run(&mut download)?;
    let told: serde_json::Value =
        serde_json::from_str(&told).context("`go mod download` printed no JSON")?;
    told["Dir"]
        .as_str()
        .map(PathBuf::from)
        .context("`go mod download` named no folder")
}

/// The version of a module that `e2e/binaries/FOLDER/go.mod` requires.
fn pinned(folder: &str, module: &str) -> Result<String> {
    let path = crate::root()
        .join("e2e/binaries")
        .join(folder)
        .join("go.mod");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("failed to read {}", path.display()))?;
    required_version(&text, module)
        .map(str::to_owned)
        .with_context(|| format!("{}: does not require {module}", path.display()))
}

/// The folder of what is built once for a machine.
pub fn cache() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("XDG_CACHE_HOME").filter(|v| !v.is_empty()) {
        return Ok(PathBuf::from(folder).join("mailpods"));
    }
    let home = std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(PathBuf::from(home).join(".cache/mailpods"))
}

impl Program {
    fn built(&self) -> Result<PathBuf> {
        let version = self.version()?;
        let path = cache()?
            .join(format!("{}-{version}", self.module))
            .join(self.name);
        if !path.exists() {
            self.build(&version, &path)?;
        }
        Ok(path)
    }

    /// The version that the module's go.mod requires.
    fn version(&self) -> Result<String> {
        pinned(self.module, self.versioned_by)
    }

    fn folder(&self) -> PathBuf {
        crate::root().join("e2e/binaries").join(self.module)
    }

    /// Builds beside the final name, so that a build that was cut off is never taken for a program.
    fn build(&self, version: &str, path: &Path) -> Result<()> {
        let started = Instant::now();
        eprint!(
            "==> building {} {version}, once for this machine ",
            self.name
        );
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("failed to make {}", folder.display()))?;
        }
        let unfinished = path.with_extension(format!("{}.part", std::process::id()));
        command::run(&mut self.go_build(version, &unfinished))
            .with_context(|| format!("failed to build {}; it needs Go 1.26 or newer", self.name))?;
        std::fs::rename(&unfinished, path)
            .with_context(|| format!("failed to keep {}", path.display()))?;
        eprintln!("({} s)", started.elapsed().as_secs());
        Ok(())
    }

    fn go_build(&self, version: &str, output: &Path) -> Command {
        let set = self
            .version_variable
            .map(|variable| format!(" -X {variable}={version}"));
        let mut go = Command::new(go());
        go.current_dir(self.folder())
            .env("CGO_ENABLED", "0")
            .args(["build", "-trimpath", "-ldflags"])
            .arg(format!("-s -w{}", set.unwrap_or_default()))
            .arg("-o")
            .arg(output)
            .arg(self.package);
        go
    }
}

/// `go` from the path, or from where its own archive unpacks to.
pub fn go() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join("go"))
        .find(|file| file.exists())
        .unwrap_or_else(|| PathBuf::from("/usr/local/go/bin/go"))
}

/// The version of `module` in the text of a go.mod.
fn required_version<'a>(go_mod: &'a str, module: &str) -> Option<&'a str> {
    let lines = go_mod.lines().filter(|line| !line.contains("=>"));
    lines
        .map(|line| line.trim().trim_start_matches("require "))
        .find_map(|line| line.strip_prefix(module)?.strip_prefix(' '))
        .and_then(|rest| rest.split_whitespace().next())
        .filter(|version| version.starts_with('v'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_a_block_and_from_a_line() {
        let text = "module m\n\ntool k8s.io/kubernetes/cmd/kubelet\n\nrequire k8s.io/kubernetes v1.34.4\n\nrequire (\n\tk8s.io/api v0.34.4 // indirect\n)\nreplace k8s.io/api => k8s.io/api v0.34.5\n";
        assert_eq!(required_version(text, "k8s.io/kubernetes"), Some("v1.34.4"));
        assert_eq!(required_version(text, "k8s.io/api"), Some("v0.34.4"));
        assert_eq!(required_version(text, "k8s.io/kube"), None);
    }

    #[test]
    fn every_program_is_pinned() {
        for program in PROGRAMS {
            let version = program.version();
            assert!(version.is_ok(), "{}: {version:?}", program.name);
        }
    }
}
