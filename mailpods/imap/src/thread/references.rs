//! REFERENCES (RFC 5256 §3), step by step as it stands there; each works in time about linear, whatever messages say of each other.

use std::collections::HashMap;

use super::{Id, Summaries, Summary, Threads};

/// No node.
const NONE: u32 = u32::MAX;
/// How far up a loop is looked for; links below so many ancestors are not made.
const MAX_DEPTH: usize = 1_000;
/// Nodes of messages that are not there, beside one for each that is.
const MAX_ABSENT: usize = 500_000;

pub(super) fn threads(summaries: &Summaries) -> Threads {
    let forest = Forest::new(summaries);
    let mut threads = forest.pruned();
    let mut merge = Merge {
        dates: Dates::new(summaries, &threads),
        threads: &mut threads,
        summaries,
    };
    merge.sort_roots();
    merge.by_subject();
    merge.sort_all();
    threads
}

/// Steps 1 and 2: who is whose parent.
struct Forest<'a> {
    summaries: &'a Summaries,
    parents: Vec<u32>,
    /// By node: the index of its message.
    messages: Vec<Option<u32>>,
    by_id: HashMap<Id, u32>,
}

impl<'a> Forest<'a> {
    fn new(summaries: &'a Summaries) -> Self {
        let mut forest = Self {
            summaries,
            parents: Vec::new(),
            messages: Vec::new(),
            by_id: HashMap::new(),
        };
        for (index, message) in summaries.messages.iter().enumerate() {
            forest.add(index as u32, message);
        }
        forest
    }

    fn node(&mut self) -> u32 {
        self.parents.push(NONE);
        self.messages.push(None);
        self.parents.len() as u32 - 1
    }

    fn parent(&self, node: u32) -> u32 {
        self.parents.get(node as usize).copied().unwrap_or(NONE)
    }

    fn set_parent(&mut self, node: u32, parent: u32) {
        if let Some(known) = self.parents.get_mut(node as usize) {
            *known = parent;
        }
    }

    /// The node of an identifier; without room for messages that are not there, only what is known.
    fn named(&mut self, id: Id) -> Option<u32> {
        if let Some(node) = self.by_id.get(&id) {
            return Some(*node);
        }
        if self.parents.len() >= self.summaries.messages.len() + MAX_ABSENT {
            return None;
        }
        let node = self.node();
        self.by_id.insert(id, node);
        Some(node)
    }

    fn add(&mut self, index: u32, message: &Summary) {
        let own = self.own_node(message.id);
        if let Some(slot) = self.messages.get_mut(own as usize) {
            *slot = Some(index);
        }
        let mut before = NONE;
        // Step 1 A
        for id in self.summaries.references(message) {
            let Some(node) = self.named(*id) else {
                continue;
            };
            if before != NONE && self.parent(node) == NONE && !self.is_above(node, before) {
                self.set_parent(node, before);
            }
            before = node;
        }
        // Step 1 B: the last reference is the parent, whatever others have said before.
        self.set_parent(own, NONE);
        if before != NONE && !self.is_above(own, before) {
            self.set_parent(own, before);
        }
    }

    /// Step 1: a message whose identifier another one has, or that has none, is on its own.
    fn own_node(&mut self, id: Option<Id>) -> u32 {
        let named = id.and_then(|id| self.by_id.get(&id).copied());
        match (id, named) {
            (Some(_), Some(node)) if self.message(node).is_none() => node,
            (Some(id), None) => {
                let node = self.node();
                self.by_id.insert(id, node);
                node
            }
            _ => self.node(),
        }
    }

    fn message(&self, node: u32) -> Option<u32> {
        self.messages.get(node as usize).copied().flatten()
    }

    /// Whether `node` is `below` or above it. Beyond [`MAX_DEPTH`] the answer is yes.
    fn is_above(&self, node: u32, below: u32) -> bool {
        let mut at = below;
        for _ in 0..MAX_DEPTH {
            if at == node {
                return true;
            }
            at = self.parent(at);
            if at == NONE {
                return false;
            }
        }
        true
    }

