use super::Blame::{Content, Ip, Temporary};
use super::Stage::Session;
use super::*;

/// Provider, stage, what it is about, kind of failure, reply as it came.
const REPLIES: &str = include_str!("../../../data/replies.tsv");

struct Row {
    provider: &'static str,
    stage: Stage,
    class: Class,
    reply: &'static str,
}

fn word<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_json::from_value(text.into()).unwrap()
}

fn rows() -> Vec<Row> {
    let lines = REPLIES.lines().filter(|line| !line.starts_with('#'));
    let row = |line: &'static str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [provider, stage, blame, bounce, reply] = fields.try_into().unwrap();
        Row {
            provider,
            stage: word(stage),
            class: class(word(blame), word(bounce)),
            reply,
        }
    };
    lines.map(row).collect()
}

fn heard(stage: Stage, reply: &'static str) -> Heard<'static> {
    let (code, text) = reply.split_once(' ').unwrap();
    let first = text.split(' ').next().unwrap();
    let numbers: Option<Vec<u16>> = first.split('.').map(|part| part.parse().ok()).collect();
    let enhanced = match numbers.as_deref() {
        Some([class, subject, detail]) => Some((*class, *subject, *detail)),
        _ => None,
    };
    Heard {
        code: code.parse().unwrap(),
        enhanced,
        text,
        stage,
    }
}

#[test]
fn replies_of_the_world_are_understood() {
    let (profiles, rows) = (Profiles::shipped().unwrap(), rows());
    assert!(rows.len() >= 100, "{}", rows.len());
    let mut wrong = Vec::new();
    for row in rows {
        let got = profiles.classify(row.provider, &heard(row.stage, row.reply));
        if got != row.class {
            let (provider, reply, wanted) = (row.provider, row.reply, row.class);
            wrong.push(format!("{provider}: {reply}\n  {got:?}, not {wanted:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rules_of_the_settings_come_first_and_are_named() {
    use crate::outbound::provider::{Override, Rule};
    let rule = Rule {
        code: "4".to_owned(),
        enhanced: vec!["x.7.28".to_owned()],
        stage: None,
        text: vec!["Unusual Rate".to_owned()],
        blame: Temporary,
        bounce: Bounce::Other,
    };
    let settings = Override {
        name: "google".to_owned(),
        rules: vec![rule],
        ..Override::default()
    };
    let profiles = Profiles::shipped().unwrap().with(&[settings]).unwrap();
    let reply = "421 4.7.28 Gmail has detected an unusual rate of mail originating from your IP address 192.0.2.1.";
    let heard = heard(Stage::Data, reply);
    assert_eq!(
        profiles.explain("google", &heard),
        (class(Temporary, Bounce::Other), Told::Settings(0))
    );
    let (told, of_shipped) = Profiles::shipped().unwrap().explain("google", &heard);
    assert_eq!(told.blame, Ip);
    assert!(matches!(of_shipped, Told::Profile(_)));
}

#[test]
fn every_rule_of_a_provider_is_reached_only_for_it() {
    let profiles = Profiles::shipped().unwrap();
    let heard = heard(
        Session,
        "554 5.7.1 [CS01] Message rejected due to local policy.",
    );
    assert_eq!(profiles.classify("apple", &heard).blame, Content);
    assert_eq!(profiles.classify("example.org", &heard).blame, Ip);
}

#[test]
fn a_reply_of_megabytes_is_looked_at_in_part() {
    let profiles = Profiles::shipped().unwrap();
    let text = format!("{}spamhaus", "\u{e9}x".repeat(2_000_000));
    let heard = Heard {
        code: 451,
        enhanced: None,
        text: &text,
        stage: Stage::Data,
    };
    assert_eq!(profiles.classify("google", &heard).blame, Temporary);
}
