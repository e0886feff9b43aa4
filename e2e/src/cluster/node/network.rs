//! The node's own network: a bridge with an address, a network for pods, a way out for them.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::command::{attempt, feed, run, words};

/// The bridge device. The node, hosts outside the cluster and load balancer addresses are on it.
pub const BRIDGE: &str = "mailpods0";
/// The node's address on the bridge.
pub const NODE_ADDRESS: &str = "10.77.0.1";
/// Length of the bridge's network prefix.
pub const PREFIX: u8 = 24;
/// Where the API server listens.
pub const API_SERVER: &str = "https://10.77.0.1:6443";
/// Addresses of pods.
pub const PODS: &str = "10.78.0.0/16";
/// Addresses of Services.
pub const SERVICES: &str = "10.79.0.0/16";
/// The Service `kubernetes` gets the first address.
pub const FIRST_SERVICE: &str = "10.79.0.1";
/// The Service address of the cluster's DNS.
pub const DNS_SERVICE: &str = "10.79.0.10";
/// Load balancer addresses: 10.77.0.FROM to 10.77.0.TO.
pub const BALANCER_ADDRESSES: std::ops::RangeInclusive<u8> = 100..=149;

const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";
/// Holds the value of `ip_forward` from before.
const FORWARDING_BEFORE: &str = "ip_forward.before";
/// Where network namespaces have their names (ip-netns(8)).
const NAMESPACES: &str = "/run/netns";
/// Says that `NAMESPACES` was made a mount point here.
const NAMESPACES_MOUNTED: &str = "netns.mounted";

/// Makes the bridge and the rules; what is there already stays.
pub fn make(folder: &Path) -> Result<()> {
    claim_bridge(folder)?;
    share_namespaces(folder)?;
    let address = format!("{NODE_ADDRESS}/{PREFIX}");
    run(&mut words(&[
        "ip", "address", "replace", &address, "dev", BRIDGE,
    ]))?;
    run(&mut words(&["ip", "link", "set", BRIDGE, "up"]))?;
    allow_forwarding(folder)?;
    feed(
        &mut words(&["nft", "-f", "-"]),
        masquerade_rules().as_bytes(),
    )
    .context("failed to set up address translation for pods")?;
    Ok(())
}

/// Removes what `make` made.
pub fn remove(folder: &Path) -> Result<()> {
    if is_ours(folder)? {
        run(&mut words(&["ip", "link", "delete", BRIDGE]))?;
    }
    for table in [
        ["ip", "mailpods"],
        ["ip", "kube-proxy"],
        ["ip6", "kube-proxy"],
    ] {
        // `destroy` would not fail for a table that is not there, but needs a newer nft.
        attempt(&mut words(&["nft", "delete", "table", table[0], table[1]]))?;
    }
    if folder.join(NAMESPACES_MOUNTED).exists() && is_mounted(NAMESPACES)? {
        run(&mut words(&["umount", NAMESPACES]))?;
    }
    let before = folder.join(FORWARDING_BEFORE);
    if let Ok(value) = std::fs::read_to_string(&before) {
        std::fs::write(FORWARDING, value)?;
        std::fs::remove_file(before)?;
    }
    Ok(())
}

/// The device's alias says which scratch folder it belongs to, so that a crash does not make it nobody's.
fn claim_bridge(folder: &Path) -> Result<()> {
    if is_ours(folder)? {
        return Ok(());
    }
    ensure!(
        !Path::new("/sys/class/net").join(BRIDGE).exists(),
        "the network device {BRIDGE} is in use by another cluster on this machine; \
         stop that one with `cargo xtask cluster down --dir FOLDER`"
    );
    run(&mut words(&["ip", "link", "add", BRIDGE, "type", "bridge"]))?;
    run(&mut words(&[
        "ip",
        "link",
        "set",
        BRIDGE,
        "alias",
        &alias(folder),
    ]))?;
    Ok(())
}

/// The first `ip netns add` of a machine binds the folder over itself. Names of pods from before that would be mounted twice, and containerd
/// could not remove them any more. So it is done before there are pods.
fn share_namespaces(folder: &Path) -> Result<()> {
    if is_mounted(NAMESPACES)? {
        return Ok(());
    }
    std::fs::create_dir_all(NAMESPACES)?;
    std::fs::write(folder.join(NAMESPACES_MOUNTED), "")?;
    run(&mut words(&["mount", "--bind", NAMESPACES, NAMESPACES]))?;
    run(&mut words(&["mount", "--make-shared", NAMESPACES]))?;
    Ok(())
}

fn is_mounted(path: &str) -> Result<bool> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    // The fifth field is the mount point (proc(5)).
    Ok(mounts.lines().any(|l| l.split(' ').nth(4) == Some(path)))
}

fn is_ours(folder: &Path) -> Result<bool> {
    let path = Path::new("/sys/class/net").join(BRIDGE).join("ifalias");
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.trim_end() == alias(folder)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn alias(folder: &Path) -> String {
    format!("mailpods cluster {}", folder.display())
}

fn allow_forwarding(folder: &Path) -> Result<()> {
    let before = folder.join(FORWARDING_BEFORE);
    if !before.exists() {
        std::fs::copy(FORWARDING, before)?;
    }
    std::fs::write(FORWARDING, "1").context("failed to allow forwarding between networks")
}

/// A pod that leaves the cluster does so with the node's address.
fn masquerade_rules() -> String {
    format!(
        "table ip mailpods\n\
         delete table ip mailpods\n\
         table ip mailpods {{\n\
           chain postrouting {{\n\
             type nat hook postrouting priority srcnat;\n\
             ip saddr {PODS} ip daddr != {{ {PODS}, {SERVICES} }} masquerade\n\
           }}\n\
         }}\n"
    )
}
