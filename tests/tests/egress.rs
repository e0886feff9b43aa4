//! Mail that leaves through egress proxies, from addresses that the sender's machine need not have.

use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use mailpods_net::tls::self_signed;
use mailpods_plan::Role;
use mailpods_tests::cluster::Cluster;
use mailpods_tests::dns::Dns;
use mailpods_tests::eventually;
use mailpods_tests::operator::Operator;
use mailpods_tests::pod::Pod;
use mailpods_tests::server::{Config, Server, binary, tool_ok};
use mailpods_tests::sink::Sink;
use mailpods_tests::smtp;
use tempfile::TempDir;

/// Certificate, key and token of proxies.
struct Secrets(TempDir);

impl Secrets {
    fn make() -> Result<Self> {
        let folder = TempDir::new()?;
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let pem = self_signed(&names, SystemTime::now(), 30)?;
        std::fs::write(folder.path().join("tls.crt"), &pem.chain)?;
        std::fs::write(folder.path().join("tls.key"), &pem.key)?;
        std::fs::write(folder.path().join("token"), "a token\n")?;
        Ok(Self(folder))
    }

    fn file(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn listen(&self) -> [String; 8] {
        [
            "--egress-listen",
            "127.0.0.1:0",
            "--egress-cert",
            &self.file("tls.crt"),
            "--egress-key",
            &self.file("tls.key"),
            "--egress-token",
            &self.file("token"),
        ]
        .map(str::to_owned)
    }

    /// A Secret as OutboundIPs refer to it.
    fn yaml(&self) -> Result<String> {
        let ca = std::fs::read_to_string(self.file("tls.crt"))?.replace('\n', "\n    ");
        Ok(format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: egress}}\nstringData:\n  token: a token\n  ca.crt: |\n    {ca}\n"
        ))
    }

    /// A proxy on a machine of its own, that may open connections from an address to the sink.
    fn proxy(&self, address: &str, sink: &Sink) -> Result<Pod> {
        let mut command = Command::new(binary()?);
        command
            .args([
                "egress-proxy",
                "--output",
                "json",
                "--health",
                "127.0.0.1:0",
            ])
            .args(self.listen())
            .args([
                "--address",
                address,
                "--port",
                &sink.address().port().to_string(),
            ]);
        let mut proxy = Pod::of(command, Role::Egress, address)?;
        proxy.wait_ready()?;
        Ok(proxy)
    }
}

fn outbound_ip(name: &str, address: &str, proxy: &Pod) -> String {
    let port = proxy.address("egress").port();
    format!(
        "apiVersion: mailpods.dev/v1alpha1\nkind: OutboundIP\nmetadata: {{name: {name}}}\nspec:\n  address: {address}\n  \
         hostname: {name}.example.test\n  attachment: {{type: EgressProxy, egressProxy: {{host: localhost, port: {port}, secretRef: {{name: egress}}}}}}\n"
    )
}

fn forwarding(dns: &Dns, sink: &Sink) -> Result<Config> {
    dns.mx("remote.test.", 10, "mx.remote.test.")?;
    dns.address_of("mx.remote.test.", sink.address().ip())?;
    let outbound = format!(
        "  outbound: {{port: {}, retryInitial: 1s, retryMax: 2s}}\n",
        sink.address().port()
    );
    let forward = "  forward: {to: [carol@remote.test], keepCopy: false}";
    Ok(Config::standard(&(dns.yaml() + &outbound)).mailbox("dave", forward))
}

fn send(server: &Server) -> Result<()> {
    let mut client = smtp::Client::hello(server.address("smtp"), "EHLO")?;
    let message = "From: x@sender.test\r\nTo: dave@example.test\r\nSubject: hello\r\n\r\nx\r\n";
    let reply = client.message("x@sender.test", &["dave@example.test"], message)?;
    anyhow::ensure!(reply.code == 250, "{reply:?}");
    Ok(())
}

fn until_queue_is_empty(data: &Path) -> Result<()> {
    let data = data.display().to_string();
    eventually("an empty queue", || {
        let list = tool_ok(&["--data", &data, "queue", "list", "--output", "json"])?;
        let list: serde_json::Value = serde_json::from_str(&list)?;
        Ok(list.as_array().is_some_and(Vec::is_empty).then_some(()))
    })
}

