//! `mailpods ip`
mod order;
mod show;

pub use show::table;

use mailpods_plan::OutboundIp;

use crate::args::Globals;
use crate::failure::{Exit, Failure, Outcome};
use crate::plans::{Addresses, Config};

const EXAMPLES: &str = "\
Examples:
  mailpods ip list --config /etc/mailpods                       every address, its phase, and why
  mailpods ip explain one --config /etc/mailpods                the checks, rests and reasons of one address
  mailpods ip rest one --for 2h --config /etc/mailpods          no mail from it for a while
  mailpods ip rest one --provider google --config /etc/mailpods no mail from it to Gmail
  mailpods ip drain one --config /etc/mailpods                  no new mail, until it is activated
  mailpods ip activate one --config /etc/mailpods               use it now, whatever was seen of it
  mailpods ip activate one --provider google --config /etc/mailpods
                                                                end its rest for Gmail alone
  mailpods ip recheck one --config /etc/mailpods                take that back: what is seen of it counts

`rest`, `drain`, `activate` and `recheck` take several names. A running server does what it is told within a second.
While something in the folder is wrong, this works with the addresses that the server has.";

/// See and steer the addresses that mail leaves from (OutboundIP).
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    /// List the addresses.
    List(Config),
    /// Tell all that is known of an address.
    Explain(Named),
    /// Let addresses rest.
    Rest(order::Rest),
    /// Take addresses out of use.
    Drain(Several),
    /// Use addresses: forgets rests and drains, and passes over the checks.
    Activate(order::Activate),
    /// Take `activate` back: the checks and block lists count again, and are looked at now.
    Recheck(Several),
}

#[derive(Debug, clap::Args)]
pub struct Named {
    /// Name of the OutboundIP.
    name: String,
    #[command(flatten)]
    config: Config,
}

#[derive(Debug, clap::Args)]
pub struct Several {
    /// Names of the OutboundIPs.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    config: Config,
}

impl Command {
    pub fn run(self, globals: &Globals) -> Outcome {
        use mailpods_policy::outbound::life::Order;
        match self {
            Self::List(config) => show::list(&config, globals),
            Self::Explain(named) => show::explain(&named, globals),
            Self::Rest(rest) => rest.run(globals),
            Self::Drain(named) => order::give(&named, &Order::Drain, globals),
            Self::Activate(activate) => activate.run(globals),
            Self::Recheck(named) => order::give(&named, &Order::Recheck, globals),
        }
    }
}

impl Addresses {
    /// The address that is meant.
    fn named(&self, name: &str) -> Result<&OutboundIp, Failure> {
        self.ips.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.ips.keys().map(String::as_str).collect();
            let text = match known.as_slice() {
                [] => format!("no OutboundIP {name:?}: there is none at all"),
                known => format!("no OutboundIP {name:?}: there are {}", known.join(", ")),
            };
            Failure::new(Exit::NothingMatched, text)
        })
    }
}
