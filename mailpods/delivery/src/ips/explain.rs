//! What would happen to mail for a domain now, and why.

mod ways;

use mailpods_api::DomainName;
use mailpods_net::TlsClient;
use mailpods_net::dns::Resolver;
use mailpods_net::tls::TlsConfigError;
use mailpods_plan::{OutboundIp, Plan};
use mailpods_policy::outbound::choose::{Class, Seats, pool, seats};
use mailpods_policy::outbound::life::{Life, Phase};
use mailpods_policy::outbound::provider::{ProfileError, Profiles};
use mailpods_policy::outbound::suspension::Suspension;
use mailpods_policy::outbound::tls::{Level, Why, Wish};
use mailpods_store::queue::Destination;
use mailpods_store::{SecretStore, StoreError};
use serde::Serialize;

pub use ways::{Fallback, TransportUsed};

use ways::{connections, fallback, hidden, named_by, refused, suspended, transport, way_name};

use super::choose::{member, ramp};
use super::{kept, sent};
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

/// An address as it is for one provider, or for all.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AddressState {
    /// Name of the OutboundIP.
    pub name: String,
    /// The address.
    pub address: std::net::IpAddr,
    /// The name that it says in HELO.
    pub hostname: String,
    /// Its pool.
    pub pool: String,
    /// Its phase.
    pub phase: Phase,
    /// Its phase for all other providers, where `phase` is that for some alone: those of `providers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_others: Option<Phase>,
    /// Why, in words.
    pub reason: String,
    /// What comes next, and when.
    pub next: String,
    /// Since when; milliseconds since 1970, as all times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// When the phase ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// The address that other servers see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<std::net::IpAddr>,
    /// Messages of the last 24 hours that a server took.
    pub sent: u64,
    /// Attempts of the last 24 hours that were refused for the address.
    pub refused: u64,
    /// Providers for which it is in another phase.
    pub providers: Vec<ProviderState>,
    /// All that is kept of it.
    pub life: Life,
}

/// An address as it is for a provider that had trouble with it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderState {
    /// Name of the provider.
    pub name: String,
    /// Hot or Cooling.
    pub phase: Phase,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: i64,
    /// When it ends by itself.
    pub until: i64,
    /// How often it was refused again after a rest.
    pub relapses: u32,
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
        waits: sources.absent().map(|trouble| trouble.text),
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
                trouble: Some(trouble.text),
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

/// The sources with their seats for the provider, IPv4 before IPv6.
async fn states(
    plan: &Plan,
    secrets: &dyn SecretStore,
    sources: &Sources,
    provider: &str,
    now: i64,
) -> Result<(Vec<AddressState>, bool), StoreError> {
    let (mut states, mut short) = (Vec::new(), false);
    for v4 in [true, false] {
        let mut lives = Vec::new();
        for ip in sources.of_family(v4) {
            lives.push((ip, life_of(ip, secrets, now).await?));
        }
        let members: Vec<_> = lives
            .iter()
            .map(|(ip, life)| member(plan, ip, Some(life), (provider, now)))
            .collect();
        let seats = seats(&members, plan.outbound.min_standby);
        short |= seats.short && !lives.is_empty();
        for (at, (ip, life)) in lives.into_iter().enumerate() {
            let mut state = state(ip, life, Some((provider, &seats, at)), now);
            (state.sent, state.refused) = sent::all(secrets, ip).await?.totals(now);
            states.push(state);
        }
    }
    Ok((states, short))
}

/// What is kept of an address, as far as it counts under its hostname.
async fn life_of(ip: &OutboundIp, secrets: &dyn SecretStore, now: i64) -> Result<Life, StoreError> {
    let mut life = kept::life(secrets, ip).await?.unwrap_or_default();
    life.rename(ip.hostname.as_str(), now);
    Ok(life)
}

impl AddressState {
    /// An address as it is by itself, whatever the provider.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn of(
        ip: &OutboundIp,
        secrets: &dyn SecretStore,
        now: i64,
    ) -> Result<Self, StoreError> {
        let life = life_of(ip, secrets, now).await?;
        let mut state = state(ip, life, None, now);
        (state.sent, state.refused) = sent::all(secrets, ip).await?.totals(now);
        Ok(state)
    }
}

fn state(
    ip: &OutboundIp,
    life: Life,
    seat: Option<(&str, &Seats, usize)>,
    now: i64,
) -> AddressState {
    let waits = seat.is_some_and(|(_, seats, at)| seats.standby.contains(&at));
    let phase = match seat {
        Some((provider, _, _)) => match life.phase(Some(provider), now) {
            Phase::Active | Phase::Cooling if waits => Phase::Standby,
            Phase::Active => fresh(ip, &life, now),
            phase => phase,
        },
        None => overall(ip, &life, now),
    };
    let provider = seat.map(|(provider, _, _)| provider);
    let until = until(ip, &life, provider, phase, now);
    let own = ip.address;
    let seen = life.seen.values().max_by_key(|seen| seen.at);
    AddressState {
        name: ip.name.clone(),
        address: ip.address,
        hostname: ip.hostname.to_string(),
        pool: ip.pool.clone(),
        reason: reason(&life, provider, phase),
        next: next(phase, &life).to_owned(),
        since: life.changed.or(life.activated),
        until,
        observed: match life.is_confirmed(own) {
            true => Some(own),
            false => seen.map(|seen| seen.address),
        },
        sent: 0,
        refused: 0,
        for_others: (seat.is_none() && matches!(phase, Phase::Hot | Phase::Cooling))
            .then(|| for_others(ip, &life, now))
            .filter(|others| *others != phase),
        providers: providers(&life, now),
        phase,
        life,
    }
}

