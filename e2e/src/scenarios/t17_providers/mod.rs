//! Addresses under fire: ten providers of a small Internet judge each address of ours by themselves, as real ones do.
//!
//! Needs no cluster: `mailpods standalone` runs in a network namespace with ten addresses, in another one is everybody else. People
//! write to all providers from the beginning to the end. Each wait is for something to happen; what may happen when is looked at once
//! it is over, message by message.

mod checks;
mod history;
mod machine;

use std::ops::RangeBounds;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::wait::{self, Seen};
use crate::world::internet::journal::{Transaction, now};
use crate::world::internet::provider::PROVIDERS;
use crate::world::internet::replies::Refusal;
use crate::world::internet::senders::Trickle;
use crate::world::internet::{Internet, TTL};
use checks::{Facts, check_all, check_each};
use history::Event;
use machine::{
    ADDED, COOL_DOWN, HOST, MIN_STANDBY, Machine, PEOPLE, REMOVED, SOURCES, Source, expect, named,
};

/// Between two messages of a person.
const PAUSE: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_secs(60);
/// Until another address sends in place of one that rests.
const SECONDS: Duration = Duration::from_secs(10);

/// Who else has had enough of which address, in which words. Gmail has so of two, and `minStandby` is what keeps the last one there from
/// sending; in the pool of three it is so with each.
const REFUSALS: [(&str, &str, &str); 10] = [
    ("google", "main-2", "very low reputation of the sending IP"),
    ("microsoft", "main-2", "S3140"),
    ("yahoo", "bulk-1", "[TSS04]"),
    ("apple", "main-3", "[HM08]"),
    ("united-internet", "main-4", "IP address is block listed"),
    ("comcast", "main-1", "Comcast block for spam"),
    ("ovh", "main-2", "bl.spamcop.net"),
    ("t-online", "bulk-2", "A problem occurred"),
    ("orange", "main-4", "OFR_506"),
    ("qq", "main-3", "Ip frequency limited"),
];

struct Scene<'a> {
    internet: &'a Internet,
    machine: Machine<'a>,
    facts: Facts,
}

/// Runs it.
pub fn run() -> Result<()> {
    let internet = Internet::start(&Machine::addresses())?;
    let outcome = play(&internet);
    let place = internet.folder.join("logs");
    outcome.with_context(|| format!("the logs are in {}", place.display()))
}

fn play(internet: &Internet) -> Result<()> {
    let mut scene = Scene {
        machine: Machine::start(internet)?,
        internet,
        facts: Facts::default(),
    };
    scene.await_first_checks()?;
    let trickle = Trickle::start(&PEOPLE, HOST, PAUSE)?;
    scene.tell_the_story()?;
    let sent = trickle.stop()?;
    let arrived = scene.await_arrival(sent.taken.iter().map(|sent| sent.id.as_str()));
    scene.facts.history = scene.machine.history()?;
    let journal = internet.journal()?.all();
    // What did not arrive most often has its reason in what did.
    check_each(&journal, &scene.facts)?;
    arrived?;
    check_all(&journal, &sent, &scene.facts)
}

