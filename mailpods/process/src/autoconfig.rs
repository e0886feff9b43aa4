//! What mail programs ask for to set themselves up: `config-v1.1.xml`, Mozilla's autoconfig format.
//!
//! It says the same for every address of a domain, so that nobody learns which ones are there.

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use mailpods_api::{DomainName, MailboxAddress};
use mailpods_plan::{Plan, PlanHandle, Protocol, Transport};

use crate::mta_sts;

/// Below `autoconfig.DOMAIN`, and below the domain itself.
pub(crate) const PATHS: [&str; 2] = [
    "/mail/config-v1.1.xml",
    "/.well-known/autoconfig/mail/config-v1.1.xml",
];
/// The longest address of RFC 5321 §4.5.3.1, each octet escaped.
const MAX_QUERY: usize = 2_048;

/// Services in the order of preference: TLS from the start is better (RFC 8314 §3).
const SERVICES: [(Protocol, &str, &str, &str); 6] = [
    (Protocol::Imaps, "incomingServer", "imap", "SSL"),
    (Protocol::Imap, "incomingServer", "imap", "STARTTLS"),
    (Protocol::Pop3s, "incomingServer", "pop3", "SSL"),
    (Protocol::Pop3, "incomingServer", "pop3", "STARTTLS"),
    (Protocol::Submissions, "outgoingServer", "smtp", "SSL"),
    (Protocol::Submission, "outgoingServer", "smtp", "STARTTLS"),
];

/// The routes, by the current plan.
pub fn router(plan: PlanHandle) -> Router {
    PATHS
        .iter()
        .fold(Router::new(), |router, path| {
            router.route(path, get(answer))
        })
        .route(mta_sts::PATH, get(policy))
        .with_state(plan)
}

/// For those whose own web server has the certificate of `mta-sts.DOMAIN`.
async fn policy(State(plan): State<PlanHandle>, headers: HeaderMap) -> Response {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    match host.and_then(|host| mta_sts::document(&plan.current(), host)) {
        Some(policy) => (
            [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
            policy,
        )
            .into_response(),
        None => (StatusCode::NOT_FOUND, "no policy of that domain here\n").into_response(),
    }
}

async fn answer(
    State(plan): State<PlanHandle>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    match document(&plan.current(), query.as_deref().unwrap_or_default(), host) {
        Some(document) => (
            [(header::CONTENT_TYPE, "application/xml; charset=utf-8")],
            document,
        )
            .into_response(),
        None => (StatusCode::NOT_FOUND, "no mailboxes of that domain here\n").into_response(),
    }
}

/// The document for the domain of the address asked for, or else for the name of the host that was asked.
pub(crate) fn document(plan: &Plan, query: &str, host: Option<&str>) -> Option<String> {
    let name = of_query(query).or_else(|| of_host(host?))?;
    let domain = plan.domain(&name)?;
    if !matches!(domain.transport, Transport::Mailboxes) {
        return None;
    }
    let servers: String = SERVICES
        .iter()
        .filter_map(|service| server(plan, *service))
        .collect();
    if servers.is_empty() {
        return None;
    }
    Some(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<clientConfig version=\"1.1\">\n  <emailProvider id=\"{domain}\">\n    \
         <domain>{name}</domain>\n    <displayName>{domain}</displayName>\n    <displayShortName>{domain}</displayShortName>\n\
         {servers}  </emailProvider>\n</clientConfig>\n",
        domain = domain.name.as_str(),
        name = name.as_str(),
    ))
}

fn server(
    plan: &Plan,
    (protocol, element, kind, socket): (Protocol, &str, &str, &str),
) -> Option<String> {
    let mut listeners = plan.listeners.iter();
    let listener = listeners.find(|listener| listener.protocol == protocol)?;
    let fields = [
        ("hostname", plan.hostname.as_str()),
        ("port", &listener.address.port().to_string()),
        ("socketType", socket),
        ("username", "%EMAILADDRESS%"),
        ("authentication", "password-cleartext"),
    ];
    let fields: String = fields
        .iter()
        .map(|(name, value)| format!("      <{name}>{value}</{name}>\n"))
        .collect();
    Some(format!(
        "    <{element} type=\"{kind}\">\n{fields}    </{element}>\n"
    ))
}

