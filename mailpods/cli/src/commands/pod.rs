//! `mailpods smtp`, `imap`, `filter`, `delivery`, `egress`, `all`: one role as a pod of a cluster.
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mailpods_plan::Role;
use mailpods_pod::{
    ControlOptions, EgressOptions, InnerListenerOptions, Options, PodError, RemoteOptions,
    StorageError, StoreOptions,
};
use mailpods_telemetry::error_chain;

use super::logging::LogArgs;
use crate::args::{Format, Globals, parse_server};
use crate::failure::{Exit, Failure, Outcome};
use crate::session::block_on_all_cores;

const EXAMPLES: &str = "\
The operator starts these commands in the pods of a MailCluster; every option can come from the environment.
The plan comes from the operator. The last good one is kept in the store, so that a pod starts while the operator is away.
SIGTERM stops it cleanly: /readyz says no, connections are accepted for --drain-delay, then sessions end within spec.shutdownGrace.";

/// What all roles are told.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct PodArgs {
    /// The operator's control channel.
    #[arg(long, env = "MAILPODS_CONTROL", value_name = "https://HOST:PORT")]
    control: String,
    /// PEM file with the certificates that the operator's own must be signed by.
    #[arg(long, env = "MAILPODS_CONTROL_CA", value_name = "FILE")]
    control_ca: PathBuf,
    /// File with this pod's service-account token of audience mailpods-control; read at every request.
    #[arg(long, env = "MAILPODS_CONTROL_TOKEN", value_name = "FILE")]
    control_token: PathBuf,
    /// The MailCluster.
    #[arg(long, env = "MAILPODS_CLUSTER", value_name = "NAMESPACE/NAME", value_parser = cluster)]
    cluster: (String, String),
    /// Where probes (/livez, /readyz) and /metrics are served, plain HTTP.
    #[arg(
        long,
        env = "MAILPODS_HEALTH",
        default_value = "0.0.0.0:9090",
        value_name = "ADDR:PORT",
        value_parser = place
    )]
    health: SocketAddr,
    /// Name of the pod, in leases and reports; HOSTNAME when left out.
    #[arg(long, env = "MAILPODS_POD_NAME", value_name = "NAME")]
    pod_name: Option<String>,
    /// Seconds between /readyz saying no and the end of accepting, at a stop.
    #[arg(
        long,
        env = "MAILPODS_DRAIN_DELAY",
        default_value = "5",
        value_name = "SECONDS"
    )]
    drain_delay: u32,
    /// DNS servers to ask, in place of those of the MailCluster.
    #[arg(
        long,
        env = "MAILPODS_RESOLVER",
        value_parser = parse_server,
        value_name = "ADDR[:PORT]",
        value_delimiter = ','
    )]
    resolver: Vec<SocketAddr>,
    /// PEM file with certificates that next hops may be signed by, besides the usual roots.
    #[arg(long, env = "MAILPODS_EXTRA_ROOTS", value_name = "FILE")]
    extra_roots: Option<PathBuf>,
    #[command(flatten)]
    log: LogArgs,
}

/// A filter in other pods.
#[derive(Debug, clap::Args)]
struct RemoteFilterArgs {
    /// The filter's address; built in when left out.
    #[arg(
        long,
        env = "MAILPODS_FILTER",
        value_name = "https://HOST:PORT",
        requires_all = ["filter_ca", "filter_token"]
    )]
    filter: Option<String>,
    /// PEM file with the certificates that the filter's own must be signed by.
    #[arg(long, env = "MAILPODS_FILTER_CA", value_name = "FILE")]
    filter_ca: Option<PathBuf>,
    /// File with the token for the filter; read at every request.
    #[arg(long, env = "MAILPODS_FILTER_TOKEN", value_name = "FILE")]
    filter_token: Option<PathBuf>,
}

impl RemoteFilterArgs {
    fn remote(&self) -> Option<RemoteOptions> {
        Some(RemoteOptions {
            url: self.filter.clone()?,
            ca: self.filter_ca.clone()?,
            token: self.filter_token.clone()?,
        })
    }
}

/// The SMTP, submission and LMTP servers of a cluster, as a pod.
#[derive(Debug, clap::Args)]
pub struct SmtpArgs {
    #[command(flatten)]
    pod: PodArgs,
    #[command(flatten)]
    filter: RemoteFilterArgs,
}

/// The IMAP server of a cluster, as a pod.
#[derive(Debug, clap::Args)]
pub struct ImapArgs {
    #[command(flatten)]
    pod: PodArgs,
}

/// The checks before the 250, as a pod that smtp pods ask.
#[derive(Debug, clap::Args)]
pub struct FilterArgs {
    #[command(flatten)]
    pod: PodArgs,
    /// Where scans are taken, HTTPS.
    #[arg(long, env = "MAILPODS_FILTER_LISTEN", value_name = "ADDR:PORT")]
    filter_listen: SocketAddr,
    /// PEM file with the certificate chain.
    #[arg(long, env = "MAILPODS_FILTER_CERT", value_name = "FILE")]
    filter_cert: PathBuf,
    /// PEM file with its key.
    #[arg(long, env = "MAILPODS_FILTER_KEY", value_name = "FILE")]
    filter_key: PathBuf,
    /// File with the token that smtp pods must have; read at every request.
    #[arg(long, env = "MAILPODS_FILTER_TOKEN", value_name = "FILE")]
    filter_token: PathBuf,
}

