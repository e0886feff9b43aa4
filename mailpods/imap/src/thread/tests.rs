use mailpods_imap_proto::ThreadStep;
use mailpods_message::meta::base_subject;

use super::{Summaries, Summary, collate, references, subjects};

/// Messages of `id`, identifiers of ancestors, subject; each a day after the one before.
fn summaries(messages: &[(&str, &str, &str)]) -> Summaries {
    let mut all = Summaries::default();
    for (index, (id, ancestors, subject)) in messages.iter().enumerate() {
        let start = all.ids.len() as u32;
        let ids: Vec<_> = ancestors
            .split_whitespace()
            .map(|id| all.id(id.as_bytes()))
            .collect();
        all.ids.extend(ids);
        let subject = base_subject(subject.as_bytes());
        all.messages.push(Summary {
            position: index as u32,
            date: index as i64,
            subject: collate(&subject.text).into(),
            is_reply: subject.is_reply,
            id: (!id.is_empty()).then(|| all.id(id.as_bytes())),
            references: start..all.ids.len() as u32,
        });
    }
    all
}

fn text(steps: &[ThreadStep]) -> String {
    let mut text = String::new();
    for step in steps {
        if !text.ends_with(')') && !text.is_empty() && *step != ThreadStep::Close {
            text.push(' ');
        }
        match step {
            ThreadStep::Open => text.push('('),
            ThreadStep::Number(position) => text.push_str(&(position + 1).to_string()),
            ThreadStep::Close => text.push(')'),
        }
    }
    text.replace("( ", "(")
}

fn by_references(messages: &[(&str, &str, &str)]) -> String {
    text(&references::threads(&summaries(messages)).steps())
}

#[test]
fn answers_stand_below_what_they_answer() {
    assert_eq!(
        by_references(&[
            ("a", "", "one"),
            ("b", "a", "Re: one"),
            ("c", "a b", "Re: one"),
            ("d", "a", "Re: one"),
            ("e", "", "two"),
        ]),
        "(1 (2 3)(4))(5)"
    );
}

#[test]
fn an_answer_may_come_first() {
    assert_eq!(
        by_references(&[("c", "a b", "Re: x"), ("b", "a", "Re: x"), ("a", "", "x")]),
        "(3 2 1)"
    );
}

#[test]
fn what_is_missing_gives_its_place_to_those_below() {
    // Only one below: it is the root.
    assert_eq!(
        by_references(&[("b", "a", "x"), ("c", "a b", "x")]),
        "(1 2)"
    );
    // Two: they stay together.
    assert_eq!(
        by_references(&[("b", "a", "x"), ("c", "a", "y")]),
        "((1)(2))"
    );
    // In the middle of a thread.
    assert_eq!(
        by_references(&[("a", "", "x"), ("c", "a b", "x"), ("d", "a b", "x")]),
        "(1 (2)(3))"
    );
    // A row of missing ones, and one that nobody answers.
    assert_eq!(by_references(&[("", "p q r s", "x")]), "(1)");
}

#[test]
fn loops_and_doubles_are_no_threads() {
    assert_eq!(by_references(&[("a", "b", "x"), ("b", "a", "y")]), "(2 1)");
    assert_eq!(by_references(&[("a", "a", "x")]), "(1)");
    assert_eq!(by_references(&[("a", "b b a b", "x")]), "(1)");
    assert_eq!(
        by_references(&[("a", "", "x"), ("a", "", "y"), ("b", "a", "x")]),
        "(1 3)(2)"
    );
    assert_eq!(by_references(&[("", "", "x"), ("", "", "y")]), "(1)(2)");
}

/// RFC 5256 §3, step 5
#[test]
fn threads_of_one_subject_are_one() {
    assert_eq!(
        by_references(&[("a", "", "x"), ("b", "", "Re: X")]),
        "(1 2)"
    );
    assert_eq!(
        by_references(&[("a", "", "Re: x"), ("b", "", "x")]),
        "(2 1)"
    );
    assert_eq!(by_references(&[("a", "", "x"), ("b", "", "x")]), "((1)(2))");
    assert_eq!(
        by_references(&[
            ("a", "", "x"),
            ("b", "", "x"),
            ("c", "", "x"),
            ("d", "", "Fwd: x")
        ]),
        "((1)(2)(3)(4))"
    );
    // Two threads whose roots are missing.
    assert_eq!(
        by_references(&[
            ("b", "a", "x"),
            ("c", "a", "x"),
            ("e", "d", "Re: x"),
            ("f", "d", "x")
        ]),
        "((1)(2)(3)(4))"
    );
    assert_eq!(by_references(&[("a", "", ""), ("b", "", "Re:")]), "(1)(2)");
}

#[test]
fn deep_and_wide_threads() {
    let names: Vec<String> = (0..20_000).map(|number| format!("m{number}")).collect();
    let chain: Vec<(&str, &str, &str)> = (0..names.len())
        .map(|at| {
            (
                names[at].as_str(),
                at.checked_sub(1).map_or("", |at| &names[at]),
                "x",
            )
        })
        .collect();
    let told = by_references(&chain);
    assert_eq!(told.matches(char::is_numeric).count(), by_positions(&chain));
    // From the last to the first: each link is made above a thread that is there.
    let upwards: Vec<_> = chain.iter().rev().copied().collect();
    assert_eq!(
        by_references(&upwards).matches(char::is_numeric).count(),
        by_positions(&chain)
    );
    let wide: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), "root", "x"))
        .collect();
    assert!(by_references(&wide).starts_with("((1)(2)(3)"));
}

/// Digits of all message numbers.
fn by_positions(messages: &[(&str, &str, &str)]) -> usize {
    (1..=messages.len())
        .map(|number| number.to_string().len())
        .sum()
}

#[test]
fn ordered_subject() {
    let all = summaries(&[
        ("", "", "b"),
        ("", "", "a"),
        ("", "", "Re: B"),
        ("", "", "[fwd: b]"),
        ("", "", "Re: a"),
    ]);
    assert_eq!(text(&subjects::threads(&all).steps()), "(1 (3)(4))(2 5)");
    assert_eq!(text(&subjects::threads(&summaries(&[])).steps()), "");
}
