//! `mailpods mailbox acl`
use mailpods_api::{Grantee, MailboxAddress, Rights};
use mailpods_plan::{Grant, Plan};
use mailpods_store::acl::{AclChange, AclEntry};
use mailpods_store::mail::MailboxInfo;
use mailpods_store::{MailboxId, Store, StoreError};
use serde::Serialize;

use super::{find_account, no_account, parse_address};
use crate::args::{Format, Globals};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{self, Table};
use crate::plans::Config;
use crate::session::{failed, with_store};

#[derive(Debug, clap::Args)]
#[command(after_help = super::EXAMPLES)]
pub struct Args {
    /// Whose mailboxes.
    #[arg(value_parser = parse_address, value_name = "ADDRESS")]
    account: MailboxAddress,
    /// Only this mailbox.
    mailbox: Option<String>,
    /// Give somebody these rights and no others: an address or anyone, behind `-` to take them away whoever gave them, and letters of lrswipkxtea.
    #[arg(long, num_args = 2, value_names = ["ID", "RIGHTS"], requires = "mailbox", allow_hyphen_values = true, conflicts_with = "delete")]
    set: Option<Vec<String>>,
    /// Take an entry out.
    #[arg(
        long,
        value_name = "ID",
        requires = "mailbox",
        allow_hyphen_values = true
    )]
    delete: Option<String>,
    #[command(flatten)]
    known: Config,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    account: String,
    mailbox: String,
    identifier: String,
    rights: String,
    given_by: GivenBy,
}

/// Who takes it away again.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum GivenBy {
    /// SETACL, or this command.
    List,
    /// `spec.sharing` of the Mailbox.
    Yaml,
}

/// Whose entry, and what becomes of it.
pub struct Change {
    pub to: Grantee,
    pub negative: bool,
    pub rights: Rights,
}

impl Change {
    /// An identifier, `-` in front where it takes away, and letters.
    pub fn parse(id: &str, rights: &str) -> Result<Self, String> {
        let (name, negative) = match id.strip_prefix('-') {
            Some(name) => (name, true),
            None => (id, false),
        };
        let to = name.parse().map_err(|error| {
            format!("{name}: {error}; an identifier is an address or anyone, or either behind -")
        })?;
        let rights = Rights::parse(rights).map_err(|error| error.to_string())?;
        Ok(Self {
            to,
            negative,
            rights,
        })
    }

    pub async fn apply(self, store: &Store, mailbox: MailboxId) -> Result<(), StoreError> {
        let set = AclChange::Set(self.rights);
        let changed = store.mail.change_acl(mailbox, self.to, self.negative, set);
        changed.await.map(drop)
    }
}

/// How an entry is called.
pub fn identifier(entry: &AclEntry) -> String {
    let dash = if entry.negative { "-" } else { "" };
    format!("{dash}{}", entry.to)
}

fn usage(text: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, text.into())
}

impl Args {
    pub fn run(self, globals: &Globals) -> Outcome {
        let change = self.change()?;
        with_store(globals, |store| self.act(store, change, globals.output))
    }

    fn change(&self) -> Result<Option<Change>, Failure> {
        let change = match (&self.set, &self.delete) {
            (Some(words), _) => match words.as_slice() {
                [id, rights] => Change::parse(id, rights),
                _ => return Ok(None),
            },
            (None, Some(id)) => Change::parse(id, ""),
            (None, None) => return Ok(None),
        };
        let change = change.map_err(usage)?;
        Self::not_owner(&change.to, &self.account)?;
        Ok(Some(change))
    }

    fn not_owner(to: &Grantee, owner: &MailboxAddress) -> Result<(), Failure> {
        match *to == Grantee::Person(owner.canonical()) {
            true => Err(usage(format!(
                "{owner} is the owner, who has all rights, always"
            ))),
            false => Ok(()),
        }
    }

    /// An entry that could never give anything is refused; people are known by the address of their own.
    fn checked(&self, mut change: Change, plan: &Plan) -> Result<Change, Failure> {
        let Grantee::Person(address) = &change.to else {
            return Ok(change);
        };
        let Some(person) = plan.primary(address) else {
            return Err(usage(format!("{address} is in no MailDomain")));
        };
        let owner = plan.primary(&self.account);
        let owner = owner.as_ref().unwrap_or(&self.account);
        if !change.negative && !plan.may_share(owner.domain(), person.domain()) {
            let text = format!(
                "{} and {} share nothing: {address} would get no rights",
                owner.domain(),
                person.domain()
            );
            return Err(
                usage(text).hint("spec.sharing.acrossDomains: true in both MailDomains allows it")
            );
        }
        change.to = Grantee::Person(person);
        Self::not_owner(&change.to, owner)?;
        Ok(change)
    }

