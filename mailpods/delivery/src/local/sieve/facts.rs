//! What the interpreter is told about a message.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use mailpods_plan::{Domain, Mailbox, Plan, SieveScript};
use mailpods_sieve::{
    Answers, Envelope, Input, Library, Limits, Location, Progress, RunError, Script, ScriptError,
    Stage,
};
use mailpods_store::queue::{LeasedUnit, Origin};
use mailpods_store::sieve::personal::Personal;

use super::Incoming;
use crate::context::Context;

/// Scripts that `include` finds.
struct Scripts {
    global: HashMap<String, Arc<Script>>,
    personal: Option<Arc<Personal>>,
}

impl Library for Scripts {
    fn script(&self, location: Location, name: &str) -> Option<Arc<Script>> {
        match location {
            Location::Global => self.global.get(name).cloned(),
            Location::Personal => self.personal.as_ref()?.script(name)?.ok().cloned(),
        }
    }
}

/// All of it, owned.
pub(super) struct Facts {
    stages: Vec<Stage>,
    scripts: Scripts,
    body: Bytes,
    envelope: Envelope,
    owner: String,
    addresses: Vec<String>,
    separators: Vec<char>,
    now: i64,
    random: [u8; 16],
    hostname: String,
    environment: Vec<(String, String)>,
    junk: bool,
}

/// Addresses of one owner that the vacation test looks at.
const MAX_ADDRESSES: usize = 1000;

fn domain<'a>(plan: &'a Plan, mailbox: &Mailbox) -> Option<&'a Arc<Domain>> {
    plan.domains.get(mailbox.address.domain())
}

/// A script with the name that errors give it.
type Named<'a> = (String, Result<&'a Arc<Script>, &'a ScriptError>);

/// The scripts in their order. The one that the owner has made active takes the place of that of the Mailbox resource.
fn scripts<'a>(plan: &'a Plan, incoming: &'a Incoming) -> impl Iterator<Item = Named<'a>> {
    let mailbox = &incoming.mailbox;
    let around = domain(plan, mailbox).map(|domain| &domain.sieve);
    let of_plan = |name: &str, source: Option<&'a SieveScript>| {
        source.map(|source| (name.to_owned(), source.script()))
    };
    let personal = incoming.personal.as_ref().and_then(|kept| kept.active());
    let own = match personal {
        Some((name, script)) => Some((format!("the script \"{name}\""), script)),
        None => of_plan("the mailbox's script", mailbox.sieve.as_ref()),
    };
    [
        of_plan(
            "the cluster's script before",
            plan.sieve.stages.before.as_ref(),
        ),
        of_plan(
            "the domain's script before",
            around.and_then(|stages| stages.before.as_ref()),
        ),
        own,
        of_plan(
            "the domain's script after",
            around.and_then(|stages| stages.after.as_ref()),
        ),
        of_plan(
            "the cluster's script after",
            plan.sieve.stages.after.as_ref(),
        ),
    ]
    .into_iter()
    .flatten()
}

pub(super) fn has_scripts(plan: &Plan, incoming: &Incoming) -> bool {
    scripts(plan, incoming).next().is_some()
}

impl Facts {
    /// Collects them; a script that this release does not understand is an error of the run.
    pub(super) fn new(
        ctx: &Context,
        plan: &Plan,
        unit: &LeasedUnit,
        incoming: &Incoming,
        body: Bytes,
    ) -> Result<Self, RunError> {
        let mailbox = &incoming.mailbox;
        let mut stages = Vec::new();
        for (name, script) in scripts(plan, incoming) {
            let script = compiled(&name, script)?;
            stages.push(Stage { name, script });
        }
        let mut global = HashMap::new();
        for (name, source) in &plan.sieve.scripts {
            global.insert(name.clone(), compiled(name, source.script())?);
        }
        let message = &unit.message;
        let auth = match &message.origin {
            Origin::Submission(login) => Some(login.clone()),
            _ => None,
        };
        let domain = domain(plan, mailbox);
        Ok(Self {
            stages,
            scripts: Scripts {
                global,
                personal: incoming.personal.clone(),
            },
            body,
            envelope: Envelope {
                from: message.envelope.sender.clone(),
                to: incoming.recipient.clone(),
                auth,
            },
            owner: mailbox.address.to_string(),
            addresses: addresses(plan, mailbox),
            separators: domain
                .map(|domain| domain.detail_separators.clone())
                .unwrap_or_default(),
            now: ctx.now() / 1000,
            random: ctx.random(),
            hostname: plan.hostname.to_string(),
            environment: environment(plan, mailbox),
            junk: message.junk,
        })
    }

    pub(super) fn run(&self, answers: &Answers) -> Progress {
        let input = Input {
            message: &self.body,
            envelope: self.envelope.clone(),
            owner: self.owner.clone(),
            addresses: self.addresses.clone(),
            separators: self.separators.clone(),
            now: self.now,
            offset_minutes: 0,
            random: self.random,
            hostname: self.hostname.clone(),
            environment: self.environment.clone(),
            // The verdict is all that the checks before the 250 leave behind.
            spam_percent: Some(if self.junk { 100 } else { 0 }),
            virus: None,
            flags: Vec::new(),
            library: &self.scripts,
            limits: Limits::default(),
            trace: false,
        };
        mailpods_sieve::run(&self.stages, &input, answers)
    }
}

fn compiled(
    name: &str,
    script: Result<&Arc<Script>, &ScriptError>,
) -> Result<Arc<Script>, RunError> {
    script.cloned().map_err(|error| RunError {
        script: name.to_owned(),
        at: error.at,
        message: error.message.clone(),
    })
}

/// Every address that leads to the mailbox (RFC 5230 §4.5): those that it may send as, in all names of its domain.
fn addresses(plan: &Plan, mailbox: &Mailbox) -> Vec<String> {
    let aliases = plan
        .aliases
        .iter()
        .filter(|(_, targets)| targets.as_slice() == [mailbox.address.clone()])
        .map(|(alias, _)| alias);
    mailbox
        .send_as
        .iter()
        .chain(aliases)
        .take(MAX_ADDRESSES)
        .map(ToString::to_string)
        .collect()
}

/// RFC 5183 §4.1.
fn environment(plan: &Plan, mailbox: &Mailbox) -> Vec<(String, String)> {
    let items = [
        ("domain", mailbox.address.domain().to_string()),
        ("host", plan.hostname.to_string()),
        ("location", "MDA".to_owned()),
        ("name", "Mailpods".to_owned()),
        ("phase", "during".to_owned()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    items
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
