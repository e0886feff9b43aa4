//! TLS reports (RFC 8460): where they go, what they count, and the report as JSON writes it.

use serde::{Deserialize, Serialize};

use super::sts::Policy;
use super::tlsa::Tlsa;

/// Addresses that one domain may ask for.
const MAX_TARGETS: usize = 8;
/// Kinds of failure that are told apart for one policy; more count as the last one.
pub const MAX_FAILURES: usize = 64;

/// Where a domain wants its reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A mail address.
    Mail(String),
    /// A URL that takes a POST.
    Https(String),
}

/// Where reports go by the TXT records at `_smtp._tls.DOMAIN`; empty: nowhere (RFC 8460 §3: records that do not begin with the version
/// are passed over, and exactly one must be left).
#[must_use]
pub fn targets<'a>(records: impl IntoIterator<Item = &'a [u8]>) -> Vec<Target> {
    let mut ours = records
        .into_iter()
        .filter_map(|record| std::str::from_utf8(record).ok())
        .filter_map(|record| record.strip_prefix("v=TLSRPTv1"))
        .filter_map(|rest| rest.trim_start_matches([' ', '\t']).strip_prefix(';'));
    let (Some(fields), None) = (ours.next(), ours.next()) else {
        return Vec::new();
    };
    let rua = fields
        .split(';')
        .find_map(|field| field.trim_matches([' ', '\t']).strip_prefix("rua="));
    let uris = rua.unwrap_or_default().split(',');
    uris.filter_map(target).take(MAX_TARGETS).collect()
}

fn target(uri: &str) -> Option<Target> {
    let uri = uri.trim_matches([' ', '\t']);
    let sound = uri.len() <= 512 && uri.bytes().all(|octet| octet.is_ascii_graphic());
    let (scheme, rest) = uri.split_once(':').filter(|_| sound)?;
    match scheme.to_ascii_lowercase().as_str() {
        "mailto" => {
            let address = rest.split(['?', '!']).next().unwrap_or_default();
            let plain = !address.is_empty() && address.contains('@') && !address.contains('%');
            plain.then(|| Target::Mail(address.to_owned()))
        }
        "https" if rest.starts_with("//") => Some(Target::Https(format!("https:{rest}"))),
        _ => None,
    }
}

/// Declares the result types with their names (RFC 8460 §4.3).
macro_rules! results {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// Why a session is not as the policy wants it (RFC 8460 §4.3).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum ResultType {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $variant,)+
        }

        impl ResultType {
            /// The stable name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

results! {
    /// STARTTLS is not offered, or refused.
    StarttlsNotSupported = "starttls-not-supported",
    /// The certificate is for another name.
    CertificateHostMismatch = "certificate-host-mismatch",
    /// The certificate has expired.
    CertificateExpired = "certificate-expired",
    /// No authority that is trusted gave the certificate.
    CertificateNotTrusted = "certificate-not-trusted",
    /// Anything else.
    ValidationFailure = "validation-failure",
    /// No TLSA record matches the certificate.
    TlsaInvalid = "tlsa-invalid",
    /// DNSSEC proves an answer wrong, or it could not be had.
    DnssecInvalid = "dnssec-invalid",
    /// The MTA-STS policy could not be fetched.
    StsPolicyFetchError = "sts-policy-fetch-error",
    /// The MTA-STS policy cannot be read.
    StsPolicyInvalid = "sts-policy-invalid",
    /// The certificate of the host that serves the MTA-STS policy does not verify.
    StsWebpkiInvalid = "sts-webpki-invalid",
}

/// The policy that sessions were made under.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PolicyShown {
    /// `tlsa`, `sts` or `no-policy-found`.
    pub policy_type: String,
    /// The policy's lines, or the TLSA records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policy_string: Vec<String>,
    /// The recipients' domain.
    pub policy_domain: String,
    /// The hosts that the policy names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mx_host: Vec<String>,
}

impl PolicyShown {
    /// Of a domain that publishes nothing.
    #[must_use]
    pub fn none(domain: &str) -> Self {
        Self {
            policy_type: "no-policy-found".to_owned(),
            policy_string: Vec::new(),
            policy_domain: domain.to_owned(),
            mx_host: Vec::new(),
        }
    }

