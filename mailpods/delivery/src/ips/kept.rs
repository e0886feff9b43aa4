//! What the store keeps of outbound addresses, as sealed values by name.
//!
//! | name | value |
//! |---|---|
//! | `outbound/ip/NAME` | the life of an OutboundIP, JSON |
//! | `outbound/spf/NAME` | since when the SPF records of domains show it, JSON |
//! | `outbound/sent/NAME/WORKER` | what a process sent from it, by hour, JSON |
//! | `outbound/order/NAME` | what an operator wants of it; the server takes it within a second and deletes it |

use mailpods_policy::outbound::life::{Life, Order};
use mailpods_store::{SecretStore, StoreError};
use zeroize::Zeroizing;

use super::sent::Tally;
use super::spf::Shown;

const LIFE: &str = "outbound/ip/";
const ORDER: &str = "outbound/order/";
const SHOWN: &str = "outbound/spf/";
const SENT: &str = "outbound/sent/";

/// The life of an address; `None`: nothing is kept.
///
/// # Errors
/// When the store fails, or what it keeps is not a life.
pub async fn life(secrets: &dyn SecretStore, name: &str) -> Result<Option<Life>, StoreError> {
    read(secrets, &format!("{LIFE}{name}")).await
}

/// An order that the server has not taken yet.
///
/// # Errors
/// When the store fails, or what it keeps is not an order.
pub async fn order(secrets: &dyn SecretStore, name: &str) -> Result<Option<Order>, StoreError> {
    read(secrets, &format!("{ORDER}{name}")).await
}

/// Leaves an order for the server; one that it has not taken yet is replaced.
///
/// # Errors
/// When the store fails.
pub async fn give(secrets: &dyn SecretStore, name: &str, order: &Order) -> Result<(), StoreError> {
    write(secrets, &format!("{ORDER}{name}"), order).await
}

/// Names of the addresses that an order waits for.
pub(super) async fn ordered(secrets: &dyn SecretStore) -> Result<Vec<String>, StoreError> {
    let names = secrets.secret_names(ORDER).await?;
    let name = |name: &String| name.strip_prefix(ORDER).map(str::to_owned);
    Ok(names.iter().filter_map(name).collect())
}

pub(super) async fn taken(secrets: &dyn SecretStore, name: &str) -> Result<(), StoreError> {
    secrets.delete_secret(&format!("{ORDER}{name}")).await
}

pub(super) async fn put(
    secrets: &dyn SecretStore,
    name: &str,
    life: &Life,
) -> Result<(), StoreError> {
    write(secrets, &format!("{LIFE}{name}"), life).await
}

/// Since when SPF records show an address; `None`: nothing is kept.
pub(super) async fn shown(
    secrets: &dyn SecretStore,
    name: &str,
) -> Result<Option<Shown>, StoreError> {
    read(secrets, &format!("{SHOWN}{name}")).await
}

pub(super) async fn put_shown(
    secrets: &dyn SecretStore,
    name: &str,
    shown: &Shown,
) -> Result<(), StoreError> {
    write(secrets, &format!("{SHOWN}{name}"), shown).await
}

/// The tallies of all processes, of one address or of all, by their key.
pub(super) async fn tallies(
    secrets: &dyn SecretStore,
    name: Option<&str>,
) -> Result<Vec<(String, Tally)>, StoreError> {
    let prefix = name.map_or_else(|| SENT.to_owned(), |name| format!("{SENT}{name}/"));
    let mut tallies = Vec::new();
    for key in secrets.secret_names(&prefix).await? {
        if let Some(tally) = read(secrets, &key).await? {
            tallies.push((key, tally));
        }
    }
    Ok(tallies)
}

pub(super) async fn put_tally(
    secrets: &dyn SecretStore,
    (name, worker): (&str, &str),
    tally: &Tally,
) -> Result<(), StoreError> {
    write(secrets, &format!("{SENT}{name}/{worker}"), tally).await
}

async fn read<T: serde::de::DeserializeOwned>(
    secrets: &dyn SecretStore,
    name: &str,
) -> Result<Option<T>, StoreError> {
    let corrupt = |error| StoreError::Corrupt(format!("{name}: {error}"));
    let kept = secrets.secret(name).await?;
    kept.map(|kept| serde_json::from_slice(&kept).map_err(corrupt))
        .transpose()
}

async fn write(
    secrets: &dyn SecretStore,
    name: &str,
    value: &impl serde::Serialize,
) -> Result<(), StoreError> {
    let text = serde_json::to_vec(value).map_err(|error| StoreError::Invalid(error.to_string()))?;
    secrets.put_secret(name, Zeroizing::new(text)).await
}
