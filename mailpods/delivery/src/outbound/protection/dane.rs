//! TLSA records of an exchanger whose name DNSSEC vouches for (RFC 7672 §2.2).

use mailpods_net::dns::Resolver;
use mailpods_policy::outbound::tls::Dane;
use mailpods_policy::outbound::tls::tlsa::usable;

/// What DANE says of `host`, and the name that its records stand at.
pub(super) async fn look_up(resolver: &dyn Resolver, host: &str, port: u16) -> (Dane, String) {
    let addresses = match resolver.validated_addresses(host).await {
        Ok(addresses) => addresses,
        Err(error) => return (Dane::Failed(error.to_string()), host.to_owned()),
    };
    // RFC 7672 §2.2.2: no look-up of TLSA in a zone that is not signed; some servers there do not answer it at all.
    if !addresses.secure {
        return (Dane::Absent, host.to_owned());
    }
    // RFC 7672 §2.2.3: the name that an alias leads to comes first.
    let names = addresses.canonical.into_iter().chain([host.to_owned()]);
    for name in names {
        match resolver
            .validated_tlsa(&format!("_{port}._tcp.{name}"))
            .await
        {
            Ok(answer) if answer.secure && !answer.records.is_empty() => {
                let records = usable(&answer.records);
                return match records.is_empty() {
                    true => (Dane::Unusable, name),
                    false => (Dane::Usable(records), name),
                };
            }
            Ok(_) => {}
            Err(error) => return (Dane::Failed(error.to_string()), name),
        }
    }
    (Dane::Absent, host.to_owned())
}
