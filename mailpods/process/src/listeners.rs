//! The open sockets, kept as the plan wants them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use mailpods_net::listener::{BindError, ListenerOptions};
use mailpods_net::proxy::Sources;
use mailpods_net::{Listener, Tracker, Trigger, shutdown};
use mailpods_plan::{Listener as Wanted, Plan, Protocol};
use mailpods_telemetry::error_chain;
use tokio::sync::Semaphore;

use crate::roles::Roles;

const SMTP_BUSY: &[u8] = b"421 4.3.2 Too many sessions, try again later\r\n";
const MANAGESIEVE_BUSY: &[u8] = b"BYE (TRYLATER) \"Too many sessions, try again later\"\r\n";
const POP3_BUSY: &[u8] = b"-ERR [SYS/TEMP] Too many sessions, try again later\r\n";
const IMAP_BUSY: &[u8] = b"* BYE [UNAVAILABLE] Too many sessions, try again later\r\n";

/// What is open, by listener name.
pub struct Listeners {
    open: BTreeMap<String, Open>,
    /// What the plan wants and could not be opened.
    closed: BTreeMap<String, Closed>,
    smtp_sessions: Arc<Semaphore>,
    imap_sessions: Arc<Semaphore>,
    most_smtp: usize,
    most_imap: usize,
}

struct Open {
    wanted: Wanted,
    local: SocketAddr,
    sources: Sources,
    // Dropping it ends the accept loop; sessions go on.
    _accepting: Trigger,
}

/// A listener that could not be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// What it would speak.
    pub protocol: Protocol,
    /// Why, in words for an administrator.
    pub reason: String,
}

/// A listener that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// Its name.
    pub name: String,
    /// What it speaks.
    pub protocol: Protocol,
    /// Where, with the port that the kernel gave for port 0.
    pub address: SocketAddr,
}

/// How many sessions are open.
#[derive(Debug, Clone)]
pub struct Sessions([(Arc<Semaphore>, usize); 2]);

impl Sessions {
    /// The number now.
    #[must_use]
    pub fn open(&self) -> usize {
        let taken =
            |(free, most): &(Arc<Semaphore>, usize)| most.saturating_sub(free.available_permits());
        self.0.iter().map(taken).sum()
    }
}

impl Listeners {
    /// Nothing open yet. The limits of sessions are the plan's at start.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        Self {
            open: BTreeMap::new(),
            closed: BTreeMap::new(),
            smtp_sessions: Arc::new(Semaphore::new(plan.smtp.max_sessions)),
            imap_sessions: Arc::new(Semaphore::new(plan.imap.max_sessions)),
            most_smtp: plan.smtp.max_sessions,
            most_imap: plan.imap.max_sessions,
        }
    }

    /// Opens what is new, closes what is gone, keeps the rest. A socket that cannot be opened does not stop the others, and is
    /// tried again by the next call.
    pub fn apply(&mut self, plan: &Plan, roles: &Arc<Roles>, tracker: &Tracker) -> Vec<BindError> {
        self.open.retain(|name, open| {
            plan.listeners
                .iter()
                .any(|wanted| wanted.name == *name && same(wanted, &open.wanted))
        });
        self.closed.clear();
        let mut errors = Vec::new();
        for wanted in &plan.listeners {
            let networks = wanted
                .proxy_sources
                .iter()
                .map(|net| (net.address(), net.prefix()));
            let networks: Vec<_> = networks.collect();
            if let Some(open) = self.open.get(&wanted.name) {
                open.sources.set(&networks);
                continue;
            }
            match self.bind(wanted, Sources::new(&networks), roles, tracker) {
                Ok(open) => drop(self.open.insert(wanted.name.clone(), open)),
                Err(error) => {
                    let closed = Closed {
                        protocol: wanted.protocol,
                        reason: error_chain(&error),
                    };
                    self.closed.insert(wanted.name.clone(), closed);
                    errors.push(error);
                }
            }
        }
        errors
    }

    /// What the plan wants and could not be opened, by name.
    #[must_use]
    pub fn closed(&self) -> &BTreeMap<String, Closed> {
        &self.closed
    }

    /// What is open, by name.
    #[must_use]
    pub fn bound(&self) -> Vec<Bound> {
        let bound = |(name, open): (&String, &Open)| Bound {
            name: name.clone(),
            protocol: open.wanted.protocol,
            address: open.local,
        };
        self.open.iter().map(bound).collect()
    }

    /// Counts the sessions of all listeners.
    #[must_use]
    pub fn sessions(&self) -> Sessions {
        Sessions([
            (self.smtp_sessions.clone(), self.most_smtp),
            (self.imap_sessions.clone(), self.most_imap),
        ])
    }

    /// Accepts no more; sessions go on.
    pub fn close(&mut self) {
        self.open.clear();
    }

    fn bind(
        &self,
        wanted: &Wanted,
        sources: Sources,
        roles: &Arc<Roles>,
        tracker: &Tracker,
    ) -> Result<Open, BindError> {
        let (sessions, busy_reply) = match wanted.protocol {
            Protocol::Imap => (self.imap_sessions.clone(), Some(IMAP_BUSY)),
            // TLS comes first there, so that no reply can be read.
            Protocol::Imaps | Protocol::Pop3s => (self.imap_sessions.clone(), None),
            Protocol::Pop3 => (self.imap_sessions.clone(), Some(POP3_BUSY)),
            Protocol::ManageSieve => (self.imap_sessions.clone(), Some(MANAGESIEVE_BUSY)),
            Protocol::Submissions | Protocol::Http | Protocol::Https => {
                (self.smtp_sessions.clone(), None)
            }
            Protocol::Smtp | Protocol::Submission | Protocol::Lmtp => {
                (self.smtp_sessions.clone(), Some(SMTP_BUSY))
            }
        };
        let listener = Listener::bind(ListenerOptions {
            sessions,
            busy_reply,
            proxy_sources: sources.clone(),
            ..ListenerOptions::new(wanted.name.clone(), wanted.address)
        })?;
        let local = listener.local_addr();
        let (accepting, stop) = shutdown::channel();
        let (roles, protocol) = (roles.clone(), wanted.protocol);
        if protocol == Protocol::Http {
            tokio::spawn(async move { roles.serve_http(listener, stop).await });
        } else {
            let session = move |connection| {
                let roles = roles.clone();
                async move { roles.serve(connection, protocol).await }
            };
            tokio::spawn(listener.run(stop, tracker.clone(), session));
        }
        Ok(Open {
            wanted: wanted.clone(),
            local,
            sources,
            _accepting: accepting,
        })
    }
}

/// The socket need not be opened anew.
fn same(a: &Wanted, b: &Wanted) -> bool {
    a.protocol == b.protocol && a.address == b.address
}
