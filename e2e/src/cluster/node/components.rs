//! The processes of the control plane and of the node, with their options.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::Node;
use super::certificates::Certificates;
use super::network::{BALANCER_ADDRESSES, BRIDGE, DNS_SERVICE, NODE_ADDRESS, PODS, SERVICES};
use super::runtime;
use crate::binaries;

/// Where CoreDNS listens on the node's address; 53 is for the test's own DNS server.
pub const DNS_PORT: u16 = 1053;

const NAMES: &[&str] = &[
    "etcd",
    "kube-apiserver",
    "kubectl",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "coredns",
];

/// Builds what the cache lacks.
pub fn build_all() -> Result<()> {
    for name in NAMES {
        binaries::program(name)?;
    }
    Ok(())
}

/// etcd and the API server.
pub fn start_control_plane(node: &Node, certificates: &Certificates) -> Result<()> {
    node.processes
        .start("etcd", &mut etcd(node, certificates)?)?;
    node.processes
        .start("kube-apiserver", &mut api_server(certificates)?)
}

/// What needs the API server.
pub fn start_workers(node: &Node, certificates: &Certificates) -> Result<()> {
    let processes = &node.processes;
    processes.start(
        "kube-controller-manager",
        &mut controller_manager(certificates)?,
    )?;
    processes.start("kube-scheduler", &mut scheduler(certificates)?)?;
    processes.start("coredns", &mut coredns(node, certificates)?)?;
    processes.start("kube-proxy", &mut proxy(node, certificates)?)?;
    processes.start("kubelet", &mut kubelet(node, certificates)?)
}

/// The process that gives addresses to Services of type LoadBalancer.
pub fn start_balancer(node: &Node) -> Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["balancer", "--device", BRIDGE, "--first"])
        .arg(balancer_address(*BALANCER_ADDRESSES.start())?)
        .arg("--last")
        .arg(balancer_address(*BALANCER_ADDRESSES.end())?)
        .arg("--kubeconfig")
        .arg(node.kubeconfig());
    node.processes.start("balancer", &mut command)
}

fn balancer_address(host: u8) -> Result<String> {
    let [a, b, c, _] = NODE_ADDRESS.parse::<Ipv4Addr>()?.octets();
    Ok(Ipv4Addr::new(a, b, c, host).to_string())
}

fn etcd(node: &Node, certificates: &Certificates) -> Result<Command> {
    let mut command = Command::new(binaries::program("etcd")?);
    let (clients, peers) = (
        format!("https://{NODE_ADDRESS}:2379"),
        format!("https://{NODE_ADDRESS}:2380"),
    );
    command
        .args([
            "--name=mailpods",
            "--client-cert-auth",
            "--peer-client-cert-auth",
        ])
        // A test cluster may be lost with the machine.
        .arg("--unsafe-no-fsync")
        .arg(format!("--data-dir={}", node.file("etcd").display()))
        .arg(format!("--listen-client-urls={clients}"))
        .arg(format!("--advertise-client-urls={clients}"))
        .arg(format!("--listen-peer-urls={peers}"))
        .arg(format!("--initial-advertise-peer-urls={peers}"))
        .arg(format!("--initial-cluster=mailpods={peers}"))
        .arg(certificates.option("cert-file", "etcd.pem"))
        .arg(certificates.option("key-file", "etcd.key"))
        .arg(certificates.option("trusted-ca-file", "ca.pem"))
        .arg(certificates.option("peer-cert-file", "etcd.pem"))
        .arg(certificates.option("peer-key-file", "etcd.key"))
        .arg(certificates.option("peer-trusted-ca-file", "ca.pem"));
    Ok(command)
}

