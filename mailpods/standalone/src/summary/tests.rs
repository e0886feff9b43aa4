use super::*;

const FOLDER: &str = "\
apiVersion: mailpods.dev/v1alpha1
kind: MailCluster
metadata: {name: main}
spec: {hostname: mail.example.test}
---
apiVersion: mailpods.dev/v1alpha1
kind: MailDomain
metadata: {name: test}
spec: {domain: example.test}
---
apiVersion: mailpods.dev/v1alpha1
kind: Mailbox
metadata: {name: ann}
spec: {address: ann@example.test, quota: {size: 5Gi}}
---
apiVersion: mailpods.dev/v1alpha1
kind: OutboundIP
metadata: {name: one}
spec: {address: 192.0.2.7, hostname: out1.example.test, role: Standby}
";

#[test]
fn commands_to_try_name_addresses_that_a_client_can_use() {
    let source = mailpods_plan::Source {
        path: "a.yaml".to_owned(),
        text: FOLDER.to_owned(),
    };
    let (plan, problems) = mailpods_plan::check(&[source]);
    let plan = plan.unwrap_or_else(|| panic!("{problems:?}"));
    let bound: Vec<Bound> = plan
        .listeners
        .iter()
        .map(|wanted| Bound {
            name: wanted.name.clone(),
            protocol: wanted.protocol,
            address: wanted.address,
        })
        .collect();
    let summary = Summary {
        plan: &plan,
        bound: &bound,
        zone: "",
        config: Path::new("config"),
        data: Path::new("data"),
    };
    let text = summary.text();
    for wanted in [
        "ann@example.test  5Gi",
        "one   192.0.2.7  out1.example.test  default  standby",
        "swaks --server 127.0.0.1 --port 587 ",
        "'imaps://127.0.0.1:993/INBOX;MAILINDEX=1'",
        "mutt -f imaps://ann%40example.test@127.0.0.1:993/INBOX",
        "mail.example.test needs an A or AAAA record",
        "lead /mail/config-v1.1.xml to 127.0.0.1:9090 here",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in\n{text}");
    }
}

#[test]
fn quantities_are_written_as_in_yaml() {
    let written = [5 << 30, 1536 << 20, 1 << 40, 1000, 0].map(quantity);
    assert_eq!(written, ["5Gi", "1536Mi", "1Ti", "1000", "0"]);
}
