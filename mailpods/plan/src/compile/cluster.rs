//! The MailCluster's settings.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use mailpods_api::TimeSpan;
use mailpods_api::v1alpha1::{
    AuthSpec, BalanceMode, BareNewlineMode, DmarcMode, FilterSpec, ImapSpec, IpFamilyMode,
    ListenerProtocol, ListenerSpec, MailClass, MailCluster, OutboundSpec, OverQuotaMode,
    PoolRuleSpec, RateLimitsSpec, ReverseDnsMode, SecretRef, SmtpSpec, SubmissionSpec, TlsSpec,
    TlsVersion,
};
use mailpods_policy::outbound::choose::{Balance, Class, PoolRule};

use super::Compiler;
use crate::load::Located;
use crate::model::{
    AuthSettings, BareNewline, DnsSettings, FilterSettings, ImapSettings, IpFamily, Listener,
    OutboundSettings, OutboundTimeouts, OverQuota, Plan, Protocol, RateLimits, ReverseDnsPolicy,
    SmtpSettings, SrsSettings, SubmissionSettings, TlsMaterial, TlsSettings, TransportRules,
};
use crate::outbound_tls::OutboundTls;
use crate::problem::Origin;
use crate::shared::Shared;

/// The shortest `spec.imap.idleTimeout`.
const MIN_IMAP_IDLE: TimeSpan = TimeSpan::minutes(30);

