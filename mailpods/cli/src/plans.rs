//! The plan that a tool works with: that of a folder, or the one that the pods of a cluster keep in their store.
use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use mailpods_delivery::ips::in_use;
use mailpods_plan::{OutboundIp, Plan, Role};
use mailpods_pod::kept_plan;
use mailpods_policy::outbound::provider::Override;
use mailpods_store::{SecretStore, Store};
use mailpods_telemetry::error_chain;

use crate::args::Globals;
use crate::commands::check;
use crate::failure::{Exit, Failure, Outcome};
use crate::output;
use crate::session::{NoSecrets, block_on, failed, with_store};

/// Where the plan comes from.
#[derive(Debug, clap::Args)]
pub struct Config {
    /// Folder with the resources. Without it, the plan that pods of a cluster keep in the store.
    #[arg(long, env = "MAILPODS_CONFIG", value_name = "DIR")]
    pub config: Option<PathBuf>,
}

/// The addresses that mail leaves from, and what it takes to speak of them.
#[derive(Debug, Default)]
pub struct Addresses {
    /// By name.
    pub ips: BTreeMap<String, OutboundIp>,
    /// Addresses of a pool that are kept back.
    pub min_standby: usize,
    /// What the settings say of providers.
    pub providers: Vec<Override>,
}

impl From<Plan> for Addresses {
    fn from(plan: Plan) -> Self {
        let ips = plan.outbound_ips.iter();
        Self {
            ips: ips.map(|(name, ip)| (name.clone(), ip.clone())).collect(),
            min_standby: plan.outbound.min_standby,
            providers: plan.outbound.providers.clone(),
        }
    }
}

impl Config {
    /// Runs a command that needs a plan, on the store.
    pub fn with_plan<F>(&self, globals: &Globals, command: impl FnOnce(Store, Plan) -> F) -> Outcome
    where
        F: Future<Output = Outcome>,
    {
        if let Some(plan) = self.of_folder()? {
            return with_store(globals, |store| command(store, plan));
        }
        if globals.has_no_store() {
            return Err(none());
        }
        with_store(globals, |store| async move {
            match kept(&store).await? {
                Some(plan) => command(store, plan).await,
                None => Err(none()),
            }
        })
    }

    /// Runs a command that steers or shows addresses, on the store: also while something in the folder is wrong, with the addresses
    /// that the server has.
    pub fn with_addresses<F>(
        &self,
        globals: &Globals,
        command: impl FnOnce(Store, Addresses) -> F,
    ) -> Outcome
    where
        F: Future<Output = Outcome>,
    {
        let Some(folder) = &self.config else {
            return self.with_plan(globals, |store, plan| command(store, plan.into()));
        };
        let (plan, is_wrong) = check::usable(folder)?;
        with_store(globals, |store| async move {
            let mut addresses = plan.map_or_else(
                || Addresses {
                    min_standby: 1,
                    ..Addresses::default()
                },
                Addresses::from,
            );
            if is_wrong {
                let known = std::mem::take(&mut addresses.ips);
                let ips = in_use(store.secrets.as_ref(), known).await;
                addresses.ips =
                    ips.map_err(|error| failed("failed to read the addresses in use", &error))?;
            }
            command(store, addresses).await
        })
    }

    /// Runs a command that looks at a plan and at what the store has of addresses; before the first start nothing is known of them,
    /// and no store is made.
    pub fn with_secrets<F>(
        &self,
        globals: &Globals,
        command: impl FnOnce(Arc<dyn SecretStore>, Plan) -> F,
    ) -> Outcome
    where
        F: Future<Output = Outcome>,
    {
        let Some(folder) = &self.config else {
            return self.with_plan(globals, |store, plan| command(store.secrets, plan));
        };
        let plan = match check::usable(folder)? {
            (Some(plan), _) => plan,
            (None, _) => {
                let text = format!("nothing in {} can be used", folder.display());
                return Err(Failure::new(Exit::Failed, text)
                    .hint(format!("mailpods check {}", folder.display())));
            }
        };
        if globals.has_no_store() {
            output::remark(&format!(
                "There is no store in {} (--data DIR, or MAILPODS_DATA): nothing is known of addresses.",
                globals.data.display()
            ));
            return block_on(command(Arc::new(NoSecrets), plan));
        }
        with_store(globals, |store| command(store.secrets, plan))
    }

    /// The plan of the folder, where one is named.
    pub fn of_folder(&self) -> Result<Option<Plan>, Failure> {
        self.config.as_deref().map(check::plan).transpose()
    }

    /// The plan, where there is one.
    pub async fn known(&self, store: &Store) -> Result<Option<Plan>, Failure> {
        match self.of_folder()? {
            Some(plan) => Ok(Some(plan)),
            None => Ok(kept(store).await.unwrap_or_else(|failure| {
                output::remark(&failure.to_string());
                None
            })),
        }
    }

    /// The folder, for a message.
    pub fn place(&self) -> String {
        let folder = self.config.as_deref();
        folder.map_or_else(
            || "the cluster".to_owned(),
            |path| path.display().to_string(),
        )
    }
}

fn none() -> Failure {
    let text = "no configuration is named, and the store keeps none as the pods of a cluster do";
    Failure::new(Exit::Usage, text).hint("--config DIR (or MAILPODS_CONFIG) with the YAML")
}

/// What delivery pods keep, or the one pod that is everything: these know the addresses to send from.
async fn kept(store: &Store) -> Result<Option<Plan>, Failure> {
    for role in [Role::Delivery, Role::All] {
        let plan = kept_plan(store.secrets.clone(), role).await;
        let plan = plan.map_err(|error| {
            Failure::new(Exit::Store, error_chain(&error)).hint("--config DIR with the YAML")
        })?;
        if plan.is_some() {
            return Ok(plan);
        }
    }
    Ok(None)
}
