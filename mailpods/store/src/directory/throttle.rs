//! Limits on failures, per account and per client network, counted for the whole cluster.
use std::net::IpAddr;
use std::time::Duration;

use mailpods_api::IpNet;
use mailpods_plan::AuthSettings;
use mailpods_policy::Reason;

use super::login::Subject;
use super::memory::{later, lock};
use super::{Inner, Refusal};
use crate::error::StoreError;
use crate::trace::{Stage, TraceEvent};
use crate::types::UnixMillis;

/// How long a client network counts as known to an account after a log-in.
const KNOWN_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

impl Inner {
    /// Refuses when the account or the client's network is banned.
    pub(super) async fn check_bans(
        &self,
        subject: &Subject,
        client: IpAddr,
    ) -> Result<(), Refusal> {
        let plan = self.plan();
        let now = self.now();
        if !is_exempt(&plan.auth, client) {
            self.check_ban(&client_key(client), now).await?;
        }
        match &subject.account {
            // Somebody's guesses must not shut out the owner at the usual place.
            Some(account) if !self.is_known(account, client, now) => {
                self.check_ban(&account_key(account), now).await
            }
            _ => Ok(()),
        }
    }

    async fn check_ban(&self, key: &str, now: UnixMillis) -> Result<(), Refusal> {
        match self.parts.tokens.banned(key, now).await? {
            Some(until) if until > now => Err(Refusal::Banned { until }),
            _ => Ok(()),
        }
    }

    /// Counts a failure, and bans where that makes too many.
    pub(super) async fn count_failure(
        &self,
        subject: &Subject,
        client: IpAddr,
    ) -> Result<(), StoreError> {
        let plan = self.plan();
        if !is_exempt(&plan.auth, client) {
            let limit = plan.auth.failures_per_client;
            self.count(&client_key(client), limit, &plan.auth, (subject, client))
                .await?;
        }
        if let Some(account) = &subject.account {
            let limit = plan.auth.failures_per_account;
            self.count(&account_key(account), limit, &plan.auth, (subject, client))
                .await?;
        }
        Ok(())
    }

    async fn count(
        &self,
        key: &str,
        limit: u32,
        settings: &AuthSettings,
        (subject, client): (&Subject, IpAddr),
    ) -> Result<(), StoreError> {
        let now = self.now();
        let failures = self.parts.tokens.count(key, settings.window, now).await?;
        if limit == 0 || failures < u64::from(limit) {
            return Ok(());
        }
        let seconds = settings.ban.as_secs();
        tracing::warn!(
            key,
            failures,
            seconds,
            reason = Reason::Banned.as_str(),
            "too many failed log-ins: banned for a while"
        );
        self.parts.trace.record(TraceEvent {
            at: now,
            id: String::new(),
            stage: Stage::Login,
            reason: Reason::Banned.as_str(),
            sender: subject.account.clone().unwrap_or_default(),
            recipient: String::new(),
            peer: client.to_string(),
            text: format!("{key}: {failures} failures, banned for {seconds} s; `mailpods bans` lists and lifts"),
        });
        self.parts.tokens.ban(key, later(now, settings.ban)).await
    }

    pub(super) fn remember_client(&self, account: &str, client: IpAddr) {
        let mark = self.known_mark(account, client);
        lock(&self.known).insert(mark, (), self.now(), KNOWN_LIFE);
    }

    fn is_known(&self, account: &str, client: IpAddr, now: UnixMillis) -> bool {
        let mark = self.known_mark(account, client);
        lock(&self.known).contains(&mark, now)
    }

    fn known_mark(&self, account: &str, client: IpAddr) -> [u8; 32] {
        self.mark(&[
            b"known",
            account.as_bytes(),
            IpNet::client_prefix(client).to_string().as_bytes(),
        ])
    }
}

fn is_exempt(settings: &AuthSettings, client: IpAddr) -> bool {
    settings
        .exempt
        .iter()
        .any(|network| network.contains(client))
}

fn client_key(client: IpAddr) -> String {
    format!("login/client/{}", IpNet::client_prefix(client))
}

fn account_key(account: &str) -> String {
    format!("login/account/{account}")
}
