//! What the recipients of a local unit lead to, by the plan of now.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use mailpods_api::MailboxAddress;
use mailpods_plan::{Mailbox, Plan, Resolved, Target};
use mailpods_policy::Reason;
use mailpods_store::mail::{Flags, SystemFlags};
use mailpods_store::queue::{Delivery, LeasedUnit, NewRecipient, Notify, Origin, QueuedRecipient};
use mailpods_store::sieve::personal::Personal;
use mailpods_store::{UnixSeconds, quota};

use crate::context::destination;
use crate::fate::{Fate, Trouble};

/// Where all recipients of a unit lead.
#[derive(Debug, Default)]
pub(super) struct Expanded {
    /// One for each recipient.
    pub(super) fates: Vec<Fate>,
    /// One for each mailbox, whatever number of recipients lead to it.
    pub(super) incoming: Vec<Incoming>,
    /// For each recipient whether it has more than one end.
    pub(super) shared: Vec<bool>,
    /// Recipients elsewhere, by the address here that leads to them.
    pub(super) forwards: Vec<(String, Vec<NewRecipient>)>,
    /// Recipients whose domain is not ours any more.
    pub(super) rerouted: Vec<NewRecipient>,
    /// Addresses elsewhere that do not get it.
    pub(super) withheld: Vec<String>,
}

/// A message for one mailbox.
#[derive(Debug)]
pub(super) struct Incoming {
    /// The mailbox.
    pub(super) mailbox: Arc<Mailbox>,
    /// Where it goes when no script says otherwise.
    pub(super) delivery: Delivery,
    /// The folder that the detail of the address names, if there is one.
    pub(super) folder: Option<String>,
    /// The scripts that its owner keeps, once they were looked for.
    pub(super) personal: Option<Arc<Personal>>,
    /// What stood behind the separator of plus addressing.
    pub(super) detail: Option<String>,
    /// Positions of the recipients that lead to it.
    pub(super) owners: Vec<usize>,
    /// Position of the first of them.
    pub(super) position: usize,
    /// The address of the first of them.
    pub(super) recipient: String,
}

impl Expanded {
    /// Nothing is delivered: an operator wants the unit back with its sender.
    pub(super) fn untouched(unit: &LeasedUnit) -> Self {
        let trouble = Trouble::new(Reason::BouncedByOperator, "5.0.0", String::new());
        Self {
            fates: vec![Fate::Deferred(trouble); unit.recipients.len()],
            shared: vec![false; unit.recipients.len()],
            ..Self::default()
        }
    }
}

/// Resolves all recipients of `unit`. Each mailbox and each address elsewhere gets one copy.
pub(super) fn expand(plan: &Plan, unit: &LeasedUnit, now: UnixSeconds) -> Expanded {
    let mut walk = Walk {
        plan,
        unit,
        now,
        out: Expanded::default(),
        mailboxes: HashMap::new(),
        elsewhere: Vec::new(),
    };
    for (position, recipient) in unit.recipients.iter().enumerate() {
        let (fate, ends) = walk.recipient(position, recipient);
        walk.out.fates.push(fate);
        walk.out.shared.push(ends > 1);
    }
    walk.out
}

struct Walk<'a> {
    plan: &'a Plan,
    unit: &'a LeasedUnit,
    now: UnixSeconds,
    out: Expanded,
    /// Position in `out.incoming` by mailbox.
    mailboxes: HashMap<MailboxAddress, usize>,
    elsewhere: Vec<MailboxAddress>,
}

