//! Networks.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::string_value;

/// Why a text is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IpNetError {
    /// The part before the slash is not an address.
    #[error("network has no valid address")]
    Address(#[from] std::net::AddrParseError),
    /// The part after the slash is not a number up to 32 or 128.
    #[error("network has no valid prefix length; at most {limit}")]
    Prefix {
        /// 32 or 128.
        limit: u8,
    },
}

/// A network: `192.0.2.0/24`, `2001:db8::/32`, or one address. Bits beyond the prefix are cleared.
///
/// IPv4-mapped IPv6 addresses and networks count as IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IpNet {
    address: IpAddr,
    prefix: u8,
}

impl IpNet {
    /// The network of `prefix` bits that `address` is in.
    ///
    /// # Errors
    /// When the prefix is longer than the address.
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self, IpNetError> {
        let (address, prefix) = match (address, address.to_canonical()) {
            (IpAddr::V6(_), IpAddr::V4(mapped)) if (96..=128).contains(&prefix) => {
                (IpAddr::V4(mapped), prefix - 96)
            }
            _ => (address, prefix),
        };
        let limit = if address.is_ipv4() { 32 } else { 128 };
        if prefix > limit {
            return Err(IpNetError::Prefix { limit });
        }
        Ok(Self {
            address: mask(address, prefix),
            prefix,
        })
    }

    /// What limits count as one client: the IPv4 address itself, or the IPv6 /64.
    #[must_use]
    pub fn client_prefix(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let prefix = if address.is_ipv4() { 32 } else { 64 };
        Self {
            address: mask(address, prefix),
            prefix,
        }
    }

    /// Whether the address is in the network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && mask(address, self.prefix) == self.address
    }

    /// First address.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// Length of the prefix, bits.
    #[must_use]
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }
}

fn mask(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let bits = u32::MAX
                .checked_shl(32 - u32::from(prefix.min(32)))
                .unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & bits))
        }
        IpAddr::V6(v6) => {
            let bits = u128::MAX
                .checked_shl(128 - u32::from(prefix.min(128)))
                .unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & bits))
        }
    }
}

impl From<IpAddr> for IpNet {
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self {
            address,
            prefix: if address.is_ipv4() { 32 } else { 128 },
        }
    }
}

impl FromStr for IpNet {
    type Err = IpNetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((address, prefix)) = text.split_once('/') else {
            return Ok(Self::from(text.parse::<IpAddr>()?));
        };
        let address: IpAddr = address.parse()?;
        let limit = if address.is_ipv4() { 32 } else { 128 };
        let digits = (1..=3).contains(&prefix.len()) && prefix.bytes().all(|b| b.is_ascii_digit());
        let prefix = prefix
            .parse()
            .ok()
            .filter(|_| digits)
            .ok_or(IpNetError::Prefix { limit })?;
        Self::new(address, prefix)
    }
}

impl fmt::Display for IpNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.address, self.prefix))
    }
}

string_value!(IpNet, 49, r"^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$");
