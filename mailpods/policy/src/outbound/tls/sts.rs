//! MTA-STS records and policies (RFC 8461).

use serde::{Deserialize, Serialize};

/// Octets of a policy that are read (RFC 8461 §3.2 speaks of a sensible limit; §3.3 names 64 KB).
pub const MAX_POLICY: usize = 64 * 1024;
/// RFC 8461 §3.2: about a year, in seconds.
pub const MAX_AGE: u64 = 31_557_600;
/// Hosts that a policy may name.
const MAX_PATTERNS: usize = 256;
/// RFC 1035 §2.3.4, and `*.` in front.
const MAX_PATTERN: usize = 255;

/// What a domain asks of its senders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// No mail to a host that is not named or not authenticated.
    Enforce,
    /// Mail goes; failures are reported.
    Testing,
    /// The domain has no policy any more.
    None,
}

impl Mode {
    /// As it stands in a policy.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Testing => "testing",
            Self::None => "none",
        }
    }
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// What is asked.
    pub mode: Mode,
    /// Patterns of exchangers: names in lower case, the first label may be `*`.
    pub mx: Vec<String>,
    /// How long it counts from when it was fetched, in seconds; at most [`MAX_AGE`].
    pub max_age: u64,
}

/// Why a text is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Longer than [`MAX_POLICY`].
    #[error("the policy is longer than {MAX_POLICY} octets")]
    TooLong,
    /// Not US-ASCII or UTF-8.
    #[error("the policy is not text")]
    NotText,
    /// A line that is no field.
    #[error("line {0} of the policy is not `name: value`")]
    NotField(usize),
    /// A field that must be there is missing.
    #[error("the policy has no field `{0}`")]
    Missing(&'static str),
    /// A value that its field does not take.
    #[error("the policy's field `{field}` does not take {found:?} (allowed: {allowed})")]
    Value {
        /// The field.
        field: &'static str,
        /// The value.
        found: String,
        /// What it takes.
        allowed: &'static str,
    },
    /// More than 256 hosts.
    #[error("the policy names more than {MAX_PATTERNS} hosts")]
    TooManyHosts,
}

impl Policy {
    /// Reads a policy (RFC 8461 §3.2). Fields that are not known are passed over; of a field given twice the first counts.
    ///
    /// # Errors
    /// See [`PolicyError`].
    pub fn parse(octets: &[u8]) -> Result<Self, PolicyError> {
        if octets.len() > MAX_POLICY {
            return Err(PolicyError::TooLong);
        }
        let text = std::str::from_utf8(octets).map_err(|_| PolicyError::NotText)?;
        let mut fields = Fields::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim_matches([' ', '\t', '\r']);
            if !line.is_empty() {
                fields.add(line, index + 1)?;
            }
        }
        fields.policy()
    }

    /// Whether the policy lets mail go to `host` (RFC 8461 §4.1).
    #[must_use]
    pub fn names(&self, host: &str) -> bool {
        self.mx.iter().any(|pattern| matches(pattern, host))
    }

    /// The policy as its domain publishes it: its lines, without line ends.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let head = [
            "version: STSv1".to_owned(),
            format!("mode: {}", self.mode.as_str()),
        ];
        let hosts = self.mx.iter().map(|host| format!("mx: {host}"));
        let age = format!("max_age: {}", self.max_age);
        head.into_iter().chain(hosts).chain([age]).collect()
    }

    /// The id under which the domain publishes the policy: another one as soon as anything in it differs.
    #[must_use]
    pub fn id(&self) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, self.document().as_bytes());
        let octets = digest.as_ref().iter().take(16);
        octets.map(|octet| format!("{octet:02x}")).collect()
    }

    /// The document that is served (RFC 8461 §3.2).
    #[must_use]
    pub fn document(&self) -> String {
        let mut text = self.lines().join("\r\n");
        text.push_str("\r\n");
        text
    }
}

#[derive(Default)]
struct Fields<'a> {
    version: Option<&'a str>,
    mode: Option<&'a str>,
    max_age: Option<&'a str>,
    mx: Vec<String>,
}

