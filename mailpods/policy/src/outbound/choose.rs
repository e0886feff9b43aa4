//! Which addresses of a pool send, which stay on standby, and which one a message takes.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

/// What kind of mail it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Class {
    /// From a person or a program to somebody.
    Transactional,
    /// To many, and says so.
    Bulk,
    /// Sent on by an alias here.
    Forwarded,
    /// From the null sender.
    Bounce,
}

impl Class {
    /// The stable name, as in the settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transactional => "Transactional",
            Self::Bulk => "Bulk",
            Self::Forwarded => "Forwarded",
            Self::Bounce => "Bounce",
        }
    }
}

/// Sends some mail to a pool of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolRule {
    /// Mail of this class; `None`: of any.
    pub class: Option<Class>,
    /// Mail of this sender: an address, or a domain; `None`: of any.
    pub sender: Option<String>,
    /// The pool.
    pub pool: String,
}

/// The pool of the first rule that fits; `None`: no rule speaks of the mail. Sender addresses are compared in lower case.
#[must_use]
pub fn pool<'a>(rules: &'a [PoolRule], sender: &str, class: Class) -> Option<&'a str> {
    let sender = sender.to_ascii_lowercase();
    let domain = sender.rsplit_once('@').map(|(_, domain)| domain);
    let is_from = |wanted: &str| {
        let wanted = wanted.to_ascii_lowercase();
        wanted == sender || Some(wanted.as_str()) == domain
    };
    rules
        .iter()
        .find(|rule| {
            rule.class.is_none_or(|wanted| wanted == class)
                && rule.sender.as_deref().is_none_or(is_from)
        })
        .map(|rule| rule.pool.as_str())
}

/// An address of a pool, seen for one provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Mail to the provider may leave from it now.
    pub usable: bool,
    /// It is back from a rest.
    pub on_probation: bool,
    /// It is meant for standby.
    pub standby: bool,
    /// Its share among those that send.
    pub weight: u32,
    /// The same wherever it stands among the members.
    pub id: u64,
}

/// Who sends to a provider now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seats {
    /// Positions of the members that send.
    pub sending: Vec<usize>,
    /// Positions of the members that are kept.
    pub standby: Vec<usize>,
    /// Fewer are kept than wanted: the pool cannot keep `min_standby`.
    pub short: bool,
}

/// Gives the seats of a pool. As many send as are meant to; `min_standby` of the usable ones are kept back all the same, but never
/// the last one. Those meant to send come first, and those that had no trouble before those on probation; among equals the order
/// of `members` counts, so that the seats stay with whom they are.
#[must_use]
pub fn seats(members: &[Member], min_standby: usize) -> Seats {
    let meant = members.iter().filter(|member| !member.standby).count();
    let mut usable: Vec<usize> = (0..members.len())
        .filter(|&at| members.get(at).is_some_and(|member| member.usable))
        .collect();
    usable.sort_by_key(|&at| {
        members
            .get(at)
            .map(|member| (member.standby, member.on_probation))
    });
    let most = usable.len().saturating_sub(min_standby).max(1);
    let sending = meant.max(1).min(most).min(usable.len());
    let standby = usable.split_off(sending);
    Seats {
        short: standby.len() < min_standby,
        sending: usable,
        standby,
    }
}

/// How messages are spread over the addresses that send.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Balance {
    /// In turn.
    #[default]
    RoundRobin,
    /// By the weights of the addresses.
    Weighted,
    /// The same message always takes the same address while that one sends.
    Sticky,
}

/// What spreads one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Grows with each message of the pool.
    pub count: u64,
    /// Fresh randomness.
    pub random: u64,
    /// The same for every attempt at a message.
    pub message: u64,
}

impl Balance {
    /// The addresses that send, in the order in which they are tried for a message.
    #[must_use]
    pub fn order(self, members: &[Member], sending: &[usize], turn: Turn) -> Vec<usize> {
        let mut order = sending.to_vec();
        match self {
            Self::RoundRobin => rotate(&mut order, turn.count),
            Self::Weighted => {
                let first = weighted(members, sending, turn.random);
                order.rotate_left(first);
            }
            // Rendezvous hashing: who sends beside it does not move a message.
            Self::Sticky => order.sort_by_key(|&at| {
                let id = members.get(at).map(|member| member.id);
                mix(turn.message ^ mix(id.unwrap_or_default()))
            }),
        }
        order
    }
}

fn rotate(order: &mut [usize], count: u64) {
    if let Some(by) = count
        .checked_rem(order.len() as u64)
        .and_then(|by| usize::try_from(by).ok())
    {
        order.rotate_left(by);
    }
}

/// The position in `sending` that `random` falls on.
fn weighted(members: &[Member], sending: &[usize], random: u64) -> usize {
    let weight = |at: &usize| {
        members
            .get(*at)
            .map_or(0, |member| u64::from(member.weight))
    };
    let total: u64 = sending.iter().map(weight).sum();
    let mut left = random.checked_rem(total).unwrap_or(0);
    for (position, at) in sending.iter().enumerate() {
        match left.checked_sub(weight(at)) {
            Some(rest) => left = rest,
            None => return position,
        }
    }
    0
}

/// The finalizer of SplitMix64: spreads the bits of a number.
const fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
