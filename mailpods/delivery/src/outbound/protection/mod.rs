//! How a connection to another server is protected: what the recipient's domain publishes is looked up, the decision is that of
//! `mailpods_policy::outbound::tls`, and what came of it is counted for reports.

mod dane;
pub(crate) mod policies;
pub(crate) mod reports;

use std::net::IpAddr;
use std::sync::Arc;

use mailpods_api::DomainName;
use mailpods_net::dns::{DnsError, Mx, Resolver};
use mailpods_net::tls::{Checker, TlsConfigError, Verdict};
use mailpods_net::{CertificateFault, TlsClient, TlsError};
use mailpods_plan::{HopTls, NextHop, Plan};
use mailpods_policy::outbound::tls::report::{Failure, PolicyShown, ResultType};
use mailpods_policy::outbound::tls::sts::{Mode, Policy};
use mailpods_policy::outbound::tls::tlsa::Tlsa;
use mailpods_policy::outbound::tls::{
    Barred, Dane, Decision, Facts, Level, Minimum, Why, Wish, decide,
};
use mailpods_smtp_proto::client::{Failure as SessionFailure, TlsMode};
use mailpods_store::StoreError;

use super::session::{Dial, OpenError};
use policies::{Means, Policies};

/// What the role keeps for it.
pub(crate) struct Protections {
    pub(crate) policies: Policies,
    pub(crate) reports: reports::Reports,
    pub(crate) clients: Clients,
}

/// TLS as the levels want it.
pub(crate) struct Clients {
    any: TlsClient,
    pub(crate) verified: TlsClient,
    checker: Checker,
}

impl Clients {
    /// # Errors
    /// The extra roots (PEM) cannot be read.
    pub(crate) fn new(extra_roots: &[u8]) -> Result<Self, TlsConfigError> {
        Ok(Self {
            any: TlsClient::opportunistic()?,
            verified: TlsClient::verified(extra_roots)?,
            checker: Checker::new(extra_roots)?,
        })
    }
}

/// What the domain of the recipients publishes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Published {
    /// The domain; empty for what is none, about which nothing is reported.
    pub(crate) domain: String,
    /// What the administrator asks for.
    minimum: Option<Minimum>,
    wish: Wish,
    /// DNSSEC vouches for the names of its servers.
    vouched: bool,
    sts: Option<Arc<Policy>>,
    /// Why its MTA-STS policy could not be had, when it should be there.
    pub(crate) unfetched: Option<(ResultType, String)>,
}

/// Who asks and what about.
pub(crate) struct Question<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) resolver: &'a dyn Resolver,
    pub(crate) domain: &'a DomainName,
    pub(crate) wish: Wish,
}

impl Question<'_> {
    fn minimum(&self) -> Option<Minimum> {
        self.plan
            .outbound
            .tls
            .destinations
            .get(self.domain)
            .copied()
    }

    /// Whether what the domain publishes matters at all.
    fn matters(&self) -> bool {
        let set_aside = matches!(self.minimum(), Some(Minimum::None | Minimum::Opportunistic));
        self.wish == Wish::Required || (self.wish == Wish::Usual && !set_aside)
    }

    /// The MX records as DNSSEC has them, where it vouches for them, and as they are where it does not.
    pub(crate) async fn exchangers(&self) -> (Result<Vec<Mx>, DnsError>, bool) {
        let (name, tls) = (self.domain.as_str(), &self.plan.outbound.tls);
        if !(tls.dane && self.matters()) {
            return (self.resolver.mx(name).await, false);
        }
        match self.resolver.validates().await {
            Ok(true) => {}
            Ok(false) => return (self.resolver.mx(name).await, false),
            // RFC 7672 §2.1.1: the same as below.
            Err(error) => return (Err(error), false),
        }
        match self.resolver.validated_mx(name).await {
            Ok(answer) if answer.secure && !answer.records.is_empty() => (Ok(answer.records), true),
            Ok(answer) if answer.secure => match self.resolver.mx(name).await {
                // DNSSEC vouches for that there are none: somebody made these up.
                Ok(_) => (Err(contradiction()), false),
                none => (none, true),
            },
            Ok(_) => (self.resolver.mx(name).await, false),
            // RFC 7672 §2.1.1: a failure to find out is no answer without DNSSEC.
            Err(error) => (Err(error), false),
        }
    }

    /// What the domain publishes besides.
    ///
    /// # Errors
    /// It is not known which MTA-STS policy is kept for the domain.
    pub(crate) async fn published(
        &self,
        policies: &Policies,
        means: &Means<'_>,
        vouched: bool,
    ) -> Result<Published, StoreError> {
        let mut published = Published {
            domain: self.domain.to_string(),
            minimum: self.minimum(),
            wish: self.wish,
            vouched,
            ..Published::default()
        };
        if self.plan.outbound.tls.mta_sts && self.matters() {
            let found = policies.of(means, self.domain.as_str()).await?;
            (published.sts, published.unfetched) = (found.policy, found.trouble);
        }
        Ok(published)
    }
}