impl<'a> Fields<'a> {
    fn add(&mut self, line: &'a str, number: usize) -> Result<(), PolicyError> {
        let (name, value) = line.split_once(':').ok_or(PolicyError::NotField(number))?;
        let value = value.trim_matches([' ', '\t']);
        match name.trim_end_matches([' ', '\t']) {
            "version" => drop(self.version.get_or_insert(value)),
            "mode" => drop(self.mode.get_or_insert(value)),
            "max_age" => drop(self.max_age.get_or_insert(value)),
            "mx" if self.mx.len() >= MAX_PATTERNS => return Err(PolicyError::TooManyHosts),
            "mx" => self.mx.push(pattern(value)?),
            _ => {}
        }
        Ok(())
    }

    fn policy(self) -> Result<Policy, PolicyError> {
        let version = self.version.ok_or(PolicyError::Missing("version"))?;
        if version != "STSv1" {
            return Err(refused("version", version, "STSv1"));
        }
        let mode = match self.mode.ok_or(PolicyError::Missing("mode"))? {
            "enforce" => Mode::Enforce,
            "testing" => Mode::Testing,
            "none" => Mode::None,
            other => return Err(refused("mode", other, "enforce, testing, none")),
        };
        let max_age = max_age(self.max_age.ok_or(PolicyError::Missing("max_age"))?)?;
        if self.mx.is_empty() && mode != Mode::None {
            return Err(PolicyError::Missing("mx"));
        }
        Ok(Policy {
            mode,
            mx: self.mx,
            max_age,
        })
    }
}

fn refused(field: &'static str, found: &str, allowed: &'static str) -> PolicyError {
    PolicyError::Value {
        field,
        found: found.chars().take(80).collect(),
        allowed,
    }
}

/// RFC 8461 §3.2: 1*10DIGIT; what is over the most counts as the most.
fn max_age(text: &str) -> Result<u64, PolicyError> {
    let digits = (1..=10).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let seconds = text.parse::<u64>().ok().filter(|_| digits);
    let seconds = seconds.ok_or_else(|| refused("max_age", text, "0 to 31557600 seconds"))?;
    Ok(seconds.min(MAX_AGE))
}

fn pattern(text: &str) -> Result<String, PolicyError> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    if text.len() > MAX_PATTERN || !name.split('.').all(label) {
        return Err(refused("mx", text, "a host name, or `*.` and a domain"));
    }
    Ok(text.to_ascii_lowercase())
}

/// RFC 8461 §4.1: `*` stands for exactly one label.
fn matches(pattern: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    match pattern.strip_prefix("*.") {
        Some(parent) => host
            .split_once('.')
            .is_some_and(|(first, rest)| !first.is_empty() && rest.eq_ignore_ascii_case(parent)),
        None => pattern.eq_ignore_ascii_case(host),
    }
}

/// The id of a domain's policy by the TXT records at `_mta-sts.DOMAIN`; `None`: there is no policy (RFC 8461 §3.1: records that do
/// not begin with the version are passed over, and exactly one must be left).
#[must_use]
pub fn id<'a>(records: impl IntoIterator<Item = &'a [u8]>) -> Option<String> {
    let mut ours = records
        .into_iter()
        .filter_map(|record| std::str::from_utf8(record).ok())
        .filter(|record| is_ours(record));
    let record = ours.next()?;
    if ours.next().is_some() {
        return None;
    }
    record.split(';').skip(1).find_map(id_of)
}

fn is_ours(record: &str) -> bool {
    let first = record.split(';').next().unwrap_or_default();
    first.trim_end_matches([' ', '\t']) == "v=STSv1" && record.contains(';')
}

