//! The health check that docs/kubernetes.md gives to Argo CD, run by the interpreter that Argo CD runs it with.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{binaries, command};

/// Key of Argo CD's ConfigMap.
const KEY: &str = "resource.customizations.health.mailpods.dev_*";

/// What Argo CD would show of an object.
#[derive(Debug, PartialEq, Eq)]
pub struct Health {
    /// `Healthy`, `Progressing`, `Degraded` or `Suspended`.
    pub status: String,
    /// What it says of it.
    pub message: String,
}

/// Runs the check of the document over an object.
pub fn of(object: &Value) -> Result<Health> {
    let check = documented()?;
    let object = literal(object);
    let script = format!(
        "local function check(obj)\n{check}\nend\nlocal health = check({object})\nio.write(health.status, '\\n', health.message or '')\n"
    );
    let mut lua = Command::new(binaries::program("glua")?);
    let told = command::run(lua.args(["-e", &script]))?;
    let (status, message) = told.split_once('\n').context("the check said nothing")?;
    Ok(Health {
        status: status.to_owned(),
        message: message.to_owned(),
    })
}

/// Runs the check over a status of each sort.
pub fn check() -> Result<()> {
    for (status, message, object) in samples() {
        let health = of(&object)?;
        ensure!(
            health.status == status && health.message == message,
            "Argo CD would show {health:?} of {object}, and should show {status}, {message:?}"
        );
    }
    eprintln!("==> the health check for Argo CD");
    Ok(())
}

/// The Lua text of the document.
fn documented() -> Result<String> {
    let path = crate::root().join("docs/kubernetes.md");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("failed to read {}", path.display()))?;
    let block = super::blocks(&text)
        .into_iter()
        .find(|block| block.contains(KEY))
        .with_context(|| format!("docs/kubernetes.md shows no {KEY}"))?;
    let config: Value =
        serde_yaml::from_str(block).map_err(|error| anyhow::anyhow!("{KEY}: {error}"))?;
    let check = config["data"][KEY].as_str();
    check
        .map(str::to_owned)
        .with_context(|| format!("{KEY} has no text"))
}

/// Objects with what is to be shown of them.
fn samples() -> [(&'static str, &'static str, Value); 8] {
    let object = |generation: i64, status: Value| json!({"metadata": {"generation": generation}, "spec": {}, "status": status});
    let condition = |kind: &str, status: &str, message: &str| json!({"type": kind, "status": status, "reason": "Reason", "message": message});
    let ready = condition("Ready", "True", "");
    let not_ready = condition("Ready", "False", "RolesReady: smtp: 1 of 2 ready");
    let invalid = "spec.dns.spf: takes too many DNS look-ups";
    let mut paused = object(
        2,
        json!({"observedGeneration": 2, "conditions": [not_ready]}),
    );
    paused["spec"]["paused"] = json!(true);
    let waiting = "waiting for the operator";
    [
        (
            "Progressing",
            waiting,
            json!({"metadata": {"generation": 1}, "spec": {}}),
        ),
        ("Progressing", waiting, object(1, json!({}))),
        (
            "Progressing",
            waiting,
            object(
                1,
                json!({"conditions": [condition("DNSReady", "True", "")]}),
            ),
        ),
        (
            "Progressing",
            waiting,
            object(3, json!({"observedGeneration": 2, "conditions": [ready]})),
        ),
        (
            "Progressing",
            "RolesReady: smtp: 1 of 2 ready",
            object(
                2,
                json!({"observedGeneration": 2, "conditions": [not_ready, condition("Reconciling", "True", "")]}),
            ),
        ),
        (
            "Healthy",
            "",
            object(2, json!({"observedGeneration": 2, "conditions": [ready]})),
        ),
        (
            "Degraded",
            invalid,
            object(
                2,
                json!({"observedGeneration": 2, "conditions": [condition("Ready", "False", invalid), condition("Stalled", "True", invalid)]}),
            ),
        ),
        ("Suspended", "spec.paused is set", paused),
    ]
}

/// A value as Lua text.
fn literal(value: &Value) -> String {
    match value {
        Value::Null => "nil".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => format!(
            "{{{}}}",
            items.iter().map(literal).collect::<Vec<_>>().join(",")
        ),
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| format!("[{}]={}", quoted(name), literal(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
    }
}

/// Octets that are not plain by their numbers, which Lua reads as they are.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for octet in text.bytes() {
        match octet {
            b'"' | b'\\' | 0..=31 | 127.. => {
                // Writing to a String cannot fail.
                let _infallible = write!(quoted, "\\{octet:03}");
            }
            plain => quoted.push(char::from(plain)),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_lua_text() {
        let value = json!({"a": [1, true, null], "b\n": "\"ü\""});
        assert_eq!(
            literal(&value),
            r#"{["a"]={1,true,nil},["b\010"]="\034\195\188\034"}"#
        );
    }
}
