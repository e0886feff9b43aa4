//! What is done for all mailboxes from time to time, by one process of the cluster at a time: owners are told how full their mailboxes
//! are, and old messages go from folders that are to lose them.

mod expire;
mod warn;

use std::sync::Arc;
use std::time::Duration;

use mailpods_api::MailboxAddress;
use mailpods_plan::{Mailbox, Plan};
use mailpods_store::StoreError;
use mailpods_store::upkeep::Holding;

use crate::context::Context;

/// Accounts that are read at once.
const PAGE: usize = 500;

/// How often it is looked whether something is due.
const LOOK: Duration = Duration::from_secs(60);

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    Warn,
    Expire,
}

impl Task {
    /// Name of the lock.
    const fn lock(self) -> &'static str {
        match self {
            Self::Warn => "upkeep/quota",
            Self::Expire => "upkeep/expunge",
        }
    }

    /// The time between two rounds in the whole cluster.
    const fn every(self) -> Duration {
        match self {
            Self::Warn => Duration::from_secs(55),
            Self::Expire => Duration::from_secs(3600),
        }
    }

    /// Whether anybody wants it.
    fn is_wanted(self, plan: &Plan) -> bool {
        let defaults = plan.domains.values().map(|domain| &domain.defaults);
        let mut defaults = defaults.chain([&plan.mailbox_defaults]);
        let mut mailboxes = plan.mailboxes.values();
        match self {
            Self::Warn => {
                defaults.any(|defaults| defaults.quota.warnings.is_some())
                    || mailboxes.any(|mailbox| mailbox.quota.warnings.is_some())
            }
            Self::Expire => {
                defaults.any(|defaults| expire::removes(&defaults.folders))
                    || mailboxes.any(|mailbox| expire::removes(&mailbox.folders))
            }
        }
    }
}

/// Runs until it is cut.
pub(crate) async fn run(ctx: Arc<Context>) {
    loop {
        for task in [Task::Warn, Task::Expire] {
            if let Err(error) = turn(&ctx, task).await {
                tracing::warn!(?task, %error, "failed to look after the mailboxes; it is tried again");
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Does what is due, unless somebody has done it lately. The lock is not given back: while it lasts there is nothing to do again.
async fn turn(ctx: &Context, task: Task) -> Result<(), StoreError> {
    if !task.is_wanted(&ctx.plan.current()) {
        return Ok(());
    }
    // A name of its own for each round: the one before must not be able to go on.
    let holder = format!("{} {:016x}", ctx.worker, ctx.random_u64());
    let locks = ctx.store.locks.as_ref();
    if !locks.lock(task.lock(), &holder, task.every()).await? {
        return Ok(());
    }
    round(ctx, task, Some(&holder)).await
}

/// Goes through all accounts, while `holder` has the lock.
pub(crate) async fn round(
    ctx: &Context,
    task: Task,
    holder: Option<&str>,
) -> Result<(), StoreError> {
    let mut after = String::new();
    while holds(ctx, task, holder).await? {
        let plan = ctx.plan.current();
        let page = ctx.store.upkeep.accounts_after(&after, PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after.clone_from(&last.account.address);
        for holding in &page {
            let Some(mailbox) = mailbox(&plan, holding) else {
                continue;
            };
            let done = match task {
                Task::Warn => warn::look(ctx, &plan, mailbox, holding).await,
                Task::Expire => expire::look(ctx, &plan, mailbox, holding.account.id).await,
            };
            match done {
                // The account, or a folder, was deleted meanwhile.
                Ok(()) | Err(StoreError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Keeps the lock: a round may take longer than the time between two.
async fn holds(ctx: &Context, task: Task, holder: Option<&str>) -> Result<bool, StoreError> {
    let Some(holder) = holder else {
        return Ok(true);
    };
    let names = vec![task.lock().to_owned()];
    let held = ctx.store.locks.hold_locks(names, holder, task.every());
    Ok(!held.await?.is_empty())
}

/// Accounts whose Mailbox is gone or switched off keep what they have.
fn mailbox<'a>(plan: &'a Plan, holding: &Holding) -> Option<&'a Arc<Mailbox>> {
    let address = MailboxAddress::parse(&holding.account.address).ok()?;
    let mailbox = plan.mailboxes.get(&address)?;
    mailbox.enabled.then_some(mailbox)
}
