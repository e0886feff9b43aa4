//! A load balancer for one node: each Service of type LoadBalancer gets an address of its own on a device of the node.
//!
//! It does what MetalLB's layer 2 mode does here: the address answers on the network, and stands in the Service's status, where kube-proxy
//! takes it from.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};

use crate::command::{run, words};
use crate::kubectl::Kubectl;

/// Before the Services are watched again after a watch that ended.
const PAUSE: Duration = Duration::from_secs(1);

/// Options of the process.
#[derive(Args)]
pub struct Options {
    #[arg(long)]
    kubeconfig: PathBuf,
    /// Device that gets the addresses.
    #[arg(long)]
    device: String,
    /// First address to give.
    #[arg(long)]
    first: Ipv4Addr,
    /// Last address to give.
    #[arg(long)]
    last: Ipv4Addr,
}

/// A Service by namespace and name.
type Name = (String, String);

/// Gives addresses until it is stopped.
pub fn serve(options: &Options) -> Result<()> {
    let kubectl = Kubectl::new(&options.kubeconfig)?;
    loop {
        // An API server that is away for a while is no reason to end.
        if let Err(error) = watch(options, &kubectl) {
            eprintln!("{error:#}");
        }
        std::thread::sleep(PAUSE);
    }
}

/// One pass for each change, until the watch ends.
fn watch(options: &Options, kubectl: &Kubectl) -> Result<()> {
    let mut changes = kubectl
        .command(&["get", "services", "--all-namespaces", "--watch", "-o=name"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("failed to start kubectl")?;
    let output = changes.stdout.take().context("kubectl has no output")?;
    for line in BufReader::new(output).lines() {
        line?;
        pass(options, kubectl)?;
    }
    changes.wait()?;
    Ok(())
}

fn pass(options: &Options, kubectl: &Kubectl) -> Result<()> {
    let services = kubectl.get(&["services", "--all-namespaces"])?;
    let services = services["items"]
        .as_array()
        .context("no list of Services")?;
    let (given, waiting) = sort(services);
    for address in given.values() {
        hold(options, *address)?;
    }
    let mut free = (u32::from(options.first)..=u32::from(options.last))
        .map(Ipv4Addr::from)
        .filter(|address| !given.values().any(|used| used == address));
    for (namespace, name) in waiting {
        let address = free.next().context("all addresses are given away")?;
        hold(options, address)?;
        let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}});
        kubectl.run(&[
            "patch",
            "service",
            &name,
            "--namespace",
            &namespace,
            "--subresource=status",
            "--type=merge",
            "--patch",
            &status.to_string(),
        ])?;
        eprintln!("{namespace}/{name}: {address}");
    }
    Ok(())
}

/// Services that have an address, and those that wait for one.
fn sort(services: &[Value]) -> (BTreeMap<Name, Ipv4Addr>, Vec<Name>) {
    let mut given = BTreeMap::new();
    let mut waiting = Vec::new();
    let wants = services
        .iter()
        .filter(|service| service["spec"]["type"] == "LoadBalancer");
    for service in wants {
        let text = |field: &str| service["metadata"][field].as_str().map(str::to_owned);
        let (Some(namespace), Some(name)) = (text("namespace"), text("name")) else {
            continue;
        };
        let ingress = &service["status"]["loadBalancer"]["ingress"][0]["ip"];
        match ingress.as_str().and_then(|ip| ip.parse().ok()) {
            Some(address) => {
                given.insert((namespace, name), address);
            }
            None => waiting.push((namespace, name)),
        }
    }
    (given, waiting)
}

/// Puts the address on the device, where the kernel answers for it.
fn hold(options: &Options, address: Ipv4Addr) -> Result<()> {
    let address = format!("{address}/32");
    run(&mut words(&[
        "ip",
        "address",
        "replace",
        &address,
        "dev",
        &options.device,
    ]))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_load_balancers_without_an_address_wait() {
        let service = |name: &str, kind: &str, ip: Option<&str>| {
            json!({
                "metadata": {"namespace": "mail", "name": name},
                "spec": {"type": kind},
                "status": {"loadBalancer": ip.map_or(json!({}), |ip| json!({"ingress": [{"ip": ip}]}))},
            })
        };
        let services = [
            service("a", "ClusterIP", None),
            service("b", "LoadBalancer", Some("10.77.0.100")),
            service("c", "LoadBalancer", None),
        ];
        let (given, waiting) = sort(&services);
        assert_eq!(given.len(), 1);
        assert_eq!(waiting, [("mail".to_owned(), "c".to_owned())]);
    }
}
