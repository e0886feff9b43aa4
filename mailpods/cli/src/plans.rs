//! The plan that a tool works with: that of a folder, or the one that the pods of a cluster keep in their store.
use std::future::Future;
use std::path::PathBuf;

use mailpods_plan::{Plan, Role};
use mailpods_pod::kept_plan;
use mailpods_store::Store;
use mailpods_telemetry::error_chain;

use crate::args::Globals;
use crate::commands::check;
use crate::failure::{Exit, Failure, Outcome};
use crate::output;
use crate::session::{with_store, with_store_or_new};

/// Where the plan comes from.
#[derive(Debug, clap::Args)]
pub struct Config {
    /// Folder with the resources. Without it, the plan that pods of a cluster keep in the store.
    #[arg(long, env = "MAILPODS_CONFIG", value_name = "DIR")]
    pub config: Option<PathBuf>,
}

impl Config {
    /// Runs a command that needs a plan, on the store.
    pub fn with_plan<F>(&self, globals: &Globals, command: impl FnOnce(Store, Plan) -> F) -> Outcome
    where
        F: Future<Output = Outcome>,
    {
        if let Some(plan) = self.of_folder()? {
            return with_store_or_new(globals, |store| command(store, plan));
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
