//! Mail exchangers: SMTP servers that look at who connects as real ones do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::journal::{Journal, Transaction, now};
use super::judge::{Lines, judge};
use super::network::thread_there;
use super::provider::{Provider, exchanger};
use super::replies::Stage;

const PORT: u16 = 25;
/// Longest wait for a client.
const PATIENCE: Duration = Duration::from_secs(120);
/// Longest line that is read.
const MAX_LINE: u64 = 4_096;

/// What all servers share.
pub struct Shared {
    /// What arrives.
    pub journal: Journal,
    /// Who looks clients up.
    pub judge: Lines,
    /// The providers.
    pub providers: Vec<Provider>,
}

/// The servers; they take no more connections when this is dropped.
pub struct Exchangers {
    stop: Arc<AtomicBool>,
    addresses: Vec<SocketAddr>,
}

impl Exchangers {
    /// Starts all servers of all providers.
    pub fn start(shared: &Arc<Shared>) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (ready, opened) = channel();
        let mut addresses = Vec::new();
        for (provider, known) in shared.providers.iter().enumerate() {
            for site in 0..known.facts.sites.len() {
                let address = SocketAddr::from((exchanger(provider, site), PORT));
                addresses.push(address);
                let place = Place {
                    shared: Arc::clone(shared),
                    provider,
                    site,
                };
                let (stop, ready) = (Arc::clone(&stop), ready.clone());
                thread_there(move || serve(address, &place, &stop, &ready))?;
            }
        }
        let exchangers = Self { stop, addresses };
        for _ in &exchangers.addresses {
            opened.recv().context("a mail exchanger ended")??;
        }
        Ok(exchangers)
    }
}

impl Drop for Exchangers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let addresses = std::mem::take(&mut self.addresses);
        // Each waits for a connection, and looks whether it is to end with the next one.
        let waker = thread_there(move || {
            addresses
                .iter()
                .try_for_each(|address| TcpStream::connect(address).map(drop))
                .context("failed to wake a mail exchanger")
        });
        match waker.map(std::thread::JoinHandle::join) {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) | Err(error) => eprintln!("==> {error:#}"),
            Ok(Err(_)) => eprintln!("==> the thread that ends mail exchangers panicked"),
        }
    }
}

/// A server's place among all.
#[derive(Clone)]
struct Place {
    shared: Arc<Shared>,
    provider: usize,
    site: usize,
}

fn serve(
    address: SocketAddr,
    place: &Place,
    stop: &AtomicBool,
    ready: &Sender<Result<()>>,
) -> Result<()> {
    let opened = TcpListener::bind(address).with_context(|| format!("failed to open {address}"));
    let (listener, told) = match opened {
        Ok(listener) => (Some(listener), Ok(())),
        Err(error) => (None, Err(error)),
    };
    ready.send(told).context("nobody waits for the exchanger")?;
    for stream in listener.iter().flat_map(TcpListener::incoming) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let (stream, place) = (stream?, place.clone());
        std::thread::spawn(move || {
            if let Err(error) = Session::of(stream, &place).and_then(|mut session| session.run()) {
                // A client that is killed leaves in the middle.
                eprintln!("==> {address}: {error:#}");
            }
        });
    }
    Ok(())
}

/// Whether the session goes on.
#[derive(PartialEq, Eq)]
enum Then {
    Next,
    Close,
}

struct Session<'a> {
    shared: &'a Shared,
    provider: &'a Provider,
    host: &'static str,
    client: Ipv4Addr,
    stream: BufReader<TcpStream>,
    /// What the client said in EHLO.
    helo: Option<String>,
    /// The transaction, once MAIL was taken.
    open: Option<Transaction>,
}

impl<'a> Session<'a> {
    fn of(stream: TcpStream, place: &'a Place) -> Result<Self> {
        let IpAddr::V4(client) = stream.peer_addr()?.ip() else {
            bail!("a client without IPv4");
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let provider = place
            .shared
            .providers
            .get(place.provider)
            .context("no such provider")?;
        let site = provider.facts.sites.get(place.site);
        Ok(Self {
            shared: &place.shared,
            provider,
            host: site.context("no such exchanger")?.host,
            client,
            stream: BufReader::new(stream),
            helo: None,
            open: None,
        })
    }

    fn run(&mut self) -> Result<()> {
        if self.refuses(Stage::Session, &self.begun())? {
            return Ok(());
        }
        self.say(&format!("220 {} ESMTP", self.host))?;
        while let Some(line) = self.line()? {
            if self.command(&line)? == Then::Close {
                return Ok(());
            }
        }
        Ok(())
    }

    fn command(&mut self, line: &str) -> Result<Then> {
        let verb = line
            .split([' ', ':'])
            .next()
            .unwrap_or_default()
            .to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" | "HELO" => return self.greet(line),
            "MAIL" => return self.mail(line),
            "RCPT" => return self.recipient(line),
            "DATA" => return self.data(),
            "RSET" => {
                self.open = None;
                self.say("250 2.0.0 OK")?;
            }
            "NOOP" => self.say("250 2.0.0 OK")?,
            "QUIT" => {
                self.say("221 2.0.0 closing connection")?;
                return Ok(Then::Close);
            }
            _ => self.say("502 5.5.1 Unrecognized command.")?,
        }
        Ok(Then::Next)
    }

