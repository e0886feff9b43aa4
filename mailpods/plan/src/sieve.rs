//! Sieve scripts in the plan: compiled when the plan is made, shared from then on.

use std::collections::BTreeMap;
use std::sync::Arc;

use mailpods_api::MailboxAddress;
use mailpods_sieve::{Limits, Script, ScriptError};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A script with its text.
#[derive(Debug, Clone)]
pub struct SieveScript {
    source: Arc<str>,
    script: Result<Arc<Script>, ScriptError>,
}

impl SieveScript {
    /// Compiles a script.
    ///
    /// # Errors
    /// What is wrong in it.
    pub fn compile(source: &str) -> Result<Self, Vec<ScriptError>> {
        let script = mailpods_sieve::compile(source.as_bytes(), &Limits::default())?;
        Ok(Self {
            source: source.into(),
            script: Ok(Arc::new(script)),
        })
    }

    /// Its text.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The compiled script.
    ///
    /// # Errors
    /// When it came from an operator of a later release and is not understood here.
    pub fn script(&self) -> Result<&Arc<Script>, &ScriptError> {
        self.script.as_ref()
    }
}

impl PartialEq for SieveScript {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Serialize for SieveScript {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.source)
    }
}

impl<'de> Deserialize<'de> for SieveScript {
    /// A script that this release does not understand must not keep the rest of the plan away.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let source = String::deserialize(deserializer)?;
        let script = mailpods_sieve::compile(source.as_bytes(), &Limits::default());
        let unknown = ScriptError {
            at: mailpods_sieve::Position { line: 1, column: 1 },
            message: "the script cannot be read".to_owned(),
            allowed: String::new(),
        };
        let first = |errors: Vec<ScriptError>| errors.into_iter().next().unwrap_or(unknown);
        Ok(Self {
            source: source.into(),
            script: script.map(Arc::new).map_err(first),
        })
    }
}

/// Scripts around those of mailboxes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SieveStages {
    /// Runs first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<SieveScript>,
    /// Runs last, while the message is still to be kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<SieveScript>,
}

impl SieveStages {
    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.before.is_none() && self.after.is_none()
    }
}

/// What all scripts of the cluster have in common.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SieveSettings {
    /// Around the scripts of every mailbox, outside of those of its domain.
    #[serde(flatten)]
    pub stages: SieveStages,
    /// Scripts for `include :global` (RFC 6609), by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub scripts: BTreeMap<String, SieveScript>,
    /// Lists for `:list` (RFC 6134), by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub lists: BTreeMap<String, Vec<MailboxAddress>>,
}

impl SieveSettings {
    /// Whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
