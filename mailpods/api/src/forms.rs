//! Forms of texts: what each pattern of a schema means to people, and how the API server says so.
//!
//! The API server's own message for a pattern is the pattern. As a rule in CEL it carries words and the value.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use crate::IpNet;

/// What a rule may cost for one resource. The API server allows 10,000,000 by an estimate of its own, which this one follows.
const MAX_COST: u64 = 9_000_000;
/// Entries of a list or map without a limit.
const UNBOUNDED: u64 = 1_000_000;

/// What a text must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// The pattern in the schema.
    pub pattern: &'static str,
    /// The same for people, after "must be".
    pub words: &'static str,
    /// The pattern that the API server looks for, which may let more through where the exact one costs too much.
    served: &'static str,
    kind: FormKind,
}

/// What is checked besides the pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FormKind {
    Text,
    Address,
    Network,
}

impl Form {
    const fn text(pattern: &'static str, words: &'static str) -> Self {
        Self {
            pattern,
            words,
            served: pattern,
            kind: FormKind::Text,
        }
    }

    /// The form with a pattern.
    #[must_use]
    pub fn of(pattern: &str) -> Option<&'static Self> {
        FORMS.iter().find(|form| form.pattern == pattern)
    }

    /// Whether a text that matches the pattern is of the form.
    #[must_use]
    pub fn holds(&self, text: &str) -> bool {
        match self.kind {
            FormKind::Text => true,
            FormKind::Address => text.parse::<IpAddr>().is_ok(),
            FormKind::Network => text.parse::<IpNet>().is_ok(),
        }
    }

    /// Estimated cost of one run of the rule for a text of so many characters, of up to four octets each: a tenth for each octet
    /// times a fourth for each octet of the pattern.
    fn cost(&self, length: u64) -> u64 {
        let text = length.saturating_mul(4).saturating_add(1).div_ceil(10);
        let pattern = (self.served.len() as u64).div_ceil(4).max(1);
        text.saturating_mul(pattern)
    }

    /// The form as a rule in CEL (libraries of Kubernetes 1.30) about a value.
    fn rule(&self, value: &str) -> String {
        match self.kind {
            FormKind::Text => format!("{value}.matches({})", literal(self.served)),
            FormKind::Address => format!("isIP({value})"),
            FormKind::Network => format!("isIP({value}) || isCIDR({value})"),
        }
    }
}

