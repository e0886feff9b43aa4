//! Files to resources: strict, with every problem of every file at once.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube_core::cel::Validator;
use mailpods_api::v1alpha1::{MailCluster, MailDomain, Mailbox, MailingList, OutboundIP, Provider};
use mailpods_api::{DomainName, MailboxAddress, Selector};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::kinds::{self, Kind, kinds};
use crate::model::DkimKey;
use crate::problem::{Origin, Problem, nearest};
use crate::secret::SecretText;
use crate::unread::created;
use crate::yaml::{self, Node};

/// Resources in one folder.
const MAX_RESOURCES: usize = 200_000;

/// Problems that are reported; more help nobody.
const MAX_PROBLEMS: usize = 1_000;

/// A file: its path for messages, and its text.
///
/// A file `secrets/NAME/KEY` is one key of the Secret NAME; a newline at its end is dropped. All others are YAML.
#[derive(Debug, Clone)]
pub struct Source {
    /// Path relative to the folder, with `/`.
    pub path: String,
    /// Contents.
    pub text: String,
}

/// A resource and where it came from.
#[derive(Debug, Clone)]
pub struct Located<T> {
    /// The resource, defaults filled in.
    pub object: Arc<T>,
    /// Its file and fields.
    pub origin: Arc<Origin>,
}

/// A Secret's data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secret {
    /// Values by key; what is not UTF-8 is left out.
    pub data: BTreeMap<String, SecretText>,
}

/// Secrets by namespace and name.
pub type Secrets = BTreeMap<(String, String), Arc<Secret>>;

/// Where a plan runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Environment {
    /// In one process, from a folder.
    #[default]
    Standalone,
    /// In the pods of a Kubernetes cluster.
    Cluster,
}

/// The DKIM keys of a domain that the operator keeps.
#[derive(Debug, Clone, Default)]
pub struct ManagedDkim {
    /// Records to publish: selector and text.
    pub published: Vec<(Selector, String)>,
    /// Keys to sign with, each of them published.
    pub signing: Vec<DkimKey>,
}

/// Everything that a folder holds, each thing valid by itself.
#[derive(Debug, Clone, Default)]
pub struct Resources {
    /// MailClusters.
    pub clusters: Vec<Located<MailCluster>>,
    /// MailDomains.
    pub domains: Vec<Located<MailDomain>>,
    /// Mailboxes.
    pub mailboxes: Vec<Located<Mailbox>>,
    /// OutboundIPs.
    pub outbound_ips: Vec<Located<OutboundIP>>,
    /// MailingLists.
    pub mailing_lists: Vec<Located<MailingList>>,
    /// Secrets by namespace and name. Files beside have the namespace "".
    pub secrets: Arc<Secrets>,
    /// DKIM keys of domains, when somebody else than the store keeps them.
    pub dkim: Option<Arc<BTreeMap<DomainName, ManagedDkim>>>,
    /// Whether the records of domains are left out of the plan: they are asked for one by one, by
    /// [`domain_records`](crate::dns::domain_records).
    pub records_apart: bool,
    /// Where the plan is to run.
    pub environment: Environment,
    /// Digest of the sources, hex.
    pub digest: String,
    /// Whether nothing was left out because of a problem.
    pub complete: bool,
    /// What was left out because of a problem.
    pub left_out: LeftOut,
}

/// What a problem keeps out of a plan, as far as it has mail or records that are not to be lost over it.
#[derive(Debug, Clone, Default)]
pub struct LeftOut {
    /// Names of MailDomains, aliases too.
    pub names: Vec<DomainName>,
    /// Addresses.
    pub addresses: Vec<LeftAddresses>,
    /// Addresses and names of OutboundIPs.
    pub hosts: Vec<(IpAddr, DomainName)>,
}

impl LeftOut {
    /// Adds the names of a domain whose mail is taken here.
    pub(crate) fn add(&mut self, domain: &MailDomain) {
        if domain.spec.provider == Provider::Builtin {
            let names = std::iter::once(&domain.spec.domain).chain(&domain.spec.domain_aliases);
            self.names.extend(names.cloned());
        }
    }
}

