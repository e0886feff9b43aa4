//! Where an address leads, and what a log-in may send as.

use std::collections::HashSet;
use std::sync::Arc;

use mailpods_api::{DomainName, MailboxAddress};

use crate::model::{
    Domain, Mailbox, NextHop, OutboundIp, Plan, Resolved, Target, Transport, TransportRule,
};

/// Steps from alias to alias.
const MAX_DEPTH: usize = 16;

/// Ends of one address, and aliases on the way.
const MAX_TARGETS: usize = 1_000;

/// How mail for a domain leaves.
#[derive(Debug, Clone, Copy)]
pub enum Route<'a> {
    /// Into mailboxes here.
    Local,
    /// One of our domains whose mail goes to a host.
    Relay(&'a NextHop),
    /// Not ours: to the next hop that a rule of `spec.outbound.transports` names.
    NextHop(&'a NextHop),
    /// Not ours: to the cluster's smart host.
    SmartHost(&'a NextHop),
    /// Not ours: to its mail exchangers.
    Mx,
    /// One of our domains that a problem keeps from its mail: nowhere for now.
    Held,
}

impl Plan {
    /// What an address of an envelope leads to.
    #[must_use]
    pub fn resolve(&self, address: &MailboxAddress) -> Resolved {
        if !self.is_local(address.domain()) && !self.is_held(address) {
            return Resolved::NotLocal;
        }
        let mut walk = Walk::new(self);
        match (walk.visit(address, None), walk.disabled) {
            (Err(Circle), _) => Resolved::Loop,
            // Who gets a copy and who does not is decided when all are known again.
            (Ok(()), _) if walk.held => Resolved::Held,
            (Ok(()), _) if !walk.targets.is_empty() => Resolved::Targets(walk.targets),
            (Ok(()), Some(disabled)) => Resolved::Disabled(disabled),
            (Ok(()), None) if walk.followed => Resolved::Held,
            (Ok(()), None) => Resolved::Unknown,
        }
    }

    /// Whether a domain is one of ours, relayed domains and domain aliases included.
    #[must_use]
    pub fn is_local(&self, domain: &DomainName) -> bool {
        self.names.contains_key(domain)
    }

    /// Whether a problem keeps an address from its mail: its domain or its mailbox is left out of the plan.
    #[must_use]
    pub fn is_held(&self, address: &MailboxAddress) -> bool {
        let held = |primary: &MailboxAddress| self.held.addresses.contains(primary);
        self.is_held_domain(address.domain()) || self.primary(address).as_ref().is_some_and(held)
    }

    /// Whether a problem keeps a domain from its mail.
    #[must_use]
    pub fn is_held_domain(&self, name: &DomainName) -> bool {
        self.held.domains.contains(name)
    }

    /// Whether a target is an address of somebody else's domain; a domain of ours whose mail another host has is ours.
    #[must_use]
    pub fn is_elsewhere(&self, target: &Target) -> bool {
        matches!(target, Target::Remote(address) if !self.is_local(address.domain()))
    }

    /// The domain that a name belongs to.
    #[must_use]
    pub fn domain(&self, name: &DomainName) -> Option<&Arc<Domain>> {
        self.names.get(name)
    }

    /// How mail for a domain leaves.
    #[must_use]
    pub fn route(&self, domain: &DomainName) -> Route<'_> {
        if self.is_held_domain(domain) {
            return Route::Held;
        }
        if let Some(domain) = self.names.get(domain) {
            return match &domain.transport {
                Transport::Mailboxes => Route::Local,
                Transport::Relay(hop) => Route::Relay(hop),
            };
        }
        let rule = self.outbound.transports.of(domain);
        let named = rule.and_then(|(_, rule)| rule.next_hop.as_ref());
        match (named, &self.outbound.smart_host) {
            (Some(hop), _) => Route::NextHop(hop),
            (None, Some(hop)) => Route::SmartHost(hop),
            (None, None) => Route::Mx,
        }
    }

    /// The rule of `spec.outbound.transports` for mail to a domain, and its place; there is none for domains of ours.
    #[must_use]
    pub fn transport(&self, domain: &DomainName) -> Option<(usize, &TransportRule)> {
        let is_ours = self.names.contains_key(domain) || self.is_held_domain(domain);
        self.outbound.transports.of(domain).filter(|_| !is_ours)
    }

    /// The mailbox of a log-in name: its address, also with a domain alias. Disabled ones too; aliases are no log-in names.
    #[must_use]
    pub fn mailbox(&self, address: &MailboxAddress) -> Option<&Arc<Mailbox>> {
        self.mailboxes.get(&self.primary(address)?)
    }

    /// Whether a log-in may use the address as envelope sender and in From: its own, its aliases, with any domain alias
    /// and with plus addressing.
    #[must_use]
    pub fn may_send_as(&self, mailbox: &Mailbox, address: &MailboxAddress) -> bool {
        let Some(primary) = self.primary(address) else {
            return false;
        };
        let may = |address: &MailboxAddress| {
            *address == mailbox.address || mailbox.send_as.contains(address)
        };
        if may(&primary) {
            return true;
        }
        let separators = self
            .names
            .get(address.domain())
            .map_or(&[][..], |domain| &domain.detail_separators);
        primary
            .split_detail(separators)
            .is_some_and(|(base, _)| may(&base) && !self.is_taken(&primary))
    }

    /// The addresses that mail of a domain leaves from; empty when none is named, then the system chooses.
    #[must_use]
    pub fn sending_ips(&self, domain: &Domain) -> Vec<&OutboundIp> {
        let named = |ip: &OutboundIp| {
            domain.outbound_ips.is_empty() || domain.outbound_ips.contains(&ip.name)
        };
        self.outbound_ips
            .values()
            .filter(|ip| ip.sending && named(ip))
            .collect()
    }

    /// The address with the primary name of its domain; `None` when the domain is not ours.
    #[must_use]
    pub fn primary(&self, address: &MailboxAddress) -> Option<MailboxAddress> {
        let domain = self.names.get(address.domain())?;
        Some(address.canonical().with_domain(domain.name.clone()))
    }

    pub(crate) fn is_taken(&self, primary: &MailboxAddress) -> bool {
        self.mailboxes.contains_key(primary) || self.aliases.contains_key(primary)
    }
}

/// The aliases lead round in a circle, or too far.
struct Circle;

/// A depth-first walk from one address to its ends.
struct Walk<'a> {
    plan: &'a Plan,
    /// Addresses between the start and here.
    path: Vec<MailboxAddress>,
    done: HashSet<MailboxAddress>,
    targets: Vec<Target>,
    disabled: Option<Arc<Mailbox>>,
    /// Something on the way is held.
    held: bool,
    /// The walk led from one address to another.
    followed: bool,
}

