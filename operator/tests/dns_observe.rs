//! Look-ups at the servers of zones, on loopback: servers that differ, fail, or are not what they are named for.

#![allow(clippy::unwrap_used)]

#[path = "support/dns.rs"]
mod dns;

use std::collections::BTreeSet;
use std::time::Duration;

use dns::{Manner, Servers, Setup, Zone};
use mailpods_operator::dns::truth::{Answer, Failure, Observed, Observer, ObserverOptions, Seen};
use mailpods_plan::dns::RecordType::{self, A, Cname, Mx, Txt};

const NAMES: [&str; 2] = ["ns1.example.test", "ns2.example.test"];

/// The zone that all servers begin with; its servers are at 127.0.0.2 and 127.0.0.3.
fn example() -> Zone {
    Zone::new("example.test", &NAMES)
        .a(NAMES[0], [127, 0, 0, 2])
        .a(NAMES[1], [127, 0, 0, 3])
        .mx("example.test", 10, "Mail.Example.test")
        .txt("example.test", "v=spf1 mx -all")
}

/// A resolver that knows some zones, and the servers of the first of them.
async fn world(known: Vec<Zone>, servers: Vec<(Manner, Vec<Zone>)>) -> (Servers, Observer) {
    let root = Zone::new("test", &["ns.test"]);
    let resolver = Setup {
        manner: Manner::Resolves,
        zones: [vec![root], known].concat(),
    };
    let setups = servers.into_iter();
    let setups = setups.map(|(manner, zones)| Setup { manner, zones });
    let setups = std::iter::once(resolver).chain(setups).collect();
    let servers = Servers::start(setups).await;
    let observer = Observer::new(ObserverOptions {
        resolvers: vec![servers.address(0)],
        port: servers.port,
        timeout: Duration::from_millis(250),
        limit: Duration::from_secs(20),
        ..ObserverOptions::default()
    });
    (servers, observer.unwrap())
}

async fn look(observer: &Observer, questions: &[(&str, RecordType)]) -> Observed {
    let questions = questions
        .iter()
        .map(|(name, kind)| ((*name).to_owned(), *kind));
    let observed = observer.observe(questions.collect()).await;
    assert!(!observed.is_empty());
    observed
}

/// What each server answered: records, `-> alias`, or the failure.
async fn shown(observer: &Observer, name: &str, kind: RecordType) -> Vec<String> {
    let observed = look(observer, &[(name, kind)]).await;
    match &observed[&(name.to_owned(), kind)] {
        Ok(seen) => texts(seen),
        Err(failure) => vec![failure.to_string()],
    }
}

fn texts(seen: &Seen) -> Vec<String> {
    let text = |answer: &Result<Answer, Failure>| match answer {
        Ok(answer) => {
            let mut parts: Vec<String> = answer.records.iter().cloned().collect();
            parts.extend(answer.alias.iter().map(|alias| format!("-> {alias}")));
            parts.join(" | ")
        }
        Err(failure) => failure.to_string(),
    };
    seen.answers
        .iter()
        .map(|(_, answer)| text(answer))
        .collect()
}

fn both(zone: &Zone) -> Vec<(Manner, Vec<Zone>)> {
    vec![
        (Manner::Serves, vec![zone.clone()]),
        (Manner::Serves, vec![zone.clone()]),
    ]
}

#[tokio::test]
async fn each_server_of_the_zone_is_asked() {
    let newer = example().txt("new.example.test", "here");
    let servers = vec![
        (Manner::Serves, vec![newer]),
        (Manner::Serves, vec![example()]),
    ];
    let (_servers, observer) = world(vec![example()], servers).await;
    let questions = [("example.test", Mx), ("new.example.test", Txt)];
    let observed = look(&observer, &questions).await;
    let seen = observed[&("new.example.test".to_owned(), Txt)]
        .as_ref()
        .unwrap();
    assert_eq!(seen.zone, "example.test");
    let names: Vec<&str> = seen.answers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "ns1.example.test (127.0.0.2)",
            "ns2.example.test (127.0.0.3)"
        ]
    );
    assert_eq!(texts(seen), ["here", ""]);
    let seen = observed[&("example.test".to_owned(), Mx)].as_ref().unwrap();
    assert_eq!(texts(seen), ["10 mail.example.test"; 2]);
}

#[tokio::test]
async fn what_is_not_there_is_an_answer() {
    let (_servers, observer) = world(vec![example()], both(&example())).await;
    assert_eq!(
        shown(&observer, "nowhere.example.test", Txt).await,
        ["", ""]
    );
    assert_eq!(shown(&observer, "example.test", A).await, ["", ""]);
}

#[tokio::test]
async fn a_server_that_fails_says_nothing() {
    for (manner, zones, failure) in [
        (Manner::Silent, vec![example()], "does not answer"),
        (Manner::Fails, vec![example()], "answers Server Failure"),
        (
            Manner::Serves,
            vec![],
            "is named for the zone and does not serve it",
        ),
        (
            Manner::Caches,
            vec![example()],
            "is named for the zone and does not serve it",
        ),
    ] {
        let servers = vec![(Manner::Serves, vec![example()]), (manner, zones)];
        let (_servers, observer) = world(vec![example()], servers).await;
        let seen = shown(&observer, "example.test", Txt).await;
        assert_eq!(seen, ["v=spf1 mx -all", failure]);
    }
}

#[tokio::test]
async fn a_server_where_nobody_listens_and_one_without_address_say_nothing() {
    let zone = Zone::new(
        "example.test",
        &["ns1.example.test", "ns3.example.test", "ns4.example.test"],
    )
    .a("ns1.example.test", [127, 0, 0, 2])
    .a("ns3.example.test", [127, 0, 0, 9]);
    let servers = vec![(Manner::Serves, vec![zone.clone()])];
    let (_servers, observer) = world(vec![zone], servers).await;
    assert_eq!(
        shown(&observer, "x.example.test", Txt).await,
        ["", "does not answer", "has no address"]
    );
}

