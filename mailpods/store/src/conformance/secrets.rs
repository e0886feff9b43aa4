//! Secrets and credentials.

use zeroize::Zeroizing;

use super::fixtures::address;
use super::{Outcome, holds, same};
use crate::Store;
use crate::secrets::{self, SavedCredential};

fn secret(text: &str) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(text.as_bytes().to_vec())
}

pub(super) async fn secrets_come_back(store: Store) -> Outcome {
    holds("none", store.secrets.secret("dkim/a").await?.is_none())?;
    store.secrets.put_secret("dkim/a", secret("one")).await?;
    store.secrets.put_secret("dkim/b", secret("two")).await?;
    store.secrets.put_secret("tls/x", secret("three")).await?;
    store.secrets.put_secret("dkim/a", secret("new")).await?;
    same(
        "replaced",
        &store.secrets.secret("dkim/a").await?,
        &Some(secret("new")),
    )?;
    same(
        "names",
        &store.secrets.secret_names("dkim/").await?,
        &vec!["dkim/a".to_owned(), "dkim/b".to_owned()],
    )?;
    store.secrets.delete_secret("dkim/a").await?;
    holds("deleted", store.secrets.secret("dkim/a").await?.is_none())
}

pub(super) async fn the_first_of_two_writers_wins(store: Store) -> Outcome {
    let (one, other) = tokio::join!(
        store.secrets.secret_or_put("k", secret("one")),
        store.secrets.secret_or_put("k", secret("other"))
    );
    let one = one?;
    same("both have the same", &one, &other?)?;
    same(
        "and it stays",
        &store.secrets.secret_or_put("k", secret("third")).await?,
        &one,
    )
}

pub(super) async fn what_another_has_changed_is_not_swapped(store: Store) -> Outcome {
    let swap = async |before: Option<&str>, after: Option<&str>| {
        let before = before.map(str::as_bytes);
        store
            .secrets
            .swap_secret("k", before, after.map(secret))
            .await
    };
    holds("nothing is there", swap(None, None).await?)?;
    holds("not there yet", !swap(Some("one"), Some("two")).await?)?;
    holds("the first", swap(None, Some("one")).await?)?;
    holds("there already", !swap(None, Some("other")).await?)?;
    holds("another value", !swap(Some("two"), Some("other")).await?)?;
    holds("the same value", swap(Some("one"), Some("one")).await?)?;
    holds("changed", swap(Some("one"), Some("two")).await?)?;
    holds("not deleted", !swap(Some("one"), None).await?)?;
    same(
        "it stays",
        &store.secrets.secret("k").await?,
        &Some(secret("two")),
    )?;
    holds("deleted", swap(Some("two"), None).await?)?;
    same("gone", &store.secrets.secret("k").await?, &None)
}

