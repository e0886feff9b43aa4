//! Objects of a MailCluster to the API server. Client required.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::jiff::Timestamp;
use mailpods_plan::SecretText;
use serde_json::{Value, json};

use super::hosts;
use super::observe::Observed;
use super::validate::ValidCluster;
use crate::certificates;
use crate::certificates::renewal::{self, Lifetimes, Subject};
use crate::certificates::secret::{encoded, renewal_of_secret};
use crate::context::Context;
use crate::kube::Key;
use crate::kube::children::{Child, ChildKind, Mode};
use crate::kube::error::Error;
use crate::names;
use crate::world::snapshot::Kind;

/// Octets of the key that plans are sealed with.
const SEAL_KEY: usize = 32;
/// Octets of the token of the filter.
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
        } else if child.name() == names::filter_secret(cluster.name()) {
            let key = Key::new(child.namespace(), child.name());
            renew(context, cluster, &key).await?;
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
    applier.prune(&cluster.owner, &applied, live).await
}

/// Makes what is random in a Secret.
fn fill(cluster: &ValidCluster, child: &mut Child) -> Result<(), Error> {
    let data = if child.name() == names::seal_secret(cluster.name()) {
        json!({"seal.key": STANDARD.encode(&*certificates::random(SEAL_KEY)?)})
    } else {
        filter(cluster)?
    };
    if let Some(object) = child.object.as_object_mut() {
        object.insert("data".to_owned(), data);
    }
    Ok(())
}

/// Certificate of the filter's Service with the authority that made it, and the token that the smtp role shows.
fn filter(cluster: &ValidCluster) -> Result<Value, Error> {
    let now = Timestamp::now();
    let made = renewal::first(&filter_subject(cluster), Lifetimes::default(), now)?;
    let token: String = certificates::random(TOKEN)?
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect();
    let mut data = encoded(&made);
    data["token"] = json!(STANDARD.encode(token));
    Ok(data)
}

fn filter_subject(cluster: &ValidCluster) -> Subject {
    let service = names::of_role(cluster.name(), mailpods_plan::Role::Filter);
    Subject {
        authority: "Mailpods filter",
        hosts: vec![format!("{service}.{}.svc", cluster.owner.namespace)],
    }
}

/// Gives the filter's certificate its successor when it is time.
async fn renew(context: &Context, cluster: &ValidCluster, key: &Key) -> Result<(), Error> {
    let Some(secret) = context.world.secret(key) else {
        return Ok(());
    };
    let due = |data: &BTreeMap<String, SecretText>| {
        let text = |name: &str| data.get(name).map(SecretText::reveal);
        let (subject, now) = (filter_subject(cluster), Timestamp::now());
        renewal::step(text, &subject, Lifetimes::default(), now)
    };
    if due(&secret.data)?.is_none() {
        return Ok(());
    }
    renewal_of_secret(&context.client, key, due).await
}
