//! An address to send from: a node has it, an egress proxy on the node connects from it.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::mail::client_address;
use super::system::{LIMIT, MAIL, SITE, patch, ready, rolled_out, told};
use super::t03_dns::await_answer;
use crate::cluster::node::network::{BRIDGE, NODE_ADDRESS};
use crate::command::{run as command, words};
use crate::kubectl::Kubectl;
use crate::world::World;

const OUTBOUND_IP: &str = include_str!("t15_egress.yaml");
const ADDRESS: &str = "10.77.0.20";
const HOST: &str = "out.example.test";
const REVERSE: &str = "20.0.77.10.in-addr.arpa";
const CLUSTER: &str = "mailcluster/main";
const PROXIES: &str = "daemonset/main-egress";
/// Pods of delivery, as `kubectl get` selects them.
const DELIVERY: &str =
    "--selector=app.kubernetes.io/instance=main,app.kubernetes.io/component=delivery";

/// Mail leaves from the address while there is an OutboundIP of it, and from the node's own when it is deleted.
pub fn run(world: &World) -> Result<()> {
    let kubectl = &world.kubectl;
    let spf = kubectl.run(&["-n", MAIL, "get", CLUSTER, "-o=jsonpath={.spec.dns.spf}"])?;
    prepare_node(kubectl)?;
    run_proxies(world)?;
    send_from_address(world)?;
    remove_address(world)?;
    leave_as_before(world, &spf)
}

/// The node's part, as its administrator would do it.
fn prepare_node(kubectl: &Kubectl) -> Result<()> {
    let address = format!("{ADDRESS}/32");
    // `replace` succeeds too where a run that failed has left it.
    command(&mut words(&[
        "ip", "address", "replace", &address, "dev", BRIDGE,
    ]))?;
    let label = "mailpods.dev/egress=true";
    kubectl.run(&["label", "node", "--all", "--overwrite", label])?;
    Ok(())
}

/// The network of the node is for namespaces of PodSecurity level `privileged` alone.
fn run_proxies(world: &World) -> Result<()> {
    let kubectl = &world.kubectl;
    pod_security(kubectl, "privileged")?;
    let spf = format!("v=spf1 mx ip4:{NODE_ADDRESS} ip4:{ADDRESS} -all");
    let fields = json!({"spec": {"roles": {"egress": {}}, "dns": {"spf": spf, "reverse": true}}});
    let before = kubectl.run(&["-n", MAIL, "get", "pods", DELIVERY, "-o=name"])?;
    patch(kubectl, CLUSTER, &fields.to_string())?;
    wait_for(kubectl, "create", PROXIES)?;
    rolled_out(kubectl, MAIL, PROXIES)?;
    ready(kubectl, MAIL, &[CLUSTER])?;
    // Those do not know the proxies, and take mail until they have ended.
    for pod in before.lines() {
        wait_for(kubectl, "delete", pod)?;
    }
    await_answer(world.dns()?, SITE.domain, "TXT", &[&format!("\"{spf}\"")])
}

/// The name leads to the address and back, a proxy has found it on its node, and a stranger sees our mail come from there.
fn send_from_address(world: &World) -> Result<()> {
    let (kubectl, dns) = (&world.kubectl, world.dns()?);
    kubectl.apply(OUTBOUND_IP)?;
    for condition in ["Attached", "Sending", "Ready"] {
        wait_for(kubectl, &format!("condition={condition}"), "outboundip/out")?;
    }
    await_answer(dns, HOST, "A", &[ADDRESS])?;
    await_answer(dns, REVERSE, "PTR", &[&format!("{HOST}.")])?;
    let message = leaves_from(world, ADDRESS)?;
    // Postfix writes the name that the client says, and in parentheses the one that it has looked up.
    let client = format!("from {HOST} ({HOST} [{ADDRESS}])");
    ensure!(
        message.contains(&client),
        "no `{client}` in this message:\n{message}"
    );
    Ok(())
}

/// It is drained, its records stay for their time to live, and go with it; then mail leaves as if it had never been.
fn remove_address(world: &World) -> Result<()> {
    let (kubectl, dns) = (&world.kubectl, world.dns()?);
    kubectl.run(&["-n", MAIL, "delete", "outboundip/out", "--wait=false"])?;
    wait_for(kubectl, "condition=Drained", "outboundip/out")?;
    await_answer(dns, HOST, "A", &[ADDRESS])?;
    wait_for(kubectl, "delete", "outboundip/out")?;
    await_answer(dns, HOST, "A", &[])?;
    await_answer(dns, REVERSE, "PTR", &[])?;
    leaves_from(world, NODE_ADDRESS).map(|_| ())
}

fn leave_as_before(world: &World, spf: &str) -> Result<()> {
    let kubectl = &world.kubectl;
    let fields = json!({"spec": {"roles": {"egress": null}, "dns": {"spf": spf, "reverse": null}}});
    patch(kubectl, CLUSTER, &fields.to_string())?;
    wait_for(kubectl, "delete", PROXIES)?;
    ready(kubectl, MAIL, &[CLUSTER])?;
    await_answer(world.dns()?, SITE.domain, "TXT", &[&format!("\"{spf}\"")])?;
    pod_security(kubectl, "restricted")?;
    kubectl.run(&["label", "node", "--all", "mailpods.dev/egress-"])?;
    let address = format!("{ADDRESS}/32");
    command(&mut words(&[
        "ip", "address", "delete", &address, "dev", BRIDGE,
    ]))?;
    Ok(())
}

/// Our user's mail arrives outside, signed, from this address. Returns it.
fn leaves_from(world: &World, address: &str) -> Result<String> {
    let message = SITE.sends_signed(world, &world.subject("from an address"))?;
    let client = client_address(&message);
    ensure!(
        client == Some(address),
        "came from {client:?}, not from {address}:\n{message}"
    );
    Ok(message)
}

fn pod_security(kubectl: &Kubectl, level: &str) -> Result<()> {
    let label = format!("pod-security.kubernetes.io/enforce={level}");
    kubectl.run(&["label", "namespace", MAIL, "--overwrite", &label])?;
    Ok(())
}

/// `kubectl wait`, as a person would.
fn wait_for(kubectl: &Kubectl, what: &str, resource: &str) -> Result<()> {
    let (what, limit) = (
        format!("--for={what}"),
        format!("--timeout={}s", LIMIT.as_secs()),
    );
    let outcome = kubectl.run(&["-n", MAIL, "wait", &what, &limit, resource]);
    outcome.map(|_| ()).with_context(|| told(kubectl, MAIL))
}
