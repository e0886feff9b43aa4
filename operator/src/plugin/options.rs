//! The command line. Words of the tool and options of the plugin may stand in any order, as people write them.

use std::path::PathBuf;

use super::PluginError;

/// Tools that run in a pod, and what they do. The others work on files of the user's own machine.
pub const TOOLS: [(&str, &str); 11] = [
    ("queue", "see and steer the messages that wait"),
    ("ip", "see and steer the addresses that mail leaves from"),
    ("route", "where mail for a domain would go now, and why"),
    ("explain", "the same, or what a field of a resource means"),
    ("trace", "what became of a message"),
    ("suppression", "recipients that are not written to any more"),
    ("suspension", "accounts that may not send"),
    ("bans", "clients and accounts whose log-ins are refused"),
    ("mailbox", "mailboxes and what they hold"),
    ("verify", "what the checks say of a message"),
    ("version", "version of the pod"),
];

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Namespace of the MailCluster; that of the context when left out.
    pub namespace: Option<String>,
    /// Its name; the only one of the namespace when left out.
    pub cluster: Option<String>,
    /// Context of the kubeconfig.
    pub context: Option<String>,
    /// The kubeconfig.
    pub kubeconfig: Option<PathBuf>,
    /// The tool and its arguments.
    pub words: Vec<String>,
}

impl Options {
    /// Reads the arguments after the program's name; `None` when help is wanted.
    ///
    /// # Errors
    /// When an option has no value, or the words are no tool.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Option<Self>, PluginError> {
        let mut options = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            if argument == "--" {
                options.words.extend(arguments);
                break;
            }
            let (name, attached) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            if !matches!(
                name,
                "-n" | "--namespace" | "--mailcluster" | "--context" | "--kubeconfig"
            ) {
                options.words.push(argument);
                continue;
            }
            let value = attached.or_else(|| arguments.next());
            let value = value.ok_or_else(|| PluginError::Value(name.to_owned()))?;
            options.set(name, value);
        }
        options.checked()
    }

    fn set(&mut self, name: &str, value: String) {
        match name {
            "--mailcluster" => self.cluster = Some(value),
            "--context" => self.context = Some(value),
            "--kubeconfig" => self.kubeconfig = Some(value.into()),
            _ => self.namespace = Some(value),
        }
    }

    fn checked(self) -> Result<Option<Self>, PluginError> {
        match self.words.first().map(String::as_str) {
            None | Some("-h" | "--help" | "help") => Ok(None),
            Some(word) if TOOLS.iter().any(|(name, _)| *name == word) => Ok(Some(self)),
            Some(word) => Err(PluginError::Tool {
                word: word.to_owned(),
            }),
        }
    }
}