fn of_query(query: &str) -> Option<DomainName> {
    if query.len() > MAX_QUERY {
        return None;
    }
    let mut fields = query.split('&').filter_map(|field| field.split_once('='));
    let (_, value) = fields.find(|(name, _)| *name == "emailaddress")?;
    let address = MailboxAddress::parse(&unescaped(value)?).ok()?;
    Some(address.domain().clone())
}

/// RFC 3986 §2.1.
fn unescaped(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(octets).ok()
}

fn of_host(host: &str) -> Option<DomainName> {
    let name = host_name(host);
    DomainName::parse(name.strip_prefix("autoconfig.").unwrap_or(&name)).ok()
}

/// What a Host field names, without its port, in lower case.
pub(crate) fn host_name(host: &str) -> String {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name.to_ascii_lowercase()
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
spec: {domain: example.test, domainAliases: [alias.test]}
---
apiVersion: mailpods.dev/v1alpha1
kind: MailDomain
metadata: {name: far}
spec: {domain: far.test, transport: {relay: {host: x.test}}}
";

    fn plan() -> Plan {
        let source = Source {
            path: "a.yaml".to_owned(),
            text: FOLDER.to_owned(),
        };
        let (plan, problems) = mailpods_plan::check(&[source]);
        plan.unwrap_or_else(|| panic!("{problems:?}"))
    }

    #[test]
    fn servers_are_told_by_address_or_host_and_no_address_is_looked_up() {
        let plan = plan();
        let one = document(&plan, "emailaddress=a%40example.test", None).unwrap();
        for wanted in [
            "<emailProvider id=\"example.test\">",
            "<incomingServer type=\"imap\">\n      <hostname>mail.example.test</hostname>\n      <port>993</port>\n      <socketType>SSL</socketType>",
            "<port>143</port>\n      <socketType>STARTTLS</socketType>",
            "<outgoingServer type=\"smtp\">\n      <hostname>mail.example.test</hostname>\n      <port>465</port>",
            "<username>%EMAILADDRESS%</username>",
        ] {
            assert!(one.contains(wanted), "{wanted} is not in\n{one}");
        }
        for (query, host) in [
            (
                "x=y&emailaddress=nobody@example.test",
                Some("autoconfig.other.test"),
            ),
            ("", Some("autoconfig.example.test:8080")),
            ("", Some("Example.test")),
        ] {
            assert_eq!(
                document(&plan, query, host).as_ref(),
                Some(&one),
                "{query} {host:?}"
            );
        }
        let alias = document(&plan, "emailaddress=a@alias.test", None).unwrap();
        assert!(alias.contains("<domain>alias.test</domain>"), "{alias}");
    }

    #[test]
    fn pop3_is_told_where_it_is_served() {
        let mut plan = plan();
        let text = |plan: &Plan| document(plan, "emailaddress=a@example.test", None).unwrap();
        assert!(!text(&plan).contains("pop3"));
        let imaps = plan.listeners.iter();
        let mut pop3s = imaps
            .filter(|listener| listener.protocol == Protocol::Imaps)
            .cloned()
            .collect::<Vec<_>>();
        for listener in &mut pop3s {
            listener.protocol = Protocol::Pop3s;
            listener.address.set_port(995);
        }
        plan.listeners.extend(pop3s);
        let wanted = "<incomingServer type=\"pop3\">\n      <hostname>mail.example.test</hostname>\n      <port>995</port>\n      \
                      <socketType>SSL</socketType>";
        assert!(text(&plan).contains(wanted), "{}", text(&plan));
    }

    #[test]
    fn what_is_not_ours_has_no_document() {
        let plan = plan();
        let long = format!("emailaddress={}@example.test", "a".repeat(MAX_QUERY));
        for query in [
            "emailaddress=a@other.test",
            "emailaddress=a@far.test",
            "emailaddress=%",
            "emailaddress=%zz@example.test",
            "emailaddress=<x>",
            "",
            &long,
        ] {
            assert_eq!(document(&plan, query, None), None, "{query}");
        }
        assert_eq!(document(&plan, "", Some("127.0.0.1:9090")), None);
    }
}
