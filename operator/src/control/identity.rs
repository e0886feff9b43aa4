//! Who asks: tokens are reviewed by the API server, and answers kept for a while. What a token says of itself is looked at
//! before, so that nobody has the API server asked for anything that it would refuse.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use kube::Client;
use kube::api::{Api, PostParams};
use mailpods_plan::Role;
use mailpods_rpc::control::{AUDIENCE, MAX_TOKEN_OCTETS};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::kube::Key;
use crate::names;

/// How long a good answer is kept: a deleted pod's token is good for no longer.
const KEPT: Duration = Duration::from_secs(60);
/// How long a bad answer is kept.
const KEPT_REFUSED: Duration = Duration::from_secs(10);
/// Answers of each sort that are kept.
const MAX_KEPT: usize = 10_000;
/// Reviews at once.
const REVIEWS: usize = 16;
/// Wait for one's turn.
const TURN: Duration = Duration::from_secs(5);

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
    /// The token is good for something else in the cluster.
    #[error("the account has no role in the MailCluster")]
    Forbidden,
    /// Too many others ask.
    #[error("too many tokens are being reviewed")]
    Busy,
    /// The API server did not answer.
    #[error("failed to have a token reviewed")]
    Review(#[source] kube::Error),
}

/// Asks who has a token.
pub struct Reviewer {
    api: Api<TokenReview>,
    kept: Mutex<Kept>,
    refused: Mutex<HashMap<[u8; 32], Instant>>,
    room: Semaphore,
}

/// Accounts by digest of the token, and until when they are believed.
type Kept = HashMap<[u8; 32], (Account, Instant)>;

/// What a token says of itself (RFC 7519 §4.1), before anybody has looked at its signature.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    aud: Audiences,
}

/// One audience or several (RFC 7519 §4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Several(Vec<String>),
}

/// The account that a token claims; `None`: it cannot be one for the control channel.
fn claimed(token: &str) -> Option<Account> {
    let payload = token.split('.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    let ours = match &claims.aud {
        Audiences::One(audience) => audience == AUDIENCE,
        Audiences::Several(audiences) => audiences.iter().any(|audience| audience == AUDIENCE),
    };
    ours.then(|| Account::of(&claims.sub)).flatten()
}

