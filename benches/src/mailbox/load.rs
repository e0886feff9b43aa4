//! Filling one mailbox: much at once for the base, then message by message as a client appends.

use std::ops::Range;
use std::time::Instant;

use anyhow::Result;
use tokio::task::{JoinSet, LocalSet};

use super::{CONNECTIONS, Scene, USER};
use crate::imap::Client;
use crate::machine;
use crate::message::{Messages, Random};

/// Messages of one APPEND of the base (RFC 3502).
const AT_ONCE: usize = 50;

/// One to eight KiB.
pub fn message(source: &Messages, index: usize) -> String {
    let size = 1_024 + Random(index as u64).below(7 * 1_024);
    source.make(index, USER, size)
}

impl Scene<'_> {
    /// Puts in so many messages, many in one command; returns octets on disk for each.
    pub async fn fill(&self, count: usize) -> Result<f64> {
        let before = machine::stored(self.stack.folder());
        let begin = Instant::now();
        self.append(0..count, CONNECTIONS, AT_ONCE).await?;
        eprintln!("    filled in {:.1} s", begin.elapsed().as_secs_f64());
        machine::sync(self.stack.folder()).await?;
        Ok((machine::stored(self.stack.folder()) - before) / count as f64)
    }

    /// Appends messages on connections at a time, `at_once` in a command; returns messages a second.
    pub async fn append(
        &self,
        messages: Range<usize>,
        connections: usize,
        at_once: usize,
    ) -> Result<f64> {
        let count = messages.len() as f64;
        let (mut clients, mut workers, local) = (Vec::new(), JoinSet::new(), LocalSet::new());
        for _ in 0..connections {
            clients.push(Client::login(&self.bench.tls, self.stack.imap, USER).await?);
        }
        let begin = Instant::now();
        for (worker, mut client) in clients.into_iter().enumerate() {
            let (source, messages) = (self.bench.messages.clone(), messages.clone());
            let work = async move {
                let firsts = messages.clone().step_by(at_once);
                for first in firsts.skip(worker).step_by(connections) {
                    let last = (first + at_once).min(messages.end);
                    let texts = (first..last).map(|index| message(&source, index));
                    client.append("INBOX", texts).await?;
                }
                anyhow::Ok(())
            };
            workers.spawn_local_on(work, &local);
        }
        let all = async {
            while let Some(done) = workers.join_next().await {
                done??;
            }
            anyhow::Ok(())
        };
        local.run_until(all).await?;
        Ok(count / begin.elapsed().as_secs_f64())
    }
}
