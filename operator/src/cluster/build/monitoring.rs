//! What the Prometheus operator is asked for.

use serde_json::{Value, json};

use super::Context;
use crate::kube::children::{Child, ChildKind, Mode};
use crate::names;

impl Context<'_> {
    pub(super) fn monitoring(&self) -> Vec<Child> {
        let Some(spec) = self
            .cluster
            .spec
            .monitoring
            .as_ref()
            .filter(|spec| spec.enabled)
        else {
            return Vec::new();
        };
        let name = self.cluster.name();
        let children = [
            (ChildKind::ServiceMonitor, self.service_monitor()),
            (ChildKind::PrometheusRule, self.rules()),
        ];
        let labelled = |(kind, rest): (ChildKind, Value)| {
            let mut child = self.child(kind, Mode::Apply, name, rest);
            let labels = child.object.pointer_mut("/metadata/labels");
            if let Some(labels) = labels.and_then(Value::as_object_mut) {
                for (name, value) in &spec.labels {
                    labels.entry(name.clone()).or_insert_with(|| json!(value));
                }
            }
            child
        };
        children.map(labelled).into()
    }

    fn service_monitor(&self) -> Value {
        json!({"spec": {
            "selector": {"matchLabels": names::instance(self.cluster.name())},
            "namespaceSelector": {"matchNames": [self.cluster.owner.namespace]},
            "endpoints": [{"port": "metrics", "path": "/metrics", "interval": "30s"}],
        }})
    }

    fn rules(&self) -> Value {
        let (namespace, cluster) = (&self.cluster.owner.namespace, self.cluster.name());
        let of = format!("namespace=\"{namespace}\",service=\"{cluster}-pods\"");
        let alerts = [
            (
                "MailpodsQueueOld",
                format!("max(mailpods_queue_oldest_seconds{{{of}}}) > 14400"),
                "15m",
                "The oldest message waits for more than four hours. `mailpods queue top` tells for whom.",
            ),
            (
                "MailpodsStoreSlow",
                format!(
                    "histogram_quantile(0.99, sum by (le) (rate(mailpods_store_commit_seconds_bucket{{{of}}}[5m]))) > 1"
                ),
                "10m",
                "One commit of a hundred takes more than a second.",
            ),
            (
                "MailpodsFilterFails",
                format!("sum(rate(mailpods_filter_failures_total{{{of}}}[10m])) > 0.1"),
                "15m",
                "Checks of received mail fail, so that senders are told to try later.",
            ),
            (
                "MailpodsUnsigned",
                format!("sum(increase(mailpods_delivery_unsigned_total{{{of}}}[1h])) > 0"),
                "5m",
                "Mail left without a DKIM signature.",
            ),
        ];
        let rules: Vec<Value> = alerts
            .into_iter()
            .map(|(alert, expr, wait, summary)| {
                json!({
                    "alert": alert,
                    "expr": expr,
                    "for": wait,
                    "labels": {"severity": "warning", "mailcluster": cluster},
                    "annotations": {"summary": summary},
                })
            })
            .collect();
        json!({"spec": {"groups": [{"name": "mailpods", "rules": rules}]}})
    }
}
