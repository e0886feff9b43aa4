//! A folder with a configuration and a store, and the binary.
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use mailpods_store::Store;
use mailpods_store::sqlite::{Options, SqliteStore};
use serde_json::Value;

pub const CONFIG: &str = "\
apiVersion: mailpods.dev/v1alpha1
kind: MailCluster
metadata: {name: main}
spec:
  hostname: mail.example.test
  listeners:
    - {name: smtp, protocol: smtp, address: 127.0.0.1, port: 2525}
    - {name: imaps, protocol: imaps, address: 127.0.0.1, port: 2993}
---
apiVersion: mailpods.dev/v1alpha1
kind: MailDomain
metadata: {name: example}
spec: {domain: example.test}
---
apiVersion: mailpods.dev/v1alpha1
kind: Mailbox
metadata: {name: alice}
spec:
  address: alice@example.test
  passwordSecretRef: {name: alice}
---
apiVersion: v1
kind: Secret
metadata: {name: alice}
stringData: {password: open-sesame}
";

pub struct World {
    folder: tempfile::TempDir,
}

impl World {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("config")).unwrap();
        std::fs::write(folder.path().join("config/all.yaml"), CONFIG).unwrap();
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn config(&self) -> PathBuf {
        self.path("config")
    }

    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Does something with the store, making it first.
    pub fn with_store<T>(&self, act: impl AsyncFnOnce(&Store) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let open = SqliteStore::open(&self.data(), Options::default()).unwrap();
            let result = act(&open.store()).await;
            open.close().await.unwrap();
            result
        })
    }

    pub fn run(&self, arguments: &[&str]) -> Run {
        self.run_with_input(arguments, b"")
    }

    /// The binary with arguments, to be started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailpods"));
        command
            .args(arguments)
            .env("MAILPODS_DATA", self.data())
            .env_remove("MAILPODS_CONFIG")
            .current_dir(self.folder.path());
        command
    }

    pub fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Run {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that reads nothing may have ended already.
        let _ = child.stdin.take().unwrap().write_all(input);
        Run {
            output: child.wait_with_output().unwrap(),
            command: arguments.join(" "),
        }
    }
}

/// What a command did.
pub struct Run {
    output: Output,
    command: String,
}

impl Run {
    /// Fails the test unless the exit code is this one.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        let found = self.output.status.code();
        assert_eq!(
            found,
            Some(code),
            "mailpods {}\n{}\n{}",
            self.command,
            self.text(),
            self.errors()
        );
        self
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.output.stdout.clone()).unwrap()
    }

    pub fn errors(&self) -> String {
        String::from_utf8(self.output.stderr.clone()).unwrap()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.output.stdout)
            .unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    #[track_caller]
    pub fn rows(&self) -> Vec<Value> {
        self.json().as_array().expect("an array").clone()
    }

    /// Fails the test unless every text is in the output.
    #[track_caller]
    pub fn says(&self, texts: &[&str]) -> &Self {
        for text in texts {
            assert!(
                self.text().contains(text),
                "{text:?} is missing in\n{}",
                self.text()
            );
        }
        self
    }
}

pub fn text_of(path: &Path) -> &str {
    path.to_str().unwrap()
}
