//! Servers and resolvers that do not keep to anything: each ends in the right class, in bounded time and memory, and no message is lost
//! or sent twice.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mailpods_net::dns::fixed::{StaticResolver, Zone};
use mailpods_store::queue::QueueItem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::remote::zone;
use crate::Clock as _;
use crate::ips::explain;
use crate::testing::{Rig, Script, Sink, message, plan};

/// How a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// After so many octets to the client, with an end of the stream.
    Said,
    /// After so many octets to the client, with a reset.
    SaidThenReset,
    /// After so many octets from the client, with a reset.
    Heard,
}

/// A server on all addresses of 127.1.0.0/16; the last two octets of the address that is connected to say after how many octets it cuts.
struct Cutter {
    port: u16,
    /// Whole messages that came, by address.
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

struct Peer {
    stream: TcpStream,
    cut: Cut,
    /// Octets until the cut.
    left: usize,
    input: Vec<u8>,
}

impl Cutter {
    async fn start(cut: Cut, extensions: &'static str) -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let taken = Arc::new(Mutex::new(HashMap::new()));
        let count = taken.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let address = stream.local_addr().unwrap().ip();
                let peer = Peer {
                    stream,
                    cut,
                    left: place(address),
                    input: Vec::new(),
                };
                let taken = count.clone();
                tokio::spawn(async move {
                    let mut whole = 0;
                    // `None` is the cut, or the client's goodbye.
                    peer.talk(extensions, &mut whole).await;
                    *taken.lock().unwrap().entry(address).or_default() += whole;
                });
            }
        });
        Self { port, taken }
    }
}

fn place(address: IpAddr) -> usize {
    match address {
        IpAddr::V4(v4) => usize::from(v4.octets()[2]) * 256 + usize::from(v4.octets()[3]),
        IpAddr::V6(_) => usize::MAX,
    }
}

impl Peer {
    async fn talk(mut self, extensions: &str, whole: &mut usize) {
        let hello = format!("250-sink.test\r\n{extensions}250 8BITMIME\r\n");
        let _ = async {
            self.say("220 sink.test ESMTP\r\n").await?;
            loop {
                let line = self.line().await?;
                let word = line.split(' ').next().unwrap_or_default();
                match word {
                    "EHLO" => self.say(&hello).await?,
                    "DATA" => {
                        self.say("354 go on\r\n").await?;
                        while self.line().await? != "." {}
                        *whole += 1;
                        self.say("250 2.0.0 taken\r\n").await?;
                    }
                    "QUIT" => return self.say("221 bye\r\n").await,
                    _ => self.say("250 2.0.0 yes\r\n").await?,
                }
            }
        }
        .await;
        match self.cut {
            Cut::Said => {
                let _ = self.stream.shutdown().await;
                // What the client says is read, or the end would become a reset.
                let mut rest = [0; 1024];
                while matches!(self.stream.read(&mut rest).await, Ok(1..)) {}
            }
            Cut::SaidThenReset | Cut::Heard => {
                let socket = socket2::SockRef::from(&self.stream);
                let _ = socket.set_linger(Some(Duration::ZERO));
            }
        }
    }

