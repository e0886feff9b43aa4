//! What the store keeps of outbound addresses, as sealed values by name.
//!
//! | name | value |
//! |---|---|
//! | `outbound/ip/NAME/ADDRESS` | the life of an OutboundIP with this address, JSON |
//! | `outbound/spf/NAME/ADDRESS` | since when the SPF records of domains show it, JSON |
//! | `outbound/place/ADDRESS` | an address of the settings, or one that is gone from them, JSON |
//! | `outbound/sent/NAME/ADDRESS/WORKER` | what a process sent from it, by hour, JSON |
//! | `outbound/order/NAME` | what an operator wants of it; the server takes it within a second and deletes it |
//!
//! What is known belongs to name and address: another address is another life, and processes whose plans differ for a while do not
//! undo each other's. The release before kept `outbound/ip/NAME`, which the first address of the name takes over.
//!
//! What several processes change is swapped: written only while it is still what the change was made of.

use std::collections::BTreeSet;
use std::net::IpAddr;

use mailpods_plan::{OutboundIp, Plan};
use mailpods_policy::outbound::life::{Life, Order};
use mailpods_store::{SecretStore, StoreError, secrets};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::leaving::Place;
use super::sent::Tally;
use super::spf::Shown;

const LIFE: &str = "outbound/ip/";
const ORDER: &str = "outbound/order/";
const SHOWN: &str = "outbound/spf/";
const SENT: &str = "outbound/sent/";
const PLACE: &str = "outbound/place/";
/// How long the life of an address is kept after it has left the settings, in milliseconds.
const REMEMBERED: i64 = 30 * 86_400_000;

/// What tells an address of an OutboundIP from all others, those that it had before included.
pub(super) fn id(ip: &OutboundIp) -> String {
    key(&ip.name, ip.address)
}

pub(super) fn key(name: &str, address: IpAddr) -> String {
    format!("{name}/{address}")
}

/// The life of an address; `None`: nothing is kept.
///
/// # Errors
/// When the store fails, or what it keeps is not a life.
pub async fn life(secrets: &dyn SecretStore, ip: &OutboundIp) -> Result<Option<Life>, StoreError> {
    match read(secrets, &format!("{LIFE}{}", id(ip))).await? {
        Some(life) => Ok(Some(life)),
        None => inherited(secrets, ip).await,
    }
}

/// What the release before kept by the name alone: of the address that is looked at first. Where the name is known to have had
/// another one, nobody can tell whose it is, and the address begins anew.
async fn inherited(secrets: &dyn SecretStore, ip: &OutboundIp) -> Result<Option<Life>, StoreError> {
    let Some(life) = read(secrets, &format!("{LIFE}{}", ip.name)).await? else {
        return Ok(None);
    };
    let lives = secrets.secret_names(&format!("{LIFE}{}/", ip.name)).await?;
    let places = places(secrets).await?;
    let is_other = |place: &Place| place.name == ip.name && place.address != ip.address;
    Ok((lives.is_empty() && !places.iter().any(is_other)).then_some(life))
}

/// Deletes the lives of addresses that left the plan so long ago that a rest would mean nothing any more. When they did is noted in
/// the life; a process whose plan has them takes the note away.
pub(super) async fn tidy_lives(
    secrets: &dyn SecretStore,
    plan: &Plan,
    now: i64,
) -> Result<(), StoreError> {
    let own: BTreeSet<String> = plan.outbound_ips.values().map(id).collect();
    for key in secrets.secret_names(LIFE).await? {
        let id = key.strip_prefix(LIFE).unwrap_or_default();
        let is_own = own.contains(id);
        // That of the release before has been taken over by now.
        if plan.outbound_ips.contains_key(id) {
            secrets.delete_secret(&key).await?;
        } else {
            match change_life(secrets, id, |life| leave(life, is_own, now)).await {
                Ok(true) => {}
                Err(StoreError::Corrupt(_)) if !is_own => secrets.delete_secret(&key).await?,
                Ok(false) | Err(StoreError::Corrupt(_)) => continue,
                Err(error) => return Err(error),
            }
        }
        secrets.delete_secret(&format!("{SHOWN}{id}")).await?;
    }
    Ok(())
}

