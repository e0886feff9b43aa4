//! `mailpods egress-proxy`: a machine that opens connections from its addresses for delivery elsewhere.
use std::net::{IpAddr, SocketAddr};

use mailpods_pod::{AloneOptions, run_proxy};
use mailpods_telemetry::error_chain;

use super::logging::LogArgs;
use super::pod::EgressListenerArgs;
use crate::args::{Format, Globals};
use crate::failure::{Exit, Failure, Outcome};
use crate::session::block_on_all_cores;

const EXAMPLES: &str = "\
Examples:
  mailpods egress-proxy --egress-listen 10.0.0.5:9465 --egress-cert tls.crt --egress-key tls.key \\
      --egress-token token --address 203.0.113.5 --address 2001:db8::5

An OutboundIP names it: attachment: {type: EgressProxy, egressProxy: {host: 10.0.0.5, secretRef: {name: egress}}}, where the
Secret has the keys ca.crt and token. Without the token nobody is served; keep the port from strangers all the same.";

/// Opens connections from the addresses of this machine, for delivery on another one.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    listener: EgressListenerArgs,
    /// Address of this machine that connections may come from; may be given several times.
    #[arg(long, value_name = "ADDR", required = true, value_delimiter = ',')]
    address: Vec<IpAddr>,
    /// Port that connections may lead to; may be given several times.
    #[arg(long, value_name = "PORT", default_value = "25", value_delimiter = ',')]
    port: Vec<u16>,
    /// Where probes (/livez, /readyz) and /metrics are served, plain HTTP.
    #[arg(long, default_value = "127.0.0.1:9466", value_name = "ADDR:PORT")]
    health: SocketAddr,
    #[command(flatten)]
    log: LogArgs,
}

impl Args {
    /// Runs the command.
    pub fn run(self, globals: &Globals) -> Outcome {
        self.log.start()?;
        let options = AloneOptions {
            listener: self.listener.options(),
            addresses: self.address,
            ports: self.port,
            health: self.health,
            json: globals.output == Format::Json,
        };
        block_on_all_cores(async move {
            match run_proxy(options).await {
                Ok(()) => Ok(Exit::Done),
                Err(error) => Err(Failure::new(Exit::Failed, error_chain(&error))),
            }
        })
    }
}