    async fn say(&mut self, text: &str) -> Option<()> {
        let most = match self.cut {
            Cut::Said | Cut::SaidThenReset => self.left.min(text.len()),
            Cut::Heard => text.len(),
        };
        let octets = text.as_bytes().get(..most)?;
        self.stream.write_all(octets).await.ok()?;
        if self.cut != Cut::Heard {
            self.left -= most;
        }
        (most == text.len()).then_some(())
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.input.iter().position(|&octet| octet == b'\n') {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                return Some(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            let mut octets = [0; 512];
            let most = match self.cut {
                Cut::Heard => self.left.min(octets.len()),
                Cut::Said | Cut::SaidThenReset => octets.len(),
            };
            if most == 0 {
                return None;
            }
            let read = self.stream.read(octets.get_mut(..most)?).await.ok()?;
            if self.cut == Cut::Heard {
                self.left -= read;
            }
            self.input.extend_from_slice(octets.get(..read)?);
            if read == 0 {
                return None;
            }
        }
    }
}

/// Sends a message to each of the first places and tells which are still in the queue, and how many whole messages each place got.
async fn cut_everywhere(
    cut: Cut,
    extensions: &'static str,
    places: usize,
) -> (Vec<bool>, Vec<usize>) {
    let cutter = Cutter::start(cut, extensions).await;
    let mut zone = Zone::new();
    let address = |place: usize| IpAddr::from([127, 1, (place / 256) as u8, (place % 256) as u8]);
    for place in 0..places {
        zone = zone.address(&format!("p{place}.test"), address(place));
    }
    let mut plan = plan(cutter.port);
    plan.outbound.concurrency = 64;
    let mut rig = Rig::start(plan.clone(), zone).await;
    let messages = (0..places).map(|place| {
        let recipient = format!("x@p{place}.test");
        message(&plan, "bob@example.test", &[&recipient])
    });
    rig.queue(messages.collect()).await;
    let tried = |items: &[QueueItem]| items.iter().all(|item| item.attempts == 1 && !item.leased);
    let left = rig.until(tried).await;
    rig.stop(false).await;
    let waits = |place: usize| {
        let domain = format!("p{place}.test");
        left.iter().any(|item| *item.destination.0 == *domain)
    };
    let taken = cutter.taken.lock().unwrap();
    let count = |place: usize| taken.get(&address(place)).copied().unwrap_or(0);
    (
        (0..places).map(waits).collect(),
        (0..places).map(count).collect(),
    )
}

const PIPELINING: &str = "250-PIPELINING\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_breaks_off_at_any_octet_that_it_says_leaves_the_message_waiting() {
    for (extensions, cut) in [(PIPELINING, Cut::Said), ("", Cut::SaidThenReset)] {
        let said = "220 sink.test ESMTP\r\n250-sink.test\r\n250 8BITMIME\r\n".len()
            + extensions.len()
            + 2 * "250 2.0.0 yes\r\n".len()
            + "354 go on\r\n250 2.0.0 taken\r\n".len();
        let (waits, taken) = cut_everywhere(cut, extensions, said + 12).await;
        for (place, (waits, taken)) in waits.into_iter().zip(taken).enumerate() {
            assert_eq!(waits, place < said, "{cut:?} at {place} of {said}");
            assert!(taken <= 1, "{cut:?} at {place}: taken {taken} times");
            assert!(waits || taken == 1, "{cut:?} at {place}: lost");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_breaks_off_at_any_octet_that_it_hears_leaves_the_message_waiting() {
    for extensions in [PIPELINING, ""] {
        let (waits, taken) = cut_everywhere(Cut::Heard, extensions, 480).await;
        let whole = taken.iter().position(|taken| *taken > 0).unwrap();
        assert!((120..470).contains(&whole), "{whole}");
        for (place, (waits, taken)) in waits.into_iter().zip(taken).enumerate() {
            // It is heard to the end of the message at least, and then said to be taken.
            assert_eq!(taken, usize::from(place >= whole), "at {place} of {whole}");
            assert!(waits || taken == 1, "at {place}: lost");
            assert!(!waits || place <= whole + 6, "at {place} of {whole}: waits");
        }
    }
}

/// A server that does with each connection what a test wants.
async fn server<F: Future<Output = ()> + Send>(
    serve: impl Fn(TcpStream) -> F + Send + Sync + 'static,
) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            serve(stream).await;
        }
    });
    port
}

async fn last_error(rig: &mut Rig) -> String {
    rig.send("bob@example.test", &["carol@remote.test"]).await;
    let left = rig.until_tried(1).await;
    left[0].last_error.clone().unwrap_or_default()
}

#[tokio::test]
async fn replies_without_end_are_not_read_to_their_end() {
    let line = format!("250-{}\r\n", "x".repeat(60));
    for (lines, wanted) in [
        (line.repeat(100_000), "lines"),
        ("x".repeat(10_000_000), "line"),
    ] {
        let lines = Arc::new(lines);
        let port = server(move |mut stream| {
            let lines = lines.clone();
            async move {
                // The client goes away long before.
                let _ = stream.write_all(b"220-").await;
                let _ = stream
                    .write_all(lines.replace("250-", "220-").as_bytes())
                    .await;
            }
        })
        .await;
        let mut rig = Rig::start(plan(port), zone()).await;
        let error = last_error(&mut rig).await;
        assert!(error.contains(wanted), "{error}");
    }
}