/// Notes whether the settings name an address; true when they have not for so long that its life ends.
fn leave(life: &mut Life, is_own: bool, now: i64) -> bool {
    if is_own {
        life.left = None;
        return false;
    }
    // Another process was faster.
    if *life == Life::default() {
        return false;
    }
    let left = *life.left.get_or_insert(now);
    let is_over = left.saturating_add(REMEMBERED) < now;
    if is_over {
        *life = Life::default();
    }
    is_over
}

/// Changes the life of an address, anew where another process came first.
pub(super) async fn change_life<T>(
    secrets: &dyn SecretStore,
    id: &str,
    change: impl FnMut(&mut Life) -> T,
) -> Result<T, StoreError> {
    secrets::change(secrets, &format!("{LIFE}{id}"), change).await
}

/// Forgets a life that cannot be read.
pub(super) async fn forget_life(
    secrets: &dyn SecretStore,
    ip: &OutboundIp,
) -> Result<(), StoreError> {
    for name in [&ip.name, &id(ip)] {
        secrets.delete_secret(&format!("{LIFE}{name}")).await?;
    }
    Ok(())
}

/// An order as it is kept: with a number that tells it from others of the same words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Kept {
    Numbered {
        number: u64,
        order: Order,
    },
    /// As the release before left them.
    Bare(Order),
}

/// An order that the server has not taken yet.
///
/// # Errors
/// When the store fails, or what it keeps is not an order.
pub async fn order(secrets: &dyn SecretStore, name: &str) -> Result<Option<Order>, StoreError> {
    let kept: Option<Kept> = read(secrets, &format!("{ORDER}{name}")).await?;
    Ok(kept.map(|kept| match kept {
        Kept::Numbered { order, .. } | Kept::Bare(order) => order,
    }))
}

/// Leaves an order for the server; one that it has not taken yet is replaced.
///
/// # Errors
/// When the store fails.
pub async fn give(secrets: &dyn SecretStore, name: &str, order: &Order) -> Result<(), StoreError> {
    let mut number = [0; 8];
    SystemRandom::new()
        .fill(&mut number)
        .map_err(|_| StoreError::Unavailable("the system has no randomness".to_owned()))?;
    let kept = Kept::Numbered {
        number: u64::from_le_bytes(number),
        order: order.clone(),
    };
    write(secrets, &format!("{ORDER}{name}"), &kept).await
}

/// An order that waits, to be taken.
pub(super) struct Waiting {
    octets: Zeroizing<Vec<u8>>,
    pub(super) order: Order,
    /// `None`: one of those that have none.
    pub(super) number: Option<u64>,
}

/// The order that waits for an address.
pub(super) async fn waiting(
    secrets: &dyn SecretStore,
    name: &str,
) -> Result<Option<Waiting>, StoreError> {
    let name = format!("{ORDER}{name}");
    let Some(octets) = secrets.secret(&name).await? else {
        return Ok(None);
    };
    let (order, number) = match secrets::parse(&name, Some(&octets))? {
        None => return Ok(None),
        Some(Kept::Bare(order)) => (order, None),
        Some(Kept::Numbered { number, order }) => (order, Some(number)),
    };
    Ok(Some(Waiting {
        octets,
        order,
        number,
    }))
}

/// Takes an order away, unless another one has come in its place.
pub(super) async fn taken(
    secrets: &dyn SecretStore,
    name: &str,
    waiting: &Waiting,
) -> Result<(), StoreError> {
    let name = format!("{ORDER}{name}");
    let before = Some(waiting.octets.as_slice());
    secrets.swap_secret(&name, before, None).await.map(drop)
}

/// Names of the addresses that an order waits for.
pub(super) async fn ordered(secrets: &dyn SecretStore) -> Result<Vec<String>, StoreError> {
    let names = secrets.secret_names(ORDER).await?;
    let name = |name: &String| name.strip_prefix(ORDER).map(str::to_owned);
    Ok(names.iter().filter_map(name).collect())
}

