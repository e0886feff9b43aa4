//! Events: what happened to an object, for `kubectl describe`.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

/// Longest note of an event, octets.
const MAX_NOTE: usize = 1_000;

/// Writes events.
#[derive(Clone)]
pub struct Events(Recorder);

impl Events {
    /// Events of this pod.
    #[must_use]
    pub fn new(client: Client, instance: &str) -> Self {
        let reporter = Reporter {
            controller: "mailpods-operator".to_owned(),
            instance: Some(instance.to_owned()),
        };
        Self(Recorder::new(client, reporter))
    }

    /// Tells what happened. A failure is logged: events are a help, not the truth.
    pub async fn tell(&self, about: &ObjectReference, good: bool, reason: &str, note: &str) {
        let note: String = note.chars().take(MAX_NOTE / 4).collect();
        let event = Event {
            type_: if good {
                EventType::Normal
            } else {
                EventType::Warning
            },
            reason: reason.to_owned(),
            note: Some(note).filter(|note| !note.is_empty()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if let Err(error) = self.0.publish(&event, about).await {
            tracing::debug!(error = %mailpods_telemetry::error_chain(&error), "failed to write an event");
        }
    }
}
