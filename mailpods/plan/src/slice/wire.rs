//! The form of entries: what each role gets of a value, and the value that a pod makes of it.
//!
//! Every field has a default and unknown fields are passed over, so that operator and pods may be one release apart.

mod address;

use mailpods_api::{DomainName, MailboxAddress, Selector};
use mailpods_policy::outbound::tls::sts;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Role;
use crate::model;
use crate::model::{
    AuthSettings, CredentialKind, DkimAlgorithm, DnsSettings, DomainQuota, FilterSettings,
    FolderRule, HopTls, ImapSettings, Listener, MailboxDefaults, OutboundSettings, Plan, Protocol,
    QuotaRules, RateLimits, SmtpSettings, SubmissionSettings, TlsMaterial, TlsSettings,
    TransportRule, TransportRules,
};
use crate::secret::SecretText;
use crate::sieve::{SieveScript, SieveSettings, SieveStages};

pub(super) use address::Address;

/// A secret on its way to the role that may have it.
#[derive(Clone)]
struct Secret(SecretText);

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.reveal())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(SecretText::new(text)))
    }
}

/// An address with the letter case it was given in: another server may read it (RFC 5321 §2.4).
#[derive(Clone)]
struct Written(MailboxAddress);

impl Serialize for Written {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.written())
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        MailboxAddress::parse(&text)
            .map(Self)
            .map_err(de::Error::custom)
    }
}

/// `settings`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Settings {
    cluster: String,
    hostname: DomainName,
    #[serde(default, deserialize_with = "known_listeners")]
    listeners: Vec<Listener>,
    #[serde(default)]
    tls: Tls,
    #[serde(default)]
    dns: DnsSettings,
    /// The filter has the limits of a message from here.
    #[serde(default)]
    smtp: SmtpSettings,
    #[serde(skip_serializing_if = "Option::is_none")]
    submission: Option<SubmissionSettings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    imap: Option<ImapSettings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<AuthSettings>,
    #[serde(default)]
    filter: FilterSettings,
    #[serde(skip_serializing_if = "Option::is_none")]
    outbound: Option<OutboundSettings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    smart_host: Option<Hop>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fallback_relay: Option<Hop>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    transports: Vec<Rule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    postmaster: Option<Written>,
    #[serde(default, skip_serializing_if = "MailboxDefaults::is_empty")]
    mailbox_defaults: MailboxDefaults,
    #[serde(default, skip_serializing_if = "SieveSettings::is_empty")]
    sieve: SieveSettings,
    #[serde(default)]
    shutdown_grace: std::time::Duration,
}

impl Settings {
    pub(super) fn of(plan: &Plan, role: Role) -> Self {
        let mail = role.knows_domains();
        let outbound = &plan.outbound;
        let hop = |hop: &Option<model::NextHop>| {
            let hop = hop.as_ref().filter(|_| mail || role == Role::Egress);
            hop.map(|hop| Hop::of(hop, role))
        };
        Self {
            cluster: plan.cluster.clone(),
            hostname: plan.hostname.clone(),
            listeners: listeners(plan, role),
            tls: Tls::of(&plan.tls, role),
            dns: plan.dns.clone(),
            smtp: plan.smtp.clone(),
            submission: mail.then(|| plan.submission.clone()),
            imap: mail.then(|| plan.imap.clone()),
            auth: mail.then(|| plan.auth.clone()),
            filter: plan.filter.clone(),
            outbound: match role {
                Role::Egress => Some(ports(outbound)),
                _ => mail.then(|| outbound.clone()),
            },
            smart_host: hop(&outbound.smart_host),
            fallback_relay: hop(&outbound.fallback_relay),
            transports: Rule::all(outbound, role),
            postmaster: outbound.postmaster.clone().filter(|_| mail).map(Written),
            mailbox_defaults: Some(plan.mailbox_defaults.clone())
                .filter(|_| mail)
                .unwrap_or_default(),
            sieve: Some(plan.sieve.clone())
                .filter(|_| role.knows_scripts())
                .unwrap_or_default(),
            shutdown_grace: plan.shutdown_grace,
        }
    }