    /// Of a domain with MTA-STS.
    #[must_use]
    pub fn sts(domain: &str, policy: &Policy) -> Self {
        Self {
            policy_type: "sts".to_owned(),
            policy_string: policy.lines(),
            mx_host: policy.mx.clone(),
            ..Self::none(domain)
        }
    }

    /// Of a server with TLSA records.
    #[must_use]
    pub fn tlsa(domain: &str, host: &str, records: &[Tlsa]) -> Self {
        Self {
            policy_type: "tlsa".to_owned(),
            policy_string: records.iter().map(ToString::to_string).collect(),
            mx_host: vec![host.to_owned()],
            ..Self::none(domain)
        }
    }
}

/// A kind of failure (RFC 8460 §4.4).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Failure {
    /// What went wrong.
    pub result_type: ResultType,
    /// Our address, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sending_mta_ip: Option<String>,
    /// The server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiving_mx_hostname: Option<String>,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiving_ip: Option<String>,
    /// More about it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason_code: Option<String>,
}

/// Sessions under one policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The policy.
    pub policy: PolicyShown,
    /// Sessions as the policy wants them.
    pub successes: u64,
    /// The others, by kind.
    pub failures: Vec<(Failure, u64)>,
}

impl Tally {
    /// Nothing counted.
    #[must_use]
    pub const fn new(policy: PolicyShown) -> Self {
        Self {
            policy,
            successes: 0,
            failures: Vec::new(),
        }
    }

    /// Counts a session.
    pub fn count(&mut self, failure: Option<Failure>) {
        match failure {
            None => self.successes = self.successes.saturating_add(1),
            Some(failure) => self.fail(failure, 1),
        }
    }

    fn fail(&mut self, failure: Failure, times: u64) {
        let known = self
            .failures
            .iter()
            .position(|(other, _)| *other == failure);
        let full = self.failures.len() >= MAX_FAILURES;
        match known.or(full.then(|| self.failures.len().saturating_sub(1))) {
            Some(at) => {
                if let Some((_, count)) = self.failures.get_mut(at) {
                    *count = count.saturating_add(times);
                }
            }
            None => self.failures.push((failure, times)),
        }
    }

    /// Takes in what another counted under the same policy.
    pub fn merge(&mut self, other: Self) {
        self.successes = self.successes.saturating_add(other.successes);
        for (failure, times) in other.failures {
            self.fail(failure, times);
        }
    }
}

/// Adds tallies of one domain to others of it, policy by policy.
pub fn merge(into: &mut Vec<Tally>, more: Vec<Tally>) {
    for tally in more {
        if let Some(known) = into.iter_mut().find(|known| known.policy == tally.policy) {
            known.merge(tally);
        } else if into.len() < MAX_FAILURES {
            into.push(tally);
        }
    }
}

