//! The operator with many resources, against a real etcd and kube-apiserver: start, memory, changes, silence.

mod api;
mod audit;
mod changes;
mod control_plane;
mod pod;
mod process;
mod world;
mod zone;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::goals::Report;
use crate::progress;
use api::OURS;
use audit::{Audit, Writes};
use control_plane::ControlPlane;
use process::Operator;
use world::World;

/// Namespace of the operator.
const OPERATOR_NAMESPACE: &str = "mailpods-system";
/// A first start has written everything when nothing was written for so long: longer than a key waits for its signature.
const SETTLED: Duration = Duration::from_secs(45);
/// Longest time until then.
const SETTLE_LIMIT: Duration = Duration::from_secs(30 * 60);
/// Longest time until a restarted operator has looked at everything.
const LOOK_LIMIT: Duration = Duration::from_secs(10 * 60);

/// What to measure with.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// MailDomains.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    pub domains: usize,
    /// Mailboxes, spread over the domains.
    #[arg(long, default_value_t = 50_000, value_name = "N")]
    pub mailboxes: usize,
    /// Changes a minute, for one minute.
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    pub changes: usize,
    /// Seconds in which nothing changes and nothing may be written.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub idle: u64,
    /// The operator's log: a level, or `mailpods_operator=debug,info`.
    #[arg(long, default_value = "warn")]
    pub log: String,
    /// Folder for what is kept meanwhile.
    #[arg(long, value_name = "FOLDER")]
    pub scratch: Option<PathBuf>,
    /// The `etcd` program.
    #[arg(long, value_name = "FILE")]
    pub etcd: PathBuf,
    /// The `kube-apiserver` program.
    #[arg(long, value_name = "FILE")]
    pub kube_apiserver: PathBuf,
    /// The `mailpods-operator` program.
    #[arg(long, value_name = "FILE")]
    pub operator: PathBuf,
    /// Folder with the CustomResourceDefinitions.
    #[arg(long, value_name = "FOLDER")]
    pub crds: PathBuf,
}

impl Options {
    fn folder(&self) -> Result<TempDir> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("mailpods-bench-");
        let folder = match &self.scratch {
            Some(scratch) => builder.tempdir_in(scratch),
            None => builder.tempdir(),
        };
        folder.context("failed to make a folder")
    }
}

/// Measures everything in turn; whether all goals were met.
///
/// # Errors
/// When something does not run at all.
pub async fn run(options: &Options) -> Result<bool> {
    let world = World::new(options)?;
    progress("etcd and kube-apiserver");
    let plane = ControlPlane::start(options).await?;
    let begin = Instant::now();
    progress(&format!(
        "{} MailDomains and {} Mailboxes",
        world.domains, world.mailboxes
    ));
    world.fill(&plane.api, &options.crds).await?;
    let mut report = Report::new(format!(
        "{} MailDomains, {} Mailboxes",
        world.domains, world.mailboxes
    ));
    report.note("seeded in", "s", begin.elapsed().as_secs_f64());
    let dns = dns(&world).await?;
    let bench = Bench {
        options,
        world,
        plane,
        dns,
    };
    let mut audit = Audit::new(&bench.plane.audit_log());
    bench.first_start(&mut audit, &mut report).await?;
    let operator = bench.restart(&mut audit, &mut report).await?;
    bench.changes(&operator, &mut report).await?;
    bench.idle(&mut audit, &mut report).await?;
    report.below("peak memory", "MiB RSS", operator.peak() / MIB, 256.0);
    let stopped = operator.stop().await?;
    report.note("stopped in", "s", stopped.as_secs_f64());
    report.print()
}

/// Octets in a MiB.
const MIB: f64 = 1_048_576.0;

/// What all parts share.
struct Bench<'a> {
    options: &'a Options,
    world: World,
    plane: ControlPlane,
    dns: SocketAddr,
}

/// DNS in which every record is as it is wanted.
async fn dns(world: &World) -> Result<SocketAddr> {
    let world = world.clone();
    crate::dns::start_with(move |name, kind| zone::find(&world, name, kind)).await
}

