//! Addresses to send from: what the tools tell of them, and what they do when something is wrong.
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use mailpods_net::TlsClient;
use mailpods_net::socks::Proxy;
use mailpods_policy::outbound::life::{Cause, Check, Finding, Life, Listing};
use mailpods_store::secrets::to_octets;
use serde_json::{Value, json};

use crate::world::{CONFIG, World};

const ADDRESSES: &str = "\
---
apiVersion: mailpods.dev/v1alpha1
kind: OutboundIP
metadata: {name: one}
spec: {address: 203.0.113.5, hostname: one.example.test, role: Standby}
---
apiVersion: mailpods.dev/v1alpha1
kind: OutboundIP
metadata: {name: two}
spec: {address: 203.0.113.6, hostname: two.example.test, role: Standby}
";

fn world() -> World {
    let world = World::new();
    std::fs::write(world.path("config/ips.yaml"), ADDRESSES).unwrap();
    world
}

/// The life of an address that has passed its checks.
fn active(hostname: &str) -> Life {
    Life {
        activated: Some(1),
        hostname: Some(hostname.to_owned()),
        changed: Some(1_700_000_000_000),
        cause: Some(Cause::GatePassed),
        ..Life::default()
    }
}

fn keep(world: &World, name: &str, value: &impl serde::Serialize) {
    world.with_store(async |store| {
        let octets = to_octets(value).unwrap();
        store.secrets.put_secret(name, octets).await.unwrap();
    });
}

fn orders(world: &World) -> Vec<String> {
    world.with_store(async |store| store.secrets.secret_names("outbound/order/").await.unwrap())
}

#[test]
fn no_store_is_made_for_a_folder_that_is_mistyped() {
    let world = world();
    for tool in [
        "list",
        "explain one",
        "rest one",
        "drain one",
        "activate one",
        "recheck one",
    ] {
        let mut arguments = vec!["ip"];
        arguments.extend(tool.split(' '));
        arguments.extend(["--config", "config"]);
        let run = world.run(&arguments).exits(3);
        assert!(
            run.errors().contains("there is no store in"),
            "{}",
            run.errors()
        );
    }
    let run = world
        .run(&["route", "example.test", "--config", "config"])
        .exits(0);
    run.says(&["local"]);
    assert!(
        run.errors().contains("There is no store in"),
        "{}",
        run.errors()
    );
    assert!(!world.data().exists());
}

#[test]
fn addresses_are_steered_while_something_in_the_folder_is_wrong() {
    let world = world();
    // The server has another address for it, and one whose resource cannot be read.
    for (name, address) in [("one", "203.0.113.4"), ("three", "203.0.113.7")] {
        let place = json!({"name": name, "address": address, "hostname": "one.example.test", "pool": "default"});
        keep(&world, &format!("outbound/place/{address}"), &place);
    }
    keep(
        &world,
        "outbound/ip/one/203.0.113.4",
        &active("one.example.test"),
    );
    let wrong = ADDRESSES.replace("hostname: two", "hostnam: two");
    std::fs::write(world.path("config/ips.yaml"), wrong).unwrap();
    let run = world
        .run(&["ip", "drain", "three", "one", "--config", "config"])
        .exits(0);
    assert!(
        run.errors()
            .contains("goes on with the configuration of before"),
        "{}",
        run.errors()
    );
    assert_eq!(
        orders(&world),
        ["outbound/order/one", "outbound/order/three"]
    );
    let list = world
        .run(&["ip", "list", "--config", "config", "--output", "json"])
        .exits(0);
    let list = list.rows();
    let told = |at: usize| (list[at]["name"].clone(), list[at]["address"].clone());
    assert_eq!(told(0), (json!("one"), json!("203.0.113.4")));
    assert_eq!(told(1), (json!("three"), json!("203.0.113.7")));
    world
        .run(&["route", "example.test", "--config", "config"])
        .exits(0);
    // Where nothing of the folder can be used the store's addresses are left.
    let cluster = CONFIG.replace("hostname: mail", "hostnam: mail");
    std::fs::write(world.path("config/all.yaml"), cluster).unwrap();
    world
        .run(&["ip", "activate", "one", "--config", "config"])
        .exits(0);
}

#[test]
fn an_order_that_means_nothing_is_refused() {
    let world = world();
    keep(
        &world,
        "outbound/ip/one/203.0.113.5",
        &active("one.example.test"),
    );
    for (wrong, told) in [
        ("one --provider gogle", "there are"),
        ("one --provider=", "there are"),
        ("one --for 0s", "from 1s to ten years"),
        ("one --for 9999d", "from 1s to ten years"),
        ("one three", "there are one, two"),
    ] {
        let mut arguments = vec!["ip", "rest"];
        arguments.extend(wrong.split(' '));
        arguments.extend(["--config", "config"]);
        let run = world.run(&arguments);
        assert!(run.errors().contains(told), "{wrong}: {}", run.errors());
        assert!(orders(&world).is_empty(), "{wrong}");
    }
    let rest = "ip activate one two --provider example.net --config config";
    world.run(&rest.split(' ').collect::<Vec<_>>()).exits(0);
    assert_eq!(orders(&world), ["outbound/order/one", "outbound/order/two"]);
}

