//! The command line as a whole.
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand, ValueEnum};

use crate::commands::{
    backup, bans, check, completions, dns, egress_proxy, explain, fsck, hash, ip, mailbox, pod,
    queue, restore, route, sieve, standalone, suppression, suspension, trace, verify, version,
};
use crate::failure::{Exit, Failure, Outcome};
use crate::session::is_missing;

const EXAMPLES: &str = "\
Examples:
  mailpods standalone --config examples/quickstart --data ./data   run a mail server
  mailpods check /etc/mailpods                                     find every mistake in a configuration
  mailpods explain mailcluster.spec.smtp                           what a field means, and what may stand there
  mailpods explain gmail.com --config /etc/mailpods                where mail would go now, from which address, and why
  mailpods dns print --config /etc/mailpods                        records to publish, as zone text
  mailpods queue list --domain example.org                         what waits for example.org, and why
  mailpods trace bob@example.test                                  what became of mail from or to bob

Exit codes:
  0   done; what was checked is right
  1   failed, or what was checked is wrong
  2   wrong usage
  3   the data folder cannot be used
  4   nothing matched
  75  not known now (DNS or store did not answer): try again later";

/// A mail system: SMTP, IMAP, queue, filter and DNS records from one set of resources.
#[derive(Debug, Parser)]
#[command(name = "mailpods", version, after_help = EXAMPLES, max_term_width = 120)]
pub struct Args {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Debug, clap::Args)]
pub struct Globals {
    /// Folder of the store.
    #[arg(
        long,
        global = true,
        env = "MAILPODS_DATA",
        default_value = "./data",
        value_name = "DIR"
    )]
    pub data: PathBuf,
    /// File with the connection URI of the PostgreSQL store, in place of --data.
    #[arg(
        long,
        global = true,
        env = "MAILPODS_STORE_URI_FILE",
        value_name = "FILE"
    )]
    pub store_uri_file: Option<PathBuf>,
    /// File with the key that seals secrets in the PostgreSQL store: 32 octets, raw or base64.
    #[arg(long, global = true, env = "MAILPODS_SEAL_KEY", value_name = "FILE")]
    pub seal_key: Option<PathBuf>,
    /// How results are printed: table, or json (one document, an array for lists).
    // Possible values with a text each would give every command the long form of help.
    #[arg(
        long,
        short,
        global = true,
        value_enum,
        default_value_t = Format::Table,
        hide_possible_values = true,
        value_name = "FORMAT"
    )]
    pub output: Format,
}

impl Globals {
    /// The files that lead to the PostgreSQL store, where one is named.
    pub fn postgres(&self) -> Result<Option<(&Path, &Path)>, Failure> {
        match (&self.store_uri_file, &self.seal_key) {
            (Some(uri), Some(key)) => Ok(Some((uri, key))),
            (None, None) => Ok(None),
            _ => Err(Failure::new(
                Exit::Usage,
                "--store-uri-file and --seal-key belong together, and one of them is missing",
            )),
        }
    }

    /// Whether there is no store at all.
    pub fn has_no_store(&self) -> bool {
        self.store_uri_file.is_none() && is_missing(&self.data)
    }

    /// The folder of the embedded store, for what works on its files.
    pub fn folder(&self) -> Result<&Path, Failure> {
        match self.store_uri_file {
            None => Ok(&self.data),
            Some(_) => Err(Failure::new(
                Exit::Usage,
                "this works on the folder of an embedded store, and the store named is PostgreSQL",
            )
            .hint("PostgreSQL's own tools: pg_dump, pg_restore")),
        }
    }
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    Standalone(standalone::Args),
    Smtp(Box<pod::SmtpArgs>),
    Imap(Box<pod::ImapArgs>),
    Filter(Box<pod::FilterArgs>),
    Delivery(Box<pod::DeliveryArgs>),
    Egress(Box<pod::EgressArgs>),
    EgressProxy(Box<egress_proxy::Args>),
    All(Box<pod::AllArgs>),
    Check(check::Args),
    Explain(explain::Args),
    Verify(verify::Args),
    #[command(subcommand)]
    Dns(dns::Command),
    #[command(subcommand)]
    Queue(queue::Command),
    #[command(subcommand)]
    Ip(ip::Command),
    Route(route::Args),
    #[command(subcommand)]
    Mailbox(mailbox::Command),
    #[command(subcommand)]
    Sieve(sieve::Command),
    Trace(trace::Args),
    #[command(subcommand)]
    Suppression(suppression::Command),
    #[command(subcommand)]
    Suspension(suspension::Command),
    #[command(subcommand)]
    Bans(bans::Command),
    Backup(backup::Args),
    Restore(restore::Args),
    Fsck(fsck::Args),
    Hash(hash::Args),
    Completions(completions::Args),
    Version(version::Args),
}

impl Args {
    /// Runs the command.
    pub fn run(self) -> Outcome {
        let globals = &self.globals;
        match self.command {
            Command::Standalone(args) => args.run(globals),
            Command::Smtp(args) => args.run(globals),
            Command::Imap(args) => args.run(globals),
            Command::Filter(args) => args.run(globals),
            Command::Delivery(args) => args.run(globals),
            Command::Egress(args) => args.run(globals),
            Command::EgressProxy(args) => args.run(globals),
            Command::All(args) => args.run(globals),
            Command::Check(args) => args.run(globals),
            Command::Explain(args) => args.run(globals),
            Command::Verify(args) => args.run(globals),
            Command::Dns(command) => command.run(globals),
            Command::Queue(command) => command.run(globals),
            Command::Ip(command) => command.run(globals),
            Command::Route(args) => args.run(globals),
            Command::Mailbox(command) => command.run(globals),
            Command::Sieve(command) => command.run(globals),
            Command::Trace(args) => args.run(globals),
            Command::Suppression(command) => command.run(globals),
            Command::Suspension(command) => command.run(globals),
            Command::Bans(command) => command.run(globals),
            Command::Backup(args) => args.run(globals),
            Command::Restore(args) => args.run(globals),
            Command::Fsck(args) => args.run(globals),
            Command::Hash(args) => args.run(globals),
            Command::Completions(args) => args.run(),
            Command::Version(args) => args.run(globals),
        }
    }
}

/// A DNS server, as `spec.dns.servers` of a MailCluster has it.
pub fn parse_server(text: &str) -> Result<SocketAddr, String> {
    mailpods_plan::dns_server(text)
        .ok_or_else(|| "not an address such as 192.0.2.53 or 127.0.0.1:5353".to_owned())
}
