//! A sender that never tries twice: what was acknowledged must be there once, what was not may be there or not.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use rustix::thread::move_into_link_name_space;

use super::outside::Outside;
use crate::scenarios::mail;
use crate::wait;

/// Between two messages.
const PAUSE: Duration = Duration::from_millis(20);
/// Longest wait for one reply.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest wait for messages to be taken again after something was killed.
const RECOVERY: Duration = Duration::from_secs(120);

/// Messages on their way, one after the other, until it is stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    taken: Arc<AtomicUsize>,
    thread: JoinHandle<Report>,
}

/// What became of them.
#[derive(Default)]
pub struct Report {
    /// Subjects of messages that the server answered 250 to.
    pub acknowledged: Vec<String>,
    /// Connections that were not accepted.
    pub refused: Vec<String>,
    /// Messages that got another reply, or none, on a connection that was accepted.
    pub failed: Vec<String>,
}

impl Load {
    /// Starts to send to somebody, from the outside host, with subjects that begin with `name`.
    pub fn start(outside: &Outside, server: SocketAddr, to: &str, name: &str) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let taken = Arc::new(AtomicUsize::new(0));
        let (end, count) = (Arc::clone(&stop), Arc::clone(&taken));
        let (to, name) = (to.to_owned(), name.to_owned());
        let namespace = outside.namespace()?;
        let thread = std::thread::spawn(move || {
            // This thread alone moves there. From the node itself, servers would see the address of a gateway.
            match move_into_link_name_space(namespace.as_fd(), None) {
                Ok(()) => send_until((&end, &count), server, &to, &name),
                Err(error) => Report {
                    failed: vec![format!("the sender cannot move outside: {error}")],
                    ..Report::default()
                },
            }
        });
        Ok(Self {
            stop,
            taken,
            thread,
        })
    }

    /// Waits until `more` messages were acknowledged from now on.
    pub fn flows(&self, more: usize) -> Result<()> {
        let goal = self.taken.load(Ordering::Relaxed) + more;
        wait::until("mail flows", RECOVERY, || {
            let taken = self.taken.load(Ordering::Relaxed);
            Ok(wait::holds(
                taken >= goal,
                format!("{taken} of {goal} messages were taken"),
            ))
        })
    }

    /// Ends after the message that is on its way.
    pub fn stop(self) -> Result<Report> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| anyhow!("the sender panicked"))
    }
}

fn send_until(
    (end, taken): (&AtomicBool, &AtomicUsize),
    server: SocketAddr,
    to: &str,
    name: &str,
) -> Report {
    let mut report = Report::default();
    let mut number = 0;
    while !end.load(Ordering::Relaxed) {
        number += 1;
        let subject = format!("{name}-{number:05}");
        match TcpStream::connect_timeout(&server, PATIENCE) {
            Err(error) => report.refused.push(format!("{subject}: {error}")),
            Ok(stream) => match send(stream, to, &subject) {
                Ok(()) => {
                    report.acknowledged.push(subject);
                    taken.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => report.failed.push(format!("{subject}: {error:#}")),
            },
        }
        std::thread::sleep(PAUSE);
    }
    report
}

/// One transaction (RFC 5321 §3.3).
fn send(stream: TcpStream, to: &str, subject: &str) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut server = BufReader::new(stream);
    reply(&mut server, "220")?;
    let from = "load@outside.test";
    let message = mail::message(from, to, subject).replace('\n', "\r\n");
    for (line, wanted) in [
        ("EHLO mx.outside.test".to_owned(), "250"),
        (format!("MAIL FROM:<{from}>"), "250"),
        (format!("RCPT TO:<{to}>"), "250"),
        ("DATA".to_owned(), "354"),
        (format!("{message}."), "250"),
    ] {
        server
            .get_mut()
            .write_all(format!("{line}\r\n").as_bytes())?;
        reply(&mut server, wanted)?;
    }
    // The message is the server's now, whatever becomes of the connection.
    let _gone = server.get_mut().write_all(b"QUIT\r\n").is_err();
    Ok(())
}

/// Reads a reply of one or more lines.
fn reply(server: &mut BufReader<TcpStream>, wanted: &str) -> Result<()> {
    loop {
        let mut line = String::new();
        if server.read_line(&mut line)? == 0 {
            bail!("the connection was closed where {wanted} was due");
        }
        if !line.starts_with(wanted) {
            bail!("{} where {wanted} was due", line.trim_end());
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(());
        }
    }
}