#[tokio::test]
async fn without_a_resolver_nothing_is_known() {
    let servers = Servers::start(vec![Setup {
        manner: Manner::Fails,
        zones: vec![],
    }])
    .await;
    let observer = Observer::new(ObserverOptions {
        resolvers: vec![servers.address(0)],
        ..ObserverOptions::default()
    });
    let seen = shown(&observer.unwrap(), "example.test", Txt).await;
    assert_eq!(seen, ["the servers of the zone were not found"]);
}

#[tokio::test]
async fn an_alias_is_followed_within_the_zone_and_into_another() {
    let zone = example()
        .cname("near.example.test", "target.example.test")
        .txt("target.example.test", "near")
        .cname("far.example.test", "key.other.test")
        .cname("nowhere.example.test", "gone.other.test");
    let other = Zone::new("other.test", &["ns.other.test"])
        .a("ns.other.test", [127, 0, 0, 4])
        .txt("key.other.test", "far");
    let mut servers = both(&zone);
    servers.push((Manner::Serves, vec![other.clone()]));
    let (_servers, observer) = world(vec![zone, other], servers).await;
    let near = shown(&observer, "near.example.test", Txt).await;
    assert_eq!(near, ["near | -> target.example.test"; 2]);
    let far = shown(&observer, "far.example.test", Txt).await;
    assert_eq!(far, ["far | -> key.other.test"]);
    let gone = shown(&observer, "nowhere.example.test", Txt).await;
    assert_eq!(gone, ["-> gone.other.test"]);
    let alias = shown(&observer, "far.example.test", Cname).await;
    assert_eq!(alias, ["key.other.test"; 2]);
}

#[tokio::test]
async fn a_name_belongs_to_the_zone_that_is_cut_off_last() {
    let below = Zone::new("_domainkey.example.test", &["ns.keys.test"])
        .txt("s._domainkey.example.test", "v=DKIM1; p=AAAA");
    let keys = Zone::new("keys.test", &["ns.keys.test"]).a("ns.keys.test", [127, 0, 0, 4]);
    let mut servers = both(&example());
    servers.push((Manner::Serves, vec![below.clone()]));
    let (_servers, observer) = world(vec![example(), below, keys], servers).await;
    let seen = shown(&observer, "s._domainkey.example.test", Txt).await;
    assert_eq!(seen, ["v=DKIM1; p=AAAA"]);
    // What is remembered of the first look leads to the same servers.
    let again = shown(&observer, "t._domainkey.example.test", Txt).await;
    assert_eq!(again, [""]);
    assert_eq!(shown(&observer, "_dmarc.example.test", Txt).await, ["", ""]);
}

#[tokio::test]
async fn a_reverse_name_is_found_through_its_many_labels() {
    let zone = Zone::new("8.b.d.0.1.0.0.2.ip6.arpa", &NAMES);
    let (_servers, observer) = world(vec![example(), zone.clone()], both(&zone)).await;
    let name = format!("{}8.b.d.0.1.0.0.2.ip6.arpa", "0.".repeat(24));
    assert_eq!(shown(&observer, &name, RecordType::Ptr).await, ["", ""]);
}

#[tokio::test]
async fn what_does_not_fit_into_a_packet_is_asked_for_over_tcp() {
    let long = "k".repeat(3_000);
    let zone = example().txt("long.example.test", &long);
    let (_servers, observer) = world(vec![example()], both(&zone)).await;
    let seen = shown(&observer, "long.example.test", Txt).await;
    assert_eq!(seen, [long.as_str(); 2]);
}

#[tokio::test]
async fn servers_that_are_named_are_believed() {
    let servers = Servers::start(vec![Setup {
        manner: Manner::Caches,
        zones: vec![example()],
    }])
    .await;
    let observer = Observer::new(ObserverOptions {
        resolvers: vec![servers.address(0)],
        servers: vec![servers.address(0)],
        ..ObserverOptions::default()
    });
    let seen = shown(&observer.unwrap(), "example.test", Txt).await;
    assert_eq!(seen, ["v=spf1 mx -all"]);
}

#[tokio::test]
async fn a_look_ends_at_its_limit_with_an_answer_to_each_question() {
    let silent = vec![(Manner::Silent, vec![]), (Manner::Silent, vec![])];
    let (servers, _observer) = world(vec![example()], silent).await;
    let observer = Observer::new(ObserverOptions {
        resolvers: vec![servers.address(0)],
        port: servers.port,
        timeout: Duration::from_secs(600),
        limit: Duration::from_millis(100),
        ..ObserverOptions::default()
    });
    let names: BTreeSet<_> = (0..20)
        .map(|n| (format!("{n}.example.test"), Txt))
        .collect();
    let observed = observer.unwrap().observe(names).await;
    assert_eq!(observed.len(), 20);
    assert!(
        observed
            .values()
            .all(|seen| *seen == Err(Failure::OutOfTime))
    );
}

#[tokio::test]
async fn a_server_that_stays_silent_is_not_waited_for_at_each_question() {
    let servers = vec![(Manner::Serves, vec![example()]), (Manner::Silent, vec![])];
    let (_servers, observer) = world(vec![example()], servers).await;
    // At 0.5 s each and 8 at once, 400 would take longer than the limit of 20 s.
    let names: BTreeSet<_> = (0..400)
        .map(|n| (format!("{n}.example.test"), Txt))
        .collect();
    let observed = observer.observe(names).await;
    for seen in observed.values() {
        assert_eq!(texts(seen.as_ref().unwrap()), ["", "does not answer"]);
    }
}
