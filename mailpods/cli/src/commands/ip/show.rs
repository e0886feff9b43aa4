//! What is known of addresses.
use mailpods_delivery::ips::{AddressState, Gone, Place, ProviderState, Step, kept, leaving};
use mailpods_policy::outbound::life::{Finding, Phase};
use mailpods_store::Store;

use super::Named;
use crate::args::{Format, Globals};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{self, Table};
use crate::plans::{Addresses, Config};
use crate::session::failed;
use crate::time;

const NONE: &str = "\
There is no OutboundIP: the system chooses the address that mail leaves from. Write one as
  apiVersion: mailpods.dev/v1alpha1
  kind: OutboundIP
  metadata: {name: one}
  spec: {address: 203.0.113.5, hostname: out1.example.org}
(`mailpods explain outboundip.spec` tells more).";

pub fn list(config: &Config, globals: &Globals) -> Outcome {
    let format = globals.output;
    config.with_addresses(globals, |store, addresses| async move {
        let states = states(&addresses, &store).await?;
        let gone = left(&store).await?;
        match format {
            Format::Json => {
                let states = states.iter().map(Listed::There);
                let listed: Vec<Listed<'_>> = states.chain(gone.iter().map(Listed::Gone)).collect();
                output::json(&listed)?;
            }
            Format::Table if states.is_empty() && gone.is_empty() => output::line(NONE)?,
            Format::Table => {
                let mut table = rows(&states, phase_words);
                gone.iter().for_each(|left| table.row(left.row()));
                table.print()?;
            }
        }
        Ok(Exit::Done)
    })
}

/// The states of all addresses: which one sends depends on the others.
async fn states(addresses: &Addresses, store: &Store) -> Result<Vec<AddressState>, Failure> {
    let ips = addresses.ips.values();
    let (secrets, now) = (store.secrets.as_ref(), time::now());
    let states = AddressState::all(ips, addresses.min_standby, secrets, now).await;
    states.map_err(|error| failed("failed to read the state", &error))
}

/// The addresses that are gone from the configuration.
async fn left(store: &Store) -> Result<Vec<Left>, Failure> {
    let gone = leaving(store.secrets.as_ref()).await;
    let gone = gone.map_err(|error| failed("failed to read the addresses of before", &error))?;
    Ok(gone.into_iter().filter_map(Left::of).collect())
}

/// One line of the list.
#[derive(serde::Serialize)]
#[serde(untagged)]
enum Listed<'a> {
    There(&'a AddressState),
    Gone(&'a Left),
}

/// An address that is gone from the configuration.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Left {
    #[serde(flatten)]
    place: Place,
    phase: Step,
    reason: String,
    #[serde(skip)]
    gone: Gone,
}

impl Left {
    fn of(place: Place) -> Option<Self> {
        let gone = place.gone.clone()?;
        let phase = gone.step(time::now());
        let until = time::format(gone.until);
        let reason = match phase {
            Step::Draining => format!(
                "not in the configuration; {} connections are open; its A, PTR and SPF records stay until {until} at the latest",
                gone.connections
            ),
            Step::Drained => {
                format!("not in the configuration; its A, PTR and SPF records stay until {until}")
            }
            Step::Withdrawn => "not in the configuration; its records may go".to_owned(),
        };
        Some(Self {
            place,
            phase,
            reason,
            gone,
        })
    }

    fn row(&self) -> Vec<String> {
        vec![
            self.place.name.clone(),
            self.place.address.to_string(),
            self.place.hostname.to_string(),
            self.place.pool.clone(),
            self.phase.as_str().to_owned(),
            time::span(time::now() - self.gone.since),
            match self.phase {
                Step::Withdrawn => "-".to_owned(),
                Step::Draining | Step::Drained => time::format(self.gone.until),
            },
            "-".to_owned(),
            self.reason.clone(),
        ]
    }
}

/// Addresses in rows, as they are for one provider.
pub fn table(states: &[AddressState]) -> std::io::Result<()> {
    rows(states, |state| state.phase.as_str().to_owned()).print()
}

/// The phase of an address for all providers, and for those alone that had trouble with it.
fn phase_words(state: &AddressState) -> String {
    const MOST: usize = 3;
    let phase = state.phase.as_str();
    let Some(others) = state.for_others else {
        let is_drained = state.phase == Phase::Standby && state.life.drained;
        return if is_drained { "Drained" } else { phase }.to_owned();
    };
    let in_it = |provider: &&ProviderState| provider.phase == state.phase;
    let names = state.providers.iter().filter(in_it);
    let names: Vec<&str> = names.map(|provider| provider.name.as_str()).collect();
    let more = match names.len().saturating_sub(MOST) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let names = names.get(..MOST).unwrap_or(&names).join(", ");
    format!(
        "{}, {phase} for {}{more}",
        others.as_str(),
        output::clean(&names)
    )
}

