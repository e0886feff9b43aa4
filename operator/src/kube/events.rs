//! Events: what happened to an object, for `kubectl describe`.

use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

/// Longest note of an event, octets.
const MAX_NOTE: usize = 1_000;

/// Events that are remembered, so that the same one counts up instead of being written again.
const REMEMBERED: usize = 256;

/// Writes events.
pub struct Events {
    client: Client,
    reporter: Reporter,
    /// The one in use, and how many it has written: it remembers each of them for minutes.
    recorder: Mutex<(Recorder, usize)>,
}

impl Events {
    /// Events of this pod.
    #[must_use]
    pub fn new(client: Client, instance: &str) -> Self {
        let reporter = Reporter {
            controller: "mailpods-operator".to_owned(),
            instance: Some(instance.to_owned()),
        };
        let recorder = Recorder::new(client.clone(), reporter.clone());
        Self {
            client,
            reporter,
            recorder: Mutex::new((recorder, 0)),
        }
    }

    fn recorder(&self) -> Recorder {
        let mut recorder = self.recorder.lock().unwrap_or_else(PoisonError::into_inner);
        if recorder.1 >= REMEMBERED {
            *recorder = (Recorder::new(self.client.clone(), self.reporter.clone()), 0);
        }
        recorder.1 += 1;
        recorder.0.clone()
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
        if let Err(error) = self.recorder().publish(&event, about).await {
            tracing::debug!(error = %mailpods_telemetry::error_chain(&error), "failed to write an event");
        }
    }
}
