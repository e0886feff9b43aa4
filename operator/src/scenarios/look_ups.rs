//! Records looked up at real DNS servers on loopback, and what their MailDomain is told.

use std::time::Duration;

use tokio::sync::mpsc;

use super::dns::{Manner, Servers, Setup, Zone};
use super::*;

/// Longest wait for an answer.
const LIMIT: Duration = Duration::from_secs(30);

/// A zone on one server, and an operator that asks it.
pub(super) struct Sight {
    pub server: Server,
    servers: Servers,
    wishes: mpsc::UnboundedReceiver<(Kind, Arc<Key>)>,
}

impl Sight {
    pub async fn start(zone: Zone) -> Self {
        let setup = Setup {
            manner: Manner::Serves,
            zones: vec![zone],
        };
        let servers = Servers::start(vec![setup]).await;
        let server = Server::asking(vec![servers.address(0)], "");
        let (sender, wishes) = mpsc::unbounded_channel();
        server.context.world.tell(sender);
        let look_ups = server.context.look_ups.clone();
        tokio::spawn(look_ups.run(server.context.world.clone()));
        Self {
            server,
            servers,
            wishes,
        }
    }

    pub fn shows(&self, zone: Zone) {
        self.servers.change(0, vec![zone]);
    }

    /// Reconciles, has the records looked up anew, and reconciles with what was found.
    pub async fn look(&mut self, key: &Key, name: &str) {
        let name = name.parse().unwrap();
        let context = &self.server.context;
        context.look_ups.forget(&name);
        while self.wishes.try_recv().is_ok() {}
        domain::reconcile(context, key).await.unwrap();
        let told = async {
            while context.look_ups.found(&name).is_none() {
                self.wishes.recv().await.unwrap();
            }
        };
        tokio::time::timeout(LIMIT, told).await.unwrap();
        self.server.taken();
        domain::reconcile(&self.server.context, key).await.unwrap();
    }

    /// The status that was written last.
    pub fn status(&self, asked: &[Asked]) -> Value {
        let status = asked.iter().rfind(|asked| asked.path.ends_with("/status"));
        status.unwrap().body["status"].clone()
    }
}

pub(super) fn zone() -> Zone {
    Zone::new("example.test", &["ns1.example.test"])
        .mx("example.test", 10, "mail.example.test")
        .txt("_dmarc.example.test", "v=DMARC1; p=quarantine; pct=100;")
        .txt(
            "_smtp._tls.example.test",
            "v=TLSRPTv1; rua=mailto:postmaster@example.test",
        )
        .cname("autoconfig.example.test", "mail.example.test")
}

fn condition(status: &Value, kind: &str) -> (String, String) {
    let conditions = status["conditions"].as_array().unwrap();
    let found = conditions.iter().find(|c| c["type"] == kind).unwrap();
    let text = |field: &str| found[field].as_str().unwrap().to_owned();
    (text("reason"), text("message"))
}

#[tokio::test]
async fn what_dns_shows_becomes_status_and_includes_are_counted() {
    let record = "v=spf1 mx include:a.example.test ~all";
    let mut sight = Sight::start(zone()).await;
    let context = &sight.server.context;
    let spec = json!({"hostname": "mail.example.test", "dkim": {"keys": []}});
    add_cluster(context, spec);
    let dns = json!({"spf": record});
    let key = add_domain(
        context,
        "example",
        json!({"domain": "example.test", "dns": dns}),
    );
    context.world.compile_now().await;
    sight.look(&key, "example.test").await;
    let status = sight.status(&sight.server.taken().1);
    let (reason, message) = condition(&status, "DNSReady");
    assert_eq!(reason, "NotPublished");
    assert!(
        message.contains("TXT example.test is not published"),
        "{message}"
    );
    assert_eq!(status["spfLookups"], 2);
    let records = status["records"].as_array().unwrap();
    let mx = records
        .iter()
        .find(|record| record["type"] == "MX")
        .unwrap();
    assert_eq!(
        (&mx["seen"], &mx["servers"]),
        (&json!("10 mail.example.test"), &json!("1/1"))
    );
    let including = zone()
        .txt("example.test", record)
        .txt("a.example.test", "v=spf1 a mx include:b.example.test -all");
    let full = including.txt(
        "b.example.test",
        "v=spf1 a:1.test a:2.test a:3.test a:4.test a:5.test a:6.test -all",
    );
    sight.shows(full);
    sight.look(&key, "example.test").await;
    let status = sight.status(&sight.server.taken().1);
    assert_eq!(status["spfLookups"], 11);
    let (reason, message) = condition(&status, "DNSReady");
    assert!(
        message.contains("SPF of example.test takes 11 DNS look-ups, of which receivers make 10: 2 of its own, a.example.test 9"),
        "{reason}: {message}"
    );
    sight
        .server
        .context
        .look_ups
        .forget(&"example.test".parse().unwrap());
    assert!(
        sight
            .server
            .context
            .look_ups
            .found(&"example.test".parse().unwrap())
            .is_none()
    );
}