/// The providers that had trouble with an address, and for which that is not over.
fn providers(life: &Life, now: i64) -> Vec<ProviderState> {
    let heat = life.heat.iter().filter(|(_, heat)| heat.until > now);
    heat.map(|(name, heat)| ProviderState {
        name: name.clone(),
        phase: if heat.resting {
            Phase::Hot
        } else {
            Phase::Cooling
        },
        reason: format!("{} {}", heat.cause.as_str(), heat.reply)
            .trim_end()
            .to_owned(),
        since: heat.since,
        until: heat.until,
        relapses: heat.level.into(),
    })
    .collect()
}

/// When a phase ends by itself.
fn until(
    ip: &OutboundIp,
    life: &Life,
    provider: Option<&str>,
    phase: Phase,
    now: i64,
) -> Option<i64> {
    let heat = life.heat.iter().filter(|(name, heat)| {
        heat.until > now && provider.is_none_or(|provider| provider == *name)
    });
    match phase {
        Phase::Hot | Phase::Cooling => {
            let own = life.rested_until.filter(|until| *until > now);
            own.max(heat.map(|(_, heat)| heat.until).max())
        }
        Phase::Warming => {
            let ramp = ramp(ip)?;
            let length = i64::try_from(ramp.duration.as_millis()).ok()?;
            life.activated.map(|started| started.saturating_add(length))
        }
        Phase::Pending | Phase::Active | Phase::Standby => None,
    }
}

/// What comes next.
fn next(phase: Phase, life: &Life) -> &'static str {
    match phase {
        Phase::Pending if life.gate.is_empty() => "it is checked when the server looks at it",
        Phase::Pending => "checked again every half minute; sends when nothing fails",
        Phase::Warming => "sends more each day",
        Phase::Hot if life.listed.values().any(|listing| listing.rests) && !life.forced => {
            "rests until no block list names it"
        }
        Phase::Hot => "rests, then sends on probation",
        Phase::Cooling => "sends; refusals let it rest twice as long",
        Phase::Active => "sends",
        Phase::Standby if life.drained => "sends again after `mailpods ip activate`",
        Phase::Standby => "takes over when another one rests",
    }
}

/// The phase of an address whatever the provider: trouble with one counts.
pub(super) fn overall(ip: &OutboundIp, life: &Life, now: i64) -> Phase {
    let heat = || life.heat.values().filter(|heat| heat.until > now);
    match life.phase(None, now) {
        Phase::Active if heat().any(|heat| heat.resting) => Phase::Hot,
        Phase::Active if heat().next().is_some() => Phase::Cooling,
        _ => for_others(ip, life, now),
    }
}

/// The phase of an address for providers that have no trouble with it.
fn for_others(ip: &OutboundIp, life: &Life, now: i64) -> Phase {
    match life.phase(None, now) {
        Phase::Active if !ip.sending => Phase::Standby,
        Phase::Active => fresh(ip, life, now),
        phase => phase,
    }
}

fn fresh(ip: &OutboundIp, life: &Life, now: i64) -> Phase {
    let warming = ramp(ip)
        .zip(life.activated)
        .is_some_and(|(ramp, started)| ramp.is_warming(started, now));
    if warming {
        Phase::Warming
    } else {
        Phase::Active
    }
}

fn reason(life: &Life, provider: Option<&str>, phase: Phase) -> String {
    use mailpods_policy::outbound::life::Finding;
    let failed = life
        .gate
        .iter()
        .filter_map(|(check, finding)| match finding {
            Finding::Passed => None,
            Finding::Failed(text) | Finding::Unknown(text) => {
                Some(format!("{}: {text}", check.as_str()))
            }
        });
    match phase {
        Phase::Pending if life.gate.is_empty() => "not looked at yet".to_owned(),
        Phase::Pending => failed.collect::<Vec<_>>().join("; "),
        Phase::Hot if life.listed.values().any(|listing| listing.rests) => life
            .listed
            .iter()
            .map(|(zone, listing)| format!("listed: {zone} {}", listing.answer))
            .collect::<Vec<_>>()
            .join("; "),
        Phase::Hot | Phase::Cooling if life.rested_until.is_none() => life
            .heat
            .iter()
            .filter(|(name, _)| provider.is_none_or(|provider| provider == *name))
            .map(|(name, heat)| {
                format!("{name}: {} {}", heat.cause.as_str(), heat.reply)
                    .trim_end()
                    .to_owned()
            })
            .collect::<Vec<_>>()
            .join("; "),
        Phase::Hot => "rested-by-operator".to_owned(),
        Phase::Standby if life.drained => "drained-by-operator".to_owned(),
        Phase::Standby => "kept back".to_owned(),
        Phase::Warming => "slow start".to_owned(),
        Phase::Cooling | Phase::Active => String::new(),
    }
}
