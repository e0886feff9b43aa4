//! What there is of a MailDomain. Client not required: the watches have told.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use mailpods_api::DomainName;
use mailpods_api::v1alpha1::{
    DkimKeySpec, DnsMode, MailCluster, MailDomain, Provider, RecordStatus,
};
use mailpods_plan::Problem;
use mailpods_plan::dns::{Record, RecordType};
use mailpods_policy::dkim_life::Observation;
use mailpods_policy::spf::{self, SpfBudget};

use crate::context::Context;
use crate::dkim::key::ManagedKey;
use crate::dns::look_ups::Wish;
use crate::dns::truth::{self, Judged, Wanted, judge, key_seen, record_statuses};
use crate::kube::Key;
use crate::kube::apply::LiveObjects;
use crate::packed::Packed;
use crate::world::snapshot::Kind;

/// What there is of a MailDomain.
pub struct Observed {
    /// The object that was compiled.
    pub domain: Arc<MailDomain>,
    /// The object as it is now, whose status is compared.
    pub current: Arc<MailDomain>,
    /// What the compiler found wrong.
    pub problems: Vec<Problem>,
    /// Whether another MailDomain has its name.
    pub has_lost_its_name: bool,
    /// The MailCluster that serves it; `None`: none does.
    pub cluster: Option<(Key, Arc<MailCluster>)>,
    /// Its aliases that are served.
    pub aliases: Vec<DomainName>,
    /// Records that are wanted.
    pub records: Vec<Record>,
    /// The same as they are kept.
    packed: Packed,
    /// Records that are not wanted any more.
    pub withdrawn: Vec<Record>,
    /// What DNS shows; `None`: nobody has looked yet.
    pub seen: Option<Shown>,
    /// Keys.
    pub keys: Vec<Arc<ManagedKey>>,
    /// What it brought about.
    pub live: LiveObjects,
}

/// What DNS shows of a MailDomain.
pub struct Shown {
    /// What was found.
    pub judged: Judged,
    /// The same for the status, with times.
    pub records: Vec<RecordStatus>,
    /// What the domain's SPF record costs with all that it includes.
    pub spf: Option<SpfBudget>,
}

impl Observed {
    /// What DNS shows of a key.
    #[must_use]
    pub fn key_seen(&self, key: &ManagedKey) -> Observation {
        self.seen.as_ref().map_or(Observation::Unknown, |seen| {
            key_seen(&seen.judged, &seen.records, &key.record_name())
        })
    }

    /// The keys that the domain names, or else its MailCluster.
    #[must_use]
    pub fn dkim(&self) -> &[DkimKeySpec] {
        match (&self.domain.spec.dkim, &self.cluster) {
            (Some(dkim), _) => &dkim.keys,
            (None, Some((_, cluster))) => &cluster.spec.dkim.keys,
            (None, None) => &[],
        }
    }

    /// Whether the MailCluster names a private key of its namespace for a domain of another one.
    #[must_use]
    pub fn has_key_of_another_namespace(&self) -> bool {
        let named = self.dkim().iter();
        let mut named = named.filter(|key| key.private_key_secret_ref.is_some());
        let cluster = self.cluster.as_ref().map(|(key, _)| key.namespace.as_str());
        self.domain.spec.dkim.is_none()
            && cluster != self.domain.metadata.namespace.as_deref()
            && named.next().is_some()
    }

    /// What is to be looked up.
    #[must_use]
    pub fn wish(&self, owner: &Key) -> Wish {
        Wish {
            owner: owner.clone(),
            records: self.packed.clone(),
            withdrawn: self.withdrawn.clone(),
            mode: self.mode(),
        }
    }

    /// Who publishes.
    #[must_use]
    pub fn mode(&self) -> DnsMode {
        let cluster = self.cluster.as_ref();
        cluster.map_or(DnsMode::Manual, |(_, cluster)| cluster.spec.dns.mode)
    }

