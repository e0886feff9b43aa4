//! What would happen to mail for a domain now, and why.

mod state;
mod ways;

use mailpods_api::DomainName;
use mailpods_net::TlsClient;
use mailpods_net::dns::Resolver;
use mailpods_net::tls::TlsConfigError;
use mailpods_plan::Plan;
use mailpods_policy::outbound::choose::{Class, pool};
use mailpods_policy::outbound::provider::{ProfileError, Profiles};
use mailpods_policy::outbound::suspension::Suspension;
use mailpods_policy::outbound::tls::{Level, Why, Wish};
use mailpods_store::queue::Destination;
use mailpods_store::{SecretStore, StoreError};
use serde::Serialize;

pub use state::{AddressState, ProviderState};
pub use ways::{Fallback, TransportUsed};

use ways::{connections, fallback, hidden, named_by, refused, suspended, transport, way_name};

pub(super) use state::{fresh, overall, waiting};

use state::states;

use crate::outbound::mx;
use crate::outbound::protection::policies::{Means, Policies};
use crate::outbound::protection::{Bar, Protection, Question};
use crate::outbound::route::{Sources, Way, way};

/// What would happen to mail for a domain.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The domain.
    pub domain: String,
    /// `local`, `relay`, `transport`, `smart-host`, `mx`, `held` or `nowhere`.
    pub way: &'static str,
    /// The rule of `spec.outbound.transports` that counts for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<TransportUsed>,
    /// The relay that takes what the servers do not take for now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
    /// The servers, in the order in which they are tried.
    pub hosts: Vec<String>,
    /// Why there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Stable name of the provider.
    pub provider: String,
    /// Its name for people.
    pub title: String,
    /// Its place in `spec.outbound.providers`, where the settings speak of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<usize>,
    /// Connections at once, at most.
    pub connections: usize,
    /// Messages on one connection, at most.
    pub messages_per_connection: usize,
    /// How connections to each server are protected.
    pub tls: Vec<ProtectedHost>,
    /// The pool that a rule names; `None`: what the sender's domain names, or all.
    pub pool: Option<String>,
    /// What names the pool or the addresses, in words; `None`: nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_by: Option<String>,
    /// The suspension of the sender's account: its mail is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspended: Option<Suspension>,
    /// The addresses that such mail may leave from; empty: the system chooses, unless it waits.
    pub addresses: Vec<AddressState>,
    /// Addresses that the SPF record of the sender's domain does not show, in words: such mail does not leave from them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hidden: Vec<String>,
    /// Why such mail waits: it has addresses of its own, and none of them is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
    /// Fewer addresses are on standby than are wanted.
    pub short: bool,
}

/// How connections to a server are protected.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProtectedHost {
    /// The server.
    pub host: String,
    /// The protection; `None`: the server is not used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<&'static str>,
    /// Why.
    pub why: String,
    /// More than opportunistic TLS is asked for.
    #[serde(skip)]
    pub asked: bool,
}

/// Why nothing can be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The store failed.
    #[error("failed to read the state of the outbound addresses")]
    Store(#[from] StoreError),
    /// What is known of providers cannot be read.
    #[error(transparent)]
    Profiles(#[from] ProfileError),
    /// TLS cannot be set up.
    #[error("failed to set up TLS")]
    Tls(#[from] TlsConfigError),
    /// Mail can go to no such name.
    #[error(
        "{0:?} is not a domain name (wanted: labels of letters, digits and hyphens with dots between, such as example.org, or an address in brackets, such as [192.0.2.1])"
    )]
    NotADomain(String),
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Domain of the recipients.
    pub domain: &'a str,
    /// Envelope sender; empty for notifications.
    pub sender: &'a str,
    /// What kind of mail it is; by the sender where it is left out.
    pub class: Option<Class>,
}

impl<'a> From<(&'a str, &'a str)> for Asked<'a> {
    fn from((domain, sender): (&'a str, &'a str)) -> Self {
        Self {
            domain,
            sender,
            class: None,
        }
    }
}