/// Queue, mailboxes and sending of a cluster, as a pod.
#[derive(Debug, clap::Args)]
pub struct DeliveryArgs {
    #[command(flatten)]
    pod: PodArgs,
    #[command(flatten)]
    egress: RemoteEgressArgs,
}

/// Connections from outbound addresses, as a pod on the network of the node that has them.
#[derive(Debug, clap::Args)]
pub struct EgressArgs {
    #[command(flatten)]
    pod: PodArgs,
    #[command(flatten)]
    listener: EgressListenerArgs,
    /// Folder that the last good plan is kept in, for a start while the operator is away; it is not kept when left out.
    #[arg(long, env = "MAILPODS_KEEP_PLAN", value_name = "DIR")]
    keep_plan: Option<PathBuf>,
    /// The one address that this pod is for; all that the node has when left out.
    #[arg(long, env = "MAILPODS_EGRESS_SOURCE", value_name = "ADDR")]
    egress_source: Option<IpAddr>,
    /// The network translates the address of this pod to that one, so that no interface has it.
    #[arg(long, env = "MAILPODS_EGRESS_TRANSLATED", requires = "egress_source")]
    egress_translated: bool,
}

/// Where delivery connects to.
#[derive(Debug, clap::Args)]
pub struct EgressListenerArgs {
    /// Where delivery connects to, SOCKS 5 in TLS.
    #[arg(long, env = "MAILPODS_EGRESS_LISTEN", value_name = "ADDR:PORT", value_parser = place)]
    egress_listen: SocketAddr,
    /// PEM file with the certificate chain.
    #[arg(long, env = "MAILPODS_EGRESS_CERT", value_name = "FILE")]
    egress_cert: PathBuf,
    /// PEM file with its key.
    #[arg(long, env = "MAILPODS_EGRESS_KEY", value_name = "FILE")]
    egress_key: PathBuf,
    /// File with the token that delivery must have, 1 to 255 octets.
    #[arg(long, env = "MAILPODS_EGRESS_TOKEN", value_name = "FILE")]
    egress_token: PathBuf,
}

impl EgressListenerArgs {
    /// As the process takes them.
    pub fn options(self) -> InnerListenerOptions {
        InnerListenerOptions {
            listen: self.egress_listen,
            cert: self.egress_cert,
            key: self.egress_key,
            token: self.egress_token,
        }
    }
}

/// Address and port; brackets around an IPv6 address may be left out, as Kubernetes gives it to a pod.
pub fn place(text: &str) -> Result<SocketAddr, String> {
    let bare = || {
        let (address, port) = text.rsplit_once(':')?;
        Some(SocketAddr::new(address.parse().ok()?, port.parse().ok()?))
    };
    let parsed = text.parse().ok().or_else(bare);
    parsed.ok_or_else(|| "ADDRESS:PORT is expected, as in 192.0.2.1:9465".to_owned())
}

/// Egress proxies in other pods.
#[derive(Debug, clap::Args)]
struct RemoteEgressArgs {
    /// Name and port of the egress proxies; all that a name leads to are asked.
    #[arg(
        long,
        env = "MAILPODS_EGRESS",
        value_name = "HOST:PORT",
        value_parser = host,
        value_delimiter = ',',
        requires_all = ["egress_ca", "egress_token"]
    )]
    egress: Vec<(String, u16)>,
    /// PEM file with the certificates that the proxies' own must be signed by.
    #[arg(long, env = "MAILPODS_EGRESS_CA", value_name = "FILE")]
    egress_ca: Option<PathBuf>,
    /// File with the token for the proxies.
    #[arg(long, env = "MAILPODS_EGRESS_TOKEN", value_name = "FILE")]
    egress_token: Option<PathBuf>,
}

impl RemoteEgressArgs {
    fn remote(&self) -> Option<EgressOptions> {
        Some(EgressOptions {
            servers: Some(self.egress.clone()).filter(|servers| !servers.is_empty())?,
            ca: self.egress_ca.clone()?,
            token: self.egress_token.clone()?,
        })
    }
}

fn host(text: &str) -> Result<(String, u16), String> {
    let parsed = text.rsplit_once(':').and_then(|(host, port)| {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Some((host.to_owned(), port.parse().ok()?))
    });
    parsed
        .filter(|(host, _)| !host.is_empty())
        .ok_or_else(|| "HOST:PORT is expected, as in main-egress.mail.svc:9465".to_owned())
}

/// All roles of a cluster as one pod, with the store in --data or in PostgreSQL.
#[derive(Debug, clap::Args)]
pub struct AllArgs {
    #[command(flatten)]
    pod: PodArgs,
    #[command(flatten)]
    filter: RemoteFilterArgs,
    #[command(flatten)]
    egress: RemoteEgressArgs,
}