impl Compiler<'_> {
    /// A plan with the cluster's settings and nothing else.
    pub(super) fn settings(&mut self, cluster: &Located<MailCluster>) -> Option<Plan> {
        let (spec, origin) = (&cluster.object.spec, &cluster.origin);
        self.refuse_zeros(cluster);
        self.refuse_short_idle(cluster);
        let certificate = self.certificate(origin, &spec.tls);
        let tls = TlsSettings {
            presented: certificate.as_ref().map(|own| own.chain.clone()),
            certificate,
            require_tls13: spec.tls.min_version == TlsVersion::Tls13,
        };
        Some(Plan {
            digest: self.resources.digest.clone(),
            cluster: origin.name.clone(),
            hostname: spec.hostname.clone(),
            listeners: self.listeners(origin, &spec.listeners),
            tls,
            dns: self.dns(cluster),
            smtp: smtp(&spec.smtp),
            submission: submission(&spec.submission),
            imap: imap(&spec.imap),
            auth: auth(&spec.auth),
            filter: filter(&spec.filter),
            outbound: self.outbound(cluster),
            mailbox_defaults: self.mailbox_defaults(origin, &spec.mailbox_defaults),
            sieve: self.cluster_sieve(origin, spec.sieve.as_ref()),
            outbound_ips: Shared::default(),
            domains: Shared::default(),
            names: Shared::default(),
            mailboxes: Shared::default(),
            aliases: Shared::default(),
            held: Shared::default(),
            shares: Shared::default(),
            records: Vec::new(),
            shutdown_grace: spec.shutdown_grace.get(),
        })
    }

    /// The certificate of the Secret, or of the issuer as soon as there is one.
    fn certificate(&mut self, origin: &Origin, spec: &TlsSpec) -> Option<TlsMaterial> {
        if let Some(secret) = &spec.secret_ref {
            return self.tls_material(origin, "spec.tls.secretRef", secret);
        }
        spec.issuer_ref.as_ref()?;
        let name = issued_secret(&origin.name);
        let key = (origin.namespace.clone(), name.clone());
        let there = self.resources.secrets.contains_key(&key);
        there
            .then(|| self.tls_material(origin, "spec.tls.issuerRef", &SecretRef { name }))
            .flatten()
    }

    /// Times and sizes that nothing works with when they are zero.
    fn refuse_zeros(&mut self, cluster: &Located<MailCluster>) {
        let spec = &cluster.object.spec;
        let timeouts = &spec.outbound.timeouts;
        let times = [
            ("spec.dns.timeout", spec.dns.timeout),
            ("spec.smtp.idleTimeout", spec.smtp.idle_timeout),
            ("spec.smtp.sessionTimeout", spec.smtp.session_timeout),
            ("spec.imap.idleTimeout", spec.imap.idle_timeout),
            ("spec.auth.window", spec.auth.window),
            ("spec.filter.timeout", spec.filter.timeout),
            ("spec.outbound.retryInitial", spec.outbound.retry_initial),
            ("spec.outbound.maxAgeBounce", spec.outbound.max_age_bounce),
            ("spec.outbound.coolDown", spec.outbound.cool_down),
            ("spec.outbound.timeouts.connect", timeouts.connect),
            ("spec.outbound.timeouts.command", timeouts.command),
            ("spec.outbound.timeouts.dataInit", timeouts.data_init),
            ("spec.outbound.timeouts.dataBlock", timeouts.data_block),
            ("spec.outbound.timeouts.dataEnd", timeouts.data_end),
        ];
        let sizes = [
            ("spec.smtp.maxMessageSize", spec.smtp.max_message_size),
            ("spec.smtp.maxInFlightSize", spec.smtp.max_in_flight_size),
            ("spec.imap.maxAppendSize", spec.imap.max_append_size),
        ];
        let times = times.map(|(field, time)| (field, time.get().is_zero(), "1ms or more"));
        let sizes = sizes.map(|(field, size)| (field, size.0 == 0, "1 or more"));
        for (field, _, allowed) in times.into_iter().chain(sizes).filter(|(_, zero, _)| *zero) {
            let problem = cluster.origin.problem(field, "must not be zero");
            self.problems.push(problem.found(0).allowed(allowed));
        }
    }

    /// RFC 9051 §5.4: the inactivity timer after log-in is at least 30 minutes.
    fn refuse_short_idle(&mut self, cluster: &Located<MailCluster>) {
        let time = cluster.object.spec.imap.idle_timeout;
        if !time.get().is_zero() && time < MIN_IMAP_IDLE {
            let problem = cluster.origin.problem(
                "spec.imap.idleTimeout",
                "is shorter than IMAP allows (RFC 9051 §5.4)",
            );
            let allowed = format!("{MIN_IMAP_IDLE} or more");
            self.problems.push(problem.found(time).allowed(allowed));
        }
    }

    fn listeners(&mut self, origin: &Origin, specs: &[ListenerSpec]) -> Vec<Listener> {
        let mut listeners: Vec<Listener> = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            let address = SocketAddr::new(spec.address, spec.port);
            if let Some(other) = listeners.iter().find(|other| clash(other.address, address)) {
                let problem = origin.problem(
                    &format!("spec.listeners[{index}].port"),
                    format!("is taken by listener {}", other.name),
                );
                self.problems.push(problem.found(address));
            }
            let proxy_sources = spec
                .proxy_protocol
                .as_ref()
                .map(|proxy| proxy.sources.clone())
                .unwrap_or_default();
            listeners.push(Listener {
                name: spec.name.clone(),
                protocol: protocol(spec.protocol),
                address,
                proxy_sources,
            });
        }
        listeners
    }

    fn dns(&mut self, cluster: &Located<MailCluster>) -> DnsSettings {
        let spec = &cluster.object.spec.dns;
        let mut servers = Vec::new();
        for (index, text) in spec.servers.iter().enumerate() {
            match dns_server(text) {
                Some(address) => servers.push(address),
                None => {
                    let problem = cluster
                        .origin
                        .problem(&format!("spec.dns.servers[{index}]"), "is no address")
                        .found(text);
                    self.problems
                        .push(problem.allowed("an address such as 192.0.2.53 or 127.0.0.1:5353"));
                }
            }
        }
        DnsSettings {
            servers,
            timeout: spec.timeout.get(),
            attempts: spec.attempts.into(),
            ttl: std::time::Duration::from_secs(spec.ttl.into()),
        }
    }

    fn outbound(&mut self, cluster: &Located<MailCluster>) -> OutboundSettings {
        let spec = &cluster.object.spec.outbound;
        let smart_host = spec
            .smart_host
            .as_ref()
            .map(|hop| self.next_hop(&cluster.origin, "spec.outbound.smartHost", hop));
        let fallback_relay = self.fallback_relay(&cluster.origin, spec);
        let transports = self.transports(&cluster.origin, spec);
        for (field, shorter, longer, other) in [
            (
                "spec.outbound.retryMax",
                spec.retry_initial,
                spec.retry_max,
                "retryInitial",
            ),
            (
                "spec.outbound.maxAge",
                spec.retry_initial,
                spec.max_age,
                "retryInitial",
            ),
        ] {
            if shorter > longer {
                let problem = cluster
                    .origin
                    .problem(field, format!("is shorter than {other}"));
                self.problems
                    .push(problem.found(longer).allowed(format!("{shorter} or more")));
            }
        }
        if spec.fallback_after > spec.max_age {
            let problem = cluster.origin.problem(
                "spec.outbound.fallbackAfter",
                "is longer than maxAge, so that no message ever gets to fallbackRelay",
            );
            let (found, most) = (spec.fallback_after, spec.max_age);
            self.problems
                .push(problem.found(found).allowed(format!("{most} or less")));
        }
        self.check_destinations(&cluster.origin, &spec.tls);
        OutboundSettings {
            smart_host,
            fallback_relay,
            transports,
            providers: self.providers(&cluster.origin, spec),
            block_lists: self.block_lists(&cluster.origin, spec),
            suppression: self.suppression(&cluster.origin, spec),
            suspension: self.suspension(&cluster.origin, spec),
            complaints: spec.complaints.as_ref().map(|spec| spec.address.clone()),
            draining: self.draining(),
            ..outbound(spec)
        }
    }
}