impl Scene<'_> {
    fn tell_the_story(&mut self) -> Result<()> {
        self.all_that_should_send()?;
        let first = self.one_goes_hot()?;
        let since = self.others_are_refused()?;
        self.comes_back(&first)?;
        let relapse = self.relapses(&first)?;
        self.others_are_hot(since)?;
        self.killed_in_the_rest(&relapse)?;
        self.one_is_removed()?;
        self.one_is_added()?;
        self.comes_back(&relapse)
    }

    /// What SPF does not show is Pending, the others wait for the time to live and send. Then SPF shows the last one too.
    fn await_first_checks(&mut self) -> Result<()> {
        for source in SOURCES.iter().filter(|source| source.name != ADDED) {
            let what = format!("{} passes its checks", source.name);
            let passed = |event: &Event| event.is(source.name, "all", "Active");
            self.await_event(&what, 0, passed)?;
        }
        let pending = self.machine.configured_tool(&["ip", "explain", ADDED])?;
        expect(&pending, "/phase", &json!("Pending"))?;
        let reason = pending["reason"].as_str().unwrap_or_default();
        ensure!(
            reason.contains("SPF of example.test gives fail"),
            "{pending:#}"
        );
        self.facts.shown_at = now();
        self.machine.show(&|_| true)
    }

    /// Each provider gets mail from the addresses that are meant to send, and from no other one.
    fn all_that_should_send(&self) -> Result<()> {
        for facts in &PROVIDERS {
            for source in SOURCES.iter().filter(|s| !s.standby && s.name != ADDED) {
                self.await_mail(facts.name, source, 0..)?;
            }
        }
        let journal = self.internet.journal()?;
        for source in SOURCES.iter().filter(|s| s.standby || s.name == ADDED) {
            let sent = journal
                .first(|t| t.source == Some(source.address))
                .is_some();
            ensure!(!sent, "{} sends in times of peace", source.name);
        }
        Ok(())
    }

    /// Gmail has had enough of one address: it rests for Gmail alone, and one of those on standby sends in its place.
    fn one_goes_hot(&mut self) -> Result<Event> {
        let (hot, standby) = (named("main-1")?, named("main-5")?);
        let hotness = self.goes_hot("google", hot, "unusual rate")?;
        let until = hotness.until.unwrap_or_default();
        ensure!(
            hotness.reason == "refusals" && until - hotness.at >= COOL_DOWN - 1_000,
            "{hotness:?}"
        );
        self.takes_over(standby, &hotness)?;
        self.tools_tell(hot, standby)?;
        for facts in PROVIDERS.iter().filter(|facts| facts.name != "google") {
            self.await_mail(facts.name, hot, hotness.at..until)?;
        }
        Ok(hotness)
    }

    fn tools_tell(&self, hot: &Source, standby: &Source) -> Result<()> {
        let told = self.machine.configured_tool(&["ip", "explain", hot.name])?;
        expect(&told, "/phase", &json!("Hot"))?;
        expect(&told, "/providers/0/name", &json!("google"))?;
        expect(&told, "/providers/0/phase", &json!("Hot"))?;
        expect(&told, "/providers/0/relapses", &json!(0))?;
        let reason = told["reason"].as_str().unwrap_or_default();
        ensure!(
            reason.starts_with("google: refusals") && reason.contains("unusual rate"),
            "{told:#}"
        );
        let listed = self.machine.configured_tool(&["ip", "list"])?;
        let phases = listed.as_array().context("no list")?;
        let phase = |name: &str| phases.iter().find(|ip| ip["name"] == name);
        for (name, wanted) in [
            (hot.name, "Hot"),
            (standby.name, "Standby"),
            (ADDED, "Pending"),
            ("main-2", "Active"),
        ] {
            let found = phase(name).map(|ip| &ip["phase"]);
            ensure!(found == Some(&json!(wanted)), "{name}: {listed:#}");
        }
        self.route_tells(&[
            (hot.name, "Hot"),
            (standby.name, "Active"),
            ("main-6", "Standby"),
        ])
    }

    /// What `mailpods route` says of addresses of a person's mail to Gmail, and that enough are kept.
    fn route_tells(&self, phases: &[(&str, &str)]) -> Result<()> {
        let from = ["route", "gmail.com", "--from", PEOPLE[0].address];
        let route = self.machine.configured_tool(&from)?;
        expect(&route, "/provider", &json!("google"))?;
        expect(&route, "/hosts", &json!(["gmail-smtp-in.l.google.com"]))?;
        expect(&route, "/short", &json!(false))?;
        let addresses = route["addresses"].as_array().context("no addresses")?;
        for (name, wanted) in phases {
            let found = addresses.iter().find(|ip| ip["name"] == *name);
            ensure!(
                found.is_some_and(|ip| ip["phase"] == *wanted),
                "{name} is not {wanted}: {route:#}"
            );
        }
        let kept = addresses.iter().filter(|ip| ip["phase"] == "Standby");
        ensure!(kept.count() >= MIN_STANDBY, "{route:#}");
        Ok(())
    }

    /// Each provider has had enough of one address, in its own words.
    fn others_are_refused(&self) -> Result<i64> {
        let since = now();
        for (provider, name, text) in REFUSALS {
            let refusal = Refusal::of(provider, text)?;
            let provider = self.internet.provider(provider)?;
            provider.refuse(named(name)?.address, refusal);
        }
        Ok(since)
    }

    fn others_are_hot(&self, since: i64) -> Result<()> {
        for (provider, name, _) in REFUSALS {
            let hotness = self.is_hot(provider, named(name)?, since)?;
            // Of three addresses two are meant to send. Where one rests the other is left, and the third one is kept.
            let stands_in = match name {
                "bulk-1" => "bulk-2",
                "bulk-2" => "bulk-1",
                _ => "main-5",
            };
            self.takes_over(named(stands_in)?, &hotness)?;
        }
        let short = self.machine.metric("mailpods_outbound_standby_short")?;
        ensure!(
            short.as_deref() == Some("0"),
            "mailpods_outbound_standby_short is {short:?}"
        );
        Ok(())
    }

    /// After its rest it sends to the provider again, on probation.
    fn comes_back(&self, hotness: &Event) -> Result<()> {
        let (name, provider) = (hotness.source.as_str(), hotness.provider.as_str());
        let what = format!("{name} is back at {provider}");
        let back = self.await_event(&what, hotness.at, |event| {
            event.is(name, provider, "Cooling") && event.reason == "rest-over"
        })?;
        self.await_mail(provider, named(name)?, back.at..).map(drop)
    }

    /// Refused again on probation it rests twice as long.
    fn relapses(&mut self, before: &Event) -> Result<Event> {
        let source = named(&before.source)?;
        let relapse = self.goes_hot(&before.provider, source, "unusual rate")?;
        let rest = relapse.until.unwrap_or_default() - relapse.at;
        ensure!(
            relapse.reason == "relapse" && rest > 2 * COOL_DOWN - 1_000,
            "{relapse:?}"
        );
        Ok(relapse)
    }

    /// The server is killed while messages wait for their last answer. It comes back, and knows what rests until when.
    fn killed_in_the_rest(&mut self, relapse: &Event) -> Result<()> {
        let explain = ["ip", "explain", relapse.source.as_str()];
        let before = self.machine.configured_tool(&explain)?;
        let provider = self.internet.provider("comcast")?;
        provider.hold();
        wait::until("messages wait for their last answer", LIMIT, || {
            let waiting = provider.waiting();
            Ok(wait::holds(waiting > 0, format!("{waiting} wait")))
        })?;
        self.machine.kill()?;
        self.facts.killed_at = now();
        provider.let_go();
        self.machine.run()?;
        let after = self.machine.configured_tool(&explain)?;
        let rest = format!("/life/heat/{}", relapse.provider);
        let rest = (before.pointer(&rest), after.pointer(&rest));
        ensure!(
            rest.0.is_some_and(|rest| rest["resting"] == true) && rest.0 == rest.1,
            "{before:#}\nis now {after:#}"
        );
        Ok(())
    }

    /// An OutboundIP goes from the folder first, then, when the log says so, from SPF and the rest of DNS.
    fn one_is_removed(&mut self) -> Result<()> {
        let source = named(REMOVED)?;
        self.machine.remove(source)?;
        self.facts.removed_at = self.machine.await_line(
            "it is gone",
            source,
            "\"an OutboundIP is gone: nothing new leaves from it; its records should stay until it is said that they may go\"",
        )?;
        let let_go = self.machine.await_line(
            "its records may go",
            source,
            "\"the records of an OutboundIP that is gone may go now\"",
        )?;
        ensure!(
            let_go - self.facts.removed_at >= ttl(),
            "they may go after {} ms",
            let_go - self.facts.removed_at
        );
        self.machine.show(&|source| source.name != REMOVED)?;
        self.machine.unpublish(source)
    }

    /// The one that SPF did not show at first sends, once receivers have had the time to see it.
    fn one_is_added(&self) -> Result<()> {
        let source = named(ADDED)?;
        let passed = |event: &Event| event.is(ADDED, "all", "Active");
        let passed = self.await_event("it passes its checks", 0, passed)?;
        for facts in &PROVIDERS {
            self.await_mail(facts.name, source, passed.at..)?;
        }
        Ok(())
    }

    /// A provider refuses an address until that one rests for it.
    fn goes_hot(&self, provider: &str, source: &Source, text: &str) -> Result<Event> {
        let since = now();
        let refusal = Refusal::of(provider, text)?;
        self.internet
            .provider(provider)?
            .refuse(source.address, refusal);
        self.is_hot(provider, source, since)
    }

    fn is_hot(&self, provider: &str, source: &Source, since: i64) -> Result<Event> {
        let what = format!("{} is hot at {provider}", source.name);
        let hot = |event: &Event| event.is(source.name, provider, "Hot");
        self.await_event(&what, since, hot)
    }

    /// Waits for something that happened since a time. Meanwhile providers forget what they had against addresses that rest.
    fn await_event(&self, what: &str, since: i64, fits: impl Fn(&Event) -> bool) -> Result<Event> {
        wait::until(what, LIMIT, || {
            self.machine.check()?;
            let history = self.machine.history()?;
            for event in history::resting(&history) {
                let source = named(&event.source)?;
                self.internet
                    .provider(&event.provider)?
                    .forgive(source.address);
            }
            let mut later = history.iter().filter(|event| event.at >= since);
            Ok(match later.find(|event| fits(event)) {
                Some(event) => Seen::Yes(event.clone()),
                None => Seen::NotYet(history::told(&history)),
            })
        })
    }

    /// Another address sends to the provider in place of the one that rests, within seconds.
    fn takes_over(&self, source: &Source, hotness: &Event) -> Result<()> {
        let rest = hotness.at..hotness.until.unwrap_or(hotness.at);
        let first = self.await_mail(&hotness.provider, source, rest)?;
        let (waited, most) = (first - hotness.at, SECONDS.as_millis());
        eprintln!(
            "==> {}: {} sends in place of {} after {waited} ms",
            hotness.provider, source.name, hotness.source
        );
        ensure!(
            u128::try_from(waited)? < most,
            "it takes {} {waited} ms to send in place of {}",
            source.name,
            hotness.source
        );
        Ok(())
    }

    /// Waits until a provider has accepted mail from an address in a span of time. Returns when it came.
    fn await_mail(
        &self,
        provider: &str,
        source: &Source,
        span: impl RangeBounds<i64>,
    ) -> Result<i64> {
        let journal = self.internet.journal()?;
        let fits = |t: &Transaction| {
            t.accepted
                && t.provider == provider
                && t.source == Some(source.address)
                && span.contains(&t.at)
        };
        let looked = wait::quietly(LIMIT, || {
            self.machine.check()?;
            let first = journal.first(fits);
            Ok(first.map_or_else(|| Seen::NotYet("no mail".to_owned()), |t| Seen::Yes(t.at)))
        });
        looked.with_context(|| format!("{} sends to {provider}", source.name))
    }

    fn await_arrival<'i>(&self, ids: impl Iterator<Item = &'i str>) -> Result<()> {
        let ids: Vec<&str> = ids.collect();
        let arrival = wait::until("all that was taken has arrived", LIMIT, || {
            self.machine.check()?;
            let arrived = self.internet.journal()?.arrived();
            let missing: Vec<_> = ids.iter().filter(|id| !arrived.contains(**id)).collect();
            let (count, some) = (missing.len(), missing.iter().take(5).collect::<Vec<_>>());
            Ok(wait::holds(
                count == 0,
                format!("{count} are missing: {some:?}"),
            ))
        });
        arrival.with_context(|| match self.machine.tool(&["queue", "list"]) {
            Ok(queue) => format!("in the queue: {queue:#}"),
            Err(error) => format!("the queue cannot be read: {error:#}"),
        })
    }
}

/// Time to live of all records, milliseconds.
fn ttl() -> i64 {
    i64::from(TTL) * 1_000
}