impl<'a> Walk<'a> {
    fn new(plan: &'a Plan) -> Self {
        Self {
            plan,
            path: Vec::new(),
            done: HashSet::new(),
            targets: Vec::new(),
            disabled: None,
            held: false,
            followed: false,
        }
    }

    fn visit(&mut self, address: &MailboxAddress, detail: Option<&str>) -> Result<(), Circle> {
        let Some(domain) = self.plan.names.get(address.domain()).cloned() else {
            if self.plan.is_held(address) {
                self.held = true;
                return Ok(());
            }
            return self.end(address, Target::Remote(address.clone()));
        };
        let primary = address.canonical().with_domain(domain.name.clone());
        if self.plan.is_taken(&primary) {
            return self.enter(&primary, detail);
        }
        if let Some((base, tag)) = primary.split_detail(&domain.detail_separators)
            && self.plan.is_taken(&base)
        {
            return self.enter(&base, Some(&tag));
        }
        let base = primary.split_detail(&domain.detail_separators);
        if self.plan.is_held(&primary) || base.is_some_and(|(base, _)| self.plan.is_held(&base)) {
            self.held = true;
            return Ok(());
        }
        match (&domain.transport, self.fallback(&domain, &primary)) {
            (Transport::Relay(_), _) => self.end(&primary, Target::Remote(address.clone())),
            // A catch-all that leads here takes nothing: the address does not exist.
            (Transport::Mailboxes, Some(other)) if !self.came_from(&other, &primary) => {
                self.follow(&primary, &other)
            }
            (Transport::Mailboxes, _) => Ok(()),
        }
    }

    /// Whether the walk to `here` led through `address`.
    fn came_from(&self, address: &MailboxAddress, here: &MailboxAddress) -> bool {
        let primary = self.plan.primary(address);
        primary.is_some_and(|primary| primary == *here || self.path.contains(&primary))
    }

    /// What takes an address that nothing else has.
    fn fallback(&self, domain: &Domain, primary: &MailboxAddress) -> Option<MailboxAddress> {
        if let Some(catch_all) = &domain.catch_all {
            return Some(catch_all.clone());
        }
        // RFC 5321 §4.5.1 and RFC 2142 §4: these two are always there.
        let reserved = matches!(primary.local(), "postmaster" | "abuse");
        self.plan
            .outbound
            .postmaster
            .clone()
            .filter(|postmaster| reserved && postmaster != primary)
    }

    fn follow(&mut self, from: &MailboxAddress, to: &MailboxAddress) -> Result<(), Circle> {
        self.step_in(from)?;
        self.visit(to, None)?;
        self.path.pop();
        Ok(())
    }

    /// An address that is an alias, a mailbox, or a mailbox that forwards: an alias with its own name.
    fn enter(&mut self, primary: &MailboxAddress, detail: Option<&str>) -> Result<(), Circle> {
        let plan = self.plan;
        let Some(targets) = plan.aliases.get(primary) else {
            return self.deliver(primary, detail);
        };
        if self.done.contains(primary) {
            return Ok(());
        }
        self.step_in(primary)?;
        for target in targets {
            match target == primary {
                true => self.deliver(primary, detail)?,
                false => self.visit(target, detail)?,
            }
        }
        self.path.pop();
        self.done.insert(primary.clone());
        self.bound()
    }

    fn deliver(&mut self, primary: &MailboxAddress, detail: Option<&str>) -> Result<(), Circle> {
        let Some(mailbox) = self.plan.mailboxes.get(primary) else {
            return Ok(());
        };
        if !mailbox.enabled {
            self.disabled.get_or_insert_with(|| mailbox.clone());
            return Ok(());
        }
        let seen = |target: &Target| matches!(target, Target::Mailbox { mailbox, .. } if mailbox.address == *primary);
        if !self.targets.iter().any(seen) {
            self.targets.push(Target::Mailbox {
                mailbox: mailbox.clone(),
                detail: detail.map(str::to_owned),
            });
        }
        self.bound()
    }

    fn end(&mut self, address: &MailboxAddress, target: Target) -> Result<(), Circle> {
        if self.done.insert(address.clone()) {
            self.targets.push(target);
        }
        self.bound()
    }

    fn step_in(&mut self, address: &MailboxAddress) -> Result<(), Circle> {
        if self.path.len() >= MAX_DEPTH || self.path.contains(address) {
            return Err(Circle);
        }
        self.followed = true;
        self.path.push(address.clone());
        Ok(())
    }

    fn bound(&self) -> Result<(), Circle> {
        if self.targets.len() > MAX_TARGETS || self.done.len() > 2 * MAX_TARGETS {
            Err(Circle)
        } else {
            Ok(())
        }
    }
}