impl Compiler<'_> {
    /// OutboundIPs that somebody has deleted, and whose finalizer keeps them for a while.
    fn draining(&self) -> BTreeSet<String> {
        let ips = self.resources.outbound_ips.iter();
        let leaving = ips.filter(|ip| ip.object.metadata.deletion_timestamp.is_some());
        leaving.map(|ip| ip.origin.name.clone()).collect()
    }

    /// Pools that rules name have addresses, and SRS addresses lead back here.
    pub(super) fn check_pools(&mut self, cluster: &Located<MailCluster>, plan: &Plan) {
        let pools: BTreeSet<&str> = plan.outbound_ips.values().map(|ip| &*ip.pool).collect();
        for (index, rule) in plan.outbound.pool_rules.iter().enumerate() {
            if !pools.contains(&*rule.pool) {
                let field = format!("spec.outbound.poolRules[{index}].pool");
                let problem = cluster
                    .origin
                    .problem(&field, "no OutboundIP is in the pool");
                self.missing(problem.found(&rule.pool));
            }
        }
        let domain = plan
            .outbound
            .srs
            .as_ref()
            .and_then(|srs| srs.domain.as_ref());
        if let Some(domain) = domain.filter(|domain| !plan.names.contains_key(*domain)) {
            let problem = cluster
                .origin
                .problem("spec.outbound.srs.domain", "is no domain of a MailDomain");
            self.missing(problem.found(domain));
        }
    }
}

/// Name of the Secret that an issuer puts the certificate of a MailCluster into.
#[must_use]
pub fn issued_secret(cluster: &str) -> String {
    format!("{cluster}-tls")
}

/// Whether two sockets cannot be listened on at once.
fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let any = |address: IpAddr| address.is_unspecified();
    one.port() == other.port()
        && one.port() != 0
        && (one.ip() == other.ip() || any(one.ip()) || any(other.ip()))
}

/// The DNS server that an address means: with or without a port, 53 when nothing is said.
#[must_use]
pub fn dns_server(text: &str) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| {
        text.parse()
            .ok()
            .map(|address: IpAddr| SocketAddr::new(address, 53))
    })
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

const fn protocol(protocol: ListenerProtocol) -> Protocol {
    match protocol {
        ListenerProtocol::Smtp => Protocol::Smtp,
        ListenerProtocol::Submission => Protocol::Submission,
        ListenerProtocol::Submissions => Protocol::Submissions,
        ListenerProtocol::Lmtp => Protocol::Lmtp,
        ListenerProtocol::Imap => Protocol::Imap,
        ListenerProtocol::Imaps => Protocol::Imaps,
        ListenerProtocol::Pop3 => Protocol::Pop3,
        ListenerProtocol::Pop3s => Protocol::Pop3s,
        ListenerProtocol::ManageSieve => Protocol::ManageSieve,
        ListenerProtocol::Http => Protocol::Http,
        ListenerProtocol::Https => Protocol::Https,
    }
}

fn smtp(spec: &SmtpSpec) -> SmtpSettings {
    SmtpSettings {
        max_message_octets: spec.max_message_size.0,
        max_recipients: count(spec.max_recipients),
        max_messages: count(spec.max_messages_per_session),
        max_commands: count(spec.max_commands_per_session),
        max_errors: count(spec.max_errors_per_session),
        max_text_line: count(spec.max_line_length),
        idle_timeout: spec.idle_timeout.get(),
        session_timeout: spec.session_timeout.get(),
        max_sessions: count(spec.max_sessions),
        max_sessions_per_client: count(spec.max_sessions_per_client),
        connections_per_minute: spec.connections_per_minute,
        messages_per_minute: spec.messages_per_minute,
        limit_exempt: spec.limit_exempt.clone(),
        max_received: count(spec.max_received_fields),
        bare_newline: match spec.bare_newline {
            BareNewlineMode::Reject => BareNewline::Reject,
            BareNewlineMode::Normalize => BareNewline::Normalize,
        },
        bare_newline_exempt: spec.bare_newline_exempt.clone(),
        over_quota: match spec.over_quota {
            OverQuotaMode::Defer => OverQuota::Defer,
            OverQuotaMode::Reject => OverQuota::Reject,
        },
        max_octets_in_flight: spec.max_in_flight_size.0,
    }
}

fn submission(spec: &SubmissionSpec) -> SubmissionSettings {
    SubmissionSettings {
        account: rate_limits(&spec.account_limits),
        domain: rate_limits(&spec.domain_limits),
        max_recipients: count(spec.max_recipients),
    }
}