fn rows(states: &[AddressState], phase: impl Fn(&AddressState) -> String) -> Table {
    let mut table = headed();
    let now = time::now();
    for state in states {
        table.row(vec![
            state.name.clone(),
            state.address.to_string(),
            state.hostname.clone(),
            state.pool.clone(),
            phase(state),
            state
                .since
                .map_or_else(|| "-".to_owned(), |since| time::span(now - since)),
            state.until.map_or_else(|| "-".to_owned(), time::format),
            state.sent.to_string(),
            match state.reason.as_str() {
                "" => "-".to_owned(),
                reason => reason.to_owned(),
            },
        ]);
    }
    table
}

fn headed() -> Table {
    Table::new(&[
        "NAME", "ADDRESS", "HOSTNAME", "POOL", "PHASE", "SINCE", "UNTIL", "SENT 24H", "WHY",
    ])
}

pub fn explain(named: &Named, globals: &Globals) -> Outcome {
    let format = globals.output;
    named
        .config
        .with_addresses(globals, |store, addresses| async move {
            let mut gone = left(&store).await?;
            gone.retain(|left| left.place.name == named.name);
            if !addresses.ips.contains_key(&named.name) && !gone.is_empty() {
                return of_gone(&gone, format);
            }
            let name = &addresses.named(&named.name)?.name;
            let states = states(&addresses, &store).await?;
            let state = states.iter().find(|state| state.name == *name);
            match (format, state) {
                (_, None) => {}
                (Format::Json, Some(state)) => output::json(state)?,
                (Format::Table, Some(state)) => print(state, &store).await?,
            }
            Ok(Exit::Done)
        })
}

/// An address that is not in the configuration any more; it may have had several.
fn of_gone(gone: &[Left], format: Format) -> Outcome {
    match format {
        Format::Json => output::json(&gone)?,
        Format::Table => {
            let mut table = headed();
            gone.iter().for_each(|left| table.row(left.row()));
            table.print()?;
        }
    }
    Ok(Exit::Done)
}

async fn print(state: &AddressState, store: &Store) -> Result<(), Failure> {
    let now = time::now();
    rows(std::slice::from_ref(state), phase_words).print()?;
    output::line(&format!("next: {}", state.next))?;
    if let (Some(at), Some(cause)) = (state.life.changed, state.life.cause) {
        let text = format!("last change: {}, {}", cause.as_str(), time::format(at));
        output::line(&text)?;
    }
    if let Some(since) = state.life.forced_at {
        let over = match state.life.passed_over() {
            over if over.is_empty() => "nothing speaks against it".to_owned(),
            over => over.join(", "),
        };
        let since = time::format(since);
        let text = format!(
            "activated by the operator since {since}: {over} (`mailpods ip recheck` takes it back)"
        );
        output::line(&output::clean(&text))?;
    }
    if let Some(until) = state.until {
        output::line(&format!("until {}", time::format(until)))?;
    }
    output::line(&format!(
        "last 24 hours: {} messages were taken, {} attempts were refused for the address",
        state.sent, state.refused
    ))?;
    if let Some(observed) = state.observed {
        output::line(&format!("other servers see {observed}"))?;
    }
    for (zone, listing) in &state.life.listed {
        let effect = match listing.rests {
            true if state.life.forced => "passed over: activated by the operator",
            true => "it rests",
            false => "told only",
        };
        let text = format!(
            "listed by {zone} since {}: {} ({effect})",
            time::format(listing.since),
            listing.answer
        );
        output::line(&output::clean(&text))?;
    }
    for (check, finding) in &state.life.gate {
        let text = match finding {
            Finding::Passed => "passed".to_owned(),
            Finding::Failed(text) => format!("failed: {text}"),
            Finding::Unknown(text) => format!("not known: {text}"),
        };
        output::line(&output::clean(&format!("check {}: {text}", check.as_str())))?;
    }
    for (provider, heat) in &state.life.heat {
        let what = if heat.resting {
            "rests"
        } else {
            "on probation"
        };
        let text = format!(
            "{provider}: {what} until {} ({}, relapses {}) {}",
            time::format(heat.until),
            heat.cause.as_str(),
            heat.level,
            heat.reply
        );
        output::line(output::clean(&text).trim_end())?;
    }
    if let Some(until) = state.life.rested_until.filter(|until| *until > now) {
        output::line(&format!("rests until {}", time::format(until)))?;
    }
    let order = kept::order(store.secrets.as_ref(), &state.name).await;
    if order
        .map_err(|error| failed("failed to read the order", &error))?
        .is_some()
    {
        output::line("an order waits for the server")?;
    }
    Ok(())
}
