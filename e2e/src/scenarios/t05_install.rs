//! From nothing to a mail system: two charts, two Secrets, three files.

use anyhow::{Context, Result, ensure};

use super::system::{LIMIT, MAIL, OPERATOR, SITE, ready};
use super::t03_dns::await_answer;
use crate::charts::health;
use crate::image;
use crate::kubectl::Kubectl;
use crate::wait::{self, Seen};
use crate::world::World;
use crate::world::postgres::Postgres;

/// Helm, kubectl, and DNS that shows all of it.
pub fn run(world: &World) -> Result<()> {
    world.image()?;
    world.external_dns()?;
    world.postgres()?;
    install(world)?;
    test(world)?;
    let kubectl = &world.kubectl;
    kubectl.apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {MAIL}\n  labels: {{pod-security.kubernetes.io/enforce: restricted}}\n"))?;
    secret(kubectl, "database", "uri", &Postgres::uri())?;
    secret(kubectl, "ann", "password", SITE.person.password)?;
    kubectl.apply(include_str!("t05/cluster.yaml"))?;
    kubectl.apply(include_str!("t05/domain.yaml"))?;
    kubectl.apply(include_str!("t05/mailbox.yaml"))?;
    let resources = ["mailcluster/main", "maildomain/example", "mailbox/ann"];
    ready(kubectl, MAIL, &resources)?;
    for resource in resources {
        let health = health::of(&kubectl.get(&["-n", MAIL, resource])?)?;
        ensure!(
            health.status == "Healthy",
            "Argo CD would show {health:?} of {resource}"
        );
    }
    dns_is_as_wanted(world)
}

/// The charts as a user installs them; `--wait` believes the status of what they contain.
fn install(world: &World) -> Result<()> {
    let chart = |name: &str| {
        crate::root()
            .join("charts")
            .join(name)
            .display()
            .to_string()
    };
    let reference = image::reference();
    let (repository, tag) = reference
        .rsplit_once(':')
        .context("a reference without a tag")?;
    let (repository, tag) = (
        format!("image.repository={repository}"),
        format!("image.tag={tag}"),
    );
    world.helm(&[
        "upgrade",
        "--install",
        "mailpods-crds",
        &chart("mailpods-crds"),
        "--namespace",
        OPERATOR,
        "--create-namespace",
        "--wait",
    ])?;
    world.helm(&[
        "upgrade",
        "--install",
        "mailpods",
        &chart("mailpods"),
        "--namespace",
        OPERATOR,
        "--wait",
        "--timeout=5m",
        "--set",
        &repository,
        "--set",
        &tag,
        "--set",
        "image.pullPolicy=Never",
    ])?;
    Ok(())
}

/// `helm test`, with the words of its pod when it fails.
fn test(world: &World) -> Result<()> {
    let outcome = world.helm(&["test", "mailpods", "--namespace", OPERATOR, "--timeout=2m"]);
    outcome.map(|_| ()).map_err(|error| {
        let told = world
            .kubectl
            .run(&["-n", OPERATOR, "logs", "mailpods-operator-test"]);
        let told = told.unwrap_or_else(|error| format!("{error:#}"));
        error.context(format!("its pod said: {told}"))
    })
}

fn secret(kubectl: &Kubectl, name: &str, key: &str, value: &str) -> Result<()> {
    let value = value.replace('\'', "''");
    kubectl.apply(&format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {MAIL}}}\nstringData: {{{key}: '{value}'}}\n"
    ))?;
    Ok(())
}

/// What the status says is what an independent look-up sees.
fn dns_is_as_wanted(world: &World) -> Result<()> {
    let dns = world.dns()?;
    await_answer(dns, SITE.domain, "MX", &["10 mail.example.test."])?;
    await_answer(
        dns,
        SITE.domain,
        "TXT",
        &["\"v=spf1 mx ip4:10.77.0.1 ~all\""],
    )?;
    await_answer(
        dns,
        "_dmarc.example.test",
        "TXT",
        &["\"v=DMARC1; p=quarantine; pct=100;\""],
    )?;
    await_answer(dns, SITE.host, "A", &[super::system::ADDRESS])?;
    wait::until("the status shows every record as seen", LIMIT, || {
        let domain = world.kubectl.get(&["-n", MAIL, "maildomain", "example"])?;
        let records = domain["status"]["records"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        ensure!(
            !records.is_empty(),
            "a Ready domain without records in its status"
        );
        let other: Vec<_> = records
            .iter()
            .filter(|r| r.get("fault").is_some())
            .collect();
        Ok(match other.is_empty() {
            true => Seen::Yes(()),
            false => Seen::NotYet(format!("{other:?}")),
        })
    })
}