const FORMS: &[Form] = &[
    Form::text(
        r"^([0-9]{1,10}(ms|s|m|h|d))+$",
        "a time such as 30s, 4h or 1d12h",
    ),
    Form::text(
        r"^[0-9]{1,19}(Ei|Pi|Ti|Gi|Mi|Ki|E|P|T|G|M|k)?$",
        "a size such as 512Ki, 25Mi or 10Gi",
    ),
    Form::text(
        r"^([0-9]{1,19}(Ei|Pi|Ti|Gi|Mi|Ki|E|P|T|G|M|k)?|(100|[0-9]{1,2})%)$",
        "a size such as 100Mi, or a part such as 10%",
    ),
    Form::text(
        r"^[^/%*\x00-\x1f\x7f]+(/[^/%*\x00-\x1f\x7f]+)*$",
        "the name of a folder such as Trash or Work/Reports, without % and *",
    ),
    Form::text(
        r"^[0-9]+(\.[0-9]+)?(m|[kMGTPE]i?)?$",
        "a quantity such as 500m, 2 or 64Mi",
    ),
    Form {
        pattern: r"^[0-9A-Fa-f:.]+$",
        words: "an IP address such as 192.0.2.1 or 2001:db8::1",
        served: "",
        kind: FormKind::Address,
    },
    Form {
        pattern: r"^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$",
        words: "a network such as 192.0.2.0/24 or 2001:db8::/32",
        served: "",
        kind: FormKind::Network,
    },
    Form::text(
        r"^[0-9A-Fa-f:.]+$|^\[[0-9A-Fa-f:.]+\]:[0-9]{1,5}$",
        "an address such as 192.0.2.53 or 127.0.0.1:5353",
    ),
    Form {
        pattern: r"^[^\x00-\x1f\x7f]+@[^\x00-\x20\x7f@\[\]]+$",
        words: "an address such as alice@example.com",
        served: r"^.+@[^@\s]+$",
        kind: FormKind::Text,
    },
    Form::text(
        r"^[^\x00-,./:-@\[-\x5e\x60\x7b-\x7f]+(\.[^\x00-,./:-@\[-\x5e\x60\x7b-\x7f]+)*$",
        "a domain name such as example.com",
    ),
    Form::text(
        r"^[0-9A-Za-z:._-]+$",
        "the name of a host such as mx.example.com, or an IP address",
    ),
    Form::text(
        r"^[^@\s\x00-\x1f\x7f]+$",
        "what stands before the @ of an address, such as info",
    ),
    Form::text(
        r"^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*$",
        "a selector of letters, digits, hyphens, underscores and dots, such as mail-2026",
    ),
    Form::text(
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        "the name of an object: lower-case letters, digits, hyphens and dots, such as mail-tls",
    ),
    Form::text(
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        "a name of lower-case letters, digits and hyphens, such as smtp-public",
    ),
    Form::text(
        r"^[-._a-zA-Z0-9]+$",
        "a key of letters, digits, hyphens, underscores and dots, such as tls.key",
    ),
    Form::text(
        r"^v=spf1( [!-~]+)*$",
        "an SPF record: v=spf1, then terms with one space before each",
    ),
    Form::text(
        r"^v=DMARC1;[ -~]*$",
        "a DMARC record such as v=DMARC1; p=none",
    ),
    Form::text(
        r"^v=TLSRPTv1;[ -~]*$",
        "a TLS-RPT record such as v=TLSRPTv1; rua=mailto:tls@example.com",
    ),
    Form::text(
        r"^v=DKIM1;[ -~]*$",
        "a DKIM record such as v=DKIM1; k=rsa; p=...",
    ),
    Form::text(r"^[ -~]+$", "printable ASCII"),
    Form::text(
        r"^[!-~]+$",
        "an image such as registry.example.com/mailpods:v1, without spaces",
    ),
    Form::text(
        r"^[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?$",
        "letters, digits and hyphens, such as contoso",
    ),
    Form::text(
        r"^[a-z]+(\.[a-z]+)?$",
        "the end of a host name such as com, eu or com.au",
    ),
    Form::text(
        r"^[A-Za-z0-9_]([-_A-Za-z0-9]*[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)+$",
        "the zone of a block list such as zen.spamhaus.org",
    ),
    Form::text(
        r"^[45][0-9]{0,2}$",
        "the begin of a reply code, such as 4, 55 or 421",
    ),
    Form::text(
        r"^[45x]\.[0-9]{1,3}\.[0-9]{1,3}$",
        "an enhanced code such as 5.7.1, or x.7.1 for any class",
    ),
    Form {
        pattern: r"^(anyone|[^\x00-\x1f\x7f]+@[^\x00-\x20\x7f@\[\]]+)$",
        words: "an address such as alice@example.com, or anyone",
        served: r"^(anyone|.+@[^@\s]+)$",
        kind: FormKind::Text,
    },
    Form::text(
        "^[lrswipkxteacd]+$",
        "letters of lrswipkxtea, such as lrs for who reads",
    ),
    Form::text(
        r"^[^/%*\x00-\x1f\x7f]+$",
        "a name without /, % and *, such as Info",
    ),
    Form::text(
        r"^[^%*\x00-\x1f\x7f]+$",
        "the name of a mailbox without % and *, such as INBOX",
    ),
    Form::text(
        r"^[!#$%&'*+/=?^_`{|}~-]$",
        "one of the characters ! # $ % & ' * + / = ? ^ _ ` { | } ~ -",
    ),
];

/// Makes every pattern of a specification a rule, as far as its form is known.
pub(crate) fn explain_patterns(spec: &mut Value) {
    explain(spec, 1);
}

/// `count`: how often the field may be in one resource.
fn explain(schema: &mut Value, count: u64) {
    let Value::Object(object) = schema else {
        return;
    };
    explain_pattern(object, count);
    let most = |name: &str| object.get(name).and_then(Value::as_u64);
    let items = most("maxItems").unwrap_or(UNBOUNDED);
    let values = most("maxProperties").unwrap_or(UNBOUNDED);
    if let Some(Value::Object(properties)) = object.get_mut("properties") {
        properties
            .values_mut()
            .for_each(|field| explain(field, count));
    }
    for (name, most) in [("items", items), ("additionalProperties", values)] {
        if let Some(inner) = object.get_mut(name) {
            explain(inner, count.saturating_mul(most));
        }
    }
}

fn explain_pattern(schema: &mut Map<String, Value>, count: u64) {
    let pattern = schema.get("pattern").and_then(Value::as_str);
    let Some(form) = pattern.and_then(Form::of) else {
        return;
    };
    let length = schema.get("maxLength").and_then(Value::as_u64);
    let cost = form.cost(length.unwrap_or(UNBOUNDED));
    if cost.saturating_mul(count) > MAX_COST && !form.served.is_empty() {
        schema.insert("pattern".to_owned(), json!(form.served));
        return;
    }
    schema.remove("pattern");
    let rule = rule(form, schema.contains_key("x-kubernetes-int-or-string"));
    let rules = schema
        .entry("x-kubernetes-validations")
        .or_insert_with(|| json!([]));
    if let Value::Array(rules) = rules {
        // What a value looks like is said before whether it may change.
        rules.insert(0, rule);
    }
}

fn rule(form: &Form, is_mixed: bool) -> Value {
    let message = format!("must be {}", form.words);
    // A size may be a number, too.
    let value = if is_mixed { "string(self)" } else { "self" };
    json!({
        "rule": form.rule(value),
        "message": message,
        "messageExpression": format!("{} + {value}", literal(&format!("{message}; found "))),
    })
}

/// A text as CEL has it.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
