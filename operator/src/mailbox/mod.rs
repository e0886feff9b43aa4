//! Mailbox: its address and log-in are in the plan, or its status says why not.

use crate::context::Context;
use crate::kube::Key;
use crate::kube::error::Error;
use crate::kube::queue::Outcome;
use crate::simple::{self, Looked};
use crate::world::snapshot::Kind;

/// Brings the status of one Mailbox to what it should be.
///
/// # Errors
/// When the API server does not take the status.
pub async fn reconcile(context: &Context, key: &Key) -> Result<Outcome, Error> {
    let snapshot = context.world.snapshot();
    let compiled = snapshot.objects.mailboxes.get(key).cloned();
    let current = context.world.mailboxes.get(key).and_then(Result::ok);
    let Some((compiled, current)) = compiled.zip(current) else {
        return Ok(Outcome::Done);
    };
    let before = current.status.clone().unwrap_or_default();
    let looked = Looked {
        compiled,
        current,
        before,
    };
    simple::reconcile(context, (Kind::Mailbox, key), looked, Vec::new()).await
}
