//! etcd and kube-apiserver on loopback, with everything they keep in one folder.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mailpods_net::https::{Method, StatusCode};
use rcgen::KeyPair;
use tempfile::TempDir;

use super::api::Api;
use super::{OPERATOR_NAMESPACE, Options, free_port};

/// Time until the API server answers.
const PATIENCE: Duration = Duration::from_secs(60);
/// Who the operator is to the API server: a service account, with the share of it that such an account has.
const OPERATOR: &str = "system:serviceaccount:mailpods-system:mailpods-operator";
const BENCH_TOKEN: &str = "bench";
const OPERATOR_TOKEN: &str = "operator";
/// Only what the operator writes is logged.
const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: Metadata
  users: ['system:serviceaccount:mailpods-system:mailpods-operator']
  verbs: [create, update, patch, delete, deletecollection]
- level: None
";

/// A running control plane; stopped when dropped.
pub struct ControlPlane {
    /// As administrator.
    pub api: Api,
    folder: TempDir,
    // In the order in which they end.
    _api_server: Process,
    _etcd: Process,
}

/// A process that ends with its owner.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl ControlPlane {
    /// Starts both and waits until the API server is ready.
    ///
    /// # Errors
    /// When one does not start; the end of its log is in the error.
    pub async fn start(options: &Options) -> Result<Self> {
        let folder = options.folder()?;
        let path = folder.path();
        let (etcd_port, port) = (free_port()?, free_port()?);
        let etcd = start(&mut etcd(options, path, etcd_port)?, &path.join("etcd.log"))?;
        let root = credentials(path)?;
        let api = Api::new(&format!("https://127.0.0.1:{port}"), &root, BENCH_TOKEN)?;
        kubeconfig(path, port)?;
        let mut command = api_server(options, path, etcd_port, port)?;
        let api_server = start(&mut command, &path.join("kube-apiserver.log"))?;
        let plane = Self {
            api,
            folder,
            _api_server: api_server,
            _etcd: etcd,
        };
        tokio::time::timeout(PATIENCE, plane.ready())
            .await
            .with_context(|| plane.last_words())?;
        Ok(plane)
    }

    /// The operator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("operator.kubeconfig")
    }

    /// Where the API server notes what the operator writes.
    pub fn audit_log(&self) -> PathBuf {
        self.folder.path().join("audit.log")
    }

    /// A file of its folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn ready(&self) {
        loop {
            let answer = self.api.ask(Method::GET, "/readyz", None).await;
            if answer.is_ok_and(|(status, _)| status == StatusCode::OK) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.file("kube-apiserver.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let end = lines.len().saturating_sub(12);
        let words = lines.get(end..).unwrap_or_default().join("\n");
        format!("the API server did not get ready; the end of its log:\n{words}")
    }
}

/// Starts a process that writes to a log.
///
/// # Errors
/// When it cannot be started.
pub fn start(command: &mut Command, log: &Path) -> Result<Process> {
    let log = File::options().create(true).append(true).open(log)?;
    let child = command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("failed to start {}", command.get_program().display()))?;
    Ok(Process(child))
}

fn etcd(options: &Options, folder: &Path, port: u16) -> Result<Command> {
    let clients = format!("http://127.0.0.1:{port}");
    let peers = format!("http://127.0.0.1:{}", free_port()?);
    let mut command = Command::new(&options.etcd);
    command
        // What is measured is the operator, not the disk.
        .args([
            "--name=bench",
            "--unsafe-no-fsync",
            "--quota-backend-bytes=8000000000",
        ])
        .arg(format!("--data-dir={}", folder.join("etcd").display()))
        .arg(format!("--listen-client-urls={clients}"))
        .arg(format!("--advertise-client-urls={clients}"))
        .arg(format!("--listen-peer-urls={peers}"))
        .arg(format!("--initial-advertise-peer-urls={peers}"))
        .arg(format!("--initial-cluster=bench={peers}"));
    Ok(command)
}

fn api_server(options: &Options, folder: &Path, etcd: u16, port: u16) -> Result<Command> {
    let file = |name: &str| folder.join(name).display().to_string();
    let version = Command::new(&options.kube_apiserver)
        .arg("--version")
        .output();
    ensure!(
        version.is_ok_and(|output| output.status.success()),
        "{} cannot be run",
        options.kube_apiserver.display()
    );
    let mut command = Command::new(&options.kube_apiserver);
    command
        .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
        .args([
            "--service-cluster-ip-range=10.0.0.0/24",
            "--allow-privileged",
        ])
        .args([
            "--endpoint-reconciler-type=none",
            "--authorization-mode=AlwaysAllow",
        ])
        .args([
            "--disable-admission-plugins=ServiceAccount",
            "--audit-log-maxsize=2000",
        ])
        .arg("--service-account-issuer=https://kubernetes.default.svc.cluster.local")
        .arg(format!("--secure-port={port}"))
        .arg(format!("--etcd-servers=http://127.0.0.1:{etcd}"))
        .arg(format!("--tls-cert-file={}", file("server.pem")))
        .arg(format!("--tls-private-key-file={}", file("server.key")))
        .arg(format!(
            "--service-account-key-file={}",
            file("accounts.pub")
        ))
        .arg(format!(
            "--service-account-signing-key-file={}",
            file("accounts.key")
        ))
        .arg(format!("--token-auth-file={}", file("tokens.csv")))
        .arg(format!("--audit-policy-file={}", file("audit.yaml")))
        .arg(format!("--audit-log-path={}", file("audit.log")))
        .arg(format!("--cert-dir={}", file("certificates")));
    Ok(command)
}

/// Writes keys, certificate, tokens and audit policy; the certificate.
fn credentials(folder: &Path) -> Result<String> {
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text);
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let server = rcgen::generate_simple_self_signed(names)?;
    write("server.pem", &server.cert.pem())?;
    write("server.key", &server.signing_key.serialize_pem())?;
    let accounts = KeyPair::generate()?;
    write("accounts.key", &accounts.serialize_pem())?;
    write("accounts.pub", &accounts.public_key_pem())?;
    let groups = format!("system:serviceaccounts,system:serviceaccounts:{OPERATOR_NAMESPACE}");
    write(
        "tokens.csv",
        &format!(
            "{BENCH_TOKEN},bench,1,system:masters\n{OPERATOR_TOKEN},{OPERATOR},2,\"{groups}\"\n"
        ),
    )?;
    write("audit.yaml", AUDIT_POLICY)?;
    Ok(server.cert.pem())
}

fn kubeconfig(folder: &Path, port: u16) -> Result<()> {
    let root = folder.join("server.pem");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: bench\ncontexts:\n- {{name: bench, context: {{cluster: bench, user: \
         operator}}}}\nclusters:\n- {{name: bench, cluster: {{server: 'https://127.0.0.1:{port}', certificate-authority: \
         '{}'}}}}\nusers:\n- {{name: operator, user: {{token: {OPERATOR_TOKEN}}}}}\n",
        root.display()
    );
    Ok(std::fs::write(folder.join("operator.kubeconfig"), text)?)
}
