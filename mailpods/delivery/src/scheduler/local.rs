//! The loop for mailboxes here.

use std::sync::Arc;

use mailpods_net::Shutdown;
use mailpods_store::queue::Wanted;

use super::{lease, open, sleep};
use crate::context::Context;
use crate::local::deliver;

/// Units that are settled together. More only makes the transaction longer that others wait for.
const BATCH: usize = 256;

/// Delivers batches one after the other until the stop begins; a batch taken is always finished.
pub(crate) async fn run(ctx: Arc<Context>, shutdown: Shutdown) {
    let mut queue = ctx.store.queue.watch_queue();
    while open(&shutdown) {
        // Marked as seen before asking: what comes after is a change again.
        queue.borrow_and_update();
        let units = lease(&ctx, Wanted::Local, BATCH).await;
        if units.is_empty() {
            sleep(&ctx, Wanted::Local, &mut queue, &shutdown).await;
        } else {
            deliver(&ctx, units).await;
        }
    }
}
