//! What domains hold, remembered for a moment: adding it up reads a row of each account.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::lock;
use crate::types::Usage;

/// Most domains that are remembered.
const MAX_DOMAINS: usize = 1_000;

#[derive(Default)]
pub(crate) struct Totals(Mutex<HashMap<String, (Instant, Usage)>>);

impl Totals {
    pub(crate) fn get(&self, domain: &str, max_age: Duration) -> Option<Usage> {
        let known = lock(&self.0);
        let (at, usage) = known.get(domain)?;
        (at.elapsed() < max_age).then_some(*usage)
    }

    pub(crate) fn put(&self, domain: String, usage: Usage) {
        let mut known = lock(&self.0);
        if known.len() >= MAX_DOMAINS {
            known.clear();
        }
        known.insert(domain, (Instant::now(), usage));
    }
}
