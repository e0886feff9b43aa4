//! The custom resources of `mailpods.dev/v1alpha1`: types, schema, CEL rules and newtypes.
//!
//! The Rust types are the source: their documentation becomes the descriptions of the CustomResourceDefinitions, their
//! defaults the defaults, their attributes the limits and rules. `cargo xtask crds` writes the definitions to `crds/`.

pub mod crd;
pub mod forms;
pub mod names;
pub mod quantity;
pub mod v1alpha1;

pub use crd::{
    API_VERSION, CrdError, CrdFile, GROUP, crds, definitions, schema, served_definitions,
};
pub use forms::Form;
pub use names::{
    AddressError, DomainName, Grantee, IpNet, IpNetError, MailboxAddress, NameError, QueueId,
    Rights, RightsError, Selector,
};
pub use quantity::{Allowance, Octets, QuantityError, TimeSpan};

#[cfg(test)]
mod tests;
