//! check, dns, verify, hash, completions, version.
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

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
        "explain",
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
fn a_password_is_typed_unseen_and_twice() {
    let run = |second: &str| {
        let line = format!("{} hash", env!("CARGO_BIN_EXE_mailpods"));
        // A terminal of its own.
        let mut script = Command::new("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut typed, mut shown) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
        let mut seen = Vec::new();
        for (prompt, text) in [("Password: ", "open-sesame"), ("again: ", second)] {
            while !String::from_utf8_lossy(&seen).contains(prompt) {
                let mut octet = [0];
                shown.read_exact(&mut octet).unwrap();
                seen.extend(octet);
            }
            writeln!(typed, "{text}").unwrap();
        }
        shown.read_to_end(&mut seen).unwrap();
        (
            script.wait().unwrap().code(),
            String::from_utf8(seen).unwrap(),
        )
    };
    let (code, shown) = run("open-sesame");
    assert_eq!(code, Some(0), "{shown}");
    assert!(
        shown.contains("{ARGON2ID}$argon2id$") && !shown.contains("sesame"),
        "{shown}"
    );
    let (code, shown) = run("close-sesame");
    assert_eq!(code, Some(2), "{shown}");
    assert!(shown.contains("differ"), "{shown}");
}

#[test]
fn fields_are_explained() {
    let world = World::new();
    world
        .run(&["explain"])
        .exits(0)
        .says(&["MailCluster", "mbx"]);
    world
        .run(&["explain", "mailcluster.spec.smtp.maxRecipients"])
        .exits(0)
        .says(&[
            "FIELD    spec.smtp.maxRecipients <whole number>",
            "DEFAULT  1",
            "ALLOWED  100 to 100000",
        ]);
    world
        .run(&["explain", "MailDomain.spec.aliases[0]"])
        .exits(0)
        .says(&["list of fields", "targets", "required"]);
    world
        .run(&["explain", "mc.spec.smtp.maxMessageSize"])
        .exits(0)
        .says(&["a size such as 512Ki, 25Mi or 10Gi"]);
    world
        .run(&["explain", "mailcluster.spec"])
        .exits(0)
        .says(&[r#"list of fields  [{"address":"::","name":"smtp","…  The sockets"#]);
    let run = world.run(&["explain", "mc.spec.smpt"]).exits(4);
    assert!(run.errors().contains("smtp"), "{}", run.errors());
    let run = world.run(&["explain", "mailbocks"]).exits(4);
    assert!(
        run.errors().contains("neither a kind nor a domain"),
        "{}",
        run.errors()
    );
    // A domain leads to what `route` does; one whose name begins as a kind does is asked for by that.
    for line in [
        &["explain", "gmail.com"][..],
        &["explain", "mailbox.org", "--from", "a@b.test"],
    ] {
        let run = world.run(line).exits(2);
        assert!(run.errors().contains("--config DIR"), "{}", run.errors());
    }
    let run = world.run(&["explain", "mailbox.org"]).exits(4);
    assert!(
        run.errors().contains("mailpods route mailbox.org"),
        "{}",
        run.errors()
    );
    // Nobody is asked of a field whose kind is misspelled or left out.
    let config = world.config();
    let config = text_of(&config);
    for (what, hint) in [
        ("mailclster.spec", "did you mean MailCluster?"),
        ("spec.outbound", "mailpods route spec.outbound"),
    ] {
        let run = world.run(&["explain", what, "--config", config]).exits(4);
        let said = run.errors();
        assert!(said.contains("no kind: kinds are MailCluster"), "{said}");
        assert!(said.contains(hint), "{said}");
    }
    let json = world
        .run(&["explain", "mbx.spec.address", "--output", "json"])
        .exits(0)
        .json();
    assert_eq!(
        (&json["kind"], &json["required"]),
        (&json!("Mailbox"), &json!(true))
    );
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
    let empty = world.path("empty");
    std::fs::create_dir(&empty).unwrap();
    std::fs::write(empty.join("a.yaml"), "").unwrap();
    let run = world.run(&["check", text_of(&empty)]).exits(1);
    run.says(&[&format!("{}: there is no MailCluster", text_of(&empty))]);
    let run = world.run(&["check", "no-such-folder"]).exits(1);
    assert!(
        run.errors().contains("no-such-folder") && run.errors().contains("try:"),
        "{}",
        run.errors()
    );
    assert!(!run.errors().contains("open-sesame"));
}

#[test]
fn a_list_without_addresses_says_what_to_write() {
    let world = World::new();
    let config = world.config();
    let list = ["ip", "list", "--config", text_of(&config)];
    world.with_store(async |_| ());
    let listed = world.run(&list).exits(0);
    listed.says(&["There is no OutboundIP", "kind: OutboundIP"]);
    assert!(!listed.text().contains("PHASE"), "{}", listed.text());
}

#[test]
fn the_example_of_the_document_of_sending_is_taken() {
    let world = World::new();
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/outbound.md");
    let document = std::fs::read_to_string(document).unwrap();
    let example = document.split("```yaml\napiVersion:").nth(1).unwrap();
    let example = example.split("```").next().unwrap();
    let all = world.path("config/all.yaml");
    std::fs::write(all, format!("apiVersion:{example}")).unwrap();
    let config = world.config();
    let config = text_of(&config);
    world
        .run(&["check", config])
        .exits(0)
        .says(&["no mistakes", "1 domain,"]);
    world
        .run(&["dns", "print", "--config", config])
        .exits(0)
        .says(&["v=spf1 mx ip4:203.0.113.5 ip4:203.0.113.6 -all"]);
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
fn check_warns_of_what_is_hardly_meant() {
    let world = World::new();
    let secret = world.path("config/secrets/more/password");
    std::fs::create_dir_all(secret.parent().unwrap()).unwrap();
    std::fs::write(&secret, "open-sesame").unwrap();
    for path in secret.ancestors().take(4) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let check = ["check", "config"];
    world.run(&check).exits(0).says(&[
        "warning: config/secrets/more/password: every user",
        "no mistakes",
    ]);
    let rows = world
        .run(&["check", "config", "--output", "json"])
        .exits(0)
        .rows();
    assert_eq!(rows[0]["severity"], "warning");
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
    let host = |reverse: &str| {
        format!(
            "{}mail.example.test. 60 IN A 192.0.2.1\nmail.example.test. 60 IN AAAA 2001:db8::1\n{reverse}\n",
            print.text()
        )
    };
    dns.set(published(&print.text()));
    world
        .run(&check)
        .exits(1)
        .says(&["mail.example.test  A", "this machine's address"]);
    dns.set(published(&host(
        "1.2.0.192.in-addr.arpa. 60 IN PTR other.test.",
    )));
    world.run(&check).exits(1).says(&[
        "1.2.0.192.in-addr.arpa",
        "different",
        "ip6.arpa",
        "missing",
    ]);
    let v6 = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.";
    dns.set(published(&host(&format!(
        "1.2.0.192.in-addr.arpa. 60 IN PTR mail.example.test.\n{v6} 60 IN PTR mail.example.test."
    ))));
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
    // Port 53 when nothing is said: it is an address, whoever answers there.
    let run = world.run(&["verify", "--resolver", "127.0.0.1", "no-such-file"]);
    assert!(run.exits(1).errors().contains("no-such-file"));
    world
        .run(&envelope)
        .exits(0)
        .says(&["spf", "pass", "verdict: accept"]);
    let run = world.run(&["verify"]).exits(2);
    assert!(
        run.errors().contains("mailpods verify [OPTIONS] FILE"),
        "{}",
        run.errors()
    );
    let run = world
        .run(&["verify", "--resolver", "localhost", "x"])
        .exits(2);
    assert!(run.errors().contains("192.0.2.53"), "{}", run.errors());
    world.run(&["verify", "no-such-file"]).exits(1);
}
