//! check, dns, verify, hash, completions, version.
use mailpods_net::dns::fixed::Zone;
use mailpods_net::dns::responder::Responder;
use serde_json::json;

use crate::world::{World, text_of};

#[test]
fn help_teaches_and_wrong_usage_exits_with_2() {
    let world = World::new();
    world
        .run(&["--help"])
        .exits(0)
        .says(&["standalone", "Examples:", "Exit codes:"]);
    for command in [
        "standalone",
        "check",
        "verify",
        "dns",
        "queue",
        "mailbox",
        "trace",
        "backup",
        "restore",
        "fsck",
        "hash",
    ] {
        world
            .run(&[command, "--help"])
            .exits(0)
            .says(&["Examples:"]);
    }
    world.run(&[]).exits(2);
    world.run(&["queue", "lst"]).exits(2);
    world.run(&["trace", "x", "--since", "5y"]).exits(2);
}

#[test]
fn version_and_completions_are_printed() {
    let world = World::new();
    world
        .run(&["version"])
        .exits(0)
        .says(&["mailpods 0.", "mailpods.dev/v1alpha1"]);
    assert_eq!(
        world.run(&["version", "--output", "json"]).exits(0).json()["apiVersion"],
        "mailpods.dev/v1alpha1"
    );
    for shell in ["bash", "zsh", "fish"] {
        world
            .run(&["completions", shell])
            .exits(0)
            .says(&["mailbox", "retry"]);
    }
}

#[test]
fn a_hash_fits_its_password_and_is_taken_from_standard_input() {
    let world = World::new();
    for (scheme, prefix) in [
        ("argon2id", "{ARGON2ID}$argon2id$"),
        ("scram-sha-256", "{SCRAM-SHA-256}10000,"),
    ] {
        let hash = world
            .run_with_input(&["hash", "--scheme", scheme], b"open-sesame\n")
            .exits(0)
            .text();
        let hash = hash.trim_end();
        assert!(hash.starts_with(prefix), "{hash}");
        world
            .run_with_input(&["hash", "--check", hash], b"open-sesame")
            .exits(0)
            .says(&["matches"]);
        world
            .run_with_input(&["hash", "--check", hash], b"wrong")
            .exits(1)
            .says(&["does not match"]);
    }
    assert!(
        world
            .run_with_input(&["hash", "--check", "{NTLM}x"], b"x")
            .exits(2)
            .errors()
            .contains("ARGON2ID")
    );
    assert!(world.run(&["hash"]).exits(2).errors().contains("0 octets"));
}

#[test]
fn check_finds_every_mistake_with_its_place() {
    let world = World::new();
    let config = world.config();
    let config = text_of(&config);
    world
        .run(&["check", config])
        .exits(0)
        .says(&["no mistakes", "1 domain,", "1 mailbox,"]);
    assert_eq!(
        world
            .run(&["check", config, "--output", "json"])
            .exits(0)
            .json(),
        json!([])
    );
    let broken = "apiVersion: mailpods.dev/v1alpha1\nkind: Mailbox\nmetadata: {name: bob}\nspec:\n  adress: bob@example.test\n";
    std::fs::write(world.path("config/bob.yaml"), broken).unwrap();
    std::fs::write(
        world.path("config/carol.yaml"),
        broken
            .replace("adress", "address")
            .replace("bob@example.test", "'@'"),
    )
    .unwrap();
    let run = world.run(&["check", config]).exits(1);
    run.says(&[
        "config/bob.yaml:5:",
        "adress",
        "config/carol.yaml:5:",
        "spec.address",
    ]);
    let problems = world
        .run(&["check", config, "--output", "json"])
        .exits(1)
        .rows();
    assert!(
        problems
            .iter()
            .any(|problem| problem["file"] == "bob.yaml" && problem["line"] == 5),
        "{problems:?}"
    );
    let run = world.run(&["check", "no-such-folder"]).exits(1);
    assert!(
        run.errors().contains("no-such-folder") && run.errors().contains("try:"),
        "{}",
        run.errors()
    );
    assert!(!run.errors().contains("open-sesame"));
}

