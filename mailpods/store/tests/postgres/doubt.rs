//! Commits whose end the store does not hear of: a proxy cuts the connection at the COMMIT.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use mailpods_store::mail::{Columns, NewMail};
use mailpods_store::queue::{QueueFilter, Settlement, Wanted};
use mailpods_store::types::{NewBody, Quota};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::support::{address, connect, delivery, message, now, server};

const PASS: u8 = 0;
/// The database commits, and nobody hears of it.
const CUT_ANSWER: u8 = 1;
/// The database does not see the COMMIT.
const CUT_COMMIT: u8 = 2;

/// The query, behind what was sent with it, and what tells that it was carried out.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";
const COMMITTED: &[u8] = b"C\0\0\0\x0bCOMMIT\0";

/// Passes everything on until it is told to cut, once.
struct Proxy {
    port: u16,
    next: Arc<AtomicU8>,
}

impl Proxy {
    async fn start(database: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let next = Arc::new(AtomicU8::new(PASS));
        let cut = Arc::clone(&next);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, database.clone(), Arc::clone(&cut)));
            }
        });
        Self { port, next }
    }
}

/// Ends with either side, or with a cut; both connections are closed then.
async fn pass(mut client: TcpStream, database: String, next: Arc<AtomicU8>) {
    let mut server = TcpStream::connect(database).await.expect("the database");
    let (mut from_client, mut from_server) = (vec![0; 65_536], vec![0; 65_536]);
    // Connections of others commit, too: this one is a writer's.
    let mut writer = false;
    loop {
        tokio::select! {
            count = client.read(&mut from_client) => {
                let Ok(count @ 1..) = count else { return };
                let octets = &from_client[..count];
                let has = |what: &[u8]| octets.windows(what.len()).any(|part| part == what);
                writer |= has(b"INTO commit_marker");
                let commit = writer && has(COMMIT);
                let cut = if commit { next.swap(PASS, Ordering::SeqCst) } else { PASS };
                if cut == CUT_COMMIT {
                    return;
                }
                if server.write_all(octets).await.is_err() {
                    return;
                }
                if cut == CUT_ANSWER {
                    return committed(&mut server).await;
                }
            }
            count = server.read(&mut from_server) => {
                let Ok(count @ 1..) = count else { return };
                if client.write_all(&from_server[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Waits until the database has committed.
async fn committed(server: &mut TcpStream) {
    let mut answers = Vec::new();
    while !answers
        .windows(COMMITTED.len())
        .any(|part| part == COMMITTED)
    {
        let count = server.read_buf(&mut answers).await;
        assert!(count.expect("answers") > 0, "there was no COMMIT");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_doubtful_commit_is_looked_up() {
    let server = server();
    let proxy = Proxy::start(server.place()).await;
    let handle = connect(&server.uri_through(proxy.port)).await;
    let store = handle.store();
    let account = store
        .mail
        .account(&address("alice@example.test"))
        .await
        .expect("an account");
    let inbox = store
        .mail
        .mailbox(account, "INBOX")
        .await
        .expect("mailboxes")
        .expect("INBOX")
        .id;
    for (number, cut) in [CUT_ANSWER, CUT_COMMIT].into_iter().enumerate() {
        let number = number as u64;
        proxy.next.store(cut, Ordering::SeqCst);
        let queued = store
            .queue
            .enqueue(vec![message(number, "alice@example.test")])
            .await;
        assert!(queued.is_ok(), "{cut}: {queued:?}");
        assert_eq!(handle.statistics().doubtful, number * 3 + 1);
        let listed = store
            .queue
            .list(&QueueFilter::default(), None, 9)
            .await
            .expect("listed");
        assert_eq!(listed.len(), 1, "{cut}");

        let units = store
            .queue
            .lease("w", Wanted::Local, now(), now() + 60_000, 9)
            .await
            .expect("leased");
        proxy.next.store(cut, Ordering::SeqCst);
        let settlement = Settlement {
            lease: units[0].lease,
            done: Vec::new(),
            retry: None,
            deliveries: vec![delivery("alice@example.test")],
            enqueue: Vec::new(),
        };
        let settled = store.queue.settle(vec![settlement]).await.expect("results");
        assert!(settled[0].is_ok(), "{cut}: {settled:?}");

        proxy.next.store(cut, Ordering::SeqCst);
        let mail = NewMail {
            body: NewBody::Octets {
                slices: vec!["Subject: x\r\n\r\nx\r\n".into()],
                meta: None,
            },
            prefix: Default::default(),
            flags: Default::default(),
            received: 0,
        };
        let (_, uids) = store
            .mail
            .append(inbox, vec![mail], Quota::default())
            .await
            .expect("appended");
        assert_eq!(uids, [u32::try_from(number * 2 + 2).expect("small")]);
    }
    assert_eq!(handle.statistics().doubtful, 6);
    let entries = store
        .mail
        .entries(inbox, 1..=99, 0, Columns::default(), 99)
        .await
        .expect("entries");
    assert_eq!(
        entries.iter().map(|entry| entry.uid).collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
    handle.close().await;
}
