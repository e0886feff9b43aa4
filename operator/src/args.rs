//! The command line.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::{Parser, Subcommand};
use mailpods_operator::run::{self, Options};
use mailpods_operator::{check, render};
use mailpods_telemetry::logs::{self, Format};

/// Makes pods, Services, keys and DNS records of mail resources.
#[derive(Debug, Parser)]
#[command(name = "mailpods-operator", version, max_term_width = 120)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the operator in a Kubernetes cluster.
    Run(Run),
    /// Check that the kinds are served and the control channel answers.
    Check(Check),
    /// Print the CustomResourceDefinitions.
    Crds,
    /// Print every object and DNS record that the resources of a folder bring about.
    Render(Render),
}

#[derive(Debug, clap::Args)]
struct Run {
    /// Namespace of the operator.
    #[arg(long, env = "POD_NAMESPACE", default_value = "mailpods-system")]
    namespace: String,
    /// The one namespace to look at; all when left out.
    #[arg(long, env = "MAILPODS_WATCH_NAMESPACE", value_name = "NAMESPACE")]
    watch_namespace: Option<String>,
    /// Write policies of Cilium, Antrea and OVN-Kubernetes for OutboundIPs that name them. They are in no namespace, so that whoever may
    /// make an OutboundIP gets a say in what leaves the cluster.
    #[arg(long, env = "MAILPODS_EGRESS_POLICIES", value_parser = clap::builder::BoolishValueParser::new(), action = clap::ArgAction::Set, default_value = "false", value_name = "BOOL")]
    egress_policies: bool,
    /// Name of this replica; no other has it.
    #[arg(long, env = "POD_NAME", default_value = "mailpods-operator")]
    pod_name: String,
    /// Address that other replicas find this one by.
    #[arg(long, env = "POD_IP", default_value = "127.0.0.1")]
    pod_ip: IpAddr,
    /// Image of the pods.
    #[arg(
        long,
        env = "MAILPODS_IMAGE",
        default_value = "ghcr.io/mailpods/mailpods:latest"
    )]
    image: String,
    /// Probes and metrics.
    #[arg(long, default_value = "0.0.0.0:9090", value_name = "ADDRESS:PORT")]
    health: SocketAddr,
    /// The control channel.
    #[arg(long, default_value = "0.0.0.0:9444", value_name = "ADDRESS:PORT")]
    control: SocketAddr,
    /// URL by which pods find the control channel; that of the Service when left out.
    #[arg(long, env = "MAILPODS_CONTROL_URL", value_name = "URL")]
    control_url: Option<String>,
    /// Server that is asked for records instead of the zones' own; may be given several times.
    #[arg(
        long,
        env = "MAILPODS_DNS_SERVERS",
        value_delimiter = ',',
        value_name = "ADDRESS:PORT"
    )]
    dns_server: Vec<SocketAddr>,
    /// Log lines: a level, or `mailpods_operator=debug,info`.
    #[arg(long, env = "MAILPODS_LOG", default_value = "info,kube_client=warn")]
    log: String,
    /// Log lines as JSON.
    #[arg(long, env = "MAILPODS_LOG_JSON")]
    log_json: bool,
}

#[derive(Debug, clap::Args)]
struct Check {
    /// Namespace of the operator.
    #[arg(long, env = "POD_NAMESPACE", default_value = "mailpods-system")]
    namespace: String,
    /// The one namespace that the operator looks at; all when left out.
    #[arg(long, env = "MAILPODS_WATCH_NAMESPACE", value_name = "NAMESPACE")]
    watch_namespace: Option<String>,
    /// URL of the control channel; that of the Service when left out.
    #[arg(long, env = "MAILPODS_CONTROL_URL", value_name = "URL")]
    control_url: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Render {
    /// Folder with YAML files.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// Image of the pods.
    #[arg(
        long,
        env = "MAILPODS_IMAGE",
        default_value = "ghcr.io/mailpods/mailpods:latest"
    )]
    image: String,
    /// Namespace of the operator.
    #[arg(long, env = "POD_NAMESPACE", default_value = "mailpods-system")]
    namespace: String,
}

impl Args {
    /// Does what was asked for.
    pub fn run(self) -> Result<ExitCode> {
        match self.command {
            Command::Run(args) => running(args),
            Command::Check(args) => checking(&args),
            Command::Crds => crds(),
            Command::Render(args) => rendered(&args),
        }
    }
}

fn running(args: Run) -> Result<ExitCode> {
    let format = if args.log_json {
        Format::Json
    } else {
        Format::Readable
    };
    logs::init(format, &args.log)?;
    let options = Options {
        control_url: args
            .control_url
            .unwrap_or_else(|| run::control_url(&args.namespace)),
        namespace: args.namespace,
        only: args
            .watch_namespace
            .filter(|namespace| !namespace.is_empty()),
        egress_policies: args.egress_policies,
        pod: args.pod_name,
        address: args.pod_ip,
        image: args.image,
        health: args.health,
        control: args.control,
        dns_servers: args.dns_server,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let client = client().await?;
        run::run(client, options).await
    })?;
    Ok(ExitCode::SUCCESS)
}

fn checking(args: &Check) -> Result<ExitCode> {
    let url = args.control_url.clone();
    let url = url.unwrap_or_else(|| run::control_url(&args.namespace));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let client = client().await?;
        let only = args
            .watch_namespace
            .as_deref()
            .filter(|only| !only.is_empty());
        check::check(client, &args.namespace, only, &url).await
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Its errors say what they come from by themselves.
async fn client() -> Result<kube::Client> {
    let client = kube::Client::try_default().await;
    client.map_err(|error| anyhow!("no way to a Kubernetes cluster: {error}"))
}

fn crds() -> Result<ExitCode> {
    for file in mailpods_api::crds()? {
        print!("---\n{}", file.yaml);
    }
    Ok(ExitCode::SUCCESS)
}

fn rendered(args: &Render) -> Result<ExitCode> {
    let sources = render::read_folder(&args.folder)?;
    let surroundings = render::surroundings(&args.image, &args.namespace);
    let rendered = render::render(&sources, &surroundings)?;
    print!("{}", rendered.text);
    for problem in &rendered.problems {
        eprintln!("{problem}");
    }
    Ok(if rendered.problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
