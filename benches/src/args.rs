//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::{mailbox, operator, outbound};

/// Measures Mailpods and Postfix + Dovecot side by side and prints the ratios.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub struct Args {
    /// Something else to measure.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Only this measure; repeat for more. All when left out.
    #[arg(long, value_name = "NAME")]
    pub only: Vec<Measure>,
    /// Messages of one run; 2500 when left out.
    #[arg(long, value_name = "N")]
    pub messages: Option<usize>,
    /// Runs of each side, in turns; a row is the median.
    #[arg(long, default_value_t = 3, value_name = "R")]
    pub runs: usize,
    /// A table for people, or one JSON object a line.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    /// The `mailpods` binary; the one beside this program when left out.
    #[arg(long, value_name = "PATH")]
    pub binary: Option<PathBuf>,
    /// Mailpods alone.
    #[arg(long)]
    pub skip_peers: bool,
    /// Postfix + Dovecot alone.
    #[arg(long, conflicts_with = "skip_peers")]
    pub skip_ours: bool,
    /// What messages are made of.
    #[arg(long, value_enum, default_value_t = Body::Words)]
    pub body: Body,
    /// Mailpods without signatures of texts (`imap.textIndex`).
    #[arg(long)]
    pub without_text_index: bool,
    /// How Dovecot keeps mail.
    #[arg(long, value_enum, default_value_t = PeerFormat::Mdbox)]
    pub peer_format: PeerFormat,
    /// SMTP sessions at once in `deliver` and `relay`.
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub sessions: usize,
    /// Mailboxes that get mail.
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub mailboxes: usize,
    /// Messages delivered before the first run of `deliver`, so that no mailbox is empty.
    #[arg(long, default_value_t = 2_500, value_name = "N")]
    pub history: usize,
    /// IMAP connections of `idle-imap`, SMTP sessions of `loaded`.
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    pub connections: usize,
    /// Folder for stores and queues. Disk figures are those of its whole device: a file system of its own makes them exact.
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
}

impl Args {
    /// What to measure, in order.
    pub fn measures(&self) -> Vec<Measure> {
        if self.only.is_empty() {
            Measure::value_variants().to_vec()
        } else {
            self.only.clone()
        }
    }

    /// Messages of one run of mail.
    pub fn mail(&self) -> usize {
        self.messages.unwrap_or(2_500)
    }
}

/// What is measured by itself.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The operator with many resources, against etcd and kube-apiserver.
    Operator(operator::Options),
    /// The queue with a million messages.
    Outbound(outbound::Options),
    /// A mailbox of 100,000 messages, and 10,000 idle connections.
    Imap(mailbox::Options),
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Measure {
    /// From accepting by SMTP until IMAP shows the message.
    Deliver,
    /// The same by the pods of a cluster on PostgreSQL.
    DeliverPostgres,
    /// Through the queue to the next server.
    Relay,
    /// Memory of logged-in connections in IDLE.
    IdleImap,
    /// Memory at rest.
    Idle,
    /// Memory of each pod of a cluster at rest.
    IdlePod,
    /// Memory while many SMTP sessions send at once.
    Loaded,
    /// Time from exec to ready.
    Start,
}

impl std::fmt::Display for Measure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Columns.
    Table,
    /// One object a line.
    Json,
}

/// What messages are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Body {
    /// Words, other ones in each message.
    Words,
    /// One letter, as smtp-source sends.
    Letter,
}

/// How Dovecot keeps mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PeerFormat {
    /// Several messages a file.
    Mdbox,
    /// A file a message.
    Maildir,
}
