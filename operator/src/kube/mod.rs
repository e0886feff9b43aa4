//! What is done through the Kubernetes client, whatever the kind.

pub mod children;
