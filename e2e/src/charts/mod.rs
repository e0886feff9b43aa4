//! The charts, and the objects that the operator makes, as far as they can be judged without a cluster: `helm lint`, and each
//! object against the schema of its kind, in which a field that the kind does not have is a mistake.

pub mod health;
mod schemas;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{binaries, command};
use schemas::Schemas;

/// Namespace of releases that are rendered.
const NAMESPACE: &str = "mailpods-system";

/// A way to install a chart.
struct Case {
    chart: &'static str,
    /// File of values, in the folder of the chart.
    values: Option<&'static str>,
    /// Further options of `helm`, for what a cluster would tell it.
    options: &'static [&'static str],
    /// Objects that this makes.
    objects: usize,
}

const CASES: &[Case] = &[
    Case {
        chart: "mailpods-crds",
        values: None,
        options: &[],
        objects: 5,
    },
    Case {
        chart: "mailpods-crds",
        values: Some("ci/removed-values.yaml"),
        options: &[],
        objects: 5,
    },
    Case {
        chart: "mailpods",
        values: None,
        options: &[],
        objects: 13,
    },
    Case {
        chart: "mailpods",
        values: Some("ci/everything-values.yaml"),
        options: &["--api-versions=monitoring.coreos.com/v1"],
        objects: 17,
    },
    // Kinds that are not there are not asked for.
    Case {
        chart: "mailpods",
        values: Some("ci/everything-values.yaml"),
        options: &[],
        objects: 14,
    },
    Case {
        chart: "mailpods",
        values: Some("ci/namespaced-values.yaml"),
        options: &[],
        objects: 9,
    },
];

/// Values that are refused, and what the refusal names.
const MISTAKES: &[(&str, &str)] = &[
    ("replica=3", "replica"),
    ("replicas=0", "replicas"),
    ("replicas=many", "replicas"),
    ("image.tags=1", "tags"),
    ("image.pullPolicy=Sometimes", "pullPolicy"),
    ("dns.servers={ns.example.com}", "servers"),
    ("resources.memory=1Gi", "memory"),
    ("tolerations[0].operator=Is", "operator"),
    ("monitoring.enabled=yes", "enabled"),
];

/// Objects that are wrong, one for each place that schemas come from: a check that lets them pass would prove nothing.
const WRONG: &[&str] = &[
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {port: 25}}",
    "{apiVersion: mailpods.dev/v1alpha1, kind: MailDomain, metadata: {name: a}, spec: {domian: a.test}}",
    "{apiVersion: externaldns.k8s.io/v1alpha1, kind: DNSEndpoint, metadata: {name: a}, spec: {endpoints: [{ttl: 1}]}}",
    "{apiVersion: cert-manager.io/v1, kind: Certificate, metadata: {name: a}, spec: {secretName: a}}",
    "{apiVersion: monitoring.coreos.com/v1, kind: ServiceMonitor, metadata: {name: a}, spec: {selector: []}}",
    "{apiVersion: monitoring.coreos.com/v1, kind: PrometheusRule, metadata: {name: a}, spec: {groups: [{}]}}",
];

/// Kinds that documents show and that no pinned module has a definition of: those of Argo CD and Flux.
const NOT_OURS: &str = "Application,Kustomization";

/// Kinds of networks, for which there is none either; a test of the operator compares these with their published fields.
const OF_NETWORKS: &str = "CiliumEgressGatewayPolicy,Egress,EgressIP";

/// Checks both charts, what the operator makes of the golden folders, and what the documents show.
pub fn check() -> Result<()> {
    for (value, named) in MISTAKES {
        refused(value, named)?;
    }
    let schemas = Schemas::new()?;
    for yaml in WRONG {
        let passed = conform(&schemas, yaml, "").is_ok();
        ensure!(!passed, "the schemas let a wrong object pass: {yaml}");
    }
    for case in CASES {
        let rendered = case.lint().and_then(|()| case.rendered())?;
        let what = format!("chart {} {}", case.chart, case.values.unwrap_or_default());
        let objects = conform(&schemas, &rendered, "").context(what.clone())?;
        ensure!(
            objects == case.objects,
            "{what}: {objects} objects, {} were expected",
            case.objects
        );
        eprintln!("==> {what}: {objects} objects");
    }
    for file in files()? {
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("failed to read {}", file.display()))?;
        let is_document = file.extension().is_some_and(|end| end == "md");
        let (yaml, skipped) = match is_document {
            true => (blocks(&text).join("\n---\n"), NOT_OURS),
            false if text.contains("kind: CiliumEgressGatewayPolicy") => (text, OF_NETWORKS),
            false => (text, ""),
        };
        let objects =
            conform(&schemas, &yaml, skipped).with_context(|| file.display().to_string())?;
        eprintln!("==> {}: {objects} objects", file.display());
    }
    health::check()
}

