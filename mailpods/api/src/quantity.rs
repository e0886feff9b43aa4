//! Times and sizes as Kubernetes writes them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::names::string_value;

/// Why a text is not a time or a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a sum of numbers with units.
    #[error("{0:?} is not a time such as \"30s\", \"4h\" or \"1d12h\"")]
    Time(String),
    /// Longer than ten years.
    #[error("time is longer than ten years")]
    TooLong,
    /// Not a number with a unit.
    #[error("{0:?} is not a size such as \"512Ki\", \"25Mi\" or \"10Gi\"")]
    Size(String),
    /// Not a number of percent.
    #[error("{0:?} is not a size such as \"100Mi\", nor \"0%\" to \"100%\"")]
    Percent(String),
    /// Beyond what a signed 64-bit number holds.
    #[error("size is larger than 8Ei")]
    TooLarge,
}

/// Longest time that is accepted.
const TEN_YEARS: Duration = Duration::from_secs(3_660 * 86_400);

/// A length of time: `30s`, `4h`, `1d12h`. Units `ms`, `s`, `m`, `h` and `d`; whole numbers; at most ten years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeSpan(Duration);

impl TimeSpan {
    /// So many seconds.
    #[must_use]
    pub const fn seconds(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }

    /// So many minutes.
    #[must_use]
    pub const fn minutes(count: u64) -> Self {
        Self::seconds(count * 60)
    }

    /// So many hours.
    #[must_use]
    pub const fn hours(count: u64) -> Self {
        Self::minutes(count * 60)
    }

    /// So many days.
    #[must_use]
    pub const fn days(count: u64) -> Self {
        Self::hours(count * 24)
    }

    /// As the standard library's type.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl FromStr for TimeSpan {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || QuantityError::Time(text.chars().take(40).collect());
        let mut total = Duration::ZERO;
        let mut rest = text;
        loop {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, tail) = rest.split_at(digits);
            let units = tail.len()
                - tail
                    .trim_start_matches(|c: char| c.is_ascii_alphabetic())
                    .len();
            let (unit, tail) = tail.split_at(units);
            let number = number.parse::<u32>().map_err(|_| invalid())?;
            let step = unit_of_time(unit).ok_or_else(invalid)?.checked_mul(number);
            total = step
                .and_then(|step| total.checked_add(step))
                .ok_or(QuantityError::TooLong)?;
            if total > TEN_YEARS {
                return Err(QuantityError::TooLong);
            }
            if tail.is_empty() {
                return Ok(Self(total));
            }
            rest = tail;
        }
    }
}

const fn unit_of_time(unit: &str) -> Option<Duration> {
    match unit.as_bytes() {
        b"ms" => Some(Duration::from_millis(1)),
        b"s" => Some(Duration::from_secs(1)),
        b"m" => Some(Duration::from_secs(60)),
        b"h" => Some(Duration::from_secs(3_600)),
        b"d" => Some(Duration::from_secs(86_400)),
        _ => None,
    }
}

impl fmt::Display for TimeSpan {
    /// The largest units first, those that are zero left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_millis();
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, length) in [
            ("d", 86_400_000),
            ("h", 3_600_000),
            ("m", 60_000),
            ("s", 1_000),
            ("ms", 1),
        ] {
            if rest >= length {
                write!(f, "{}{unit}", rest / length)?;
                rest %= length;
            }
        }
        Ok(())
    }
}

string_value!(TimeSpan, 40, r"^([0-9]{1,10}(ms|s|m|h|d))+$");

/// A size in octets as a Kubernetes quantity: `10Gi`, `25M`, `1048576`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Octets(pub u64);

impl Octets {
    /// So many MiB.
    #[must_use]
    pub const fn mebi(count: u64) -> Self {
        Self(count << 20)
    }
}

/// Units with their factors, largest binary ones first.
const SIZES: [(&str, u64); 12] = [
    ("Ei", 1 << 60),
    ("Pi", 1 << 50),
    ("Ti", 1 << 40),
    ("Gi", 1 << 30),
    ("Mi", 1 << 20),
    ("Ki", 1 << 10),
    ("E", 1_000_000_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("T", 1_000_000_000_000),
    ("G", 1_000_000_000),
    ("M", 1_000_000),
    ("k", 1_000),
];

impl FromStr for Octets {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || QuantityError::Size(text.chars().take(40).collect());
        let end = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let factor = match unit {
            "" => 1,
            unit => {
                SIZES
                    .iter()
                    .find(|(name, _)| *name == unit)
                    .ok_or_else(invalid)?
                    .1
            }
        };
        if number.is_empty() {
            return Err(invalid());
        }
        let octets = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(factor));
        octets
            .filter(|octets| i64::try_from(*octets).is_ok())
            .map(Self)
            .ok_or(QuantityError::TooLarge)
    }
}

impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = |(_, factor): &&(&str, u64)| self.0 != 0 && self.0.is_multiple_of(*factor);
        match SIZES.iter().take(6).find(exact) {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for Octets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Number(number) => number.to_string(),
            Written::Text(text) => text,
        };
        text.parse().map_err(de::Error::custom)
    }
}

impl schemars::JsonSchema for Octets {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Octets".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "x-kubernetes-int-or-string": true,
            "pattern": r"^[0-9]{1,19}(Ei|Pi|Ti|Gi|Mi|Ki|E|P|T|G|M|k)?$",
        })
    }
}

/// How much more than something: a size, or percent of it: `100Mi`, `10%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Allowance {
    /// So many octets.
    Octets(Octets),
    /// So many percent, 100 at most.
    Percent(u8),
}

impl Allowance {
    /// Octets for something of `size`.
    #[must_use]
    pub fn of(self, size: u64) -> u64 {
        match self {
            Self::Octets(octets) => octets.0,
            Self::Percent(percent) => {
                let part = u128::from(size) * u128::from(percent) / 100;
                u64::try_from(part).unwrap_or(u64::MAX)
            }
        }
    }
}

impl FromStr for Allowance {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some(percent) = text.strip_suffix('%') else {
            return text.parse().map(Self::Octets);
        };
        let digits = percent.bytes().all(|octet| octet.is_ascii_digit());
        let percent = percent
            .parse()
            .ok()
            .filter(|percent| digits && *percent <= 100);
        percent
            .map(Self::Percent)
            .ok_or_else(|| QuantityError::Percent(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Allowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Octets(octets) => octets.fmt(f),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

string_value!(
    Allowance,
    24,
    r"^([0-9]{1,19}(Ei|Pi|Ti|Gi|Mi|Ki|E|P|T|G|M|k)?|(100|[0-9]{1,2})%)$"
);