    fn greet(&mut self, line: &str) -> Result<Then> {
        let name = line.split_once(' ').map_or("", |(_, name)| name.trim());
        self.helo = Some(name.to_owned());
        self.open = None;
        let (host, client) = (self.host, self.client);
        self.say(&format!(
            "250-{host} at your service, [{client}]\r\n250-SIZE 35882577\r\n250-8BITMIME\r\n\
             250-ENHANCEDSTATUSCODES\r\n250 PIPELINING"
        ))?;
        Ok(Then::Next)
    }

    /// A transaction as it begins now.
    fn begun(&self) -> Transaction {
        Transaction {
            provider: self.provider.facts.name,
            source: Some(self.client),
            helo: self.helo.clone(),
            at: now(),
            ..Transaction::default()
        }
    }

    fn mail(&mut self, line: &str) -> Result<Then> {
        let mut begun = self.begun();
        begun.sender = path(line)?;
        let helo = begun.helo.clone().unwrap_or_default();
        let verdict = judge(&self.shared.judge, self.client, &helo, &begun.sender)?;
        (begun.spf, begun.names) = (verdict.spf, verdict.names);
        // Who was taken in before knows it by now.
        for stage in [Stage::Session, Stage::Mail] {
            if self.refuses(stage, &begun)? {
                return Ok(Then::Close);
            }
        }
        if begun.names.is_empty() {
            let text = format!(
                "550 5.7.25 [{}] The IP address sending this message does not have a PTR record",
                self.client
            );
            return self.refuse(begun, &text);
        }
        if begun.spf != "pass" {
            let text = format!("550 5.7.26 SPF gives {}, not pass", begun.spf);
            return self.refuse(begun, &text);
        }
        self.open = Some(begun);
        self.say("250 2.1.0 OK")?;
        Ok(Then::Next)
    }

    fn recipient(&mut self, line: &str) -> Result<Then> {
        let Some(mut open) = self.open.take() else {
            self.say("503 5.5.1 MAIL first.")?;
            return Ok(Then::Next);
        };
        open.recipient = path(line)?;
        if self.refuses(Stage::Rcpt, &open)? {
            return Ok(Then::Close);
        }
        let domain = open.recipient.rsplit('@').next().unwrap_or_default();
        let sites = &self.provider.facts.sites;
        if !sites.iter().any(|site| site.domain == domain) {
            let text = format!("550 5.1.1 no mail for {domain} here");
            return self.refuse(open, &text);
        }
        self.open = Some(open);
        self.say("250 2.1.5 OK")?;
        Ok(Then::Next)
    }

    fn data(&mut self) -> Result<Then> {
        let Some(mut open) = self.open.take().filter(|open| !open.recipient.is_empty()) else {
            self.say("503 5.5.1 RCPT first.")?;
            return Ok(Then::Next);
        };
        self.say("354 Go ahead")?;
        loop {
            let line = self.line()?.context("the connection ended in a message")?;
            if line == "." {
                break;
            }
            if let Some(id) = line.strip_prefix("Message-ID: <") {
                open.id = id.trim_end_matches('>').to_owned();
            }
        }
        if self.refuses(Stage::Data, &open)? {
            return Ok(Then::Close);
        }
        let reply = "250 2.0.0 OK";
        (open.accepted, open.reply) = (true, reply.to_owned());
        let place = self.shared.journal.add(open);
        self.provider.answer_when_let_go();
        self.say(reply)?;
        self.shared.journal.answered(place);
        Ok(Then::Next)
    }

    /// Refuses what was begun, if that is what the provider does with the client at this stage. The connection is of no more use then.
    fn refuses(&mut self, stage: Stage, begun: &Transaction) -> Result<bool> {
        let refusal = self.provider.refusal(self.client);
        let Some(refusal) = refusal.filter(|refusal| refusal.stage == stage) else {
            return Ok(false);
        };
        self.refuse(begun.clone(), &refusal.to(self.client))?;
        Ok(true)
    }

    fn refuse(&mut self, begun: Transaction, reply: &str) -> Result<Then> {
        self.shared.journal.add(Transaction {
            reply: reply.to_owned(),
            ..begun
        });
        self.say(reply)?;
        Ok(Then::Next)
    }

    fn say(&mut self, reply: &str) -> Result<()> {
        let octets = format!("{reply}\r\n");
        self.stream.get_mut().write_all(octets.as_bytes())?;
        Ok(())
    }

    /// The next line without its end; `None`: the client has gone.
    fn line(&mut self) -> Result<Option<String>> {
        let mut octets = Vec::new();
        let mut most = Read::take(&mut self.stream, MAX_LINE);
        if most.read_until(b'\n', &mut octets)? == 0 {
            return Ok(None);
        }
        let line = String::from_utf8_lossy(&octets);
        Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
    }
}

/// The address between the brackets of MAIL or RCPT.
fn path(line: &str) -> Result<String> {
    let inner = line
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'));
    let (address, _) = inner.with_context(|| format!("no path in {line:?}"))?;
    Ok(address.to_ascii_lowercase())
}
