//! A small plan: example.test with alice, bob and postmaster.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use mailpods_api::{DomainName, MailboxAddress};
use mailpods_plan::*;

/// A unit from a sender.
pub(crate) fn unit(sender: &str) -> mailpods_store::queue::LeasedUnit {
    use mailpods_store::queue::{
        BodyType, Destination, Envelope, Lease, LeasedUnit, Origin, QueuedMessage,
    };
    let envelope = Envelope {
        sender: sender.to_owned(),
        ret: None,
        envid: None,
        smtputf8: false,
        tls: Default::default(),
        body_type: BodyType::SevenBit,
    };
    let message = QueuedMessage {
        id: mailpods_api::QueueId::from_parts(0, 1),
        body: mailpods_store::BodyId(1),
        size: 0,
        envelope,
        origin: Origin::Inbound,
        junk: false,
        created: 0,
    };
    LeasedUnit {
        lease: Lease {
            unit: mailpods_store::UnitId(1),
            token: 1,
        },
        message: Arc::new(message),
        destination: Destination("remote.test".into()),
        recipients: Vec::new(),
        attempts: 0,
        warned: false,
        bounce: false,
        urgent: false,
    }
}

pub(crate) fn address(text: &str) -> MailboxAddress {
    MailboxAddress::parse(text).unwrap()
}

