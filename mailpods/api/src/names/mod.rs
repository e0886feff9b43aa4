//! Values that cannot be wrong: names, addresses and networks, checked when they are made.

mod address;
mod domain;
mod net;
mod rights;
mod text;

pub use address::{AddressError, MailboxAddress};
pub use domain::DomainName;
pub use net::{IpNet, IpNetError};
pub use rights::{Grantee, Rights, RightsError};
pub use text::{QueueId, Selector};

#[cfg(test)]
mod tests;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("name is empty")]
    Empty,
    /// More octets than the protocol allows.
    #[error("name is longer than {limit} octets")]
    TooLong {
        /// The limit, octets.
        limit: usize,
    },
    /// A label is empty, longer than 63 octets, or has a character that it must not have.
    #[error("{0:?} is not a valid name")]
    Invalid(String),
}

/// Implements serde and `JsonSchema` for a type that is a string in YAML.
macro_rules! string_value {
    ($name:ident, $max:expr, $pattern:expr) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "minLength": 1,
                    "maxLength": $max,
                    "pattern": $pattern,
                })
            }
        }
    };
}
pub(crate) use string_value;
