//! Bodies.

use bytes::Bytes;
use mailpods_message::Meta;

use super::fixtures::{
    NOW, append, body, delivery, entries, inbox, lease_one, mailbox, message, settle, settlement,
};
use super::{Outcome, fails, holds, same, some};
use crate::mail::{Columns, FlagOp, Flags, NewMail, SystemFlags};
use crate::queue::Wanted;
use crate::types::{BodyId, NewBody, Quota};
use crate::{Store, StoreError};

/// Octets that do not compress well, the same each time.
fn noise(length: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    Bytes::from(
        std::iter::repeat_with(next)
            .take(length)
            .collect::<Vec<u8>>(),
    )
}

async fn put(
    store: &Store,
    octets: &Bytes,
    meta: Option<Vec<u8>>,
) -> Result<BodyId, super::Failure> {
    let inbox = inbox(store, "alice@example.test").await?;
    // In uneven slices, as they come from the network.
    let slices = octets
        .chunks(70_001)
        .map(|slice| octets.slice_ref(slice))
        .collect();
    let mail = NewMail {
        body: NewBody::Octets { slices, meta },
        prefix: Bytes::new(),
        flags: Flags::default(),
        received: NOW / 1000,
    };
    store
        .mail
        .append(inbox, vec![mail], Quota::default())
        .await?;
    Ok(some("the message", entries(store, inbox).await?.pop())?.body)
}

pub(super) async fn octets_come_back_whole_and_in_ranges(store: Store) -> Outcome {
    for length in [0, 1, 10_000, 65_535, 65_536, 65_537, 300_000, 3_000_000] {
        let octets = noise(length);
        let id = put(&store, &octets, None).await?;
        holds(
            &format!("body of {length} octets"),
            store.mail.body(id).await? == octets,
        )?;
        let end = length as u64;
        for range in [
            0..100,
            65_530..65_540,
            end.saturating_sub(5)..end + 5,
            end + 1..end + 9,
        ] {
            let cut = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(length);
            let wanted = octets.slice(cut(range.start)..cut(range.end));
            holds(
                &format!("range {range:?} of {length}"),
                store.mail.body_range(id, range.clone()).await? == wanted,
            )?;
        }
    }
    Ok(())
}

pub(super) async fn shared_body_lives_until_its_last_reference(store: Store) -> Outcome {
    store
        .queue
        .enqueue(vec![message(1, &["alice@example.test"])])
        .await?;
    let unit = lease_one(&store, Wanted::Local, NOW).await?;
    let id = unit.message.body;
    settle(
        &store,
        settlement(&unit, vec![delivery("alice@example.test")?]),
    )
    .await?;
    let inbox = inbox(&store, "alice@example.test").await?;
    let account = store
        .mail
        .account(&super::fixtures::address("alice@example.test")?)
        .await?;
    let trash = mailbox(&store, account, "Trash").await?;
    store
        .mail
        .copy(inbox, vec![1], trash, Quota::default())
        .await?;
    for mailbox in [inbox, trash] {
        holds(
            "the body while a message refers to it",
            store.mail.body(id).await.is_ok(),
        )?;
        let deleted = Flags {
            system: SystemFlags::DELETED,
            keywords: Vec::new(),
        };
        store
            .mail
            .store_flags(mailbox, vec![1], FlagOp::Add, deleted, None)
            .await?;
        same(
            "expunged",
            &store.mail.expunge(mailbox, None).await?,
            &vec![1],
        )?;
    }
    fails(
        "the body after its last message",
        store.mail.body(id).await,
        |error| matches!(error, StoreError::NotFound(_)),
    )
}

pub(super) async fn meta_is_kept_or_computed(store: Store) -> Outcome {
    let octets = Bytes::from_static(b"Subject: hello\r\nFrom: a@example.test\r\n\r\nhello\r\n");
    let computed = Bytes::from(Meta::compute(&octets).encode());
    let id = put(&store, &octets, None).await?;
    same(
        "computed facts",
        &store.mail.body_meta(id).await?,
        &computed,
    )?;
    let id = put(&store, &octets, Some(b"given".to_vec())).await?;
    same(
        "given facts",
        &&store.mail.body_meta(id).await?[..],
        &&b"given"[..],
    )?;
    store
        .queue
        .enqueue(vec![message(1, &["x@remote.test"])])
        .await?;
    let unit = lease_one(&store, super::fixtures::remote(), NOW).await?;
    let octets = store.mail.body(unit.message.body).await?;
    let wanted = Bytes::from(Meta::compute(&octets).encode());
    same(
        "facts computed late",
        &store.mail.body_meta(unit.message.body).await?,
        &wanted,
    )?;
    settle(
        &store,
        settlement(&unit, vec![delivery("bob@example.test")?]),
    )
    .await?;
    let bob = inbox(&store, "bob@example.test").await?;
    let found = store
        .mail
        .entries(
            bob,
            1..=1,
            0,
            Columns {
                prefix: true,
                meta: true,
            },
            1,
        )
        .await?;
    let entry = some("the entry", found.first())?;
    same("facts in the entry", &entry.meta, &Some(wanted))?;
    same(
        "prefix",
        &entry.prefix,
        &Some(delivery("bob@example.test")?.prefix),
    )
}

pub(super) async fn unknown_body_is_not_found(store: Store) -> Outcome {
    let inbox = inbox(&store, "alice@example.test").await?;
    append(&store, inbox, &["one"]).await?;
    let missing = |error: &StoreError| matches!(error, StoreError::NotFound(_));
    fails("body", store.mail.body(BodyId(999)).await, missing)?;
    fails("meta", store.mail.body_meta(BodyId(999)).await, missing)?;
    let mut new = message(1, &["x@remote.test"]);
    new.body = NewBody::Stored(BodyId(999));
    fails("enqueue", store.queue.enqueue(vec![new]).await, missing)?;
    let mail = NewMail {
        body: body("x"),
        prefix: Bytes::new(),
        flags: Flags::default(),
        received: 0,
    };
    let absent = NewMail {
        body: NewBody::Stored(BodyId(999)),
        ..mail.clone()
    };
    fails(
        "append",
        store
            .mail
            .append(inbox, vec![mail, absent], Quota::default())
            .await,
        missing,
    )?;
    same("messages", &store.mail.uids(inbox).await?, &vec![1])
}