    /// Nodes so that each stands behind its parent.
    fn top_down(&self) -> Vec<u32> {
        let count = self.parents.len();
        let (mut starts, mut order) = (vec![0u32; count + 1], Vec::with_capacity(count));
        for parent in self.parents.iter().filter(|parent| **parent != NONE) {
            if let Some(start) = starts.get_mut(*parent as usize + 1) {
                *start += 1;
            }
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let mut below = vec![NONE; sum as usize];
        let mut next = starts.clone();
        for (node, parent) in self.parents.iter().enumerate() {
            match next.get_mut(*parent as usize).filter(|_| *parent != NONE) {
                Some(at) => {
                    if let Some(slot) = below.get_mut(*at as usize) {
                        *slot = node as u32;
                    }
                    *at += 1;
                }
                None => order.push(node as u32),
            }
        }
        let mut done = 0;
        while let Some(node) = order.get(done).copied() {
            let range = |at: usize| starts.get(at).map_or(0, |start| *start as usize);
            let children = range(node as usize)..range(node as usize + 1);
            order.extend_from_slice(below.get(children).unwrap_or_default());
            done += 1;
        }
        order
    }

    /// Step 3: nodes without a message give their place to those below; at the top only when that is one.
    fn pruned(self) -> Threads {
        let order = self.top_down();
        let mut children: Vec<Vec<u32>> = vec![Vec::new(); self.parents.len()];
        let mut roots = Vec::new();
        for node in order.into_iter().rev() {
            let absent = self.message(node).is_none();
            let mut place = vec![node];
            if absent {
                let below = children.get_mut(node as usize).map(std::mem::take);
                place = below.unwrap_or_default();
            }
            match children.get_mut(self.parent(node) as usize) {
                Some(siblings) => join(siblings, place),
                None if absent && place.len() > 1 => {
                    if let Some(own) = children.get_mut(node as usize) {
                        *own = place;
                    }
                    roots.push(node);
                }
                None => roots.extend(place),
            }
        }
        let position = |index: u32| {
            self.summaries
                .messages
                .get(index as usize)
                .map(|m| m.position)
        };
        Threads {
            messages: self
                .messages
                .iter()
                .map(|message| message.and_then(position))
                .collect(),
            children,
            roots,
        }
    }
}

/// Adds the smaller list to the larger one; their order is made later.
fn join(list: &mut Vec<u32>, mut more: Vec<u32>) {
    if list.len() < more.len() {
        std::mem::swap(list, &mut more);
    }
    list.append(&mut more);
}

/// What siblings are ordered by: date, then position. That of a node without a message is its first child's.
struct Dates(Vec<(i64, u32)>);

impl Dates {
    fn new(summaries: &Summaries, threads: &Threads) -> Self {
        let message = |position: u32| {
            let messages = &summaries.messages;
            let found = messages.binary_search_by_key(&position, |m| m.position);
            found.ok().and_then(|index| messages.get(index))
        };
        let date = |position: &Option<u32>| {
            position
                .and_then(message)
                .map_or((i64::MAX, u32::MAX), |m| (m.date, m.position))
        };
        let mut dates = Self(threads.messages.iter().map(date).collect());
        for root in &threads.roots {
            dates.learn(*root, threads.children(*root));
        }
        dates
    }

    fn of(&self, node: u32) -> (i64, u32) {
        self.0
            .get(node as usize)
            .copied()
            .unwrap_or((i64::MAX, u32::MAX))
    }

    /// The date of a node without a message.
    fn learn(&mut self, node: u32, children: &[u32]) {
        let first = children.iter().map(|child| self.of(*child)).min();
        if let (Some(date), Some(first)) = (self.0.get_mut(node as usize), first)
            && date.1 == u32::MAX
        {
            *date = first;
        }
    }
}

/// Steps 4 to 6.
struct Merge<'a> {
    threads: &'a mut Threads,
    summaries: &'a Summaries,
    dates: Dates,
}

impl<'a> Merge<'a> {
    fn sort_roots(&mut self) {
        let dates = &self.dates;
        self.threads
            .roots
            .sort_unstable_by_key(|node| dates.of(*node));
    }

