//! Entry points for fuzzing.

use crate::compile::check;
use crate::load::Source;
use crate::slice::{self, Entries, Role, Slice, Update, full};

/// Any octets as one YAML file: an answer, never a panic.
pub fn fuzz_yaml(data: &[u8]) {
    let text = String::from_utf8_lossy(data).into_owned();
    let (plan, problems) = check(&[Source {
        path: "fuzz.yaml".to_owned(),
        text,
    }]);
    assert_eq!(
        plan.is_none(),
        !problems.is_empty(),
        "a plan or problems, never both or neither"
    );
    problems
        .iter()
        .for_each(|problem| drop(problem.to_string()));
}

/// Any octets as a plan update: refused, or a plan that can be cut out again.
pub fn fuzz_update(data: &[u8]) {
    let Ok(update) = Update::decode(data) else {
        return;
    };
    let entries: Entries = update.put.into_iter().collect();
    let mut slice = Slice::default();
    if slice.apply(full(&entries)).is_err() {
        assert!(slice.etag().is_none(), "what is refused leaves nothing");
        return;
    }
    assert_eq!(slice.etag(), Some(entries.digest()));
    let again = slice
        .plan()
        .ok()
        .and_then(|plan| slice::entries(&plan, Role::All).ok());
    assert!(again.is_some(), "a plan that was taken can be sent on");
}
