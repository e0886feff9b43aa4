//! Which quota holds for what is put into a mailbox.

use std::time::Duration;

use mailpods_plan::{Mailbox, Plan};

use crate::error::Result;
use crate::types::{Quota, Usage};
use crate::upkeep::UpkeepStore;

/// How old what a domain holds may be: its limits can be exceeded by what comes within so long.
const TOTAL_AGE: Duration = Duration::from_secs(5);

/// The limits of the mailbox alone, for mail that is delivered.
#[must_use]
pub fn of_plan(plan: &Plan, mailbox: &Mailbox) -> Quota {
    let rules = plan.quota(mailbox);
    Quota {
        octets: rules.octets,
        messages: rules.messages,
        grace: rules.grace_octets(),
        trash_extra: rules.trash_extra.unwrap_or(0),
        spare: None,
    }
}

/// The quota for mail that is delivered: the last message may go beyond the size by the grace.
///
/// # Errors
/// Those of the store, which is asked where the domain has limits.
pub async fn of_delivery(
    upkeep: &dyn UpkeepStore,
    plan: &Plan,
    mailbox: &Mailbox,
) -> Result<Quota> {
    Ok(Quota {
        spare: spare(upkeep, plan, mailbox).await?,
        ..of_plan(plan, mailbox)
    })
}

/// The quota for what the owner puts in.
///
/// # Errors
/// As [`of_delivery`].
pub async fn of_owner(upkeep: &dyn UpkeepStore, plan: &Plan, mailbox: &Mailbox) -> Result<Quota> {
    Ok(Quota {
        grace: 0,
        ..of_delivery(upkeep, plan, mailbox).await?
    })
}

/// What the limits of the domain leave; `None`: it has none.
///
/// # Errors
/// As [`of_delivery`].
pub async fn spare(
    upkeep: &dyn UpkeepStore,
    plan: &Plan,
    mailbox: &Mailbox,
) -> Result<Option<Usage>> {
    let limits = plan.domain_quota(mailbox);
    if limits.is_empty() {
        return Ok(None);
    }
    let domain = mailbox.address.domain();
    let used = upkeep.domain_usage(domain, TOTAL_AGE).await?;
    let left =
        |limit: Option<u64>, used: u64| limit.map_or(u64::MAX, |most| most.saturating_sub(used));
    Ok(Some(Usage {
        octets: left(limits.octets, used.octets),
        messages: left(limits.messages, used.messages),
    }))
}
