//! What only the store knows of where mail goes: folders that details of addresses name, and the room that limits of domains leave.

use mailpods_plan::Plan;
use mailpods_store::queue::LeasedUnit;
use mailpods_store::{StoreError, quota};

use super::expand::{Expanded, Incoming};
use crate::context::Context;

/// Looks for all deliveries of a batch.
pub(super) async fn place(
    ctx: &Context,
    plan: &Plan,
    units: &mut [(LeasedUnit, Expanded)],
) -> Result<(), StoreError> {
    for incoming in units
        .iter_mut()
        .flat_map(|(_, expanded)| &mut expanded.incoming)
    {
        let spare = quota::spare(ctx.store.upkeep.as_ref(), plan, &incoming.mailbox).await?;
        incoming.delivery.quota.spare = spare;
        if let Some(folder) = find(ctx, incoming).await? {
            incoming.delivery.mailbox = folder;
        }
    }
    Ok(())
}

/// The folder of a detail. Only one that is there: who writes to an address makes nothing in somebody's mailbox.
async fn find(ctx: &Context, incoming: &Incoming) -> Result<Option<String>, StoreError> {
    let Some(detail) = &incoming.folder else {
        return Ok(None);
    };
    let mail = ctx.store.mail.as_ref();
    let account = mail.account(&incoming.mailbox.address).await?;
    // Addresses keep no letter case, so several folders may be meant: then the one that is written so.
    let folders = mail.mailboxes(account).await?;
    let named = |name: &str| name.to_lowercase() == detail.to_lowercase();
    let exact = folders.iter().find(|folder| folder.name == *detail);
    let found = exact.or_else(|| folders.iter().find(|folder| named(&folder.name)));
    Ok(found.map(|folder| folder.name.clone()))
}