    /// The entry that is taken out: of the address as it is given, else of the person's own.
    fn taken_out(
        &self,
        mut change: Change,
        entries: &[AclEntry],
        plan: Option<&Plan>,
    ) -> Option<Change> {
        let is_there = |change: &Change| {
            let is_it =
                |entry: &AclEntry| entry.to == change.to && entry.negative == change.negative;
            entries.iter().any(is_it)
        };
        if let (false, Some(plan), Grantee::Person(address)) = (is_there(&change), plan, &change.to)
        {
            change.to = Grantee::Person(plan.primary(address)?);
        }
        is_there(&change).then_some(change)
    }

    async fn act(self, store: Store, change: Option<Change>, format: Format) -> Outcome {
        let failure = |error: StoreError| failed("failed to read or change rights", &error);
        let account = find_account(&store, &self.account).await?.ok_or_else(|| {
            no_account(&self.account).hint("`mailpods mailbox list` lists all accounts")
        })?;
        let mailboxes = match &self.mailbox {
            None => store.mail.mailboxes(account).await.map_err(failure)?,
            Some(name) => {
                let found = store.mail.mailbox(account, name).await.map_err(failure)?;
                let missing = || {
                    let text = format!("{} has no mailbox {name:?}", self.account);
                    let hint = format!("`mailpods mailbox list {}` lists them", self.account);
                    Failure::new(Exit::NothingMatched, text).hint(hint)
                };
                vec![found.ok_or_else(missing)?]
            }
        };
        let plan = self.known.known(&store).await?;
        if let (Some(change), [mailbox]) = (change, mailboxes.as_slice()) {
            let change = match (&plan, self.delete.is_some()) {
                (plan, true) => {
                    let entries = store.mail.acl(mailbox.id).await.map_err(failure)?;
                    let found = self.taken_out(change, &entries, plan.as_ref());
                    found.ok_or_else(|| self.no_entry(&mailbox.name))?
                }
                (Some(plan), false) => self.checked(change, plan)?,
                (None, false) => change,
            };
            change.apply(&store, mailbox.id).await.map_err(failure)?;
        }
        let mut rows = Vec::new();
        for mailbox in &mailboxes {
            rows.extend(self.rows(&store, mailbox).await.map_err(failure)?);
            rows.extend(plan.iter().flat_map(|plan| self.granted(plan, mailbox)));
        }
        match format {
            Format::Json => output::json(&rows)?,
            Format::Table => print(&rows)?,
        }
        Ok(Exit::Done)
    }

    async fn rows(&self, store: &Store, mailbox: &MailboxInfo) -> Result<Vec<Row>, StoreError> {
        let entries = store.mail.acl(mailbox.id).await?;
        let row = |entry: &AclEntry| self.row(mailbox, identifier(entry), entry.rights);
        Ok(entries.iter().map(row).collect())
    }

    fn row(&self, mailbox: &MailboxInfo, identifier: String, rights: Rights) -> Row {
        Row {
            account: self.account.to_string(),
            mailbox: mailbox.name.clone(),
            identifier,
            rights: rights.to_string(),
            given_by: GivenBy::List,
        }
    }

    /// What YAML grants in a mailbox.
    fn granted(&self, plan: &Plan, mailbox: &MailboxInfo) -> Vec<Row> {
        let owner = plan.primary(&self.account);
        let share = plan
            .shares
            .mailboxes
            .get(owner.as_ref().unwrap_or(&self.account));
        let grants = share.into_iter().flat_map(|share| &share.grants);
        let reaching = grants.filter(|grant| grant.reaches(&mailbox.name));
        let row = |grant: &Grant| Row {
            given_by: GivenBy::Yaml,
            ..self.row(mailbox, grant.to.to_string(), grant.rights)
        };
        reaching.map(row).collect()
    }

    fn no_entry(&self, mailbox: &str) -> Failure {
        let id = self.delete.as_deref().unwrap_or_default();
        let text = format!("{mailbox:?} of {} has no entry for {id}", self.account);
        let hint = format!(
            "`mailpods mailbox acl {} {mailbox:?}` shows them; what YAML grants is taken away there",
            self.account
        );
        Failure::new(Exit::NothingMatched, text).hint(hint)
    }
}

fn print(rows: &[Row]) -> std::io::Result<()> {
    let mut table = Table::new(&["ACCOUNT", "MAILBOX", "IDENTIFIER", "RIGHTS", "BY"]);
    for row in rows {
        table.row(vec![
            row.account.clone(),
            row.mailbox.clone(),
            row.identifier.clone(),
            row.rights.clone(),
            match row.given_by {
                GivenBy::List => "-".to_owned(),
                GivenBy::Yaml => "YAML".to_owned(),
            },
        ]);
    }
    table.print()
}