impl Walk<'_> {
    /// The fate of a recipient, and the number of its ends.
    fn recipient(&mut self, position: usize, recipient: &QueuedRecipient) -> (Fate, usize) {
        let failed = |reason, status: &str, text: &str| {
            (Fate::Failed(Trouble::new(reason, status, text)), 0)
        };
        let deferred = |reason, status: &str, text: &str| {
            (Fate::Deferred(Trouble::new(reason, status, text)), 0)
        };
        let Ok(address) = MailboxAddress::parse(&recipient.address) else {
            return failed(
                Reason::UnknownRecipient,
                "5.1.3",
                "the address cannot be read",
            );
        };
        match self.resolve(&address) {
            Resolved::NotLocal => (self.reroute(&address, recipient), 1),
            Resolved::Unknown => failed(Reason::UnknownRecipient, "5.1.1", "no such mailbox here"),
            Resolved::Disabled(_) => failed(
                Reason::MailboxDisabled,
                "5.2.1",
                "the mailbox is switched off",
            ),
            // What a slip of the pen in a resource keeps from its mail gets it when that is mended.
            Resolved::Held => deferred(Reason::OnHold, "4.3.5", "mail is on hold here"),
            Resolved::Loop => deferred(Reason::AliasLoop, "4.4.6", "the alias leads in a circle"),
            Resolved::Targets(targets) => {
                let targets = self.without_withheld(targets);
                let fate = match targets.as_slice() {
                    [] => Fate::Withheld,
                    targets => self.targets(position, recipient, &address, targets),
                };
                (fate, targets.len())
            }
        }
    }

    /// Where the address leads; what was expanded before leads to its mailbox alone.
    fn resolve(&self, address: &MailboxAddress) -> Resolved {
        let expanded = matches!(
            self.unit.message.origin,
            Origin::Expanded(_) | Origin::Filed(_)
        );
        if !expanded || !self.plan.is_local(address.domain()) {
            return self.plan.resolve(address);
        }
        match self.plan.mailbox(address).cloned() {
            Some(mailbox) if mailbox.enabled => Resolved::Targets(vec![Target::Mailbox {
                mailbox,
                detail: None,
            }]),
            Some(mailbox) => Resolved::Disabled(mailbox),
            None if self.plan.is_held(address) => Resolved::Held,
            None => Resolved::Unknown,
        }
    }

    /// Junk goes to no other domain: it would be taken for ours there.
    fn without_withheld(&mut self, targets: Vec<Target>) -> Vec<Target> {
        if !self.unit.message.junk {
            return targets;
        }
        let (elsewhere, rest) = targets
            .into_iter()
            .partition::<Vec<_>, _>(|target| self.plan.is_elsewhere(target));
        for target in elsewhere {
            if let Target::Remote(address) = target {
                self.out.withheld.push(address.to_string());
            }
        }
        rest
    }

    fn reroute(&mut self, address: &MailboxAddress, recipient: &QueuedRecipient) -> Fate {
        self.out.rerouted.push(NewRecipient {
            destination: destination(self.plan, address.domain()),
            address: recipient.address.clone(),
            orcpt: recipient.orcpt.clone(),
            notify: recipient.notify,
        });
        Fate::Rerouted
    }

    fn targets(
        &mut self,
        position: usize,
        recipient: &QueuedRecipient,
        address: &MailboxAddress,
        targets: &[Target],
    ) -> Fate {
        if let [Target::Remote(target)] = targets {
            return self.redirect(recipient, address, target);
        }
        let (mut here, mut forwards) = (false, Vec::new());
        for target in targets {
            match target {
                Target::Mailbox { mailbox, detail } => {
                    here = true;
                    self.mailbox(position, recipient, (mailbox, detail.as_deref()));
                }
                Target::Remote(target) => forwards.extend(self.forward(recipient, target)),
            }
        }
        if !forwards.is_empty() {
            self.out.forwards.push((address.to_string(), forwards));
        }
        if here {
            Fate::Delivered
        } else {
            Fate::Expanded
        }
    }

    /// RFC 3461 §5.2.7.2: an alias with one target passes on all that was asked for, and nothing is told from here. When another
    /// recipient's copy goes to the target already, that one tells nothing of this recipient, so we do.
    fn redirect(
        &mut self,
        recipient: &QueuedRecipient,
        address: &MailboxAddress,
        target: &MailboxAddress,
    ) -> Fate {
        let Some(forward) = self.forward(recipient, target) else {
            return Fate::Expanded;
        };
        let forward = NewRecipient {
            notify: recipient.notify,
            ..forward
        };
        self.out.forwards.push((address.to_string(), vec![forward]));
        Fate::Rerouted
    }

    fn mailbox(
        &mut self,
        position: usize,
        recipient: &QueuedRecipient,
        (mailbox, detail): (&Arc<Mailbox>, Option<&str>),
    ) {
        if let Some(incoming) = self
            .mailboxes
            .get(&mailbox.address)
            .and_then(|&at| self.out.incoming.get_mut(at))
        {
            return incoming.owners.push(position);
        }
        self.mailboxes
            .insert(mailbox.address.clone(), self.out.incoming.len());
        self.out.incoming.push(Incoming {
            mailbox: mailbox.clone(),
            delivery: self.delivery(recipient, mailbox),
            folder: detail
                .filter(|_| self.goes_by_detail(mailbox))
                .map(str::to_owned),
            personal: None,
            detail: detail.map(str::to_owned),
            owners: vec![position],
            position,
            recipient: recipient.address.clone(),
        });
    }

    /// Whether the detail of an address may name a folder: of mail for INBOX, where the domain wants it.
    fn goes_by_detail(&self, mailbox: &Mailbox) -> bool {
        let message = &self.unit.message;
        let domain = self.plan.domains.get(mailbox.address.domain());
        let usual = !message.junk && !matches!(message.origin, Origin::Filed(_));
        usual && domain.is_some_and(|domain| domain.detail_folders)
    }

    /// Where the message goes when no script says otherwise, or where one said that it goes.
    fn delivery(&self, recipient: &QueuedRecipient, mailbox: &Mailbox) -> Delivery {
        let message = &self.unit.message;
        let usual = if message.junk { "Junk" } else { "INBOX" };
        let (name, flags, written_to) = match &message.origin {
            Origin::Filed(filing) => (
                filing.mailbox.as_str(),
                Flags {
                    system: SystemFlags(filing.system),
                    keywords: filing.keywords.clone(),
                },
                &filing.recipient,
            ),
            _ => (usual, Flags::default(), &recipient.address),
        };
        Delivery {
            account: mailbox.address.clone(),
            mailbox: name.to_owned(),
            prefix: prefix(&message.envelope.sender, &mailbox.address, written_to),
            flags,
            received: self.now,
            quota: quota::of_plan(self.plan, mailbox),
        }
    }

    /// RFC 3461 §5.2.7.3: that the alias was expanded is told from here, so success is not asked for further on.
    fn forward(
        &mut self,
        recipient: &QueuedRecipient,
        target: &MailboxAddress,
    ) -> Option<NewRecipient> {
        if self.elsewhere.contains(target) {
            return None;
        }
        self.elsewhere.push(target.clone());
        let notify = Notify {
            success: false,
            ..recipient.notify
        };
        Some(NewRecipient {
            destination: destination(self.plan, target.domain()),
            address: target.written(),
            orcpt: recipient
                .orcpt
                .clone()
                .or_else(|| Some(format!("rfc822;{}", recipient.address))),
            notify,
        })
    }
}

/// The fields of one recipient's copy: Return-Path (RFC 5321 §4.4) first, Delivered-To for the loop check, and the address that
/// was written to where it is another one.
fn prefix(sender: &str, mailbox: &MailboxAddress, recipient: &str) -> Bytes {
    let clean = |text: &str| text.chars().filter(|c| !c.is_control()).collect::<String>();
    let mut out = format!(
        "Return-Path: <{}>\r\nDelivered-To: {mailbox}\r\n",
        clean(sender)
    );
    if !recipient.eq_ignore_ascii_case(&mailbox.to_string()) {
        out.push_str(&format!("X-Original-To: {}\r\n", clean(recipient)));
    }
    out.into()
}
