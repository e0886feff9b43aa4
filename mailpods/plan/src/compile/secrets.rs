//! Values that come from Secrets.

use std::sync::Arc;

use mailpods_api::v1alpha1::{HopProtocol, HopTlsMode, NextHopSpec, SecretKeyRef, SecretRef};

use super::Compiler;
use crate::load::{Environment, Secret};
use crate::model::{HopTls, NextHop, TlsMaterial};
use crate::problem::{Origin, ProblemClass};
use crate::secret::SecretText;

impl Compiler<'_> {
    /// The value of a key; `key` names the one that is meant when the reference does not.
    pub(super) fn secret_key(
        &mut self,
        origin: &Origin,
        field: &str,
        reference: &SecretKeyRef,
        key: &str,
    ) -> Option<SecretText> {
        let key = reference.key.as_deref().unwrap_or(key);
        self.secret_value(origin, field, &reference.name, key)
    }

    pub(super) fn secret_value(
        &mut self,
        origin: &Origin,
        field: &str,
        name: &str,
        key: &str,
    ) -> Option<SecretText> {
        let Some(secret) = self.secret(origin, name) else {
            let hint = match self.resources.environment {
                Environment::Standalone => {
                    format!("add a Secret of that name, or a file secrets/{name}/{key}")
                }
                Environment::Cluster => "add a Secret of that name to the namespace".to_owned(),
            };
            let problem = origin
                .problem(&format!("{field}.name"), "names no Secret")
                .found(name)
                .hint(hint);
            self.missing(problem);
            return None;
        };
        let Some(value) = secret.data.get(key) else {
            let keys = secret
                .data
                .keys()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(", ");
            let problem = origin
                .problem(
                    &format!("{field}.key"),
                    format!("Secret {name} has no such key"),
                )
                .found(key)
                .class(ProblemClass::Missing);
            self.problems.push(problem.allowed(keys));
            return None;
        };
        if value.reveal().is_empty() {
            let message = format!("key {key} of Secret {name} is empty");
            self.problems.push(origin.problem(field, message));
            return None;
        }
        Some(value.clone())
    }

    /// A Secret of the namespace, or files beside.
    fn secret(&self, origin: &Origin, name: &str) -> Option<&Secret> {
        let find = |namespace: &str| {
            self.resources
                .secrets
                .get(&(namespace.to_owned(), name.to_owned()))
        };
        find(&origin.namespace)
            .or_else(|| find(""))
            .map(Arc::as_ref)
    }

    /// Certificate and key of a Secret of type `kubernetes.io/tls`.
    pub(super) fn tls_material(
        &mut self,
        origin: &Origin,
        field: &str,
        reference: &SecretRef,
    ) -> Option<TlsMaterial> {
        let chain = self.secret_value(origin, field, &reference.name, "tls.crt")?;
        let key = self.secret_value(origin, field, &reference.name, "tls.key")?;
        for (name, text) in [("tls.crt", &chain), ("tls.key", &key)] {
            if !text.reveal().contains("-----BEGIN ") {
                self.problems.push(origin.problem(
                    field,
                    format!("key {name} of Secret {} is not PEM", reference.name),
                ));
            }
        }
        Some(TlsMaterial {
            chain: chain.reveal().to_owned(),
            key,
        })
    }

    /// A next hop with its log-in.
    pub(super) fn next_hop(&mut self, origin: &Origin, field: &str, spec: &NextHopSpec) -> NextHop {
        let tls = match spec.tls {
            HopTlsMode::None => HopTls::None,
            HopTlsMode::Opportunistic => HopTls::Opportunistic,
            HopTlsMode::Verify => HopTls::Verify,
            HopTlsMode::Implicit => HopTls::Implicit,
        };
        if spec.auth_secret_ref.is_some() && matches!(tls, HopTls::None | HopTls::Opportunistic) {
            let problem = origin.problem(
                &format!("{field}.tls"),
                "a password needs TLS that is verified",
            );
            self.problems.push(
                problem
                    .found(format_args!("{:?}", spec.tls))
                    .allowed("Verify, Implicit"),
            );
        }
        let auth = spec.auth_secret_ref.as_ref().and_then(|reference| {
            let field = format!("{field}.authSecretRef");
            let username = self.secret_value(origin, &field, &reference.name, "username")?;
            let password = self.secret_value(origin, &field, &reference.name, "password")?;
            Some((username.reveal().to_owned(), password))
        });
        NextHop {
            host: spec.host.clone(),
            port: spec.port,
            tls,
            lmtp: spec.protocol == HopProtocol::Lmtp,
            auth,
        }
    }
}
