//! Changes at an even pace, and how soon pods have them in their plan.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mailpods_net::https::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::api::{Api, OURS};
use super::pod::{Identity, Pod};
use super::process::Operator;
use super::world::{World, domain};
use super::{Bench, OPERATOR_NAMESPACE};
use crate::goals::Report;
use crate::progress;

/// Roles that know mailboxes and domains; each has a pod. The filter gets settings alone.
const ROLES: [&str; 3] = ["smtp", "imap", "delivery"];
/// How long changes go on.
const SPAN: Duration = Duration::from_secs(60);
/// Time for the last ones to be seen.
const GRACE: Duration = Duration::from_secs(15);
/// Numbers that no object has before it is changed.
const FIRST: u64 = 1_000_000;

/// A change and the plan entry that shows it.
struct Change {
    method: Method,
    path: String,
    body: Value,
    entry: String,
    number: u64,
}

impl Bench<'_> {
    /// Changes objects for a minute while pods of three roles follow.
    ///
    /// # Errors
    /// When a change is refused, or a pod ends.
    pub async fn changes(&self, operator: &Operator, report: &mut Report) -> Result<()> {
        let api = &self.plane.api;
        let mut pods = Vec::new();
        let begin = Instant::now();
        for role in ROLES {
            let identity = identity(api, operator, role).await?;
            pods.push(Pod::start(role, identity).await?);
        }
        report.note("pods: whole plans", "s", begin.elapsed().as_secs_f64());
        let count = self.options.changes;
        progress(&format!(
            "{count} changes in a minute, seen by pods of {} roles",
            ROLES.len()
        ));
        self.change(api, &pods).await?;
        let end = Instant::now() + GRACE;
        while pods.iter().any(|pod| pod.waiting.left() > 0) && Instant::now() < end {
            sleep(Duration::from_millis(100)).await;
        }
        let mut times = Vec::new();
        for pod in pods {
            let (role, left) = (pod.role, pod.waiting.left());
            let of_role = pod.stop()?;
            ensure!(
                left == 0,
                "the pod of role {role} has not seen {left} of {count} changes"
            );
            times.extend(of_role);
        }
        times.sort();
        let at = |share: f64| -> Result<f64> {
            let last = times.len().saturating_sub(1) as f64;
            let time = times.get((last * share).round() as usize);
            Ok(time.context("no change was seen")?.as_secs_f64() * 1_000.0)
        };
        report.note("change to plan: median", "ms", at(0.5)?);
        report.below("change to plan: p99", "ms", at(0.99)?, 1_000.0);
        report.note("change to plan: longest", "ms", at(1.0)?);
        Ok(())
    }

    async fn change(&self, api: &Api, pods: &[Pod]) -> Result<()> {
        let pace = SPAN.div_f64(self.options.changes.max(1) as f64);
        let begin = Instant::now();
        let mut requests = JoinSet::new();
        for index in 0..self.options.changes {
            sleep_until(begin + pace.mul_f64(index as f64)).await;
            let change = change(&self.world, index);
            for pod in pods {
                pod.waiting.expect(change.entry.clone(), change.number);
            }
            let api = api.clone();
            requests.spawn(async move {
                let Change {
                    method, path, body, ..
                } = change;
                api.done(method, &path, Some(&body)).await
            });
        }
        while let Some(done) = requests.join_next().await {
            done??;
        }
        Ok(())
    }
}

/// Of ten changes, eight are of a Mailbox, one is a new Mailbox, one is of a MailDomain; each of another object.
fn change(world: &World, index: usize) -> Change {
    let number = FIRST + index as u64;
    // Far apart, as those of many people are.
    let spread = |count: usize| index.wrapping_mul(7_919) % count.max(1);
    match index % 10 {
        0 => {
            let which = index / 10 % world.domains;
            Change {
                method: Method::PATCH,
                path: format!("{OURS}/maildomains/d{which}"),
                body: json!({"spec": {"limits": {"messagesPerHour": number}}}),
                entry: format!("domain/{}", domain(which)),
                number,
            }
        }
        1 => {
            let which = world.mailboxes + index;
            let (path, mut body) = world.mailbox(which);
            if let Some(quota) = body.pointer_mut("/spec/quota") {
                *quota = json!({"messages": number});
            }
            Change {
                method: Method::POST,
                path,
                body,
                entry: format!("mailbox/{}", world.address(which)),
                number,
            }
        }
        _ => {
            let which = spread(world.mailboxes);
            Change {
                method: Method::PATCH,
                path: format!("{OURS}/mailboxes/m{which}"),
                body: json!({"spec": {"quota": {"messages": number}}}),
                entry: format!("mailbox/{}", world.address(which)),
                number,
            }
        }
    }
}

/// A pod of a role, as the control channel knows it.
async fn identity(api: &Api, operator: &Operator, role: &str) -> Result<Identity> {
    let path = format!("/api/v1/namespaces/{OPERATOR_NAMESPACE}/secrets/mailpods-operator-control");
    let secret = api.done(Method::GET, &path, None).await?;
    let data: BTreeMap<String, String> =
        serde_json::from_value(secret.get("data").cloned().unwrap_or_default())?;
    let root = data.get("ca.crt").context("no authority in the Secret")?;
    Ok(Identity {
        url: format!("https://localhost:{}", operator.control),
        root: String::from_utf8(base64::Engine::decode(
            &base64::engine::general_purpose::STANDARD,
            root,
        )?)?,
        token: api.token(&format!("main-{role}")).await?,
    })
}