    /// A plan with these settings and nothing else.
    pub(super) fn plan(&self, digest: &str) -> Plan {
        let outbound = OutboundSettings {
            smart_host: self.smart_host.clone().map(Hop::model),
            fallback_relay: self.fallback_relay.clone().map(Hop::model),
            transports: Rule::model(&self.transports),
            postmaster: self.postmaster.clone().map(|written| written.0),
            ..self.outbound.clone().unwrap_or_default()
        };
        Plan {
            digest: digest.to_owned(),
            cluster: self.cluster.clone(),
            hostname: self.hostname.clone(),
            listeners: self.listeners.clone(),
            tls: self.tls.clone().model(),
            dns: self.dns.clone(),
            smtp: self.smtp.clone(),
            submission: self.submission.clone().unwrap_or_default(),
            imap: self.imap.clone().unwrap_or_default(),
            auth: self.auth.clone().unwrap_or_default(),
            filter: self.filter.clone(),
            outbound,
            mailbox_defaults: self.mailbox_defaults.clone(),
            sieve: self.sieve.clone(),
            outbound_ips: Default::default(),
            domains: Default::default(),
            names: Default::default(),
            mailboxes: Default::default(),
            aliases: Default::default(),
            held: Default::default(),
            shares: Default::default(),
            records: Vec::new(),
            shutdown_grace: self.shutdown_grace,
        }
    }
}

/// What who opens connections has to know: where mail goes to, and how long is waited.
fn ports(outbound: &OutboundSettings) -> OutboundSettings {
    OutboundSettings {
        port: outbound.port,
        timeouts: outbound.timeouts,
        ..OutboundSettings::default()
    }
}

/// Health and metrics of a pod are where its command line says, so `http` listeners are in no slice.
fn listeners(plan: &Plan, role: Role) -> Vec<Listener> {
    let of_role = |listener: &&Listener| match listener.protocol {
        Protocol::Smtp
        | Protocol::Submission
        | Protocol::Submissions
        | Protocol::Lmtp
        | Protocol::Https => role.is(true, false, false),
        Protocol::Imap
        | Protocol::Imaps
        | Protocol::Pop3
        | Protocol::Pop3s
        | Protocol::ManageSieve => role.is(false, true, false),
        Protocol::Http => false,
    };
    plan.listeners.iter().filter(of_role).cloned().collect()
}

