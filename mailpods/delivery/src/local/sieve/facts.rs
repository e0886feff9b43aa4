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
    /// Those that run whatever the owner's script decided.
    after: Vec<Stage>,
    /// A script that this release does not understand; it counts as if it were not there.
    broken: Option<RunError>,
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

/// A script with the name that errors give it, and whether it runs whatever was decided before.
type Named<'a> = (String, Result<&'a Arc<Script>, &'a ScriptError>, bool);

/// The scripts in their order. The one that the owner has made active takes the place of that of the Mailbox resource.
fn scripts<'a>(plan: &'a Plan, incoming: &'a Incoming) -> impl Iterator<Item = Named<'a>> {
    let mailbox = &incoming.mailbox;
    let around = domain(plan, mailbox).map(|domain| &domain.sieve);
    let of_plan = |name: &str, source: Option<&'a SieveScript>, after: bool| {
        source.map(|source| (name.to_owned(), source.script(), after))
    };
    let personal = incoming.personal.as_ref().and_then(|kept| kept.active());
    let own = match personal {
        Some((name, script)) => Some((format!("the script \"{name}\""), script, false)),
        None => of_plan("the mailbox's script", mailbox.sieve.as_ref(), false),
    };
    [
        of_plan(
            "the cluster's script before",
            plan.sieve.stages.before.as_ref(),
            false,
        ),
        of_plan(
            "the domain's script before",
            around.and_then(|stages| stages.before.as_ref()),
            false,
        ),
        own,
        of_plan(
            "the domain's script after",
            around.and_then(|stages| stages.after.as_ref()),
            true,
        ),
        of_plan(
            "the cluster's script after",
            plan.sieve.stages.after.as_ref(),
            true,
        ),
    ]
    .into_iter()
    .flatten()
}

pub(super) fn has_scripts(plan: &Plan, incoming: &Incoming) -> bool {
    scripts(plan, incoming).next().is_some()
}

impl Facts {
    /// Collects them.
    pub(super) fn new(
        ctx: &Context,
        plan: &Plan,
        unit: &LeasedUnit,
        incoming: &Incoming,
        body: Bytes,
    ) -> Self {
        let mailbox = &incoming.mailbox;
        let (mut stages, mut after, mut broken) = (Vec::new(), Vec::new(), None);
        for (name, script, is_after) in scripts(plan, incoming) {
            let stages = if is_after { &mut after } else { &mut stages };
            match compiled(&name, script) {
                Ok(script) => stages.push(Stage { name, script }),
                Err(error) => broken = broken.or(Some(error)),
            }
        }
        // One that this release does not understand is none: whoever includes it is told so, and nobody else.
        let global = plan.sieve.scripts.iter().filter_map(|(name, source)| {
            let script = source.script().ok()?;
            Some((name.clone(), Arc::clone(script)))
        });
        let message = &unit.message;
        let auth = match &message.origin {
            Origin::Submission(login) => Some(login.clone()),
            _ => None,
        };
        let domain = domain(plan, mailbox);
        Self {
            stages,
            after,
            broken,
            scripts: Scripts {
                global: global.collect(),
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
        }
    }

    pub(super) fn run(&self, answers: &Answers) -> Progress {
        let input = Input {
            message: &self.body,
            envelope: Some(self.envelope.clone()),
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
        let mut progress =
            mailpods_sieve::run_with_after(&self.stages, &self.after, &input, answers);
        if let Progress::Done(outcome) = &mut progress {
            outcome.error = self.broken.clone().or(outcome.error.take());
        }
        progress
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
        // RFC 6785 §4.2, §4.5: nobody's command brought the message.
        ("imap.user", String::new()),
        ("imap.email", String::new()),
        ("imap.changedflags", String::new()),
    ];
    items
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
