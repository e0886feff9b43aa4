//! Bodies.

use bytes::Bytes;
use mailpods_message::Meta;
use mailpods_message::signature::Probes;

use super::fixtures::{
    NOW, append, body, delivery, entries, inbox, lease_one, mailbox, message, settle, settlement,
};
use super::{Outcome, fails, holds, same, some};
use crate::mail::{Columns, FlagOp, Flags, NewMail, SoughtText, SystemFlags};
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

pub(super) async fn several_are_read_together(store: Store) -> Outcome {
    let mut bodies = Vec::new();
    for length in [0, 10, 5_000, 65_536, 70_000, 300_000] {
        let octets = noise(length);
        bodies.push((put(&store, &octets, None).await?, octets));
    }
    let ask = async || {
        let ids = bodies.iter().map(|(id, _)| *id);
        let mut wanted: Vec<_> = ids.clone().map(|id| (id, 0..u64::MAX)).collect();
        wanted.extend(ids.map(|id| (id, 3..66_000)));
        wanted.push((BodyId(999_999), 0..10));
        wanted.push(wanted[2].clone());
        store.mail.body_ranges(wanted).await
    };
    let holds_all = |answers: Vec<crate::Result<Bytes>>| {
        let mut answers = answers.into_iter();
        let whole = bodies.iter().map(|(_, octets)| octets.clone());
        let parts = bodies.iter().map(|(_, octets)| {
            let end = octets.len().min(66_000);
            octets.slice(end.min(3)..end)
        });
        for (index, expected) in whole.chain(parts).enumerate() {
            let found = some("an answer", answers.next())??;
            holds(&format!("body {index}"), found == expected)?;
        }
        let missing = |error: &StoreError| matches!(error, StoreError::NotFound(_));
        fails(
            "one that is not there",
            some("an answer", answers.next())?,
            missing,
        )?;
        holds(
            "the one after it",
            some("an answer", answers.next())?? == noise(5_000),
        )
    };
    holds_all(ask().await?)?;
    // What was written lately is in memory, of which there is less than this.
    let inbox = inbox(&store, "alice@example.test").await?;
    let others = (0..72).map(|number: u8| NewMail {
        body: NewBody::Octets {
            slices: vec![noise(250_000), Bytes::from(vec![number])],
            meta: None,
        },
        prefix: Bytes::new(),
        flags: Flags::default(),
        received: 0,
    });
    let others = others.collect();
    store.mail.append(inbox, others, Quota::default()).await?;
    holds_all(ask().await?)
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
                reader: None,
            },
            1,
        )
        .await?;
    let entry = some("the entry", found.first())?;
    same("facts in the entry", &entry.meta, &Some(wanted))?;
    // What is large is asked for by itself, so that a batch of entries is not.
    let large = vec![7; 9_000];
    let id = put(&store, &octets, Some(large.clone())).await?;
    let alice = inbox(&store, "alice@example.test").await?;
    let columns = Columns {
        prefix: false,
        meta: true,
        reader: None,
    };
    let mut all = store.mail.entries(alice, 1..=9, 0, columns, 9).await?;
    let last = some("the entry", all.pop())?;
    same("the body", &last.body, &id)?;
    same("large facts in the entry", &last.meta, &None)?;
    same(
        "large facts",
        &store.mail.body_meta(id).await?,
        &large.into(),
    )?;
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

/// What may have a text, here or in the prefix.
async fn may_have(store: &Store, text: &str, in_prefix: bool) -> Result<Vec<u32>, super::Failure> {
    let inbox = inbox(store, "alice@example.test").await?;
    let sought = SoughtText {
        probes: some("probes", Probes::of(text))?,
        in_prefix: in_prefix.then(|| text.to_owned()),
    };
    Ok(store.mail.may_have(inbox, 1..=u32::MAX, sought).await?)
}

async fn put_with(store: &Store, prefix: &str, text: &str) -> Result<(), super::Failure> {
    let inbox = inbox(store, "alice@example.test").await?;
    let mut mail = super::fixtures::mail(text, SystemFlags::default());
    mail.prefix = Bytes::copy_from_slice(prefix.as_bytes());
    store
        .mail
        .append(inbox, vec![mail], Quota::default())
        .await?;
    Ok(())
}

pub(super) async fn signatures_tell_where_a_text_may_be(store: Store) -> Outcome {
    put_with(&store, "", "the invoice for march").await?;
    put_with(
        &store,
        "Return-Path: <bob@example.org>\r\n",
        "nothing of it",
    )
    .await?;
    put_with(
        &store,
        "X-Original-To: back\\slash@example.test\r\n",
        "INVOICES",
    )
    .await?;
    put_with(&store, "X-Original-To: gr\u{fc}n@example.test\r\n", "large").await?;
    same(
        "invoice",
        &may_have(&store, "invoice", false).await?,
        &vec![1, 3],
    )?;
    same("bob", &may_have(&store, "<bob@", false).await?, &vec![])?;
    same(
        "bob, in prefix",
        &may_have(&store, "<bob@", true).await?,
        &vec![2, 4],
    )?;
    same(
        "backslash",
        &may_have(&store, "k\\slash", true).await?,
        &vec![3, 4],
    )?;
    let first = some(
        "a message",
        entries(&store, inbox(&store, "alice@example.test").await?)
            .await?
            .first()
            .cloned(),
    )?;
    let inbox = inbox(&store, "alice@example.test").await?;
    let sought = SoughtText {
        probes: some("probes", Probes::of("march"))?,
        in_prefix: None,
    };
    let beyond = store
        .mail
        .may_have(inbox, first.uid + 1..=u32::MAX, sought)
        .await?;
    same("only what is asked for", &beyond, &vec![])
}

pub(super) async fn bodies_without_a_signature_are_signed_later(store: Store) -> Outcome {
    store.mail.sign_bodies(false);
    put_with(&store, "", "the invoice").await?;
    put_with(&store, "", "something else").await?;
    store.mail.sign_bodies(true);
    put_with(&store, "", "a third one").await?;
    same(
        "unknown",
        &may_have(&store, "invoice", false).await?,
        &vec![1, 2],
    )?;
    let unsigned = store.mail.unsigned_bodies(BodyId(0), 10).await?;
    same("without a signature", &unsigned.len(), &2)?;
    for body in &unsigned {
        store.mail.sign_body(*body).await?;
    }
    store.mail.sign_body(unsigned[0]).await?;
    same(
        "known",
        &may_have(&store, "invoice", false).await?,
        &vec![1],
    )?;
    same(
        "all",
        &store.mail.unsigned_bodies(BodyId(0), 10).await?,
        &vec![],
    )?;
    fails(
        "a body that is not there",
        store.mail.sign_body(BodyId(i64::MAX)).await,
        |error| matches!(error, StoreError::NotFound(_)),
    )
}
