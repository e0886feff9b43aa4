//! Secrets with certificates that are renewed. Client required.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use mailpods_plan::SecretText;
use serde_json::{Value, json};

use super::renewal::Data;
use crate::kube::Key;
use crate::kube::error::Error;

/// Field manager of certificates.
const MANAGER: &str = "mailpods-certificates";

/// The `data` of a Secret, or of a patch of one.
#[must_use]
pub fn encoded(data: &Data) -> Value {
    let entries = data.iter();
    entries
        .map(|(name, value)| {
            let value = value
                .as_ref()
                .map(|value| STANDARD.encode(value.as_bytes()));
            (name.clone(), json!(value))
        })
        .collect()
}

/// Values of a Secret that are text.
#[must_use]
pub fn texts(secret: Secret) -> BTreeMap<String, SecretText> {
    let values = secret.data.unwrap_or_default().into_iter();
    let text = |(name, value): (String, k8s_openapi::ByteString)| {
        Some((name, SecretText::new(String::from_utf8(value.0).ok()?)))
    };
    values.filter_map(text).collect()
}

/// Looks at a Secret as it is now, and changes what `due` says, unless somebody else changes it at the same time.
///
/// # Errors
/// When the API server does not give the Secret or take the change, or the successor cannot be made.
pub async fn renewal_of_secret(
    client: &Client,
    key: &Key,
    due: impl Fn(&BTreeMap<String, SecretText>) -> Result<Option<Data>, Error>,
) -> Result<(), Error> {
    let api: Api<Secret> = Api::namespaced(client.clone(), &key.namespace);
    let failed = |source| Error::Apply {
        kind: "Secret",
        name: key.to_string(),
        source: Box::new(source),
    };
    let Some(secret) = api.get_opt(&key.name).await.map_err(failed)? else {
        return Ok(());
    };
    let version = secret.metadata.resource_version.clone();
    let Some(changes) = due(&texts(secret))? else {
        return Ok(());
    };
    let patch = json!({
        "metadata": {"resourceVersion": version},
        "data": encoded(&changes),
    });
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match api.patch(&key.name, &params, &Patch::Merge(&patch)).await {
        Ok(_) => {
            tracing::info!(secret = %key, "the certificate is renewed");
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(source) => Err(failed(source)),
    }
}
