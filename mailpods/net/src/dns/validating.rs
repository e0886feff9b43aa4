//! Look-ups that DNSSEC vouches for (RFC 4035), by a resolver of their own: it asks for signatures and checks them itself, since the way
//! to the servers need not be safe.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hickory_proto::dnssec::{Proof, TrustAnchors};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::txt::ParseError;
use hickory_resolver::TokioResolver;
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::{self, NetError};
use mailpods_policy::outbound::tls::tlsa::Tlsa;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::hickory::plain;
use super::{DnsError, Mx, Validated, to_ascii};

/// How long servers that do not pass signatures on are not asked again.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// A text that names no trust anchors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to read the DNSSEC trust anchors: {0} (wanted: DNSKEY records as in a zone file)")]
pub struct TrustAnchorError(String);

/// Keys that DNSSEC trusts: those of the root by default.
#[derive(Clone, Default)]
pub struct TrustedKeys(Arc<TrustAnchors>);

impl TrustedKeys {
    pub(super) fn anchors(&self) -> Arc<TrustAnchors> {
        self.0.clone()
    }
}

impl std::fmt::Debug for TrustedKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TrustedKeys").field(&self.0.len()).finish()
    }
}

impl std::str::FromStr for TrustedKeys {
    type Err = TrustAnchorError;

    /// From DNSKEY records as in a zone file.
    fn from_str(text: &str) -> Result<Self, TrustAnchorError> {
        let anchors: TrustAnchors = text
            .parse()
            .map_err(|error: ParseError| TrustAnchorError(error.to_string()))?;
        if anchors.is_empty() {
            return Err(TrustAnchorError("there are none".to_owned()));
        }
        Ok(Self(Arc::new(anchors)))
    }
}

/// The validating resolver.
pub(super) struct Validating {
    resolver: TokioResolver,
    limit: Duration,
    /// The servers have passed signatures on.
    works: AtomicBool,
    /// They were asked once.
    asked: AtomicBool,
    /// When they last did not.
    failed: Mutex<Option<Instant>>,
}

impl Validating {
    pub(super) fn new(resolver: TokioResolver, limit: Duration) -> Self {
        Self {
            resolver,
            limit,
            works: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            failed: Mutex::default(),
        }
    }

    /// Takes over that the same servers have passed signatures on.
    pub(super) fn inherit(&self, before: &Self) {
        let works = before.works.load(Ordering::Relaxed);
        self.works.store(works, Ordering::Relaxed);
    }

    /// Whether the keys of the root validate. Once they did, a failure is somebody in the way and no reason to trust less.
    pub(super) async fn works(&self) -> bool {
        if self.works.load(Ordering::Relaxed) {
            return true;
        }
        // The first answer is waited for by all; later one asks, and the others go on with what is known.
        let mut failed = match self.asked.load(Ordering::Relaxed) {
            false => self.failed.lock().await,
            true => match self.failed.try_lock() {
                Ok(failed) => failed,
                Err(_) => return false,
            },
        };
        if self.works.load(Ordering::Relaxed) {
            return true;
        }
        if failed.is_some_and(|at| at.elapsed() < ASK_AGAIN) {
            return false;
        }
        let keys = self.ask(Name::root(), RecordType::DNSKEY).await;
        let works = keys.is_ok_and(|answer| answer.secure && !answer.records.is_empty());
        self.works.store(works, Ordering::Relaxed);
        self.asked.store(true, Ordering::Relaxed);
        if !works {
            tracing::warn!("the DNS servers do not pass DNSSEC signatures on: DANE is not used");
            *failed = Some(Instant::now());
        }
        works
    }

    pub(super) async fn mx(&self, domain: &str) -> Result<Validated<Mx>, DnsError> {
        let pick = |data: &RData| match data {
            RData::MX(mx) => Some(Mx {
                preference: mx.preference,
                exchange: plain(&mx.exchange),
            }),
            _ => None,
        };
        let mut answer = self.records(domain, RecordType::MX, pick).await?;
        answer.records.sort_by_key(|mx| mx.preference);
        Ok(answer)
    }