fn metric(pod: &Pod, line: &str) -> Result<String> {
    let (_, text) = pod.http("/metrics")?;
    let found = text.lines().find_map(|found| found.strip_prefix(line));
    Ok(found
        .with_context(|| format!("no {line}"))?
        .trim()
        .to_owned())
}

#[test]
fn mail_leaves_from_another_machine_and_when_that_dies_from_the_next() -> Result<()> {
    let (dns, sink, secrets) = (Dns::start()?, Sink::start()?, Secrets::make()?);
    let addresses = ["127.0.0.2", "127.0.0.3"];
    let mut proxies = vec![];
    let mut config = forwarding(&dns, &sink)?.with("egress.yaml", &secrets.yaml()?);
    for (name, address) in ["one", "two"].into_iter().zip(addresses) {
        let proxy = secrets.proxy(address, &sink)?;
        config = config.with(&format!("{name}.yaml"), &outbound_ip(name, address, &proxy));
        proxies.push(proxy);
    }
    let server = Server::start(&config)?;
    send(&server)?;
    let first = sink.wait_for(1)?.remove(0);
    let at = addresses
        .iter()
        .position(|address| address.parse() == Ok(first.client));
    let at = at.with_context(|| format!("mail came from {}", first.client))?;
    // The name of the address goes with it.
    let names = ["EHLO one.example.test", "EHLO two.example.test"];
    assert_eq!(first.hello, names[at]);
    let answered = "mailpods_egress_connections_total{outcome=\"succeeded\"}";
    assert!(metric(&proxies[at], answered)?.parse::<u64>()? > 0);
    assert_eq!(
        metric(&proxies[at], "mailpods_egress_addresses{state=\"plumbed\"}")?,
        "1"
    );
    proxies[at].kill()?;
    send(&server)?;
    let taken = sink.wait_for(2)?;
    let other: IpAddr = addresses[1 - at].parse()?;
    assert_eq!((taken[1].client, &*taken[1].hello), (other, names[1 - at]));
    until_queue_is_empty(server.data())?;
    assert_eq!(sink.taken().len(), 2, "each message arrives once");
    Ok(())
}

#[test]
fn mail_waits_for_the_only_proxy_and_leaves_when_it_is_back() -> Result<()> {
    let (dns, sink, secrets) = (Dns::start()?, Sink::start()?, Secrets::make()?);
    let mut proxy = secrets.proxy("127.0.0.2", &sink)?;
    let place = proxy.address("egress").to_string();
    let config = forwarding(&dns, &sink)?
        .with("egress.yaml", &secrets.yaml()?)
        .with("one.yaml", &outbound_ip("one", "127.0.0.2", &proxy));
    let server = Server::start(&config)?;
    send(&server)?;
    sink.wait_for(1)?;
    proxy.kill()?;
    send(&server)?;
    let data = server.data().display().to_string();
    eventually("the reason in the queue", || {
        let list = tool_ok(&["--data", &data, "queue", "list", "--output", "json"])?;
        Ok(list.contains("egress proxy at localhost").then_some(()))
    })?;
    let mut command = Command::new(binary()?);
    let port = sink.address().port().to_string();
    let mut listen = secrets.listen();
    listen[1] = place;
    command
        .args([
            "egress-proxy",
            "--output",
            "json",
            "--health",
            "127.0.0.1:0",
        ])
        .args(listen)
        .args(["--address", "127.0.0.2", "--port", &port]);
    let mut again = Pod::of(command, Role::Egress, "again")?;
    again.wait_ready()?;
    let taken = sink.wait_for(2)?;
    assert_eq!(taken[1].client.to_string(), "127.0.0.2");
    until_queue_is_empty(server.data())?;
    assert_eq!(sink.taken().len(), 2);
    again.terminate()?;
    again.wait_end()
}