fn api_server(certificates: &Certificates) -> Result<Command> {
    let mut command = Command::new(binaries::program("kube-apiserver")?);
    command
        .arg(format!("--bind-address={NODE_ADDRESS}"))
        .arg(format!("--advertise-address={NODE_ADDRESS}"))
        .arg(format!("--service-cluster-ip-range={SERVICES}"))
        .args([
            "--secure-port=6443",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            // The node's name need not resolve.
            "--kubelet-preferred-address-types=InternalIP",
        ])
        .arg(format!("--etcd-servers=https://{NODE_ADDRESS}:2379"))
        .arg(certificates.option("etcd-cafile", "ca.pem"))
        .arg(certificates.option("etcd-certfile", "etcd.pem"))
        .arg(certificates.option("etcd-keyfile", "etcd.key"))
        .arg(certificates.option("client-ca-file", "ca.pem"))
        .arg(certificates.option("tls-cert-file", "apiserver.pem"))
        .arg(certificates.option("tls-private-key-file", "apiserver.key"))
        .arg(certificates.option("kubelet-client-certificate", "apiserver-kubelet.pem"))
        .arg(certificates.option("kubelet-client-key", "apiserver-kubelet.key"))
        .arg(certificates.option("service-account-key-file", "service-account.pub"))
        .arg(certificates.option("service-account-signing-key-file", "service-account.key"))
        .arg(format!("--cert-dir={}", certificates.file("").display()));
    Ok(command)
}

fn controller_manager(certificates: &Certificates) -> Result<Command> {
    let kubeconfig = certificates.kubeconfig("controller-manager");
    let mut command = Command::new(binaries::program("kube-controller-manager")?);
    command
        .args(["--use-service-account-credentials", "--leader-elect=false"])
        .arg(format!("--bind-address={NODE_ADDRESS}"))
        .arg(format!("--kubeconfig={}", kubeconfig.display()))
        .arg(certificates.option("root-ca-file", "ca.pem"))
        .arg(certificates.option("service-account-private-key-file", "service-account.key"))
        .arg(format!("--cert-dir={}", certificates.file("").display()));
    Ok(command)
}

fn scheduler(certificates: &Certificates) -> Result<Command> {
    let kubeconfig = certificates.kubeconfig("scheduler");
    let mut command = Command::new(binaries::program("kube-scheduler")?);
    command
        .arg("--leader-elect=false")
        .arg(format!("--bind-address={NODE_ADDRESS}"))
        .arg(format!("--kubeconfig={}", kubeconfig.display()))
        .arg(format!("--cert-dir={}", certificates.file("").display()));
    Ok(command)
}

fn coredns(node: &Node, certificates: &Certificates) -> Result<Command> {
    let corefile = node.file("Corefile");
    let text = format!(
        include_str!("templates/Corefile"),
        port = DNS_PORT,
        address = NODE_ADDRESS,
        kubeconfig = certificates.kubeconfig("coredns").display(),
    );
    write(&corefile, &text)?;
    let mut command = Command::new(binaries::program("coredns")?);
    command.arg("-conf").arg(corefile);
    Ok(command)
}

fn proxy(node: &Node, certificates: &Certificates) -> Result<Command> {
    let configuration = node.file("kube-proxy.yaml");
    let text = format!(
        include_str!("templates/kube-proxy.yaml"),
        address = NODE_ADDRESS,
        pods = PODS,
        kubeconfig = certificates.kubeconfig("proxy").display(),
    );
    write(&configuration, &text)?;
    let mut command = Command::new(binaries::program("kube-proxy")?);
    command.arg(format!("--config={}", configuration.display()));
    Ok(command)
}

fn kubelet(node: &Node, certificates: &Certificates) -> Result<Command> {
    let resolv_conf = node.file("resolv.conf");
    write(&resolv_conf, &format!("nameserver {NODE_ADDRESS}\n"))?;
    let configuration = node.file("kubelet.yaml");
    let text = format!(
        include_str!("templates/kubelet.yaml"),
        address = NODE_ADDRESS,
        dns = DNS_SERVICE,
        folder = node.folder.display(),
        authority = certificates.file("ca.pem").display(),
        runtime = runtime::socket(node).display(),
        resolv_conf = resolv_conf.display(),
    );
    write(&configuration, &text)?;
    let root = node.file("kubelet");
    let mut command = Command::new(binaries::program("kubelet")?);
    command
        .args(["--hostname-override=mailpods", "--v=1"])
        .arg(format!("--node-ip={NODE_ADDRESS}"))
        .arg(format!("--config={}", configuration.display()))
        .arg(format!("--root-dir={}", root.display()))
        .arg(format!("--cert-dir={}", root.join("pki").display()))
        .arg(format!(
            "--kubeconfig={}",
            certificates.kubeconfig("node").display()
        ));
    Ok(command)
}

/// Writes a configuration file, unless it is there already: kube-proxy ends itself when its file is touched.
pub fn write(path: &Path, text: &str) -> Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    std::fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
}
