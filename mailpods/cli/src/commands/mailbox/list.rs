//! `mailpods mailbox list`
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mailpods_api::{DomainName, MailboxAddress};
use mailpods_plan::{DomainQuota, Mailbox, Plan, QuotaRules};
use mailpods_store::mail::{AccountInfo, MailboxInfo, SpecialUse};
use mailpods_store::{Store, StoreError, Usage};
use serde::Serialize;

use super::{no_account, parse_address};
use crate::args::{Format, Globals};
use crate::failure::{Exit, Outcome};
use crate::output::{self, Table};
use crate::plans::Config;
use crate::session::{failed, with_store};

#[derive(Debug, clap::Args)]
#[command(after_help = super::EXAMPLES)]
pub struct Args {
    /// Only this account.
    #[arg(value_parser = parse_address, value_name = "ADDRESS")]
    account: Option<MailboxAddress>,
    #[command(flatten)]
    known: Config,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    account: String,
    mailbox: String,
    messages: u32,
    unseen: u32,
    octets: u64,
    subscribed: bool,
    special_use: Option<SpecialUse>,
    /// Of the account; only with a configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    quota_octets: Option<u64>,
    /// What all mailboxes of its domain hold; only with a configuration, where the domain has limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    domain_octets: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain_quota_octets: Option<u64>,
    /// Whether a Mailbox has the address; only with a configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    configured: Option<bool>,
}

/// An account and its Mailbox, of which one may be missing.
struct Holder {
    address: String,
    usage: Option<Usage>,
    mailbox: Option<Arc<Mailbox>>,
    /// The limits that hold for it.
    quota: QuotaRules,
}

/// What all mailboxes of a domain with limits hold, and those.
struct DomainUse {
    name: DomainName,
    usage: Usage,
    quota: DomainQuota,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Outcome {
        with_store(globals, |store| self.list(store, globals.output))
    }

    async fn list(self, store: Store, format: Format) -> Outcome {
        let plan = self.known.known(&store).await?;
        let failure = |error| failed("failed to read the accounts", &error);
        let accounts = store.mail.accounts().await.map_err(failure)?;
        let holders = self.holders(&accounts, plan.as_ref());
        if let (Some(address), true) = (&self.account, holders.is_empty()) {
            return Err(no_account(address).hint("`mailpods mailbox list` lists all accounts"));
        }
        let domains = match &plan {
            Some(plan) => self.domains(&store, plan).await.map_err(failure)?,
            None => Vec::new(),
        };
        let mut rows = Vec::new();
        for account in accounts {
            let Some(holder) = holders
                .iter()
                .find(|holder| holder.address == account.address)
            else {
                continue;
            };
            let mailboxes = store.mail.mailboxes(account.id).await.map_err(failure)?;
            rows.extend(
                mailboxes
                    .into_iter()
                    .map(|mailbox| row(holder, &domains, plan.is_some(), mailbox)),
            );
        }
        match format {
            Format::Json => output::json(&rows)?,
            Format::Table => {
                print(&rows)?;
                if plan.is_some() {
                    output::line("")?;
                    print_holders(&holders)?;
                    print_domains(&domains)?;
                }
            }
        }
        Ok(Exit::Done)
    }

    /// Domains that have limits; of one account its own.
    async fn domains(&self, store: &Store, plan: &Plan) -> Result<Vec<DomainUse>, StoreError> {
        let own = self
            .account
            .as_ref()
            .and_then(|account| plan.primary(account));
        let mut domains = Vec::new();
        for domain in plan.domains.values() {
            let is_wanted = match (&self.account, &own) {
                (None, _) => true,
                (Some(_), own) => own.as_ref().is_some_and(|own| *own.domain() == domain.name),
            };
            if is_wanted && !domain.quota.is_empty() {
                let usage = store.upkeep.domain_usage(&domain.name, Duration::ZERO);
                domains.push(DomainUse {
                    name: domain.name.clone(),
                    usage: usage.await?,
                    quota: domain.quota,
                });
            }
        }
        Ok(domains)
    }