    pub(super) async fn addresses(&self, name: &str) -> Result<Validated<IpAddr>, DnsError> {
        let pick = |data: &RData| match data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        };
        let v4 = self.records(name, RecordType::A, pick).await?;
        if !v4.records.is_empty() {
            return Ok(v4);
        }
        self.records(name, RecordType::AAAA, pick).await
    }

    pub(super) async fn tlsa(&self, name: &str) -> Result<Validated<Tlsa>, DnsError> {
        let pick = |data: &RData| match data {
            RData::TLSA(tlsa) => Some(Tlsa {
                usage: tlsa.cert_usage.into(),
                selector: tlsa.selector.into(),
                matching: tlsa.matching.into(),
                data: tlsa.cert_data.clone(),
            }),
            _ => None,
        };
        self.records(name, RecordType::TLSA, pick).await
    }

    async fn records<T>(
        &self,
        name: &str,
        kind: RecordType,
        pick: impl Fn(&RData) -> Option<T>,
    ) -> Result<Validated<T>, DnsError> {
        let absolute = Name::from_ascii(format!("{}.", to_ascii(name)?))
            .map_err(|_| DnsError::Malformed(name.to_owned()))?;
        let answer = self.ask(absolute, kind).await?;
        Ok(Validated {
            records: answer
                .records
                .iter()
                .filter_map(|record| pick(&record.data))
                .collect(),
            secure: answer.secure,
            canonical: answer.canonical,
        })
    }

    async fn ask(&self, name: Name, kind: RecordType) -> Result<Validated<Record>, DnsError> {
        let look_up = self.resolver.lookup(name, kind);
        match tokio::time::timeout(self.limit, look_up).await {
            Err(_) => Err(DnsError::Temporary("no answer in time".to_owned())),
            Ok(Ok(lookup)) => positive(&lookup),
            Ok(Err(error)) => negative(error),
        }
    }
}

fn positive(lookup: &Lookup) -> Result<Validated<Record>, DnsError> {
    let records = lookup.answers().iter();
    let records: Vec<Record> = records
        .filter(|record| record.record_type() != RecordType::RRSIG)
        .cloned()
        .collect();
    let mut canonical = records.iter().filter_map(|record| match &record.data {
        RData::CNAME(target) => Some(plain(&target.0)),
        _ => None,
    });
    Ok(Validated {
        secure: secure(&records)?,
        canonical: canonical.next_back(),
        records,
    })
}

/// Whether all records are vouched for.
fn secure(records: &[Record]) -> Result<bool, DnsError> {
    let bogus = |record: &&Record| matches!(record.proof, Proof::Bogus | Proof::Indeterminate);
    if let Some(record) = records.iter().find(bogus) {
        return Err(unproven(&record.name, record.proof));
    }
    Ok(!records.is_empty() && records.iter().all(|record| record.proof.is_secure()))
}

fn unproven(name: &Name, proof: Proof) -> DnsError {
    DnsError::Temporary(format!("DNSSEC validation of {name} failed ({proof})"))
}

fn negative(error: NetError) -> Result<Validated<Record>, DnsError> {
    let none = |secure| Validated {
        secure,
        ..Validated::insecure()
    };
    match error {
        NetError::Dns(net::DnsError::NoRecordsFound(negative)) => {
            let vouched = negative.authorities.as_deref().unwrap_or_default();
            match negative.response_code {
                ResponseCode::NXDomain | ResponseCode::NoError => Ok(none(secure(vouched)?)),
                code => Err(DnsError::Temporary(format!("the server answered {code}"))),
            }
        }
        NetError::Dns(net::DnsError::Nsec { query, proof, .. }) => match proof {
            Proof::Secure | Proof::Insecure => Ok(none(proof.is_secure())),
            proof => Err(unproven(query.name(), proof)),
        },
        error => Err(DnsError::Temporary(error.to_string())),
    }
}
