//! A fuzzer for every parser of the project, on stable Rust.
//!
//! No coverage feedback: inputs come from hand-made seeds by mutation and splicing, with a dictionary for each target, from a seed
//! that is printed, so that a run can be repeated. A panic, more than [`Limits::time`] or more than [`Limits::memory`] for one
//! input is a finding. Each target is a plain `fn(&[u8])`, which cargo-fuzz takes too.

pub mod corpus;
pub mod mutate;
pub mod run;
pub mod targets;

pub use run::{Finding, Limits, Problem, check};
pub use targets::{TARGETS, Target};

/// Counts what is allocated, for [`Limits::memory`].
#[global_allocator]
static MEMORY: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;
