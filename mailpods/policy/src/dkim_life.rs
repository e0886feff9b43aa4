//! The life of DKIM keys: each is published, signs once everybody can see it, and stays in DNS for a while after.
//!
//! [`decide`] is told what there is and says what to do, one step of each key at a time. It holds that
//! - a key signs only while DNS shows it, and begins only after no cache can hold that it is absent;
//! - a key is never changed under its selector (a verifier may hold the old record): a new one gets a new selector;
//! - a key stops only when another of its kind signs, and its record stays for mail that is read late;
//! - a clock that is set back only makes waits longer, one that is set forward skips no phase and no look at DNS.
//!
//! Who publishes makes no difference: people or programs, a key goes on by what is seen.

mod selector;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

pub use selector::new_selector;

/// Keys of one family; with more, no further one is made before old ones are gone.
pub const MAX_KEYS: usize = 8;

/// Where a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Its record is wanted; it is not seen at all servers of the zone, or not for as long as a cache may hold that it is absent.
    Publishing,
    /// Nobody can miss it.
    Published,
    /// It signs.
    Signing,
    /// It signs no more; its record stays for mail that is on the way or read late.
    Retiring,
    /// Its record is not wanted any more.
    Removed,
}

impl Phase {
    /// All phases, in their order.
    pub const ALL: [Self; 5] = [
        Self::Publishing,
        Self::Published,
        Self::Signing,
        Self::Retiring,
        Self::Removed,
    ];

    /// The name in status and annotations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publishing => "Publishing",
            Self::Published => "Published",
            Self::Signing => "Signing",
            Self::Retiring => "Retiring",
            Self::Removed => "Removed",
        }
    }

    /// Whether the record is wanted in DNS.
    #[must_use]
    pub const fn is_published(self) -> bool {
        !matches!(self, Self::Removed)
    }

    /// Whether the key signs, or is on its way there.
    const fn is_live(self) -> bool {
        matches!(self, Self::Publishing | Self::Published | Self::Signing)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no phase.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no phase of a DKIM key: Publishing, Published, Signing, Retiring or Removed")]
pub struct UnknownPhase(String);

impl FromStr for Phase {
    type Err = UnknownPhase;

    fn from_str(text: &str) -> Result<Self, UnknownPhase> {
        let named = |phase: &Self| phase.as_str() == text;
        let phase = Self::ALL.into_iter().find(named);
        phase.ok_or_else(|| UnknownPhase(text.to_owned()))
    }
}

/// Why a key changes its phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// All servers of the zone have shown it for its time to live.
    SeenEverywhere,
    /// Nothing holds it back from signing.
    TakesOver,
    /// It signs again, because the key that replaced it does not.
    Resumed,
    /// It signed, and DNS shows it no more.
    Vanished,
    /// It was seen at all servers of the zone, and is not any more.
    NotSeenEverywhere,
    /// A newer key signs.
    Replaced,
    /// The domain does not name it any more.
    NotWanted,
    /// The domain names it again.
    WantedAgain,
    /// Mail that it signed is read by now.
    Retired,
    /// Nothing was signed with it, so that nobody looks for it.
    NeverSigned,
    /// The phase is said to have begun later than now: the wait begins anew.
    ClockSetBack,
}

impl Reason {
    /// The name in status, events and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SeenEverywhere => "SeenEverywhere",
            Self::TakesOver => "TakesOver",
            Self::Resumed => "Resumed",
            Self::Vanished => "Vanished",
            Self::NotSeenEverywhere => "NotSeenEverywhere",
            Self::Replaced => "Replaced",
            Self::NotWanted => "NotWanted",
            Self::WantedAgain => "WantedAgain",
            Self::Retired => "Retired",
            Self::NeverSigned => "NeverSigned",
            Self::ClockSetBack => "ClockSetBack",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Kinds of keys. Not every verifier knows both, so that none stands in for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// `rsa-sha256` (RFC 6376 §3.3.1).
    Rsa,
    /// `ed25519-sha256` (RFC 8463 §3).
    Ed25519,
}

/// What DNS showed of a key's record at the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observation {
    /// Nobody could look, or no server answered.
    Unknown,
    /// Servers answered, and none with this record.
    Absent,
    /// Some servers answered with it, others without or not at all.
    Partly,
    /// All servers of the zone answered with it.
    Everywhere {
        /// Since when, seconds since 1970.
        since: i64,
    },
}

