//! Follows the operator's plan by long polls.

use std::sync::Arc;
use std::time::Duration;

use mailpods_plan::Plan;
use mailpods_plan::slice::{ApplyError, Entries, Slice, Update, full};
use mailpods_telemetry::error_chain;
use tokio::sync::mpsc;

use super::{Control, ControlError};
use crate::state::State;
use crate::wait::Backoff;

const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A plan to be used.
pub struct Step {
    /// The plan.
    pub plan: Plan,
    /// What it is made of, to be kept.
    pub entries: Entries,
}

/// Asks for the plan again and again.
pub struct Poller {
    control: Arc<Control>,
    state: Arc<State>,
    slice: Slice,
    steps: mpsc::Sender<Step>,
    /// The next answer is to be the whole plan: a step did not fit.
    whole: bool,
}

/// What to do before the next request.
enum Then {
    Ask,
    Wait,
}

impl Poller {
    /// A poller that gives plans to `steps`.
    #[must_use]
    pub fn new(control: Arc<Control>, state: Arc<State>, steps: mpsc::Sender<Step>) -> Self {
        Self {
            control,
            state,
            slice: Slice::default(),
            steps,
            whole: false,
        }
    }

    /// Starts from what was kept; the plan of it.
    ///
    /// # Errors
    /// When this release cannot read it.
    pub fn start_from(&mut self, kept: &Entries) -> Result<Step, ApplyError> {
        self.slice.apply(full(kept))?;
        self.step()
    }

    /// Asks until nobody takes plans any more.
    pub async fn run(mut self) {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            match self.turn().await {
                Some(Then::Ask) => backoff.reset(),
                Some(Then::Wait) => tokio::time::sleep(backoff.next()).await,
                None => return,
            }
        }
    }

    async fn turn(&mut self) -> Option<Then> {
        let etag = self.slice.etag().filter(|_| !self.whole);
        match self.control.plan(etag).await {
            Ok(Some(update)) => self.take(update).await,
            Ok(None) => {
                self.state.current(self.slice.etag());
                Some(Then::Ask)
            }
            Err(ControlError::Update(error)) => {
                self.state.refused(&error_chain(&error));
                Some(Then::Wait)
            }
            Err(error) => {
                let text = error_chain(&error);
                tracing::warn!(
                    error = text,
                    has_plan = self.slice.etag().is_some(),
                    "no plan from the operator"
                );
                self.state.error(text);
                Some(Then::Wait)
            }
        }
    }

    async fn take(&mut self, update: Update) -> Option<Then> {
        let before = self.slice.etag().map(str::to_owned);
        match self.slice.apply(update) {
            Ok(()) => {}
            Err(error @ (ApplyError::Base { .. } | ApplyError::Etag { .. })) => {
                tracing::warn!(
                    error = error_chain(&error),
                    "a step of the plan does not fit; asking for the whole"
                );
                // Once at once; when the whole does not fit either, with waits.
                let then = if self.whole { Then::Wait } else { Then::Ask };
                self.whole = true;
                return Some(then);
            }
            Err(error) => {
                self.state.refused(&error_chain(&error));
                return Some(Then::Wait);
            }
        }
        self.whole = false;
        if self.slice.etag() == before.as_deref() {
            // An operator that always answers at once must not be asked without a pause.
            return Some(Then::Wait);
        }
        match self.step() {
            Ok(step) => self.steps.send(step).await.ok().map(|()| Then::Ask),
            Err(error) => {
                self.state.refused(&error_chain(&error));
                Some(Then::Wait)
            }
        }
    }

    fn step(&self) -> Result<Step, ApplyError> {
        Ok(Step {
            plan: self.slice.plan()?,
            entries: self.slice.entries().clone(),
        })
    }
}
