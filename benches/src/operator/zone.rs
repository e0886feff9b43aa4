//! DNS as it should be for every domain of the bench, so that records are seen as they are wanted.

use super::world::{SELECTOR, World};
use crate::dns::{Found, name, text};

const CNAME: u16 = 5;
const MX: u16 = 15;
const TXT: u16 = 16;
const SRV: u16 = 33;

const HOST: &str = "mail.bench.test";

/// What is said of a name and a type.
pub fn find(world: &World, asked: &str, kind: u16) -> Found {
    let Some((label, domain)) = split(asked) else {
        return Found::NoName;
    };
    let own = match label {
        "" if kind == TXT => Some((TXT, text("v=spf1 a mx ~all"))),
        "" => Some((MX, [&10_u16.to_be_bytes()[..], &name(HOST)].concat())),
        "_dmarc" => Some((TXT, text("v=DMARC1; p=quarantine; pct=100;"))),
        "_smtp._tls" => {
            let record = format!("v=TLSRPTv1; rua=mailto:postmaster@{domain}");
            Some((TXT, text(&record)))
        }
        "autoconfig" => Some((CNAME, name(HOST))),
        "_submission._tcp" => Some((SRV, service(587))),
        "_submissions._tcp" => Some((SRV, service(465))),
        "_imap._tcp" => Some((SRV, service(143))),
        "_imaps._tcp" => Some((SRV, service(993))),
        // RFC 6186 §3.4: a target of "." says that the service is not offered.
        "_pop3._tcp" | "_pop3s._tcp" => Some((SRV, vec![0, 0, 0, 0, 0, 0, 0])),
        key if key.strip_suffix("._domainkey") == Some(SELECTOR) => {
            Some((TXT, text(&world.dkim_record)))
        }
        _ => None,
    };
    match own {
        Some((own, data)) if own == kind => Found::Data(data),
        Some(_) => Found::NoData,
        None => Found::NoName,
    }
}

/// What stands before `dN.bench.test`, and that.
fn split(asked: &str) -> Option<(&str, &str)> {
    let rest = asked.strip_suffix(".bench.test")?;
    let start = rest.rfind('.').map_or(0, |dot| dot + 1);
    let domain = asked.get(start..)?;
    let label = rest.get(..start.saturating_sub(1))?;
    Some((label, domain))
}

/// RFC 2782: priority 0, weight 1.
fn service(port: u16) -> Vec<u8> {
    [&[0, 0, 0, 1], &port.to_be_bytes()[..], &name(HOST)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_at_their_domain() {
        assert_eq!(split("d7.bench.test"), Some(("", "d7.bench.test")));
        assert_eq!(
            split("_smtp._tls.d7.bench.test"),
            Some(("_smtp._tls", "d7.bench.test"))
        );
        assert_eq!(split("d7.other.test"), None);
    }
}