/// The day of a moment, `2026-01-31` (UTC), and the moment that it begins at; both in milliseconds since 1970.
#[must_use]
pub fn day(now: i64) -> (String, i64) {
    const DAY: i64 = 86_400_000;
    let days = now.div_euclid(DAY);
    // Civil date from days: eras of 400 years that begin in March, so that the leap day is the last one.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let part = (5 * of_year + 2) / 153;
    let date = of_year - (153 * part + 2) / 5 + 1;
    let month = if part < 10 { part + 3 } else { part - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (format!("{year:04}-{month:02}-{date:02}"), days * DAY)
}

/// A report (RFC 8460 §4.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    organization_name: String,
    date_range: Range,
    contact_info: String,
    report_id: String,
    policies: Vec<Shown>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Range {
    start_datetime: String,
    end_datetime: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Shown {
    policy: PolicyShown,
    summary: Summary,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failure_details: Vec<Detail>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Summary {
    total_successful_session_count: u64,
    total_failure_session_count: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Detail {
    #[serde(flatten)]
    failure: Failure,
    failed_session_count: u64,
}

impl Report {
    /// The report of a day (`2026-01-31`, UTC) about one domain.
    #[must_use]
    pub fn new(organization: &str, contact: &str, id: &str, day: &str, tallies: &[Tally]) -> Self {
        Self {
            organization_name: organization.to_owned(),
            date_range: Range {
                start_datetime: format!("{day}T00:00:00Z"),
                end_datetime: format!("{day}T23:59:59Z"),
            },
            contact_info: contact.to_owned(),
            report_id: id.to_owned(),
            policies: tallies.iter().map(shown).collect(),
        }
    }
}

fn shown(tally: &Tally) -> Shown {
    let failed = tally.failures.iter();
    Shown {
        policy: tally.policy.clone(),
        summary: Summary {
            total_successful_session_count: tally.successes,
            total_failure_session_count: failed.clone().map(|(_, times)| times).sum(),
        },
        failure_details: failed
            .map(|(failure, times)| Detail {
                failure: failure.clone(),
                failed_session_count: *times,
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(host: &str) -> Failure {
        Failure {
            result_type: ResultType::CertificateExpired,
            sending_mta_ip: Some("192.0.2.1".to_owned()),
            receiving_mx_hostname: Some(host.to_owned()),
            receiving_ip: None,
            failure_reason_code: None,
        }
    }

    #[test]
    fn records_say_where_reports_go() {
        let of = |records: &[&str]| targets(records.iter().map(|record| record.as_bytes()));
        let mail = |address: &str| Target::Mail(address.to_owned());
        assert_eq!(of(&["v=TLSRPTv1; rua=mailto:a@b.test"]), [mail("a@b.test")]);
        assert_eq!(
            of(&[
                "v=spf1 -all",
                "v=TLSRPTv1;rua=mailto:a@b.test,https://c.test/x,ftp://d.test"
            ]),
            [
                mail("a@b.test"),
                Target::Https("https://c.test/x".to_owned())
            ]
        );
        for none in [
            &[][..],
            &["v=TLSRPTv1"],
            &["v=TLSRPTv1; rua=mailto:"],
            &["v=TLSRPTv12; rua=mailto:a@b.test"],
            &[
                "v=TLSRPTv1; rua=mailto:a@b.test",
                "v=TLSRPTv1; rua=mailto:c@b.test",
            ],
            &["v=TLSRPTv1; rua=http://a.test"],
        ] {
            assert_eq!(of(none), [], "{none:?}");
        }
    }

    #[test]
    fn days() {
        for (moment, wanted) in [
            (0, "1970-01-01"),
            (951_782_400_000, "2000-02-29"),
            (1_709_251_199_999, "2024-02-29"),
            (1_709_251_200_000, "2024-03-01"),
            (1_767_225_599_999, "2025-12-31"),
            (4_107_542_400_000, "2100-03-01"),
        ] {
            let (day, start) = day(moment);
            assert_eq!(day, wanted);
            assert!(start <= moment && moment < start + 86_400_000, "{day}");
        }
    }

    #[test]
    fn a_report_holds_what_was_counted() {
        let mut tally = Tally::new(PolicyShown::none("b.test"));
        tally.count(None);
        tally.count(Some(failure("mx.b.test")));
        let mut all = vec![tally.clone()];
        merge(&mut all, vec![tally]);
        let report = Report::new("a.test", "postmaster@a.test", "1", "2026-01-31", &all);
        let json: serde_json::Value = serde_json::to_value(&report).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "organization-name": "a.test",
                "date-range": {"start-datetime": "2026-01-31T00:00:00Z", "end-datetime": "2026-01-31T23:59:59Z"},
                "contact-info": "postmaster@a.test",
                "report-id": "1",
                "policies": [{
                    "policy": {"policy-type": "no-policy-found", "policy-domain": "b.test"},
                    "summary": {"total-successful-session-count": 2, "total-failure-session-count": 2},
                    "failure-details": [{
                        "result-type": "certificate-expired", "sending-mta-ip": "192.0.2.1",
                        "receiving-mx-hostname": "mx.b.test", "failed-session-count": 2
                    }]
                }]
            })
        );
    }

    #[test]
    fn kinds_of_failure_are_bounded_and_none_is_lost() {
        let mut tally = Tally::new(PolicyShown::none("b.test"));
        for number in 0..1000 {
            tally.count(Some(failure(&format!("mx{number}.b.test"))));
        }
        assert_eq!(tally.failures.len(), MAX_FAILURES);
        assert_eq!(
            tally.failures.iter().map(|(_, times)| times).sum::<u64>(),
            1000
        );
    }
}
