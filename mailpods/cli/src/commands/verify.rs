//! `mailpods verify`
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use mailpods_filter::{Engine, Metrics, report};
use mailpods_message::header;
use mailpods_net::dns::HickoryResolver;
use mailpods_plan::{Plan, PlanHandle, Source};
use mailpods_rpc::{Action, Mechanism, Scan as _, ScanRequest, Verdict};
use mailpods_telemetry::metrics::Registry;

use super::check;
use crate::args::{Format, Globals, parse_server};
use crate::failure::{Exit, Failure, Outcome};
use crate::mail::{MAX_MESSAGE, to_crlf};
use crate::output;
use crate::session::block_on;

const EXAMPLES: &str = "\
The checks are those that run before the 250 for mail from outside: reverse DNS, SPF, DKIM, ARC, DMARC.

Examples:
  mailpods verify message.eml                                  signatures and DMARC of a saved message
  mailpods verify --client-ip 192.0.2.1 --helo mx.example.org --mail-from bob@example.org message.eml
  mailpods verify --client-ip 192.0.2.1 --mail-from bob@example.org      SPF and reverse DNS alone
  curl -s imaps://... | mailpods verify --output json -

Exit codes: 0 accepted, 1 junk or refused, 75 DNS did not answer.";

/// Run the checks that mail from outside goes through on a message, each with its reason.
#[derive(Debug, clap::Args)]
#[command(
    after_help = EXAMPLES,
    override_usage = "mailpods verify [OPTIONS] FILE\n       mailpods verify [OPTIONS] --client-ip IP [FILE]"
)]
pub struct Args {
    /// The message; - is standard input. Without one only the envelope is checked.
    #[arg(value_name = "FILE", required_unless_present = "client_ip")]
    file: Option<PathBuf>,
    /// Address of the client. Without it SPF and reverse DNS are not checked.
    #[arg(long, value_name = "IP")]
    client_ip: Option<IpAddr>,
    /// What the client called itself.
    #[arg(long, value_name = "NAME", default_value = "localhost")]
    helo: String,
    /// Envelope sender; "" is the null sender. The message's Return-Path when not given.
    #[arg(long, value_name = "ADDRESS")]
    mail_from: Option<String>,
    /// DNS servers to ask.
    #[arg(long, value_parser = parse_server, value_name = "ADDR[:PORT]")]
    resolver: Vec<SocketAddr>,
    /// Folder whose filter settings and DNS servers apply; else the defaults.
    #[arg(long, env = "MAILPODS_CONFIG", value_name = "DIR")]
    config: Option<PathBuf>,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Outcome {
        let plan = self.plan()?;
        let message = self.file.as_deref().map(read).transpose()?;
        block_on(async move {
            let engine = self.engine(&plan)?;
            let request = self.request(&plan, message);
            let verdict = engine.scan(request).await;
            let verdict =
                verdict.map_err(|error| Failure::because(Exit::Temporary, "no verdict", &error))?;
            let verdict = if self.client_ip.is_some() {
                verdict
            } else {
                without_client(verdict)
            };
            match globals.output {
                Format::Json => output::json(&verdict)?,
                Format::Table => output::line(report::table(&verdict).trim_end())?,
            }
            Ok(exit(verdict.action))
        })
    }

    fn plan(&self) -> Result<Plan, Failure> {
        match &self.config {
            Some(config) => check::plan(config),
            None => default_plan(),
        }
    }

    fn engine(&self, plan: &Plan) -> Result<Engine, Failure> {
        let failure = |error: &dyn std::error::Error| {
            Failure::because(Exit::Failed, "failed to set up the checks", error)
        };
        let servers = if self.resolver.is_empty() {
            &plan.dns.servers
        } else {
            &self.resolver
        };
        let resolver = HickoryResolver::new(servers, plan.dns.timeout, plan.dns.attempts, 1024);
        let resolver = resolver.map_err(|error| failure(&error).hint("--resolver ADDR"))?;
        let metrics = Metrics::register(&Registry::new()).map_err(|error| failure(&error))?;
        Ok(Engine::new(
            PlanHandle::new(plan.clone()),
            resolver,
            metrics,
        ))
    }

    fn request(&self, plan: &Plan, message: Option<Vec<u8>>) -> ScanRequest {
        let return_path = || message.as_deref().and_then(return_path).unwrap_or_default();
        ScanRequest {
            id: "verify".to_owned(),
            client_ip: self.client_ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            helo: self.helo.clone(),
            mail_from: self.mail_from.clone().unwrap_or_else(return_path),
            recipients: Vec::new(),
            hostname: plan.hostname.to_string(),
            authenticated: None,
            message: message.map(Bytes::from),
        }
    }
}

/// As little as a folder can say.
const DEFAULTS: &str = "\
apiVersion: mailpods.dev/v1alpha1
kind: MailCluster
metadata: {name: verify}
spec:
  hostname: verify.invalid
---
apiVersion: mailpods.dev/v1alpha1
kind: MailDomain
metadata: {name: verify}
spec: {domain: verify.invalid}
";

/// The defaults of a MailCluster that says nothing.
fn default_plan() -> Result<Plan, Failure> {
    let source = Source {
        path: "defaults".to_owned(),
        text: DEFAULTS.to_owned(),
    };
    let (plan, problems) = mailpods_plan::check(&[source]);
    plan.ok_or_else(|| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure::new(
            Exit::Failed,
            format!("failed to make the default plan: {}", problems.join("; ")),
        )
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut octets = Vec::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin()
            .lock()
            .take(MAX_MESSAGE + 1)
            .read_to_end(&mut octets)
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(MAX_MESSAGE + 1).read_to_end(&mut octets))
    };
    let what = || format!("failed to read {}", path.display());
    read.map_err(|error| Failure::because(Exit::Failed, what(), &error))?;
    if octets.len() as u64 > MAX_MESSAGE {
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "{} is larger than {} MiB",
                path.display(),
                MAX_MESSAGE >> 20
            ),
        ));
    }
    // Files mostly have LF; on the wire it was CRLF, which is what was signed.
    Ok(to_crlf(&octets))
}

fn return_path(message: &[u8]) -> Option<String> {
    let value = header::find(message, b"return-path")?;
    let text = String::from_utf8_lossy(value).trim().to_owned();
    let address = text
        .strip_prefix('<')
        .and_then(|rest| rest.strip_suffix('>'))
        .unwrap_or(&text);
    Some(address.to_owned())
}

/// Nobody said which client, so nothing was found out about it.
fn without_client(mut verdict: Verdict) -> Verdict {
    let of_client = [Mechanism::Iprev, Mechanism::SpfHelo, Mechanism::Spf];
    for result in verdict
        .results
        .iter_mut()
        .filter(|result| of_client.contains(&result.mechanism))
    {
        result.result = "none";
        result.reason = "not checked: no --client-ip".to_owned();
    }
    verdict.prepend.clear();
    verdict
}

const fn exit(action: Action) -> Exit {
    match action {
        Action::Accept => Exit::Done,
        Action::Junk | Action::Reject => Exit::Failed,
        Action::Defer => Exit::Temporary,
    }
}
