//! All checks of one message, their look-ups running at once.

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::join_all;
use mail_auth::dkim::Canonicalization;
use mailpods_plan::FilterSettings;
use mailpods_rpc::ScanRequest;

use crate::arc::{self, ArcCheck, Chain};
use crate::dkim::{self, BodyHashes, Candidate, DkimCheck, DkimResult, Fault, Label, Terms};
use crate::dmarc::{self, DmarcCheck, DmarcResult, Found, Policy};
use crate::dns::Lookups;
use crate::iprev::{self, IprevCheck};
use crate::message::{Message, a_label};
use mailpods_spf::{self as spf, Identity, SpfCheck, SpfResult};

/// Bodies above this many octets are hashed on a thread of their own.
const LARGE_BODY: usize = 1 << 20;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checks {
    pub(crate) iprev: IprevCheck,
    pub(crate) helo: SpfCheck,
    /// The envelope sender, or the HELO name for the null sender.
    pub(crate) spf: SpfCheck,
    pub(crate) dkim: Vec<DkimCheck>,
    pub(crate) arc: ArcCheck,
    /// One for each author domain; empty without a message.
    pub(crate) dmarc: Vec<DmarcCheck>,
    policies: Vec<Found>,
}

impl Checks {
    /// Makes every check that `request` allows.
    pub(crate) async fn make(
        dns: Lookups<'_>,
        request: &ScanRequest,
        settings: &FilterSettings,
    ) -> Self {
        let ip = request.client_ip.to_canonical();
        let envelope = async { tokio::join!(iprev::check(dns, ip), spf_both(dns, request, ip)) };
        let Some(octets) = &request.message else {
            let (iprev, (helo, spf)) = envelope.await;
            return Self {
                iprev,
                helo,
                spf,
                dkim: Vec::new(),
                arc: ArcCheck::none(),
                dmarc: Vec::new(),
                policies: Vec::new(),
            };
        };
        let message = Message::parse(octets);
        let (authors, too_many) = message.author_domains();
        let policies = join_all(authors.iter().map(|author| dmarc::find(dns, author)));
        let content = signatures(dns, &message, octets, settings);
        let ((iprev, (helo, spf)), policies, (dkim, arc)) =
            tokio::join!(envelope, policies, content);
        let mut dmarc: Vec<DmarcCheck> = policies
            .iter()
            .map(|found| dmarc::evaluate(found, &spf, &dkim))
            .collect();
        if too_many || dmarc.is_empty() {
            dmarc.push(no_author(too_many));
        }
        Self {
            iprev,
            helo,
            spf,
            dkim,
            arc,
            dmarc,
            policies,
        }
    }

    /// Whether the DMARC record of an author domain, or its absence, is known.
    pub(crate) fn policy_is_known(&self, author: &str) -> bool {
        self.policies
            .iter()
            .any(|found| found.author == author && found.record.is_ok())
    }
}

fn no_author(too_many: bool) -> DmarcCheck {
    let reason = if too_many {
        "too many author domains"
    } else {
        "no author domain"
    };
    DmarcCheck {
        result: DmarcResult::PermError,
        author: String::new(),
        policy: Policy::None,
        percent: 100,
        reason: reason.to_owned(),
    }
}

/// SPF on the HELO name and on the envelope sender; for the null sender they are one (RFC 7208 §2.4).
async fn spf_both(
    dns: Lookups<'_>,
    request: &ScanRequest,
    client_ip: IpAddr,
) -> (SpfCheck, SpfCheck) {
    let helo = a_label(&request.helo).unwrap_or_default();
    let of_helo = Identity {
        client_ip,
        helo: &helo,
        local: "postmaster",
        domain: &helo,
    };
    if request.mail_from.is_empty() {
        let check = spf::check(&dns, &of_helo).await;
        return (check.clone(), check);
    }
    let (local, domain) = request
        .mail_from
        .rsplit_once('@')
        .unwrap_or(("", &request.mail_from));
    let Some(domain) = a_label(domain) else {
        let none = SpfCheck {
            result: SpfResult::None,
            domain: String::new(),
            reason: "sender has no domain name".to_owned(),
        };
        return (spf::check(&dns, &of_helo).await, none);
    };
    let of_sender = Identity {
        client_ip,
        helo: &helo,
        local,
        domain: &domain,
    };
    tokio::join!(spf::check(&dns, &of_helo), spf::check(&dns, &of_sender))
}

async fn signatures(
    dns: Lookups<'_>,
    message: &Message<'_>,
    octets: &Bytes,
    settings: &FilterSettings,
) -> (Vec<DkimCheck>, ArcCheck) {
    let terms = Terms {
        min_rsa_bits: settings.dkim_min_rsa_bits,
        max_signatures: settings.dkim_max_signatures,
        now: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
    };
    let (candidates, beyond) = dkim::candidates(message, &terms);
    let chain = Chain::read(message);
    if message.truncated {
        return oversized(&candidates, chain.is_some());
    }
    let forms: Vec<Canonicalization> = candidates
        .iter()
        .filter_map(|candidate| {
            candidate
                .parsed
                .as_ref()
                .ok()
                .map(|signature| signature.body_form)
        })
        .chain(
            chain
                .iter()
                .filter_map(|chain| chain.as_ref().ok().map(Chain::body_form)),
        )
        .collect();
    let hashes = hash_body(message, octets, forms).await;
    let arc = async {
        match &chain {
            None => ArcCheck::none(),
            Some(chain) => {
                arc::check(
                    dns,
                    message,
                    chain.as_ref().map_err(Fault::clone),
                    &hashes,
                    &terms,
                )
                .await
            }
        }
    };
    let (mut dkim, arc) =
        tokio::join!(dkim::check(dns, message, &candidates, &hashes, &terms), arc);
    if beyond > 0 {
        dkim.push(beyond_cap(beyond, &terms));
    }
    (dkim, arc)
}

fn beyond_cap(beyond: usize, terms: &Terms) -> DkimCheck {
    let reason = format!(
        "{beyond} more signatures, only {} are looked at",
        terms.max_signatures
    );
    DkimCheck {
        result: DkimResult::Policy,
        label: Label::default(),
        reason,
    }
}

/// Fields beyond the bound were not read, so no signature over the header can be judged.
fn oversized(candidates: &[Candidate<'_>], has_chain: bool) -> (Vec<DkimCheck>, ArcCheck) {
    let reason = "the header is too large".to_owned();
    let dkim = candidates.iter().map(|candidate| DkimCheck {
        result: DkimResult::Policy,
        label: candidate.label.clone(),
        reason: reason.clone(),
    });
    let arc = if has_chain {
        ArcCheck {
            result: DkimResult::Fail,
            reason: reason.clone(),
            ..ArcCheck::none()
        }
    } else {
        ArcCheck::none()
    };
    (dkim.collect(), arc)
}

async fn hash_body(
    message: &Message<'_>,
    octets: &Bytes,
    forms: Vec<Canonicalization>,
) -> BodyHashes {
    if message.body.len() < LARGE_BODY || forms.is_empty() {
        return BodyHashes::compute(message.body, forms);
    }
    let body = octets.slice_ref(message.body);
    // Only a panic or the end of the runtime loses the result; the signatures are then neutral.
    tokio::task::spawn_blocking(move || BodyHashes::compute(&body, forms))
        .await
        .unwrap_or_default()
}
