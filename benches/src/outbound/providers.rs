//! The servers of the providers, in the generator.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::world::{AWAY, PROVIDERS, SLOW, address};
use crate::progress;
use crate::sink::Sink;

/// How long a slow one takes for a message.
const PAUSE: Duration = Duration::from_secs(2);
/// How often it is looked whether enough has come.
const LOOK: Duration = Duration::from_millis(5);
/// Between two lines about what goes on.
const TELL: Duration = Duration::from_secs(10);
/// Longest time without a single message: some may just have been put off by the schedule when everything was tried again.
const STALL: Duration = Duration::from_secs(900);

/// All that run.
pub struct Providers {
    /// The port of all.
    pub port: u16,
    sinks: Vec<Sink>,
}

impl Providers {
    /// Starts those that can be reached; some are slow.
    ///
    /// # Errors
    /// When an address is taken.
    pub async fn in_trouble() -> Result<Self> {
        let mut providers = Self::none()?;
        for provider in (0..PROVIDERS).filter(|provider| !AWAY.contains(provider)) {
            let sink = providers.start(provider).await?;
            if SLOW.contains(&provider) {
                sink.pause(PAUSE);
            }
        }
        Ok(providers)
    }

    /// Starts all of them, none slow.
    ///
    /// # Errors
    /// When an address is taken.
    pub async fn in_health() -> Result<Self> {
        let mut providers = Self::none()?;
        for provider in 0..PROVIDERS {
            providers.start(provider).await?;
        }
        Ok(providers)
    }

    fn none() -> Result<Self> {
        // Free at the first address, and so most likely at all.
        let port = TcpListener::bind(address(0, 0))?.local_addr()?.port();
        Ok(Self {
            port,
            sinks: Vec::new(),
        })
    }

    async fn start(&mut self, provider: usize) -> Result<&Sink> {
        let sink = Sink::start_at(address(provider, self.port)).await?;
        self.sinks.push(sink);
        self.sinks.last().context("no sink")
    }

    /// From now on all are there and none is slow.
    ///
    /// # Errors
    /// When an address is taken.
    pub async fn recover(&mut self) -> Result<()> {
        for sink in &self.sinks {
            sink.pause(Duration::ZERO);
        }
        for provider in AWAY {
            self.start(provider).await?;
        }
        Ok(())
    }

    /// Messages that came.
    pub fn messages(&self) -> usize {
        self.sinks.iter().map(Sink::messages).sum()
    }

    /// When a message for a recipient of that local part came.
    pub fn noted(&self, local: &str) -> Option<Instant> {
        self.sinks.iter().find_map(|sink| sink.noted(local))
    }

    /// Waits until so many messages have come in all; when that was.
    ///
    /// # Errors
    /// When nothing comes any more.
    pub async fn wait_for(&self, count: usize) -> Result<Instant> {
        let (mut last, mut moved, mut told) = (0, Instant::now(), Instant::now());
        loop {
            let messages = self.messages();
            if messages >= count {
                return Ok(Instant::now());
            }
            if messages > last {
                (last, moved) = (messages, Instant::now());
            }
            ensure!(
                moved.elapsed() < STALL,
                "{messages} of {count} messages came, and no more"
            );
            if told.elapsed() >= TELL {
                told = Instant::now();
                progress(&format!("delivered {messages} of {count}"));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
