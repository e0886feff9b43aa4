//! When a certificate of ours gets a successor, and how nobody notices. Pure but for randomness.
//!
//! The successor has an authority of its own. First both authorities are given to those who connect; the server changes over when
//! all have had time to read that, and they forget the old authority with the next renewal.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use zeroize::Zeroizing;

use super::make;
use crate::dkim::key::stamp;
use crate::kube::error::Error;

/// Authorities that those who connect trust, PEM; that of the newest certificate last.
pub const AUTHORITIES: &str = "ca.crt";
/// Certificate that the server shows, PEM.
pub const CERTIFICATE: &str = "tls.crt";
/// Its key, PEM.
pub const KEY: &str = "tls.key";
/// When it ends, RFC 3339.
const END: &str = "tls.end";
/// The successor, until the server changes over.
const NEXT: [(&str, &str); 3] = [
    ("next.crt", CERTIFICATE),
    ("next.key", KEY),
    ("next.end", END),
];
/// Since when those who connect can know the successor's authority, RFC 3339.
const NEXT_SINCE: &str = "next.since";

/// Data of a Secret. `None`: the entry is to be removed.
pub type Data = BTreeMap<String, Option<Zeroizing<String>>>;

/// How long things last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// A certificate.
    pub whole: Duration,
    /// Left of it when its successor is made.
    pub left: Duration,
    /// From when those who connect can know the successor's authority until the server changes over. A kubelet takes some
    /// minutes to replace files.
    pub overlap: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        Self {
            whole: days(365),
            left: days(120),
            overlap: days(1),
        }
    }
}

/// Who a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Name of its authority.
    pub authority: &'static str,
    /// Host names of the server.
    pub hosts: Vec<String>,
}

/// The first certificate.
///
/// # Errors
/// When it cannot be made.
pub fn first(subject: &Subject, lifetimes: Lifetimes, now: Timestamp) -> Result<Data, Error> {
    let (made, end) = made(subject, lifetimes, now)?;
    Ok(entries([
        (AUTHORITIES, Zeroizing::new(made.authority)),
        (CERTIFICATE, Zeroizing::new(made.certificate)),
        (KEY, made.key),
        (END, Zeroizing::new(end)),
    ]))
}

/// What is to change in the Secret now; `None`: nothing. `data`: what it holds.
///
/// # Errors
/// When the successor cannot be made.
pub fn step<'a>(
    data: impl Fn(&str) -> Option<&'a str>,
    subject: &Subject,
    lifetimes: Lifetimes,
    now: Timestamp,
) -> Result<Option<Data>, Error> {
    let time = |name| data(name).and_then(|text| text.parse::<Timestamp>().ok());
    let end = time(END).unwrap_or(Timestamp::UNIX_EPOCH);
    match time(NEXT_SINCE) {
        None if until(now, end) > lifetimes.left => Ok(None),
        None => prepared(data(AUTHORITIES), subject, lifetimes, now).map(Some),
        // With one that has ended nobody talks: there is nothing to wait for.
        Some(since)
            if until(since, now) < lifetimes.overlap && until(now, end) > Duration::ZERO =>
        {
            Ok(None)
        }
        Some(_) => Ok(Some(changed_over(data))),
    }
}

fn prepared(
    authorities: Option<&str>,
    subject: &Subject,
    lifetimes: Lifetimes,
    now: Timestamp,
) -> Result<Data, Error> {
    let (made, end) = made(subject, lifetimes, now)?;
    let mut known = authorities.map(newest).unwrap_or_default();
    known.push_str(&made.authority);
    let [certificate, key, ends] = NEXT.map(|(name, _)| name);
    Ok(entries([
        (AUTHORITIES, Zeroizing::new(known)),
        (certificate, Zeroizing::new(made.certificate)),
        (key, made.key),
        (ends, Zeroizing::new(end)),
        (NEXT_SINCE, Zeroizing::new(stamp(now))),
    ]))
}

fn changed_over<'a>(data: impl Fn(&str) -> Option<&'a str>) -> Data {
    let mut changes = Data::new();
    for (from, to) in NEXT {
        let value = data(from).map(|text| Zeroizing::new(text.to_owned()));
        changes.insert(to.to_owned(), value);
        changes.insert(from.to_owned(), None);
    }
    changes.insert(NEXT_SINCE.to_owned(), None);
    changes
}