    fn shown(&self, found: &truth::Observed, now: Timestamp) -> Shown {
        let wanted = Wanted {
            records: &self.records,
            withdrawn: &self.withdrawn,
            mode: self.mode(),
        };
        let judged = judge(wanted, found);
        let before = self.current.status.as_ref();
        let before = before.map_or(&[][..], |status| &status.records);
        let records = record_statuses(&judged, before, now);
        let spf = self.spf_record().map(|record| truth::budget(record, found));
        Shown {
            judged,
            records,
            spf,
        }
    }

    /// The domain's SPF record.
    #[must_use]
    pub fn spf_record(&self) -> Option<&str> {
        let domain = self.domain.spec.domain.as_str();
        let mut at_apex = self.records.iter().filter_map(|record| {
            let is_at_apex = record.name == domain && record.kind == RecordType::Txt;
            record.data.as_deref().filter(|_| is_at_apex)
        });
        at_apex.find(|text| spf::is_record(text))
    }

    /// Whether nothing is to be changed.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        let cluster = self.cluster.as_ref();
        self.domain.spec.paused || cluster.is_some_and(|(_, cluster)| cluster.spec.paused)
    }

    /// Whether it has its name and no plan has it, because of a problem of its own or of its MailCluster, or because there is
    /// none for it: what it wants of DNS is not known then.
    #[must_use]
    pub fn is_unplanned(&self) -> bool {
        self.records.is_empty() && !self.has_lost_its_name
    }

    /// Whether mail of the domain is signed here.
    #[must_use]
    pub fn is_signed_here(&self) -> bool {
        self.cluster.is_some() && self.domain.spec.provider == Provider::Builtin
    }
}

/// Looks; `None` when there is nothing to look at.
#[must_use]
pub fn observe(context: &Context, key: &Key, now: Timestamp) -> Option<Observed> {
    let snapshot = context.world.snapshot();
    let domain = snapshot.objects.domains.get(key)?.clone();
    let current = context.world.domain(key)?;
    let name = &domain.spec.domain;
    let problems = snapshot.problems(Kind::MailDomain, key).to_vec();
    // Of two that claim a name, the one without a problem of that kind has it. Where only an alias is another's, the
    // domain is served.
    let conflicted = problems
        .iter()
        .any(|problem| problem.class == mailpods_plan::ProblemClass::Conflict && !problem.kept);
    let served = snapshot.served.get(name);
    let served = served.filter(|served| served.domain == *key && !conflicted);
    let cluster = served.and_then(|served| {
        let cluster = snapshot.objects.clusters.get(&served.cluster)?;
        Some((served.cluster.clone(), cluster.clone()))
    });
    let packed = match &cluster {
        Some(_) => snapshot.packed_records(name),
        None => Packed::default(),
    };
    let records: Vec<Record> = packed.unpacked().unwrap_or_default();
    let aliases = match &cluster {
        Some(_) => snapshot.aliases(&domain).to_vec(),
        None => Vec::new(),
    };
    let found = context.look_ups.found(name);
    let keys = snapshot.dkim(&domain).to_vec();
    let mut observed = Observed {
        problems,
        has_lost_its_name: conflicted,
        aliases,
        withdrawn: withdrawn(&keys, &records),
        records,
        packed,
        seen: None,
        keys,
        live: context.world.live(Kind::MailDomain, key),
        cluster,
        domain,
        current,
    };
    observed.seen = found.map(|found| observed.shown(&found, now));
    Some(observed)
}

/// The records of keys that are removed.
fn withdrawn(keys: &[Arc<ManagedKey>], records: &[Record]) -> Vec<Record> {
    let removed = keys.iter().filter(|key| !key.phase.is_published());
    let record = |key: &Arc<ManagedKey>| Record {
        domain: key.domain.clone(),
        name: key.record_name(),
        kind: RecordType::Txt,
        data: Some(key.record.clone()),
        ttl: 0,
    };
    // What is wanted under the name is another key, and looked at as such.
    let wanted = |new: &Record| records.iter().any(|record| record.name == new.name);
    removed.map(record).filter(|new| !wanted(new)).collect()
}
