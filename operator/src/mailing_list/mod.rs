//! MailingList: nothing acts on it yet, and its status says so.

use crate::context::Context;
use crate::kube::Key;
use crate::kube::error::Error;
use crate::kube::queue::Outcome;
use crate::simple::{self, Looked};
use crate::world::snapshot::Kind;

/// Brings the status of one MailingList to what it should be.
///
/// # Errors
/// When the API server does not take the status.
pub async fn reconcile(context: &Context, key: &Key) -> Result<Outcome, Error> {
    let snapshot = context.world.snapshot();
    let compiled = snapshot.objects.mailing_lists.get(key).cloned();
    let current = context.world.mailing_lists.get(key).and_then(Result::ok);
    let Some((compiled, current)) = compiled.zip(current) else {
        return Ok(Outcome::Done);
    };
    let before = current.status.clone().unwrap_or_default();
    let looked = Looked {
        compiled,
        current,
        before,
    };
    simple::reconcile(context, (Kind::MailingList, key), looked, Vec::new()).await
}
