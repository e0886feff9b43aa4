//! `kubectl mailpods`: the tools of the `mailpods` command in a pod of a MailCluster, by the API server alone.
//!
//! Tools need the store and the plan, and pods have both. So nothing is done here but to find a pod, to run the tool in it, and to pass on what
//! it says. That takes the right to list MailClusters and pods, and to run commands in pods of that namespace.

mod exec;
mod find;
mod options;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};

pub use options::{Options, TOOLS};

/// Why a tool was not run.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The words are no tool.
    #[error("{word:?} is no tool that runs in a pod: {} do", TOOLS.map(|(name, _)| name).join(", "))]
    Tool {
        /// The word.
        word: String,
    },
    /// An option without what belongs to it.
    #[error("{0} needs a value")]
    Value(String),
    /// There is no way to a cluster.
    #[error("failed to read the kubeconfig")]
    Kubeconfig(#[from] KubeconfigError),
    /// The client could not be made.
    #[error("failed to set up the client")]
    Client(#[source] Box<kube::Error>),
    /// The user may not do it.
    #[error("not allowed in namespace {namespace}: {verbs} {resource}")]
    Forbidden {
        /// Verbs of the rule that is missing.
        verbs: &'static str,
        /// Its resource.
        resource: &'static str,
        /// The namespace.
        namespace: String,
    },
    /// The kinds are not there.
    #[error("the cluster knows no MailClusters: Mailpods is not installed in it")]
    NotInstalled,
    /// The API server refused.
    #[error("failed to {0}: {1}")]
    Refused(&'static str, String),
    /// The API server did not answer as it should.
    #[error("failed to {0}")]
    Api(&'static str, #[source] Box<kube::Error>),
    /// No MailCluster.
    #[error("namespace {0} has no MailCluster")]
    NoCluster(String),
    /// More than one.
    #[error("namespace {namespace} has several MailClusters: {}", names.join(", "))]
    Several {
        /// The namespace.
        namespace: String,
        /// Their names.
        names: Vec<String>,
    },
    /// No pod of it.
    #[error("MailCluster {namespace}/{cluster} has no delivery pod, and no pod of all roles")]
    NoPod {
        /// The namespace.
        namespace: String,
        /// The MailCluster.
        cluster: String,
    },
    /// None of its pods is ready.
    #[error("no pod of MailCluster {namespace}/{cluster} is ready: {}", pods.join(", "))]
    NotReady {
        /// The namespace.
        namespace: String,
        /// The MailCluster.
        cluster: String,
        /// Names and phases.
        pods: Vec<String>,
    },
    /// The output cannot be written, or the input not be read.
    #[error("failed to pass on what the tool says")]
    Io(#[from] std::io::Error),
    /// The pod could not run it.
    #[error("pod {pod} did not run the tool: {why}")]
    Exec {
        /// The pod.
        pod: String,
        /// What the kubelet says.
        why: String,
    },
    /// The connection broke.
    #[error("the connection to pod {0} ended before the tool did")]
    Cut(String),
}

impl PluginError {
    /// What the API server said to what was tried. Its message alone: the client would tell it several times, and the rest of the answer.
    fn api(tried: &'static str, error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Refused(tried, status.message),
            error => Self::Api(tried, Box::new(error)),
        }
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Tool { .. } => "kubectl mailpods --help".to_owned(),
            Self::Kubeconfig(_) | Self::Client(_) => "--kubeconfig FILE, --context NAME".to_owned(),
            Self::Forbidden {
                verbs, resource, ..
            } => {
                let (group, resource) = match *resource {
                    "mailclusters" => ("mailpods.dev", "mailclusters"),
                    other => ("", other),
                };
                format!(
                    "a Role with {{apiGroups: [{group:?}], resources: [{resource}], verbs: [{verbs}]}}; docs/kubernetes.md has it whole"
                )
            }
            Self::NoCluster(_) => {
                "-n NAMESPACE; `kubectl get mailclusters -A` lists all".to_owned()
            }
            Self::Several { names, .. } => {
                format!(
                    "--mailcluster {}",
                    names.first().map_or("NAME", String::as_str)
                )
            }
            Self::NoPod { namespace, .. } | Self::NotReady { namespace, .. } => {
                format!("kubectl get mailclusters,pods -n {namespace}")
            }
            _ => return None,
        };
        Some(text)
    }
}

/// Runs the tool; returns its exit code.
///
/// # Errors
/// When it was not run to its end.
pub async fn run(options: &Options) -> Result<u8, PluginError> {
    let (client, namespace) = client(options).await?;
    let namespace = options.namespace.clone().unwrap_or(namespace);
    let cluster = match &options.cluster {
        Some(name) => name.clone(),
        None => find::cluster(&client, &namespace).await?,
    };
    let place = find::pod(&client, &namespace, &cluster).await?;
    let told = (tokio::io::stdout(), tokio::io::stderr());
    exec::tool(&client, &place, &options.words, told).await
}

/// The client, and the namespace of its context.
async fn client(options: &Options) -> Result<(Client, String), PluginError> {
    let context = KubeConfigOptions {
        context: options.context.clone(),
        ..KubeConfigOptions::default()
    };
    let file: Option<&PathBuf> = options.kubeconfig.as_ref();
    let config = match file {
        Some(file) => {
            kube::Config::from_custom_kubeconfig(Kubeconfig::read_from(file)?, &context).await?
        }
        None => kube::Config::from_kubeconfig(&context).await?,
    };
    let namespace = config.default_namespace.clone();
    let client = Client::try_from(config).map_err(|error| PluginError::Client(Box::new(error)))?;
    Ok((client, namespace))
}
