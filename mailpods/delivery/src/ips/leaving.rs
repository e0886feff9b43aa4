//! Addresses that are gone from the settings: nothing new leaves from them, and what DNS says of them should stay until nothing does
//! and whoever has seen mail from them has had the time to look.
//!
//! In a cluster the operator holds an OutboundIP that is deleted for as long. Where one process has the store to itself it remembers
//! the addresses there, so that one that is taken out while it does not run is seen off too, and `mailpods ip list` can tell.

use std::collections::BTreeMap;
use std::net::IpAddr;

use mailpods_api::DomainName;
use mailpods_plan::{Attachment, OutboundIp, Plan};
use mailpods_store::{SecretStore, StoreError};
use serde::{Deserialize, Serialize};

use super::{Ips, kept};
use crate::context::Context;

/// How long connections are waited for, in milliseconds.
const PATIENCE: i64 = 600_000;
/// How long it is told that the records of an address may go, in milliseconds.
const TOLD: i64 = 7 * 86_400_000;

/// An address that mail leaves from, or did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// Name of its OutboundIP.
    pub name: String,
    /// The address.
    pub address: IpAddr,
    /// The name that it said in HELO.
    pub hostname: DomainName,
    /// Its pool.
    pub pool: String,
    /// How far it is, once it is gone from the settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gone: Option<Gone>,
}

/// How far an address is that is gone. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gone {
    /// When it was seen to be gone.
    pub since: i64,
    /// Connections from it that are open.
    pub connections: usize,
    /// When its records may go; while connections are open, the latest time.
    pub until: i64,
    /// When the last connection had ended, or was not waited for any longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unused: Option<i64>,
    /// It was told that its records may go.
    #[serde(default)]
    pub told: bool,
}

/// How far an address is that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Step {
    /// Connections from it are open.
    Draining,
    /// Nothing leaves from it; receivers may still look at its records.
    Drained,
    /// Its records may go.
    Withdrawn,
}

impl Step {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draining => "Draining",
            Self::Drained => "Drained",
            Self::Withdrawn => "Withdrawn",
        }
    }
}

impl Gone {
    fn new(now: i64, ttl: i64) -> Self {
        Self {
            since: now,
            connections: 0,
            until: now.saturating_add(PATIENCE).saturating_add(ttl),
            unused: None,
            told: false,
        }
    }

    /// How far it is.
    #[must_use]
    pub const fn step(&self, now: i64) -> Step {
        match self.unused {
            _ if now >= self.until => Step::Withdrawn,
            Some(_) => Step::Drained,
            None => Step::Draining,
        }
    }

    /// Takes in how many connections there are. A clock that was set back makes nobody wait longer than from now on.
    fn look(&mut self, connections: usize, now: i64, ttl: i64) {
        self.connections = connections;
        self.since = self.since.min(now);
        let is_late = now.saturating_sub(self.since) >= PATIENCE;
        if self.unused.is_none() && (connections == 0 || is_late) {
            self.unused = Some(now);
            self.until = now.saturating_add(ttl);
        }
        let latest = now.saturating_add(PATIENCE).saturating_add(ttl);
        self.until = self.until.min(latest);
    }
}

impl Place {
    fn of(ip: &OutboundIp) -> Self {
        Self {
            name: ip.name.clone(),
            address: ip.address,
            hostname: ip.hostname.clone(),
            pool: ip.pool.clone(),
            gone: None,
        }
    }

    /// What is known of its OutboundIP where the settings cannot be read.
    fn ip(&self) -> OutboundIp {
        OutboundIp {
            name: self.name.clone(),
            address: self.address,
            hostname: self.hostname.clone(),
            sending: true,
            pool: self.pool.clone(),
            weight: 1,
            warm_up: None,
            attachment: Attachment::default(),
        }
    }
}

/// Addresses of the last plan, and those that have gone.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    places: BTreeMap<IpAddr, Place>,
    /// What the store has of them; `None`: not read yet.
    kept: Option<BTreeMap<IpAddr, Place>>,
    /// It was told that the store cannot be read or written.
    is_told: bool,
}

/// Addresses that are gone from the settings.
///
/// # Errors
/// When the store fails.
pub async fn leaving(secrets: &dyn SecretStore) -> Result<Vec<Place>, StoreError> {
    let places = kept::places(secrets).await?.into_iter();
    Ok(places.filter(|place| place.gone.is_some()).collect())
}