/// Since when SPF records show an address; `None`: nothing is kept.
pub(super) async fn shown(
    secrets: &dyn SecretStore,
    id: &str,
) -> Result<Option<Shown>, StoreError> {
    read(secrets, &format!("{SHOWN}{id}")).await
}

/// Forgets it where it cannot be read.
pub(super) async fn forget_shown(secrets: &dyn SecretStore, id: &str) -> Result<(), StoreError> {
    secrets.delete_secret(&format!("{SHOWN}{id}")).await
}

/// Changes it, anew where another process came first.
pub(super) async fn change_shown<T>(
    secrets: &dyn SecretStore,
    id: &str,
    change: impl FnMut(&mut Shown) -> T,
) -> Result<T, StoreError> {
    secrets::change(secrets, &format!("{SHOWN}{id}"), change).await
}

/// The tallies of all processes, of one address or of all, by their key.
pub(super) async fn tallies(
    secrets: &dyn SecretStore,
    id: Option<&str>,
) -> Result<Vec<(String, Tally)>, StoreError> {
    let prefix = id.map_or_else(|| SENT.to_owned(), |id| format!("{SENT}{id}/"));
    let mut tallies = Vec::new();
    for key in secrets.secret_names(&prefix).await? {
        match read(secrets, &key).await {
            Ok(Some(tally)) => tallies.push((key, tally)),
            Ok(None) => {}
            // One that cannot be read says nothing, and must not hide the others.
            Err(error @ StoreError::Corrupt(_)) => {
                tracing::error!(%error, "the counts of an outbound address cannot be read");
                tallies.push((key, Tally::default()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(tallies)
}

/// What one process has kept of an address. One that cannot be read says nothing.
pub(super) async fn tally(
    secrets: &dyn SecretStore,
    (id, worker): (&str, &str),
) -> Result<Tally, StoreError> {
    match read(secrets, &format!("{SENT}{id}/{worker}")).await {
        Err(error @ StoreError::Corrupt(_)) => {
            tracing::error!(%error, "the counts of an outbound address cannot be read");
            Ok(Tally::default())
        }
        read => Ok(read?.unwrap_or_default()),
    }
}

pub(super) async fn put_tally(
    secrets: &dyn SecretStore,
    (id, worker): (&str, &str),
    tally: &Tally,
) -> Result<(), StoreError> {
    write(secrets, &format!("{SENT}{id}/{worker}"), tally).await
}

/// The addresses that are remembered. One that cannot be read says nothing, and must not hide the others.
pub(super) async fn places(secrets: &dyn SecretStore) -> Result<Vec<Place>, StoreError> {
    let mut places = Vec::new();
    for key in secrets.secret_names(PLACE).await? {
        match read(secrets, &key).await {
            Ok(place) => places.extend(place),
            Err(error @ StoreError::Corrupt(_)) => {
                tracing::error!(%error, "what was remembered of an outbound address cannot be read");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(places)
}

pub(super) async fn put_place(secrets: &dyn SecretStore, place: &Place) -> Result<(), StoreError> {
    write(secrets, &format!("{PLACE}{}", place.address), place).await
}

pub(super) async fn forget_place(
    secrets: &dyn SecretStore,
    address: IpAddr,
) -> Result<(), StoreError> {
    secrets.delete_secret(&format!("{PLACE}{address}")).await
}

async fn read<T: serde::de::DeserializeOwned>(
    secrets: &dyn SecretStore,
    name: &str,
) -> Result<Option<T>, StoreError> {
    let octets = secrets.secret(name).await?;
    secrets::parse(name, octets.as_ref().map(|octets| octets.as_slice()))
}

async fn write(
    secrets: &dyn SecretStore,
    name: &str,
    value: &impl Serialize,
) -> Result<(), StoreError> {
    secrets.put_secret(name, secrets::to_octets(value)?).await
}