fn cluster(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((namespace, name)) if is_label(namespace) && is_label(name) => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err("NAMESPACE/NAME of a MailCluster is expected, as in mail/main".to_owned()),
    }
}

/// What Kubernetes names may hold, so that nothing else gets into a URL.
fn is_label(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    !text.is_empty() && text.len() <= 253 && text.bytes().all(allowed)
}

impl SmtpArgs {
    /// Runs the command.
    pub fn run(self, globals: &Globals) -> Outcome {
        let options = self.pod.options(Role::Smtp, globals)?;
        self.pod.run(Options {
            filter: self.filter.remote(),
            ..options
        })
    }
}

impl ImapArgs {
    /// Runs the command.
    pub fn run(self, globals: &Globals) -> Outcome {
        let options = self.pod.options(Role::Imap, globals)?;
        self.pod.run(options)
    }
}

impl FilterArgs {
    /// Runs the command.
    pub fn run(self, globals: &Globals) -> Outcome {
        let listener = InnerListenerOptions {
            listen: self.filter_listen,
            cert: self.filter_cert,
            key: self.filter_key,
            token: self.filter_token,
        };
        let options = self.pod.options(Role::Filter, globals)?;
        self.pod.run(Options {
            inner_listener: Some(listener),
            ..options
        })
    }
}

impl DeliveryArgs {
    /// Runs the command.
    pub fn run(self, globals: &Globals) -> Outcome {
        let options = self.pod.options(Role::Delivery, globals)?;
        self.pod.run(Options {
            egress: self.egress.remote(),
            ..options
        })
    }
}

impl EgressArgs {
    /// Runs the command.
    pub fn run(self, globals: &Globals) -> Outcome {
        let options = self.pod.options(Role::Egress, globals)?;
        let kept = self.keep_plan.map(|data| StoreOptions::Embedded { data });
        self.pod.run(Options {
            store: kept.unwrap_or(StoreOptions::None),
            egress_source: self
                .egress_source
                .map(|source| (source, self.egress_translated)),
            inner_listener: Some(self.listener.options()),
            ..options
        })
    }
}

impl AllArgs {
    /// Runs the command.
    pub fn run(self, globals: &Globals) -> Outcome {
        let options = self.pod.options(Role::All, globals)?;
        self.pod.run(Options {
            filter: self.filter.remote(),
            egress: self.egress.remote(),
            ..options
        })
    }
}

impl PodArgs {
    fn options(&self, role: Role, globals: &Globals) -> Result<Options, Failure> {
        let (namespace, name) = self.cluster.clone();
        let extra_roots = self.extra_roots.as_deref().map(read).transpose()?;
        Ok(Options {
            role,
            pod: self.pod_name()?,
            control: ControlOptions {
                remote: RemoteOptions {
                    url: self.control.clone(),
                    ca: self.control_ca.clone(),
                    token: self.control_token.clone(),
                },
                namespace,
                name,
            },
            store: Self::store(role, globals)?,
            health: self.health,
            filter: None,
            inner_listener: None,
            egress_source: None,
            egress: None,
            drain_delay: Duration::from_secs(self.drain_delay.into()),
            resolvers: self.resolver.clone(),
            extra_roots: extra_roots.unwrap_or_default(),
            json: globals.output == Format::Json,
        })
    }

    fn store(role: Role, globals: &Globals) -> Result<StoreOptions, Failure> {
        match (globals.postgres()?, role) {
            (Some((uri_file, seal_key)), _) => Ok(StoreOptions::Postgres {
                uri_file: uri_file.to_owned(),
                seal_key: seal_key.to_owned(),
            }),
            (None, Role::All) => Ok(StoreOptions::Embedded {
                data: globals.data.clone(),
            }),
            (None, Role::Filter | Role::Egress) => Ok(StoreOptions::None),
            _ => Err(Failure::new(
                Exit::Usage,
                format!("the {role} role shares its store with other pods: --store-uri-file and --seal-key are missing"),
            )
            .hint("mailpods all --data DIR, which has a store of its own")),
        }
    }

    /// Two pods of one name would take each other's leases for their own.
    fn pod_name(&self) -> Result<String, Failure> {
        let host = || std::env::var("HOSTNAME").ok();
        let name = self.pod_name.clone().or_else(host);
        name.filter(|name| !name.is_empty()).ok_or_else(|| {
            Failure::new(Exit::Usage, "the pod has no name: HOSTNAME is not set")
                .hint("--pod-name NAME, another one for each pod")
        })
    }

    fn run(&self, options: Options) -> Outcome {
        self.log.start()?;
        block_on_all_cores(async move {
            match mailpods_pod::run(options).await {
                Ok(()) => Ok(Exit::Done),
                Err(error) => Err(Failure::new(exit(&error), error_chain(&error))),
            }
        })
    }
}

const fn exit(error: &PodError) -> Exit {
    match error {
        PodError::Storage(StorageError::Lock(_) | StorageError::Store(_)) => Exit::Store,
        _ => Exit::Failed,
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let what = format!("failed to read {}", path.display());
    std::fs::read(path).map_err(|error| Failure::because(Exit::Failed, what, &error))
}
