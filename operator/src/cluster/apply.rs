//! Objects of a MailCluster to the API server. Client required.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::validate::ValidCluster;
use crate::certificates;
use crate::context::Context;
use crate::kube::apply::LiveObjects;
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
    live: &LiveObjects,
) -> Result<(), Error> {
    for child in &mut children {
        let there = live.get(&child.kind).is_some_and(|objects| {
            objects.contains_key(&crate::kube::Key::new(child.namespace(), child.name()))
        });
        if child.mode == Mode::Once && child.kind == ChildKind::Secret && !there {
            fill(cluster, child)?;
        }
    }
    let applier = context.applier(Kind::MailCluster);
    let applied = applier.apply(&children, live).await?;
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
    let service = names::of_role(cluster.name(), mailpods_plan::Role::Filter);
    let host = format!("{service}.{}.svc", cluster.owner.namespace);
    let made = certificates::make("Mailpods filter", &[host])?;
    let token: String = certificates::random(TOKEN)?
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect();
    Ok(json!({
        "ca.crt": STANDARD.encode(&made.authority),
        "tls.crt": STANDARD.encode(&made.certificate),
        "tls.key": STANDARD.encode(made.key.as_bytes()),
        "token": STANDARD.encode(token),
    }))
}
