//! `mailpods route`
use std::net::SocketAddr;

use mailpods_delivery::ips::{
    self, Asked, ExplainError, Explanation, Fallback, Meaning, ProtectedHost, TransportUsed,
};
use mailpods_net::dns::HickoryResolver;
use mailpods_policy::outbound::choose::Class;
use mailpods_policy::outbound::classify::Stage;
use mailpods_policy::outbound::suspension::Suspension;

use super::ip::table;
use crate::args::{Format, Globals, parse_server};
use crate::failure::{Exit, Failure, Outcome};
use crate::output;
use crate::plans::Config;
use crate::time;

const EXAMPLES: &str = "\
Examples:
  mailpods route gmail.com --config /etc/mailpods                           servers, provider, limits, addresses
  mailpods route gmail.com --from bob@example.org --config /etc/mailpods    for mail of one sender
  mailpods route gmail.com --from '' --config /etc/mailpods                 for notifications
  mailpods route gmail.com --class bulk --config /etc/mailpods              for newsletters
  mailpods route gmail.com --reply '550 5.7.1 blocked' --config /etc/mailpods
                                                                            what that reply would mean, and by which rule";

/// Tell where mail for a domain would go now, from which address, how fast, and why.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Domain of the recipients.
    domain: String,
    #[command(flatten)]
    options: Options,
}

/// What is asked of a domain.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Envelope sender; an empty one for notifications.
    #[arg(long, value_name = "SENDER")]
    from: Option<String>,
    /// What kind of mail it is; by the sender when left out.
    #[arg(long, value_enum, value_name = "CLASS")]
    class: Option<Kind>,
    /// A reply of its servers: tells what it means, and which rule says so.
    #[arg(long, value_name = "REPLY")]
    reply: Option<String>,
    /// When the reply is said.
    #[arg(long, value_enum, default_value = "rcpt", requires = "reply")]
    stage: When,
    #[command(flatten)]
    config: Config,
    /// DNS servers to ask, in place of those of the MailCluster.
    #[arg(long, value_parser = parse_server, value_name = "ADDR[:PORT]")]
    resolver: Vec<SocketAddr>,
}

/// What kind of mail it is, as spec.outbound.poolRules has it.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// A message to somebody.
    Transactional,
    /// Newsletters and lists.
    Bulk,
    /// Sent on by an alias or a script.
    Forwarded,
    /// Notifications.
    Bounce,
}

impl From<Kind> for Class {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Transactional => Self::Transactional,
            Kind::Bulk => Self::Bulk,
            Kind::Forwarded => Self::Forwarded,
            Kind::Bounce => Self::Bounce,
        }
    }
}

/// When a reply is said.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum When {
    /// Before any message.
    Session,
    /// To MAIL.
    Mail,
    /// To RCPT.
    Rcpt,
    /// To DATA, or to the end of the message.
    Data,
}

impl From<When> for Stage {
    fn from(when: When) -> Self {
        match when {
            When::Session => Self::Session,
            When::Mail => Self::Mail,
            When::Rcpt => Self::Rcpt,
            When::Data => Self::Data,
        }
    }
}

/// The route, with what a reply means.
#[derive(serde::Serialize)]
struct Told {
    #[serde(flatten)]
    route: Explanation,
    #[serde(skip)]
    has_sender: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<Meaning>,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Outcome {
        self.options.run(self.domain, globals)
    }
}

impl Options {
    /// Whether something is asked that only a domain can answer.
    pub const fn is_about_mail(&self) -> bool {
        self.from.is_some() || self.reply.is_some() || self.class.is_some()
    }

    /// What the reply means that was asked for.
    fn meaning(
        &self,
        plan: &mailpods_plan::Plan,
        provider: &str,
    ) -> Result<Option<Meaning>, Failure> {
        let Some(reply) = &self.reply else {
            return Ok(None);
        };
        let meaning = ips::meaning(plan, provider, self.stage.into(), reply);
        let meaning = meaning.map_err(|error| {
            Failure::because(Exit::Failed, "failed to read the profiles", &error)
        })?;
        let none = || {
            let text = format!("{reply:?} is no refusal");
            Failure::new(Exit::Usage, text)
                .hint("a code from 400 to 599 and a text, as in '550 5.7.1 blocked'")
        };
        meaning.ok_or_else(none).map(Some)
    }

    /// Tells it for mail to a domain.
    pub fn run(self, domain: String, globals: &Globals) -> Outcome {
        // Of a sender nobody speaks of, the addresses for strangers are shown.
        let sender = self
            .from
            .clone()
            .unwrap_or_else(|| "someone@invalid".to_owned());
        let format = globals.output;
        let options = &self;
        options
            .config
            .with_secrets(globals, |secrets, plan| async move {
                let servers = match options.resolver.is_empty() {
                    true => &plan.dns.servers,
                    false => &options.resolver,
                };
                let resolver =
                    HickoryResolver::new(servers, plan.dns.timeout, plan.dns.attempts, 256)
                        .map_err(|error| {
                            Failure::because(Exit::Failed, "failed to set up DNS", &error)
                        })?;
                let explained = ips::explain(
                    &plan,
                    &resolver,
                    secrets.as_ref(),
                    Asked {
                        domain: &domain,
                        sender: &sender,
                        class: options.class.map(Class::from),
                    },
                    time::now(),
                )
                .await
                .map_err(|error| match &error {
                    ExplainError::NotADomain(_) => Failure::new(Exit::Usage, error.to_string()),
                    _ => Failure::because(Exit::Failed, "failed to explain", &error),
                })?;
                let reply = options.meaning(&plan, &explained.provider)?;
                let told = Told {
                    route: explained,
                    has_sender: options.from.is_some(),
                    reply,
                };
                match format {
                    Format::Json => output::json(&told)?,
                    Format::Table => print(&told)?,
                }
                Ok(Exit::Done)
            })
    }
}