pub(super) fn rate_limits(spec: &RateLimitsSpec) -> RateLimits {
    RateLimits {
        messages_per_hour: spec.messages_per_hour.map(u64::from),
        messages_per_day: spec.messages_per_day.map(u64::from),
        recipients_per_hour: spec.recipients_per_hour.map(u64::from),
        recipients_per_day: spec.recipients_per_day.map(u64::from),
    }
}

fn imap(spec: &ImapSpec) -> ImapSettings {
    ImapSettings {
        max_sessions: count(spec.max_sessions),
        max_sessions_per_account: count(spec.max_sessions_per_account),
        idle_timeout: spec.idle_timeout.get(),
        max_append_octets: spec.max_append_size.0,
        text_index: spec.text_index,
    }
}

fn auth(spec: &AuthSpec) -> AuthSettings {
    AuthSettings {
        failures_per_account: spec.failures_per_account,
        failures_per_client: spec.failures_per_client,
        window: spec.window.get(),
        ban: spec.ban.get(),
        exempt: spec.exempt.clone(),
    }
}

fn filter(spec: &FilterSpec) -> FilterSettings {
    FilterSettings {
        dkim_min_rsa_bits: spec.dkim_min_rsa_bits.into(),
        dkim_max_signatures: spec.dkim_max_signatures.into(),
        dmarc_honour: spec.dmarc == DmarcMode::Honour,
        arc_trusted_sealers: spec.arc_trusted_sealers.clone(),
        reverse_dns: match spec.reverse_dns {
            ReverseDnsMode::Record => ReverseDnsPolicy::Record,
            ReverseDnsMode::Junk => ReverseDnsPolicy::Junk,
            ReverseDnsMode::Reject => ReverseDnsPolicy::Reject,
        },
        timeout: spec.timeout.get(),
    }
}

fn pool_rule(spec: &PoolRuleSpec) -> PoolRule {
    PoolRule {
        class: spec.class.map(|class| match class {
            MailClass::Transactional => Class::Transactional,
            MailClass::Bulk => Class::Bulk,
            MailClass::Forwarded => Class::Forwarded,
            MailClass::Bounce => Class::Bounce,
        }),
        sender: spec.sender.clone(),
        pool: spec.pool.clone(),
    }
}

fn outbound(spec: &OutboundSpec) -> OutboundSettings {
    OutboundSettings {
        retry_initial: spec.retry_initial.get(),
        retry_max: spec.retry_max.get(),
        max_age: spec.max_age.get(),
        max_age_bounce: spec.max_age_bounce.get(),
        delay_warning: Some(spec.delay_warning.get()).filter(|wait| !wait.is_zero()),
        concurrency: count(spec.concurrency),
        concurrency_per_destination: count(spec.concurrency_per_destination),
        messages_per_connection: count(spec.messages_per_connection),
        smart_host: None,
        fallback_relay: None,
        fallback_after: spec.fallback_after.get(),
        transports: TransportRules::default(),
        private_exchangers: spec.private_exchangers.clone(),
        port: spec.port,
        postmaster: None,
        ip_family: match spec.ip_family {
            IpFamilyMode::Both => IpFamily::Both,
            IpFamilyMode::IPv4 => IpFamily::V4,
            IpFamilyMode::IPv6 => IpFamily::V6,
        },
        timeouts: OutboundTimeouts::from(&spec.timeouts),
        min_standby: spec.min_standby.into(),
        cool_down: spec.cool_down.get(),
        balance: match spec.balance {
            BalanceMode::RoundRobin => Balance::RoundRobin,
            BalanceMode::Weighted => Balance::Weighted,
            BalanceMode::Sticky => Balance::Sticky,
        },
        pool_rules: spec.pool_rules.iter().map(pool_rule).collect(),
        srs: spec.srs.as_ref().map(|srs| SrsSettings {
            domain: srs.domain.clone(),
        }),
        arc: spec.arc,
        tls: OutboundTls::from(&spec.tls),
        providers: Vec::new(),
        block_lists: None,
        suppression: None,
        suspension: None,
        complaints: None,
        draining: BTreeSet::new(),
    }
}

/// Settings of a cluster that says nothing: what a role pod takes for a field that its operator does not know yet.
macro_rules! defaults {
    ($($settings:ty = $from:ident($spec:ty);)+) => {
        $(impl Default for $settings {
            fn default() -> Self {
                $from(&<$spec>::default())
            }
        })+
    };
}

defaults! {
    SmtpSettings = smtp(SmtpSpec);
    ImapSettings = imap(ImapSpec);
    AuthSettings = auth(AuthSpec);
    FilterSettings = filter(FilterSpec);
    OutboundSettings = outbound(OutboundSpec);
}
