//! `mailpods dns`
mod check;
mod host;
mod lookup;
mod print;
mod wanted;

use clap::Subcommand;

use crate::args::Globals;
use crate::failure::Outcome;

const EXAMPLES: &str = "\
Examples:
  mailpods dns print --config /etc/mailpods --data /var/lib/mailpods              zone text for a name server
  mailpods dns print --config . --domain example.org --format dnsendpoint | kubectl apply -f -
  mailpods dns check --config /etc/mailpods --data /var/lib/mailpods              what is missing or wrong
  mailpods dns check --config . --resolver 9.9.9.9:53

DKIM keys live in the store: --data must be the folder that the server runs with.";

/// The DNS records that the domains need: MX, SPF, DKIM, DMARC, TLS-RPT, SRV, autoconfig.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    /// Print the records, as zone text, JSON or DNSEndpoint resources.
    Print(print::Args),
    /// Compare the records with what is published; also that the hostname has an address, and that it leads back.
    Check(check::Args),
}

impl Command {
    pub fn run(self, globals: &Globals) -> Outcome {
        match self {
            Self::Print(args) => args.run(globals),
            Self::Check(args) => args.run(globals),
        }
    }
}