/// Explains what mail from `sender` for `domain` would meet now, `now` in milliseconds since 1970.
///
/// # Errors
/// When the state of the addresses cannot be read.
pub async fn explain(
    plan: &Plan,
    resolver: &dyn Resolver,
    secrets: &dyn SecretStore,
    asked: impl Into<Asked<'_>>,
    now: i64,
) -> Result<Explanation, ExplainError> {
    let Asked {
        domain,
        sender,
        class,
    } = asked.into();
    let profiles = Profiles::shipped()?.with(&plan.outbound.providers)?;
    let destination = Destination(domain.to_ascii_lowercase().into());
    let way = way(plan, &destination);
    if matches!(way, Way::Nowhere) {
        return Err(ExplainError::NotADomain(domain.to_owned()));
    }
    let Servers {
        hosts,
        trouble,
        tls,
    } = servers(plan, resolver, secrets, &way, now).await?;
    let provider = profiles
        .of_mx(hosts.iter().map(String::as_str))
        .unwrap_or_default();
    let profile = profiles.profile(&provider);
    let class = class.unwrap_or(match sender {
        "" => Class::Bounce,
        _ => Class::Transactional,
    });
    let sources = match &way {
        Way::Mx(_) | Way::Literal(_) => Sources::of(plan, sender, class),
        Way::Hop {
            from_pool: true, ..
        } => Sources::of(plan, sender, class),
        _ => Sources::any(),
    };
    let refused = refused(plan, resolver, (&way, &hosts), &sources).await;
    let transport = transport(plan, domain);
    let (addresses, short) = states(plan, secrets, &sources, &provider, now).await?;
    let hidden = hidden(plan, resolver, &sources, &addresses, sender).await;
    Ok(Explanation {
        domain: domain.to_owned(),
        way: way_name(&way, transport.as_ref()),
        fallback: fallback(plan, &way, transport.as_ref(), &tls),
        connections: connections(plan, profile.connections, transport.as_ref()),
        transport,
        trouble: refused.or(trouble),
        messages_per_connection: profile
            .messages_per_connection
            .min(plan.outbound.messages_per_connection),
        tls,
        pool: pool(&plan.outbound.pool_rules, sender, class).map(str::to_owned),
        pool_by: named_by(plan, sender, class),
        suspended: suspended(plan, secrets, sender, now).await?,
        title: profile.title.clone(),
        settings: profile.place,
        hosts,
        provider,
        addresses,
        hidden,
        waits: sources.absent().map(|trouble| trouble.full().into_owned()),
        short,
    })
}

/// Where mail goes, and how it is protected on the way.
#[derive(Default)]
struct Servers {
    hosts: Vec<String>,
    trouble: Option<String>,
    tls: Vec<ProtectedHost>,
}

async fn servers(
    plan: &Plan,
    resolver: &dyn Resolver,
    secrets: &dyn SecretStore,
    way: &Way,
    now: i64,
) -> Result<Servers, ExplainError> {
    let one = |host: String, protection: Protection| Servers {
        tls: vec![protected(&host, Ok(protection))],
        hosts: vec![host],
        trouble: None,
    };
    match way {
        Way::Mx(domain) => exchangers(plan, resolver, secrets, domain, now).await,
        Way::Hop { hop, .. } => Ok(one(hop.host.clone(), Protection::of_hop(hop, Wish::Usual))),
        Way::Literal(address) => {
            let protection = Protection::new(Level::Opportunistic, Why::Default);
            Ok(one(address.to_string(), protection))
        }
        Way::Held => Ok(Servers {
            trouble: Some("its MailDomain has a problem".to_owned()),
            ..Servers::default()
        }),
        Way::Local | Way::Nowhere => Ok(Servers::default()),
    }
}

async fn exchangers(
    plan: &Plan,
    resolver: &dyn Resolver,
    secrets: &dyn SecretStore,
    domain: &DomainName,
    now: i64,
) -> Result<Servers, ExplainError> {
    let question = Question {
        plan,
        resolver,
        domain,
        wish: Wish::Usual,
    };
    let (answer, vouched) = question.exchangers().await;
    let hosts = match mx::rank(domain, answer, &crate::outbound::OwnNames(plan), 0) {
        Ok(hosts) => hosts,
        Err(trouble) => {
            return Ok(Servers {
                trouble: Some(trouble.full().into_owned()),
                ..Servers::default()
            });
        }
    };
    let means = Means {
        resolver,
        secrets,
        tls: &TlsClient::verified(&[])?,
        port: 443,
        now,
    };
    let policies = Policies::default();
    let published = question.published(&policies, &means, vouched).await?;
    let mut tls = Vec::new();
    for host in &hosts {
        let port = plan.outbound.port;
        tls.push(protected(
            host,
            published.protection(resolver, host, port).await,
        ));
    }
    let unfetched = published
        .unfetched
        .map(|(_, text)| format!("no MTA-STS policy: {text}"));
    Ok(Servers {
        hosts,
        trouble: unfetched,
        tls,
    })
}

fn protected(host: &str, protection: Result<Protection, Bar>) -> ProtectedHost {
    let mut asked = true;
    let (level, why) = match protection {
        Ok(protection) => {
            asked = protection.decision.level > Level::Opportunistic;
            let level = match protection.implicit {
                true => "verified, TLS from the first octet",
                false => protection.decision.level.as_str(),
            };
            (Some(level), protection.decision.why.words().to_owned())
        }
        Err(bar) => (None, bar.text),
    };
    ProtectedHost {
        host: host.to_owned(),
        level,
        why,
        asked,
    }
}