fn print(told: &Told) -> std::io::Result<()> {
    let explained = &told.route;
    let line = |name: &str, text: &str| output::line(&format!("{name:<12}{}", output::clean(text)));
    line("WAY", explained.way)?;
    if let Some(suspension) = &explained.suspended {
        line("SUSPENDED", &suspension_words(suspension))?;
    }
    if let ("local", None) = (explained.way, &told.reply) {
        return Ok(());
    }
    if let Some(transport) = &explained.transport {
        line("TRANSPORT", &transport_words(transport))?;
    }
    line("SERVERS", &explained.hosts.join(", "))?;
    if let Some(trouble) = &explained.trouble {
        line("TROUBLE", trouble)?;
    }
    if !matches!(explained.way, "local" | "relay" | "held") {
        line("PROVIDER", &provider_words(explained))?;
    }
    if !matches!(explained.way, "local" | "held") {
        line("LIMITS", &limits_words(explained))?;
    }
    for (at, server) in explained.tls.iter().enumerate() {
        line(if at == 0 { "TLS" } else { "" }, &tls(server))?;
    }
    if let Some(fallback) = &explained.fallback {
        line("FALLBACK", &fallback_words(fallback))?;
    }
    if let Some(reply) = &told.reply {
        let text = format!("about {} ({}), by {}", reply.blame, reply.kind, reply.rule);
        line("REPLY", &text)?;
        if let Some(fits) = &reply.fits {
            line("RULE", fits)?;
        }
    }
    if matches!(explained.way, "local" | "relay" | "held") {
        return Ok(());
    }
    line("POOL", &pool_words(explained, told.has_sender))?;
    if let Some(waits) = &explained.waits {
        return line("ADDRESSES", &format!("none, it waits: {waits}"));
    }
    if explained.addresses.is_empty() {
        return line("ADDRESSES", "the system chooses");
    }
    for (at, text) in explained.hidden.iter().enumerate() {
        let text = format!("not from {text}");
        line(if at == 0 { "SPF" } else { "" }, &text)?;
    }
    if explained.short {
        line("STANDBY", "fewer addresses than spec.outbound.minStandby")?;
    }
    output::line("")?;
    table(&explained.addresses)
}

fn provider_words(explained: &Explanation) -> String {
    let settings = explained.settings;
    let settings = settings.map(|at| format!(", spec.outbound.providers[{at}]"));
    let (name, title) = (&explained.provider, &explained.title);
    format!("{name} ({title}{})", settings.unwrap_or_default())
}

fn limits_words(explained: &Explanation) -> String {
    let many = if explained.connections == 1 { "" } else { "s" };
    format!(
        "{} connection{many} at once, {} messages each",
        explained.connections, explained.messages_per_connection
    )
}

fn pool_words(explained: &Explanation, has_sender: bool) -> String {
    match (&explained.pool, &explained.pool_by) {
        (Some(pool), Some(by)) => format!("{pool}, by {by}"),
        (Some(pool), None) => pool.clone(),
        (None, Some(by)) => format!("{}: {by}", pools(explained)),
        (None, None) if has_sender => "all: no rule and no MailDomain names one".to_owned(),
        (None, None) => "what the sender's domain names, or all".to_owned(),
    }
}

/// The pools of the addresses.
fn pools(explained: &Explanation) -> String {
    let pools = explained.addresses.iter().map(|state| state.pool.as_str());
    let pools: std::collections::BTreeSet<&str> = pools.collect();
    match pools.is_empty() {
        true => "none".to_owned(),
        false => pools.into_iter().collect::<Vec<_>>().join(", "),
    }
}

fn suspension_words(suspension: &Suspension) -> String {
    let (cause, why) = (suspension.cause.as_str(), &suspension.text);
    let until = suspension.until;
    let until = until.map_or_else(|| "it is released".to_owned(), time::format);
    format!("the sender's mail is held until {until} ({cause}: {why})")
}

fn transport_words(transport: &TransportUsed) -> String {
    let words = [
        (transport.next_hop, "names the next hop"),
        (transport.once, "one attempt, then the message goes back"),
        (
            transport.serial,
            "one connection, one message after the other",
        ),
    ];
    let words = words.iter().filter(|(holds, _)| *holds);
    let words: Vec<&str> = words.map(|(_, words)| *words).collect();
    let place = transport.place;
    format!("spec.outbound.transports[{place}]: {}", words.join("; "))
}

fn fallback_words(fallback: &Fallback) -> String {
    let at = format!("{}:{}", fallback.host, fallback.port);
    let after = time::span(i64::try_from(fallback.after.saturating_mul(1000)).unwrap_or(i64::MAX));
    match (fallback.used, fallback.after) {
        (false, _) => format!(
            "not {at}: the domain asks for more TLS, which the relay needs too (spec.outbound.fallbackRelay.tls: Verify or Implicit)"
        ),
        (true, 0) => format!("{at}, when no server takes it for now"),
        (true, _) => format!("{at}, when no server takes it for now and it is {after} old"),
    }
}

fn tls(server: &ProtectedHost) -> String {
    let level = server.level.unwrap_or("not used");
    match server.level {
        Some(_) => format!("{}: {level} ({})", server.host, server.why),
        None => format!("{level}: {}", server.why),
    }
}
