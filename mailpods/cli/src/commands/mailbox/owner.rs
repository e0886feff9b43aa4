//! Whose mailboxes mail is brought to: accounts that are there, and those that the configuration or the operator wants made.
use mailpods_api::MailboxAddress;
use mailpods_plan::Plan;
use mailpods_store::{AccountId, Store};

use super::{find_account, no_account};
use crate::args::Globals;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::plans::Config;
use crate::session::failed;

/// How accounts are known.
#[derive(Debug, clap::Args)]
pub struct Known {
    #[command(flatten)]
    pub config: Config,
    /// Make the account when it is not in the store yet, also when it is no Mailbox of the configuration.
    #[arg(long)]
    pub create_account: bool,
}

/// An account that mail is brought to.
pub struct Owner {
    /// Its own address: a domain alias leads to it.
    pub address: MailboxAddress,
    /// `None` where a dry run would make it.
    pub account: Option<AccountId>,
    /// It was not there before.
    pub made: bool,
    /// Octets and messages, where a Mailbox is known.
    quota: Option<(Option<u64>, Option<u64>)>,
}

impl Known {
    /// Whether the store may be made for these accounts.
    pub fn may_make<'a>(
        &self,
        globals: &Globals,
        mut addresses: impl Iterator<Item = &'a MailboxAddress>,
    ) -> Result<bool, Failure> {
        let plan = self.config.of_folder()?;
        let known = |address: &&MailboxAddress| {
            plan.as_ref()
                .is_some_and(|plan| plan.mailbox(address).is_some())
        };
        match addresses.find(|address| !self.create_account && !known(address)) {
            None => Ok(true),
            // Without a store there is no account either: what is wrong is the address.
            Some(address) if plan.is_some() && globals.has_no_store() => Err(self.unknown(address)),
            Some(_) => Ok(false),
        }
    }

    /// The plan, where there is one.
    pub async fn plan(&self, store: &Store) -> Result<Option<Plan>, Failure> {
        self.config.known(store).await
    }

    /// The account of an address, made where it may be; a dry run makes none.
    pub async fn open(
        &self,
        store: &Store,
        plan: Option<&Plan>,
        address: &MailboxAddress,
        dry_run: bool,
    ) -> Result<Owner, Failure> {
        let mailbox = plan.and_then(|plan| plan.mailbox(address));
        let own = mailbox.map_or_else(|| address.clone(), |mailbox| mailbox.address.clone());
        let mut account = find_account(store, &own).await?;
        if account.is_none() && mailbox.is_none() && !self.create_account {
            return Err(self.unknown(&own));
        }
        let made = account.is_none() && !dry_run;
        if made {
            let new = store.mail.account(&own).await;
            account = Some(new.map_err(|error| failed("failed to make the account", &error))?);
        }
        Ok(Owner {
            address: own,
            account,
            made,
            quota: plan.zip(mailbox).map(|(plan, mailbox)| {
                let quota = plan.quota(mailbox);
                (quota.octets, quota.messages)
            }),
        })
    }

    fn unknown(&self, address: &MailboxAddress) -> Failure {
        match &self.config.config {
            Some(config) => {
                let text = format!("{} has no Mailbox {address}", config.display());
                Failure::new(Exit::NothingMatched, text)
                    .hint("check the spelling, add the Mailbox, or --create-account for an account without one")
            }
            None => no_account(address).hint(
                "check the spelling; --config DIR with the YAML, so that its mailboxes are known; or --create-account",
            ),
        }
    }
}

impl Owner {
    /// Mail that is brought in is never refused, so that somebody has to be told what it does to mail that comes.
    pub async fn warn_of_quota(&self, store: &Store) -> Result<(), Failure> {
        let (Some(account), Some((octets, messages))) = (self.account, self.quota) else {
            return Ok(());
        };
        let usage = store.mail.usage(account).await;
        let usage =
            usage.map_err(|error| failed("failed to read what the account holds", &error))?;
        let full = octets.is_some_and(|quota| usage.octets >= quota)
            || messages.is_some_and(|quota| usage.messages >= quota);
        if full {
            output::remark(&format!(
                "warning: {} is over its quota with {} messages and {}: no mail comes in until some is deleted, or spec.quota of the \
                 Mailbox is raised",
                self.address,
                usage.messages,
                output::octets(usage.octets)
            ));
        }
        Ok(())
    }
}