fn contradiction() -> DnsError {
    DnsError::Temporary("DNSSEC vouches for no MX record, and the answer has some".to_owned())
}

/// How one connection is made.
#[derive(Debug, Clone)]
pub(crate) struct Protection {
    pub(crate) decision: Decision,
    /// TLS from the first octet.
    pub(crate) implicit: bool,
    /// The server must offer REQUIRETLS.
    pub(crate) require_tls: bool,
    /// TLSA records, and the names that a certificate below an authority of theirs may have.
    tlsa: Vec<Tlsa>,
    names: Vec<String>,
    /// The policy as reports show it.
    pub(crate) shown: Option<PolicyShown>,
    /// What the policy has against the server in testing mode.
    objection: Option<&'static str>,
}

impl Protection {
    pub(crate) const fn new(level: Level, why: Why) -> Self {
        Self {
            decision: Decision {
                level,
                why,
                check: false,
            },
            implicit: false,
            require_tls: false,
            tlsa: Vec::new(),
            names: Vec::new(),
            shown: None,
            objection: None,
        }
    }

    /// A hop of the administrator's. A sender that asks for REQUIRETLS needs more than a hop may have been set up with.
    pub(crate) fn of_hop(hop: &NextHop, wish: Wish) -> Self {
        let level = match hop.tls {
            HopTls::None => Level::Clear,
            HopTls::Opportunistic => Level::Opportunistic,
            HopTls::Verify | HopTls::Implicit => Level::Verified,
        };
        let mut protection = Self::new(level, Why::NextHop);
        protection.implicit = hop.tls == HopTls::Implicit;
        if wish == Wish::Required {
            protection.require_tls = true;
            if level < Level::Verified {
                protection.decision.level = Level::Verified;
                protection.decision.why = Why::RequireTls;
            }
        }
        protection
    }

    /// The same in clear text, after TLS has failed where nobody asked for it.
    pub(crate) fn without_tls(self) -> Self {
        let decision = Decision {
            level: Level::Clear,
            ..self.decision
        };
        Self { decision, ..self }
    }

    /// Whether mail goes in clear text rather than not at all (RFC 7435 §3).
    pub(crate) fn may_fall_back(&self) -> bool {
        self.decision.level == Level::Opportunistic && !self.implicit
    }

    /// What the protocol machine is told.
    pub(crate) const fn mode(&self) -> TlsMode {
        match self.decision.level {
            _ if self.implicit => TlsMode::Implicit,
            Level::Clear => TlsMode::Off,
            Level::Opportunistic => TlsMode::Opportunistic,
            Level::Encrypted | Level::Verified | Level::Dane => TlsMode::Required,
        }
    }

    /// The client, and where a certificate that is only looked at is judged.
    ///
    /// # Errors
    /// See [`TlsConfigError`].
    pub(crate) fn client(
        &self,
        clients: &Clients,
    ) -> Result<(TlsClient, Option<Verdict>), TlsConfigError> {
        Ok(match self.decision.level {
            Level::Verified => (clients.verified.clone(), None),
            Level::Dane => {
                let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
                (TlsClient::dane(self.tlsa.clone(), &names)?, None)
            }
            _ if self.decision.check => {
                let (client, verdict) = clients.checker.client()?;
                (client, Some(verdict))
            }
            _ => (clients.any.clone(), None),
        })
    }

    /// The name that the ClientHello asks for (RFC 7672 §8.1: the TLSA base domain).
    pub(crate) fn server_name<'a>(&'a self, host: &'a str) -> &'a str {
        self.names.first().map_or(host, String::as_str)
    }
}

/// A server that must not be used.
#[derive(Debug, Clone)]
pub(crate) struct Bar {
    pub(crate) why: Barred,
    pub(crate) text: String,
    pub(crate) shown: Option<PolicyShown>,
}

impl Published {
    /// For an address literal: nothing is published for it, and nothing vouches for it.
    pub(crate) fn of_literal(wish: Wish) -> Self {
        Self {
            wish,
            ..Self::default()
        }
    }

    /// The protection of connections to one server at `port`.
    ///
    /// # Errors
    /// The server must not be used.
    pub(crate) async fn protection(
        &self,
        resolver: &dyn Resolver,
        host: &str,
        port: u16,
    ) -> Result<Protection, Bar> {
        let wanted = self.vouched && self.wish != Wish::Waived;
        let (dane, base) = match wanted {
            true => dane::look_up(resolver, host, port).await,
            false => (Dane::Absent, host.to_owned()),
        };
        let facts = Facts {
            host,
            minimum: self.minimum,
            wish: self.wish,
            vouched: self.vouched,
            dane,
            sts: self.sts.as_deref(),
        };
        let shown = Some(self.shown(host, &facts.dane)).filter(|_| !self.domain.is_empty());
        match decide(&facts) {
            Ok(decision) => Ok(self.decided(decision, facts, base, shown)),
            Err(why) => Err(Bar {
                why,
                text: bar_text(why, &facts),
                shown,
            }),
        }
    }

