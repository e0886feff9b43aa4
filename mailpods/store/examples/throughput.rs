//! Measures accepting, leasing and delivering messages: `throughput [DIR] [MESSAGES] [OCTETS]`, or with `--postgres URI` in place of the
//! folder. Prints one JSON object.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use mailpods_api::{MailboxAddress, QueueId};
use mailpods_store::Store;
use mailpods_store::mail::Flags;
use mailpods_store::postgres::{self, PostgresStore};
use mailpods_store::queue::{
    BodyType, Delivery, Destination, Envelope, NewMessage, NewRecipient, Notify, Origin,
    Settlement, Wanted,
};
use mailpods_store::sqlite::{Options, SqliteStore};
use mailpods_store::types::{NewBody, Quota};
use zeroize::Zeroizing;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const SESSIONS: u64 = 50;
const ACCOUNTS: u64 = 100;
const BATCH: usize = 50;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let scratch = tempfile::tempdir()?;
    let place = arguments
        .next()
        .unwrap_or_else(|| scratch.path().to_string_lossy().into_owned());
    let back_end = if place == "--postgres" {
        let uri = arguments.next().ok_or("--postgres needs a URI")?;
        let options = postgres::Options::new(&uri, Zeroizing::new([0; 32]));
        BackEnd::Postgres(PostgresStore::connect(options).await?)
    } else {
        BackEnd::Sqlite(SqliteStore::open(Path::new(&place), Options::default())?)
    };
    let messages: u64 = arguments.next().map_or(Ok(20_000), |text| text.parse())?;
    let octets: usize = arguments.next().map_or(Ok(10_240), |text| text.parse())?;
    measure(back_end, messages, octets).await
}

enum BackEnd {
    Sqlite(SqliteStore),
    Postgres(PostgresStore),
}

impl BackEnd {
    fn store(&self) -> Store {
        match self {
            Self::Sqlite(handle) => handle.store(),
            Self::Postgres(handle) => handle.store(),
        }
    }

    /// Commits and jobs.
    fn groups(&self) -> (u64, u64) {
        match self {
            Self::Sqlite(handle) => (handle.statistics().commits, handle.statistics().jobs),
            Self::Postgres(handle) => (handle.statistics().commits, handle.statistics().jobs),
        }
    }

    async fn close(self) -> Result<()> {
        match self {
            Self::Sqlite(handle) => handle.close().await?,
            Self::Postgres(handle) => handle.close().await,
        }
        Ok(())
    }
}

async fn measure(handle: BackEnd, messages: u64, octets: usize) -> Result<()> {
    let store = handle.store();
    for number in 0..ACCOUNTS {
        store.mail.account(&account(number)?).await?;
    }
    let body = Arc::new(text(octets));
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..SESSIONS {
        tasks.spawn(accept(
            store.clone(),
            Arc::clone(&body),
            Arc::clone(&next),
            messages,
        ));
    }
    let worker = tokio::spawn(deliver(store.clone(), messages));
    while let Some(result) = tasks.join_next().await {
        result??;
    }
    let accepted = started.elapsed().as_secs_f64();
    worker.await??;
    let (elapsed, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let (commits, jobs) = handle.groups();
    drop(store);
    handle.close().await?;
    println!(
        "{}",
        serde_json::json!({
            "messages": messages, "accepted_per_s": messages as f64 / accepted, "delivered_per_s": messages as f64 / elapsed,
            "cpu_micros_per_message": cpu * 1e6 / messages as f64,
            "commits": commits, "jobs_per_commit": jobs as f64 / commits as f64,
            "written_octets_per_message": written_octets() / messages,
        })
    );
    Ok(())
}

async fn accept(
    store: Store,
    body: Arc<Vec<u8>>,
    next: Arc<AtomicU64>,
    messages: u64,
) -> Result<()> {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= messages {
            return Ok(());
        }
        store.queue.enqueue(vec![message(number, &body)?]).await?;
    }
}

async fn deliver(store: Store, messages: u64) -> Result<()> {
    let mut changes = store.queue.watch_queue();
    let mut left = messages;
    while left > 0 {
        let units = store
            .queue
            .lease("bench", Wanted::Local, i64::MAX - 1, i64::MAX, BATCH)
            .await?;
        if units.is_empty() {
            changes.changed().await?;
            continue;
        }
        let mut settlements = Vec::with_capacity(units.len());
        for unit in &units {
            store.mail.body_range(unit.message.body, 0..2_000).await?;
            let deliveries = unit
                .recipients
                .iter()
                .map(|recipient| delivery(&recipient.address))
                .collect::<Result<_>>()?;
            settlements.push(Settlement {
                lease: unit.lease,
                done: Vec::new(),
                retry: None,
                deliveries,
                enqueue: Vec::new(),
            });
        }
        for result in store.queue.settle(settlements).await? {
            result?;
            left -= 1;
        }
    }
    Ok(())
}

fn account(number: u64) -> Result<MailboxAddress> {
    Ok(MailboxAddress::parse(&format!(
        "user{number}@example.test"
    ))?)
}

fn message(number: u64, body: &[u8]) -> Result<NewMessage> {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)?
        .as_millis() as u64;
    let octets = [format!("Received: number {number}\r\n").as_bytes(), body].concat();
    Ok(NewMessage {
        id: QueueId::from_parts(now, number),
        body: NewBody::Octets {
            slices: vec![Bytes::from(octets)],
            meta: Some(vec![0; 600]),
        },
        envelope: Envelope {
            sender: "s@remote.test".to_owned(),
            ret: None,
            envid: None,
            smtputf8: false,
            tls: Default::default(),
            body_type: BodyType::EightBit,
        },
        origin: Origin::Inbound,
        junk: false,
        created: now.cast_signed(),
        recipients: vec![NewRecipient {
            destination: Destination::local(),
            address: account(number % ACCOUNTS)?.to_string(),
            orcpt: None,
            notify: Notify::default(),
        }],
    })
}

fn delivery(address: &str) -> Result<Delivery> {
    Ok(Delivery {
        account: MailboxAddress::parse(address)?,
        mailbox: "INBOX".to_owned(),
        prefix: Bytes::from(format!(
            "Return-Path: <s@remote.test>\r\nDelivered-To: {address}\r\n"
        )),
        flags: Flags::default(),
        received: 1_700_000_000,
        quota: Quota {
            octets: Some(1 << 40),
            ..Quota::default()
        },
    })
}

/// Text that compresses about as mail does.
fn text(octets: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut out = b"From: <s@remote.test>\r\nSubject: bench\r\n\r\n".to_vec();
    while out.len() < octets {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend(format!("{:x} word{} ", state, state % 50).bytes());
        if out.len() % 70 < 20 {
            out.extend(b"\r\n");
        }
    }
    out
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|field| field.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (ticks(11) + ticks(12)) / 100.0
}

fn written_octets() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    io.lines()
        .find_map(|line| line.strip_prefix("write_bytes: "))
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}
