//! Secrets, as small as they can be kept, and the DKIM keys among them.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use mailpods_plan::SecretText;

use super::objects::Told;
use crate::dkim::key::{FILE, ManagedKey, read};

/// A Secret.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// Values that are text.
    pub data: Arc<mailpods_plan::Secret>,
    /// The DKIM key that it holds, when it is one of ours.
    pub key: Option<Arc<ManagedKey>>,
}

impl Told for Kept {
    fn is_same(&self, other: &Self) -> bool {
        self == other
    }
}

impl Kept {
    /// Of the object.
    #[must_use]
    pub fn of(secret: Secret) -> Self {
        let key = read(&secret).map(Arc::new);
        let values = secret.data.unwrap_or_default().into_iter();
        let text = |name: &str, value: Vec<u8>| match &key {
            // It is kept once.
            Some(key) if name == FILE => Some(key.pem.clone()),
            // What is not text is of no use to a plan.
            _ => String::from_utf8(value).ok().map(SecretText::new),
        };
        let data: BTreeMap<String, SecretText> = values
            .filter_map(|(name, value)| Some((text(&name, value.0)?, name)))
            .map(|(text, name)| (name, text))
            .collect();
        Self {
            data: Arc::new(mailpods_plan::Secret { data }),
            key,
        }
    }
}