/// A newer operator may name protocols that this pod does not speak; those are for its successor.
fn known_listeners<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Listener>, D::Error> {
    let values = Vec::<serde_json::Value>::deserialize(deserializer)?;
    let known = |value: &serde_json::Value| {
        value
            .get("protocol")
            .is_some_and(|protocol| Protocol::deserialize(protocol).is_ok())
    };
    values
        .into_iter()
        .filter(known)
        .map(|value| Listener::deserialize(value).map_err(de::Error::custom))
        .collect()
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Tls {
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<Material>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presented: Option<String>,
    require_tls13: bool,
}

#[derive(Clone, Serialize, Deserialize)]
struct Material {
    chain: String,
    key: Secret,
}

impl Tls {
    fn of(tls: &TlsSettings, role: Role) -> Self {
        let own = tls.certificate.as_ref().filter(|_| role.terminates_tls());
        Self {
            certificate: own.map(|material| Material {
                chain: material.chain.clone(),
                key: Secret(material.key.clone()),
            }),
            presented: tls.presented.clone().filter(|_| role.sends()),
            require_tls13: tls.require_tls13,
        }
    }

    fn model(self) -> TlsSettings {
        TlsSettings {
            certificate: self.certificate.map(|material| TlsMaterial {
                chain: material.chain,
                key: material.key.0,
            }),
            presented: self.presented,
            require_tls13: self.require_tls13,
        }
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hop {
    host: String,
    port: u16,
    tls: HopTls,
    #[serde(default)]
    lmtp: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<Login>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Login {
    user: String,
    password: Secret,
}

impl Hop {
    fn of(hop: &model::NextHop, role: Role) -> Self {
        let auth = hop.auth.as_ref().filter(|_| role.sends());
        Self {
            host: hop.host.clone(),
            port: hop.port,
            tls: hop.tls,
            lmtp: hop.lmtp,
            auth: auth.map(|(user, password)| Login {
                user: user.clone(),
                password: Secret(password.clone()),
            }),
        }
    }

    fn model(self) -> model::NextHop {
        model::NextHop {
            host: self.host,
            port: self.port,
            tls: self.tls,
            lmtp: self.lmtp,
            auth: self.auth.map(|login| (login.user, login.password.0)),
        }
    }
}

/// A rule of `spec.outbound.transports`.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Rule {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    domains: Vec<DomainName>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    suffixes: Vec<DomainName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_hop: Option<Hop>,
    once: bool,
    serial: bool,
}

impl Rule {
    /// Who opens connections has to know next hops, and nothing of domains.
    fn all(outbound: &OutboundSettings, role: Role) -> Vec<Self> {
        let names = |names: &[DomainName]| match role.knows_domains() {
            true => names.to_vec(),
            false => Vec::new(),
        };
        let rules = outbound.transports.iter();
        let rules = rules.filter(|rule| match role {
            Role::Egress => rule.next_hop.is_some(),
            _ => role.knows_domains(),
        });
        let rules = rules.map(|rule| Self {
            domains: names(&rule.domains),
            suffixes: names(&rule.suffixes),
            next_hop: rule.next_hop.as_ref().map(|hop| Hop::of(hop, role)),
            once: rule.once,
            serial: rule.serial,
        });
        rules.collect()
    }

    fn model(rules: &[Self]) -> TransportRules {
        let rules = rules.iter().cloned().map(|rule| TransportRule {
            domains: rule.domains,
            suffixes: rule.suffixes,
            next_hop: rule.next_hop.map(Hop::model),
            once: rule.once,
            serial: rule.serial,
        });
        TransportRules::new(rules.collect())
    }
}

/// `domain/NAME`; the name is in the key.
#[derive(Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
pub(super) struct Domain {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    alias_names: Vec<DomainName>,
    /// Left out: mailboxes here.
    #[serde(skip_serializing_if = "Option::is_none")]
    relay: Option<Hop>,
    detail_separators: Vec<char>,
    #[serde(skip_serializing_if = "Option::is_none")]
    catch_all: Option<MailboxAddress>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dkim: Vec<DkimKey>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    outbound_ips: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<RateLimits>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    detail_folders: bool,
    #[serde(skip_serializing_if = "DomainQuota::is_empty")]
    quota: DomainQuota,
    #[serde(skip_serializing_if = "MailboxDefaults::is_empty")]
    defaults: MailboxDefaults,
    #[serde(skip_serializing_if = "SieveStages::is_empty")]
    sieve: SieveStages,
    #[serde(skip_serializing_if = "Option::is_none")]
    mta_sts: Option<sts::Policy>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DkimKey {
    selector: Selector,
    algorithm: DkimAlgorithm,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key: Option<Secret>,
}

impl Domain {
    pub(super) fn of(domain: &model::Domain, role: Role) -> Self {
        let relay = match &domain.transport {
            model::Transport::Mailboxes => None,
            model::Transport::Relay(hop) => Some(Hop::of(hop, role)),
        };
        let keys = domain.dkim.iter().filter(|_| role.sends());
        let catch_all = domain.catch_all.clone();
        Self {
            alias_names: domain.alias_names.clone(),
            relay,
            detail_separators: domain.detail_separators.clone(),
            catch_all: catch_all.filter(|_| role.resolves_addresses()),
            dkim: keys.map(DkimKey::of).collect(),
            outbound_ips: Some(domain.outbound_ips.clone())
                .filter(|_| role.sends())
                .unwrap_or_default(),
            limits: domain.limits,
            detail_folders: domain.detail_folders,
            quota: domain.quota,
            defaults: domain.defaults.clone(),
            sieve: Some(domain.sieve.clone())
                .filter(|_| role.filters_mail())
                .unwrap_or_default(),
            mta_sts: domain
                .mta_sts
                .clone()
                .filter(|_| role.is(true, false, false)),
        }
    }

    pub(super) fn model(self, name: DomainName) -> model::Domain {
        model::Domain {
            name,
            alias_names: self.alias_names,
            transport: match self.relay {
                None => model::Transport::Mailboxes,
                Some(hop) => model::Transport::Relay(hop.model()),
            },
            detail_separators: self.detail_separators,
            catch_all: self.catch_all,
            dkim: self.dkim.into_iter().map(DkimKey::model).collect(),
            outbound_ips: self.outbound_ips,
            limits: self.limits,
            detail_folders: self.detail_folders,
            quota: self.quota,
            defaults: self.defaults,
            sieve: self.sieve,
            mta_sts: self.mta_sts,
        }
    }
}

impl DkimKey {
    fn of(key: &model::DkimKey) -> Self {
        Self {
            selector: key.selector.clone(),
            algorithm: key.algorithm,
            private_key: key.private_key.clone().map(Secret),
        }
    }

    fn model(self) -> model::DkimKey {
        model::DkimKey {
            selector: self.selector,
            algorithm: self.algorithm,
            private_key: self.private_key.map(|key| key.0),
        }
    }
}

/// `mailbox/ADDRESS`; the address is in the key.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mailbox {
    #[serde(default = "yes")]
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<Credential>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quota_octets: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quota_messages: Option<u64>,
    /// What else there is of the quota, beside what the release before knows.
    #[serde(default, skip_serializing_if = "QuotaRules::is_empty")]
    quota: QuotaRules,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    folders: Vec<FolderRule>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    send_as: Vec<MailboxAddress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sieve: Option<SieveScript>,
}

#[derive(Serialize, Deserialize)]
struct Credential {
    kind: CredentialKind,
    value: Secret,
}

const fn yes() -> bool {
    true
}

impl Mailbox {
    pub(super) fn of(mailbox: &model::Mailbox, role: Role) -> Self {
        let credential = mailbox.credential.as_ref();
        // Who may send as whom is asked at submission alone.
        let send_as = mailbox
            .send_as
            .iter()
            .filter(|_| role.is(true, false, false));
        Self {
            enabled: mailbox.enabled,
            credential: credential
                .filter(|_| role.checks_passwords())
                .map(|credential| Credential {
                    kind: credential.kind,
                    value: Secret(credential.value.clone()),
                }),
            quota_octets: mailbox.quota.octets,
            quota_messages: mailbox.quota.messages,
            quota: QuotaRules {
                octets: None,
                messages: None,
                ..mailbox.quota.clone()
            },
            folders: mailbox.folders.clone(),
            send_as: send_as.cloned().collect(),
            sieve: mailbox.sieve.clone().filter(|_| role.knows_scripts()),
        }
    }

    pub(super) fn model(self, address: MailboxAddress) -> model::Mailbox {
        model::Mailbox {
            address,
            enabled: self.enabled,
            credential: self.credential.map(|credential| model::Credential {
                kind: credential.kind,
                value: credential.value.0,
            }),
            quota: QuotaRules {
                octets: self.quota_octets,
                messages: self.quota_messages,
                ..self.quota
            },
            folders: self.folders,
            send_as: self.send_as,
            sieve: self.sieve,
        }
    }
}

/// `held-domain/NAME`, `held-address/ADDRESS` and `sharing-domain/NAME`: the key says it all.
#[derive(Serialize)]
pub(super) struct Held {}

/// `alias/ADDRESS`: what it leads to.
#[derive(Serialize, Deserialize)]
pub(super) struct Alias {
    #[serde(default)]
    targets: Vec<Written>,
}

impl Alias {
    pub(super) fn of(targets: &[MailboxAddress]) -> Self {
        Self {
            targets: targets.iter().cloned().map(Written).collect(),
        }
    }

    pub(super) fn model(self) -> Vec<MailboxAddress> {
        self.targets.into_iter().map(|written| written.0).collect()
    }
}
