//! ORDEREDSUBJECT (RFC 5256 §3): messages of one base subject are one thread, the oldest its root.

use super::{Summaries, Summary, Threads};

pub(super) fn threads(summaries: &Summaries) -> Threads {
    let messages = &summaries.messages;
    let mut order: Vec<u32> = (0..messages.len() as u32).collect();
    let by_date = |index: &u32| messages.get(*index as usize).map(|m| (m.date, m.position));
    let subject = |index: &u32| messages.get(*index as usize).map(|m| &m.subject);
    order.sort_unstable_by(|a, b| {
        let subjects = subject(a).cmp(&subject(b));
        subjects.then_with(|| by_date(a).cmp(&by_date(b)))
    });
    let mut threads = Threads {
        messages: messages.iter().map(position).collect(),
        children: vec![Vec::new(); messages.len()],
        roots: Vec::new(),
    };
    for thread in order.chunk_by(|a, b| subject(a) == subject(b)) {
        let Some((root, answers)) = thread.split_first() else {
            continue;
        };
        threads.roots.push(*root);
        if let Some(children) = threads.children.get_mut(*root as usize) {
            children.extend_from_slice(answers);
        }
    }
    threads.roots.sort_unstable_by_key(by_date);
    threads
}

fn position(message: &Summary) -> Option<u32> {
    Some(message.position)
}
