//! Look-ups that DNSSEC vouches for (RFC 4035), by a resolver of their own: it asks for signatures and checks them itself, since the way
//! to the servers need not be safe.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};
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
/// How long those are not asked again that did not answer: all who wait go on with that meanwhile.
const ASK_SOON: Duration = Duration::from_secs(5);

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

/// What the servers did when they were last asked, other than passing signatures on.
#[derive(Debug, Clone)]
enum Asked {
    /// They answered, and not with what the keys vouch for.
    Unsigned,
    /// They did not answer, or not now; why.
    Unknown(String),
}

impl Asked {
    /// How long they are not asked again.
    const fn holds(&self) -> Duration {
        match self {
            Self::Unsigned => ASK_AGAIN,
            Self::Unknown(_) => ASK_SOON,
        }
    }

    /// RFC 7672 §2.1.1: who cannot find out must not go on as if there were no DNSSEC.
    fn told(self) -> Result<bool, DnsError> {
        match self {
            Self::Unsigned => Ok(false),
            Self::Unknown(why) => Err(DnsError::Temporary(format!(
                "whether DNSSEC can be used is not known: {why}"
            ))),
        }
    }
}

/// The validating resolver.
pub(super) struct Validating {
    resolver: TokioResolver,
    limit: Duration,
    /// The servers have passed signatures on.
    works: AtomicBool,
    /// When they last did not.
    asked: std::sync::Mutex<Option<(Instant, Asked)>>,
    /// Held by who asks.
    asking: Mutex<()>,
}

impl Validating {
    pub(super) fn new(resolver: TokioResolver, limit: Duration) -> Self {
        Self {
            resolver,
            limit,
            works: AtomicBool::new(false),
            asked: std::sync::Mutex::default(),
            asking: Mutex::default(),
        }
    }

    /// Takes over that the same servers have passed signatures on.
    pub(super) fn inherit(&self, before: &Self) {
        let works = before.works.load(Ordering::Relaxed);
        self.works.store(works, Ordering::Relaxed);
    }

    fn asked(&self) -> MutexGuard<'_, Option<(Instant, Asked)>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the keys of the root validate. Once they did, a failure is somebody in the way and no reason to trust less.
    ///
    /// # Errors
    /// The servers have not answered; always temporary.
    pub(super) async fn works(&self) -> Result<bool, DnsError> {
        if self.works.load(Ordering::Relaxed) {
            return Ok(true);
        }
        // The first answer is waited for by all; later one asks, and the others go on with what is known.
        let known = self.asked().clone();
        let _asking = match (known, self.asking.try_lock()) {
            (_, Ok(asking)) => asking,
            (Some((_, asked)), Err(_)) => return asked.told(),
            (None, Err(_)) => self.asking.lock().await,
        };
        if self.works.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let known = self.asked().clone();
        if let Some((at, asked)) = &known
            && at.elapsed() < asked.holds()
        {
            return asked.clone().told();
        }
        let Err(asked) = self.ask_for_keys().await else {
            self.works.store(true, Ordering::Relaxed);
            return Ok(true);
        };
        match &asked {
            // It is looked at again each minute, and told once.
            Asked::Unsigned if matches!(known, Some((_, Asked::Unsigned))) => {}
            Asked::Unsigned => {
                tracing::warn!(
                    "the DNS servers do not pass DNSSEC signatures on: DANE is not used"
                );
            }
            Asked::Unknown(why) => {
                tracing::warn!(
                    why,
                    "the DNS servers do not tell the keys of the root: mail waits where DANE may be published (other servers in spec.dns.servers, or spec.outbound.tls.dane: false)"
                );
            }
        }
        *self.asked() = Some((Instant::now(), asked.clone()));
        asked.told()
    }

    /// Asks for the keys of the root and checks them.
    async fn ask_for_keys(&self) -> Result<(), Asked> {
        let look_up = self.resolver.lookup(Name::root(), RecordType::DNSKEY);
        match tokio::time::timeout(self.limit, look_up).await {
            Err(_) => Err(Asked::Unknown("no answer in time".to_owned())),
            Ok(Ok(lookup)) => match positive(&lookup) {
                Ok(answer) if answer.secure && !answer.records.is_empty() => Ok(()),
                _ => Err(Asked::Unsigned),
            },
            Ok(Err(error)) if is_no_answer(&error) => Err(Asked::Unknown(error.to_string())),
            Ok(Err(_)) => Err(Asked::Unsigned),
        }
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

/// Whether a failure says nothing about what the servers can do.
fn is_no_answer(error: &NetError) -> bool {
    match error {
        NetError::Timeout | NetError::NoConnections | NetError::Busy | NetError::Io(_) => true,
        NetError::Dns(net::DnsError::NoRecordsFound(negative)) => {
            negative.response_code == ResponseCode::ServFail
        }
        NetError::Dns(net::DnsError::ResponseCode(code)) => *code == ResponseCode::ServFail,
        _ => false,
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
