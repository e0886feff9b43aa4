//! `mailpods route`
use std::net::SocketAddr;
use std::path::PathBuf;

use mailpods_delivery::ips::{self, ExplainError, Explanation, ProtectedHost};
use mailpods_net::dns::HickoryResolver;

use super::ip::table;
use crate::args::{Format, Globals, parse_server};
use crate::commands::check;
use crate::failure::{Exit, Failure, Outcome};
use crate::output;
use crate::session::with_store_or_new;
use crate::time;

const EXAMPLES: &str = "\
Examples:
  mailpods route gmail.com --config /etc/mailpods                           servers, provider, limits, addresses
  mailpods route gmail.com --from bob@example.org --config /etc/mailpods    for mail of one sender
  mailpods route gmail.com --from '' --config /etc/mailpods                 for notifications";

/// Tell where mail for a domain would go now, from which address, how fast, and why.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Domain of the recipients.
    domain: String,
    /// Envelope sender; an empty one for notifications.
    #[arg(long, value_name = "SENDER")]
    from: Option<String>,
    /// Folder with the resources.
    #[arg(long, env = "MAILPODS_CONFIG", value_name = "DIR")]
    config: PathBuf,
    /// DNS servers to ask, in place of those of the MailCluster.
    #[arg(long, value_parser = parse_server, value_name = "ADDR[:PORT]")]
    resolver: Vec<SocketAddr>,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Outcome {
        let plan = check::plan(&self.config)?;
        let servers = match self.resolver.is_empty() {
            true => plan.dns.servers.clone(),
            false => self.resolver.clone(),
        };
        // Of a sender nobody speaks of, the addresses for strangers are shown.
        let sender = self
            .from
            .clone()
            .unwrap_or_else(|| "someone@invalid".to_owned());
        let format = globals.output;
        with_store_or_new(globals, |store| async move {
            let resolver = HickoryResolver::new(&servers, plan.dns.timeout, plan.dns.attempts, 256)
                .map_err(|error| Failure::because(Exit::Failed, "failed to set up DNS", &error))?;
            let explained = ips::explain(
                &plan,
                &resolver,
                store.secrets.as_ref(),
                (&self.domain, &sender),
                time::now(),
            )
            .await
            .map_err(|error| match &error {
                ExplainError::NotADomain(_) => Failure::new(Exit::Usage, error.to_string()),
                _ => Failure::because(Exit::Failed, "failed to explain", &error),
            })?;
            match format {
                Format::Json => output::json(&explained)?,
                Format::Table => print(&explained)?,
            }
            Ok(Exit::Done)
        })
    }
}

fn print(explained: &Explanation) -> std::io::Result<()> {
    let line = |name: &str, text: &str| output::line(&format!("{name:<12}{}", output::clean(text)));
    line("WAY", explained.way)?;
    line("SERVERS", &explained.hosts.join(", "))?;
    if let Some(trouble) = &explained.trouble {
        line("TROUBLE", trouble)?;
    }
    let provider = format!("{} ({})", explained.provider, explained.title);
    line("PROVIDER", &provider)?;
    let limits = format!(
        "{} connections at once, {} messages each",
        explained.connections, explained.messages_per_connection
    );
    line("LIMITS", &limits)?;
    for (at, server) in explained.tls.iter().enumerate() {
        line(if at == 0 { "TLS" } else { "" }, &tls(server))?;
    }
    let pool = explained.pool.as_deref();
    line(
        "POOL",
        pool.unwrap_or("what the sender's domain names, or all"),
    )?;
    if explained.addresses.is_empty() {
        return line("ADDRESSES", "the system chooses");
    }
    if explained.short {
        line("STANDBY", "fewer addresses than spec.outbound.minStandby")?;
    }
    output::line("")?;
    table(&explained.addresses)
}

fn tls(server: &ProtectedHost) -> String {
    let level = server.level.unwrap_or("not used");
    match server.level {
        Some(_) => format!("{}: {level} ({})", server.host, server.why),
        None => format!("{level}: {}", server.why),
    }
}
