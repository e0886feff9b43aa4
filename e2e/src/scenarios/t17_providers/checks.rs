//! What must be true of every message, looked at when all is over.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};

use super::history::Event;
use super::machine::{ADDED, DOMAINS, KEPT, MIN_STANDBY, REMOVED, SOURCES, Source};
use super::ttl;
use crate::world::internet::journal::Transaction;
use crate::world::internet::provider::PROVIDERS;
use crate::world::internet::senders::Report;

/// How long after a change a message may still come that had its address before: it takes a connection, a greeting and a look-up until
/// the provider sees MAIL. Milliseconds.
const ON_ITS_WAY: i64 = 3_000;
/// How long before the kill an answer may have come that was not written down yet, milliseconds.
const NOT_WRITTEN_DOWN: i64 = 2_000;

/// When what was done; milliseconds since 1970.
#[derive(Default)]
pub struct Facts {
    /// SPF was made to show the new address.
    pub shown_at: i64,
    /// The server was dead.
    pub killed_at: i64,
    /// The server no longer had the old address.
    pub removed_at: i64,
    /// What the log says.
    pub history: Vec<Event>,
}

/// Fails with the first message that should not be, or not be so.
pub fn check_each(journal: &[Transaction], facts: &Facts) -> Result<()> {
    for transaction in journal {
        look_at(transaction, facts).with_context(|| format!("{transaction:#?}"))?;
    }
    Ok(())
}

/// Fails with the first thing that is wrong with them together.
pub fn check_all(journal: &[Transaction], sent: &Report, facts: &Facts) -> Result<()> {
    let kept = journal
        .iter()
        .find(|t| source(t).is_ok_and(|source| source.name == KEPT));
    ensure!(kept.is_none(), "{KEPT} should be kept: {kept:#?}");
    let crowds = crowds(journal, facts)?;
    let twice = exactly_once(journal, sent, facts)?;
    let accepted = journal.iter().filter(|t| t.accepted).count();
    eprintln!(
        "==> {} messages taken, {} arrived; {} refusals; {twice} came twice, whose last answer the server was killed before; {} \
         that the kill left without an answer to their sender; {crowds} spans without a change, standby kept in all",
        sent.taken.len(),
        accepted,
        journal.len() - accepted,
        sent.lost.len(),
    );
    Ok(())
}

/// One message: where it came from, by which name, and whether it may have.
fn look_at(transaction: &Transaction, facts: &Facts) -> Result<()> {
    let source = source(transaction)?;
    let at = transaction.at;
    let usable = [at, at - ON_ITS_WAY]
        .iter()
        .any(|at| is_usable(source, transaction.provider, *at, facts));
    ensure!(usable, "{} is not to send there now", source.name);
    if source.name == ADDED {
        let waited = at - facts.shown_at;
        ensure!(waited >= ttl(), "{waited} ms after SPF showed it");
    }
    // Who is refused in place of the greeting has said nothing yet.
    let Some(helo) = &transaction.helo else {
        return Ok(());
    };
    ensure!(*helo == source.hostname(), "HELO is {helo}");
    ensure!(
        transaction.names == [source.hostname()],
        "the address is called {:?}",
        transaction.names
    );
    ensure!(transaction.spf == "pass", "SPF is {}", transaction.spf);
    let domain = transaction.sender.rsplit('@').next().unwrap_or_default();
    ensure!(
        DOMAINS.contains(&(domain, source.pool)),
        "{} is not for {domain}",
        source.pool
    );
    Ok(())
}

fn source(transaction: &Transaction) -> Result<&'static Source> {
    let address = transaction.source.context("a message from nowhere")?;
    let known = SOURCES.iter().find(|source| source.address == address);
    known.with_context(|| format!("{address} is no OutboundIP"))
}