    fn decided(
        &self,
        decision: Decision,
        facts: Facts<'_>,
        base: String,
        shown: Option<PolicyShown>,
    ) -> Protection {
        let unnamed = decision.check && facts.sts.is_some_and(|policy| !policy.names(facts.host));
        let tlsa = match facts.dane {
            Dane::Usable(records) if decision.level == Level::Dane => records,
            _ => Vec::new(),
        };
        let names = match tlsa.is_empty() {
            true => Vec::new(),
            // RFC 7672 §3.2.2: the server's name, and the domain of the recipients.
            false => vec![base, facts.host.to_owned(), self.domain.clone()],
        };
        Protection {
            require_tls: self.wish == Wish::Required,
            tlsa,
            names,
            shown,
            objection: unnamed.then_some(Barred::StsHost.words()),
            ..Protection::new(decision.level, decision.why)
        }
        .checking(decision.check)
    }

    fn shown(&self, host: &str, dane: &Dane) -> PolicyShown {
        match (dane, &self.sts) {
            (Dane::Usable(records), _) => PolicyShown::tlsa(&self.domain, host, records),
            (Dane::Unusable, Some(policy)) if policy.mode == Mode::Enforce => {
                PolicyShown::sts(&self.domain, policy)
            }
            (Dane::Unusable | Dane::Failed(_), _) => PolicyShown::tlsa(&self.domain, host, &[]),
            (Dane::Absent, Some(policy)) => PolicyShown::sts(&self.domain, policy),
            (Dane::Absent, None) => PolicyShown::none(&self.domain),
        }
    }
}

impl Protection {
    fn checking(mut self, check: bool) -> Self {
        self.decision.check = check;
        self
    }
}

fn bar_text(why: Barred, facts: &Facts<'_>) -> String {
    let detail = match &facts.dane {
        Dane::Failed(text) if why == Barred::DaneLookup => format!(" ({text})"),
        _ => String::new(),
    };
    format!("{}: {}{detail}", facts.host, why.words())
}

/// What became of a try at a session, as reports and metrics have it; `None`: as the policy wants it.
pub(crate) struct Seen {
    pub(crate) result: ResultType,
    pub(crate) detail: String,
}

impl Seen {
    /// A session that stands.
    pub(crate) fn of_session(
        protection: &Protection,
        encrypted: bool,
        verdict: Option<&Verdict>,
    ) -> Option<Self> {
        if !encrypted {
            return Some(Self {
                result: ResultType::StarttlsNotSupported,
                detail: String::new(),
            });
        }
        let objection = verdict.and_then(Verdict::objection);
        let of_host = protection.objection.map(|text| Self {
            result: ResultType::ValidationFailure,
            detail: text.to_owned(),
        });
        of_host.or_else(|| objection.as_ref().map(Self::of_tls))
    }

    /// A try that failed for TLS; `None`: for something else.
    pub(crate) fn of_error(error: &OpenError) -> Option<Self> {
        match error {
            OpenError::Tls(error) => Some(Self::of_tls(error)),
            OpenError::Session(SessionFailure::TlsUnavailable) => Some(Self {
                result: ResultType::StarttlsNotSupported,
                detail: String::new(),
            }),
            _ => None,
        }
    }

    fn of_tls(error: &TlsError) -> Self {
        let result = match error.certificate_fault() {
            Some(CertificateFault::Name) => ResultType::CertificateHostMismatch,
            Some(CertificateFault::Expired) => ResultType::CertificateExpired,
            Some(CertificateFault::Untrusted) => ResultType::CertificateNotTrusted,
            Some(CertificateFault::Unmatched) => ResultType::TlsaInvalid,
            Some(CertificateFault::Other) | None => ResultType::ValidationFailure,
        };
        Self {
            result,
            detail: super::attempt::with_causes(error),
        }
    }

    /// Of a server that must not be used; `None`: its own policy has nothing to do with it.
    pub(crate) fn of_bar(bar: &Bar) -> Option<Self> {
        let result = match bar.why {
            Barred::StsHost => ResultType::ValidationFailure,
            Barred::DaneLookup => ResultType::DnssecInvalid,
            Barred::Unvouched => return None,
        };
        Some(Self {
            result,
            detail: bar.text.clone(),
        })
    }

    /// As a report has it.
    pub(crate) fn failure(&self, dial: &Dial) -> Failure {
        Failure {
            result_type: self.result,
            sending_mta_ip: dial.source.as_ref().map(IpAddr::to_string),
            receiving_mx_hostname: Some(dial.name.clone()),
            receiving_ip: Some(dial.to.ip().to_string()),
            failure_reason_code: Some(self.detail.chars().take(200).collect::<String>())
                .filter(|text| !text.is_empty()),
        }
    }
}