impl Bench<'_> {
    /// Nothing has a status yet, and no domain a key.
    async fn first_start(&self, audit: &mut Audit, report: &mut Report) -> Result<()> {
        progress("first start: every status is to be written");
        let begin = Instant::now();
        let operator = Operator::start(self.options, &self.plane, self.dns).await?;
        report.note("first start: ready", "s", operator.ready.as_secs_f64());
        let (writes, last) = self.settle(audit).await?;
        let took = last.duration_since(begin).as_secs_f64();
        report.note("first start: all written", "s", took);
        report.note("first start: writes", "requests", writes.count() as f64);
        report.note(
            "first start: writes",
            "requests/s",
            writes.count() as f64 / took,
        );
        report.note("first start: peak memory", "MiB RSS", operator.peak() / MIB);
        progress(&format!("written: {}", audit::shown(&writes.counted)));
        self.check_statuses().await?;
        operator.stop().await.map(drop)
    }

    /// Waits until nothing is written any more; what was, and when the last of it.
    async fn settle(&self, audit: &mut Audit) -> Result<(Writes, Instant)> {
        let (begin, mut last) = (Instant::now(), Instant::now());
        let mut all = Writes::default();
        while last.elapsed() < SETTLED {
            ensure!(begin.elapsed() < SETTLE_LIMIT, "writes do not end: {all:?}");
            tokio::time::sleep(Duration::from_millis(500)).await;
            let writes = audit.since()?;
            if writes.count() > 0 {
                last = Instant::now();
            }
            all.extend(writes);
        }
        Ok((all, last))
    }

    /// Every object is Ready and its status about its present generation.
    async fn check_statuses(&self) -> Result<()> {
        for (plural, wanted) in [
            ("maildomains", self.world.domains),
            ("mailboxes", self.world.mailboxes),
        ] {
            let (mut good, mut bad) = (0, None);
            let look = |object: &Value| match is_right(object) {
                true => good += 1,
                false => bad = Some(object.to_string()),
            };
            self.plane
                .api
                .each(&format!("{OURS}/{plural}"), look)
                .await?;
            ensure!(
                good == wanted,
                "{good} of {wanted} {plural} are right; {bad:?}"
            );
        }
        Ok(())
    }

    /// Everything is as it should be already.
    async fn restart(&self, audit: &mut Audit, report: &mut Report) -> Result<Operator> {
        progress("restart: everything is right");
        audit.since()?;
        let begin = Instant::now();
        let operator = Operator::start(self.options, &self.plane, self.dns).await?;
        report.note("restart: ready", "s", operator.ready.as_secs_f64());
        self.looked(&operator, "mailbox", self.world.mailboxes)
            .await?;
        self.looked(&operator, "maildomain", self.world.domains)
            .await?;
        report.below(
            "restart: all looked at",
            "s",
            begin.elapsed().as_secs_f64(),
            60.0,
        );
        report.note("restart: peak memory", "MiB RSS", operator.peak() / MIB);
        let mut writes = audit.since()?;
        writes.set_applied_apart();
        none(report, "restart: writes", &writes);
        Ok(operator)
    }

    async fn looked(&self, operator: &Operator, kind: &str, wanted: usize) -> Result<()> {
        let (name, label) = (
            "mailpods_operator_reconciliations_total",
            format!("\"{kind}\""),
        );
        let looked = async {
            while operator.counter(name, &label).await? < wanted as f64 {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Ok(())
        };
        let done = tokio::time::timeout(LOOK_LIMIT, looked).await;
        done.with_context(|| format!("not every {kind} was looked at"))?
    }

    /// Nothing changes.
    async fn idle(&self, audit: &mut Audit, report: &mut Report) -> Result<()> {
        self.settle(audit).await?;
        progress(&format!("{} s in which nothing changes", self.options.idle));
        tokio::time::sleep(Duration::from_secs(self.options.idle)).await;
        let writes = audit.since()?;
        none(report, "idle: writes", &writes);
        Ok(())
    }
}

/// Writes of which there may be none.
fn none(report: &mut Report, name: &str, writes: &Writes) {
    report.none(name, "requests", writes.count());
    eprintln!(
        "    counted: {}; apart: {}",
        audit::shown(&writes.counted),
        audit::shown(&writes.apart)
    );
}

fn is_right(object: &Value) -> bool {
    let observed = object.pointer("/status/observedGeneration");
    let conditions = object
        .pointer("/status/conditions")
        .and_then(Value::as_array);
    let mut conditions = conditions.into_iter().flatten();
    observed.is_some()
        && observed == object.pointer("/metadata/generation")
        && conditions.any(|condition| {
            let field = |name: &str| condition.get(name).and_then(Value::as_str);
            (field("type"), field("status")) == (Some("Ready"), Some("True"))
        })
}

/// A port that nobody has; somebody may take it before it is used.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
