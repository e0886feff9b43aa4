//! `mailpods-operator render`: every object and record of a folder, without a Kubernetes cluster.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use mailpods_api::DomainName;
use mailpods_plan::{
    Inventory, Located, ManagedDkim, Origin, Plan, Problem, Resources, Source, assign,
    compile_valid, dns, load_valid,
};

use crate::cluster::build::{Surroundings, addresses, build, policy_hosts};
use crate::cluster::hosts;
use crate::cluster::validate::validate;
use crate::domain;
use crate::kube::children::{Child, ChildKind, Mode};
use crate::world::snapshot::Served;

/// Folders in folders.
const MAX_DEPTH: usize = 8;
/// Files of one folder.
const MAX_FILES: usize = 10_000;

/// What a folder comes to.
#[derive(Debug, Default)]
pub struct Rendered {
    /// Objects and records, as YAML documents.
    pub text: String,
    /// What is wrong with the folder.
    pub problems: Vec<Problem>,
}

/// Renders what some files come to.
///
/// # Errors
/// When an object cannot be written as YAML, which would be a mistake in this program.
pub fn render(sources: &[Source], surroundings: &Surroundings) -> Result<Rendered> {
    let (resources, mut problems) = load_valid(sources);
    let origins = origins(&resources);
    let assigned = assign(inventory(resources, &origins));
    problems.extend(assigned.problems);
    let served = assigned.domains.into_iter();
    let served = served
        .map(|(name, owner)| (name, Served::of(owner)))
        .collect();
    let mut text = String::new();
    for resources in assigned.clusters.values() {
        let (part, more) = render_cluster(resources, &served, surroundings)?;
        text.push_str(&part);
        problems.extend(more);
    }
    problems
        .iter_mut()
        .for_each(|problem| locate(problem, &origins));
    Ok(Rendered { text, problems })
}

/// Where resources are, by namespace and `Kind/name`.
type Origins = BTreeMap<(String, String), Arc<Origin>>;

fn origins(resources: &Resources) -> Origins {
    fn of<T>(located: &[Located<T>]) -> impl Iterator<Item = &Arc<Origin>> {
        located.iter().map(|located| &located.origin)
    }
    let all = of(&resources.clusters)
        .chain(of(&resources.domains))
        .chain(of(&resources.mailboxes))
        .chain(of(&resources.outbound_ips))
        .chain(of(&resources.mailing_lists));
    all.map(|origin| {
        let key = (origin.namespace.clone(), origin.resource.clone());
        (key, origin.clone())
    })
    .collect()
}

/// Says which file a problem is in: an object of an API server is in none.
fn locate(problem: &mut Problem, origins: &Origins) {
    let Some(resource) = problem.resource.clone().filter(|_| problem.file.is_empty()) else {
        return;
    };
    if let Some(origin) = origins.get(&(problem.namespace.clone(), resource)) {
        let place = origin.problem(&problem.field, "");
        (problem.file, problem.position) = (place.file, place.position);
    }
}

/// The label that every namespace has; others are in no file.
fn labels(namespace: &str) -> (String, BTreeMap<String, String>) {
    let label = (
        "kubernetes.io/metadata.name".to_owned(),
        namespace.to_owned(),
    );
    (namespace.to_owned(), [label].into())
}

/// What an API server would hold after the folder was applied.
fn inventory(resources: Resources, origins: &Origins) -> Inventory {
    fn objects<T>(located: Vec<Located<T>>) -> Vec<Arc<T>> {
        located.into_iter().map(|located| located.object).collect()
    }
    let dkim = resources.domains.iter().map(|domain| {
        let name = domain.object.spec.domain.clone();
        (name, ManagedDkim::default())
    });
    Inventory {
        dkim: Arc::new(dkim.collect()),
        clusters: objects(resources.clusters),
        domains: objects(resources.domains),
        mailboxes: objects(resources.mailboxes),
        outbound_ips: objects(resources.outbound_ips),
        mailing_lists: objects(resources.mailing_lists),
        // A folder that cannot be read is said to be wrong, and comes to nothing.
        unread: Vec::new(),
        secrets: resources.secrets,
        namespaces: Arc::new(
            origins
                .keys()
                .map(|(namespace, _)| labels(namespace))
                .collect(),
        ),
        records_apart: false,
    }
}