pub(crate) fn name(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

/// The plan; mail to others goes to `port` of their MX.
pub(crate) fn plan(port: u16) -> Plan {
    let domain = Arc::new(domain("example.test", Transport::Mailboxes));
    let mut plan = Plan {
        digest: "1".to_owned(),
        cluster: "test".to_owned(),
        hostname: name("mx.example.test"),
        listeners: Vec::new(),
        tls: TlsSettings::default(),
        dns: DnsSettings::default(),
        smtp: smtp(),
        submission: SubmissionSettings::default(),
        imap: imap(),
        auth: auth(),
        filter: filter(),
        outbound: outbound(port),
        outbound_ips: Shared::default(),
        domains: BTreeMap::from([(domain.name.clone(), domain.clone())]).into(),
        names: HashMap::from([
            (name("example.test"), domain.clone()),
            (name("alias.test"), domain),
        ])
        .into(),
        mailboxes: Shared::default(),
        aliases: HashMap::from([
            (
                address("info@example.test"),
                vec![address("alice@example.test")],
            ),
            (
                address("team@example.test"),
                vec![
                    address("alice@example.test"),
                    address("bob@example.test"),
                    address("carol@remote.test"),
                ],
            ),
            (
                address("away@example.test"),
                vec![address("carol@remote.test")],
            ),
            (
                address("loop@example.test"),
                vec![address("pool@example.test")],
            ),
            (
                address("pool@example.test"),
                vec![address("loop@example.test")],
            ),
        ])
        .into(),
        held: Shared::default(),
        shares: Shared::default(),
        records: Vec::new(),
        mailbox_defaults: Default::default(),
        sieve: Default::default(),
        shutdown_grace: Duration::ZERO,
    };
    for account in [
        "alice@example.test",
        "bob@example.test",
        "postmaster@example.test",
    ] {
        with_mailbox(&mut plan, account, true, None);
    }
    with_mailbox(&mut plan, "gone@example.test", false, None);
    plan
}

/// Adds or replaces a mailbox with at most so many messages.
pub(crate) fn with_mailbox(
    plan: &mut Plan,
    account: &str,
    enabled: bool,
    quota_messages: Option<u64>,
) {
    let mailbox = Mailbox {
        address: address(account),
        enabled,
        credential: None,
        quota: QuotaRules {
            messages: quota_messages,
            ..QuotaRules::default()
        },
        folders: Vec::new(),
        send_as: Vec::new(),
        sieve: None,
    };
    plan.mailboxes
        .insert(mailbox.address.clone(), Arc::new(mailbox));
}

/// Adds a domain whose mail goes to `hop`.
pub(crate) fn relay(plan: &mut Plan, domain_name: &str, hop: NextHop) {
    let domain = Arc::new(domain(domain_name, Transport::Relay(hop)));
    plan.domains.insert(domain.name.clone(), domain.clone());
    plan.names.insert(domain.name.clone(), domain);
}

/// An OutboundIP that this machine has, or has not.
pub(crate) fn outbound_ip(name_of: &str, address: &str) -> OutboundIp {
    OutboundIp {
        name: name_of.to_owned(),
        address: address.parse().unwrap(),
        hostname: name(&format!("{name_of}.example.test")),
        sending: true,
        pool: "default".to_owned(),
        weight: 1,
        warm_up: None,
        attachment: Attachment::Host,
    }
}

/// Has mail of a domain leave from OutboundIPs of these names.
pub(crate) fn with_addresses(plan: &mut Plan, domain_name: &str, names: &[&str]) {
    let old = plan.names[&name(domain_name)].clone();
    let domain = Arc::new(Domain {
        outbound_ips: names.iter().map(|name| (*name).to_owned()).collect(),
        ..(*old).clone()
    });
    plan.domains.insert(domain.name.clone(), domain.clone());
    plan.names.insert(domain.name.clone(), domain);
}

fn domain(domain_name: &str, transport: Transport) -> Domain {
    Domain {
        name: name(domain_name),
        alias_names: Vec::new(),
        transport,
        detail_separators: vec!['+'],
        detail_folders: false,
        quota: Default::default(),
        defaults: Default::default(),
        catch_all: None,
        dkim: Vec::new(),
        outbound_ips: Vec::new(),
        limits: None,
        sieve: Default::default(),
        mta_sts: None,
    }
}

fn outbound(port: u16) -> OutboundSettings {
    OutboundSettings {
        retry_initial: Duration::from_secs(300),
        retry_max: Duration::from_secs(3600),
        max_age: Duration::from_secs(5 * 86_400),
        max_age_bounce: Duration::from_secs(86_400),
        delay_warning: Some(Duration::from_secs(4 * 3600)),
        concurrency: 20,
        concurrency_per_destination: 1,
        messages_per_connection: 100,
        smart_host: None,
        port,
        postmaster: Some(address("postmaster@example.test")),
        ip_family: IpFamily::V4,
        timeouts: OutboundTimeouts::default(),
        ..OutboundSettings::default()
    }
}

fn auth() -> AuthSettings {
    AuthSettings {
        failures_per_account: 10,
        failures_per_client: 5,
        window: Duration::from_secs(600),
        ban: Duration::from_secs(3600),
        exempt: Vec::new(),
    }
}

fn smtp() -> SmtpSettings {
    SmtpSettings {
        max_message_octets: 0,
        max_recipients: 0,
        max_messages: 0,
        max_commands: 0,
        max_errors: 0,
        max_text_line: 0,
        idle_timeout: Duration::ZERO,
        session_timeout: Duration::ZERO,
        max_sessions: 0,
        max_sessions_per_client: 0,
        connections_per_minute: 0,
        messages_per_minute: 0,
        limit_exempt: Vec::new(),
        max_received: 0,
        bare_newline: BareNewline::Reject,
        bare_newline_exempt: Vec::new(),
        over_quota: OverQuota::Defer,
        max_octets_in_flight: 0,
    }
}

fn imap() -> ImapSettings {
    ImapSettings {
        max_sessions: 0,
        max_sessions_per_account: 0,
        idle_timeout: Duration::ZERO,
        max_append_octets: 0,
        text_index: true,
    }
}

fn filter() -> FilterSettings {
    FilterSettings {
        dkim_min_rsa_bits: 0,
        dkim_max_signatures: 0,
        dmarc_honour: true,
        arc_trusted_sealers: Vec::new(),
        reverse_dns: ReverseDnsPolicy::Record,
        timeout: Duration::ZERO,
    }
}
