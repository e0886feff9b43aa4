//! A scan between processes: `POST` of [`PATH`] over TLS with a bearer token.
//!
//! The body is a head, four octets of its length (big-endian) before it, and then the message as it is. The answer is 200 with
//! a [`Verdict`], or 503 with a [`ScanError`], both JSON.

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::{Action, Mechanism, MechanismResult, ScanRequest, Verdict};

/// Path of scans.
pub const PATH: &str = "/v1/scan";
/// Octets of the head: thousands of recipients.
pub const MAX_HEAD_OCTETS: usize = 1024 * 1024;
/// Octets of an answer.
pub const MAX_VERDICT_OCTETS: usize = 1024 * 1024;

const LENGTH_OCTETS: usize = 4;

/// Result words of RFC 8601 §2.7.
const RESULTS: [&str; 8] = [
    "pass",
    "fail",
    "softfail",
    "neutral",
    "none",
    "temperror",
    "permerror",
    "policy",
];

/// Why octets are no scan or verdict.
#[derive(Debug, thiserror::Error)]
pub enum ScanDecodeError {
    /// The head is cut off, or longer than any.
    #[error("scan has no head of at most {MAX_HEAD_OCTETS} octets")]
    Head,
    /// Not JSON of the right form.
    #[error("failed to read the JSON of a scan")]
    Json(#[from] serde_json::Error),
    /// The verdict would harm the message or the session.
    #[error("verdict has {0}")]
    Verdict(&'static str),
}

#[derive(Serialize)]
struct HeadOut<'a> {
    message: bool,
    request: &'a ScanRequest,
}

#[derive(Deserialize)]
struct HeadIn {
    message: bool,
    request: ScanRequest,
}

impl ScanRequest {
    /// The body of a request, in pieces; the message is not copied.
    ///
    /// # Errors
    /// When the head is longer than any.
    pub fn encode(&self) -> Result<Vec<Bytes>, ScanDecodeError> {
        let head = serde_json::to_vec(&HeadOut {
            message: self.message.is_some(),
            request: self,
        })?;
        let length = u32::try_from(head.len())
            .ok()
            .filter(|_| head.len() <= MAX_HEAD_OCTETS)
            .ok_or(ScanDecodeError::Head)?;
        let head = [&length.to_be_bytes(), head.as_slice()].concat();
        Ok([Bytes::from(head)]
            .into_iter()
            .chain(self.message.clone())
            .collect())
    }

    /// Reads the body of a request; the message is not copied.
    ///
    /// # Errors
    /// See [`ScanDecodeError`].
    pub fn decode(mut body: Bytes) -> Result<Self, ScanDecodeError> {
        let length = body.first_chunk::<LENGTH_OCTETS>().copied();
        let length = length.map(u32::from_be_bytes).map(usize::try_from);
        let Some(Ok(length)) = length else {
            return Err(ScanDecodeError::Head);
        };
        let mut body = body.split_off(LENGTH_OCTETS);
        if length > MAX_HEAD_OCTETS || length > body.len() {
            return Err(ScanDecodeError::Head);
        }
        let head: HeadIn = serde_json::from_slice(&body.split_to(length))?;
        Ok(Self {
            message: head.message.then_some(body),
            ..head.request
        })
    }
}

impl Verdict {
    /// JSON.
    ///
    /// # Errors
    /// When it cannot be encoded; always a mistake in the program.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Reads the verdict on a message of so many octets. The filter looks at what strangers send, so what it says is checked.
    ///
    /// # Errors
    /// See [`ScanDecodeError`].
    pub fn decode(octets: &[u8], message: usize) -> Result<Self, ScanDecodeError> {
        let verdict: Self = serde_json::from_slice(octets)?;
        verdict.check(message).map_err(ScanDecodeError::Verdict)?;
        Ok(verdict)
    }

    fn check(&self, message: usize) -> Result<(), &'static str> {
        let class = match self.action {
            Action::Reject => Some(5),
            Action::Defer => Some(4),
            Action::Accept | Action::Junk => None,
        };
        if let Some((code, enhanced, text)) = &self.reply {
            if class.is_some_and(|class| code / 100 != class) {
                return Err("a reply code of another class than its action");
            }
            if !is_line(enhanced) || !is_line(text) {
                return Err("a reply of more than one line");
            }
        }
        if !self.prepend.iter().all(|field| is_field(field)) {
            return Err("a header field that is none");
        }
        match are_within(&self.remove, message) {
            true => Ok(()),
            false => Err("ranges that are not in the message"),
        }
    }
}

