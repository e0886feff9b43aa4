//! Objects of ours as they come from the API server: one that is not what its kind is must not stop the others.

use std::borrow::Cow;
use std::sync::Arc;

use kube::Resource;
use kube::api::ObjectMeta;
use mailpods_api::v1alpha1::OutboundIP;
use mailpods_plan::Unread;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{Broken, Read};
use crate::kube::Key;

/// A whole copy of an object, which kubectl keeps for itself.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// An object, or what can be read of it.
#[derive(Debug, Clone)]
pub(super) enum Guard<K> {
    Good(Box<K>),
    Bad(Box<ObjectMeta>, Broken),
}

impl Broken {
    /// An object that is not of its kind, with what can be read of it.
    pub(crate) fn of(kind: &str, error: String, metadata: &ObjectMeta, object: &Value) -> Self {
        Self {
            error,
            uid: metadata.uid.clone(),
            generation: metadata.generation,
            deleted: metadata.deletion_timestamp.clone(),
            unread: Unread::of(kind, metadata, object).map(Arc::new),
        }
    }
}

/// An OutboundIP that cannot be read any more, as it was known; nothing new leaves from one that is deleted all the same.
pub(super) fn leaving_now(known: &Arc<OutboundIP>, broken: &Broken) -> Arc<OutboundIP> {
    if known.metadata.deletion_timestamp == broken.deleted {
        return known.clone();
    }
    let mut ip = (**known).clone();
    ip.metadata.deletion_timestamp.clone_from(&broken.deleted);
    Arc::new(ip)
}

impl<K> Guard<K>
where
    K: Resource<DynamicType = ()>,
{
    pub(super) fn parts(mut self) -> (Key, Read<K>) {
        let meta = self.meta_mut();
        meta.managed_fields = None;
        if let Some(annotations) = &mut meta.annotations {
            annotations.remove(LAST_APPLIED);
        }
        let key = Key::of(meta);
        match self {
            Self::Good(object) => (key, Ok(Arc::from(object))),
            Self::Bad(_, broken) => (key, Err(Arc::new(broken))),
        }
    }
}

impl<'de, K> Deserialize<'de> for Guard<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Value::deserialize(deserializer)?;
        let error = match K::deserialize(&object) {
            Ok(object) => return Ok(Self::Good(Box::new(object))),
            Err(error) => error.to_string(),
        };
        let metadata = object.get("metadata").unwrap_or(&Value::Null);
        let metadata = ObjectMeta::deserialize(metadata).map_err(D::Error::custom)?;
        let broken = Broken::of(&K::kind(&()), error, &metadata, &object);
        Ok(Self::Bad(Box::new(metadata), broken))
    }
}

impl<K: Resource> Resource for Guard<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dt)
    }

    fn group(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dt)
    }

    fn version(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dt)
    }

    fn plural(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dt)
    }

    fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Good(object) => object.meta(),
            Self::Bad(metadata, _) => metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Good(object) => object.meta_mut(),
            Self::Bad(metadata, _) => metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use mailpods_api::v1alpha1::{MailDomain, Mailbox};
    use mailpods_plan::Claims;
    use serde_json::json;

    use super::*;

    fn read<K>(kind: &str, spec: &Value, status: &Value) -> (Key, Read<K>)
    where
        K: Resource<DynamicType = ()> + DeserializeOwned,
    {
        let object = json!({
            "apiVersion": "mailpods.dev/v1alpha1",
            "kind": kind,
            "metadata": {
                "name": "a", "namespace": "mail", "uid": "u", "generation": 3,
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "annotations": {LAST_APPLIED: "{}", "own": "x"},
            },
            "spec": spec,
            "status": status,
        });
        serde_json::from_value::<Guard<K>>(object).unwrap().parts()
    }

    #[test]
    fn good_objects_are_read() {
        let (key, read) = read::<Mailbox>("Mailbox", &json!({"address": "a@a.test"}), &json!({}));
        assert_eq!(key, Key::new("mail", "a"));
        let annotations = read.unwrap().metadata.annotations.clone().unwrap();
        assert_eq!(annotations, [("own".to_owned(), "x".to_owned())].into());
    }

    #[test]
    fn names_of_what_cannot_be_read_are_kept() {
        let spec = json!({
            "domain": "a.test",
            "domainAliases": ["xn--a.test", "b.test"],
            "clusterRef": {"name": "main", "namespace": "other"},
            "limits": {"messagesPerHour": -1},
        });
        let status = json!({"cluster": "other/main", "domainAliases": ["b.test"], "dkim": 7});
        let (_, read) = read::<MailDomain>("MailDomain", &spec, &status);
        let broken = read.unwrap_err();
        assert_eq!(
            (broken.uid.as_deref(), broken.generation),
            (Some("u"), Some(3))
        );
        let unread = broken.unread.clone().unwrap();
        assert!(unread.created.is_some());
        assert_eq!(unread.origin.named(), "MailDomain/a in namespace mail");
        let Claims::Domain(domain) = &unread.claims else {
            panic!("{unread:?}")
        };
        let names: Vec<_> = domain.names.iter().map(|name| name.as_str()).collect();
        assert_eq!(names, ["a.test", "b.test"]);
        assert_eq!(domain.served_aliases, ["b.test"]);
        assert_eq!(domain.serving.as_deref(), Some("other/main"));
        assert!(domain.takes_mail && domain.cluster.is_some());
    }

    #[test]
    fn addresses_of_what_cannot_be_read_are_kept() {
        let spec = json!({"address": "a@a.test", "aliases": ["b@a.test", "a b@a.test"], "quota": {"size": "9Ei"}});
        let (_, read) = read::<Mailbox>("Mailbox", &spec, &json!({}));
        let unread = read.unwrap_err().unread.clone().unwrap();
        let wanted = Claims::Addresses {
            own: Some("a@a.test".parse().unwrap()),
            aliases: vec!["b@a.test".parse().unwrap()],
        };
        assert_eq!(unread.claims, wanted);
    }
}
