//! OutboundIPs, and who has them.

use serde::{Deserialize, Serialize};

use super::super::Role;
use super::Secret;
use crate::model;

/// `outbound-ip/NAME`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::slice) struct Address {
    #[serde(flatten)]
    ip: model::OutboundIp,
    /// Left out: the process itself has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    egress: Option<Egress>,
}

/// Who has an address instead.
#[derive(Serialize, Deserialize)]
struct Egress {
    /// Left out: those of the MailCluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proxy: Option<EgressProxy>,
}

#[derive(Serialize, Deserialize)]
struct EgressProxy {
    host: String,
    port: u16,
    ca: String,
    token: Secret,
}

impl Address {
    pub(in crate::slice) fn of(ip: &model::OutboundIp, role: Role) -> Self {
        let proxy = |proxy: &model::EgressProxy| EgressProxy {
            host: proxy.host.clone(),
            port: proxy.port,
            ca: proxy.ca.clone(),
            token: Secret(proxy.token.clone()),
        };
        let egress = match &ip.attachment {
            model::Attachment::Host => None,
            model::Attachment::Pod(_) => Some(Egress { proxy: None }),
            model::Attachment::Egress(other) => Some(Egress {
                proxy: other.as_ref().filter(|_| role.sends()).map(proxy),
            }),
        };
        let ip = ip.clone();
        Self { ip, egress }
    }

    pub(in crate::slice) fn model(self, name: String) -> model::OutboundIp {
        let proxy = |proxy: EgressProxy| model::EgressProxy {
            host: proxy.host,
            port: proxy.port,
            ca: proxy.ca,
            token: proxy.token.0,
        };
        let attachment = match self.egress {
            None => model::Attachment::Host,
            Some(egress) => model::Attachment::Egress(egress.proxy.map(proxy)),
        };
        model::OutboundIp {
            name,
            attachment,
            ..self.ip
        }
    }
}
