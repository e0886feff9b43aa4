//! A load balancer for one node: each Service of type LoadBalancer gets an address of its own on a device of the node.
//!
//! It does what MetalLB's layer 2 mode does here: the address answers on the network, and stands in the Service's status, where kube-proxy
//! takes it from.

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

/// Annotation with the address that a Service asks for, as MetalLB has it.
const WANTED: &str = "metallb.io/loadBalancerIPs";

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
    let list = kubectl.get(&["services", "--all-namespaces"])?;
    let list = list["items"].as_array().context("no list of Services")?;
    let mut services: Vec<Service> = list.iter().filter_map(Service::of).collect();
    for index in 0..services.len() {
        if let Some(address) = services[index].address {
            hold(options, address)?;
            continue;
        }
        let address = choose(options, &services, index).context("all addresses are given away")?;
        hold(options, address)?;
        services[index].give(kubectl, address)?;
    }
    Ok(())
}

/// A Service that wants an address from outside.
struct Service {
    namespace: String,
    name: String,
    address: Option<Ipv4Addr>,
    /// The address that it asks for. Several that ask for one share it, with different ports.
    wanted: Option<Ipv4Addr>,
}

impl Service {
    fn of(object: &Value) -> Option<Self> {
        let metadata = &object["metadata"];
        let address = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
        let wanted: Option<Ipv4Addr> = address(&metadata["annotations"][WANTED]);
        let given = address(&object["status"]["loadBalancer"]["ingress"][0]["ip"]);
        let service = Self {
            namespace: metadata["namespace"].as_str()?.to_owned(),
            name: metadata["name"].as_str()?.to_owned(),
            // One that asks for another address waits for that one.
            address: given.filter(|given| wanted.is_none_or(|wanted| wanted == *given)),
            wanted,
        };
        (object["spec"]["type"] == "LoadBalancer").then_some(service)
    }

    fn give(&mut self, kubectl: &Kubectl, address: Ipv4Addr) -> Result<()> {
        let status =
            json!({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}}).to_string();
        let mut arguments = vec![
            "patch",
            "service",
            &self.name,
            "--namespace",
            &self.namespace,
        ];
        arguments.extend(["--subresource=status", "--type=merge", "--patch", &status]);
        kubectl.run(&arguments)?;
        eprintln!("{}/{}: {address}", self.namespace, self.name);
        self.address = Some(address);
        Ok(())
    }
}

/// The address that is asked for, or the first that nobody has.
fn choose(options: &Options, services: &[Service], index: usize) -> Option<Ipv4Addr> {
    let taken = |address: &Ipv4Addr| {
        let used = |service: &Service| {
            service.address == Some(*address) || service.wanted == Some(*address)
        };
        services.iter().any(used)
    };
    let mut free = (u32::from(options.first)..=u32::from(options.last)).map(Ipv4Addr::from);
    services[index]
        .wanted
        .or_else(|| free.find(|address| !taken(address)))
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

    fn service(name: &str, kind: &str, ip: Option<&str>, wanted: Option<&str>) -> Value {
        let ingress = ip.map(|ip| json!([{ "ip": ip }]));
        json!({
            "metadata": {"namespace": "mail", "name": name, "annotations": {WANTED: wanted}},
            "spec": {"type": kind},
            "status": {"loadBalancer": {"ingress": ingress}},
        })
    }

    fn options() -> Options {
        Options {
            kubeconfig: PathBuf::new(),
            device: String::new(),
            first: Ipv4Addr::new(10, 77, 0, 100),
            last: Ipv4Addr::new(10, 77, 0, 102),
        }
    }

    #[test]
    fn the_first_free_address_is_given() {
        let services = [
            service("a", "LoadBalancer", Some("10.77.0.100"), None),
            service("b", "LoadBalancer", None, None),
            service("c", "LoadBalancer", None, Some("10.77.0.101")),
            service("d", "ClusterIP", None, None),
        ];
        let services: Vec<Service> = services.iter().filter_map(Service::of).collect();
        assert_eq!(services.len(), 3);
        assert_eq!(
            choose(&options(), &services, 1),
            Some(Ipv4Addr::new(10, 77, 0, 102))
        );
    }

    #[test]
    fn an_address_is_shared_by_those_that_ask_for_it() {
        let services = [
            service(
                "smtp",
                "LoadBalancer",
                Some("10.77.0.120"),
                Some("10.77.0.120"),
            ),
            service("imap", "LoadBalancer", None, Some("10.77.0.120")),
        ];
        let services: Vec<Service> = services.iter().filter_map(Service::of).collect();
        assert_eq!(
            choose(&options(), &services, 1),
            Some(Ipv4Addr::new(10, 77, 0, 120))
        );
    }
}
