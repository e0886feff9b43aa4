//! Asks for what is published.
use mailpods_net::dns::{DnsError, Family, HickoryResolver, Resolver as _};
use mailpods_plan::dns::{Answer, Lookup, RecordType};

/// The answer to one question, in the form that records are compared in.
pub async fn ask(resolver: &HickoryResolver, name: String, kind: RecordType) -> Lookup {
    let answer = match records(resolver, &name, kind).await {
        Ok(records) => Answer::Records(records),
        Err(error) if error.is_negative() => Answer::Records(Vec::new()),
        Err(error) => Answer::Failed(error.to_string()),
    };
    Lookup { name, kind, answer }
}

async fn records(
    resolver: &HickoryResolver,
    name: &str,
    kind: RecordType,
) -> Result<Vec<String>, DnsError> {
    Ok(match kind {
        RecordType::A => texts(resolver.addresses(name, Family::V4).await?),
        RecordType::Aaaa => texts(resolver.addresses(name, Family::V6).await?),
        RecordType::Mx => {
            let records = resolver.mx(name).await?;
            records
                .iter()
                .map(|mx| format!("{} {}", mx.preference, or_root(&mx.exchange)))
                .collect()
        }
        RecordType::Srv => {
            let records = resolver.srv(name).await?;
            let text = |srv: &mailpods_net::dns::Srv| {
                format!(
                    "{} {} {} {}",
                    srv.priority,
                    srv.weight,
                    srv.port,
                    or_root(&srv.target)
                )
            };
            records.iter().map(text).collect()
        }
        RecordType::Txt => {
            let records = resolver.txt(name).await?;
            records
                .iter()
                .map(|text| String::from_utf8_lossy(text).into_owned())
                .collect()
        }
        // The first step alone is what stands at the name.
        RecordType::Cname => resolver
            .cname_chain(name)
            .await?
            .into_iter()
            .take(1)
            .collect(),
        RecordType::Ptr => match reversed(name) {
            Some(address) => resolver.ptr(address).await?,
            None => return Err(DnsError::Malformed(name.to_owned())),
        },
    })
}

fn texts<T: ToString>(values: Vec<T>) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

fn or_root(name: &str) -> &str {
    if name.is_empty() { "." } else { name }
}

/// The address of a name below in-addr.arpa or ip6.arpa.
fn reversed(name: &str) -> Option<std::net::IpAddr> {
    if let Some(labels) = name.strip_suffix(".in-addr.arpa") {
        let octets: Vec<&str> = labels.split('.').rev().collect();
        return octets
            .join(".")
            .parse::<std::net::Ipv4Addr>()
            .ok()
            .map(Into::into);
    }
    let nibbles: Vec<&str> = name.strip_suffix(".ip6.arpa")?.split('.').rev().collect();
    if nibbles.len() != 32 {
        return None;
    }
    let number = u128::from_str_radix(&nibbles.concat(), 16).ok()?;
    Some(std::net::Ipv6Addr::from(number).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reverse_names_lead_back_to_addresses() {
        for address in ["192.0.2.1", "2001:db8::1", "fe80::"] {
            let address: std::net::IpAddr = address.parse().unwrap();
            assert_eq!(
                reversed(&mailpods_net::dns::reverse_name(address)),
                Some(address)
            );
        }
        assert_eq!(reversed("example.org"), None);
        assert_eq!(reversed("1.2.ip6.arpa"), None);
    }
}
