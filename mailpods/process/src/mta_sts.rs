//! The MTA-STS policies of our domains (RFC 8461 §3.3), by the name of the host that is asked.

use mailpods_api::DomainName;
use mailpods_plan::Plan;

use crate::autoconfig::host_name;

/// Where senders look.
pub(crate) const PATH: &str = "/.well-known/mta-sts.txt";

/// The policy of the domain whose `mta-sts` host is asked.
pub(crate) fn document(plan: &Plan, host: &str) -> Option<String> {
    let name = host_name(host);
    let domain = DomainName::parse(name.strip_prefix("mta-sts.")?).ok()?;
    let policy = plan.domain(&domain)?.mta_sts.as_ref()?;
    Some(policy.document())
}

#[cfg(test)]
mod tests {
    use mailpods_plan::Source;

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
spec: {domain: example.test, domainAliases: [alias.test], dns: {mtaSTS: enforce}}
---
apiVersion: mailpods.dev/v1alpha1
kind: MailDomain
metadata: {name: other}
spec: {domain: other.test}
";

    #[test]
    fn each_domain_with_a_policy_has_it_at_its_own_host() {
        let source = Source {
            path: "a.yaml".to_owned(),
            text: FOLDER.to_owned(),
        };
        let (plan, problems) = mailpods_plan::check(&[source]);
        let plan = plan.unwrap_or_else(|| panic!("{problems:?}"));
        let policy =
            "version: STSv1\r\nmode: enforce\r\nmx: mail.example.test\r\nmax_age: 1209600\r\n";
        for host in [
            "mta-sts.example.test",
            "MTA-STS.example.test:443",
            "mta-sts.alias.test",
        ] {
            assert_eq!(document(&plan, host).as_deref(), Some(policy), "{host}");
        }
        for host in [
            "mta-sts.other.test",
            "example.test",
            "mta-sts.nobody.test",
            "mta-sts.",
            "",
        ] {
            assert_eq!(document(&plan, host), None, "{host}");
        }
    }
}