/// The last certificate of several.
fn newest(authorities: &str) -> String {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    let last = authorities
        .rfind(BEGIN)
        .and_then(|at| authorities.get(at..));
    let mut text = last.unwrap_or_default().trim_end().to_owned();
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

fn made(
    subject: &Subject,
    lifetimes: Lifetimes,
    now: Timestamp,
) -> Result<(super::Made, String), Error> {
    let end = now
        .checked_add(lifetimes.whole)
        .map_err(|error| Error::Make("a certificate", error.to_string()))?;
    let made = make(subject.authority, &subject.hosts, (now, end))?;
    Ok((made, stamp(end)))
}

fn entries<const N: usize>(entries: [(&str, Zeroizing<String>); N]) -> Data {
    let entries = entries.into_iter();
    entries
        .map(|(name, value)| (name.to_owned(), Some(value)))
        .collect()
}

/// Time from one to the other; none when that is past.
fn until(from: Timestamp, to: Timestamp) -> Duration {
    let seconds = to.as_second().saturating_sub(from.as_second());
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIMES: Lifetimes = Lifetimes {
        whole: Duration::from_secs(300),
        left: Duration::from_secs(100),
        overlap: Duration::from_secs(20),
    };

    #[derive(Default)]
    struct Secret(BTreeMap<String, String>);

    impl Secret {
        fn take(&mut self, changes: Data) {
            for (name, value) in changes {
                match value {
                    Some(value) => drop(self.0.insert(name, (*value).clone())),
                    None => drop(self.0.remove(&name)),
                }
            }
        }

        fn get(&self, name: &str) -> String {
            self.0.get(name).cloned().unwrap_or_default()
        }

        /// Whether anything was to be changed at a second.
        fn step(&mut self, second: i64) -> bool {
            let data = |name: &str| self.0.get(name).map(String::as_str);
            let changes = step(data, &subject(), LIFETIMES, at(second)).unwrap();
            let some = changes.is_some();
            self.take(changes.unwrap_or_default());
            some
        }

        fn authorities(&self) -> usize {
            self.get(AUTHORITIES).matches("BEGIN CERTIFICATE").count()
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn subject() -> Subject {
        Subject {
            authority: "test",
            hosts: vec!["filter.mail.svc".to_owned()],
        }
    }

    #[test]
    fn a_successor_is_known_before_it_is_shown_and_the_old_authority_stays_until_the_next() {
        let mut secret = Secret::default();
        secret.take(first(&subject(), LIFETIMES, at(0)).unwrap());
        let (first, authority) = (secret.get(CERTIFICATE), secret.get(AUTHORITIES));
        assert!(!secret.step(0) && !secret.step(199));
        assert!(secret.step(200));
        assert_eq!(secret.get(CERTIFICATE), first);
        assert_eq!(secret.authorities(), 2);
        assert!(secret.get(AUTHORITIES).starts_with(authority.trim_end()));
        assert!(!secret.step(219));
        assert!(secret.step(220));
        assert_ne!(secret.get(CERTIFICATE), first);
        assert_eq!(secret.authorities(), 2);
        let names: Vec<&str> = secret.0.keys().map(String::as_str).collect();
        assert_eq!(names, [AUTHORITIES, CERTIFICATE, END, KEY]);
        assert!(!secret.step(399));
        assert!(secret.step(400));
        assert_eq!(secret.authorities(), 2);
        assert!(!secret.get(AUTHORITIES).contains(authority.trim_end()));
    }

    #[test]
    fn one_of_an_earlier_release_gets_a_successor_and_one_that_has_ended_no_overlap() {
        let mut secret = Secret::default();
        secret.take(first(&subject(), LIFETIMES, at(0)).unwrap());
        secret.0.remove(END);
        assert!(secret.step(1));
        let mut late = Secret::default();
        late.take(self::first(&subject(), LIFETIMES, at(0)).unwrap());
        assert!(late.step(1_000) && late.step(1_000) && !late.step(1_001));
    }
}