fn id_of(field: &str) -> Option<String> {
    let (name, value) = field.trim_matches([' ', '\t']).split_once('=')?;
    let sound = (1..=32).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_alphanumeric());
    (name == "id" && sound).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.Example.net\r\nmax_age: 604800\r\n";

    #[test]
    fn a_policy_is_read_and_written_back() {
        let policy = Policy::parse(GOOD.as_bytes()).unwrap();
        assert_eq!(policy.mode, Mode::Enforce);
        assert_eq!(policy.mx, ["mail.example.com", "*.example.net"]);
        assert_eq!(policy.max_age, 604_800);
        assert_eq!(Policy::parse(policy.document().as_bytes()), Ok(policy));
    }

    #[test]
    fn order_line_ends_unknown_fields_and_doubles_do_not_matter() {
        let text = "max_age: 9999999999\nfuture: yes\nmx:\tmx.test  \n\nversion:STSv1\nmode: testing\nmode: enforce\n";
        let policy = Policy::parse(text.as_bytes()).unwrap();
        assert_eq!(policy.mode, Mode::Testing);
        assert_eq!(policy.mx, ["mx.test"]);
        assert_eq!(policy.max_age, MAX_AGE);
        let none = Policy::parse(b"version: STSv1\nmode: none\nmax_age: 86400").unwrap();
        assert_eq!(none.mode, Mode::None);
    }

    #[test]
    fn what_is_no_policy_says_why() {
        for (text, wanted) in [
            ("", "no field `version`"),
            ("<html>", "line 1"),
            ("version: STSv2\nmode: none\nmax_age: 1", "allowed: STSv1"),
            ("version: STSv1\nmax_age: 1", "no field `mode`"),
            ("version: STSv1\nmode: none", "no field `max_age`"),
            (
                "version: STSv1\nmode: off\nmax_age: 1",
                "enforce, testing, none",
            ),
            ("version: STSv1\nmode: enforce\nmax_age: 1", "no field `mx`"),
            (
                "version: STSv1\nmode: enforce\nmx: a.test\nmax_age: -1",
                "max_age",
            ),
            (
                "version: STSv1\nmode: enforce\nmx: a.test\nmax_age: 10000000000",
                "max_age",
            ),
            (
                "version: STSv1\nmode: enforce\nmx: a.*.test\nmax_age: 1",
                "`mx`",
            ),
            ("version: STSv1\nmode: enforce\nmx: *\nmax_age: 1", "`mx`"),
        ] {
            let error = Policy::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(wanted), "{text:?}: {error}");
        }
        let long = vec![b'a'; MAX_POLICY + 1];
        assert_eq!(Policy::parse(&long), Err(PolicyError::TooLong));
        assert_eq!(Policy::parse(&[0xff]), Err(PolicyError::NotText));
        let hosts = format!("version: STSv1\nmode: none\n{}", "mx: a.test\n".repeat(257));
        assert_eq!(
            Policy::parse(hosts.as_bytes()),
            Err(PolicyError::TooManyHosts)
        );
    }

    #[test]
    fn a_star_is_one_label() {
        let policy = Policy::parse(GOOD.as_bytes()).unwrap();
        for (host, wanted) in [
            ("mail.example.com", true),
            ("MAIL.example.com.", true),
            ("a.example.net", true),
            ("a.b.example.net", false),
            ("example.net", false),
            (".example.net", false),
            ("xexample.net", false),
            ("mail.example.com.evil.test", false),
        ] {
            assert_eq!(policy.names(host), wanted, "{host}");
        }
    }

    #[test]
    fn one_record_names_the_id() {
        let of = |records: &[&str]| id(records.iter().map(|record| record.as_bytes()));
        assert_eq!(
            of(&["v=STSv1; id=20160831085700Z;"]).as_deref(),
            Some("20160831085700Z")
        );
        assert_eq!(of(&["v=STSv1;id=a", "v=spf1 -all"]).as_deref(), Some("a"));
        assert_eq!(of(&["v=STSv1; x=y; id=a"]).as_deref(), Some("a"));
        for none in [
            &[][..],
            &["v=STSv1"],
            &["v=STSv1; id="],
            &["v=STSv1; id=a-b"],
            &["v=STSv1; id=123456789012345678901234567890123"],
            &["v=STSv12; id=a"],
            &["v=STSv1; id=a", "v=STSv1; id=b"],
        ] {
            assert_eq!(of(none), None, "{none:?}");
        }
    }
}