#[tokio::test]
async fn a_reply_that_drips_is_not_waited_for_longer_than_one_that_does_not_come() {
    let port = server(|mut stream| async move {
        while stream.write_all(b"2").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let mut plan = plan(port);
    plan.outbound.timeouts.command = Duration::from_millis(300);
    let mut rig = Rig::start(plan, zone()).await;
    // It would drip for 2048 octets, and the test waits 20 s.
    let error = last_error(&mut rig).await;
    assert!(error.contains("connection was lost"), "{error}");
}

#[tokio::test]
async fn a_server_that_does_not_read_the_body_is_left() {
    let port = server(|mut stream| async move {
        let replies = [
            "220 slow.test\r\n",
            "250 slow.test\r\n",
            "250 yes\r\n",
            "250 yes\r\n",
            "354 go on\r\n",
        ];
        let mut input = [0; 512];
        for (at, reply) in replies.into_iter().enumerate() {
            if at > 0 && stream.read(&mut input).await.is_err() {
                return;
            }
            let _ = stream.write_all(reply.as_bytes()).await;
        }
        // Until the client has gone: what it sent is not taken from the socket.
        let gone = async {
            while stream.writable().await.is_ok() && stream.write_all(b"").await.is_ok() {
                let error = stream.take_error();
                if !matches!(error, Ok(None)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(5), gone).await;
    })
    .await;
    let mut plan = plan(port);
    plan.outbound.timeouts.data_block = Duration::from_millis(300);
    plan.outbound.timeouts.data_end = Duration::from_millis(300);
    let mut rig = Rig::start(plan.clone(), zone()).await;
    let mut large = message(&plan, "bob@example.test", &["carol@remote.test"]);
    let text = format!(
        "Subject: large\r\n\r\n{}",
        "0123456789abcdef\r\n".repeat(1_500_000)
    );
    large.body = mailpods_store::NewBody::Octets {
        slices: vec![text.into()],
        meta: None,
    };
    rig.queue(vec![large]).await;
    let left = rig.until_tried(1).await;
    let error = left[0].last_error.clone().unwrap_or_default();
    assert!(error.contains("connection was lost"), "{error}");
}

#[tokio::test]
async fn a_server_that_says_later_for_ever_gets_the_message_back_to_its_sender_once() {
    let sink = Sink::start(Script {
        rules: vec![("MAIL", "451 4.7.1 later")],
        ..Script::default()
    })
    .await;
    let mut rig = Rig::start(plan(sink.addr.port()), zone()).await;
    rig.send("bob@example.test", &["carol@remote.test"]).await;
    for attempts in 1..=30 {
        rig.until_tried(attempts).await;
        rig.pass(Duration::from_secs(3600)).await;
    }
    rig.until_tried(31).await;
    rig.pass(Duration::from_secs(5 * 86_400)).await;
    rig.until_empty().await;
    let inbox = rig.mailbox("bob@example.test", "INBOX").await;
    let count = |action: &str| {
        let action = format!("Action: {action}");
        inbox
            .iter()
            .filter(|message| message.contains(&action))
            .count()
    };
    assert_eq!((count("delayed"), count("failed")), (1, 1));
}

#[tokio::test]
async fn exchangers_that_are_not_of_the_internet_get_nothing() {
    let text = "self.test MX 10 localhost.self.test\nlocalhost.self.test A 127.0.0.1\nnobody.test A 0.0.0.0\n\
        private.test MX 10 a.private.test\nprivate.test MX 20 b.private.test\na.private.test A 127.0.0.1\nb.private.test A 10.255.255.1\n\
        link.test A 169.254.169.254";
    let mut rig = Rig::start(plan(25), Zone::parse(text).unwrap()).await;
    for recipient in [
        "a@self.test",
        "a@nobody.test",
        "a@private.test",
        "a@link.test",
        "a@[127.0.0.1]",
        "a@[10.255.255.1]",
    ] {
        rig.send("bob@example.test", &[recipient]).await;
    }
    let left = rig
        .until(|items| {
            items.len() == 3 && items.iter().all(|item| item.attempts == 1 && !item.leased)
        })
        .await;
    let resolver = StaticResolver::new(Zone::parse(text).unwrap());
    for item in &left {
        let error = item.last_error.clone().unwrap_or_default();
        assert!(error.contains("are not on the Internet"), "{error}");
        let (plan, now) = (rig.plan.current(), rig.clock.now());
        let asked = (&*item.destination.0, "bob@example.test");
        let explained = explain(&plan, &resolver, rig.store.secrets.as_ref(), asked, now);
        let told = explained.await.unwrap().trouble.unwrap_or_default();
        assert!(told.contains("are not on the Internet"), "{told}");
    }
    let inbox = rig.mailbox("bob@example.test", "INBOX").await;
    let named = |name: &str| inbox.iter().any(|message| message.contains(name));
    assert_eq!(inbox.len(), 3);
    assert!(named("a@self.test") && named("a@nobody.test") && named("a@[127.0.0.1]"));
    let status = |message: &String| message.contains("Status: 5.4.4");
    assert!(inbox.iter().all(status));
}
