//! One input against one target, and many of them under a watchdog.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use crate::MEMORY;
use crate::mutate::Mutator;
use crate::targets::Target;

/// What one input may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Wall time. An input that takes longer is tried again, so that a busy machine is no finding.
    pub time: Duration,
    /// Octets allocated at once, beyond what there was before.
    pub memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(2),
            memory: 256 << 20,
        }
    }
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// It panicked with this text.
    Panic(String),
    /// It took this long, twice.
    Slow(Duration),
    /// It took this many octets.
    Memory(usize),
    /// It did not come back.
    Stuck,
}

/// An input that breaks a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What went wrong.
    pub problem: Problem,
    /// The input.
    pub input: Vec<u8>,
}

/// Runs one input.
///
/// # Errors
/// What went wrong with it.
pub fn check(run: fn(&[u8]), input: &[u8], limits: Limits) -> Result<(), Problem> {
    match attempt(run, input, limits) {
        Err(Problem::Slow(_)) => attempt(run, input, limits),
        outcome => outcome,
    }
}

fn attempt(run: fn(&[u8]), input: &[u8], limits: Limits) -> Result<(), Problem> {
    MEMORY.reset_peak_usage();
    let (before, started) = (MEMORY.current_usage(), Instant::now());
    catch_unwind(AssertUnwindSafe(|| run(input)))
        .map_err(|payload| Problem::Panic(text_of(&*payload)))?;
    let (took, memory) = (
        started.elapsed(),
        MEMORY.peak_usage().saturating_sub(before),
    );
    if took > limits.time {
        return Err(Problem::Slow(took));
    }
    if memory > limits.memory {
        return Err(Problem::Memory(memory));
    }
    Ok(())
}

fn text_of(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "unknown panic".to_owned())
}

/// When a run ends.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// After this time.
    Time(Duration),
    /// After this many mutated inputs.
    Count(u64),
}

/// Runs all seeds and then mutated inputs, in a thread of its own, and watches it.
///
/// # Errors
/// The first finding.
pub fn campaign(
    target: &'static Target,
    seeds: Vec<Vec<u8>>,
    seed: u64,
    until: Until,
) -> Result<u64, Box<Finding>> {
    let limits = Limits::default();
    let current = Arc::new(Mutex::new((0_u64, Vec::new())));
    let (report, outcome) = mpsc::channel();
    let watched = current.clone();
    std::thread::spawn(move || report.send(work(target, &seeds, seed, until, &watched)));
    let mut last = 0;
    loop {
        match outcome.recv_timeout(limits.time * 5) {
            Ok(outcome) => return outcome,
            Err(_) => {
                let (count, input) = &*lock(&current);
                // The same input at two looks: it is not coming back.
                if *count == last {
                    return Err(Box::new(Finding {
                        problem: Problem::Stuck,
                        input: input.clone(),
                    }));
                }
                last = *count;
            }
        }
    }
}

type Current = Mutex<(u64, Vec<u8>)>;

fn lock(current: &Current) -> MutexGuard<'_, (u64, Vec<u8>)> {
    current.lock().unwrap_or_else(PoisonError::into_inner)
}

fn work(
    target: &Target,
    seeds: &[Vec<u8>],
    seed: u64,
    until: Until,
    current: &Current,
) -> Result<u64, Box<Finding>> {
    let started = Instant::now();
    let mut mutator = Mutator::new(seed, seeds, target.words);
    let mut done = 0;
    let one = |count: u64, input: Vec<u8>| {
        *lock(current) = (count, input.clone());
        check(target.run, &input, Limits::default())
            .map_err(|problem| Box::new(Finding { problem, input }))
    };
    for (n, input) in (1..).zip(seeds) {
        one(n, input.clone())?;
    }
    loop {
        let over = match until {
            Until::Time(time) => started.elapsed() >= time,
            Until::Count(count) => done >= count,
        };
        if over {
            return Ok(done);
        }
        done += 1;
        one(seeds.len() as u64 + done, mutator.next_input())?;
    }
}
