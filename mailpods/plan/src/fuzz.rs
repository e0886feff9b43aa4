//! Entry points for fuzzing.

use crate::compile::check;
use crate::load::Source;

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
