//! The plan that is current, shared by all who act on it.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::Plan;

/// A handle on the current plan. Cheap to clone; all clones see a swap at once.
#[derive(Debug, Clone)]
pub struct PlanHandle(Arc<ArcSwap<Plan>>);

impl PlanHandle {
    /// A handle on a first plan.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(plan)))
    }

    /// The plan now. Keep it for one command, message or attempt, not longer.
    #[must_use]
    pub fn current(&self) -> Arc<Plan> {
        self.0.load_full()
    }

    /// Puts a new plan in place.
    pub fn swap(&self, plan: Plan) {
        self.0.store(Arc::new(plan));
    }
}