/// A zone file as the table of the test's name server, which has no TTL and class.
fn published(zone: &str) -> Zone {
    let line = |line: &str| {
        let name = line.split_whitespace().next().unwrap_or_default();
        let rest = line
            .split_once(" IN ")
            .map(|(_, rest)| rest)
            .unwrap_or_default();
        format!("{name} {rest}")
    };
    let records = zone.lines().filter(|line| line.contains(" IN "));
    Zone::parse(&records.map(line).collect::<Vec<_>>().join("\n")).unwrap()
}

#[test]
fn printed_records_pass_the_check_when_they_are_published() {
    let world = World::new();
    let config = world.config();
    let config = text_of(&config);
    let print = world.run(&["dns", "print", "--config", config]).exits(0);
    print.says(&[
        "MX",
        "v=spf1",
        "_dmarc.example.test.",
        "_domainkey.example.test.",
    ]);
    assert!(
        print.errors().contains("Making a store"),
        "{}",
        print.errors()
    );
    let again = world.run(&["dns", "print", "--config", config]).exits(0);
    assert_eq!(print.text(), again.text(), "the keys stay");
    let records = world
        .run(&["dns", "print", "--config", config, "--output", "json"])
        .exits(0)
        .rows();
    assert!(
        records
            .iter()
            .any(|record| record["type"] == "MX" && record["domain"] == "example.test")
    );
    let endpoint = world
        .run(&[
            "dns",
            "print",
            "--config",
            config,
            "--format",
            "dnsendpoint",
        ])
        .exits(0);
    endpoint.says(&["kind: DNSEndpoint", "recordType: MX"]);
    world
        .run(&["dns", "print", "--config", config, "--domain", "other.test"])
        .exits(4);

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let dns = runtime.block_on(Responder::start(Zone::new())).unwrap();
    let address = dns.addr().to_string();
    let check = ["dns", "check", "--config", config, "--resolver", &address];
    world
        .run(&check)
        .exits(1)
        .says(&["missing", "v=spf1 a mx ~all"]);
    dns.set(published(&print.text()));
    world.run(&check).exits(0).says(&[
        "are published as wanted",
        "SPF of example.test",
        "of 10 look-ups",
    ]);
    let report = world
        .run(&[&check[..], &["--output", "json"]].concat())
        .exits(0)
        .json();
    assert_eq!(report["differences"], json!([]));
    assert_eq!(report["spf"][0]["fits"], true);
}

#[test]
fn verify_tells_each_result_and_its_reason() {
    let world = World::new();
    let zone = "sender.test TXT \"v=spf1 ip4:192.0.2.1 -all\"\n_dmarc.sender.test TXT \"v=DMARC1; p=reject\"\n";
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let dns = runtime
        .block_on(Responder::start(Zone::parse(zone).unwrap()))
        .unwrap();
    let address = dns.addr().to_string();
    let message = b"From: bob@sender.test\nSubject: x\n\nbody\n";
    let verify = |client: &str, code: i32| {
        let arguments = [
            "verify",
            "--resolver",
            &address,
            "--client-ip",
            client,
            "--mail-from",
            "bob@sender.test",
            "--output",
            "json",
            "-",
        ];
        world.run_with_input(&arguments, message).exits(code).json()
    };
    let right = verify("192.0.2.1", 0);
    let result = |verdict: &serde_json::Value, mechanism: &str| {
        let results = verdict["results"].as_array().unwrap();
        results
            .iter()
            .find(|result| result["mechanism"] == mechanism)
            .unwrap()["result"]
            .clone()
    };
    assert_eq!(
        (result(&right, "spf"), result(&right, "dmarc")),
        (json!("pass"), json!("pass"))
    );
    let wrong = verify("192.0.2.2", 1);
    assert_eq!(
        (result(&wrong, "spf"), &wrong["reason"]),
        (json!("fail"), &json!("dmarc-reject"))
    );
    let envelope = [
        "verify",
        "--resolver",
        &address,
        "--client-ip",
        "192.0.2.1",
        "--mail-from",
        "bob@sender.test",
    ];
    world
        .run(&envelope)
        .exits(0)
        .says(&["spf", "pass", "verdict: accept"]);
    world.run(&["verify"]).exits(2);
    world.run(&["verify", "no-such-file"]).exits(1);
}
