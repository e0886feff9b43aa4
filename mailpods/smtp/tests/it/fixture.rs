//! A plan: example.test (also alias.test) with alice, bob, carol (disabled) and dave (full); relayed.test goes to a host.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use mailpods_api::{DomainName, MailboxAddress};
use mailpods_plan::*;

pub fn address(text: &str) -> MailboxAddress {
    MailboxAddress::parse(text).unwrap()
}

fn name(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

pub fn plan() -> Plan {
    let domain = Arc::new(domain(
        "example.test",
        &["alias.test"],
        Transport::Mailboxes,
    ));
    let hop = NextHop {
        host: "inner.test".into(),
        port: 25,
        tls: HopTls::None,
        lmtp: false,
        auth: None,
    };
    let relayed = Arc::new(domain_relayed(hop));
    let mut mailboxes: Vec<Mailbox> = ["alice", "bob", "carol", "dave"]
        .iter()
        .map(|local| mailbox(&format!("{local}@example.test")))
        .collect();
    mailboxes[0].send_as = vec![address("sales@example.test")];
    mailboxes[2].enabled = false;
    mailboxes[3].quota.octets = Some(0);
    Plan {
        digest: "digest".into(),
        cluster: "test".into(),
        hostname: name("mx.example.test"),
        listeners: Vec::new(),
        tls: TlsSettings::default(),
        dns: DnsSettings::default(),
        smtp: smtp(),
        submission: SubmissionSettings {
            max_recipients: 10,
            ..SubmissionSettings::default()
        },
        imap: ImapSettings {
            max_sessions: 0,
            max_sessions_per_account: 0,
            idle_timeout: Duration::ZERO,
            max_append_octets: 0,
            text_index: true,
        },
        auth: auth(),
        filter: filter(),
        outbound: outbound(),
        outbound_ips: Shared::default(),
        domains: BTreeMap::from([
            (domain.name.clone(), domain.clone()),
            (relayed.name.clone(), relayed.clone()),
        ])
        .into(),
        names: HashMap::from([
            (name("example.test"), domain.clone()),
            (name("alias.test"), domain),
            (name("relayed.test"), relayed),
        ])
        .into(),
        mailboxes: mailboxes
            .into_iter()
            .map(|mailbox| (mailbox.address.clone(), Arc::new(mailbox)))
            .collect(),
        aliases: HashMap::from([
            (
                address("sales@example.test"),
                vec![address("alice@example.test"), address("out@elsewhere.test")],
            ),
            (
                address("round@example.test"),
                vec![address("again@example.test")],
            ),
            (
                address("again@example.test"),
                vec![address("round@example.test")],
            ),
            (
                address("all@example.test"),
                vec![address("alice@example.test"), address("erin@example.test")],
            ),
            (
                address("nowhere@example.test"),
                vec![address("slip-of-the-pen@example.test")],
            ),
        ])
        .into(),
        held: Held {
            domains: [name("held.test")].into(),
            addresses: [address("erin@example.test")].into(),
        }
        .into(),
        shares: Default::default(),
        records: Vec::new(),
        mailbox_defaults: Default::default(),
        sieve: Default::default(),
        shutdown_grace: Duration::ZERO,
    }
}

fn domain(primary: &str, aliases: &[&str], transport: Transport) -> Domain {
    Domain {
        name: name(primary),
        alias_names: aliases.iter().map(|alias| name(alias)).collect(),
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

fn domain_relayed(hop: NextHop) -> Domain {
    domain("relayed.test", &[], Transport::Relay(hop))
}

fn mailbox(text: &str) -> Mailbox {
    Mailbox {
        address: address(text),
        enabled: true,
        credential: Some(Credential {
            kind: CredentialKind::Password,
            value: SecretText::new("quickstart".into()),
        }),
        quota: Default::default(),
        folders: Vec::new(),
        send_as: Vec::new(),
        sieve: None,
    }
}

fn smtp() -> SmtpSettings {
    SmtpSettings {
        max_message_octets: 100_000,
        max_recipients: 10,
        max_messages: 50,
        max_commands: 200,
        max_errors: 20,
        max_text_line: 8192,
        idle_timeout: Duration::from_secs(60),
        session_timeout: Duration::from_secs(600),
        max_sessions: 100,
        max_sessions_per_client: 50,
        connections_per_minute: 1000,
        messages_per_minute: 1000,
        limit_exempt: Vec::new(),
        max_received: 5,
        bare_newline: BareNewline::Reject,
        bare_newline_exempt: Vec::new(),
        over_quota: OverQuota::Defer,
        max_octets_in_flight: 1_000_000,
    }
}

fn auth() -> AuthSettings {
    AuthSettings {
        failures_per_account: 10,
        failures_per_client: 50,
        window: Duration::from_secs(600),
        ban: Duration::from_secs(600),
        exempt: Vec::new(),
    }
}

fn filter() -> FilterSettings {
    FilterSettings {
        dkim_min_rsa_bits: 1024,
        dkim_max_signatures: 5,
        dmarc_honour: true,
        arc_trusted_sealers: Vec::new(),
        reverse_dns: ReverseDnsPolicy::Record,
        timeout: Duration::from_secs(10),
    }
}

fn outbound() -> OutboundSettings {
    OutboundSettings {
        retry_initial: Duration::from_secs(60),
        retry_max: Duration::from_secs(3600),
        max_age: Duration::from_secs(432_000),
        max_age_bounce: Duration::from_secs(432_000),
        delay_warning: None,
        concurrency: 1,
        concurrency_per_destination: 1,
        messages_per_connection: 1,
        smart_host: None,
        port: 25,
        postmaster: Some(address("alice@example.test")),
        ip_family: IpFamily::Both,
        timeouts: OutboundTimeouts::default(),
        ..OutboundSettings::default()
    }
}
