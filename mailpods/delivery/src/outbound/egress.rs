//! Egress proxies: who opens connections from an address, and whether it is there.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mailpods_net::socks::{EgressError, Proxy};
use mailpods_net::{ConnectError, Connection, Connector, TlsClient};
use mailpods_plan::{Attachment, EgressProxy, OutboundIp};
use mailpods_policy::outbound::life::Finding;
use zeroize::Zeroizing;

/// Who opens connections from an address; `None`: this process. The text says why nobody can.
pub(crate) type Via = Result<Option<Arc<Proxy>>, String>;

/// Name and port of a proxy.
type Place = (String, u16);
/// A proxy, and the settings that it was made of.
type Named = (EgressProxy, Arc<Proxy>);

/// The proxies that are known.
pub(crate) struct Proxies {
    /// Those of the MailCluster.
    own: Option<Arc<Proxy>>,
    /// Those that OutboundIPs name.
    named: Mutex<HashMap<Place, Named>>,
}

impl Proxies {
    /// None but those of the MailCluster, where there are any.
    pub(crate) fn new(own: Option<Arc<Proxy>>) -> Self {
        Self {
            own,
            named: Mutex::default(),
        }
    }

    /// Who opens connections from an address.
    pub(crate) fn via(&self, ip: &OutboundIp) -> Via {
        match &ip.attachment {
            Attachment::Host => Ok(None),
            Attachment::Egress(None) | Attachment::Pod(_) => match &self.own {
                Some(own) => Ok(Some(own.clone())),
                None => Err("the process was told of no egress proxies (--egress)".to_owned()),
            },
            Attachment::Egress(Some(named)) => self.named(named).map(Some),
        }
    }

    /// The proxy of these settings: made once, so that it remembers what it saw, and anew when they change.
    fn named(&self, settings: &EgressProxy) -> Result<Arc<Proxy>, String> {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (settings.host.clone(), settings.port);
        if let Some((known, proxy)) = named.get(&place)
            && known == settings
        {
            return Ok(proxy.clone());
        }
        let tls = TlsClient::of_authority(settings.ca.as_bytes());
        let tls = tls.map_err(|error| format!("the authority cannot be used: {error}"))?;
        let token = settings.token.reveal().trim().as_bytes().to_vec();
        let proxy = Proxy::new(vec![place.clone()], tls, Zeroizing::new(token));
        let proxy = Arc::new(proxy.map_err(|error| error.to_string())?);
        named.insert(place, (settings.clone(), proxy.clone()));
        Ok(proxy)
    }

    /// Whether connections can come from an address. No answer is none.
    pub(crate) async fn finding(&self, ip: &OutboundIp) -> Finding {
        let proxy = match (self.via(ip), &ip.attachment) {
            (Ok(None), _) => return on_this_machine(ip.address).await,
            (Ok(Some(proxy)), _) => proxy,
            // A pod of before the proxies cannot tell, and what one pod finds counts for all.
            (Err(why), Attachment::Egress(None)) => return Finding::Unknown(why),
            (Err(why), _) => return Finding::Failed(why),
        };
        match proxy.has(ip.address).await {
            Ok(true) => Finding::Passed,
            Ok(false) => Finding::Failed(format!("no egress proxy at {proxy} has {}", ip.address)),
            Err(error) => Finding::Unknown(explained(super::attempt::with_causes(&error))),
        }
    }
}

/// What to do about a certificate that is the authority's own and at the same time the proxy's, which no TLS client takes
/// (RFC 5280 §4.2.1.9).
fn explained(error: String) -> String {
    if !error.contains("CaUsedAsEndEntity") {
        return error;
    }
    format!(
        "{error} (the proxy's certificate says CA:TRUE: make it with `-addext basicConstraints=critical,CA:FALSE`, and put it into ca.crt of the Secret too)"
    )
}

/// Whether an interface of this machine has an address.
pub(crate) async fn on_this_machine(address: IpAddr) -> Finding {
    match tokio::net::UdpSocket::bind((address, 0)).await {
        Ok(_) => Finding::Passed,
        Err(error) => Finding::Failed(format!("{address} cannot be sent from: {error}")),
    }
}

/// Connects from a source, through whoever has it.
pub(crate) async fn connect(
    connector: &Connector,
    (via, source): (&Via, Option<IpAddr>),
    to: SocketAddr,
    limit: Duration,
) -> Result<Connection, ConnectError> {
    match (via, source) {
        (Ok(Some(proxy)), Some(source)) => proxy.connect(to, source, limit).await,
        (Ok(_), source) => connector.connect(to, source, limit).await,
        (Err(why), _) => Err(ConnectError::Egress {
            proxy: "an unknown place".to_owned(),
            error: Box::new(EgressError::Unusable(why.clone())),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use mailpods_net::tls::self_signed;
    use mailpods_plan::SecretText;

    use super::*;
    use crate::testing::name;

    fn ip(attachment: Attachment) -> OutboundIp {
        OutboundIp {
            name: "one".to_owned(),
            address: "127.0.0.2".parse().unwrap(),
            hostname: name("out.example.test"),
            sending: true,
            pool: "default".to_owned(),
            weight: 1,
            warm_up: None,
            attachment,
        }
    }

    #[test]
    fn a_certificate_that_is_its_own_authority_is_told_of() {
        let told = explained("invalid peer certificate: CaUsedAsEndEntity".to_owned());
        assert!(told.contains("CA:FALSE"), "{told}");
        assert_eq!(explained("refused".to_owned()), "refused");
    }

    #[tokio::test]
    async fn a_proxy_is_made_once_for_the_same_settings() {
        let pem = self_signed(&["127.0.0.1".to_owned()], SystemTime::now(), 30).unwrap();
        let settings = |token: &str| EgressProxy {
            host: "127.0.0.1".to_owned(),
            port: 1,
            ca: pem.chain.clone(),
            token: SecretText::new(token.to_owned()),
        };
        let proxies = Proxies::new(None);
        let via = |settings| proxies.via(&ip(Attachment::Egress(Some(settings))));
        let first = via(settings("a\n")).unwrap().unwrap();
        assert!(Arc::ptr_eq(&first, &via(settings("a\n")).unwrap().unwrap()));
        assert!(!Arc::ptr_eq(&first, &via(settings("b")).unwrap().unwrap()));
        let bad = EgressProxy {
            ca: "nothing".to_owned(),
            ..settings("a")
        };
        assert!(via(bad).unwrap_err().contains("authority"));
        // Nobody listens there, so nobody knows.
        let unknown = proxies
            .finding(&ip(Attachment::Egress(Some(settings("a")))))
            .await;
        assert!(matches!(unknown, Finding::Unknown(_)), "{unknown:?}");
        let none = proxies.finding(&ip(Attachment::Egress(None))).await;
        assert!(
            matches!(&none, Finding::Unknown(why) if why.contains("--egress")),
            "{none:?}"
        );
        assert_eq!(
            proxies.finding(&ip(Attachment::Host)).await,
            Finding::Passed
        );
    }
}