/// The addresses that the server of one machine sends from now, by name: as the store has them, with what `known` knows more of those
/// that are the same. All of `known` where the store has none.
///
/// # Errors
/// When the store fails.
pub async fn in_use(
    secrets: &dyn SecretStore,
    mut known: BTreeMap<String, OutboundIp>,
) -> Result<BTreeMap<String, OutboundIp>, StoreError> {
    let places = kept::places(secrets).await?.into_iter();
    let used: Vec<Place> = places.filter(|place| place.gone.is_none()).collect();
    if used.is_empty() {
        return Ok(known);
    }
    let ip = |place: Place| {
        let same = known.remove(&place.name);
        let ip = same.unwrap_or_else(|| place.ip());
        let ip = OutboundIp {
            address: place.address,
            hostname: place.hostname,
            ..ip
        };
        (place.name, ip)
    };
    Ok(used.into_iter().map(ip).collect())
}

impl Ips {
    /// Follows addresses that are not in the plan any more.
    pub(super) async fn see_off(&self, ctx: &Context, plan: &Plan) {
        let mut leaving = self.leaving.lock().await;
        if let Err(error) = self.follow(ctx, plan, &mut leaving).await {
            if !leaving.is_told {
                tracing::warn!(%error, "failed to remember the outbound addresses; one that is taken out now is followed as long as the process runs");
            }
            leaving.is_told = true;
        } else {
            leaving.is_told = false;
        }
    }

    async fn follow(
        &self,
        ctx: &Context,
        plan: &Plan,
        leaving: &mut Leaving,
    ) -> Result<(), StoreError> {
        // Several processes share a store in a cluster, where the operator follows.
        let own = Some(ctx.store.secrets.as_ref()).filter(|_| ctx.store.shares.is_none());
        if let Some(secrets) = own.filter(|_| leaving.kept.is_none()) {
            let places = kept::places(secrets).await?.into_iter();
            let kept: BTreeMap<_, _> = places.map(|place| (place.address, place)).collect();
            for (address, place) in &kept {
                leaving.places.entry(*address).or_insert(place.clone());
            }
            leaving.kept = Some(kept);
        }
        self.move_on(plan, &mut leaving.places, ctx.now());
        match own.zip(leaving.kept.as_mut()) {
            Some((secrets, kept)) => keep(secrets, &leaving.places, kept).await,
            None => Ok(()),
        }
    }

    fn move_on(&self, plan: &Plan, places: &mut BTreeMap<IpAddr, Place>, now: i64) {
        let ttl = i64::try_from(plan.dns.ttl.as_millis()).unwrap_or(i64::MAX);
        let there: BTreeMap<IpAddr, Place> = plan
            .outbound_ips
            .values()
            .map(|ip| (ip.address, Place::of(ip)))
            .collect();
        for (address, place) in places.iter_mut() {
            if there.contains_key(address) {
                continue;
            }
            let is_new = place.gone.is_none();
            let gone = place.gone.get_or_insert_with(|| Gone::new(now, ttl));
            gone.look(self.uses.of(address), now, ttl);
            let may_go = gone.step(now) == Step::Withdrawn && !gone.told;
            gone.told |= may_go;
            let connections = gone.connections;
            tell(place, connections, (is_new, may_go));
        }
        places.retain(|_, place| {
            let gone = place.gone.as_ref();
            gone.is_none_or(|gone| now.saturating_sub(gone.until) < TOLD)
        });
        places.extend(there);
    }

    /// Names of addresses that are gone and whose records should stay.
    #[cfg(test)]
    pub(super) async fn leaving(&self, now: i64) -> Vec<String> {
        let leaving = self.leaving.lock().await;
        let stays = |place: &&Place| {
            let gone = place.gone.as_ref();
            gone.is_some_and(|gone| gone.step(now) != Step::Withdrawn)
        };
        let places = leaving.places.values().filter(stays);
        places.map(|place| place.name.clone()).collect()
    }
}

/// Writes what has changed.
async fn keep(
    secrets: &dyn SecretStore,
    places: &BTreeMap<IpAddr, Place>,
    kept: &mut BTreeMap<IpAddr, Place>,
) -> Result<(), StoreError> {
    for (address, place) in places {
        if kept.get(address) != Some(place) {
            kept::put_place(secrets, place).await?;
            kept.insert(*address, place.clone());
        }
    }
    let gone = kept.keys().filter(|address| !places.contains_key(address));
    for address in gone.copied().collect::<Vec<_>>() {
        kept::forget_place(secrets, address).await?;
        kept.remove(&address);
    }
    Ok(())
}

fn tell(place: &Place, connections: usize, (is_new, may_go): (bool, bool)) {
    let Place {
        name,
        address,
        hostname,
        ..
    } = place;
    if is_new {
        tracing::warn!(
            ip = name, %address, %hostname, connections,
            "an OutboundIP is gone: nothing new leaves from it; its records should stay until it is said that they may go"
        );
    }
    if may_go {
        tracing::warn!(
            ip = name, %address, %hostname, connections,
            "the records of an OutboundIP that is gone may go now"
        );
    }
}
