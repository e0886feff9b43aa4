//! Every file of the corpus and a bounded number of mutated inputs, for every target; and the runner's own guards.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;

use mailpods_fuzz::run::{Until, campaign};
use mailpods_fuzz::{Problem, TARGETS, Target, corpus, targets};

/// Fixed, so that a failure repeats.
const SEED: u64 = 1;

fn short(name: &str) {
    let target = targets::find(name).unwrap();
    let files = corpus::read(&corpus::home(), name).unwrap();
    assert!(files.len() >= 3, "{name} has only {} seeds", files.len());
    let seeds = files.into_iter().map(|(_, input)| input).collect();
    if let Err(finding) = campaign(target, seeds, SEED, Until::Count(target.short_run.into())) {
        let path = corpus::keep(&corpus::home(), name, &finding.input).unwrap();
        panic!("{name}: {:?}, input in {}", finding.problem, path.display());
    }
}

macro_rules! short_runs {
    ($($test:ident => $name:literal,)+) => {
        $(#[test]
        fn $test() {
            short($name);
        })+

        #[test]
        fn every_target_has_a_short_run_and_a_corpus() {
            let tested = BTreeSet::from([$($name),+]);
            let known: BTreeSet<_> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(tested, known);
            let folders: BTreeSet<_> = std::fs::read_dir(corpus::home().join("corpus"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            assert_eq!(folders, known.into_iter().map(str::to_owned).collect());
        }
    };
}

short_runs! {
    filter => "filter",
    imap => "imap",
    imap_client => "imap-client",
    managesieve => "managesieve",
    pop3 => "pop3",
    message => "message",
    password => "password",
    plan_update => "plan-update",
    proxy => "proxy",
    socks => "socks",
    sasl_client => "sasl-client",
    sasl_server => "sasl-server",
    scan => "scan",
    sieve => "sieve",
    smtp_client => "smtp-client",
    smtp_server => "smtp-server",
    mta_sts => "mta-sts",
    spf_budget => "spf-budget",
    tlsa => "tlsa",
    yaml => "yaml",
}

#[test]
fn a_panic_is_found_with_its_input() {
    fn fragile(input: &[u8]) {
        assert!(!input.contains(&b'!'), "an exclamation mark");
    }
    static TARGET: Target = Target {
        name: "fragile",
        run: fragile,
        words: &[b"!"],
        short_run: 0,
    };
    let finding = campaign(&TARGET, vec![b"calm".to_vec()], SEED, Until::Count(1000)).unwrap_err();
    assert_eq!(
        finding.problem,
        Problem::Panic("an exclamation mark".to_owned())
    );
    assert!(finding.input.contains(&b'!'));
}
