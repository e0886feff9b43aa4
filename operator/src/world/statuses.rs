//! Statuses of MailDomains, apart from the objects: they name each record twice, and are looked at with their domain alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::runtime::watcher::Event;
use mailpods_api::DomainName;
use mailpods_api::v1alpha1::{MailDomain, MailDomainStatus};
use mailpods_plan::Claims;

use super::snapshot::Kind;
use super::watch::{OwnEvent, take_own};
use super::{Broken, Read, World};
use crate::kube::Key;
use crate::packed::Packed;

/// Statuses by MailDomain.
#[derive(Debug, Default)]
pub(super) struct Statuses(Mutex<HashMap<Key, Packed>>);

impl Statuses {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Packed>> {
        // Each change is a single insert or remove.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    /// A MailDomain as it is now, with its status.
    #[must_use]
    pub fn domain(&self, key: &Key) -> Option<Arc<MailDomain>> {
        let domain = self.domains.get(key)?.ok()?;
        let status = self.statuses.lock().get(key).cloned();
        let Some(status) = status else {
            return Some(domain);
        };
        let mut domain = (*domain).clone();
        domain.status = Some(status.unpacked::<MailDomainStatus>()?);
        Some(Arc::new(domain))
    }

    /// Whether it was told anew who serves a MailDomain of which another one wants the name.
    fn is_decided(&self, key: &Key, domain: &MailDomain) -> bool {
        let known = self.domains.get(key).and_then(Result::ok);
        known.is_some_and(|known| served(&known) != served(domain))
            && self.snapshot().is_contested(domain)
    }

