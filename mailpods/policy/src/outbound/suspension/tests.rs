use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const MINUTE_MILLIS: i64 = 60_000;

fn rules() -> Rules {
    let most = |most| Most {
        most,
        within: 10 * MINUTE,
    };
    Rules {
        burst: most(500),
        verdicts: Verdicts {
            refusals: 20,
            percent: 30,
            within: 60 * MINUTE,
        },
        complaints: most(3),
        length: Duration::ZERO,
    }
}

fn cause(rules: &Rules, seen: Seen) -> Option<Cause> {
    rules.judge(seen).map(|(cause, _)| cause)
}

#[test]
fn what_is_too_much() {
    let answers = |against, all| Seen::Answers(Answers { against, all });
    for (seen, wanted) in [
        (Seen::Recipients(500), None),
        (Seen::Recipients(501), Some(Cause::Burst)),
        (answers(19, 19), None),
        (answers(20, 20), Some(Cause::Verdicts)),
        (answers(20, 66), Some(Cause::Verdicts)),
        (answers(20, 67), None),
        (answers(300, 1_000), Some(Cause::Verdicts)),
        (Seen::Complaints(3), None),
        (Seen::Complaints(4), Some(Cause::Complaints)),
    ] {
        assert_eq!(cause(&rules(), seen), wanted, "{seen:?}");
    }
}

#[test]
fn zero_switches_a_rule_off() {
    let mut off = rules();
    (off.burst.most, off.verdicts.refusals, off.complaints.most) = (0, 0, 0);
    let answers = Answers { against: 9, all: 9 };
    for seen in [
        Seen::Recipients(u64::MAX),
        Seen::Answers(answers),
        Seen::Complaints(u64::MAX),
    ] {
        assert_eq!(cause(&off, seen), None);
    }
}

#[test]
fn refusals_that_speak_against_the_sender() {
    let class = |blame, bounce| Class { blame, bounce };
    for (of, wanted) in [
        (class(Blame::Tenant, Bounce::Policy), true),
        (class(Blame::Content, Bounce::Policy), true),
        (class(Blame::Recipient, Bounce::Unknown), true),
        (class(Blame::Recipient, Bounce::MailboxFull), false),
        (class(Blame::Ip, Bounce::Reputation), false),
        (class(Blame::Rate, Bounce::Policy), false),
        (class(Blame::Message, Bounce::Other), false),
        (class(Blame::Temporary, Bounce::Other), false),
    ] {
        assert_eq!(speaks_against(of), wanted, "{of:?}");
    }
    let mut answers = Answers::default();
    answers.hear(None);
    answers.hear(Some(class(Blame::Content, Bounce::Policy)));
    answers.hear(Some(class(Blame::Ip, Bounce::Block)));
    assert_eq!(answers, Answers { against: 1, all: 3 });
}

#[test]
fn what_is_counted_is_handed_in_by_the_sixteenth() {
    let limit = rules().burst;
    let mut pending = Pending::default();
    // A sixteenth of 500 is 31.
    assert_eq!(pending.add((30, 0), limit, 0), None);
    assert_eq!(pending.add((1, 0), limit, 1), Some((31, 0)));
    assert_eq!(pending.add((30, 0), limit, 2), None, "from nothing again");
    // What was before the time that is looked at does not count.
    let later = 2 + 10 * MINUTE_MILLIS + 1;
    assert_eq!(pending.add((5, 0), limit, later), None);
    assert!(!pending.is_old(limit.within, later));
    assert!(pending.is_old(limit.within, later + 10 * MINUTE_MILLIS + 1));
    assert_eq!(pending.add((26, 0), limit, later + 1), Some((31, 0)));
}

#[test]
fn answers_are_handed_in_with_a_refusal_or_when_they_are_many() {
    let limit = Most {
        most: 20,
        within: MINUTE,
    };
    let mut pending = Pending::default();
    assert_eq!(pending.add((0, 40), limit, 0), None);
    assert_eq!(pending.add((1, 1), limit, 0), Some((1, 41)));
    assert_eq!(pending.add((0, 63), limit, 0), None);
    assert_eq!(pending.add((0, 1), limit, 0), Some((0, 64)));
}

#[test]
fn a_suspension_lasts_until_its_end_or_its_release() {
    let mut all = Suspended::default();
    let judged = || (Cause::Burst, "too many".to_owned());
    let timed = Rules {
        length: MINUTE,
        ..rules()
    };
    assert_eq!(
        all.add("a@x.test", timed.suspension(judged(), 0)),
        Added::New
    );
    assert_eq!(
        all.add("b@x.test", rules().suspension(judged(), 0)),
        Added::New
    );
    assert_eq!(
        all.add("a@x.test", timed.suspension(judged(), 5)),
        Added::Already
    );
    assert_eq!(all.of("a@x.test", 0).unwrap().since, 0);
    assert!(all.of("c@x.test", 0).is_none());
    let year = 365 * 24 * 60 * MINUTE_MILLIS;
    assert!(all.of("a@x.test", MINUTE_MILLIS).is_none());
    assert!(all.of("b@x.test", year).is_some());
    assert!(all.release("b@x.test", year) && !all.release("b@x.test", year));
    assert!(all.of("b@x.test", year).is_none());
    assert!(!all.release("c@x.test", 0));
    // Suspended anew: what is told, and what is held, begins anew.
    all.0.get_mut("b@x.test").unwrap().told = true;
    assert_eq!(
        all.add("b@x.test", rules().suspension(judged(), year + 1)),
        Added::New
    );
    assert!(!all.0["b@x.test"].told);
}

#[test]
fn the_end_is_remembered_until_all_processes_know() {
    let mut over = Suspension::new(Cause::ByHand, String::new(), 0, MINUTE);
    let end = MINUTE_MILLIS + REMEMBERED;
    assert!(!over.is_past(end), "what was held is held still");
    over.resumed = true;
    assert!(!over.is_past(end - 1) && over.is_past(end));
    let open = Suspension::new(Cause::ByHand, String::new(), 0, Duration::ZERO);
    assert!(open.is_in_force(i64::MAX) && !open.is_past(i64::MAX));
}

#[test]
fn no_more_are_kept_than_have_room() {
    let mut all = Suspended::default();
    let new = |now| Suspension::new(Cause::Burst, String::new(), now, Duration::ZERO);
    for number in 0..MAX_SUSPENDED {
        assert_eq!(all.add(&format!("{number}@x.test"), new(0)), Added::New);
    }
    assert_eq!(all.add("more@x.test", new(0)), Added::Full);
    assert_eq!(all.add("1@x.test", new(0)), Added::Already);
}

#[test]
fn kept_as_it_was() {
    let mut all = Suspended::default();
    let new = rules().suspension((Cause::Verdicts, "why".to_owned()), 7);
    assert_eq!(all.add("a@x.test", new), Added::New);
    let text = serde_json::to_string(&all).unwrap();
    assert!(text.contains("\"cause\":\"verdicts\""), "{text}");
    assert_eq!(serde_json::from_str::<Suspended>(&text).unwrap(), all);
}

#[test]
fn a_message_is_complained_of_once() {
    let limit = Most {
        most: 2,
        within: Duration::from_secs(1),
    };
    let mut all = ComplainedOf::default();
    assert_eq!((all.add("a", limit, 0), all.add("a", limit, 500)), (1, 1));
    assert_eq!((all.add("b", limit, 600), all.add("c", limit, 700)), (2, 3));
    assert_eq!(all.add("d", limit, 800), 3, "no more are kept");
    assert_eq!(all.add("d", limit, 1_601), 2, "the first two are too old");
}
