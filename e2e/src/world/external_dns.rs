//! ExternalDNS, as a process beside the cluster, with the options that docs/kubernetes.md recommends.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::powerdns::PowerDns;
use crate::cluster::process::Processes;
use crate::command::run;
use crate::kubectl::Kubectl;
use crate::{binaries, wait};

/// The process.
pub const NAME: &str = "external-dns";
const METRICS: &str = "127.0.0.1:7979";
const LIMIT: Duration = Duration::from_secs(60);

/// Installs the definition of DNSEndpoint and starts the controller.
pub fn start(processes: &Processes, kubectl: &Kubectl, dns: &PowerDns) -> Result<()> {
    kubectl.apply(&definition()?)?;
    let wanted = [
        "crd/dnsendpoints.externaldns.k8s.io",
        "-o=jsonpath={.status.conditions[?(@.type=='Established')].status}",
    ];
    kubectl.until("DNSEndpoint is known", LIMIT, &wanted, |seen| {
        seen == "True"
    })?;
    let mut command = Command::new(binaries::program(NAME)?);
    command
        .arg(format!("--kubeconfig={}", kubectl.kubeconfig().display()))
        .arg(format!("--pdns-server={}", dns.url()))
        .arg(format!("--pdns-api-key={}", dns.key()))
        .arg(format!("--metrics-address={METRICS}"))
        .args([
            "--source=crd",
            "--provider=pdns",
            "--registry=txt",
            "--txt-owner-id=mailpods",
            "--txt-prefix=%{record_type}-edns.",
            "--policy=sync",
            // A minute is usual; a test should not wait for that.
            "--interval=1s",
        ]);
    for kind in ["MX", "TXT", "SRV", "CNAME", "PTR", "A", "AAAA"] {
        command.arg(format!("--managed-record-types={kind}"));
    }
    processes.start(NAME, &mut command)?;
    wait::until("ExternalDNS has synchronised", LIMIT, || {
        processes.check(NAME)?;
        let log = std::fs::read_to_string(processes.log(NAME))?;
        let synchronised = log.contains("up to date") || log.contains("record");
        Ok(wait::holds(synchronised, "no pass in its log"))
    })
}

/// The definition of DNSEndpoint that belongs to the pinned version.
fn definition() -> Result<String> {
    let module = crate::root().join("e2e/binaries").join(NAME);
    let mut go = Command::new(binaries::go());
    go.current_dir(module)
        .args(["mod", "download", "-json", "sigs.k8s.io/external-dns"]);
    let answer: Value = serde_json::from_str(&run(&mut go)?)?;
    let folder = answer["Dir"].as_str().context("no folder of the module")?;
    let file = format!("{folder}/config/crd/standard/dnsendpoints.externaldns.k8s.io.yaml");
    std::fs::read_to_string(&file).with_context(|| format!("failed to read {file}"))
}
