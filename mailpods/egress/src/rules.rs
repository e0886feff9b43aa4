//! What is opened for whom.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mailpods_net::socks::Reply;
use mailpods_plan::{OutboundTimeouts, Plan};
use mailpods_policy::outbound::reach::Reach;

use crate::sources;

/// A connection may idle for so long at least.
const LONG: Duration = Duration::from_secs(86_400);

/// From which addresses to which ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The outbound addresses, on whatever node they are.
    pub sources: BTreeSet<IpAddr>,
    /// Ports of mail exchangers.
    pub ports: BTreeSet<u16>,
    /// Fixed next hops: names or addresses, and ports.
    pub hops: BTreeSet<(String, u16)>,
    /// To be connected.
    pub connect: Duration,
    /// A connection over which nothing passes for longer is closed.
    pub idle: Duration,
    /// The network translates the pod's own address to the source: no interface has that.
    pub translated: bool,
}

impl Rules {
    /// Those of a plan: its addresses that leave by the cluster's own proxies, the port of mail exchangers, and fixed next hops.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let ips = plan.outbound_ips.values();
        let own = ips.filter(|ip| ip.attachment.is_own_egress());
        let sources = own.map(|ip| ip.address);
        let outbound = &plan.outbound;
        let rules = outbound.transports.iter();
        let hops = rules.filter_map(|rule| rule.next_hop.as_ref());
        let hops = hops
            .chain(&outbound.smart_host)
            .chain(&outbound.fallback_relay);
        Self {
            hops: hops.map(|hop| (hop.host.clone(), hop.port)).collect(),
            ..Self::new(
                sources.collect(),
                [outbound.port].into(),
                &outbound.timeouts,
            )
        }
    }

    /// The same by parts.
    #[must_use]
    pub fn new(
        sources: BTreeSet<IpAddr>,
        ports: BTreeSet<u16>,
        timeouts: &OutboundTimeouts,
    ) -> Self {
        let longest = [timeouts.command, timeouts.data_init, timeouts.data_block]
            .into_iter()
            .fold(timeouts.data_end, Duration::max);
        Self {
            sources,
            ports,
            hops: BTreeSet::new(),
            connect: timeouts.connect,
            // Delivery gives up first, with what it has to say, and may wait longer than is known here: its settings are newer, or those of
            // another machine. Who is not there any more is found by TCP.
            idle: (longest + Duration::from_secs(60)).max(LONG),
            translated: false,
        }
    }

    /// The same for one address, where the plan has it, as the one that the pod is for.
    #[must_use]
    pub fn only(mut self, source: IpAddr, translated: bool) -> Self {
        self.sources.retain(|known| *known == source);
        self.translated = translated;
        self
    }

    /// Whether connections can come from an address.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn is_here(&self, source: IpAddr) -> Result<(), Reply> {
        match self.translated {
            true => Ok(()),
            false => sources::is_here(source),
        }
    }

    /// Whether a connection from a source may lead to a destination.
    #[must_use]
    pub fn allow(&self, source: IpAddr, to: SocketAddr) -> bool {
        let reach = Reach::of(source).zip(Reach::of(to.ip()));
        let reaches = reach.is_some_and(|(from, to)| from <= to);
        reaches && (self.ports.contains(&to.port()) || self.is_hop(to))
    }

    /// Whether a destination may be a fixed next hop. What a name leads to is delivery's to find out, but the machine itself has services
    /// that are nobody's next hop: there it must be the next hop that is named.
    fn is_hop(&self, to: SocketAddr) -> bool {
        let is_named = |host: &str| match host.parse::<IpAddr>() {
            Ok(address) => address.to_canonical() == to.ip().to_canonical(),
            Err(_) => host.eq_ignore_ascii_case("localhost"),
        };
        let is_machine = Reach::of(to.ip()) == Some(Reach::Machine);
        let mut hops = self.hops.iter().filter(|(_, port)| *port == to.port());
        hops.any(|(host, _)| !is_machine || is_named(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules::new(
            BTreeSet::new(),
            [25, 587].into(),
            &OutboundTimeouts::default(),
        )
    }

    fn allowed(source: &str, to: &str) -> bool {
        rules().allow(source.parse().unwrap(), to.parse().unwrap())
    }

    #[test]
    fn from_the_internet_to_the_internet_alone() {
        assert!(
            allowed("192.0.2.1", "198.51.100.1:25") && allowed("192.0.2.1", "198.51.100.1:587")
        );
        assert!(allowed("2001:db8::1", "[2001:db8:1::1]:25"));
        for inside in [
            "127.0.0.1:25",
            "10.0.0.1:25",
            "172.16.1.1:25",
            "192.168.1.1:25",
            "169.254.169.254:25",
            "100.64.0.1:25",
            "0.0.0.0:25",
            "255.255.255.255:25",
            "224.0.0.1:25",
            "[::ffff:127.0.0.1]:25",
            "[::1]:25",
            "[::]:25",
            "[fe80::1]:25",
            "[fd00::1]:25",
            "[ff02::1]:25",
            "[64:ff9b::10.0.0.1]:25",
            "[64:ff9b:1::10.0.0.1]:25",
            "[2002:7f00:1::1]:25",
            "[::127.0.0.1]:25",
            "[fec1::1]:25",
            // Not a port of mail.
            "198.51.100.1:443",
            "198.51.100.1:22",
        ] {
            assert!(!allowed("192.0.2.1", inside), "{inside}");
            assert!(!allowed("2001:db8::1", inside), "{inside}");
        }
    }

    #[test]
    fn from_private_addresses_to_private_networks_too() {
        assert!(allowed("10.0.0.1", "10.0.0.2:25") && allowed("10.0.0.1", "198.51.100.1:25"));
        assert!(!allowed("10.0.0.1", "127.0.0.1:25") && !allowed("10.0.0.1", "169.254.169.254:25"));
        assert!(allowed("127.0.0.2", "127.0.0.1:25"));
        assert!(!allowed("127.0.0.2", "127.0.0.1:80"));
    }

    #[test]
    fn nothing_is_opened_from_what_is_no_address_of_one_host() {
        for source in ["0.0.0.0", "224.0.0.1", "255.255.255.255"] {
            assert!(!allowed(source, "127.0.0.1:25"), "{source}");
            assert!(!allowed(source, "198.51.100.1:25"), "{source}");
        }
        assert!(!allowed("::", "[::1]:25"));
    }

    #[test]
    fn the_machine_itself_is_a_next_hop_only_by_its_name() {
        let with = |host: &str| Rules {
            hops: [(host.to_owned(), 587)].into(),
            ports: [25].into(),
            ..rules()
        };
        let allows = |host: &str, source: &str, to: &str| {
            with(host).allow(source.parse().unwrap(), to.parse().unwrap())
        };
        for (host, source, to, wanted) in [
            ("127.0.0.1", "127.0.0.2", "127.0.0.1:587", true),
            ("localhost", "127.0.0.2", "127.0.0.1:587", true),
            ("::1", "::1", "[::1]:587", true),
            ("relay.example.org", "127.0.0.2", "127.0.0.1:587", false),
            ("127.0.0.3", "127.0.0.2", "127.0.0.1:587", false),
            ("127.0.0.1", "10.0.0.1", "127.0.0.1:587", false),
            ("relay.example.org", "10.0.0.1", "10.0.0.9:587", true),
            ("relay.example.org", "192.0.2.1", "198.51.100.1:587", true),
            ("relay.example.org", "192.0.2.1", "10.0.0.9:587", false),
            ("relay.example.org", "192.0.2.1", "198.51.100.1:465", false),
        ] {
            assert_eq!(allows(host, source, to), wanted, "{host} {source} {to}");
        }
    }

    #[test]
    fn a_connection_may_idle_longer_than_delivery_waits() {
        let idle = |data_end: u64| {
            let timeouts = OutboundTimeouts {
                data_end: Duration::from_secs(data_end),
                ..OutboundTimeouts::default()
            };
            Rules::new(BTreeSet::new(), BTreeSet::new(), &timeouts).idle
        };
        assert_eq!(idle(600), Duration::from_secs(86_400));
        assert_eq!(idle(100_000), Duration::from_secs(100_060));
    }
}