/// Puts the OutboundIP `one` into the slices of a cluster, as an operator writes it for its own proxies.
fn with_own_proxies(operator: &Operator, config: &Config, address: &str) -> Result<()> {
    let ip = format!(
        "{{\"name\":\"one\",\"address\":\"{address}\",\"hostname\":\"one.example.test\",\"sending\":true,\"pool\":\"default\",\"weight\":1,\"warmUp\":null,\"egress\":{{}}}}"
    );
    operator.change_edited(config, &|entries| {
        entries.insert("outbound-ip/one".to_owned(), ip.clone());
    })
}

#[test]
fn pods_of_a_cluster_find_the_node_that_has_the_address() -> Result<()> {
    let (dns, sink, secrets) = (Dns::start()?, Sink::start()?, Secrets::make()?);
    let config = forwarding(&dns, &sink)?;
    let mut cluster = Cluster::start(&config)?;
    with_own_proxies(&cluster.operator, &config, "127.0.0.4")?;
    let start = |name: &str| {
        let mut arguments = secrets.listen().to_vec();
        arguments.extend(["--drain-delay".to_owned(), "0".to_owned()]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Pod::start(&cluster.operator, Role::Egress, name, &arguments)
    };
    let (mut one, two) = (start("egress-1")?, start("egress-2")?);
    for pod in [&one, &two] {
        let seen = |seen: &mailpods_rpc::control::Observations| seen.plumbed == ["127.0.0.4"];
        cluster.operator.wait_for(pod.name(), seen)?;
        assert_eq!(pod.http("/readyz")?.0, 200);
    }
    let places = [&one, &two].map(|pod| format!("localhost:{}", pod.address("egress").port()));
    let arguments = [
        ("--egress", places.join(",")),
        ("--egress-ca", secrets.file("tls.crt")),
        ("--egress-token", secrets.file("token")),
    ];
    let arguments = arguments
        .into_iter()
        .flat_map(|(option, value)| [option.to_owned(), value]);
    cluster.restart(Role::Delivery, &arguments.collect::<Vec<_>>())?;
    assert_eq!(cluster.send("dave@example.test")?.code, 250);
    assert_eq!(sink.wait_for(1)?[0].client.to_string(), "127.0.0.4");
    // The node that had the connection dies; the address is on the other one too.
    one.kill()?;
    // The operator is not needed for that.
    cluster.operator.pause();
    for count in 2..=3 {
        assert_eq!(cluster.send("dave@example.test")?.code, 250);
        assert_eq!(
            sink.wait_for(count)?[count - 1].client.to_string(),
            "127.0.0.4"
        );
    }
    let answered = "mailpods_egress_connections_total{outcome=\"succeeded\"}";
    assert!(metric(&two, answered)?.parse::<u64>()? > 0);
    Ok(())
}

#[test]
fn an_egress_pod_comes_back_with_its_plan_while_the_operator_is_away() -> Result<()> {
    let secrets = Secrets::make()?;
    let config = Config::standard("");
    let mut operator = Operator::start(&config)?;
    with_own_proxies(&operator, &config, "127.0.0.5")?;
    let kept = TempDir::new()?;
    let mut arguments = secrets.listen().to_vec();
    arguments.extend(["--keep-plan".to_owned(), kept.path().display().to_string()]);
    arguments.extend(["--log".to_owned(), "info,mailpods_pod=debug".to_owned()]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut pod = Pod::start(&operator, Role::Egress, "egress-1", &arguments)?;
    let etag = operator.etag(Role::Egress)?;
    let seen = operator.wait_for("egress-1", |seen| seen.plumbed == ["127.0.0.5"])?;
    assert_eq!((seen.plan, seen.store_reachable), (Some(etag), None));
    eventually("the plan to be kept", || {
        let kept = pod.log().contains("the plan is kept");
        Ok(kept.then_some(()))
    })?;
    operator.pause();
    pod.kill()?;
    let again = Pod::start(&operator, Role::Egress, "egress-1", &arguments)?;
    assert_eq!(again.http("/readyz")?.0, 200);
    eventually("the address", || {
        let plumbed = metric(&again, "mailpods_egress_addresses{state=\"plumbed\"}")?;
        Ok((plumbed == "1").then_some(()))
    })
}