/// A key that a domain wants, through all its generations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// Selector of the first key, and what those of later ones begin with.
    pub base: String,
    /// Kind of its keys.
    pub algorithm: Algorithm,
    /// Whether the key is the user's: there is never another than `base`.
    pub is_own: bool,
}

/// A key that there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Selector, one key each.
    pub selector: String,
    /// Base of the family that it was made for.
    pub base: String,
    /// Kind.
    pub algorithm: Algorithm,
    /// Whether it is the user's.
    pub is_own: bool,
    /// Its place in the family, as [`Action::Make`] said; newer keys have higher ones, whatever the clocks said.
    pub generation: u32,
    /// The demand that [`Action::Make`] said.
    pub demand: Option<String>,
    /// Where it stands.
    pub phase: Phase,
    /// Since when, seconds since 1970.
    pub since: i64,
    /// When it was made, seconds since 1970.
    pub created: i64,
    /// Whether it ever was [`Phase::Signing`].
    pub has_signed: bool,
    /// What DNS shows.
    pub seen: Observation,
}

/// When keys change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Age at which a key gets a successor; `None`: never by age.
    pub interval: Option<Duration>,
    /// A value that people change when they want new keys.
    pub demand: Option<String>,
    /// How long the record of a key stays that signs no more.
    pub retire_after: Duration,
    /// Time to live of the records.
    pub ttl: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        Self {
            interval: Some(days(180)),
            demand: None,
            // What is queued is tried for five days.
            retire_after: days(7),
            ttl: Duration::from_secs(3_600),
        }
    }
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make a key in [`Phase::Publishing`]; where the family is the user's own, take theirs.
    Make {
        /// Base of its family.
        base: String,
        /// Kind.
        algorithm: Algorithm,
        /// Selector.
        selector: String,
        /// To be kept with the key.
        generation: u32,
        /// To be kept with the key.
        demand: Option<String>,
    },
    /// Write down the phase of a key, which begins now.
    SetPhase {
        /// The key's selector.
        selector: String,
        /// The phase.
        phase: Phase,
        /// Why.
        reason: Reason,
    },
    /// Delete a key.
    Delete {
        /// The key's selector.
        selector: String,
    },
}

/// Why a key that is due cannot be made yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Blocked {
    /// There are [`MAX_KEYS`] of its family; the oldest go first.
    TooManyKeys,
    /// The user's key has the selector of another key: it needs one of its own, since keys never change under a selector.
    SelectorTaken,
}

/// What to do, and when to look again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// What to do: keys to make by family, then the other keys by selector.
    pub actions: Vec<Action>,
    /// Bases of families whose next key cannot be made yet.
    pub blocked: Vec<(String, Blocked)>,
    /// When to decide again if nothing else happens before; zero: once the actions are done. `None`: when something changes.
    pub again: Option<Duration>,
}

/// The next step of each key of a domain. The order of `keys` makes no difference.
#[must_use]
pub fn decide(families: &[Family], keys: &[Key], rules: &Rules, now: i64) -> Decision {
    let mut unique: Vec<&Family> = Vec::new();
    for family in families {
        if !unique.iter().any(|other| other.base == family.base) {
            unique.push(family);
        }
    }
    let life = Life {
        families: unique,
        keys,
        rules,
        now,
    };
    let (mut actions, blocked) = life.makes();
    let mut sorted: Vec<&Key> = keys.iter().collect();
    sorted.sort_by(|a, b| a.selector.cmp(&b.selector));
    actions.extend(sorted.iter().filter_map(|key| life.act(key)));
    let again = if actions.is_empty() {
        let waits = keys.iter().filter_map(|key| life.wait(key));
        waits
            .chain(life.families.iter().filter_map(|f| life.due(f)))
            .min()
    } else {
        Some(Duration::ZERO)
    };
    Decision {
        actions,
        blocked,
        again,
    }
}

struct Life<'a> {
    families: Vec<&'a Family>,
    keys: &'a [Key],
    rules: &'a Rules,
    now: i64,
}