fn is_line(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// RFC 5322 §2.2: a name, a colon, lines that are folded, CRLF.
fn is_field(field: &str) -> bool {
    let Some(inner) = field.strip_suffix("\r\n") else {
        return false;
    };
    let name = inner.split(':').next().unwrap_or_default();
    let named =
        !name.is_empty() && name.len() < inner.len() && name.bytes().all(|b| b.is_ascii_graphic());
    let mut lines = inner.split("\r\n");
    let whole = |line: &str| !line.contains(['\r', '\n', '\0']);
    named
        && lines.next().is_some_and(whole)
        && lines.all(|line| line.starts_with([' ', '\t']) && whole(line))
}

fn are_within(ranges: &[Range<usize>], octets: usize) -> bool {
    let mut from = 0;
    ranges.iter().all(|range| {
        let good = from <= range.start && range.start <= range.end && range.end <= octets;
        from = range.end;
        good
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Checked {
    mechanism: serde_json::Value,
    result: String,
    subject: String,
    reason: String,
}

/// Results of checks that this release does not know are passed over: a newer filter makes them.
pub(super) fn known_results<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<MechanismResult>, D::Error> {
    let checked = Vec::<Checked>::deserialize(deserializer)?;
    let known = checked.into_iter().filter_map(|checked| {
        let mechanism = Mechanism::deserialize(&checked.mechanism).ok()?;
        let Some(result) = RESULTS.into_iter().find(|word| *word == checked.result) else {
            let error = format!("{:?} is no result word", checked.result);
            return Some(Err(de::Error::custom(error)));
        };
        Some(Ok(MechanismResult {
            mechanism,
            result,
            subject: checked.subject,
            reason: checked.reason,
        }))
    });
    known.collect()
}

#[cfg(test)]
mod tests {
    use mailpods_policy::Reason;

    use super::*;

    fn request(message: Option<&'static [u8]>) -> ScanRequest {
        ScanRequest {
            id: "q1".to_owned(),
            client_ip: "192.0.2.1".parse().unwrap(),
            helo: "c.test".to_owned(),
            mail_from: String::new(),
            recipients: vec!["ä@b.test".to_owned()],
            hostname: "m.test".to_owned(),
            authenticated: None,
            message: message.map(Bytes::from_static),
        }
    }

    fn verdict() -> Verdict {
        Verdict {
            action: Action::Reject,
            reason: Reason::SpfFail,
            reply: Some((550, "5.7.23".to_owned(), "no".to_owned())),
            results: vec![MechanismResult {
                mechanism: Mechanism::SpfHelo,
                result: "softfail",
                subject: "c.test".to_owned(),
                reason: "all".to_owned(),
            }],
            prepend: vec!["A: b;\r\n\tc\r\n".to_owned()],
            remove: vec![0..2, 2..4],
        }
    }

    #[test]
    fn a_request_survives_with_any_octets() {
        for message in [None, Some(&b""[..]), Some(b"\0\xff\r\n{\"")] {
            let pieces = request(message).encode().unwrap();
            assert_eq!(pieces.len(), 1 + usize::from(message.is_some()));
            let read = ScanRequest::decode(pieces.concat().into()).unwrap();
            assert_eq!(format!("{read:?}"), format!("{:?}", request(message)));
        }
    }

    #[test]
    fn cut_and_wrong_requests_are_refused() {
        let whole = request(None).encode().unwrap().concat();
        for cut in 0..whole.len() {
            assert!(ScanRequest::decode(Bytes::copy_from_slice(&whole[..cut])).is_err());
        }
        let huge = [&u32::MAX.to_be_bytes()[..], &whole].concat();
        assert!(matches!(
            ScanRequest::decode(huge.into()),
            Err(ScanDecodeError::Head)
        ));
        let mut many = request(None);
        many.recipients = vec!["x".repeat(250); 5000];
        assert!(matches!(many.encode(), Err(ScanDecodeError::Head)));
    }

    #[test]
    fn a_verdict_survives() {
        let octets = verdict().encode().unwrap();
        assert_eq!(Verdict::decode(&octets, 4).unwrap(), verdict());
    }

    #[test]
    fn a_harmful_verdict_is_refused() {
        let changes: [fn(&mut Verdict); 8] = [
            |v| v.reply = Some((250, String::new(), String::new())),
            |v| v.reply = Some((550, "5.7.1".to_owned(), "a\r\n250 fine".to_owned())),
            |v| v.prepend = vec!["A: b".to_owned()],
            |v| v.prepend = vec!["A: b\r\n\r\nbody\r\n".to_owned()],
            |v| v.prepend = vec!["A: b\r\nSubject: x\r\n".to_owned()],
            |v| v.prepend = vec!["no colon\r\n".to_owned()],
            |v| v.remove = vec![2..4, 0..1],
            |v| v.remove = vec![0..1, 1..5],
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut bad = verdict();
            change(&mut bad);
            let read = Verdict::decode(&bad.encode().unwrap(), 4);
            assert!(
                matches!(read, Err(ScanDecodeError::Verdict(_))),
                "{index}: {read:?}"
            );
        }
    }

    #[test]
    fn a_newer_filter_is_understood() {
        let mut value = serde_json::to_value(verdict()).unwrap();
        value["score"] = 3.into();
        let check = serde_json::json!({"mechanism": "dnsbl", "result": "listed", "subject": "", "reason": ""});
        value["results"].as_array_mut().unwrap().push(check);
        assert_eq!(
            Verdict::decode(value.to_string().as_bytes(), 4).unwrap(),
            verdict()
        );
    }
}
