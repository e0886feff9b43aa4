//! Which mechanisms to offer.
use mailpods_plan::{CredentialKind, Mailbox, Plan};
use mailpods_sasl::Mechanism;

use super::{Directory, Inner, LoginContext};
use crate::error::StoreError;

impl Directory {
    /// The mechanisms to offer on a connection, strongest first; none without TLS.
    ///
    /// SCRAM is offered when every account can use it: most clients that see it and fail do not fall back to PLAIN. An
    /// account with a hash gets its SCRAM keys at its first log-in by PLAIN.
    pub async fn mechanisms(&self, context: &LoginContext) -> Vec<Mechanism> {
        if !context.tls {
            return Vec::new();
        }
        let scram = self.0.scram_for_all().await;
        let possible = |mechanism: &Mechanism| scram || mechanism.reveals_password();
        Mechanism::offered(context.bindings.is_available())
            .filter(possible)
            .collect()
    }
}

impl Inner {
    async fn scram_for_all(&self) -> bool {
        let plan = self.plan();
        let mut known = self.scram_for_all.lock().await;
        if let Some((digest, answer)) = known.as_ref()
            && *digest == plan.digest
        {
            return *answer;
        }
        let Ok(answer) = self.every_account_has_scram(&plan).await else {
            return false;
        };
        *known = Some((plan.digest.clone(), answer));
        answer
    }

    async fn every_account_has_scram(&self, plan: &Plan) -> Result<bool, StoreError> {
        let may_lack = |mailbox: &&Mailbox| {
            let hash = mailbox
                .credential
                .as_ref()
                .filter(|credential| credential.kind == CredentialKind::Hash);
            mailbox.enabled && hash.is_some()
        };
        for mailbox in plan.mailboxes.values().map(AsRef::as_ref).filter(may_lack) {
            let credential = self.credential(mailbox).await?;
            if credential.is_some_and(|credential| credential.scram().is_none()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// An account got its keys: the answer may have changed.
    pub(super) async fn forget_scram_for_all(&self) {
        *self.scram_for_all.lock().await = None;
    }
}
