//! What mailboxes may hold, and for how long.

use std::time::Duration;

use mailpods_api::v1alpha1::{
    DomainQuotaSpec, FolderSpec, FolderUse as UseSpec, MailboxDefaultsSpec, QuotaSpec,
    QuotaWarningsSpec,
};

use super::Compiler;
use crate::model::{
    DomainQuota, FolderRule, FolderUse, MailboxDefaults, QuotaRules, QuotaWarnings,
};
use crate::problem::Origin;

/// Mail stays for this long at least: a slip of the pen must not empty folders at once.
const LEAST: Duration = Duration::from_secs(3600);

impl Compiler<'_> {
    pub(super) fn mailbox_defaults(
        &mut self,
        origin: &Origin,
        spec: &MailboxDefaultsSpec,
    ) -> MailboxDefaults {
        MailboxDefaults {
            quota: quota(&spec.quota),
            folders: self.folders(origin, "spec.mailboxDefaults.folders", &spec.folders),
        }
    }

    /// A rule with something wrong removes nothing; all else of the resource holds.
    pub(super) fn folders(
        &mut self,
        origin: &Origin,
        field: &str,
        specs: &[FolderSpec],
    ) -> Vec<FolderRule> {
        let rules = specs.iter().enumerate().map(|(index, spec)| {
            let mut rule = folder(spec);
            if let Some(short) = rule.keep_for.filter(|keep_for| *keep_for < LEAST) {
                let field = format!("{field}[{index}].autoexpunge");
                let problem = origin.problem(&field, "is too short for mail to be read");
                let found = format_args!("{}s", short.as_secs());
                let problem = problem.found(found).allowed("1h and longer");
                self.problems.push(problem.kept());
                rule.keep_for = None;
            }
            rule
        });
        rules.collect()
    }
}

pub(super) fn quota(spec: &QuotaSpec) -> QuotaRules {
    QuotaRules {
        octets: spec.size.map(|size| size.0),
        messages: spec.messages.map(u64::from),
        grace: spec.grace,
        trash_extra: spec.trash_extra.map(|extra| extra.0),
        warnings: spec.warnings.as_ref().map(warnings),
    }
}

fn warnings(spec: &QuotaWarningsSpec) -> QuotaWarnings {
    let mut at = spec.at.clone();
    at.sort_unstable();
    QuotaWarnings {
        at,
        when_below: spec.when_below,
    }
}

pub(super) fn domain_quota(spec: &DomainQuotaSpec) -> DomainQuota {
    DomainQuota {
        octets: spec.size.map(|size| size.0),
        messages: spec.messages,
    }
}

fn folder(spec: &FolderSpec) -> FolderRule {
    FolderRule {
        // RFC 9051 §5.1: INBOX in any case is the one.
        name: match spec.name.eq_ignore_ascii_case("INBOX") {
            true => "INBOX".to_owned(),
            false => spec.name.clone(),
        },
        special_use: spec.special_use.map(|special_use| match special_use {
            UseSpec::Archive => FolderUse::Archive,
            UseSpec::Drafts => FolderUse::Drafts,
            UseSpec::Junk => FolderUse::Junk,
            UseSpec::Sent => FolderUse::Sent,
            UseSpec::Trash => FolderUse::Trash,
        }),
        create: spec.autocreate,
        subscribe: spec.autosubscribe,
        keep_for: spec.autoexpunge.map(|span| span.get()),
        below: spec.subfolders,
    }
}
