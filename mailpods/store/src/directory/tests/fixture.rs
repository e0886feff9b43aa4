//! A small plan: alice has a password, bob a hash, carol is switched off, info is an alias.
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use mailpods_api::{DomainName, IpNet, MailboxAddress};
use mailpods_plan::*;

pub const ALICE: &str = "alice@example.test";
pub const BOB: &str = "bob@example.test";
pub const CAROL: &str = "carol@example.test";

/// SHA-256-crypt of "correct horse".
const BOB_HASH: &str = "$5$saltstring$vc6YOOogU4kWVvwga8e9zTFgKcy4tb5LaPxIiPJzqEC";

pub fn plan() -> Plan {
    let domain = Arc::new(domain());
    let mailboxes = [
        mailbox(ALICE, true, CredentialKind::Password, "quickstart"),
        mailbox(BOB, true, CredentialKind::Hash, BOB_HASH),
        mailbox(CAROL, false, CredentialKind::Password, "quickstart"),
    ];
    Plan {
        digest: "digest".to_owned(),
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
        outbound: outbound(),
        outbound_ips: Shared::default(),
        domains: BTreeMap::from([(domain.name.clone(), domain.clone())]).into(),
        names: HashMap::from([
            (name("example.test"), domain.clone()),
            (name("alias.test"), domain),
        ])
        .into(),
        mailboxes: mailboxes
            .into_iter()
            .map(|mailbox| (mailbox.address.clone(), Arc::new(mailbox)))
            .collect(),
        aliases: HashMap::from([(address("info@example.test"), vec![address(ALICE)])]).into(),
        held: Shared::default(),
        shares: Shared::default(),
        records: Vec::new(),
        mailbox_defaults: Default::default(),
        sieve: Default::default(),
        shutdown_grace: Duration::ZERO,
    }
}

pub fn set_credential(plan: &mut Plan, account: &str, kind: CredentialKind, value: &str) {
    let changed = mailbox(account, true, kind, value);
    plan.mailboxes
        .insert(changed.address.clone(), Arc::new(changed));
}

pub(super) fn address(text: &str) -> MailboxAddress {
    MailboxAddress::parse(text).unwrap()
}

fn name(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

fn mailbox(account: &str, enabled: bool, kind: CredentialKind, value: &str) -> Mailbox {
    Mailbox {
        address: address(account),
        enabled,
        credential: Some(Credential {
            kind,
            value: SecretText::new(value.to_owned()),
        }),
        quota: Default::default(),
        folders: Vec::new(),
        send_as: Vec::new(),
        sieve: None,
    }
}

fn domain() -> Domain {
    Domain {
        name: name("example.test"),
        alias_names: vec![name("alias.test")],
        transport: Transport::Mailboxes,
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

fn auth() -> AuthSettings {
    AuthSettings {
        failures_per_account: 10,
        failures_per_client: 5,
        window: Duration::from_secs(600),
        ban: Duration::from_secs(3600),
        exempt: vec!["10.0.0.0/8".parse::<IpNet>().unwrap()],
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

fn outbound() -> OutboundSettings {
    OutboundSettings {
        retry_initial: Duration::ZERO,
        retry_max: Duration::ZERO,
        max_age: Duration::ZERO,
        max_age_bounce: Duration::ZERO,
        delay_warning: None,
        concurrency: 0,
        concurrency_per_destination: 0,
        messages_per_connection: 0,
        smart_host: None,
        port: 25,
        postmaster: None,
        ip_family: IpFamily::Both,
        timeouts: OutboundTimeouts::default(),
        ..OutboundSettings::default()
    }
}
