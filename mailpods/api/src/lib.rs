//! The custom resources of `mailpods.dev/v1alpha1`: types, schema, CEL rules and newtypes.

pub mod names;

pub use names::{
    AddressError, DomainName, IpNet, IpNetError, MailboxAddress, NameError, QueueId, Selector,
};
