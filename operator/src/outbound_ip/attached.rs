//! Which nodes have an OutboundIP that leaves by the egress proxies of its MailCluster. Pure.

use mailpods_api::v1alpha1::{AttachmentType, OutboundIP};

use crate::kube::conditions::{Holds, Said};

/// A node with an egress proxy has the address.
pub const ATTACHED: &str = "Attached";

/// What is said of it; `None`: the MailCluster's proxies have nothing to do with it. `pods` are the proxies, and whether each has it.
#[must_use]
pub fn said(ip: &OutboundIP, pods: &[(String, bool)]) -> Option<Said> {
    let attachment = &ip.spec.attachment;
    let needs = match attachment.r#type {
        AttachmentType::HostNetwork => return None,
        AttachmentType::EgressProxy if attachment.egress_proxy.is_some() => return None,
        AttachmentType::EgressProxy => {
            "spec.roles.egress.nodeSelector of the MailCluster names the nodes"
        }
        AttachmentType::Multus => "Multus gives it to an egress pod of its own",
        AttachmentType::Cilium | AttachmentType::Antrea | AttachmentType::OVN => {
            "its egress pod runs where the network's kind is installed and the operator may write it (egressPolicies of the chart)"
        }
    };
    let having = pods.iter().filter(|(_, has)| *has);
    let having: Vec<&str> = having.map(|(pod, _)| pod.as_str()).collect();
    let (holds, reason, message) = match (pods.len(), having.is_empty()) {
        (0, _) => (
            Holds::Unknown,
            "NotObserved",
            format!("no egress proxy has told of its addresses; {needs}"),
        ),
        (count, true) => (
            Holds::False,
            "NotPlumbed",
            format!("none of {count} egress proxies has the address; {needs}"),
        ),
        (_, false) => (Holds::True, "Plumbed", having.join(", ")),
    };
    Some(Said::new(ATTACHED, holds, reason, message))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ip(attachment: serde_json::Value) -> OutboundIP {
        serde_json::from_value(json!({
            "apiVersion": "mailpods.dev/v1alpha1",
            "kind": "OutboundIP",
            "metadata": {"name": "one", "namespace": "mail"},
            "spec": {"address": "192.0.2.1", "hostname": "out.example.test", "attachment": attachment},
        }))
        .unwrap()
    }

    #[test]
    fn the_proxies_that_have_it_are_named() {
        let own = ip(json!({"type": "EgressProxy"}));
        let pod = |name: &str, has| (name.to_owned(), has);
        for (pods, holds, reason, message) in [
            (vec![], Holds::Unknown, "NotObserved", "nodeSelector"),
            (
                vec![pod("a", false), pod("b", false)],
                Holds::False,
                "NotPlumbed",
                "none of 2",
            ),
            (
                vec![pod("a", false), pod("b", true)],
                Holds::True,
                "Plumbed",
                "b",
            ),
        ] {
            let said = said(&own, &pods).unwrap();
            assert_eq!((said.holds, &*said.reason), (holds, reason));
            assert!(said.message.contains(message), "{}", said.message);
        }
        for other in [
            json!({"type": "HostNetwork"}),
            json!({"type": "EgressProxy", "egressProxy": {"host": "a.test", "secretRef": {"name": "a"}}}),
        ] {
            assert_eq!(said(&ip(other), &[pod("a", true)]), None);
        }
    }
}
