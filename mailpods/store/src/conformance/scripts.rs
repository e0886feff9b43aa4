//! Personal Sieve scripts.

use bytes::Bytes;

use super::fixtures::{account, address};
use super::{Failure, Outcome, holds, same, some};
use crate::scripts::{MAX_ALL_OCTETS, MAX_SCRIPT_OCTETS, MAX_SCRIPTS, ScriptError};
use crate::types::AccountId;
use crate::{Result, Store};

async fn put(store: &Store, owner: AccountId, name: &str, text: &str) -> Result<(), ScriptError> {
    let source = Bytes::copy_from_slice(text.as_bytes());
    store.scripts.put_script(owner, name, source).await
}

fn done(what: &str, result: Result<(), ScriptError>) -> Outcome {
    result.map_err(|error| Failure(format!("{what}: {error}")))
}

fn refused(
    what: &str,
    result: Result<(), ScriptError>,
    matches: impl FnOnce(&ScriptError) -> bool,
) -> Outcome {
    match result {
        Err(error) if matches(&error) => Ok(()),
        other => Err(Failure(format!("{what}: {other:?}"))),
    }
}

async fn names(store: &Store, owner: AccountId) -> Result<Vec<(String, bool)>, Failure> {
    let scripts = store.scripts.scripts(owner).await?;
    let named = scripts.into_iter().map(|info| (info.name, info.active));
    Ok(named.collect())
}

fn named(names: &[(&str, bool)]) -> Vec<(String, bool)> {
    let owned = |(name, active): &(&str, bool)| ((*name).to_owned(), *active);
    names.iter().map(owned).collect()
}

pub(super) async fn scripts_are_kept_for_their_owner(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let bob = account(&store, "bob@example.test").await?;
    same("none", &names(&store, alice).await?, &Vec::new())?;
    done("put", put(&store, alice, "B", "keep;").await)?;
    done("put", put(&store, alice, "a", "stop;").await)?;
    done("replaced", put(&store, alice, "B", "discard;").await)?;
    same(
        "by name",
        &names(&store, alice).await?,
        &named(&[("B", false), ("a", false)]),
    )?;
    let source = store.scripts.script(alice, "B").await?;
    same("its text", &source, &Some(Bytes::from_static(b"discard;")))?;
    same("no such", &store.scripts.script(alice, "b").await?, &None)?;
    same("of bob", &names(&store, bob).await?, &Vec::new())?;
    store.mail.delete_account(alice).await?;
    let again = account(&store, "alice@example.test").await?;
    same(
        "of a new account",
        &names(&store, again).await?,
        &Vec::new(),
    )
}

pub(super) async fn one_script_is_active(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let activate = async |name: Option<&str>| store.scripts.activate_script(alice, name).await;
    done("none", activate(None).await)?;
    done("put", put(&store, alice, "a", "keep;").await)?;
    done("put", put(&store, alice, "b", "stop;").await)?;
    refused("no such", activate(Some("c")).await, |error| {
        matches!(error, ScriptError::NotFound)
    })?;
    done("a", activate(Some("a")).await)?;
    done("b", activate(Some("b")).await)?;
    same(
        "active",
        &names(&store, alice).await?,
        &named(&[("a", false), ("b", true)]),
    )?;
    let delete = async |name: &str| store.scripts.delete_script(alice, name).await;
    refused("active", delete("b").await, |error| {
        matches!(error, ScriptError::Active)
    })?;
    let rename = async |from: &str, to: &str| store.scripts.rename_script(alice, from, to).await;
    refused("taken", rename("b", "a").await, |error| {
        matches!(error, ScriptError::AlreadyExists)
    })?;
    refused("no such", rename("c", "d").await, |error| {
        matches!(error, ScriptError::NotFound)
    })?;
    done("renamed", rename("b", "c").await)?;
    same(
        "stays active",
        &names(&store, alice).await?,
        &named(&[("a", false), ("c", true)]),
    )?;
    done("none", activate(None).await)?;
    done("deleted", delete("c").await)?;
    refused("gone", delete("c").await, |error| {
        matches!(error, ScriptError::NotFound)
    })?;
    same(
        "left",
        &names(&store, alice).await?,
        &named(&[("a", false)]),
    )
}

pub(super) async fn scripts_have_a_quota(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let large = "#".repeat(usize::try_from(MAX_SCRIPT_OCTETS).unwrap_or(0));
    refused(
        "too large",
        put(&store, alice, "a", &format!("{large}#")).await,
        |error| matches!(error, ScriptError::TooLarge),
    )?;
    let fit = MAX_ALL_OCTETS / MAX_SCRIPT_OCTETS;
    for number in 0..fit {
        done("put", put(&store, alice, &number.to_string(), &large).await)?;
    }
    refused("no room", put(&store, alice, "x", "#").await, |error| {
        matches!(error, ScriptError::NoRoom)
    })?;
    done("in its place", put(&store, alice, "0", &large).await)?;
    let room = |name: &'static str, octets| store.scripts.room_for_script(alice, name, octets);
    refused("told before", room("x", 1).await, |error| {
        matches!(error, ScriptError::NoRoom)
    })?;
    done("told before", room("0", 1).await)?;
    for number in 0..fit {
        done("emptied", put(&store, alice, &number.to_string(), "").await)?;
    }
    for number in fit..MAX_SCRIPTS as u64 {
        done("put", put(&store, alice, &number.to_string(), "").await)?;
    }
    refused("too many", put(&store, alice, "x", "").await, |error| {
        matches!(error, ScriptError::TooMany)
    })
}

pub(super) async fn delivery_hears_of_every_change(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let asked = [
        address("bob@example.test")?,
        address("alice@example.test")?,
        address("nobody@example.test")?,
    ];
    account(&store, "bob@example.test").await?;
    let revision = async || -> Result<u64, Failure> {
        let found = store.scripts.script_revisions(&asked).await?;
        let owners: Vec<_> = found
            .iter()
            .map(|one| (one.address.clone(), one.account))
            .collect();
        same("alice alone", &owners, &vec![(asked[1].clone(), alice)])?;
        some("a revision", found.first().map(|one| one.revision))
    };
    let nobody = store.scripts.script_revisions(&asked).await?;
    same("nobody", &nobody, &Vec::new())?;
    same("none", &store.scripts.personal_scripts(alice).await?, &None)?;
    done("put", put(&store, alice, "a", "keep;").await)?;
    let first = revision().await?;
    done("on", store.scripts.activate_script(alice, Some("a")).await)?;
    let second = revision().await?;
    done("changed", put(&store, alice, "a", "stop;").await)?;
    let third = revision().await?;
    holds("each change is told", first < second && second < third)?;
    let all = some("scripts", store.scripts.personal_scripts(alice).await?)?;
    same("revision", &all.revision, &third)?;
    same("active", &all.active.as_deref(), &Some("a"))?;
    let texts = vec![("a".to_owned(), Bytes::from_static(b"stop;"))];
    same("texts", &all.scripts, &texts)?;
    done("off", store.scripts.activate_script(alice, None).await)?;
    holds("and that none is active", revision().await? > third)?;
    let all = some("scripts", store.scripts.personal_scripts(alice).await?)?;
    same("inactive", &all.active, &None)
}