impl<'a> Life<'a> {
    fn family(&self, key: &Key) -> Option<&'a Family> {
        let mut families = self.families.iter().copied();
        families.find(|family| is_of(key, family))
    }

    fn keys_of(&self, family: &Family) -> impl Iterator<Item = &'a Key> {
        self.keys.iter().filter(|key| is_of(key, family))
    }

    fn newest(&self, family: &Family) -> Option<&'a Key> {
        let live = self.keys_of(family).filter(|key| key.phase.is_live());
        live.max_by_key(|key| order(key))
    }

    /// The keys that families lack.
    fn makes(&self) -> (Vec<Action>, Vec<(String, Blocked)>) {
        let (mut made, mut blocked) = (Vec::new(), Vec::new());
        let mut names = Vec::new();
        for family in self.families.iter().filter(|family| self.lacks(family)) {
            match self.name(family, &names) {
                Ok(name) => {
                    names.push(name.clone());
                    made.push(self.make(family, name));
                }
                Err(why) => blocked.push((family.base.clone(), why)),
            }
        }
        (made, blocked)
    }

    fn lacks(&self, family: &Family) -> bool {
        match self.newest(family) {
            None => self.kept(family).next().is_none() && self.returning(family).is_none(),
            Some(newest) => self.is_outdated(family, newest),
        }
    }

    /// The user's key, in whatever phase: no other can be made.
    fn kept(&self, family: &Family) -> impl Iterator<Item = &'a Key> {
        let own = family.is_own;
        self.keys_of(family).filter(move |_| own)
    }

    /// The selector of a family's next key.
    fn name(&self, family: &Family, made: &[String]) -> Result<String, Blocked> {
        let base = &family.base;
        let is_taken = |name: &str| self.keys.iter().any(|key| key.selector == name);
        let is_reserved = |name: &str| {
            made.iter().any(|other| other == name) || self.families.iter().any(|f| f.base == name)
        };
        let others = self.keys.iter().filter(|key| key.base == *base).count();
        if others >= MAX_KEYS {
            Err(Blocked::TooManyKeys)
        } else if !is_taken(base) && (others == 0 || family.is_own) {
            Ok(base.clone())
        } else if family.is_own {
            Err(Blocked::SelectorTaken)
        } else {
            Ok(new_selector(base, self.now, |name| {
                is_taken(name) || is_reserved(name)
            }))
        }
    }

    fn make(&self, family: &Family, selector: String) -> Action {
        let others = self.keys.iter().filter(|key| key.base == family.base);
        let newest = others.map(|key| key.generation).max();
        Action::Make {
            base: family.base.clone(),
            algorithm: family.algorithm,
            selector,
            generation: newest.map_or(0, |generation| generation.saturating_add(1)),
            demand: self.rules.demand.clone(),
        }
    }

    /// Whether the newest key needs a successor. One that does not sign yet is new enough: there is one successor at a time.
    fn is_outdated(&self, family: &Family, newest: &Key) -> bool {
        let asked = self.rules.demand.is_some() && self.rules.demand != newest.demand;
        let old = self.left(newest).is_some_and(|left| left.is_zero());
        !family.is_own && newest.phase == Phase::Signing && (asked || old)
    }

    /// Time until a key has reached its age.
    fn left(&self, key: &Key) -> Option<Duration> {
        // A key that is made later than now was made by a clock that was ahead.
        let born = if key.created > self.now {
            key.since
        } else {
            key.created
        };
        Some(self.rules.interval?.saturating_sub(self.age(born)))
    }

    fn due(&self, family: &Family) -> Option<Duration> {
        let newest = self
            .newest(family)
            .filter(|key| key.phase == Phase::Signing)?;
        let full = self.keys_of(family).count() >= MAX_KEYS;
        self.left(newest).filter(|_| !family.is_own && !full)
    }

    /// The key that signs again when none of the family does.
    fn returning(&self, family: &Family) -> Option<&'a Key> {
        let signs = |key: &Key| {
            key.phase == Phase::Published && is_everywhere(key)
                || key.phase == Phase::Signing && key.seen != Observation::Absent
        };
        if self.keys_of(family).any(signs) {
            return None;
        }
        let shown = |key: &&Key| key.phase == Phase::Retiring && is_everywhere(key);
        self.keys_of(family)
            .filter(shown)
            .max_by_key(|key| order(key))
    }

    fn act(&self, key: &Key) -> Option<Action> {
        let selector = key.selector.clone();
        if let Some((phase, reason)) = self.next(key) {
            return Some(Action::SetPhase {
                selector,
                phase,
                reason,
            });
        }
        let gone =
            key.seen == Observation::Absent || self.age(key.since) >= self.rules.retire_after;
        (key.phase == Phase::Removed && gone).then_some(Action::Delete { selector })
    }

    fn next(&self, key: &Key) -> Option<(Phase, Reason)> {
        let next = match key.phase {
            Phase::Publishing | Phase::Published => self.next_before(key),
            Phase::Signing => self.next_signing(key),
            Phase::Retiring | Phase::Removed => self.next_after(key),
        };
        let back = (key.since > self.now).then_some((key.phase, Reason::ClockSetBack));
        next.or(back)
    }

    /// Before it signs.
    fn next_before(&self, key: &Key) -> Option<(Phase, Reason)> {
        if let Some(reason) = self.ends(key) {
            return Some(if key.has_signed {
                (Phase::Retiring, reason)
            } else {
                (Phase::Removed, Reason::NeverSigned)
            });
        }
        match (key.phase, key.seen) {
            (Phase::Publishing, Observation::Everywhere { since }) => (self.age(since)
                >= self.rules.ttl)
                .then_some((Phase::Published, Reason::SeenEverywhere)),
            (Phase::Published, Observation::Everywhere { .. }) => {
                Some((Phase::Signing, Reason::TakesOver))
            }
            (Phase::Published, Observation::Absent | Observation::Partly) => {
                Some((Phase::Publishing, Reason::NotSeenEverywhere))
            }
            _ => None,
        }
    }

    fn next_signing(&self, key: &Key) -> Option<(Phase, Reason)> {
        let wanted = self.family(key).is_some();
        match key.seen {
            // RFC 6376 §6.1.2: without its record a signature is a failed one. Trouble with DNS itself says nothing of the
            // record, and where servers differ most verifiers may still find it.
            Observation::Absent if wanted => Some((Phase::Publishing, Reason::Vanished)),
            Observation::Absent => Some((Phase::Retiring, Reason::NotWanted)),
            _ => self.ends(key).map(|reason| (Phase::Retiring, reason)),
        }
    }

    /// After it has signed.
    fn next_after(&self, key: &Key) -> Option<(Phase, Reason)> {
        let family = self.family(key);
        let returns = |family| self.returning(family).is_some_and(|other| other == key);
        if family.is_some_and(returns) {
            return Some((Phase::Signing, Reason::Resumed));
        }
        // A key of the user's has no successor that could be made instead.
        if family.is_some_and(|family| family.is_own) {
            return Some((Phase::Publishing, Reason::WantedAgain));
        }
        let over = key.phase == Phase::Retiring && self.age(key.since) >= self.rules.retire_after;
        over.then_some((Phase::Removed, Reason::Retired))
    }

    /// Why a key is not to sign any more.
    fn ends(&self, key: &Key) -> Option<Reason> {
        let signs =
            |other: &&Key| other.phase == Phase::Signing && other.seen != Observation::Absent;
        if let Some(family) = self.family(key) {
            let newer = |other: &Key| order(other) > order(key);
            let replaced = self.keys_of(family).filter(signs).any(newer);
            return replaced.then_some(Reason::Replaced);
        }
        let heirs = self.families.iter();
        let mut heirs = heirs
            .filter(|family| family.algorithm == key.algorithm)
            .peekable();
        let inherited = heirs.peek().is_none()
            || key.phase != Phase::Signing
            || heirs.any(|family| self.keys_of(family).any(|other| signs(&other)));
        inherited.then_some(Reason::NotWanted)
    }

    /// Time until a phase ends by itself.
    fn wait(&self, key: &Key) -> Option<Duration> {
        let (wait, since) = match (key.phase, key.seen) {
            (Phase::Publishing, Observation::Everywhere { since }) => (self.rules.ttl, since),
            (Phase::Retiring | Phase::Removed, _) => (self.rules.retire_after, key.since),
            _ => return None,
        };
        Some(wait.saturating_sub(self.age(since)))
    }

    /// A moment that is yet to come is now.
    fn age(&self, since: i64) -> Duration {
        let seconds = self.now.saturating_sub(since);
        Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
    }
}

fn is_of(key: &Key, family: &Family) -> bool {
    key.base == family.base && key.algorithm == family.algorithm && key.is_own == family.is_own
}

fn order(key: &Key) -> (u32, &str) {
    (key.generation, &key.selector)
}

const fn is_everywhere(key: &Key) -> bool {
    matches!(key.seen, Observation::Everywhere { .. })
}