/// Whether an address may send to a provider, by what the log says until then.
fn is_usable(source: &Source, provider: &str, at: i64, facts: &Facts) -> bool {
    if source.name == REMOVED && at >= facts.removed_at {
        return false;
    }
    let (mut passed, mut rests) = (false, false);
    let before = facts.history.iter().filter(|event| event.at <= at);
    for event in before.filter(|event| event.source == source.name) {
        match event.provider.as_str() {
            "all" => passed = event.to == "Active",
            // A rest is over when its time is, and is said to be within a second.
            other if other == provider => {
                rests = event.to == "Hot" && event.until.is_none_or(|until| at < until);
            }
            _ => {}
        }
    }
    passed && !rests
}

/// Between two changes no more addresses send to a provider than leave enough on standby. Returns how many spans were looked at.
fn crowds(journal: &[Transaction], facts: &Facts) -> Result<usize> {
    let mut looked = 0;
    for provider in &PROVIDERS {
        for (_, pool) in DOMAINS {
            let mut changes: Vec<i64> = facts
                .history
                .iter()
                .filter(|event| ["all", provider.name].contains(&event.provider.as_str()))
                .flat_map(|event| std::iter::once(event.at).chain(event.until))
                .chain([facts.removed_at, facts.killed_at, i64::MAX])
                .collect();
            changes.sort_unstable();
            for span in changes.windows(2) {
                let &[from, to] = span else { continue };
                let seen = senders(journal, (provider.name, pool), from + ON_ITS_WAY, to)?;
                let members = SOURCES.iter().filter(|source| source.pool == pool);
                let usable = members
                    .filter(|source| is_usable(source, provider.name, from, facts))
                    .count();
                ensure!(
                    seen.len() <= usable.saturating_sub(MIN_STANDBY),
                    "{seen:?} send to {} between {from} and {to}, of {usable} that can",
                    provider.name
                );
                looked += usize::from(!seen.is_empty());
            }
        }
    }
    Ok(looked)
}

fn senders(
    journal: &[Transaction],
    (provider, pool): (&str, &str),
    from: i64,
    to: i64,
) -> Result<BTreeSet<&'static str>> {
    let then = journal
        .iter()
        .filter(|t| t.provider == provider && (from..to).contains(&t.at));
    let sources: Vec<&Source> = then.map(source).collect::<Result<_>>()?;
    let of_pool = sources.iter().filter(|source| source.pool == pool);
    Ok(of_pool.map(|source| source.name).collect())
}

/// What was taken arrives once. RFC 5321 §6.1: a message whose last answer the server did not live to see is sent again; no other one
/// is. What nobody was told of may arrive once or not at all. Returns how many came twice.
fn exactly_once(journal: &[Transaction], sent: &Report, facts: &Facts) -> Result<usize> {
    let mut arrivals: BTreeMap<&str, Vec<&Transaction>> = BTreeMap::new();
    for transaction in journal.iter().filter(|t| t.accepted) {
        arrivals
            .entry(&transaction.id)
            .or_default()
            .push(transaction);
    }
    for message in &sent.taken {
        let arrived = arrivals.get(message.id.as_str());
        let arrived = arrived.with_context(|| format!("{} is lost", message.id))?;
        ensure!(
            arrived.iter().all(|t| t.recipient == message.recipient),
            "for somebody else: {arrived:#?}"
        );
    }
    let known: BTreeSet<&str> = sent
        .taken
        .iter()
        .chain(&sent.lost)
        .map(|message| message.id.as_str())
        .collect();
    let mut twice = 0;
    for (id, arrived) in arrivals {
        ensure!(known.contains(id), "nobody wrote {id}");
        match arrived.as_slice() {
            [_] => {}
            [first, _] if was_cut_off(first, facts) => twice += 1,
            _ => bail!("came more than once: {arrived:#?}"),
        }
    }
    ensure!(twice > 0, "no message was cut off by the kill");
    Ok(twice)
}

fn was_cut_off(first: &Transaction, facts: &Facts) -> bool {
    let is_before = first.at < facts.killed_at;
    let answered = first.answered;
    is_before && answered.is_none_or(|answered| answered > facts.killed_at - NOT_WRITTEN_DOWN)
}
