//! A unit on its way through the settlement.

use mailpods_plan::{OverQuota, Plan};
use mailpods_policy::Reason;
use mailpods_store::queue::{Delivery, NewMessage, NewRecipient, Origin};
use mailpods_store::{NewBody, StoreError};

use super::expand::Incoming;
use super::sieve::{After, Filtered, Kind};
use crate::conclude::Ended;
use crate::context::Context;
use crate::fate::{Fate, Trouble};

/// A unit, its ends and what else becomes of it.
pub(super) struct Job {
    /// Deliveries and new messages of the ends are put into it for each try.
    pub(super) ended: Ended,
    /// Messages that go on, whatever becomes of the mailboxes.
    pub(super) others: Vec<NewMessage>,
    /// The mailboxes that the unit leads to.
    pub(super) ends: Vec<End>,
    /// Positions of recipients with more than one end.
    pub(super) shared: Vec<bool>,
}

/// A mailbox, and all that is done for it: whole or not at all.
pub(super) struct End {
    pub(super) incoming: Incoming,
    pub(super) deliveries: Vec<Delivery>,
    enqueue: Vec<NewMessage>,
    after: After,
}

impl End {
    /// Without scripts.
    pub(super) fn plain(incoming: Incoming) -> Self {
        Self {
            deliveries: vec![incoming.delivery.clone()],
            incoming,
            enqueue: Vec::new(),
            after: After::default(),
        }
    }
}

impl Job {
    /// Puts what the ends want into the settlement.
    pub(super) fn assemble(&mut self) {
        let deliveries = self
            .ends
            .iter()
            .flat_map(|end| end.deliveries.iter().cloned());
        self.ended.deliveries = deliveries.collect();
        let messages = self.ends.iter().flat_map(|end| end.enqueue.iter().cloned());
        self.ended.enqueue = self.others.iter().cloned().chain(messages).collect();
    }

    /// Takes over what the scripts of the mailbox at `index` decided. Says whether it was refused.
    pub(super) fn filtered(&mut self, index: usize, filtered: Filtered) -> Option<Trouble> {
        let end = self.ends.get_mut(index)?;
        end.deliveries = filtered.deliveries;
        end.enqueue = filtered.enqueue;
        end.after = filtered.after;
        match filtered.kind {
            Kind::Delivered => None,
            Kind::Rejected(trouble) => Some(trouble),
            Kind::Redirected => {
                for &owner in &end.incoming.owners {
                    if !self.shared.get(owner).copied().unwrap_or(false)
                        && let Some(fate) = self.ended.fates.get_mut(owner)
                    {
                        *fate = Fate::Expanded;
                    }
                }
                None
            }
        }
    }

    /// Whether a script wants something remembered: then no other message is looked at before this one is settled.
    pub(super) fn is_remembered(&self) -> bool {
        self.ends.iter().any(|end| !end.after.remember.is_empty())
    }

    /// The unit is settled.
    pub(super) async fn settled(&self, ctx: &Context) {
        for end in &self.ends {
            let account = end.incoming.mailbox.address.to_string();
            end.after.settled(ctx, &self.ended.unit, &account).await;
        }
    }

    /// Nothing of the unit happens now.
    pub(super) async fn give_up(&mut self, ctx: &Context) {
        for end in self.ends.drain(..) {
            end.after.given_up(ctx).await;
        }
        self.others.clear();
        self.assemble();
    }

    /// The same, and it is tried again.
    pub(super) async fn defer(&mut self, ctx: &Context, error: &StoreError) {
        self.give_up(ctx).await;
        let trouble = Trouble::new(Reason::StoreUnavailable, "4.3.0", error.to_string());
        self.ended.fates.fill(Fate::Deferred(trouble));
    }

    /// The end that the delivery at `index` of the settlement belongs to.
    fn end_of(&self, index: usize) -> Option<usize> {
        let mut before = 0;
        self.ends.iter().position(|end| {
            before += end.deliveries.len();
            index < before
        })
    }

    /// Takes the mailbox that is full out of the unit.
    pub(super) async fn over_quota(
        &mut self,
        ctx: &Context,
        plan: &Plan,
        (index, domain): (usize, bool),
    ) {
        let Some(at) = self.end_of(index) else {
            return;
        };
        let Some(end) = self.ends.get(at) else {
            return;
        };
        let mailbox = &end.incoming.mailbox.address;
        let quota = end.incoming.delivery.quota;
        let never = quota.never_fits(self.ended.unit.message.size);
        let text = match (never, domain) {
            (true, _) => format!("the message is larger than all of mailbox {mailbox} may be"),
            (false, true) => format!("the mailboxes of {} together are full", mailbox.domain()),
            (false, false) => format!("mailbox {mailbox} is full"),
        };
        let trouble = Trouble::new(Reason::OverQuota, "4.2.2", text);
        let fate = match plan.smtp.over_quota {
            OverQuota::Defer if !never => Fate::Deferred(trouble),
            OverQuota::Defer | OverQuota::Reject => Fate::Failed(Trouble {
                status: "5.2.2".into(),
                ..trouble
            }),
        };
        self.take_out(ctx, at, &fate).await;
    }

    /// Takes a mailbox out. A recipient that leads to it alone gets `fate`; one that leads to others too is done, and the mailbox
    /// becomes a recipient of its own, so that the others get no second copy later.
    pub(super) async fn take_out(&mut self, ctx: &Context, at: usize, fate: &Fate) {
        let end = self.ends.remove(at);
        end.after.given_up(ctx).await;
        for &owner in &end.incoming.owners {
            if self.shared.get(owner).copied().unwrap_or(false) {
                self.split(ctx, owner, end.incoming.mailbox.address.to_string());
            } else if let Some(slot) = self.ended.fates.get_mut(owner) {
                *slot = fate.clone();
            }
        }
    }

    fn split(&mut self, ctx: &Context, owner: usize, address: String) {
        let unit = &self.ended.unit;
        let Some(recipient) = unit.recipients.get(owner) else {
            return;
        };
        let own = NewRecipient {
            destination: unit.destination.clone(),
            address,
            orcpt: recipient
                .orcpt
                .clone()
                .or_else(|| Some(format!("rfc822;{}", recipient.address))),
            notify: recipient.notify,
        };
        let body = NewBody::Stored(unit.message.body);
        let mut message = ctx.derived(unit, body, vec![own]);
        // A mailbox that also forwards would else forward once more with every look at it.
        message.origin = Origin::Expanded(unit.message.id.to_string());
        self.others.push(message);
    }

    /// Takes keywords out of all deliveries, when a mailbox has no room for more; says whether there were any.
    pub(super) fn without_keywords(&mut self) -> bool {
        let deliveries = self.ends.iter_mut().flat_map(|end| &mut end.deliveries);
        deliveries.fold(false, |any, delivery| {
            let had = !delivery.flags.keywords.is_empty();
            delivery.flags.keywords.clear();
            any || had
        })
    }
}