pub(super) async fn changes_at_once_lose_nothing(store: Store) -> Outcome {
    const TASKS: u32 = 8;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..TASKS {
        let secrets = store.secrets.clone();
        tasks.spawn(async move {
            secrets::change(secrets.as_ref(), "n", |all: &mut Vec<u32>| all.push(number)).await
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.map_err(|error| crate::StoreError::Invalid(error.to_string()))??;
    }
    let secrets = store.secrets.as_ref();
    let kept = secrets::change(secrets, "n", |all: &mut Vec<u32>| {
        all.sort_unstable();
        std::mem::take(all)
    });
    same("all", &kept.await?, &(0..TASKS).collect())?;
    same(
        "nothing is not kept",
        &store.secrets.secret("n").await?,
        &None,
    )?;
    store.secrets.put_secret("n", secret("no JSON")).await?;
    let unread = secrets::change(secrets, "n", |all: &mut Vec<u32>| all.clear()).await;
    holds("told", matches!(unread, Err(crate::StoreError::Corrupt(_))))?;
    same(
        "left",
        &store.secrets.secret("n").await?,
        &Some(secret("no JSON")),
    )
}

pub(super) async fn swaps_at_once_lose_nothing(store: Store) -> Outcome {
    const TASKS: usize = 8;
    const STEPS: usize = 5;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..TASKS {
        let secrets = store.secrets.clone();
        tasks.spawn(async move {
            for _ in 0..STEPS {
                loop {
                    let before = secrets.secret("n").await?;
                    let mut after = before.clone().unwrap_or_default();
                    after.push(b'x');
                    let before = before.as_ref().map(|before| before.as_slice());
                    if secrets.swap_secret("n", before, Some(after)).await? {
                        break;
                    }
                }
            }
            Ok::<_, crate::StoreError>(())
        });
    }
    for done in tasks.join_all().await {
        done?;
    }
    let found = store.secrets.secret("n").await?.unwrap_or_default();
    same("each counted", &found.len(), &(TASKS * STEPS))
}

pub(super) async fn tidying_passes_over_what_cannot_be_read(store: Store) -> Outcome {
    use crate::suppression::{Suppressed, list, suppress, suppressed, tidy};
    let secrets = store.secrets.as_ref();
    secrets
        .put_secret("suppressed/one.test/a@else.test", secret("no JSON"))
        .await?;
    let ended = Suppressed {
        why: Default::default(),
        since: 1,
        until: 10,
        reply: String::new(),
    };
    for recipient in ["b@else.test", "c@else.test"] {
        suppress(secrets, "bob@one.test", recipient, ended.clone()).await?;
    }
    same("deleted", &tidy(secrets, 60).await?, &2)?;
    same("listed", &list(secrets, None, 0).await?.len(), &0)?;
    let broken = suppressed(secrets, "bob@one.test", "a@else.test", 1).await;
    holds(
        "it stays for `mailpods suppression remove`",
        matches!(broken, Err(crate::StoreError::Corrupt(_))),
    )
}

pub(super) async fn credentials_are_replaced(store: Store) -> Outcome {
    let alice = address("alice@example.test")?;
    holds(
        "none",
        store.directory.saved_credential(&alice).await?.is_none(),
    )?;
    let mut saved = SavedCredential {
        source: [1; 32],
        hash: Some(Zeroizing::new("$argon2id$".to_owned())),
        scram: None,
    };
    store
        .directory
        .save_credential(&alice, saved.clone())
        .await?;
    holds(
        "saved",
        store.directory.saved_credential(&alice).await? == Some(saved.clone()),
    )?;
    saved.source = [2; 32];
    saved.scram = Some(Zeroizing::new("{SCRAM-SHA-256}".to_owned()));
    store
        .directory
        .save_credential(&alice, saved.clone())
        .await?;
    holds(
        "replaced",
        store.directory.saved_credential(&alice).await? == Some(saved),
    )
}

pub(super) async fn recipients_are_suppressed_for_a_sender_domain(store: Store) -> Outcome {
    use crate::suppression::{Suppressed, lift, list, suppress, suppressed, tidy};
    let secrets = store.secrets.as_ref();
    let entry = |until: i64| Suppressed {
        why: Default::default(),
        since: 1,
        until,
        reply: "550 5.1.1 no such user".to_owned(),
    };
    suppress(secrets, "bob@one.test", "Gone@else.test", entry(100)).await?;
    suppress(secrets, "bob@one.test", "old@else.test", entry(10)).await?;
    suppress(secrets, "bob@two.test", "gone@else.test", entry(50)).await?;
    let found = suppressed(secrets, "ann@ONE.test", "gone@ELSE.test", 60).await?;
    same("by domain, whatever the case", &found, &Some(entry(100)))?;
    same(
        "ended",
        &suppressed(secrets, "bob@two.test", "gone@else.test", 60).await?,
        &None,
    )?;
    same(
        "the null sender",
        &suppressed(secrets, "", "gone@else.test", 1).await?,
        &None,
    )?;
    let of_one = list(secrets, Some("one.test"), 5).await?;
    same("listed", &of_one.len(), &2)?;
    same("deleted", &tidy(secrets, 60).await?, &2)?;
    same("left", &list(secrets, None, 0).await?.len(), &1)?;
    same(
        "lifted",
        &lift(secrets, "one.test", "gone@else.test").await?,
        &true,
    )?;
    same(
        "not there",
        &lift(secrets, "one.test", "gone@else.test").await?,
        &false,
    )
}
