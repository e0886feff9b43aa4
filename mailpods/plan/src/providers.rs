//! Records of domains whose mail a well-known service runs, as each service documents them.

use mailpods_api::DomainName;
use mailpods_api::v1alpha1::{Provider, ProviderAccountSpec};

use crate::model::RecordData;

/// What a service asks of a domain's zone.
pub(crate) struct Service {
    /// Preference and host.
    mail_exchangers: Vec<(u16, String)>,
    /// The name whose SPF record lists the senders.
    pub spf_include: String,
    /// Selector, and the name that has the key.
    dkim: Vec<(&'static str, String)>,
    /// Label, port and host of what clients look for (RFC 6186, RFC 8314).
    services: Vec<(&'static str, u16, String)>,
    /// Label and host of what clients look for by name.
    aliases: Vec<(&'static str, &'static str)>,
}

/// The service of a domain; `None` for one that is served here. What needs an account name that is not there is left out.
pub(crate) fn service(
    provider: Provider,
    domain: &DomainName,
    account: &ProviderAccountSpec,
) -> Option<Service> {
    Some(match provider {
        Provider::Builtin => return None,
        Provider::Google => google(),
        Provider::Microsoft365 => microsoft(domain, account.name.as_deref()),
        Provider::Fastmail => fastmail(domain),
        Provider::Zoho => zoho(account.region.as_deref().unwrap_or("com")),
        Provider::Proton => proton(account.name.as_deref()),
        Provider::ICloud => icloud(domain),
    })
}

impl Service {
    /// Labels below the domain with their data, SPF apart.
    pub(crate) fn records(self) -> impl Iterator<Item = (String, RecordData)> {
        let exchangers = self.mail_exchangers.into_iter();
        let exchangers = exchangers.map(|(preference, exchange)| {
            let data = RecordData::Mx {
                preference,
                exchange,
            };
            (String::new(), data)
        });
        let keys = self.dkim.into_iter();
        let keys = keys.map(|(selector, target)| {
            (format!("{selector}._domainkey"), RecordData::Cname(target))
        });
        let services = self.services.into_iter().map(|(label, port, target)| {
            let data = RecordData::Srv {
                priority: 0,
                weight: 1,
                port,
                target,
            };
            (label.to_owned(), data)
        });
        let aliases = self.aliases.into_iter();
        let aliases =
            aliases.map(|(label, target)| (label.to_owned(), RecordData::Cname(target.to_owned())));
        exchangers.chain(keys).chain(services).chain(aliases)
    }
}

fn exchangers(hosts: &[(u16, &str)]) -> Vec<(u16, String)> {
    let hosts = hosts.iter();
    hosts
        .map(|(preference, host)| (*preference, (*host).to_owned()))
        .collect()
}

fn services<const N: usize>(
    services: [(&'static str, u16, &str); N],
) -> Vec<(&'static str, u16, String)> {
    let services = services.into_iter();
    services
        .map(|(label, port, host)| (label, port, host.to_owned()))
        .collect()
}

fn google() -> Service {
    Service {
        mail_exchangers: exchangers(&[(1, "smtp.google.com")]),
        spf_include: "_spf.google.com".to_owned(),
        dkim: Vec::new(),
        services: services([
            ("_imaps._tcp", 993, "imap.gmail.com"),
            ("_submissions._tcp", 465, "smtp.gmail.com"),
        ]),
        aliases: Vec::new(),
    }
}

fn microsoft(domain: &DomainName, tenant: Option<&str>) -> Service {
    let dashed = domain.as_str().replace('.', "-");
    let key = |selector: &'static str| {
        let target = format!("{selector}-{dashed}._domainkey.{}.onmicrosoft.com", tenant?);
        Some((selector, target))
    };
    Service {
        mail_exchangers: vec![(0, format!("{dashed}.mail.protection.outlook.com"))],
        spf_include: "spf.protection.outlook.com".to_owned(),
        dkim: ["selector1", "selector2"]
            .into_iter()
            .filter_map(key)
            .collect(),
        services: services([
            ("_imaps._tcp", 993, "outlook.office365.com"),
            ("_submission._tcp", 587, "smtp.office365.com"),
        ]),
        aliases: vec![("autodiscover", "autodiscover.outlook.com")],
    }
}

fn fastmail(domain: &DomainName) -> Service {
    let key = |selector| (selector, format!("{selector}.{domain}.dkim.fmhosted.com"));
    Service {
        mail_exchangers: exchangers(&[
            (10, "in1-smtp.messagingengine.com"),
            (20, "in2-smtp.messagingengine.com"),
        ]),
        spf_include: "spf.messagingengine.com".to_owned(),
        dkim: ["fm1", "fm2", "fm3"].map(key).into(),
        services: services([
            ("_imaps._tcp", 993, "imap.fastmail.com"),
            ("_pop3s._tcp", 995, "pop.fastmail.com"),
            ("_submissions._tcp", 465, "smtp.fastmail.com"),
        ]),
        aliases: Vec::new(),
    }
}

fn zoho(region: &str) -> Service {
    Service {
        mail_exchangers: vec![
            (10, format!("mx.zoho.{region}")),
            (20, format!("mx2.zoho.{region}")),
            (50, format!("mx3.zoho.{region}")),
        ],
        spf_include: format!("zohomail.{region}"),
        dkim: Vec::new(),
        // Those of accounts with a domain of their own.
        services: vec![
            ("_imaps._tcp", 993, format!("imappro.zoho.{region}")),
            ("_pop3s._tcp", 995, format!("poppro.zoho.{region}")),
            ("_submissions._tcp", 465, format!("smtppro.zoho.{region}")),
        ],
        aliases: Vec::new(),
    }
}

fn proton(token: Option<&str>) -> Service {
    let key = |selector: &'static str| {
        let target = format!("{selector}.domainkey.{}.domains.proton.ch", token?);
        Some((selector, target))
    };
    Service {
        mail_exchangers: exchangers(&[(10, "mail.protonmail.ch"), (20, "mailsec.protonmail.ch")]),
        spf_include: "_spf.protonmail.ch".to_owned(),
        dkim: ["protonmail", "protonmail2", "protonmail3"]
            .into_iter()
            .filter_map(key)
            .collect(),
        // Clients read through a program on their own machine.
        services: Vec::new(),
        aliases: Vec::new(),
    }
}

fn icloud(domain: &DomainName) -> Service {
    Service {
        mail_exchangers: exchangers(&[(10, "mx01.mail.icloud.com"), (10, "mx02.mail.icloud.com")]),
        spf_include: "icloud.com".to_owned(),
        dkim: vec![("sig1", format!("sig1.dkim.{domain}.at.icloudmailadmin.com"))],
        services: services([
            ("_imaps._tcp", 993, "imap.mail.me.com"),
            ("_submission._tcp", 587, "smtp.mail.me.com"),
        ]),
        aliases: Vec::new(),
    }
}
