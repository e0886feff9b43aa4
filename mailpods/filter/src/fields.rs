//! Header fields about the checks. Everything that a client chose is cut, quoted and stripped of control characters.

use mailpods_rpc::ScanRequest;

use crate::checks::Checks;
use crate::decide::{Decision, action_name};
use crate::dkim::{DkimCheck, DkimResult};
use mailpods_spf::SpfCheck;

/// Columns that lines are folded at where words allow it (RFC 5322 §2.1.1).
const COLUMNS: usize = 78;
/// Octets of one value or comment.
const MAX_VALUE: usize = 255;

/// Authentication-Results of mail from another server (RFC 8601 §2.2).
pub(crate) fn authentication_results(request: &ScanRequest, checks: &Checks) -> String {
    let mut field = Field::new("Authentication-Results", &request.hostname);
    iprev(&mut field, request, checks);
    field.result("spf", checks.helo.result.as_str());
    field.word(&format!("smtp.helo={}", value(&request.helo)));
    field.result("spf", checks.spf.result.as_str());
    if !request.mail_from.is_empty() {
        field.word(&format!("smtp.mailfrom={}", value(&request.mail_from)));
    } else {
        field.word(&format!(
            "smtp.mailfrom={}",
            value(&format!("postmaster@{}", request.helo))
        ));
    }
    if request.message.is_some() {
        content(&mut field, request, checks);
    }
    field.finish()
}

fn content(field: &mut Field, request: &ScanRequest, checks: &Checks) {
    if checks.dkim.is_empty() {
        field.result("dkim", "none");
    }
    for check in &checks.dkim {
        signature(field, check);
    }
    if checks.arc.result != DkimResult::None {
        field.result("arc", checks.arc.result.as_str());
        if checks.arc.result != DkimResult::Pass {
            field.word(&comment(&checks.arc.reason));
        }
        // RFC 8617 §10.2
        field.word(&format!(
            "smtp.remote-ip={}",
            value(&request.client_ip.to_string())
        ));
    }
    for check in &checks.dmarc {
        field.result("dmarc", check.result.as_str());
        field.word(&comment(&format!("p={}", check.policy.as_str())));
        if !check.author.is_empty() {
            field.word(&format!("header.from={}", value(&check.author)));
        }
    }
}

fn iprev(field: &mut Field, request: &ScanRequest, checks: &Checks) {
    field.result("iprev", checks.iprev.result.as_str());
    if let Some(name) = &checks.iprev.name {
        field.word(&comment(name));
    }
    field.word(&format!(
        "policy.iprev={}",
        value(&request.client_ip.to_string())
    ));
}

fn signature(field: &mut Field, check: &DkimCheck) {
    field.result("dkim", check.result.as_str());
    if check.result != DkimResult::Pass {
        field.word(&comment(&check.reason));
    }
    let label = &check.label;
    for (name, text) in [
        ("header.d", &label.domain),
        ("header.s", &label.selector),
        ("header.a", &label.algorithm),
        ("header.b", &label.signature),
    ] {
        if !text.is_empty() {
            field.word(&format!("{name}={}", value(text)));
        }
    }
}

/// Authentication-Results of a submission (RFC 8601 §2.7.4); the log-in name is not told.
pub(crate) fn submission_results(request: &ScanRequest) -> String {
    let mut field = Field::new("Authentication-Results", &request.hostname);
    field.result("auth", "pass");
    field.finish()
}

/// Received-SPF for the envelope sender (RFC 7208 §9.1).
pub(crate) fn received_spf(request: &ScanRequest, check: &SpfCheck) -> String {
    let mut field = Field::bare("Received-SPF", check.result.as_str());
    field.word(&comment(&format!("{}: {}", request.hostname, check.reason)));
    let sender = if request.mail_from.is_empty() {
        format!("postmaster@{}", request.helo)
    } else {
        request.mail_from.clone()
    };
    let pairs = [
        ("client-ip", request.client_ip.to_string()),
        ("envelope-from", sender),
        ("helo", request.helo.clone()),
        ("receiver", request.hostname.clone()),
        ("identity", "mailfrom".to_owned()),
    ];
    let last = pairs.len() - 1;
    for (n, (name, text)) in pairs.into_iter().enumerate() {
        field.word(&format!(
            "{name}={}{}",
            value(&text),
            if n < last { ";" } else { "" }
        ));
    }
    field.finish()
}

