//! The mail system that most scenarios share: installed by t05, taken away by t16.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::mail::Site;
use crate::kubectl::Kubectl;
use crate::world::World;
use crate::world::clients::Person;
use crate::world::load::{Load, Report};

/// Namespace of the operator.
pub const OPERATOR: &str = "mailpods-system";
/// Namespace of the mail system.
pub const MAIL: &str = "mail";
/// The address that its Services ask for.
pub const ADDRESS: &str = "10.77.0.120";
/// The mail system as the world knows it.
pub const SITE: Site = Site {
    domain: "example.test",
    host: "mail.example.test",
    person: Person {
        address: "ann@example.test",
        password: "ann-of-the-tests",
    },
};

/// Long enough for pods to start, keys to be made and a TTL to pass.
pub const LIMIT: Duration = Duration::from_secs(300);

/// Failures under load that are shown; the rest is most often the same.
const SHOWN_FAILURES: usize = 5;

/// `kubectl wait --for=condition=Ready`, as a person would.
pub fn ready(kubectl: &Kubectl, namespace: &str, resources: &[&str]) -> Result<()> {
    let limit = format!("--timeout={}s", LIMIT.as_secs());
    let mut all = vec!["-n", namespace, "wait", "--for=condition=Ready", &limit];
    all.extend(resources);
    let outcome = kubectl.run(&all);
    outcome
        .map(|_| ())
        .with_context(|| told(kubectl, namespace))
}

/// What the resources of a namespace say of themselves, for people.
pub fn told(kubectl: &Kubectl, namespace: &str) -> String {
    let template = "-o=go-template={{range .items}}{{.kind}} {{.metadata.name}}:{{range .status.conditions}} {{.type}}={{.status}} ({{.reason}}: {{.message}}){{end}}\n{{end}}";
    let conditions = kubectl.run(&["-n", namespace, "get", "mailpods", template]);
    let pods = kubectl.run(&["-n", namespace, "get", "pods"]);
    let or_why = |outcome: Result<String>| outcome.unwrap_or_else(|error| error.to_string());
    format!("{}\n{}", or_why(conditions), or_why(pods))
}

/// Waits until every pod of a Deployment or StatefulSet is new and ready.
pub fn rolled_out(kubectl: &Kubectl, namespace: &str, workload: &str) -> Result<()> {
    let limit = format!("--timeout={}s", LIMIT.as_secs());
    kubectl.run(&["-n", namespace, "rollout", "status", workload, &limit])?;
    Ok(())
}

/// Changes fields of a resource.
pub fn patch(kubectl: &Kubectl, resource: &str, fields: &str) -> Result<()> {
    kubectl.run(&[
        "-n",
        MAIL,
        "patch",
        resource,
        "--type=merge",
        "--patch",
        fields,
    ])?;
    Ok(())
}

/// Sends without a pause to our person while something happens, and checks that nothing was lost or doubled.
pub fn under_load(
    world: &World,
    name: &str,
    happens: impl FnOnce(&Load) -> Result<()>,
) -> Result<Report> {
    // A run that failed may have left it dead.
    world.postgres()?;
    let server: SocketAddr = format!("{ADDRESS}:25").parse()?;
    let name = world.subject(name).replace(' ', "-");
    let load = Load::start(world.outside()?, server, SITE.person.address, &name)?;
    let happened = load.flows(1).and_then(|()| happens(&load));
    let report = load.stop()?;
    happened?;
    ensure!(
        !report.acknowledged.is_empty(),
        "nothing was accepted: {:?}",
        report.failed
    );
    exactly_once(world, &name, &report.acknowledged)?;
    eprintln!(
        "==> {} acknowledged, all there once; {} refused, {} failed",
        report.acknowledged.len(),
        report.refused.len(),
        report.failed.len()
    );
    for failure in report.failed.iter().take(SHOWN_FAILURES) {
        eprintln!("    {failure}");
    }
    Ok(report)
}

/// Every acknowledged message arrives, and arrives once.
fn exactly_once(world: &World, name: &str, acknowledged: &[String]) -> Result<()> {
    let last = acknowledged.last().context("nothing was acknowledged")?;
    SITE.await_read(world, last)?;
    let missing = |subjects: &[String]| -> Vec<String> {
        let absent = acknowledged
            .iter()
            .filter(|subject| !subjects.contains(subject));
        absent.cloned().collect()
    };
    // Retries of a delivery may come after later messages.
    let subjects = crate::wait::until("all acknowledged messages are there", LIMIT, || {
        let subjects = SITE.imap(world)?.subjects()?;
        let missing = missing(&subjects);
        Ok(match missing.is_empty() {
            true => crate::wait::Seen::Yes(subjects),
            false => crate::wait::Seen::NotYet(format!("{} missing: {missing:?}", missing.len())),
        })
    })?;
    let mut ours: Vec<&String> = subjects.iter().filter(|s| s.starts_with(name)).collect();
    ours.sort();
    let doubled: Vec<_> = ours.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    ensure!(doubled.is_empty(), "arrived more than once: {doubled:?}");
    Ok(())
}
