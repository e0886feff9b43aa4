//! Names that POP3 gives to messages.

use super::fixtures::{append, inbox};
use super::{Outcome, fails, same};
use crate::mail::{FlagOp, Flags, SystemFlags};
use crate::{Store, StoreError};

fn named(names: &[(u32, &str)]) -> Vec<(u32, String)> {
    let owned = |(uid, name): &(u32, &str)| (*uid, (*name).to_owned());
    names.iter().map(owned).collect()
}

pub(super) async fn names_stay_with_their_messages(store: Store) -> Outcome {
    let of_alice = inbox(&store, "alice@example.test").await?;
    let of_bob = inbox(&store, "bob@example.test").await?;
    append(&store, of_alice, &["one", "two", "three"]).await?;
    append(&store, of_bob, &["one"]).await?;
    same("none", &store.mail.uidls(of_alice).await?, &Vec::new())?;
    let names = named(&[(3, "c"), (1, "a"), (9, "nobody")]);
    store.mail.set_uidls(of_alice, names).await?;
    let found = store.mail.uidls(of_alice).await?;
    same("by UID", &found, &named(&[(1, "a"), (3, "c")]))?;
    same("of bob", &store.mail.uidls(of_bob).await?, &Vec::new())?;
    store.mail.set_uidls(of_alice, named(&[(1, "b")])).await?;
    let deleted = Flags {
        system: SystemFlags::DELETED,
        keywords: Vec::new(),
    };
    let changed = store
        .mail
        .store_flags(of_alice, vec![3], FlagOp::Add, deleted, None);
    changed.await?;
    store.mail.expunge(of_alice, None).await?;
    same(
        "replaced, and gone with its message",
        &store.mail.uidls(of_alice).await?,
        &named(&[(1, "b")]),
    )
}

pub(super) async fn names_have_the_form_of_rfc_1939(store: Store) -> Outcome {
    let inbox = inbox(&store, "alice@example.test").await?;
    append(&store, inbox, &["one"]).await?;
    for name in ["", "a b", "\u{e9}", &"x".repeat(71)] {
        let set = store.mail.set_uidls(inbox, named(&[(1, name)])).await;
        fails(name, set, |error| matches!(error, StoreError::Invalid(_)))?;
    }
    let longest = "x".repeat(70);
    let set = store.mail.set_uidls(inbox, named(&[(1, &longest)]));
    Ok(set.await?)
}
