//! Fills a queue: by the store's own calls, while no server is there.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use mailpods_api::QueueId;
use mailpods_policy::Reason;
use mailpods_store::queue::{
    BodyType, Destination, Envelope, LeasedUnit, NewMessage, NewRecipient, Notify, Origin, Retry,
    Settlement, Wanted,
};
use mailpods_store::{NewBody, QueueStore};
use tokio::task::JoinSet;

use super::now;
use super::world::{self, SIZE};
use crate::message::{Messages, Random};
use crate::progress;

/// Messages queued by one call.
const BATCH: usize = 100;
/// Calls at once.
const CALLS: usize = 16;
/// Units leased at once to be put off.
const LEASE: usize = 100;
/// Within this time those that were put off are tried again, in milliseconds.
const SPREAD: usize = 4 * 3_600_000;
/// Lines about what goes on, one each so many messages.
const EACH: usize = 100_000;

/// Queues messages of these numbers for domains of some providers.
///
/// # Errors
/// When the store refuses one.
pub async fn fill(
    queue: &Arc<dyn QueueStore>,
    messages: &Messages,
    numbers: Range<usize>,
    providers: &Range<usize>,
) -> Result<()> {
    let (begin, first) = (Instant::now(), numbers.start);
    let mut calls = JoinSet::new();
    let mut index = first;
    while index < numbers.end {
        let end = (index + BATCH).min(numbers.end);
        let batch = (index..end)
            .map(|index| message(messages, index, &world::one_of(providers, index)))
            .collect();
        let queue = queue.clone();
        calls.spawn(async move { queue.enqueue(batch).await });
        if calls.len() >= CALLS {
            calls.join_next().await.context("no call")???;
        }
        if (end - first) % EACH < BATCH && end - first >= EACH {
            let rate = (end - first) as f64 / begin.elapsed().as_secs_f64();
            progress(&format!("queued {} ({rate:.0}/s)", end - first));
        }
        index = end;
    }
    while let Some(done) = calls.join_next().await {
        done??;
    }
    Ok(())
}

/// One message of 1 to 2 KiB.
fn message(messages: &Messages, index: usize, domain: &str) -> NewMessage {
    let size = SIZE.0 + Random(index as u64).below(SIZE.1);
    let to = format!("user{index}@{domain}");
    let text = messages.make(index, &to, size);
    let created = now();
    NewMessage {
        id: QueueId::from_parts(created.unsigned_abs(), index as u64),
        body: NewBody::Octets {
            slices: vec![Bytes::from(text)],
            meta: None,
        },
        envelope: Envelope {
            sender: format!("news@tenant{}.test", world::tenant(index)),
            ret: None,
            envid: None,
            smtputf8: false,
            body_type: BodyType::SevenBit,
            tls: Default::default(),
        },
        origin: Origin::Inbound,
        junk: false,
        created,
        recipients: vec![NewRecipient {
            destination: Destination(domain.into()),
            address: to,
            orcpt: None,
            notify: Notify::default(),
        }],
    }
}

/// Puts everything off that is due, as after attempts that found nobody: to be tried again at times spread over hours.
///
/// # Errors
/// When the store fails.
pub async fn put_off(queue: &Arc<dyn QueueStore>) -> Result<()> {
    let (mut random, mut count) = (Random(1), 0);
    let mut calls = JoinSet::new();
    loop {
        let at = now();
        let wanted = Wanted::remote();
        let units = queue
            .lease("bench", wanted, at, at + 600_000, LEASE)
            .await?;
        if units.is_empty() {
            break;
        }
        let settlements: Vec<Settlement> = units
            .iter()
            .map(|unit| refused(unit, &mut random))
            .collect();
        let before = count / EACH;
        count += settlements.len();
        if count / EACH > before {
            progress(&format!("put off {count}"));
        }
        let queue = queue.clone();
        calls.spawn(async move { queue.settle(settlements).await });
        if calls.len() >= CALLS {
            settled(&mut calls).await?;
        }
    }
    while !calls.is_empty() {
        settled(&mut calls).await?;
    }
    Ok(())
}

async fn settled(
    calls: &mut JoinSet<mailpods_store::Result<Vec<mailpods_store::Result<()>>>>,
) -> Result<()> {
    let results = calls.join_next().await.context("no call")???;
    for result in results {
        result?;
    }
    Ok(())
}

fn refused(unit: &LeasedUnit, random: &mut Random) -> Settlement {
    let wait = random.below(SPREAD) as i64;
    Settlement {
        lease: unit.lease,
        done: Vec::new(),
        retry: Some(Retry {
            next_attempt: now() + wait,
            class: "network",
            error: "connect to mx.provider4.test: connection refused".to_owned(),
            reason: Reason::ConnectFailed,
            warned: false,
            counts: true,
        }),
        deliveries: Vec::new(),
        enqueue: Vec::new(),
    }
}
