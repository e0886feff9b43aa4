//! Where other servers saw connections of an address come from.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Life;

/// Providers whose word is kept.
const MAX_SEEN: usize = 16;
/// Servers of so many providers must agree that mail comes from elsewhere: one alone may lie, or stand behind a proxy.
const WITNESSES: usize = 3;
/// How long the word of a server counts, in milliseconds: an hour. An address that does not send is seen by nobody.
const FRESH: i64 = 3_600_000;
/// A word that says the same again is not written down more often than this.
const AGAIN: i64 = FRESH / 4;

/// Where a server saw a connection of the address come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// The address that the server named.
    pub address: IpAddr,
    /// When.
    pub at: i64,
}

impl Life {
    /// A server of a provider named the address that our connection came from. False when it says nothing new.
    pub fn observe(&mut self, provider: &str, address: IpAddr, now: i64) -> bool {
        let known = self.seen.get(provider);
        if known.is_some_and(|seen| seen.address == address && now - seen.at < AGAIN) {
            return false;
        }
        if self.seen.len() >= MAX_SEEN && known.is_none() {
            let oldest = self.seen.iter().min_by_key(|(_, seen)| seen.at);
            if let Some(name) = oldest.map(|(name, _)| name.clone()) {
                self.seen.remove(&name);
            }
        }
        self.seen
            .insert(provider.to_owned(), Seen { address, at: now });
        true
    }

    /// Whether some server has seen connections come from `own`.
    #[must_use]
    pub fn is_confirmed(&self, own: IpAddr) -> bool {
        self.seen.values().any(|seen| seen.address == own)
    }

    /// The address that mail comes from in the eyes of others, when enough of them agree that it is another one than `own`, and
    /// none saw `own` of late.
    #[must_use]
    pub fn comes_from_elsewhere(&self, own: IpAddr, now: i64) -> Option<IpAddr> {
        let mut fresh = self.seen.values().filter(|seen| now - seen.at < FRESH);
        let first = fresh.next()?.address;
        let others = fresh.try_fold(1, |count, seen| {
            (seen.address == first).then_some(count + 1)
        })?;
        (first != own && others >= WITNESSES).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_must_agree_that_mail_comes_from_elsewhere() {
        let (own, other): (IpAddr, IpAddr) = (
            "192.0.2.1".parse().unwrap(),
            "198.51.100.1".parse().unwrap(),
        );
        let mut life = Life::default();
        assert!(life.observe("a", other, 0) && life.observe("b", other, 0));
        assert!(!life.observe("a", other, 1), "nothing new");
        assert_eq!(life.comes_from_elsewhere(own, 1), None);
        life.observe("c", other, 1);
        assert_eq!(life.comes_from_elsewhere(own, 2), Some(other));
        assert_eq!(
            life.comes_from_elsewhere(own, FRESH + 2),
            None,
            "too long ago"
        );
        life.observe("d", own, 3);
        assert_eq!(life.comes_from_elsewhere(own, 4), None, "one saw it right");
        assert!(life.is_confirmed(own));
    }

    #[test]
    fn few_are_kept() {
        let mut life = Life::default();
        for number in 0..100 {
            life.observe(&format!("p{number}"), "192.0.2.1".parse().unwrap(), number);
        }
        assert_eq!(life.seen.len(), MAX_SEEN);
        assert!(life.seen.contains_key("p99"));
    }
}
