//! Who asks: tokens are reviewed by the API server, and good answers kept for a while.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use kube::Client;
use kube::api::{Api, PostParams};
use mailpods_plan::Role;
use mailpods_rpc::control::{AUDIENCE, MAX_TOKEN_OCTETS};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::kube::Key;
use crate::names;

/// How long a good answer is kept: a deleted pod's token is good for no longer.
const KEPT: Duration = Duration::from_secs(60);
/// Answers that are kept.
const MAX_KEPT: usize = 10_000;

/// What the API server says of the pod that a token is bound to.
const POD: &str = "authentication.kubernetes.io/pod-name";

/// A ServiceAccount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The pod that the token is bound to; `None`: it is bound to none.
    pub pod: Option<String>,
}

impl Account {
    /// The account of a user name of the API server.
    #[must_use]
    pub fn of(user: &str) -> Option<Self> {
        let rest = user.strip_prefix("system:serviceaccount:")?;
        let (namespace, name) = rest.split_once(':')?;
        Some(Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            pod: None,
        })
    }

    /// The role that it has in a MailCluster; `None`: none.
    #[must_use]
    pub fn role(&self, cluster: &Key) -> Option<Role> {
        (self.namespace == cluster.namespace)
            .then(|| names::role_of(&cluster.name, &self.name))
            .flatten()
    }
}

/// Why nobody knows who asks.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The token is not good.
    #[error("the token is not valid for {AUDIENCE}")]
    Refused,
    /// The API server did not answer.
    #[error("failed to have a token reviewed")]
    Review(#[source] kube::Error),
}

/// Asks who has a token.
pub struct Reviewer {
    api: Api<TokenReview>,
    kept: Mutex<HashMap<[u8; 32], (Account, Instant)>>,
}

impl Reviewer {
    /// A reviewer that asks the API server.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            api: Api::all(client),
            kept: Mutex::default(),
        }
    }

    /// The account of a token.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub async fn account(&self, token: &str) -> Result<Account, IdentityError> {
        if token.is_empty() || token.len() > MAX_TOKEN_OCTETS {
            return Err(IdentityError::Refused);
        }
        // The digest is what is kept and compared: no token stays in memory, and no time tells of it.
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(account) = self.known(&digest) {
            return Ok(account);
        }
        let account = self.review(token).await?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(digest, (account.clone(), Instant::now() + KEPT));
        Ok(account)
    }

    fn known(&self, digest: &[u8; 32]) -> Option<Account> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (account, until) = kept.get(digest)?;
        (*until > Instant::now()).then(|| account.clone())
    }

    async fn review(&self, token: &str) -> Result<Account, IdentityError> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                audiences: Some(vec![AUDIENCE.to_owned()]),
                token: token.to_owned(),
            },
            ..TokenReview::default()
        };
        let answer = self.api.create(&PostParams::default(), &review).await;
        let status = answer
            .map_err(IdentityError::Review)?
            .status
            .unwrap_or_default();
        let ours = status
            .audiences
            .iter()
            .flatten()
            .any(|audience| audience == AUDIENCE);
        if !ours || status.authenticated != Some(true) {
            return Err(IdentityError::Refused);
        }
        let account = status.user.and_then(of_user);
        account.ok_or(IdentityError::Refused)
    }
}

fn of_user(user: UserInfo) -> Option<Account> {
    let account = Account::of(user.username.as_deref()?)?;
    let pod = user.extra.and_then(|mut extra| extra.remove(POD));
    let pod = pod.and_then(|names| names.into_iter().next());
    Some(Account { pod, ..account })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pod_is_the_one_that_the_token_is_bound_to() {
        let extra = [(POD.to_owned(), vec!["main-smtp-1".to_owned()])];
        let user = UserInfo {
            username: Some("system:serviceaccount:mail:main-smtp".to_owned()),
            extra: Some(extra.into()),
            ..UserInfo::default()
        };
        let account = of_user(user).unwrap();
        assert_eq!(account.pod.as_deref(), Some("main-smtp-1"));
    }

    #[test]
    fn the_role_follows_from_the_account_and_its_namespace() {
        let account = |user: &str| Account::of(user).unwrap();
        let cluster = Key::new("mail", "main");
        let smtp = account("system:serviceaccount:mail:main-smtp");
        assert_eq!(smtp.role(&cluster), Some(Role::Smtp));
        assert_eq!(
            account("system:serviceaccount:mail:main-delivery").role(&cluster),
            Some(Role::Delivery)
        );
        assert_eq!(
            account("system:serviceaccount:other:main-delivery").role(&cluster),
            None
        );
        assert_eq!(
            account("system:serviceaccount:mail:default").role(&cluster),
            None
        );
        assert_eq!(smtp.role(&Key::new("mail", "other")), None);
        assert_eq!(Account::of("system:admin"), None);
    }
}
