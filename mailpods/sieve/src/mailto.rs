//! Addresses in scripts, and `mailto:` URIs (RFC 6068).

use mailpods_message::header::parse_addresses;

/// Most addresses of one notification.
const MAX_TO: usize = 10;
/// Longest address (RFC 5321 §4.5.3.1.3).
const MAX_ADDRESS: usize = 254;

/// The one address in `text`, as `local@domain`.
pub(crate) fn address(text: &str) -> Option<String> {
    let list = parse_addresses(text.as_bytes());
    let mut found = list.addresses();
    let (only, more) = (found.next()?, found.next());
    let (local, host) = (only.mailbox.as_deref()?, only.host.as_deref()?);
    if list.malformed || more.is_some() || local.is_empty() || host.is_empty() {
        return None;
    }
    let address = String::from_utf8(only.addr_spec()?).ok()?;
    // Spaces that the lenient reader took out of an address were not meant to be there.
    let written = text.contains(&address) || text.contains('"');
    let plain = written && !address.contains(|c: char| c.is_control() || c.is_whitespace());
    (plain && address.len() <= MAX_ADDRESS).then_some(address)
}

/// A `mailto:` URI.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mailto {
    pub(crate) to: Vec<String>,
    pub(crate) subject: Option<String>,
    pub(crate) body: Option<String>,
    /// Other header fields that a notification may carry.
    pub(crate) headers: Vec<(String, String)>,
}

/// Reads a URI; `Err` says what is wrong, for people.
pub(crate) fn parse(uri: &str) -> Result<Mailto, String> {
    let shown: String = uri.chars().take(60).filter(|c| !c.is_control()).collect();
    let wrong = |why: &str| format!("the method \"{shown}\" {why}");
    let (scheme, rest) = uri.split_once(':').ok_or_else(|| wrong("is no URI"))?;
    if !scheme.eq_ignore_ascii_case("mailto") {
        return Err(wrong("is not supported"));
    }
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut mailto = Mailto::default();
    add_addresses(&mut mailto, path).ok_or_else(|| wrong("has a wrong address"))?;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (percent(name), percent(value));
        let (Some(name), Some(value)) = (name, value) else {
            return Err(wrong("has a wrong escape"));
        };
        add_header(&mut mailto, &name, value).ok_or_else(|| wrong("has a wrong address"))?;
    }
    if mailto.to.is_empty() || mailto.to.len() > MAX_TO {
        return Err(wrong("has not 1 to 10 addresses"));
    }
    Ok(mailto)
}

fn add_addresses(mailto: &mut Mailto, list: &str) -> Option<()> {
    for one in list.split(',').filter(|one| !one.is_empty()) {
        mailto.to.push(address(&percent(one)?)?);
    }
    Some(())
}

/// RFC 5436 §2.3: fields that tell who sent it, and how it travelled, are not taken from the URI.
fn add_header(mailto: &mut Mailto, name: &str, value: String) -> Option<()> {
    const NEVER: [&str; 12] = [
        "from",
        "sender",
        "date",
        "message-id",
        "received",
        "auto-submitted",
        "return-path",
        "bcc",
        "resent-from",
        "delivered-to",
        "mime-version",
        "reply-to",
    ];
    match name.to_ascii_lowercase().as_str() {
        "to" | "cc" => {
            for one in value.split(',').filter(|one| !one.trim().is_empty()) {
                mailto.to.push(address(one)?);
            }
        }
        "subject" => mailto.subject = Some(value),
        "body" => mailto.body = Some(value),
        lower if NEVER.contains(&lower) || lower.starts_with("content-") => {}
        _ if crate::check::is_header_name(name) && mailto.headers.len() < 20 => {
            mailto.headers.push((name.to_owned(), value));
        }
        _ => {}
    }
    Some(())
}

/// Percent decoding (RFC 3986 §2.1); `None` when an escape is wrong or the octets are not UTF-8.
fn percent(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        out.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(address("a@b.test").as_deref(), Some("a@b.test"));
        assert_eq!(address("Anna <a@b.test>").as_deref(), Some("a@b.test"));
        for wrong in [
            "",
            "a",
            "a@",
            "@b.test",
            "a@b.test, c@d.test",
            "a b@c",
            "a@b.test\r\nX: y",
        ] {
            assert_eq!(address(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn uris() {
        let found =
            parse("mailto:a@b.test,c%40d.test?subject=Hi%20there&body=x&X-A=1&From=no@b.test")
                .expect("URI");
        assert_eq!(found.to, ["a@b.test", "c@d.test"]);
        assert_eq!(found.subject.as_deref(), Some("Hi there"));
        assert_eq!(found.headers, [("X-A".to_owned(), "1".to_owned())]);
        for wrong in [
            "xmpp:a@b",
            "mailto:",
            "mailto:a@b%4",
            "a@b.test",
            "mailto:nobody",
        ] {
            parse(wrong).expect_err(wrong);
        }
    }
}
