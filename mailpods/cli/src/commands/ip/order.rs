//! What an operator wants of addresses.
use std::net::IpAddr;
use std::time::Duration;

use mailpods_api::DomainName;
use mailpods_delivery::ips::kept;
use mailpods_plan::OutboundIp;
use mailpods_policy::outbound::life::{Check, Finding, Order};
use mailpods_policy::outbound::provider::Profiles;
use mailpods_store::Store;

use super::Several;
use crate::args::Globals;
use crate::failure::{Exit, Failure, Outcome};
use crate::output;
use crate::plans::Addresses;
use crate::session::failed;
use crate::time;

/// As long as a time may be in the settings.
const TEN_YEARS: Duration = Duration::from_secs(3_660 * 86_400);

#[derive(Debug, clap::Args)]
pub struct Rest {
    #[command(flatten)]
    named: Several,
    /// For mail to this provider alone (`mailpods route DOMAIN` tells its name).
    #[arg(long, value_name = "PROVIDER")]
    provider: Option<String>,
    /// How long: a second to ten years.
    #[arg(long = "for", value_parser = parse_rest, default_value = "1h", value_name = "SPAN")]
    span: Duration,
}

#[derive(Debug, clap::Args)]
pub struct Activate {
    #[command(flatten)]
    named: Several,
    /// End the rest for this provider alone; nothing else changes.
    #[arg(long, value_name = "PROVIDER")]
    provider: Option<String>,
}

fn parse_rest(text: &str) -> Result<Duration, String> {
    let span = time::parse_span(text)?;
    match span.is_zero() || span > TEN_YEARS {
        true => Err(format!(
            "{text:?} is no rest: from 1s to ten years (3660d) are possible"
        )),
        false => Ok(span),
    }
}

impl Rest {
    pub fn run(self, globals: &Globals) -> Outcome {
        let span = i64::try_from(self.span.as_millis()).unwrap_or(i64::MAX);
        let order = Order::Rest {
            provider: self.provider.map(|name| name.to_ascii_lowercase()),
            until: time::now().saturating_add(span),
        };
        give(&self.named, &order, globals)
    }
}

impl Activate {
    pub fn run(self, globals: &Globals) -> Outcome {
        let order = match self.provider {
            Some(provider) => Order::Lift {
                provider: provider.to_ascii_lowercase(),
            },
            None => Order::Activate,
        };
        give(&self.named, &order, globals)
    }
}

/// Leaves an order for each of the addresses; for none where one of the names is wrong.
pub fn give(named: &Several, order: &Order, globals: &Globals) -> Outcome {
    named
        .config
        .with_addresses(globals, |store, addresses| async move {
            if let Order::Rest {
                provider: Some(provider),
                ..
            }
            | Order::Lift { provider } = order
            {
                is_provider(provider, &addresses)?;
            }
            let ips = named.names.iter().map(|name| addresses.named(name));
            for ip in ips.collect::<Result<Vec<&OutboundIp>, Failure>>()? {
                kept::give(store.secrets.as_ref(), &ip.name, order)
                    .await
                    .map_err(|error| failed("failed to leave the order", &error))?;
                let does = match order {
                    Order::Activate => missing(ip, &store).await?,
                    _ => None,
                };
                let does = does.unwrap_or_else(|| {
                    "the server does it within a second, or when it starts".to_owned()
                });
                let text = format!("{} ({}): {does}.", ip.name, ip.address);
                output::remark(&output::clean(&text));
            }
            Ok(Exit::Done)
        })
}

/// What an activated address waits for that nobody has, as the server last saw it.
async fn missing(ip: &OutboundIp, store: &Store) -> Result<Option<String>, Failure> {
    let life = kept::life(store.secrets.as_ref(), ip).await;
    let life = life.map_err(|error| failed("failed to read the state", &error))?;
    let life = life.filter(|life| life.absent);
    Ok(
        life.and_then(|life| match life.gate.get(&Check::ObservedSource) {
            Some(Finding::Failed(why)) => Some(format!(
                "it stays Pending until it is there, which no order passes over ({why})"
            )),
            _ => None,
        }),
    )
}

/// A provider has a profile, or goes by the registered domain of its mail exchangers.
fn is_provider(name: &str, addresses: &Addresses) -> Result<(), Failure> {
    let profiles = Profiles::shipped().and_then(|profiles| profiles.with(&addresses.providers));
    let profiles = profiles
        .map_err(|error| Failure::because(Exit::Failed, "failed to read the profiles", &error))?;
    let is_domain = name.contains('.') && DomainName::parse(name).is_ok();
    let is_host = name.parse::<IpAddr>().is_ok();
    if is_domain || is_host || profiles.names().any(|known| known == name) {
        return Ok(());
    }
    let known: Vec<&str> = profiles.names().collect();
    let text = format!(
        "no provider {name:?}: there are {}, and by the domain of their mail exchangers all others, such as example.net",
        known.join(", ")
    );
    Err(Failure::new(Exit::Usage, text)
        .hint("mailpods route DOMAIN tells whose a domain's mail is"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_has_an_end_and_a_length() {
        assert_eq!(parse_rest("1s"), Ok(Duration::from_secs(1)));
        assert_eq!(parse_rest("3660d"), Ok(TEN_YEARS));
        for wrong in ["0s", "3661d", "9999d", "-1s", ""] {
            assert!(parse_rest(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_provider_is_one_that_there_is() {
        let addresses = Addresses::default();
        for right in ["google", "example.net"] {
            assert!(is_provider(right, &addresses).is_ok(), "{right}");
        }
        for wrong in ["", "gogle", "a b.test"] {
            let refused = is_provider(wrong, &addresses).unwrap_err();
            assert!(refused.to_string().contains("microsoft"), "{refused}");
        }
    }
}
