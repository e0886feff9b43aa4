//! DKIM keys of a MailDomain: what was decided is done. Client required.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use mailpods_api::Selector;
use mailpods_api::v1alpha1::DkimKeySpec;
use mailpods_dkim::PrivateKey;
use mailpods_policy::dkim_life::{Action, Decision, Phase, Reason};
use ring::rand::SystemRandom;
use zeroize::Zeroizing;

use super::build::owner;
use super::observe::Observed;
use crate::context::Context;
use crate::dkim::decide::{Wishes, decide};
use crate::dkim::key::{FILE, ManagedKey, Origin, algorithm, phase_patch, secret, secret_name};
use crate::kube::Key;
use crate::kube::apply::same;
use crate::kube::children::ChildKind;
use crate::kube::error::Error;
use crate::world::snapshot::Kind;

/// Annotation that asks for new keys: each new value makes a new key beside each that signs.
pub const ROTATE: &str = "mailpods.dev/rotate-dkim";
/// Field manager of the keys.
const MANAGER: &str = "mailpods-dkim";
/// Shortest wait before keys are looked at again; the watches tell sooner of what was done.
const SOONEST: Duration = Duration::from_secs(10);

/// The next step of each key; nothing where mail is not signed here.
#[must_use]
pub fn decided(observed: &Observed, now: Timestamp) -> Decision {
    let Some((_, cluster)) = observed
        .cluster
        .as_ref()
        .filter(|_| observed.is_signed_here())
    else {
        return Decision::default();
    };
    let annotations = observed.current.metadata.annotations.as_ref();
    let wishes = Wishes {
        keys: observed.dkim(),
        rotation: &cluster.spec.dkim.rotation,
        ask: annotations
            .and_then(|annotations| annotations.get(ROTATE))
            .map(String::as_str),
        ttl: Duration::from_secs(cluster.spec.dns.ttl.into()),
    };
    let seen = |key: &ManagedKey| observed.key_seen(key);
    decide(&wishes, &observed.keys, seen, now)
}

/// Keys of a MailDomain that was deleted and made again go with the new one, before they are used or anything else: nobody
/// could make them again.
///
/// # Errors
/// When the API server does not take it.
pub async fn adopt(context: &Context, observed: &Observed) -> Result<(), Error> {
    let owner = owner(&observed.domain);
    let applier = context.applier(Kind::MailDomain);
    for key in &observed.keys {
        applier
            .adopt(&owner, ChildKind::Secret, &key.secret, &key.live)
            .await?;
    }
    Ok(())
}

/// Takes the steps; when to look again at the latest.
///
/// # Errors
/// The first step that failed.
pub async fn advance(
    context: &Context,
    observed: &Observed,
    decision: &Decision,
    now: Timestamp,
) -> Result<Option<Duration>, Error> {
    for action in &decision.actions {
        act(context, observed, action, now).await?;
    }
    Ok(decision.again.map(|again| again.max(SOONEST)))
}

async fn act(
    context: &Context,
    observed: &Observed,
    action: &Action,
    now: Timestamp,
) -> Result<(), Error> {
    let named = |selector: &str| {
        let mut keys = observed.keys.iter();
        keys.find(|key| key.selector.as_str() == selector)
    };
    match action {
        Action::Make {
            base,
            selector,
            generation,
            demand,
            ..
        } => {
            let mut specs = observed.dkim().iter();
            let Some(spec) = specs.find(|spec| spec.selector.as_str() == base) else {
                return Ok(());
            };
            let origin = Origin {
                base: base.clone(),
                generation: *generation,
                demand: demand.clone(),
                is_own: spec.private_key_secret_ref.is_some(),
            };
            create(context, observed, (selector, spec, &origin), now).await
        }
        Action::SetPhase {
            selector,
            phase,
            reason,
        } => match named(selector) {
            Some(key) => set_phase(context, key, (*phase, *reason), now).await,
            None => Ok(()),
        },
        Action::Delete { selector } => match named(selector) {
            Some(key) => delete(context, observed, key).await,
            None => Ok(()),
        },
    }
}

async fn set_phase(
    context: &Context,
    key: &ManagedKey,
    (phase, reason): (Phase, Reason),
    now: Timestamp,
) -> Result<(), Error> {
    let patch = Patch::Merge(phase_patch(phase, now));
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let api = api(context, &key.secret);
    let moved = api.patch_metadata(&key.secret.name, &params, &patch).await;
    moved.map_err(|source| failed(&key.secret, source))?;
    tracing::info!(domain = %key.domain, selector = %key.selector, %phase, %reason, "DKIM key");
    Ok(())
}

async fn delete(context: &Context, observed: &Observed, key: &ManagedKey) -> Result<(), Error> {
    // One that a person brought back from a backup goes with nobody; a copy under another name stays.
    let owner = owner(&observed.domain);
    let named = key.secret.name == secret_name(&key.domain, &key.selector);
    if !named && !key.live.is_of(&owner) {
        return Ok(());
    }
    let params = DeleteParams::default().preconditions(same(&key.live));
    let deleted = api(context, &key.secret)
        .delete(&key.secret.name, &params)
        .await;
    match deleted {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(source) => Err(failed(&key.secret, source)),
    }
}

async fn create(
    context: &Context,
    observed: &Observed,
    (selector, spec, origin): (&str, &DkimKeySpec, &Origin),
    now: Timestamp,
) -> Result<(), Error> {
    let selector: Selector = selector.parse().map_err(|error| not_made(&error))?;
    let Some(pem) = pem(context, observed, spec).await? else {
        return Ok(());
    };
    let domain = &observed.domain.spec.domain;
    let object = secret(
        &owner(&observed.domain),
        (domain, &selector),
        origin,
        &pem,
        now,
    );
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
        // The watch has not told of it yet, or it is not ours.
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let applier = context.applier(Kind::MailDomain);
            applier.there(ChildKind::Secret, &key).await.map(drop)
        }
        Err(source) => Err(failed(&key, source)),
    }
}

/// The private key: the user's own, or a new one. `None`: the user's is not there, which the compiler says.
async fn pem(
    context: &Context,
    observed: &Observed,
    spec: &DkimKeySpec,
) -> Result<Option<Zeroizing<String>>, Error> {
    if let Some(reference) = &spec.private_key_secret_ref {
        if observed.has_key_of_another_namespace() {
            // A copy beside the MailDomain would give the key of all domains to those who may read Secrets there.
            return Ok(None);
        }
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
    made.map_err(|error| not_made(&error))?
        .map(Some)
        .map_err(|error| not_made(&error))
}

fn not_made(error: &dyn std::fmt::Display) -> Error {
    Error::Make("a DKIM key", error.to_string())
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
