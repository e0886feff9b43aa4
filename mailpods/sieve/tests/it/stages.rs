//! Scripts in a row: those before and after an owner's.

use std::sync::Arc;

use mailpods_sieve::{Action, Answers, NoLibrary, Outcome, Progress, Stage, run_with_after};

use crate::world::{MESSAGE, input, run_all, script_of, show};

fn stage(text: &str) -> Stage {
    Stage {
        name: "s".to_owned(),
        script: Arc::clone(&script_of(text)),
    }
}

fn outcome(stages: &[Stage], after: &[Stage]) -> Outcome {
    let input = input(MESSAGE, &NoLibrary);
    match run_with_after(stages, after, &input, &Answers::default()) {
        Progress::Done(outcome) => outcome,
        Progress::Ask(question) => panic!("{question:?}"),
    }
}

#[test]
fn scripts_of_the_administrator_run_before_and_after() {
    let rows = [
        (["keep;", "discard;", ""], "discard"),
        (["", "", "discard;"], "discard"),
        (["discard;", "keep;", "keep;"], "discard"),
        (
            ["require \"imap4flags\"; addflag \"a\"; keep;", "", ""],
            "keep (a)",
        ),
        (
            [
                "require [\"fileinto\",\"copy\"]; fileinto :copy \"A\";",
                "require \"fileinto\"; fileinto \"B\";",
                "discard;",
            ],
            "A; B",
        ),
        (["redirect \"a@b.test\";", "discard;", ""], ">a@b.test"),
        (
            [
                "require [\"fileinto\",\"copy\"]; fileinto :copy \"A\";",
                "require [\"fileinto\",\"include\"]; fileinto \"B\"; include \"x\";",
                "discard;",
            ],
            "A; discard; error 1:47 there is no script \"x\" to include",
        ),
        (
            [
                "require \"imap4flags\"; addflag \"a\";",
                "require [\"include\",\"imap4flags\"]; addflag \"b\"; discard; include \"x\";",
                "require \"imap4flags\"; addflag \"c\";",
            ],
            "keep (a c); error 1:57 there is no script \"x\" to include",
        ),
        (
            [
                "require [\"fileinto\",\"copy\"]; fileinto :copy \"A\";",
                "require [\"fileinto\",\"imap4flags\",\"include\"]; addflag \"b\"; fileinto \"A\"; include \"x\";",
                "",
            ],
            "A; keep; error 1:73 there is no script \"x\" to include",
        ),
        (
            [
                "require \"copy\"; redirect :copy \"1@b.test\"; redirect :copy \"2@b.test\";",
                "require [\"copy\",\"include\"]; redirect :copy \"3@b.test\"; redirect :copy \"4@b.test\"; include \"x\";",
                "require \"copy\"; redirect :copy \"5@b.test\"; redirect :copy \"6@b.test\";",
            ],
            ">1@b.test; >2@b.test; >5@b.test; >6@b.test; keep; error 1:83 there is no script \"x\" to include",
        ),
    ];
    for (scripts, wanted) in rows {
        let stages: Vec<Stage> = scripts.iter().map(|text| stage(text)).collect();
        assert_eq!(
            show(&run_all(&stages, &input(MESSAGE, &NoLibrary))),
            wanted,
            "{scripts:?}"
        );
    }
}

/// What an owner's script decides does not keep those from running that always do.
#[test]
fn scripts_that_always_run_do_unless_the_message_was_refused() {
    const COPY: &str = "require [\"fileinto\",\"copy\"]; fileinto :copy \"J\";";
    let rows = [
        ("", COPY, "J; keep"),
        ("discard;", COPY, "discard; J"),
        ("require \"fileinto\"; fileinto \"B\";", COPY, "B; J"),
        ("redirect \"a@b.test\";", COPY, ">a@b.test; J"),
        ("stop;", COPY, "J; keep"),
        ("discard;", "", "discard"),
        ("discard;", "keep;", "discard; keep"),
        (
            "require \"fileinto\"; fileinto \"B\";",
            "discard;",
            "B; discard",
        ),
        (
            "require \"include\"; discard; include \"x\";",
            COPY,
            "J; keep; error 1:29 there is no script \"x\" to include",
        ),
        (
            "discard;",
            "require \"include\"; include \"x\";",
            "discard; error 1:20 there is no script \"x\" to include",
        ),
        ("require \"reject\"; reject \"no\";", COPY, "reject no"),
    ];
    for (own, after, wanted) in rows {
        let outcome = outcome(&[stage(own)], &[stage(after)]);
        assert_eq!(show(&outcome), wanted, "{own} {after}");
    }
}

/// Whoever uses up a limit uses it up for nobody else, and what an owner files or sends on changed is no copy of what an administrator does.
#[test]
fn scripts_that_always_run_have_limits_of_their_own() {
    let own = "require [\"copy\",\"editheader\",\"fileinto\"]; addheader \"X\" \"y\"; fileinto :copy \"J\"; redirect :copy \"j@b.test\"; \
         redirect :copy \"1@b.test\"; redirect :copy \"2@b.test\"; redirect :copy \"3@b.test\"; deleteheader \"X\";";
    let after =
        "require [\"copy\",\"fileinto\"]; fileinto :copy \"J\"; redirect :copy \"j@b.test\";";
    let outcome = outcome(&[stage(own)], &[stage(after)]);
    let shown = show(&outcome);
    assert!(outcome.error.is_none(), "{shown}");
    assert_eq!(shown.matches("J").count(), 2, "{shown}");
    assert_eq!(shown.matches(">j@b.test").count(), 2, "{shown}");
}

/// Those of a domain and of the cluster are of different people too.
#[test]
fn each_script_that_always_runs_has_limits_of_its_own() {
    let four = |name: &str| {
        let one = |number| format!("redirect :copy \"{name}{number}@b.test\"; ");
        let all: String = (0..4).map(one).collect();
        stage(&format!("require \"copy\"; {all}"))
    };
    let outcome = outcome(&[four("own")], &[four("domain"), four("cluster")]);
    let shown = show(&outcome);
    assert!(outcome.error.is_none(), "{shown}");
    assert_eq!(shown.matches('>').count(), 12, "{shown}");
}

#[test]
fn what_a_failing_script_changed_is_undone_and_nothing_else() {
    let stages = [
        stage("require \"editheader\"; addheader \"X-Before\" \"1\";"),
        stage("require [\"editheader\",\"include\"]; addheader \"X-Own\" \"1\"; include \"x\";"),
    ];
    let outcome = outcome(&stages, &[]);
    let Some(Action::Keep(keep)) = outcome.actions.last() else {
        panic!("{outcome:?}");
    };
    let kept = outcome.versions[keep.version].octets(MESSAGE.as_ref());
    let text = String::from_utf8_lossy(&kept);
    assert!(
        text.contains("X-Before: 1") && !text.contains("X-Own"),
        "{text}"
    );
}
