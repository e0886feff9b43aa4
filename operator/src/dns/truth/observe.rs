//! Questions to the servers of zones.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use mailpods_plan::dns::RecordType;
use tokio::time::{Instant, timeout_at};

use super::wire::{Failure, Manner, ask};
use super::zone::{Server, SetUpError, Zone, Zones, absolute};
use super::{Answer, Observed, Question, Seen};

/// Questions of one look; more are answered with [`Failure::OutOfTime`].
const MAX_QUESTIONS: usize = 2_048;
/// Questions that are asked at once.
const WIDTH: usize = 8;
/// Aliases into other zones that are followed.
const MAX_ALIASES: usize = 4;
/// Questions without an answer after which a server is not asked any more in one look.
const PATIENCE: u32 = 3;

/// Whom to ask, and how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObserverOptions {
    /// Resolvers that find the servers of zones; those of the system when empty.
    pub resolvers: Vec<SocketAddr>,
    /// Servers that are asked instead of the zones' own, and believed whatever they say of their authority.
    pub servers: Vec<SocketAddr>,
    /// Port of the zones' servers.
    pub port: u16,
    /// Wait for one answer of one server.
    pub timeout: Duration,
    /// Limit for one look at all.
    pub limit: Duration,
}

impl Default for ObserverOptions {
    fn default() -> Self {
        Self {
            resolvers: Vec::new(),
            servers: Vec::new(),
            port: 53,
            timeout: Duration::from_secs(2),
            limit: Duration::from_secs(60),
        }
    }
}

/// Asks servers. To be shared: it remembers which servers serve which zones.
pub struct Observer {
    zones: Zones,
    options: ObserverOptions,
}

/// How often each server was asked in vain in one look; zero once it has answered.
type Silences = Mutex<HashMap<SocketAddr, u32>>;

impl Observer {
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the system's DNS configuration is wanted and cannot be read.
    pub fn new(options: ObserverOptions) -> Result<Self, SetUpError> {
        Ok(Self {
            zones: Zones::new(&options.resolvers, options.port)?,
            options,
        })
    }

    /// The answers to all questions, for as far as there are any within the limit.
    pub async fn observe(&self, questions: BTreeSet<Question>) -> Observed {
        let end = Instant::now() + self.options.limit;
        let silences = &Silences::default();
        let asked = questions.into_iter().enumerate();
        let looks = asked.map(|(index, question)| async move {
            let seen = async {
                match index < MAX_QUESTIONS {
                    true => self.question(&question, silences).await,
                    false => Err(Failure::OutOfTime),
                }
            };
            let seen = timeout_at(end, seen).await;
            (question, seen.unwrap_or(Err(Failure::OutOfTime)))
        });
        stream::iter(looks).buffer_unordered(WIDTH).collect().await
    }

    async fn question(
        &self,
        (name, kind): &Question,
        silences: &Silences,
    ) -> Result<Seen, Failure> {
        let mut seen = self.at_zone(name, *kind, silences).await?;
        let mut first = None;
        for _ in 0..MAX_ALIASES {
            let Some(target) = alias_without_records(&seen) else {
                break;
            };
            // Receivers follow an alias, so that what is behind it counts.
            first.get_or_insert_with(|| target.clone());
            match self.at_zone(&target, *kind, silences).await {
                Ok(behind) => seen = behind,
                Err(_) => break,
            }
        }
        if let Some(target) = first {
            let answers = seen.answers.iter_mut();
            for answer in answers.filter_map(|(_, answer)| answer.as_mut().ok()) {
                answer.alias = Some(target.clone());
            }
        }
        Ok(seen)
    }

    /// What each server of the zone of a name answers.
    async fn at_zone(
        &self,
        name: &str,
        kind: RecordType,
        silences: &Silences,
    ) -> Result<Seen, Failure> {
        let zone = self.zone(name).await?;
        let asked = zone.servers.iter().map(|server| async move {
            let answer = self.at_server(server, name, kind, silences).await;
            (shown(server), answer)
        });
        let mut answers: Vec<_> = futures_util::future::join_all(asked).await;
        answers.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Seen {
            zone: zone.name.clone(),
            answers,
        })
    }

    async fn zone(&self, name: &str) -> Result<std::sync::Arc<Zone>, Failure> {
        if self.options.servers.is_empty() {
            return self.zones.of(name).await;
        }
        let servers = self.options.servers.iter().map(|address| Server {
            host: String::new(),
            address: Some(*address),
        });
        Ok(std::sync::Arc::new(Zone {
            name: String::new(),
            servers: servers.collect(),
        }))
    }

    async fn at_server(
        &self,
        server: &Server,
        name: &str,
        kind: RecordType,
        silences: &Silences,
    ) -> Result<Answer, Failure> {
        let address = server.address.ok_or(Failure::NoAddress)?;
        let name = absolute(name)?;
        if silent(silences, address) >= PATIENCE {
            return Err(Failure::NoAnswer);
        }
        let manner = Manner {
            timeout: self.options.timeout,
            recursive: !self.options.servers.is_empty(),
        };
        let answer = ask(address, (&name, kind), manner).await;
        note(silences, address, answer == Err(Failure::NoAnswer));
        answer
    }
}

/// The name that the first server with an answer has an alias to, when no server has records.
fn alias_without_records(seen: &Seen) -> Option<String> {
    let answers = || {
        seen.answers
            .iter()
            .filter_map(|(_, answer)| answer.as_ref().ok())
    };
    if answers().any(|answer| !answer.records.is_empty()) {
        return None;
    }
    let mut aliases = answers().filter_map(|answer| answer.alias.clone());
    aliases.next()
}

fn shown(server: &Server) -> String {
    match (server.host.as_str(), server.address) {
        ("", Some(address)) => address.to_string(),
        (host, Some(address)) => format!("{host} ({})", address.ip()),
        (host, None) => host.to_owned(),
    }
}

fn silent(silences: &Silences, server: SocketAddr) -> u32 {
    let silences = silences.lock().unwrap_or_else(PoisonError::into_inner);
    silences.get(&server).copied().unwrap_or_default()
}

fn note(silences: &Silences, server: SocketAddr, is_silent: bool) {
    let mut silences = silences.lock().unwrap_or_else(PoisonError::into_inner);
    let count = silences.entry(server).or_default();
    *count = if is_silent {
        count.saturating_add(1)
    } else {
        0
    };
}