/// Files with objects: what the operator makes, what people start from, and what documents show.
fn files() -> Result<Vec<PathBuf>> {
    let root = crate::root();
    let mut files = vec![root.join("docs/kubernetes.md")];
    for folder in ["operator/tests/golden", "examples"] {
        let folder = root.join(folder);
        for entry in std::fs::read_dir(&folder)
            .with_context(|| format!("failed to list {}", folder.display()))?
        {
            for file in std::fs::read_dir(entry?.path())? {
                let file = file?.path();
                if file.extension().is_some_and(|end| end == "yaml") {
                    files.push(file);
                }
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The YAML blocks of a document.
pub fn blocks(markdown: &str) -> Vec<&str> {
    let mut rest = markdown;
    let mut blocks = Vec::new();
    while let Some((block, after)) = rest
        .split_once("```yaml\n")
        .and_then(|(_, text)| text.split_once("```"))
    {
        blocks.push(block);
        rest = after;
    }
    blocks
}

impl Case {
    fn folder(&self) -> PathBuf {
        crate::root().join("charts").join(self.chart)
    }

    fn helm(&self, arguments: &[&str]) -> Result<Command> {
        let mut helm = Command::new(binaries::program("helm")?);
        // Nobody's configuration, and no cluster by chance.
        helm.env_remove("KUBECONFIG").args(arguments);
        helm.arg(self.folder());
        if let Some(values) = self.values {
            helm.arg("--values").arg(self.folder().join(values));
        }
        Ok(helm)
    }

    fn lint(&self) -> Result<()> {
        command::run(&mut self.helm(&["lint", "--strict"])?)?;
        Ok(())
    }

    fn rendered(&self) -> Result<String> {
        let mut helm = self.helm(&["template", "release", "--namespace", NAMESPACE])?;
        command::run(helm.args(self.options))
    }
}

/// Has `helm` refuse a value by the chart's schema.
fn refused(value: &str, named: &str) -> Result<()> {
    let mut helm = Command::new(binaries::program("helm")?);
    helm.env_remove("KUBECONFIG")
        .args(["template", "release"])
        .arg(crate::root().join("charts/mailpods"))
        .args(["--set", value]);
    let output = command::attempt(&mut helm)?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(
        !output.status.success() && told.contains(named),
        "`--set {value}` should be refused with a word about {named}: {told}"
    );
    Ok(())
}

/// Checks objects against the schemas of their kinds, some kinds apart; how many there were.
fn conform(schemas: &Schemas, yaml: &str, skipped: &str) -> Result<usize> {
    let location = schemas
        .folder()
        .join("{{.ResourceKind}}-{{.Group}}-{{.ResourceAPIVersion}}.json");
    let mut kubeconform = Command::new(binaries::program("kubeconform")?);
    kubeconform
        .args(["-strict", "-summary", "-output=json", "-skip", skipped])
        .arg("-schema-location")
        .arg(location);
    let told = command::feed(&mut kubeconform, yaml.as_bytes())?;
    let told: Value = serde_json::from_str(&told).context("kubeconform printed no JSON")?;
    let count = |name: &str| told["summary"][name].as_u64().unwrap_or_default();
    ensure!(
        count("valid") > 0 && (skipped.is_empty() == (count("skipped") == 0)),
        "nothing was checked, or something was skipped: {}",
        told["summary"]
    );
    usize::try_from(count("valid")).context("more objects than fit into memory")
}

#[cfg(test)]
mod tests {
    #[test]
    fn blocks_of_yaml_are_found_and_others_are_not() {
        let text = "a\n```yaml\na: 1\n```\n```sh\nls\n```\n```yaml\nb: 2\n```\n";
        assert_eq!(super::blocks(text), ["a: 1\n", "b: 2\n"]);
    }
}