/// Addresses of a Mailbox, or of what cannot be read.
#[derive(Debug, Clone)]
pub struct LeftAddresses {
    /// The resource.
    pub origin: Arc<Origin>,
    /// When it was made.
    pub created: Option<SystemTime>,
    /// Its own; `None` when that cannot be read.
    pub own: Option<MailboxAddress>,
    /// Others that lead to it.
    pub aliases: Vec<MailboxAddress>,
}

impl LeftAddresses {
    pub(crate) fn of(mailbox: &Located<Mailbox>) -> Self {
        let spec = &mailbox.object.spec;
        Self {
            origin: mailbox.origin.clone(),
            created: created(&mailbox.object.metadata),
            own: Some(spec.address.clone()),
            aliases: spec.aliases.clone(),
        }
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &MailboxAddress> {
        self.own.iter().chain(&self.aliases)
    }

    /// Whether it was there before another resource.
    pub(crate) fn is_older<K: kube_core::Resource>(&self, other: &Located<K>) -> bool {
        let other = (created(other.object.meta()), &*other.origin);
        let age = |(created, origin): (Option<SystemTime>, &Origin)| {
            (created, origin.namespace.clone(), origin.name.clone())
        };
        self.created.is_some() && age((self.created, &self.origin)) < age(other)
    }
}

impl Resources {
    /// Drops resources by namespace and `Kind/name`, MailClusters apart; whether there were any.
    pub(crate) fn leave_out(&mut self, bad: &HashSet<(String, String)>) -> bool {
        let good =
            |origin: &Origin| !bad.contains(&(origin.namespace.clone(), origin.resource.clone()));
        if self.clusters.iter().any(|cluster| !good(&cluster.origin)) {
            return false;
        }
        let before = self.count();
        let left_out = &mut self.left_out;
        for domain in self
            .domains
            .extract_if(.., |resource| !good(&resource.origin))
        {
            left_out.add(&domain.object);
        }
        let mailboxes = &mut self.mailboxes;
        let bad = mailboxes.extract_if(.., |resource| !good(&resource.origin));
        left_out
            .addresses
            .extend(bad.map(|mailbox| LeftAddresses::of(&mailbox)));
        self.outbound_ips.retain(|resource| good(&resource.origin));
        self.mailing_lists.retain(|resource| good(&resource.origin));
        self.count() < before
    }

    fn count(&self) -> usize {
        self.domains.len()
            + self.mailboxes.len()
            + self.outbound_ips.len()
            + self.mailing_lists.len()
    }
}

/// Reads all files.
///
/// # Errors
/// Every problem of every file.
pub fn load(sources: &[Source]) -> Result<Resources, Vec<Problem>> {
    let (resources, problems) = load_valid(sources);
    if problems.is_empty() {
        Ok(resources)
    } else {
        Err(problems)
    }
}

/// Reads all files; what has a problem is left out.
#[must_use]
pub fn load_valid(sources: &[Source]) -> (Resources, Vec<Problem>) {
    let mut loader = Loader::new();
    for source in sources {
        match secret_file(&source.path) {
            Some((name, key)) => loader.secret_value(source, name, key),
            None => loader.file(source),
        }
    }
    loader.resources.digest = digest(sources);
    loader.resources.complete = loader.problems.is_empty();
    loader.refuse_secrets_in_two_places();
    loader.problems.append(&mut loader.unsupported);
    loader.problems.sort();
    loader.problems.truncate(MAX_PROBLEMS);
    (loader.resources, loader.problems)
}

/// Name and key of a path `secrets/NAME/KEY`.
fn secret_file(path: &str) -> Option<(&str, &str)> {
    let mut parts = path.rsplit('/');
    let (key, name, folder) = (parts.next()?, parts.next()?, parts.next()?);
    (folder == "secrets").then_some((name, key))
}

fn digest(sources: &[Source]) -> String {
    let mut sorted: Vec<&Source> = sources.iter().collect();
    sorted.sort_by(|a, b| a.path.cmp(&b.path));
    let mut hash = Sha256::new();
    for source in sorted {
        for text in [&source.path, &source.text] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
    }
    hash.finalize()
        .iter()
        .take(16)
        .map(|octet| format!("{octet:02x}"))
        .collect()
}

struct Loader {
    kinds: Arc<Vec<Kind>>,
    validator: Validator,
    resources: Resources,
    /// Where each `(kind, namespace, name)` stands.
    seen: BTreeMap<(String, String, String), String>,
    problems: Vec<Problem>,
    /// Resources that are left out, which explains no other problem.
    unsupported: Vec<Problem>,
}

impl Loader {
    fn new() -> Self {
        Self {
            kinds: kinds(),
            validator: Validator::new(),
            resources: Resources::default(),
            seen: BTreeMap::new(),
            problems: Vec::new(),
            unsupported: Vec::new(),
        }
    }

