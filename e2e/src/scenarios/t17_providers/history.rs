//! What the log of our server says of addresses.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

/// Something that happened to an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When; milliseconds since 1970.
    pub at: i64,
    /// The OutboundIP.
    pub source: String,
    /// The provider; `all`: whatever the provider.
    pub provider: String,
    /// The phase before.
    pub from: String,
    /// The phase after.
    pub to: String,
    /// Why.
    pub reason: String,
    /// When it ends by itself.
    pub until: Option<i64>,
}

impl Event {
    /// Whether it is about an address and a provider, and led to a phase.
    pub fn is(&self, source: &str, provider: &str, to: &str) -> bool {
        self.source == source && self.provider == provider && self.to == to
    }
}

/// The events in a log of JSON lines.
pub fn read(log: &str) -> Result<Vec<Event>> {
    let changes = log
        .lines()
        .filter(|line| line.contains("\"outbound address changed\""));
    changes
        .map(|line| {
            let fields: Value = serde_json::from_str(line)?;
            let text = |name: &str| fields[name].as_str().unwrap_or_default().to_owned();
            Ok(Event {
                at: time(&text("timestamp"))?,
                source: text("ip"),
                provider: text("provider"),
                from: text("from"),
                to: text("to"),
                reason: text("reason"),
                until: fields["until"].as_str().map(time).transpose()?,
            })
        })
        .collect()
}

/// Of each address and provider the last event, where that is the begin of a rest.
pub fn resting(events: &[Event]) -> Vec<&Event> {
    let mut last = BTreeMap::new();
    for event in events {
        last.insert((&event.source, &event.provider), event);
    }
    last.into_values()
        .filter(|event| event.to == "Hot")
        .collect()
}

/// When the last line with a text about an OutboundIP was written.
pub fn time_of(log: &str, source: &str, text: &str) -> Result<Option<i64>> {
    let about = log.lines().rev().filter(|line| line.contains(text));
    for line in about {
        let fields: Value = serde_json::from_str(line)?;
        if fields["ip"] == source {
            return Ok(Some(time(
                fields["timestamp"].as_str().unwrap_or_default(),
            )?));
        }
    }
    Ok(None)
}

/// The events, one a line.
pub fn told(events: &[Event]) -> String {
    let line = |event: &Event| {
        format!(
            "{} {} {}: {} -> {} ({})",
            event.at, event.source, event.provider, event.from, event.to, event.reason
        )
    };
    events.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Milliseconds since 1970 of a time such as `2026-01-31T12:00:00.123456Z`.
fn time(text: &str) -> Result<i64> {
    let parsed = || {
        let (date, rest) = text.strip_suffix('Z')?.split_once('T')?;
        let (clock, fraction) = rest.split_once('.').unwrap_or((rest, "0"));
        let [year, month, day] = numbers(date, '-')?;
        let [hours, minutes, seconds] = numbers(clock, ':')?;
        let millis: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
        let seconds = days(year, month, day) * 86_400 + hours * 3_600 + minutes * 60 + seconds;
        Some(seconds * 1_000 + millis)
    };
    parsed().with_context(|| format!("no time: {text:?}"))
}

fn numbers(text: &str, between: char) -> Option<[i64; 3]> {
    let numbers: Option<Vec<i64>> = text.split(between).map(|part| part.parse().ok()).collect();
    numbers?.try_into().ok()
}

/// Days since 1970 of a date of the Gregorian calendar: years begin in March, so that the leap day is the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    365 * year + year / 4 - year / 100 + year / 400 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(time("1970-01-01T00:00:00.001Z").unwrap(), 1);
        assert_eq!(time("2024-02-29T12:34:56.5Z").unwrap(), 1_709_210_096_500);
        assert_eq!(
            time("2026-11-26T07:56:02.123456Z").unwrap(),
            1_795_679_762_123
        );
        assert!(time("yesterday").is_err());
    }

    #[test]
    fn changes_are_read_from_the_log() {
        let line = "{\"timestamp\":\"1970-01-01T00:00:01.5Z\",\"level\":\"WARN\",\"ip\":\"main-1\",\"provider\":\"google\",\
            \"from\":\"Active\",\"to\":\"Hot\",\"reason\":\"refusals\",\"until\":\"1970-01-01T00:00:00.099Z\",\"message\":\"outbound address changed\"}";
        let events = read(&format!("{{\"message\":\"other\"}}\n{line}\n")).unwrap();
        assert_eq!(events.len(), 1);
        assert!(events[0].is("main-1", "google", "Hot"));
        assert_eq!((events[0].at, events[0].until), (1_500, Some(99)));
        assert_eq!(resting(&events).len(), 1);
        assert_eq!(time_of(line, "main-1", "changed").unwrap(), Some(1_500));
        assert_eq!(time_of(line, "main-2", "changed").unwrap(), None);
    }
}
