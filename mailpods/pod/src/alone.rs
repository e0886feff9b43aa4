//! An egress proxy on a machine of its own: no operator, no plan; its addresses are named when it is started.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mailpods_egress::Rules;
use mailpods_net::{Stage, Tracker, shutdown};
use mailpods_plan::OutboundTimeouts;
use mailpods_process::{Signals, finish};
use mailpods_telemetry::health::{self, Health};
use mailpods_telemetry::metrics::Registry;
use serde_json::json;
use tokio::net::TcpListener;

use crate::egress::{self, ProxyError};
use crate::inner::InnerListenerOptions;

/// Time for connections that are open when the process is told to stop.
const GRACE: Duration = Duration::from_secs(60);

/// What a proxy is told.
#[derive(Debug, Clone)]
pub struct AloneOptions {
    /// Where delivery connects to, and by which secrets.
    pub listener: InnerListenerOptions,
    /// Addresses that connections may come from.
    pub addresses: Vec<IpAddr>,
    /// Ports that they may lead to.
    pub ports: Vec<u16>,
    /// Where probes and metrics are served, plain HTTP.
    pub health: SocketAddr,
    /// Print what is open as lines of JSON.
    pub json: bool,
}

/// Why a proxy did not start.
#[derive(Debug, thiserror::Error)]
pub enum AloneError {
    /// Signals cannot be received.
    #[error("failed to listen for signals")]
    Signals(#[source] std::io::Error),
    /// Probes cannot be served.
    #[error("failed to serve probes and metrics on {address}")]
    Health {
        /// The address wanted.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// It cannot be a proxy.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// A metric's name is taken twice.
    #[error("failed to register metrics")]
    Metrics(#[from] mailpods_telemetry::metrics::MetricsError),
}

/// Runs until SIGTERM or SIGINT; open connections have a minute to end.
///
/// # Errors
/// When something that the start needs is missing.
pub async fn run_proxy(options: AloneOptions) -> Result<(), AloneError> {
    let mut signals = Signals::new().map_err(AloneError::Signals)?;
    let registry = Registry::new().with_process_metrics(env!("CARGO_PKG_VERSION"))?;
    let (health, (trigger, stop), tracker) = (Health::new(), shutdown::channel(), Tracker::new());
    let address = options.health;
    let failed = |source| AloneError::Health { address, source };
    let probes = TcpListener::bind(address).await.map_err(failed)?;
    let probed = probes.local_addr().map_err(failed)?;
    let component = health.component("stop");
    component.ready();
    let sources: BTreeSet<IpAddr> = options.addresses.into_iter().collect();
    let ports = options.ports.into_iter().collect();
    let rules = Rules::new(sources, ports, &OutboundTimeouts::default());
    let ends = (stop.clone(), tracker.clone());
    let running = egress::start(options.listener, rules, &registry, ends).await?;
    tracing::info!(address = %running.address, probes = %probed, "listening");
    if options.json {
        println!("{}", json!({"health": probed.to_string()}));
        let socket =
            json!({"name": "egress", "protocol": "socks5", "address": running.address.to_string()});
        println!("{}", json!({"ready": true, "listeners": [socket]}));
    }
    let served = stop.clone();
    tokio::spawn(async move {
        health::serve(probes, health, registry, served.reached(Stage::Force)).await;
    });
    signals.stop().await;
    component.not_ready("stopping");
    trigger.advance(Stage::StopAccepting);
    finish(&trigger, &tracker, GRACE, Duration::ZERO).await;
    Ok(())
}