fn render_cluster(
    resources: &Resources,
    served: &BTreeMap<DomainName, Served>,
    surroundings: &Surroundings,
) -> Result<(String, Vec<Problem>)> {
    let mut text = String::new();
    let mut problems = Vec::new();
    // Keys are made by the operator when it runs: their records are known then.
    let mut unkeyed = resources.clone();
    unkeyed.dkim = None;
    let compiled = compile_valid(unkeyed);
    for cluster in &resources.clusters {
        match validate(&cluster.object) {
            Ok(valid) => {
                let surroundings = Surroundings {
                    policy_hosts: policy_hosts(&valid, compiled.plan.as_ref()),
                    addresses: addresses(&valid, compiled.plan.as_ref()),
                    ..surroundings.clone()
                };
                write_children(&mut text, &build(&valid, &surroundings))?;
                if let Some(plan) = &compiled.plan {
                    let records = hosts::records(plan, served);
                    write_children(&mut text, hosts::build(&valid, &records)?.as_slice())?;
                }
            }
            Err(more) => problems.extend(more),
        }
    }
    problems.extend(compiled.problems);
    if let Some(plan) = compiled.plan {
        render_records(&mut text, resources, &plan)?;
    }
    Ok((text, problems))
}

fn render_records(text: &mut String, resources: &Resources, plan: &Plan) -> Result<()> {
    let all = dns::fill(plan, None, |_, _| None);
    for cluster in &resources.clusters {
        for domain in &resources.domains {
            let name = &domain.object.spec.domain;
            let records: Vec<_> = all
                .iter()
                .filter(|record| record.domain == *name)
                .cloned()
                .collect();
            let (children, refused) =
                domain::build::build(&domain.object, &records, &cluster.object.spec.dns);
            for refused in refused {
                writeln!(
                    text,
                    "# not published: {} {}: {}",
                    refused.name,
                    refused.kind.as_str(),
                    refused.reason
                )?;
            }
            write_children(text, &children)?;
        }
    }
    if !all.is_empty() {
        text.push_str("---\n# Records:\n");
        for line in dns::zone(&all).lines() {
            writeln!(text, "# {line}")?;
        }
    }
    Ok(())
}

fn write_children(text: &mut String, children: &[Child]) -> Result<()> {
    for child in children {
        text.push_str("---\n");
        if child.mode == Mode::Once {
            text.push_str("# Made once, with random data, and kept.\n");
        }
        let yaml = serde_yaml::to_string(&child.object)
            .map_err(|error| anyhow::anyhow!("{error}"))
            .with_context(|| format!("failed to write {}", child.name()))?;
        text.push_str(&yaml);
    }
    Ok(())
}

/// Every YAML file of a folder, and the files of `secrets/NAME/KEY`.
///
/// # Errors
/// When a file or folder cannot be read, or there are too many.
pub fn read_folder(folder: &Path) -> Result<Vec<Source>> {
    let mut sources = BTreeMap::new();
    let mut open = vec![(folder.to_owned(), 0)];
    while let Some((path, depth)) = open.pop() {
        for entry in std::fs::read_dir(&path)
            .with_context(|| format!("failed to list {}", path.display()))?
        {
            let path = entry?.path();
            if path.is_dir() && depth < MAX_DEPTH {
                open.push((path, depth + 1));
            } else if wanted(&path) {
                sources.insert(path.clone(), read(folder, &path)?);
            }
            anyhow::ensure!(
                sources.len() <= MAX_FILES,
                "{} has more than {MAX_FILES} files",
                folder.display()
            );
        }
    }
    Ok(sources.into_values().collect())
}

fn wanted(path: &Path) -> bool {
    let yaml = path
        .extension()
        .is_some_and(|end| end == "yaml" || end == "yml");
    let secret = path
        .ancestors()
        .nth(2)
        .and_then(Path::file_name)
        .is_some_and(|name| name == "secrets");
    path.is_file() && (yaml || secret)
}

fn read(folder: &Path, path: &Path) -> Result<Source> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("failed to read {}", path.display()))?;
    let relative = path.strip_prefix(folder).unwrap_or(path);
    Ok(Source {
        path: relative.to_string_lossy().into_owned(),
        text,
    })
}

/// Surroundings of a rendering: all kinds of others exist, and the authority is not known.
#[must_use]
pub fn surroundings(image: &str, namespace: &str) -> Surroundings {
    Surroundings {
        image: image.to_owned(),
        control_url: crate::control::url(namespace),
        control_ca:
            "-----BEGIN CERTIFICATE-----\nmade by the operator\n-----END CERTIFICATE-----\n"
                .to_owned(),
        operator_namespace: namespace.to_owned(),
        foreign: ChildKind::ALL
            .into_iter()
            .filter(|kind| kind.is_foreign())
            .collect(),
        policy_hosts: Vec::new(),
        addresses: Vec::new(),
    }
}