impl Reviewer {
    /// A reviewer that asks the API server.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            api: Api::all(client),
            kept: Mutex::default(),
            refused: Mutex::default(),
            room: Semaphore::new(REVIEWS),
        }
    }

    /// The account of a token, and its role in a MailCluster.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub async fn role(&self, token: &str, cluster: &Key) -> Result<(Account, Role), IdentityError> {
        if token.len() > MAX_TOKEN_OCTETS {
            return Err(IdentityError::Refused);
        }
        let claimed = claimed(token).ok_or(IdentityError::Refused)?;
        claimed.role(cluster).ok_or(IdentityError::Forbidden)?;
        let account = self.account(token).await?;
        let role = account.role(cluster).ok_or(IdentityError::Forbidden)?;
        Ok((account, role))
    }

    async fn account(&self, token: &str) -> Result<Account, IdentityError> {
        // The digest is what is kept and compared: no token stays in memory, and no time tells of it.
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(account) = self.known(&digest) {
            return Ok(account);
        }
        let turn = tokio::time::timeout(TURN, self.room.acquire()).await;
        let turn = turn.ok().and_then(Result::ok).ok_or(IdentityError::Busy)?;
        // Another request with the same token may have had it reviewed meanwhile.
        if let Some(account) = self.known(&digest) {
            return Ok(account);
        }
        if self.is_refused(&digest) {
            return Err(IdentityError::Refused);
        }
        let reviewed = self.review(token).await;
        drop(turn);
        match &reviewed {
            Ok(account) => keep(&self.kept, digest, (account.clone(), Instant::now() + KEPT)),
            Err(IdentityError::Refused) => {
                keep(&self.refused, digest, Instant::now() + KEPT_REFUSED)
            }
            Err(_) => {}
        }
        reviewed
    }

    fn is_refused(&self, digest: &[u8; 32]) -> bool {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused
            .get(digest)
            .is_some_and(|until| *until > Instant::now())
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

fn keep<V>(answers: &Mutex<HashMap<[u8; 32], V>>, digest: [u8; 32], answer: V) {
    let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
    if answers.len() >= MAX_KEPT {
        answers.clear();
    }
    answers.insert(digest, answer);
}

fn of_user(user: UserInfo) -> Option<Account> {
    let account = Account::of(user.username.as_deref()?)?;
    let pod = user.extra.and_then(|mut extra| extra.remove(POD));
    let pod = pod.and_then(|names| names.into_iter().next());
    Some(Account { pod, ..account })
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;
    use tower_test::mock;

    use super::*;

    /// A token as the API server writes them; nobody here looks at signatures.
    fn token(account: &str, audience: &str, signature: &str) -> String {
        let claims = json!({"sub": account, "aud": [audience], "iss": "https://kubernetes"});
        let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
        format!("e30.{claims}.{signature}")
    }

    /// A reviewer whose API server takes tokens that end like `good`, and tells of each review.
    fn reviewer() -> (Reviewer, tokio::sync::mpsc::UnboundedReceiver<String>) {
        let (service, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
        let (told, asked) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some((request, send)) = handle.next_request().await {
                let body = axum::body::Body::new(request.into_body());
                let octets = to_bytes(body, 1 << 20).await.unwrap();
                let mut review: TokenReview = serde_json::from_slice(&octets).unwrap();
                let token = review.spec.token.clone();
                let user = claimed(&token).unwrap();
                review.status = Some(k8s_openapi::api::authentication::v1::TokenReviewStatus {
                    authenticated: Some(token.ends_with("good")),
                    audiences: Some(vec![AUDIENCE.to_owned()]),
                    user: Some(UserInfo {
                        username: Some(format!(
                            "system:serviceaccount:{}:{}",
                            user.namespace, user.name
                        )),
                        ..UserInfo::default()
                    }),
                    ..Default::default()
                });
                told.send(token).unwrap();
                let body = Body::from(serde_json::to_vec(&review).unwrap());
                send.send_response(Response::new(body));
            }
        });
        (Reviewer::new(Client::new(service, "mail")), asked)
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_has_the_api_server_asked_again_and_again() {
        let (reviewer, mut asked) = reviewer();
        let main = Key::new("mail", "main");
        let smtp = "system:serviceaccount:mail:main-smtp";
        let unasked = [
            String::new(),
            "x.y.z".to_owned(),
            token(smtp, "https://kubernetes", "good"),
            token("system:admin", AUDIENCE, "good"),
        ];
        for token in unasked {
            let refused = reviewer.role(&token, &main).await;
            assert!(matches!(refused, Err(IdentityError::Refused)), "{token}");
        }
        let elsewhere = token("system:serviceaccount:team:main-smtp", AUDIENCE, "good");
        let refused = reviewer.role(&elsewhere, &main).await;
        assert!(matches!(refused, Err(IdentityError::Forbidden)));
        assert!(asked.try_recv().is_err());
        let bad = token(smtp, AUDIENCE, "bad");
        for _ in 0..9 {
            let refused = reviewer.role(&bad, &main).await;
            assert!(matches!(refused, Err(IdentityError::Refused)));
        }
        assert_eq!(asked.try_recv().as_ref(), Ok(&bad));
        assert!(asked.try_recv().is_err());
        tokio::time::advance(KEPT_REFUSED).await;
        assert!(reviewer.role(&bad, &main).await.is_err());
        assert!(asked.try_recv().is_ok());
        let good = token(smtp, AUDIENCE, "good");
        for _ in 0..9 {
            let (account, role) = reviewer.role(&good, &main).await.unwrap();
            assert_eq!((account.name.as_str(), role), ("main-smtp", Role::Smtp));
        }
        assert!(asked.try_recv().is_ok() && asked.try_recv().is_err());
    }

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
