//! DKIM keys of a MailDomain: what was decided is done. Client required.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use mailpods_api::Selector;
use mailpods_api::v1alpha1::DkimKeySpec;
use mailpods_dkim::PrivateKey;
use mailpods_policy::dkim_life::Observation;
use ring::rand::SystemRandom;
use zeroize::Zeroizing;

use super::build::owner;
use super::observe::Observed;
use crate::context::Context;
use crate::dkim::decide::{Action, Wishes, decide};
use crate::dkim::key::{FILE, ManagedKey, algorithm, phase_patch, secret};
use crate::kube::Key;
use crate::kube::error::Error;

/// Annotation that asks for new keys: each new value makes a new key beside each that signs.
pub const ROTATE: &str = "mailpods.dev/rotate-dkim";
/// Field manager of the keys.
const MANAGER: &str = "mailpods-dkim";

/// Takes each key one step on; when to look again at the latest.
///
/// # Errors
/// The first step that failed.
pub async fn advance(context: &Context, observed: &Observed) -> Result<Option<Duration>, Error> {
    let Some((_, cluster)) = observed
        .cluster
        .as_ref()
        .filter(|_| observed.is_signed_here())
    else {
        return Ok(None);
    };
    let spec = &observed.domain.spec;
    let keys = spec
        .dkim
        .as_ref()
        .map_or(cluster.spec.dkim.keys.as_slice(), |dkim| &dkim.keys);
    let annotations = observed.current.metadata.annotations.as_ref();
    let wishes = Wishes {
        keys,
        rotation: cluster.spec.dkim.rotation.as_ref(),
        ask: annotations
            .and_then(|annotations| annotations.get(ROTATE))
            .map(String::as_str),
        ttl: Duration::from_secs(cluster.spec.dns.ttl.into()),
    };
    let now = Timestamp::now();
    let seen = |key: &ManagedKey| match observed.key_seen(key) {
        Observation::Unknown => None,
        Observation::Absent | Observation::Partly => Some(false),
        Observation::Everywhere { .. } => Some(true),
    };
    let (actions, again) = decide(&wishes, &observed.keys, seen, now);
    for action in actions {
        act(context, observed, action, now).await?;
    }
    Ok(again)
}

async fn act(
    context: &Context,
    observed: &Observed,
    action: Action,
    now: Timestamp,
) -> Result<(), Error> {
    match action {
        Action::Create { selector, spec } => create(context, observed, (selector, spec), now).await,
        Action::Move(key, phase) => {
            let patch = Patch::Merge(phase_patch(phase, now));
            let params = PatchParams {
                field_manager: Some(MANAGER.to_owned()),
                ..PatchParams::default()
            };
            let api = api(context, &key.secret);
            let moved = api.patch_metadata(&key.secret.name, &params, &patch).await;
            moved.map_err(|source| failed(&key.secret, source))?;
            tracing::info!(domain = %key.domain, selector = %key.selector, %phase, "DKIM key");
            Ok(())
        }
        Action::Delete(key) => delete(context, &key).await,
    }
}

async fn delete(context: &Context, key: &Arc<ManagedKey>) -> Result<(), Error> {
    let deleted = api(context, &key.secret)
        .delete(&key.secret.name, &DeleteParams::default())
        .await;
    match deleted {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(source) => Err(failed(&key.secret, source)),
    }
}

async fn create(
    context: &Context,
    observed: &Observed,
    (selector, spec): (Selector, DkimKeySpec),
    now: Timestamp,
) -> Result<(), Error> {
    let Some(pem) = pem(context, observed, spec).await? else {
        return Ok(());
    };
    let domain = &observed.domain.spec.domain;
    let object = secret(&owner(&observed.domain), (domain, &selector), &pem, now);
    let object: Secret = serde_json::from_value(object)?;
    let key = Key::of(&object.metadata);
    let params = PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    };
    match api(context, &key).create(&params, &object).await {
        Ok(_) => {
            tracing::info!(%domain, %selector, "DKIM key made");
            Ok(())
        }
        // The watch has not told of it yet.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(source) => Err(failed(&key, source)),
    }
}

/// The private key: the user's own, or a new one. `None`: the user's is not there, which the compiler says.
async fn pem(
    context: &Context,
    observed: &Observed,
    spec: DkimKeySpec,
) -> Result<Option<Zeroizing<String>>, Error> {
    if let Some(reference) = &spec.private_key_secret_ref {
        let namespace = match (&observed.domain.spec.dkim, &observed.cluster) {
            (None, Some((cluster, _))) => cluster.namespace.clone(),
            _ => observed
                .domain
                .metadata
                .namespace
                .clone()
                .unwrap_or_default(),
        };
        let secret = context
            .world
            .secret(&Key::new(namespace, reference.name.clone()));
        let name = reference.key.as_deref().unwrap_or(FILE);
        let text = secret.and_then(|secret| Some(secret.data.get(name)?.reveal().to_owned()));
        let text = text.map(Zeroizing::new);
        return Ok(text.filter(|text| PrivateKey::from_pem(text).is_ok()));
    }
    let algorithm = algorithm(spec.algorithm);
    let made =
        tokio::task::spawn_blocking(move || PrivateKey::generate(algorithm, &SystemRandom::new()))
            .await;
    let failed = |error: &dyn std::fmt::Display| Error::Make("a DKIM key", error.to_string());
    made.map_err(|error| failed(&error))?
        .map(Some)
        .map_err(|error| failed(&error))
}

fn api(context: &Context, secret: &Key) -> Api<Secret> {
    Api::namespaced(context.client.clone(), &secret.namespace)
}

fn failed(secret: &Key, source: kube::Error) -> Error {
    Error::Apply {
        kind: "Secret",
        name: secret.to_string(),
        source: Box::new(source),
    }
}
