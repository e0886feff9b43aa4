//! Providers, block lists, suppression and suspension of `spec.outbound`.

use std::collections::BTreeSet;
use std::time::Duration;

use mailpods_api::TimeSpan;
use mailpods_api::v1alpha1::{
    BlockListSpec, OutboundSpec, ProviderSpec, ReplyBlame, ReplyKind, ReplyRuleSpec, ReplyStage,
};
use mailpods_policy::outbound::classify::{Blame, Bounce, Stage};
use mailpods_policy::outbound::provider::{Override, ProfileError, Profiles, Rule};
use mailpods_policy::outbound::suspension::{Most, Rules, Verdicts};

use super::Compiler;
use crate::outbound::{BlockList, BlockLists, Suppression};
use crate::problem::Origin;

/// The shortest `blockLists.interval`: those who run lists count what they are asked.
const LEAST_INTERVAL: TimeSpan = TimeSpan::minutes(5);
/// The shortest times of `suppression`.
const LEAST_SUPPRESSION: TimeSpan = TimeSpan::hours(1);

/// The shortest `within` of `suspension`.
const LEAST_WITHIN: TimeSpan = TimeSpan::minutes(1);

/// The lists that are asked where the settings name none, and whether they make an address rest. All answer small senders for
/// nothing (docs/outbound.md has their terms).
const ZONES: [(&str, bool); 4] = [
    ("zen.spamhaus.org", true),
    ("bl.spamcop.net", true),
    ("b.barracudacentral.org", false),
    ("psbl.surriel.com", false),
];

impl Compiler<'_> {
    /// What is put over the profiles; only what can be used.
    pub(super) fn providers(&mut self, origin: &Origin, spec: &OutboundSpec) -> Vec<Override> {
        let mut providers: Vec<Override> = spec.providers.iter().map(provider).collect();
        loop {
            let tried = Profiles::shipped().and_then(|profiles| profiles.with(&providers));
            let Err(ProfileError::Override(at, field, why)) = tried else {
                return providers;
            };
            if at >= providers.len() {
                return providers;
            }
            // The first wrong one is told; those after it are looked at once it is right.
            let path = format!("spec.outbound.providers[{at}].{field}");
            let name = providers.get(at).map(|wrong| wrong.name.clone());
            let problem = origin.problem(&path, why);
            self.problems.push(problem.found(name.unwrap_or_default()));
            providers.truncate(at);
        }
    }

    pub(super) fn block_lists(
        &mut self,
        origin: &Origin,
        spec: &OutboundSpec,
    ) -> Option<BlockLists> {
        let lists = spec.block_lists.as_ref()?;
        self.at_least(
            origin,
            ("spec.outbound.blockLists.interval", lists.interval),
            LEAST_INTERVAL,
        );
        let mut names = BTreeSet::new();
        for (at, list) in lists.zones.iter().enumerate() {
            if !names.insert(list.zone.to_ascii_lowercase()) {
                let path = format!("spec.outbound.blockLists.zones[{at}].zone");
                let problem = origin.problem(&path, "stands twice");
                self.problems.push(problem.found(&list.zone));
            }
        }
        let shipped = || {
            let zones = ZONES.iter();
            zones.map(|&(zone, rests)| BlockList {
                zone: zone.to_owned(),
                ignore: Vec::new(),
                rests,
            })
        };
        let zones = match lists.zones.as_slice() {
            [] => shipped().collect(),
            zones => zones.iter().map(block_list).collect(),
        };
        Some(BlockLists {
            interval: lists.interval.get(),
            zones,
        })
    }

    pub(super) fn suppression(
        &mut self,
        origin: &Origin,
        spec: &OutboundSpec,
    ) -> Option<Suppression> {
        let suppression = spec.suppression.as_ref()?;
        for (field, length) in [
            (
                "spec.outbound.suppression.hardBounces",
                suppression.hard_bounces,
            ),
            (
                "spec.outbound.suppression.complaints",
                suppression.complaints,
            ),
        ] {
            self.at_least(origin, (field, length), LEAST_SUPPRESSION);
        }
        Some(Suppression {
            hard_bounces: suppression.hard_bounces.get(),
            complaints: suppression.complaints.get(),
        })
    }

    pub(super) fn suspension(&mut self, origin: &Origin, spec: &OutboundSpec) -> Option<Rules> {
        let spec = spec.suspension.as_ref()?;
        let (burst, verdicts, complaints) = (&spec.burst, &spec.verdicts, &spec.complaints);
        for (field, within) in [
            ("spec.outbound.suspension.burst.within", burst.within),
            ("spec.outbound.suspension.verdicts.within", verdicts.within),
            (
                "spec.outbound.suspension.complaints.within",
                complaints.within,
            ),
        ] {
            self.at_least(origin, (field, within), LEAST_WITHIN);
        }
        Some(Rules {
            burst: Most {
                most: burst.recipients.into(),
                within: burst.within.get(),
            },
            verdicts: Verdicts {
                refusals: verdicts.refusals.into(),
                percent: verdicts.percent.into(),
                within: verdicts.within.get(),
            },
            complaints: Most {
                most: complaints.reports.into(),
                within: complaints.within.get(),
            },
            length: spec.r#for.get(),
        })
    }

    fn at_least(&mut self, origin: &Origin, (field, found): (&str, TimeSpan), least: TimeSpan) {
        if found < least {
            let problem = origin.problem(field, "is too short");
            self.problems
                .push(problem.found(found).allowed(format!("{least} or more")));
        }
    }
}

fn block_list(spec: &BlockListSpec) -> BlockList {
    BlockList {
        zone: spec.zone.to_ascii_lowercase(),
        ignore: spec.ignore.clone(),
        rests: spec.rest,
    }
}

fn provider(spec: &ProviderSpec) -> Override {
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    Override {
        name: spec.name.clone(),
        mx: spec.mx.clone(),
        connections: spec.connections.map(count),
        messages_per_connection: spec.messages_per_connection.map(count),
        rest_minutes: spec.least_rest.map(|rest| minutes(rest.get())),
        rules: spec.rules.iter().map(rule).collect(),
    }
}

/// Begun minutes.
fn minutes(rest: Duration) -> u32 {
    u32::try_from(rest.as_secs().div_ceil(60)).unwrap_or(u32::MAX)
}

fn rule(spec: &ReplyRuleSpec) -> Rule {
    Rule {
        code: spec.code.clone().unwrap_or_default(),
        enhanced: spec.enhanced.clone(),
        stage: spec.stage.map(|stage| match stage {
            ReplyStage::Session => Stage::Session,
            ReplyStage::Mail => Stage::Mail,
            ReplyStage::Rcpt => Stage::Rcpt,
            ReplyStage::Data => Stage::Data,
        }),
        text: spec.text.clone(),
        blame: match spec.blame {
            ReplyBlame::Ip => Blame::Ip,
            ReplyBlame::Tenant => Blame::Tenant,
            ReplyBlame::Recipient => Blame::Recipient,
            ReplyBlame::Message => Blame::Message,
            ReplyBlame::Content => Blame::Content,
            ReplyBlame::Rate => Blame::Rate,
            ReplyBlame::Temporary => Blame::Temporary,
        },
        bounce: match spec.kind {
            ReplyKind::MailboxFull => Bounce::MailboxFull,
            ReplyKind::Unknown => Bounce::Unknown,
            ReplyKind::Policy => Bounce::Policy,
            ReplyKind::Block => Bounce::Block,
            ReplyKind::Reputation => Bounce::Reputation,
            ReplyKind::Other => Bounce::Other,
        },
    }
}
