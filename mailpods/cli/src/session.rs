//! What commands need before they can begin: a runtime, and the store.
use std::future::Future;
use std::path::Path;

use mailpods_pod::postgres_options;
use mailpods_store::postgres::{self, PostgresStore};
use mailpods_store::sqlite::{DATABASE_FILE, Options, Progress, SqliteStore};
use mailpods_store::{ErrorClass, SecretStore, Store, StoreError};
use mailpods_telemetry::error_chain;
use zeroize::Zeroizing;

use crate::args::Globals;
use crate::failure::{Exit, Failure, Outcome};

/// Runs a tool to its end: one thread is enough.
pub fn block_on<F: Future<Output = Outcome>>(future: F) -> Outcome {
    run(tokio::runtime::Builder::new_current_thread(), future)
}

/// Runs a server to its end.
pub fn block_on_all_cores<F: Future<Output = Outcome>>(future: F) -> Outcome {
    run(tokio::runtime::Builder::new_multi_thread(), future)
}

fn run<F: Future<Output = Outcome>>(mut builder: tokio::runtime::Builder, future: F) -> Outcome {
    let runtime = builder.enable_all().build();
    let runtime = runtime
        .map_err(|error| Failure::because(Exit::Failed, "failed to start the runtime", &error))?;
    runtime.block_on(future)
}

/// Opens the store that is there, runs the command on it, and closes it.
pub fn with_store<F>(globals: &Globals, command: impl FnOnce(Store) -> F) -> Outcome
where
    F: Future<Output = Outcome>,
{
    on_store(globals, open_existing, command)
}

/// The same, on a store that is made when it is not there; that of a cluster is its operator's to make.
pub fn with_store_or_new<F>(globals: &Globals, command: impl FnOnce(Store) -> F) -> Outcome
where
    F: Future<Output = Outcome>,
{
    on_store(globals, open_or_make, command)
}

fn on_store<F>(
    globals: &Globals,
    open: fn(&Path) -> Result<SqliteStore, Failure>,
    command: impl FnOnce(Store) -> F,
) -> Outcome
where
    F: Future<Output = Outcome>,
{
    block_on(async {
        if let Some((uri, key)) = globals.postgres()? {
            let store = connect(uri, key).await?;
            let outcome = command(store.store()).await;
            store.close().await;
            return outcome;
        }
        let open = open(&globals.data)?;
        let outcome = command(open.store()).await;
        close(&open).await?;
        outcome
    })
}

/// Opens the store of a cluster. A database that does not answer is not waited for.
async fn connect(uri: &Path, key: &Path) -> Result<PostgresStore, Failure> {
    let options = postgres_options(uri, key, "mailpods-tool").await;
    let options = options.map_err(|error| Failure::new(Exit::Store, error_chain(&error)))?;
    let store = PostgresStore::connect(postgres::Options {
        max_connections: 2,
        writers: 1,
        cache_octets: 0,
        ..options
    });
    store.await.map_err(|error| {
        let exit = match error.class() {
            ErrorClass::Transient => Exit::Temporary,
            _ => Exit::Store,
        };
        Failure::because(exit, "failed to open the PostgreSQL store", &error)
    })
}

/// Opens a store that must be there.
pub fn open_existing(dir: &Path) -> Result<SqliteStore, Failure> {
    SqliteStore::open_existing(dir, tool_options()).map_err(|error| unusable(dir, &error))
}

/// Opens a store, making it when it is not there.
pub fn open_or_make(dir: &Path) -> Result<SqliteStore, Failure> {
    SqliteStore::open(dir, tool_options()).map_err(|error| unusable(dir, &error))
}

/// What a store that is not made yet has: nothing. It keeps nothing either.
pub struct NoSecrets;

impl NoSecrets {
    fn refuse<T>() -> Result<T, StoreError> {
        Err(StoreError::Unavailable("there is no store yet".to_owned()))
    }
}

#[async_trait::async_trait]
impl SecretStore for NoSecrets {
    async fn secret(&self, _: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        Ok(None)
    }

    async fn secret_or_put(
        &self,
        _: &str,
        _: Zeroizing<Vec<u8>>,
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        Self::refuse()
    }

    async fn put_secret(&self, _: &str, _: Zeroizing<Vec<u8>>) -> Result<(), StoreError> {
        Self::refuse()
    }

    async fn swap_secret(
        &self,
        _: &str,
        _: Option<&[u8]>,
        _: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<bool, StoreError> {
        Self::refuse()
    }

    async fn secret_names(&self, _: &str) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    async fn delete_secret(&self, _: &str) -> Result<(), StoreError> {
        Self::refuse()
    }
}

/// Writes what is buffered.
pub async fn close(store: &SqliteStore) -> Result<(), Failure> {
    store
        .close()
        .await
        .map_err(|error| failed("failed to close the store", &error))
}

/// A tool works alone and briefly.
fn tool_options() -> Options {
    Options {
        readers: 1,
        ..Options::default()
    }
}

/// An error of opening it.
pub fn unusable(dir: &Path, error: &StoreError) -> Failure {
    let failure = || {
        let what = format!("failed to open the store in {}", dir.display());
        Failure::because(Exit::Store, what, error)
    };
    match error {
        StoreError::NotFound(_) => {
            let text = format!("there is no store in {}", dir.display());
            Failure::new(Exit::Store, text).hint(
                "--data DIR or MAILPODS_DATA names the folder that `mailpods standalone` runs with",
            )
        }
        StoreError::Corrupt(_) => {
            failure().hint("`mailpods fsck --data DIR`, or `mailpods restore` from a backup")
        }
        _ if is_denied(dir) => {
            let text = format!("no permission to use the store in {}", dir.display());
            Failure::new(Exit::Store, text)
                .hint("the user that the server runs as: `sudo -u USER mailpods ...`")
        }
        _ => failure(),
    }
}

/// Whether there is no store in a folder.
pub fn is_missing(dir: &Path) -> bool {
    matches!(dir.join(DATABASE_FILE).try_exists(), Ok(false))
}

/// Whether it is another user's store.
fn is_denied(dir: &Path) -> bool {
    let opened = std::fs::File::options()
        .read(true)
        .append(true)
        .open(dir.join(DATABASE_FILE));
    opened.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

/// An error of the open store.
pub fn failed(what: &str, error: &StoreError) -> Failure {
    let exit = match error {
        StoreError::NotFound(_) => Exit::NothingMatched,
        _ if error.class() == ErrorClass::Transient => Exit::Temporary,
        _ => Exit::Failed,
    };
    Failure::because(exit, what, error)
}

/// A progress bar over the steps of a long work; nothing where standard error is no terminal.
pub struct Steps {
    bar: indicatif::ProgressBar,
}

impl Steps {
    /// Nothing shown yet.
    pub fn new() -> Self {
        let bar = indicatif::ProgressBar::new(0);
        let style = indicatif::ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}");
        Self {
            bar: style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style)),
        }
    }

    /// Shows how far it is.
    pub fn show(&mut self, progress: Progress) {
        self.bar.set_message(progress.step);
        self.bar.set_length(progress.total);
        self.bar.set_position(progress.done);
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
