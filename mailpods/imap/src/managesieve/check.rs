//! Scripts are compiled before they are kept.

use std::fmt::Write as _;

use bytes::Bytes;
use mailpods_sieve::{Limits, Location, Script, ScriptError};
use mailpods_store::scripts::MAX_SCRIPT_OCTETS;
use mailpods_store::{AccountId, StoreError};

use super::Session;
use super::failure::Failure;
use crate::heavy;

/// Scripts up to this many octets are compiled where the session runs.
const INLINE: usize = 4096;

impl Session {
    /// Compiles a script. What is wrong in it is told with its lines and columns; what may be wrong is returned.
    pub(super) async fn check(
        &self,
        account: AccountId,
        source: Bytes,
    ) -> Result<Vec<String>, Failure> {
        if source.len() as u64 > MAX_SCRIPT_OCTETS {
            return Err(mailpods_store::scripts::ScriptError::TooLarge.into());
        }
        let large = source.len() > INLINE;
        let compile = move || mailpods_sieve::compile(&source, &Limits::default());
        match heavy::run(large, compile).await? {
            Ok(script) => Ok(self.warnings(account, &script).await?),
            Err(errors) => Err(Failure::No(None, told(&errors).into())),
        }
    }

    /// Scripts that would be included and are not there (RFC 6609 §3.2: they may come later).
    async fn warnings(
        &self,
        account: AccountId,
        script: &Script,
    ) -> Result<Vec<String>, StoreError> {
        let included = script.includes();
        if included.is_empty() {
            return Ok(Vec::new());
        }
        let personal = self.scripts().scripts(account).await?;
        let plan = self.shared.deps.plan.current();
        let missing = included.iter().filter(|include| match include.location {
            Location::Global => !plan.sieve.scripts.contains_key(include.name),
            Location::Personal => !personal.iter().any(|info| info.name == include.name),
        });
        let text = |include: &mailpods_sieve::Include<'_>| {
            format!(
                "{}: there is no script \"{}\" to include yet",
                include.at, include.name
            )
        };
        Ok(missing
            .filter(|include| !include.optional)
            .map(text)
            .collect())
    }
}

/// One line for each error.
fn told(errors: &[ScriptError]) -> String {
    let mut text = String::new();
    for error in errors {
        let separator = if text.is_empty() { "" } else { "\r\n" };
        // Writing into a string cannot fail.
        let _ = write!(text, "{separator}{error}");
    }
    text
}
