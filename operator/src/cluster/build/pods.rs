//! What is in a pod of a role.

use std::collections::BTreeMap;

use mailpods_api::v1alpha1::{EgressRoleSpec, PodsSpec};
use mailpods_plan::Role;
use serde_json::{Map, Value, json};

use super::{Context, DRAIN_DELAY_SECONDS, FILTER_PORT, HEALTH_PORT, pod_port, served_by};
use crate::names;

/// User and group that pods run as.
const USER: u32 = 65_532;
/// Time that ending takes besides waiting: the last commit, the last log lines.
const END_MARGIN_SECONDS: u64 = 10;
/// How long a token for the control channel is good; the kubelet renews it before.
const TOKEN_SECONDS: u64 = 3_600;
const CONTROL: &str = "/var/run/mailpods/control";
const SEAL: &str = "/var/run/mailpods/seal";
const STORE: &str = "/var/run/mailpods/store";
const FILTER: &str = "/var/run/mailpods/filter";
const EGRESS: &str = "/var/run/mailpods/egress";
const DATA: &str = "/var/lib/mailpods";

impl Context<'_> {
    /// Template of the pods of a role.
    pub(super) fn template(&self, role: Role) -> Value {
        let pods = self.pods_spec();
        let mut labels = pods.labels.clone();
        labels.extend(names::selector(self.cluster.name(), role));
        if role == Role::Egress {
            labels.extend(names::proxies(self.cluster.name()));
        }
        let mut metadata = json!({ "labels": labels });
        if let (false, Some(metadata)) = (pods.annotations.is_empty(), metadata.as_object_mut()) {
            metadata.insert("annotations".to_owned(), json!(pods.annotations));
        }
        json!({"metadata": metadata, "spec": self.pod(role, &pods)})
    }

    pub(super) fn pods_spec(&self) -> PodsSpec {
        self.cluster.spec.pods.clone().unwrap_or_default()
    }

    fn pod(&self, role: Role, pods: &PodsSpec) -> Value {
        let grace = self.cluster.spec.shutdown_grace.get().as_secs();
        let mut spec = json!({
            "serviceAccountName": names::of_role(self.cluster.name(), role),
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": grace + DRAIN_DELAY_SECONDS + END_MARGIN_SECONDS,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "topologySpreadConstraints": self.spread(role, pods),
            "containers": [self.container(role, pods)],
            "volumes": self.volumes(role),
        });
        if let Some(spec) = spec.as_object_mut() {
            place(spec, pods);
            if self.cluster.is_on_node(role) {
                self.put_on_node(spec, role);
            }
        }
        spec
    }

    /// The network of a node, of one that has outbound addresses. A namespace of PodSecurity level baseline or restricted refuses it.
    fn put_on_node(&self, spec: &mut Map<String, Value>, role: Role) {
        spec.insert("hostNetwork".to_owned(), json!(true));
        spec.insert("dnsPolicy".to_owned(), json!("ClusterFirstWithHostNet"));
        spec.insert("nodeSelector".to_owned(), json!(self.egress_nodes()));
        if role == Role::Egress {
            // There is one on each node in any case.
            spec.remove("topologySpreadConstraints");
        }
    }

    /// Labels of the nodes that have outbound addresses.
    pub(super) fn egress_nodes(&self) -> BTreeMap<String, String> {
        let own = self.cluster.egress().map(|egress| &egress.node_selector);
        let own = own.cloned().filter(|labels| !labels.is_empty());
        own.unwrap_or_else(|| EgressRoleSpec::default().node_selector)
    }

    /// Port of probes and metrics. On the network of a node, ports are everybody's.
    pub(super) fn health_port(&self, role: Role) -> u16 {
        match self.cluster.egress() {
            Some(egress) if role == Role::Egress => egress.port + 1,
            _ => HEALTH_PORT,
        }
    }

    fn spread(&self, role: Role, pods: &PodsSpec) -> Vec<Value> {
        let standard = ["topology.kubernetes.io/zone", "kubernetes.io/hostname"];
        let keys: Vec<&str> = if pods.spread_over.is_empty() {
            standard.into()
        } else {
            pods.spread_over.iter().map(String::as_str).collect()
        };
        let selector = names::selector(self.cluster.name(), role);
        let constraint = |key: &str| {
            json!({
                "maxSkew": 1,
                "topologyKey": key,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector},
            })
        };
        keys.into_iter().map(constraint).collect()
    }

    fn container(&self, role: Role, pods: &PodsSpec) -> Value {
        let image = pods.image.as_ref().unwrap_or(&self.surroundings.image);
        let mut container = json!({
            "name": role.as_str(),
            "image": image,
            "args": self.arguments(role),
            "env": self.environment(role),
            "ports": self.container_ports(role),
            "resources": self.resources(role),
            "livenessProbe": probe("/livez", 10, 6),
            "readinessProbe": probe("/readyz", 5, 2),
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": self.mounts(role),
        });
        if let (Some(policy), Some(container)) = (pods.image_pull_policy, container.as_object_mut())
        {
            container.insert("imagePullPolicy".to_owned(), json!(policy));
        }
        container
    }

    fn environment(&self, role: Role) -> Vec<Value> {
        let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
        let mut environment = vec![field("POD_NAME", "metadata.name")];
        if self.cluster.is_on_node(role) {
            environment.push(field("HOST_IP", "status.hostIP"));
        }
        // Not arguments: so tools that are run in the pod find the store as it does.
        let value = |name: &str, value: String| json!({"name": name, "value": value});
        match role {
            Role::All => environment.push(value("MAILPODS_DATA", DATA.to_owned())),
            Role::Smtp | Role::Imap | Role::Delivery => environment.extend([
                value("MAILPODS_STORE_URI_FILE", format!("{STORE}/uri")),
                value("MAILPODS_SEAL_KEY", format!("{SEAL}/seal.key")),
            ]),
            Role::Filter | Role::Egress => {}
        }
        environment
    }

    fn arguments(&self, role: Role) -> Vec<String> {
        let owner = &self.cluster.owner;
        // On the network of a node, its other addresses are none of ours.
        let listen = match self.cluster.is_on_node(role) {
            true => "$(HOST_IP)",
            false => "0.0.0.0",
        };
        let mut arguments = vec![
            role.to_string(),
            format!("--control={}", self.surroundings.control_url),
            format!("--control-ca={CONTROL}/ca.crt"),
            format!("--control-token={CONTROL}/token"),
            format!("--cluster={}/{}", owner.namespace, owner.name),
            "--pod-name=$(POD_NAME)".to_owned(),
            format!("--health={listen}:{}", self.health_port(role)),
            format!("--drain-delay={DRAIN_DELAY_SECONDS}"),
        ];
        match role {
            Role::Filter => arguments.extend(filter_arguments()),
            Role::Egress => arguments.extend(self.egress_arguments()),
            Role::Smtp | Role::Imap | Role::Delivery | Role::All => {}
        }
        if role == Role::Smtp {
            let host = names::of_role(&owner.name, Role::Filter);
            let namespace = &owner.namespace;
            arguments.extend([
                format!("--filter=https://{host}.{namespace}.svc:{FILTER_PORT}"),
                format!("--filter-ca={FILTER}/ca.crt"),
                format!("--filter-token={FILTER}/token"),
            ]);
        }
        if let (Role::Delivery | Role::All, Some(egress)) = (role, self.cluster.egress()) {
            let host = names::of_role(&owner.name, Role::Egress);
            arguments.extend([
                format!("--egress={host}.{}.svc:{}", owner.namespace, egress.port),
                format!("--egress-ca={EGRESS}/ca.crt"),
                format!("--egress-token={EGRESS}/token"),
            ]);
        }
        arguments
    }

    fn egress_arguments(&self) -> Vec<String> {
        let port = self.cluster.egress().map(|egress| egress.port);
        let listen = port.map(|port| format!("--egress-listen=$(HOST_IP):{port}"));
        let files = [
            format!("--keep-plan={DATA}"),
            format!("--egress-cert={EGRESS}/tls.crt"),
            format!("--egress-key={EGRESS}/tls.key"),
            format!("--egress-token={EGRESS}/token"),
        ];
        listen.into_iter().chain(files).collect()
    }

    fn container_ports(&self, role: Role) -> Vec<Value> {
        let port =
            |name: &str, port: u16| json!({"name": name, "containerPort": port, "protocol": "TCP"});
        let mut ports = vec![port("health", self.health_port(role))];
        if let (Role::Egress, Some(egress)) = (role, self.cluster.egress()) {
            ports.push(port("socks5", egress.port));
        }
        if role == Role::Filter {
            ports.push(port("scan", FILTER_PORT));
        }
        let listeners = self.cluster.listeners().filter(|listener| {
            served_by(listener.protocol).is_some_and(|by| by == role || role == Role::All)
        });
        // Names of ports have 15 characters at most; a listener's may have more, and the number says enough.
        ports.extend(
            listeners.map(
                |listener| json!({"containerPort": pod_port(listener.port), "protocol": "TCP"}),
            ),
        );
        ports
    }

    fn resources(&self, role: Role) -> Value {
        let roles = self.cluster.spec.roles.clone().unwrap_or_default();
        let (requests, limits) = match role {
            Role::All => roles.all.map(|all| (all.requests, all.limits)),
            Role::Smtp => roles.smtp.map(|role| (role.requests, role.limits)),
            Role::Imap => roles.imap.map(|role| (role.requests, role.limits)),
            Role::Filter => roles.filter.map(|role| (role.requests, role.limits)),
            Role::Delivery => roles.delivery.map(|role| (role.requests, role.limits)),
            Role::Egress => roles.egress.map(|role| (role.requests, role.limits)),
        }
        .unwrap_or_default();
        let memory = if role == Role::All { "1Gi" } else { "512Mi" };
        json!({
            "requests": with_defaults(requests, &[("cpu", "50m"), ("memory", "64Mi")]),
            "limits": with_defaults(limits, &[("memory", memory)]),
        })
    }

    fn volumes(&self, role: Role) -> Vec<Value> {
        let cluster = self.cluster.name();
        let token = json!({"serviceAccountToken": {"audience": mailpods_rpc::control::AUDIENCE, "expirationSeconds": TOKEN_SECONDS, "path": "token"}});
        let authority = json!({"configMap": {"name": names::control_config(cluster), "items": [{"key": "ca.crt", "path": "ca.crt"}]}});
        let mut volumes = vec![
            json!({"name": "control", "projected": {"defaultMode": 0o440, "sources": [token, authority]}}),
            json!({"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}}),
        ];
        if role != Role::Egress {
            let seal = names::seal_secret(cluster);
            volumes.push(secret("seal", &seal, &[("seal.key", "seal.key")]));
        }
        let filter = names::filter_secret(cluster);
        match role {
            Role::Smtp => volumes.push(secret(
                "filter",
                &filter,
                &[("ca.crt", "ca.crt"), ("token", "token")],
            )),
            Role::Filter => volumes.push(secret(
                "filter",
                &filter,
                &[
                    ("tls.crt", "tls.crt"),
                    ("tls.key", "tls.key"),
                    ("token", "token"),
                ],
            )),
            Role::Imap | Role::Delivery | Role::Egress | Role::All => {}
        }
        volumes.extend(self.egress_volume(role));
        if role == Role::Egress {
            // It outlasts a restart of the node, so that the plan is there while the operator is away.
            volumes.push(json!({"name": "data", "emptyDir": {"sizeLimit": "64Mi"}}));
        }
        if let (Some(store), Role::Smtp | Role::Imap | Role::Delivery) =
            (self.cluster.postgresql(), role)
        {
            let reference = &store.uri_secret_ref;
            let key = reference.key.as_deref().unwrap_or("uri");
            volumes.push(secret("store", &reference.name, &[(key, "uri")]));
        }
        volumes
    }

    /// What the proxies have, or what delivery knows them by.
    fn egress_volume(&self, role: Role) -> Option<Value> {
        self.cluster.egress()?;
        let keys: &[&str] = match role {
            Role::Egress => &["tls.crt", "tls.key", "token"],
            Role::Delivery | Role::All => &["ca.crt", "token"],
            Role::Smtp | Role::Imap | Role::Filter => return None,
        };
        let items: Vec<(&str, &str)> = keys.iter().map(|key| (*key, *key)).collect();
        let name = names::egress_secret(self.cluster.name());
        Some(secret("egress", &name, &items))
    }

    fn mounts(&self, role: Role) -> Vec<Value> {
        let read =
            |name: &str, path: &str| json!({"name": name, "mountPath": path, "readOnly": true});
        let mut mounts = vec![
            read("control", CONTROL),
            json!({"name": "tmp", "mountPath": "/tmp"}),
        ];
        if role != Role::Egress {
            mounts.insert(1, read("seal", SEAL));
        }
        if self.egress_volume(role).is_some() {
            mounts.push(read("egress", EGRESS));
        }
        if matches!(role, Role::Smtp | Role::Filter) {
            mounts.push(read("filter", FILTER));
        }
        if matches!(role, Role::Smtp | Role::Imap | Role::Delivery) {
            mounts.push(read("store", STORE));
        }
        if matches!(role, Role::All | Role::Egress) {
            mounts.push(json!({"name": "data", "mountPath": DATA}));
        }
        mounts
    }
}

fn filter_arguments() -> [String; 4] {
    [
        format!("--filter-listen=0.0.0.0:{FILTER_PORT}"),
        format!("--filter-cert={FILTER}/tls.crt"),
        format!("--filter-key={FILTER}/tls.key"),
        format!("--filter-token={FILTER}/token"),
    ]
}

/// Where pods may run.
fn place(spec: &mut Map<String, Value>, pods: &PodsSpec) {
    let secrets: Vec<Value> = pods
        .image_pull_secrets
        .iter()
        .map(|secret| json!({"name": secret.name}))
        .collect();
    if !secrets.is_empty() {
        spec.insert("imagePullSecrets".to_owned(), json!(secrets));
    }
    if !pods.node_selector.is_empty() {
        spec.insert("nodeSelector".to_owned(), json!(pods.node_selector));
    }
    if !pods.tolerations.is_empty() {
        spec.insert("tolerations".to_owned(), json!(pods.tolerations));
    }
    if let Some(class) = &pods.priority_class_name {
        spec.insert("priorityClassName".to_owned(), json!(class));
    }
}

fn probe(path: &str, period: u32, failures: u32) -> Value {
    json!({
        "httpGet": {"path": path, "port": "health"},
        "periodSeconds": period,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    })
}

fn secret(volume: &str, name: &str, items: &[(&str, &str)]) -> Value {
    let items: Vec<Value> = items
        .iter()
        .map(|(key, path)| json!({"key": key, "path": path}))
        .collect();
    json!({"name": volume, "secret": {"secretName": name, "defaultMode": 0o440, "items": items}})
}

fn with_defaults(
    mut resources: BTreeMap<String, String>,
    defaults: &[(&str, &str)],
) -> BTreeMap<String, String> {
    for (name, quantity) in defaults {
        resources
            .entry((*name).to_owned())
            .or_insert_with(|| (*quantity).to_owned());
    }
    resources
}