/// Our own field: the name of the decision.
pub(crate) fn verdict(decision: &Decision) -> String {
    format!(
        "X-Mailpods-Verdict: reason={}; action={}\r\n",
        decision.reason.as_str(),
        action_name(decision.action)
    )
}

/// A field under construction, folded between words.
struct Field {
    text: String,
    column: usize,
}

impl Field {
    fn new(name: &str, host: &str) -> Self {
        Self::bare(name, &value(host))
    }

    fn bare(name: &str, first: &str) -> Self {
        let text = format!("{name}: {first}");
        Self {
            column: text.len(),
            text,
        }
    }

    /// Begins a result on a line of its own.
    fn result(&mut self, method: &str, result: &str) {
        self.text.push_str(";\r\n\t");
        self.column = 8;
        self.push(method);
        self.push("=");
        self.push(result);
    }

    fn word(&mut self, word: &str) {
        if self.column + 1 + word.len() > COLUMNS {
            self.text.push_str("\r\n\t ");
            self.column = 9;
        } else {
            self.push(" ");
        }
        self.push(word);
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.column += text.len();
    }

    fn finish(mut self) -> String {
        self.text.push_str("\r\n");
        self.text
    }
}

/// Printable characters of `text`, cut to [`MAX_VALUE`] octets; anything else becomes `?`.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(MAX_VALUE));
    for c in text.chars() {
        if out.len() + c.len_utf8() > MAX_VALUE {
            break;
        }
        out.push(if c.is_control() || c == '\u{2028}' || c == '\u{2029}' {
            '?'
        } else {
            c
        });
    }
    out
}

/// A value as it stands, or as a quoted string (RFC 8601 §2.2 pvalue, RFC 2045 §5.1 value).
pub(crate) fn value(text: &str) -> String {
    let text = printable(text);
    // RFC 2045 §5.1 tspecials, less `@`, which RFC 8601 allows between local part and domain, and `:` of IPv6 literals quoted.
    let plain = |c: char| c.is_ascii_graphic() && !"()<>,;:\\\"/[]?=".contains(c);
    if !text.is_empty() && text.chars().all(plain) && text.matches('@').count() <= 1 {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// A comment: parentheses and backslashes become something harmless.
fn comment(text: &str) -> String {
    let inner: String = printable(text)
        .chars()
        .map(|c| match c {
            '(' => '[',
            ')' => ']',
            '\\' => '/',
            c if !c.is_ascii() => '?',
            c => c,
        })
        .collect();
    format!("({inner})")
}

#[cfg(test)]
mod tests {
    use super::{Field, comment, value};

    #[test]
    fn values_cannot_leave_their_place() {
        for (text, expected) in [
            ("a@b.test", "a@b.test"),
            ("mx.test", "mx.test"),
            ("2001:db8::1", "\"2001:db8::1\""),
            ("", "\"\""),
            ("x; dkim=pass", "\"x; dkim=pass\""),
            ("x\r\nEvil: y", "\"x??Evil: y\""),
            ("a\"b\\c", "\"a\\\"b\\\\c\""),
            ("a@b@c", "\"a@b@c\""),
        ] {
            assert_eq!(value(text), expected);
        }
        assert_eq!(comment("a) dkim=pass (\r\n\\"), "(a] dkim=pass [??/)");
        assert!(value(&"x".repeat(10_000)).len() <= 257);
    }

    #[test]
    fn lines_are_folded() {
        let mut field = Field::new("Authentication-Results", "mx.test");
        field.result("dkim", "pass");
        for n in 0..20 {
            field.word(&format!("header.x{n}=value"));
        }
        let text = field.finish();
        assert!(text.lines().all(|line| line.len() <= 78), "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with('\t')));
    }
}