#[test]
fn what_an_operator_passed_over_is_told() {
    let world = world();
    let mut life = active("one.example.test");
    (life.forced, life.forced_at) = (true, Some(1_700_000_000_000));
    life.cause = Some(Cause::ActivatedByOperator);
    life.gate = [(Check::ReverseName, Finding::Failed("no PTR".to_owned()))].into();
    let listing = Listing {
        since: 1,
        answer: "127.0.0.2".to_owned(),
        rests: true,
    };
    life.listed.insert("bl.test".to_owned(), listing);
    keep(&world, "outbound/ip/one/203.0.113.5", &life);
    let list = ["ip", "list", "--config", "config"];
    world.run(&list).exits(0).says(&[
        "activated-by-operator; reverse-name fails, listed by bl.test",
        "UNTIL",
    ]);
    let explain = ["ip", "explain", "one", "--config", "config"];
    let run = world.run(&explain).exits(0);
    run.says(&[
        "activated by the operator since 2023-11-14T22:13:20Z: reverse-name fails, listed by bl.test",
        "last change: activated-by-operator, 2023-11-14T22:13:20Z",
    ]);
    assert!(!run.text().contains("it rests"), "{}", run.text());
}

#[test]
fn one_of_a_pool_of_standbys_sends_and_the_list_says_so() {
    let world = world();
    for (name, address) in [("one", "203.0.113.5"), ("two", "203.0.113.6")] {
        let life = active(&format!("{name}.example.test"));
        keep(&world, &format!("outbound/ip/{name}/{address}"), &life);
    }
    let list = world
        .run(&["ip", "list", "--config", "config", "--output", "json"])
        .exits(0);
    let phases: Vec<Value> = list.rows().iter().map(|row| row["phase"].clone()).collect();
    assert_eq!(phases, ["Active", "Standby"]);
    let explain = ["ip", "explain", "one", "--config", "config"];
    world
        .run(&explain)
        .exits(0)
        .says(&["last change: gate-passed"]);
}

#[test]
fn an_address_that_is_gone_and_one_that_nobody_has_are_explained() {
    let world = world();
    let gone = json!({"name": "old", "address": "203.0.113.9", "hostname": "old.example.test", "pool": "default",
        "gone": {"since": 1, "connections": 0, "until": 2, "unused": 1}});
    keep(&world, "outbound/place/203.0.113.9", &gone);
    let explain = ["ip", "explain", "old", "--config", "config"];
    world
        .run(&explain)
        .exits(0)
        .says(&["Withdrawn", "its records may go"]);
    let mut life = active("one.example.test");
    (life.activated, life.absent) = (None, true);
    life.gate = [(
        Check::ObservedSource,
        Finding::Failed("not here".to_owned()),
    )]
    .into();
    keep(&world, "outbound/ip/one/203.0.113.5", &life);
    let activate = ["ip", "activate", "one", "--config", "config"];
    let run = world.run(&activate).exits(0);
    assert!(
        run.errors().contains("stays Pending until it is there"),
        "{}",
        run.errors()
    );
}

/// A process that does not outlive its test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_certificate_of_the_document_is_one_that_delivery_takes() {
    let world = World::new();
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/outbound.md");
    let document = std::fs::read_to_string(document).unwrap();
    let line = document
        .lines()
        .find(|line| line.starts_with("openssl req -x509"));
    let line = line.unwrap().replace("10.0.0.5", "127.0.0.1");
    let folder = world.path("");
    let made = Command::new("sh")
        .args(["-c", &line])
        .current_dir(&folder)
        .output();
    let made = made.unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    std::fs::write(world.path("token"), "a token").unwrap();
    let proxy = "--output json egress-proxy --egress-listen 127.0.0.1:0 --health 127.0.0.1:0 --egress-cert tls.crt \
                 --egress-key tls.key --egress-token token --address 127.0.0.2";
    let arguments: Vec<&str> = proxy.split_whitespace().collect();
    let mut command = world.command(&arguments);
    let mut child = Ended(command.stdout(Stdio::piped()).spawn().unwrap());
    let lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let mut ready = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let ready = ready.find(|line| line["listeners"].is_array()).unwrap();
    let address = ready["listeners"][0]["address"].as_str().unwrap();
    let port = address.rsplit(':').next().unwrap().parse().unwrap();
    let authority = std::fs::read(world.path("tls.crt")).unwrap();
    let tls = TlsClient::of_authority(&authority).unwrap();
    let token = zeroize::Zeroizing::new(b"a token".to_vec());
    let proxy = Proxy::new(vec![("127.0.0.1".to_owned(), port)], tls, token).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let has = runtime.block_on(proxy.has("127.0.0.2".parse().unwrap()));
    assert!(matches!(has, Ok(true)), "{has:?}");
}
