//! What is wrong with the certificate of a configuration, before anything serves it.

use std::time::SystemTime;

use mailpods_net::tls::{MinimumVersion, ServerIdentity};
use mailpods_plan::{Plan, Problem, Protocol, Resources, TlsMaterial};
use mailpods_telemetry::error_chain;

const FIELD: &str = "spec.tls.secretRef";

/// What was found.
#[derive(Default)]
pub struct Found {
    /// The server cannot use it.
    pub problems: Vec<Problem>,
    /// The server can, its clients will not.
    pub warnings: Vec<Problem>,
}

/// Looks at the certificate that the MailCluster names, if it names one.
pub fn examine(plan: &Plan, resources: &Resources, now: SystemTime) -> Found {
    let mut found = Found::default();
    let (Some(given), Some(cluster)) = (&plan.tls.certificate, resources.clusters.first()) else {
        return found;
    };
    let problem = |text: String| cluster.origin.problem(FIELD, text);
    let identity = match identity(given) {
        Ok(identity) => identity,
        Err(error) => {
            found.problems.push(problem(error));
            return found;
        }
    };
    if !identity.is_for(plan.hostname.as_str()) {
        let text = format!("the certificate is not for {}", plan.hostname);
        let hint = "mail programs and other servers will not trust it; it needs that name among its subject alternative names";
        found.warnings.push(problem(text).hint(hint));
    }
    for host in policy_hosts(plan).filter(|host| !identity.is_for(host)) {
        let text = format!("the certificate is not for {host}");
        let hint = "other servers will not take the MTA-STS policy that is served there; it needs that name among its subject alternative names";
        found.warnings.push(problem(text).hint(hint));
    }
    if identity.not_after().is_some_and(|end| end < now) {
        let text = "the certificate has expired".to_owned();
        found.warnings.push(problem(text).hint("renew it"));
    }
    found
}

/// Where MTA-STS policies are served, when this server does it itself.
fn policy_hosts(plan: &Plan) -> impl Iterator<Item = String> {
    let mut listeners = plan.listeners.iter();
    let served = listeners.any(|listener| listener.protocol == Protocol::Https);
    let domains = plan.domains.values().filter(move |_| served);
    let with_policy = domains.filter(|domain| domain.mta_sts.is_some());
    let names =
        with_policy.flat_map(|domain| std::iter::once(&domain.name).chain(&domain.alias_names));
    names.map(|name| format!("mta-sts.{name}"))
}

fn identity(given: &TlsMaterial) -> Result<ServerIdentity, String> {
    let (chain, key) = (given.chain.as_bytes(), given.key.reveal().as_bytes());
    ServerIdentity::from_pem(chain, key, MinimumVersion::default()).map_err(|e| error_chain(&e))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mailpods_net::tls::{Pem, self_signed};
    use mailpods_plan::Source;

    use super::*;

    const CLUSTER: &str = "\
apiVersion: mailpods.dev/v1alpha1
kind: MailCluster
metadata: {name: main}
spec:
  hostname: mail.example.test
  tls: {secretRef: {name: web}}
---
apiVersion: mailpods.dev/v1alpha1
kind: MailDomain
metadata: {name: test}
spec: {domain: example.test}
";

    fn certificate(name: &str) -> Pem {
        self_signed(&[name.to_owned()], SystemTime::now(), 90).unwrap()
    }

    /// Problems and warnings, as they are told.
    fn found(chain: &str, key: &str, later: Duration) -> (Vec<String>, Vec<String>) {
        let source = |path: &str, text: &str| Source {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let sources = [
            source("c.yaml", CLUSTER),
            source("secrets/web/tls.crt", chain),
            source("secrets/web/tls.key", key),
        ];
        let mut warnings = Vec::new();
        let (_, problems) = mailpods_plan::check_with(&sources, |plan, resources| {
            let found = examine(plan, resources, SystemTime::now() + later);
            warnings = found.warnings;
            found.problems
        });
        let told = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect();
        (told(problems), told(warnings))
    }

    #[test]
    fn what_the_server_or_its_clients_would_refuse_is_told() {
        let now = Duration::ZERO;
        let good = certificate("mail.example.test");
        let nothing = (Vec::new(), Vec::new());
        assert_eq!(found(&good.chain, &good.key, now), nothing);

        let other = certificate("other.test");
        let (problems, warnings) = found(&good.chain, &other.key, now);
        assert_eq!(
            problems,
            [
                "c.yaml:6:9: MailCluster/main: spec.tls.secretRef: the private key does not belong to the certificate (the server's own comes first in the chain)"
            ]
        );
        assert!(warnings.is_empty());

        let (problems, warnings) = found(&other.chain, &other.key, now);
        assert!(
            problems.is_empty()
                && warnings[0].contains("the certificate is not for mail.example.test"),
            "{warnings:?}"
        );
        let late = Duration::from_secs(91 * 86_400);
        let (problems, warnings) = found(&good.chain, &good.key, late);
        assert!(
            problems.is_empty() && warnings[0].contains("has expired"),
            "{warnings:?}"
        );
    }
}