    fn file(&mut self, source: &Source) {
        let (documents, problems) = yaml::parse(&source.path, &source.text);
        self.problems.extend(problems);
        for document in &documents {
            if self.seen.len() >= MAX_RESOURCES {
                let message = format!("more than {MAX_RESOURCES} resources");
                return self
                    .problems
                    .push(Problem::of_file(&source.path, message).at(document.at));
            }
            self.document(&source.path, document);
        }
    }

    fn document(&mut self, file: &str, document: &Node) {
        let metadata = |name: &str| {
            document
                .get("metadata")
                .and_then(|metadata| metadata.get(name))
                .and_then(Node::text)
        };
        let name = metadata("name").unwrap_or_default().to_owned();
        let kind_name = document
            .get("kind")
            .and_then(Node::text)
            .unwrap_or_default();
        let mut origin = Origin {
            file: file.to_owned(),
            resource: match name.as_str() {
                "" => kind_name.to_owned(),
                name => format!("{kind_name}/{name}"),
            },
            namespace: metadata("namespace").unwrap_or("default").to_owned(),
            name,
            places: BTreeMap::from([(String::new(), document.at)]),
        };
        let kinds = self.kinds.clone();
        let kind = match find_kind(&kinds, document, &origin) {
            Ok(kind) => kind,
            Err(problem) => return self.problems.push(*problem),
        };
        if kinds::NOT_YET.contains(&kind.name.as_str()) {
            // What is wrong inside does not matter before that is put right.
            let problem = origin
                .problem("kind", "not supported yet")
                .found(&kind.name);
            return self.unsupported.push(problem.allowed(supported(&kinds)));
        }
        let before = self.problems.len();
        let value = kind.schema.check(document, &mut origin, &mut self.problems);
        if self.problems.len() > before {
            return;
        }
        kind.run_rules(&self.validator, &value, &origin, &mut self.problems);
        self.unique(kind, &origin);
        if self.problems.len() == before {
            self.keep(kind, value, origin);
        }
    }

    fn unique(&mut self, kind: &Kind, origin: &Origin) {
        let key = (
            kind.name.clone(),
            origin.namespace.clone(),
            origin.name.clone(),
        );
        if let Some(first) = self.seen.get(&key) {
            let message = format!("is there twice, first at {first}");
            self.problems
                .push(origin.problem("metadata.name", message).found(&origin.name));
        } else {
            self.seen.insert(key, origin.location());
        }
    }

    fn keep(&mut self, kind: &Kind, value: Value, origin: Origin) {
        let origin = Arc::new(origin);
        let problems = &mut self.problems;
        match kind.name.as_str() {
            "MailCluster" => self
                .resources
                .clusters
                .extend(typed(value, &origin, problems)),
            "MailDomain" => self
                .resources
                .domains
                .extend(typed(value, &origin, problems)),
            "Mailbox" => self
                .resources
                .mailboxes
                .extend(typed(value, &origin, problems)),
            "OutboundIP" => self
                .resources
                .outbound_ips
                .extend(typed(value, &origin, problems)),
            "MailingList" => self
                .resources
                .mailing_lists
                .extend(typed(value, &origin, problems)),
            _ => self.secret(&value, origin),
        }
    }

