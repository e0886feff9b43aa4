//! Objects of a MailCluster to the API server. Client required.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::jiff::Timestamp;
use mailpods_plan::{Role, SecretText};
use serde_json::{Value, json};

use super::hosts;
use super::observe::Observed;
use super::validate::ValidCluster;
use crate::certificates;
use crate::certificates::renewal::{self, Lifetimes, Subject};
use crate::certificates::secret::{encoded, renewal_of_secret};
use crate::context::Context;
use crate::kube::Key;
use crate::kube::apply::{Applied, LiveObjects};
use crate::kube::children::{Child, ChildKind, Mode};
use crate::kube::error::Error;
use crate::names;
use crate::world::snapshot::Kind;

/// Octets of the key that plans are sealed with.
const SEAL_KEY: usize = 32;
/// Octets of the token that pods show each other.
const TOKEN: usize = 32;

/// Applies what was built and removes what is wanted no more.
///
/// # Errors
/// The first object that failed.
pub async fn apply(
    context: &Context,
    cluster: &ValidCluster,
    mut children: Vec<Child>,
    observed: &Observed,
) -> Result<(), Error> {
    let live = &observed.live;
    for child in &mut children {
        let there = live.get(&child.kind).is_some_and(|objects| {
            objects.contains_key(&Key::new(child.namespace(), child.name()))
        });
        if child.mode != Mode::Once || child.kind != ChildKind::Secret {
            continue;
        }
        if !there {
            fill(cluster, child)?;
        } else if let Some(subject) = subject(cluster, child.name()) {
            let key = Key::new(child.namespace(), child.name());
            renew(context, &subject, &key).await?;
        }
    }
    children.extend(hosts::build(
        cluster,
        observed.hosts.as_deref().unwrap_or_default(),
    )?);
    let applier = context.applier(Kind::MailCluster);
    let mut applied = applier.apply(&cluster.owner, &children, live).await?;
    if observed.hosts.is_none() {
        // What is wanted is not known now: nothing is withdrawn.
        let name = hosts::endpoint_name(cluster.name());
        let key = Key::new(cluster.owner.namespace.clone(), name);
        applied.keep(ChildKind::DnsEndpoint, key);
    }
    if observed.plan.is_none() {
        keep_addresses(cluster, &mut applied, live);
    }
    applier.prune(&cluster.owner, &applied, live).await
}

/// Without a plan nobody knows which OutboundIPs there are: their pods stay, and what gives these the addresses.
fn keep_addresses(cluster: &ValidCluster, applied: &mut Applied, live: &LiveObjects) {
    let prefix = names::of_addresses(cluster.name());
    for (kind, objects) in live {
        let is_one = |key: &Key| {
            kind.is_cluster_scoped()
                || *kind == ChildKind::Deployment && key.name.starts_with(&prefix)
        };
        for key in objects.keys().filter(|key| is_one(key)) {
            applied.keep(*kind, key.clone());
        }
    }
}

/// Makes what is random in a Secret.
fn fill(cluster: &ValidCluster, child: &mut Child) -> Result<(), Error> {
    let data = match subject(cluster, child.name()) {
        Some(subject) => inner(&subject)?,
        None => json!({"seal.key": STANDARD.encode(&*certificates::random(SEAL_KEY)?)}),
    };
    if let Some(object) = child.object.as_object_mut() {
        object.insert("data".to_owned(), data);
    }
    Ok(())
}

/// Certificate of a Service for other pods with the authority that made it, and the token that those pods show.
fn inner(subject: &Subject) -> Result<Value, Error> {
    let now = Timestamp::now();
    let made = renewal::first(subject, Lifetimes::default(), now)?;
    let token: String = certificates::random(TOKEN)?
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect();
    let mut data = encoded(&made);
    data["token"] = json!(STANDARD.encode(token));
    Ok(data)
}

/// Whom the certificate in a Secret is for; `None`: there is none in it.
fn subject(cluster: &ValidCluster, secret: &str) -> Option<Subject> {
    let name = cluster.name();
    let (authority, role) = if secret == names::filter_secret(name) {
        ("Mailpods filter", Role::Filter)
    } else if secret == names::egress_secret(name) {
        ("Mailpods egress", Role::Egress)
    } else {
        return None;
    };
    let service = names::of_role(name, role);
    Some(Subject {
        authority,
        hosts: vec![format!("{service}.{}.svc", cluster.owner.namespace)],
    })
}

/// Gives a certificate its successor when it is time.
async fn renew(context: &Context, subject: &Subject, key: &Key) -> Result<(), Error> {
    let Some(secret) = context.world.secret(key) else {
        return Ok(());
    };
    let due = |data: &BTreeMap<String, SecretText>| {
        let text = |name: &str| data.get(name).map(SecretText::reveal);
        renewal::step(text, subject, Lifetimes::default(), Timestamp::now())
    };
    if due(&secret.data)?.is_none() {
        return Ok(());
    }
    renewal_of_secret(&context.client, key, due).await
}