    /// Accounts of the store and mailboxes of the configuration, by address.
    fn holders(&self, accounts: &[AccountInfo], plan: Option<&Plan>) -> Vec<Holder> {
        let mut holders: BTreeMap<String, Holder> = BTreeMap::new();
        let new = |address: &str| Holder {
            address: address.to_owned(),
            usage: None,
            mailbox: None,
            quota: QuotaRules::default(),
        };
        for account in accounts {
            let holder = holders
                .entry(account.address.clone())
                .or_insert_with(|| new(&account.address));
            holder.usage = Some(account.usage);
        }
        let mailboxes = plan.into_iter().flat_map(|plan| {
            let mailboxes = plan.mailboxes.values();
            mailboxes.map(move |mailbox| (mailbox, plan.quota(mailbox)))
        });
        for (mailbox, quota) in mailboxes {
            let address = mailbox.address.to_string();
            let holder = holders
                .entry(address.clone())
                .or_insert_with(|| new(&address));
            holder.mailbox = Some(mailbox.clone());
            holder.quota = quota;
        }
        let wanted = self.account.as_ref().map(ToString::to_string);
        holders
            .into_values()
            .filter(|holder| {
                wanted
                    .as_ref()
                    .is_none_or(|wanted| *wanted == holder.address)
            })
            .collect()
    }
}

fn row(holder: &Holder, domains: &[DomainUse], known: bool, mailbox: MailboxInfo) -> Row {
    let configured = &holder.mailbox;
    let is_own = |domain: &&DomainUse| {
        let own = configured.as_ref().map(|own| own.address.domain());
        own == Some(&domain.name)
    };
    let domain = domains.iter().find(is_own);
    Row {
        account: holder.address.clone(),
        mailbox: mailbox.name,
        messages: mailbox.messages,
        unseen: mailbox.unseen,
        octets: mailbox.octets,
        subscribed: mailbox.subscribed,
        special_use: mailbox.special_use,
        quota_octets: holder.quota.octets,
        domain_octets: domain.map(|domain| domain.usage.octets),
        domain_quota_octets: domain.and_then(|domain| domain.quota.octets),
        configured: known.then_some(configured.is_some()),
    }
}

fn print_holders(holders: &[Holder]) -> std::io::Result<()> {
    let mut table = Table::new(&["ACCOUNT", "MESSAGES", "SIZE", "QUOTA", "STATE"]);
    for holder in holders {
        let usage = holder.usage.unwrap_or_default();
        let state = match (&holder.mailbox, holder.usage) {
            (None, _) => "no Mailbox has the address (any more)",
            (Some(mailbox), _) if !mailbox.enabled => "disabled",
            (Some(_), None) => "no mail yet",
            (Some(_), Some(_)) => "-",
        };
        table.row(vec![
            holder.address.clone(),
            usage.messages.to_string(),
            output::octets(usage.octets),
            quota((holder.quota.octets, holder.quota.messages), usage),
            state.to_owned(),
        ]);
    }
    table.print()
}

fn print_domains(domains: &[DomainUse]) -> std::io::Result<()> {
    if domains.is_empty() {
        return Ok(());
    }
    output::line("")?;
    let mut table = Table::new(&["DOMAIN", "MESSAGES", "SIZE", "QUOTA"]);
    for domain in domains {
        let limits = (domain.quota.octets, domain.quota.messages);
        table.row(vec![
            domain.name.to_string(),
            domain.usage.messages.to_string(),
            output::octets(domain.usage.octets),
            quota(limits, domain.usage),
        ]);
    }
    table.print()
}

/// Both limits, and how much of the nearer one is used.
fn quota((octets, messages): (Option<u64>, Option<u64>), usage: Usage) -> String {
    let percent = |used: u64, of: u64| used.saturating_mul(100) / of.max(1);
    let octets = octets.map(|of| {
        let used = percent(usage.octets, of);
        (used, output::octets(of))
    });
    let messages = messages.map(|of| {
        let used = percent(usage.messages, of);
        (used, format!("{of} messages"))
    });
    let limits: Vec<_> = octets.into_iter().chain(messages).collect();
    match limits.iter().map(|(used, _)| used).max() {
        None => "-".to_owned(),
        Some(used) => {
            let texts: Vec<&str> = limits.iter().map(|(_, text)| text.as_str()).collect();
            format!("{used} % of {}", texts.join(", "))
        }
    }
}

fn print(rows: &[Row]) -> std::io::Result<()> {
    let mut table = Table::new(&["ACCOUNT", "MAILBOX", "MESSAGES", "UNSEEN", "SIZE", "USE"]);
    for row in rows {
        table.row(vec![
            row.account.clone(),
            row.mailbox.clone(),
            row.messages.to_string(),
            row.unseen.to_string(),
            output::octets(row.octets),
            row.special_use
                .map_or_else(|| "-".to_owned(), |special| format!("{special:?}")),
        ]);
    }
    table.print()
}