    /// The message whose subject is the thread's: its own, or that of its first child.
    fn subject_of(&self, root: u32) -> Option<&'a Summary> {
        let messages = &self.summaries.messages;
        let own = self.threads.messages.get(root as usize).copied().flatten();
        let position = own.or_else(|| {
            let children = self.threads.children(root).iter();
            let first = children.min_by_key(|child| self.dates.of(**child))?;
            self.threads
                .messages
                .get(*first as usize)
                .copied()
                .flatten()
        })?;
        let found = messages.binary_search_by_key(&position, |m| m.position);
        messages.get(found.ok()?)
    }

    fn is_absent(&self, node: u32) -> bool {
        !matches!(self.threads.messages.get(node as usize), Some(Some(_)))
    }

    fn is_reply(&self, node: u32) -> bool {
        !self.is_absent(node)
            && self
                .subject_of(node)
                .is_some_and(|message| message.is_reply)
    }

    /// Step 5
    fn by_subject(&mut self) {
        let roots = std::mem::take(&mut self.threads.roots);
        let mut table = self.table(&roots);
        let mut left: Vec<u32> = Vec::with_capacity(roots.len());
        for root in roots {
            let subject = self.subject_of(root).map(|m| &*m.subject);
            let Some(known) = subject.and_then(|subject| table.get_mut(subject)) else {
                left.push(root);
                continue;
            };
            if *known == root {
                left.push(root);
            } else if let Some(merged) = self.merge(*known, root) {
                left.push(merged);
                *known = merged;
            }
        }
        // What was given a place elsewhere is no root any more.
        let mut placed = vec![false; self.threads.messages.len()];
        for child in left.iter().flat_map(|root| self.threads.children(*root)) {
            if let Some(placed) = placed.get_mut(*child as usize) {
                *placed = true;
            }
        }
        left.retain(|root| placed.get(*root as usize) != Some(&true));
        self.threads.roots = left;
        self.sort_roots();
    }

    /// Step 5 B: for each subject the root that others join.
    fn table(&self, roots: &[u32]) -> HashMap<&'a str, u32> {
        let mut table: HashMap<&str, u32> = HashMap::new();
        for root in roots {
            let subject = self.subject_of(*root).map_or("", |m| &*m.subject);
            if subject.is_empty() {
                continue;
            }
            let known = table.entry(subject).or_insert(*root);
            let better = self.is_absent(*root) || self.is_reply(*known) && !self.is_reply(*root);
            if !self.is_absent(*known) && better {
                *known = *root;
            }
        }
        table
    }

    /// Step 5 C: `root` joins `known`; a new root when neither is below the other.
    fn merge(&mut self, known: u32, root: u32) -> Option<u32> {
        if self.is_absent(known) {
            let joining = match self.is_absent(root) {
                true => self.take_children(root),
                false => vec![root],
            };
            self.adopt(known, joining);
            return None;
        }
        if self.is_reply(root) && !self.is_reply(known) {
            self.adopt(known, vec![root]);
            return None;
        }
        let both = vec![known, root];
        let node = self.threads.messages.len() as u32;
        let date = both.iter().map(|child| self.dates.of(*child)).min();
        self.threads.messages.push(None);
        self.threads.children.push(both);
        self.dates.0.push(date.unwrap_or((i64::MAX, u32::MAX)));
        Some(node)
    }

    fn take_children(&mut self, node: u32) -> Vec<u32> {
        let children = self.threads.children.get_mut(node as usize);
        children.map(std::mem::take).unwrap_or_default()
    }

    fn adopt(&mut self, parent: u32, more: Vec<u32>) {
        let absent = self.is_absent(parent);
        let first = more.iter().map(|child| self.dates.of(*child)).min();
        if let (true, Some(first), Some(date)) =
            (absent, first, self.dates.0.get_mut(parent as usize))
        {
            *date = first.min(*date);
        }
        if let Some(children) = self.threads.children.get_mut(parent as usize) {
            join(children, more);
        }
    }

    /// Step 6
    fn sort_all(&mut self) {
        for children in &mut self.threads.children {
            children.sort_unstable_by_key(|child| self.dates.of(*child));
        }
    }
}