    /// Keeps the status of a MailDomain apart; whether somebody else changed it.
    fn part(&self, key: &Key, read: Read<MailDomain>) -> (Read<MailDomain>, bool) {
        let Ok(domain) = read else {
            return (read, false);
        };
        let mut domain = Arc::unwrap_or_clone(domain);
        let Some(packed) = domain.status.as_ref().and_then(Packed::of) else {
            self.statuses.lock().remove(key);
            return (Ok(Arc::new(domain)), false);
        };
        let before = self.statuses.lock().insert(key.clone(), packed.clone());
        let differs = before.is_some_and(|before| before != packed);
        let is_news = differs && !self.writes.is_own(Kind::MailDomain, key, &domain.status);
        // Who serves it, and under which names, decides who will.
        domain.status = domain.status.map(|status| MailDomainStatus {
            cluster: status.cluster,
            domain_aliases: status.domain_aliases,
            ..MailDomainStatus::default()
        });
        (Ok(Arc::new(domain)), is_news)
    }
}

/// Who serves a MailDomain, and under which names besides its own.
fn served(domain: &MailDomain) -> Option<(&str, &[DomainName])> {
    let status = domain.status.as_ref()?;
    Some((status.cluster.as_deref()?, &status.domain_aliases))
}

/// A MailDomain that cannot be read any more, as it was known; who serves it is told all the same.
pub(super) fn served_now(known: &Arc<MailDomain>, broken: &Broken) -> Arc<MailDomain> {
    let Some(Claims::Domain(now)) = broken.unread.as_deref().map(|unread| &unread.claims) else {
        return known.clone();
    };
    let mut domain = (**known).clone();
    domain.status = Some(MailDomainStatus {
        cluster: now.serving.clone(),
        domain_aliases: now.served_aliases.clone(),
        ..MailDomainStatus::default()
    });
    match served(known) == served(&domain) {
        true => known.clone(),
        false => Arc::new(domain),
    }
}

/// Takes in what is told of MailDomains.
pub(super) fn take_domain(world: &World, event: OwnEvent<MailDomain>) {
    let (mut news, mut decided) = (None, false);
    let mut part = |(key, read): (Key, Read<MailDomain>)| {
        let (read, is_news) = world.part(&key, read);
        decided = read
            .as_ref()
            .is_ok_and(|domain| world.is_decided(&key, domain));
        news = is_news.then(|| key.clone());
        (key, read)
    };
    let event = match event {
        Event::Apply(told) => Event::Apply(part(told)),
        Event::InitApply(told) => Event::InitApply(part(told)),
        Event::Delete((key, read)) => {
            world.statuses.lock().remove(&key);
            Event::Delete((key, read))
        }
        Event::Init | Event::InitDone => event,
    };
    let listed = matches!(event, Event::InitDone);
    take_own(world, Kind::MailDomain, &world.domains, event);
    if decided || (listed && world.snapshot().has_contests()) {
        world.touch();
    }
    if listed {
        let mut statuses = world.statuses.lock();
        statuses.retain(|key, _| world.domains.get(key).is_some());
    }
    if let Some(key) = news {
        world.wish(Kind::MailDomain, key);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use serde_json::json;
    use tokio::sync::mpsc;

    use super::*;

    fn told(zone: &str) -> (Key, Read<MailDomain>) {
        let object = json!({
            "apiVersion": "mailpods.dev/v1alpha1",
            "kind": "MailDomain",
            "metadata": {"name": "d", "namespace": "mail", "uid": "u", "generation": 1, "resourceVersion": zone},
            "spec": {"domain": "example.test"},
            "status": {"cluster": "mail/main", "zone": zone},
        });
        (
            Key::new("mail", "d"),
            Ok(serde_json::from_value(object).map(Arc::new).unwrap()),
        )
    }

    fn zone(world: &World) -> Option<String> {
        world.domain(&Key::new("mail", "d"))?.status.clone()?.zone
    }

    #[test]
    fn a_status_is_kept_apart_and_news_of_others_are_looked_at() {
        let world = World::new(None);
        let (wishes, mut asked) = mpsc::unbounded_channel();
        world.tell(wishes);
        take_domain(&world, Event::Apply(told("a")));
        assert_eq!(zone(&world).as_deref(), Some("a"));
        let (key, _) = told("a");
        let kept = world.domains.get(&key).unwrap().unwrap();
        let status = kept.status.clone().unwrap();
        assert_eq!(
            (status.cluster.as_deref(), status.zone),
            (Some("mail/main"), None)
        );
        assert!(asked.try_recv().is_err());
        let (_, own) = told("b");
        let own = own.unwrap().status.clone().unwrap();
        world.writes.begin(Kind::MailDomain, key.clone(), &own);
        take_domain(&world, Event::Apply(told("b")));
        assert!(asked.try_recv().is_err());
        take_domain(&world, Event::Apply(told("c")));
        assert_eq!(asked.try_recv().map(|(kind, _)| kind), Ok(Kind::MailDomain));
        for event in [Event::Init, Event::InitApply(told("c")), Event::InitDone] {
            take_domain(&world, event);
        }
        assert_eq!(zone(&world).as_deref(), Some("c"));
        take_domain(&world, Event::Delete(told("c")));
        assert_eq!(zone(&world), None);
        assert!(world.statuses.lock().is_empty());
    }
    /// A MailDomain that wants the name of the other one.
    fn contender(name: &str, age: u8, status: &serde_json::Value) -> (Key, Read<MailDomain>) {
        let object = json!({
            "apiVersion": "mailpods.dev/v1alpha1",
            "kind": "MailDomain",
            "metadata": {
                "name": name, "namespace": "mail", "uid": name, "generation": 1,
                "creationTimestamp": format!("2026-01-01T00:00:0{age}Z"),
            },
            "spec": {"domain": "example.test"},
            "status": status,
        });
        (
            Key::new("mail", name),
            Ok(serde_json::from_value(object).map(Arc::new).unwrap()),
        )
    }

    #[tokio::test]
    async fn who_is_told_to_serve_a_name_that_others_want_has_it_in_every_replica() {
        let world = World::new(None);
        let cluster = json!({
            "apiVersion": "mailpods.dev/v1alpha1",
            "kind": "MailCluster",
            "metadata": {"name": "main", "namespace": "mail"},
            "spec": {"hostname": "mail.example.test"},
        });
        let cluster = serde_json::from_value(cluster).map(Arc::new).unwrap();
        world
            .clusters
            .take(Event::Apply((Key::new("mail", "main"), Ok(cluster))));
        let has_lost = async |name: &str| {
            world.compile_now().await;
            !world
                .snapshot()
                .problems(Kind::MailDomain, &Key::new("mail", name))
                .is_empty()
        };
        take_domain(&world, Event::Apply(contender("old", 1, &json!({}))));
        take_domain(&world, Event::Apply(contender("new", 2, &json!({}))));
        assert!(has_lost("new").await);
        let asked = || world.dirty.notified().now_or_never().is_some();
        assert!(asked());
        // Another replica leads, and saw the new one first.
        let status = json!({"cluster": "mail/main"});
        take_domain(&world, Event::Apply(contender("new", 2, &status)));
        assert!(asked());
        assert!(has_lost("old").await);
        let again = json!({"cluster": "mail/main", "zone": "x"});
        take_domain(&world, Event::Apply(contender("new", 2, &again)));
        assert!(!asked());
        // It cannot be read any more, and keeps what it was told to have.
        let object = json!({"spec": {"domain": "example.test"}, "status": status});
        let (key, read) = contender("new", 2, &status);
        let broken = Broken::of(
            "MailDomain",
            "bad".to_owned(),
            &read.unwrap().metadata,
            &object,
        );
        take_domain(&world, Event::Apply((key, Err(Arc::new(broken)))));
        assert!(asked());
        assert!(has_lost("old").await);
    }
}