    fn secret(&mut self, value: &Value, origin: Arc<Origin>) {
        let entries = |field: &str| {
            value
                .get(field)
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
        };
        let mut data = BTreeMap::new();
        for (key, encoded) in entries("data") {
            let decoded = STANDARD.decode(encoded.as_str().unwrap_or_default().trim());
            match decoded.map(String::from_utf8) {
                Ok(Ok(text)) => drop(data.insert(key.clone(), SecretText::new(text))),
                Ok(Err(_)) => {}
                Err(_) => self.problems.push(
                    origin
                        .problem(&format!("data.{key}"), "is not base64")
                        .hint("stringData takes plain text"),
                ),
            }
        }
        // As in Kubernetes, stringData wins over data.
        for (key, text) in entries("stringData") {
            data.insert(
                key.clone(),
                SecretText::new(text.as_str().unwrap_or_default().to_owned()),
            );
        }
        let key = (origin.namespace.clone(), origin.name.clone());
        Arc::make_mut(&mut self.resources.secrets).insert(key, Arc::new(Secret { data }));
    }

    fn secret_value(&mut self, source: &Source, name: &str, key: &str) {
        if source.text.len() > yaml::MAX_FILE {
            return self.problems.push(Problem::of_file(
                &source.path,
                "file is too large for a secret",
            ));
        }
        let text = source.text.strip_suffix('\n').unwrap_or(&source.text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        let secrets = Arc::make_mut(&mut self.resources.secrets);
        let secret = secrets.entry((String::new(), name.to_owned())).or_default();
        Arc::make_mut(secret)
            .data
            .insert(key.to_owned(), SecretText::new(text.to_owned()));
    }
}

impl Loader {
    /// A value that stands in YAML and in a file: whoever changes the one would wonder why nothing happens.
    fn refuse_secrets_in_two_places(&mut self) {
        let secrets = &self.resources.secrets;
        for ((namespace, name), secret) in secrets.iter() {
            let Some(files) = secrets.get(&(String::new(), name.clone())) else {
                continue;
            };
            let place = ("Secret".to_owned(), namespace.clone(), name.clone());
            // Files beside have no place in YAML.
            let Some(place) = self.seen.get(&place) else {
                continue;
            };
            for key in secret.data.keys() {
                if files.data.contains_key(key) {
                    let message = format!("is in Secret/{name} at {place} too");
                    let problem = Problem::of_file(&format!("secrets/{name}/{key}"), message);
                    self.problems.push(problem.hint("keep one of the two"));
                }
            }
        }
    }
}

/// The kind of a document, or what is wrong with what it says of it.
fn find_kind<'a>(
    kinds: &'a [Kind],
    document: &Node,
    origin: &Origin,
) -> Result<&'a Kind, Box<Problem>> {
    let text = |field: &str| document.get(field).and_then(Node::text);
    let problem = |field: &str, message: &str| {
        let place = document.get(field).map_or(document.at, |node| node.at);
        origin.problem(field, message).at(place)
    };
    let missing = |field| Box::new(problem(field, "is required but missing"));
    let name = text("kind").ok_or_else(|| missing("kind"))?;
    let version = text("apiVersion").ok_or_else(|| missing("apiVersion"))?;
    let names = kinds.iter().map(|kind| kind.name.as_str());
    let Some(kind) = kinds.iter().find(|kind| kind.name == name) else {
        let mut problem = problem("kind", "unknown kind")
            .found(name)
            .allowed(supported(kinds));
        problem.hint = nearest(name, names).map(|near| format!("did you mean {near}?"));
        return Err(Box::new(problem));
    };
    if kind.api_version != version {
        let problem = problem("apiVersion", &format!("unknown version of {name}"));
        return Err(Box::new(problem.found(version).allowed(&kind.api_version)));
    }
    Ok(kind)
}

fn supported(kinds: &[Kind]) -> String {
    let names = kinds.iter().map(|kind| kind.name.as_str());
    let supported: Vec<&str> = names
        .filter(|name| !kinds::NOT_YET.contains(name))
        .collect();
    supported.join(", ")
}

/// A checked document as its type. What only the type knows, such as IDNA, is found here.
fn typed<T: DeserializeOwned>(
    value: Value,
    origin: &Arc<Origin>,
    problems: &mut Vec<Problem>,
) -> Option<Located<T>> {
    match serde_path_to_error::deserialize(value) {
        Ok(object) => Some(Located {
            object: Arc::new(object),
            origin: origin.clone(),
        }),
        Err(error) => {
            let path = error.path().to_string();
            problems.push(origin.problem(&path, error.into_inner().to_string()));
            None
        }
    }
}
