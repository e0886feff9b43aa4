//! Which mailboxes LIST and LSUB tell, and what about them. Pure.

use std::collections::BTreeMap;

use mailpods_imap_proto::pattern::DELIMITER;
use mailpods_imap_proto::{ListAttribute, ListCommand, ListPattern, SpecialUse};
use mailpods_store::mail::{self, MailboxInfo};

/// One line of LIST.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row<'a> {
    pub(crate) name: &'a str,
    pub(crate) attributes: Vec<ListAttribute>,
    pub(crate) subscribed_below: bool,
    pub(crate) info: Option<&'a MailboxInfo>,
}

/// A name that is a mailbox, is subscribed, or lies above one that is.
#[derive(Default)]
struct Node<'a> {
    info: Option<&'a MailboxInfo>,
    subscribed: bool,
    has_children: bool,
}

type Tree<'a> = BTreeMap<&'a str, Node<'a>>;

/// The names above `name`, nearest first.
fn ancestors(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(parent(name), |above| parent(above))
}

fn parent(name: &str) -> Option<&str> {
    name.rfind(DELIMITER)
        .and_then(|end| name.get(..end))
        .filter(|above| !above.is_empty())
}

fn tree<'a>(mailboxes: &'a [MailboxInfo], subscriptions: &'a [String]) -> Tree<'a> {
    let mut tree = Tree::new();
    for info in mailboxes {
        tree.entry(&info.name).or_default().info = Some(info);
        for above in ancestors(&info.name) {
            tree.entry(above).or_default().has_children = true;
        }
    }
    for name in subscriptions {
        tree.entry(name).or_default().subscribed = true;
    }
    tree
}

/// RFC 9051 §6.3.9, RFC 5258 §3
pub(crate) fn list<'a>(
    mailboxes: &'a [MailboxInfo],
    subscriptions: &'a [String],
    command: &ListCommand,
) -> Vec<Row<'a>> {
    let patterns: Vec<_> = command
        .patterns
        .iter()
        .map(|pattern| ListPattern::new(&command.reference, pattern))
        .collect();
    let matches = |name: &str| patterns.iter().any(|pattern| pattern.matches(name));
    let mut tree = tree(mailboxes, subscriptions);
    let below = if command.recursive_match {
        parents_of_hidden(&mut tree, subscriptions, &matches)
    } else {
        Vec::new()
    };
    let rows = tree
        .iter()
        .filter(|(name, _)| matches(name))
        .filter_map(|(name, node)| {
            let subscribed_below = below.contains(name);
            let wanted = match (command.subscribed, command.special_use) {
                (true, false) => node.subscribed || subscribed_below,
                (false, true) => has_special_use(node),
                (true, true) => has_special_use(node) && node.subscribed,
                (false, false) => node.info.is_some() || node.has_children,
            };
            wanted.then(|| Row {
                name,
                attributes: attributes(node, command.returns.subscribed),
                subscribed_below,
                info: node.info,
            })
        });
    rows.collect()
}

/// The names above subscribed ones that no pattern matches (RFC 5258 §3.5, CHILDINFO).
fn parents_of_hidden<'a>(
    tree: &mut Tree<'a>,
    subscriptions: &'a [String],
    matches: &impl Fn(&str) -> bool,
) -> Vec<&'a str> {
    let hidden = subscriptions.iter().filter(|name| !matches(name));
    let mut below: Vec<&str> = hidden.flat_map(|name| ancestors(name)).collect();
    below.sort_unstable();
    below.dedup();
    for name in &below {
        tree.entry(name).or_default();
    }
    below
}

fn has_special_use(node: &Node<'_>) -> bool {
    node.info.is_some_and(|info| info.special_use.is_some())
}

/// The attributes of mailboxes, for those who ask by name.
pub(crate) struct Names<'a>(Tree<'a>);

impl<'a> Names<'a> {
    pub(crate) fn new(mailboxes: &'a [MailboxInfo], subscriptions: &'a [String]) -> Self {
        Self(tree(mailboxes, subscriptions))
    }

    pub(crate) fn attributes_of(&self, name: &str) -> Vec<ListAttribute> {
        let node = self.0.get(name);
        node.map_or_else(Vec::new, |node| attributes(node, true))
    }
}

fn attributes(node: &Node<'_>, tell_subscribed: bool) -> Vec<ListAttribute> {
    let mut attributes = Vec::new();
    if node.info.is_none() {
        attributes.push(ListAttribute::NonExistent);
        // RFC 5258 §3.4: implied, but old clients know only this one
        attributes.push(ListAttribute::NoSelect);
    }
    attributes.push(if node.has_children {
        ListAttribute::HasChildren
    } else {
        ListAttribute::HasNoChildren
    });
    if tell_subscribed && node.subscribed {
        attributes.push(ListAttribute::Subscribed);
    }
    // RFC 6154 §2: also told when it was not asked for
    attributes.extend(
        node.info
            .and_then(|info| info.special_use)
            .map(|special| ListAttribute::SpecialUse(to_proto(special))),
    );
    attributes
}

/// RFC 3501 §6.3.9: subscribed names; with `%` also the names above hidden ones, as \Noselect.
pub(crate) fn lsub<'a>(
    subscriptions: &'a [String],
    reference: &str,
    pattern: &str,
) -> Vec<(&'a str, bool)> {
    let matcher = ListPattern::new(reference, pattern);
    let mut names: BTreeMap<&str, bool> = BTreeMap::new();
    for name in subscriptions {
        if matcher.matches(name) {
            names.insert(name, true);
        } else if pattern.contains('%') {
            let above = ancestors(name).filter(|above| matcher.matches(above));
            for above in above {
                names.entry(above).or_insert(false);
            }
        }
    }
    names.into_iter().collect()
}

/// The special use as the protocol names it.
pub(crate) fn to_proto(special_use: mail::SpecialUse) -> SpecialUse {
    match special_use {
        mail::SpecialUse::Archive => SpecialUse::Archive,
        mail::SpecialUse::Drafts => SpecialUse::Drafts,
        mail::SpecialUse::Junk => SpecialUse::Junk,
        mail::SpecialUse::Sent => SpecialUse::Sent,
        mail::SpecialUse::Trash => SpecialUse::Trash,
    }
}

/// The special use as the store keeps it; `None` for what no mailbox can be.
pub(crate) fn to_store(special_use: SpecialUse) -> Option<mail::SpecialUse> {
    match special_use {
        SpecialUse::Archive => Some(mail::SpecialUse::Archive),
        SpecialUse::Drafts => Some(mail::SpecialUse::Drafts),
        SpecialUse::Junk => Some(mail::SpecialUse::Junk),
        SpecialUse::Sent => Some(mail::SpecialUse::Sent),
        SpecialUse::Trash => Some(mail::SpecialUse::Trash),
        SpecialUse::All | SpecialUse::Flagged => None,
    }
}

#[cfg(test)]
mod tests;
