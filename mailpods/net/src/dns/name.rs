//! Names on their way into DNS.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::DnsError;

/// The name in lower-case A-labels without a dot at the end, checked against the bounds of RFC 1035 §2.3.4. The root is the
/// empty name.
///
/// # Errors
/// [`DnsError::Malformed`].
pub fn to_ascii(name: &str) -> Result<String, DnsError> {
    let malformed = || DnsError::Malformed(name.chars().take(255).collect());
    // No A-label form is shorter than a quarter of its U-label form, so that longer input cannot be a name.
    if name.len() > 4 * 255 {
        return Err(malformed());
    }
    let bare = name.strip_suffix('.').unwrap_or(name);
    let ascii = match bare.is_ascii() {
        true => bare.to_ascii_lowercase(),
        false => idna::domain_to_ascii(bare).map_err(|_| malformed())?,
    };
    if ascii.is_empty() && name == "." {
        return Ok(ascii);
    }
    let fits = ascii.len() <= 253 && ascii.split('.').all(is_label);
    if fits { Ok(ascii) } else { Err(malformed()) }
}

/// Underscores are for service names; anything else beyond letters, digits and hyphens would need escapes.
fn is_label(label: &str) -> bool {
    let allowed = |octet: u8| {
        octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'/' | b'=' | b'+')
    };
    (1..=63).contains(&label.len()) && label.bytes().all(allowed)
}

/// The name that PTR records of an address stand at (RFC 1035 §3.5, RFC 3596 §2.5), without a dot at the end.
pub fn reverse_name(address: IpAddr) -> String {
    let mut name = String::with_capacity(73);
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            for octet in v4.octets().iter().rev() {
                let _ = write!(name, "{octet}.");
            }
            name.push_str("in-addr.arpa");
        }
        IpAddr::V6(v6) => {
            for octet in v6.octets().iter().rev() {
                let _ = write!(name, "{:x}.{:x}.", octet & 15, octet >> 4);
            }
            name.push_str("ip6.arpa");
        }
    }
    name
}
