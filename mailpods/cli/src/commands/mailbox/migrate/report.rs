//! What came of a move.
use serde::Serialize;

use crate::args::Format;
use crate::output::{self, Table};

/// Things left out that are told one by one for a folder.
pub const TOLD: usize = 20;

/// Something that was not brought, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftOut {
    /// The folder there.
    pub folder: String,
    /// UID there; none for a whole folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    pub why: String,
    /// It was asked for: the move is not whole without it.
    #[serde(skip)]
    pub fails: bool,
}

impl LeftOut {
    /// A whole folder.
    pub fn folder(folder: &str, why: impl Into<String>) -> Self {
        Self {
            folder: folder.to_owned(),
            uid: None,
            why: why.into(),
            fails: true,
        }
    }

    /// What nobody asked for, or can be without.
    pub fn remark(folder: &str, why: impl Into<String>) -> Self {
        Self {
            fails: false,
            ..Self::folder(folder, why)
        }
    }

    /// One message.
    pub fn message(folder: &str, uid: u32, why: impl Into<String>) -> Self {
        Self {
            uid: Some(uid),
            ..Self::folder(folder, why)
        }
    }
}

/// What came of a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    pub account: String,
    /// The folder there.
    pub folder: String,
    pub mailbox: String,
    /// Messages that were brought, or would be.
    pub brought: usize,
    /// Octets of these.
    pub octets: u64,
    /// Messages that were here already.
    pub present: usize,
    /// Messages that got other flags.
    pub changed: usize,
    /// Messages that were deleted, as they are there.
    pub deleted: usize,
    /// Messages left out.
    pub left_out: usize,
    /// Keywords that this side has no room for.
    pub keywords_left_out: usize,
    /// UIDs and UIDVALIDITY are those of the source.
    pub uids_kept: bool,
}

/// What came of an account.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    pub account: String,
    pub folders: Vec<Counts>,
    pub left_out: Vec<LeftOut>,
    /// Why it ended early.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    pub dry_run: bool,
}

impl Account {
    /// Remembers what is left out, the first few of each folder by name.
    pub fn leave_out(&mut self, counts: &mut Counts, uid: u32, why: &str) {
        counts.left_out += 1;
        if counts.left_out <= TOLD {
            self.left_out
                .push(LeftOut::message(&counts.folder, uid, why));
        }
    }

    /// Whether all that was asked for is here.
    pub fn is_whole(&self) -> bool {
        let is_whole = self.error.is_none() && !self.left_out.iter().any(|left| left.fails);
        is_whole && self.folders.iter().all(|folder| folder.left_out == 0)
    }
}

/// Prints what came of all accounts.
pub fn print(accounts: &[Account], format: Format) -> std::io::Result<()> {
    if format == Format::Json {
        return output::json(accounts);
    }
    let mut table = Table::new(&[
        "ACCOUNT",
        "FOLDER",
        "MAILBOX",
        "BROUGHT",
        "SIZE",
        "THERE ALREADY",
        "FLAGS",
        "DELETED",
        "LEFT OUT",
        "UIDS",
    ]);
    for counts in accounts.iter().flat_map(|account| &account.folders) {
        table.row(row(counts));
    }
    table.print()?;
    for account in accounts {
        for left in &account.left_out {
            let uid = left
                .uid
                .map(|uid| format!(" uid {uid}"))
                .unwrap_or_default();
            let text = format!(
                "left out: {} {}{uid}: {}",
                account.account, left.folder, left.why
            );
            output::line(&output::clean(&text))?;
        }
        for counts in &account.folders {
            if counts.keywords_left_out > 0 {
                let text = format!(
                    "left out: {} {}: {} keywords that no message can have here",
                    account.account, counts.folder, counts.keywords_left_out
                );
                output::line(&output::clean(&text))?;
            }
        }
        if let Some(error) = &account.error {
            output::remark(&format!(
                "error: {}: {}",
                account.account,
                output::clean(error)
            ));
        }
    }
    if accounts.iter().any(|account| account.dry_run) {
        output::line("Nothing was changed (--dry-run).")?;
    }
    Ok(())
}

fn row(counts: &Counts) -> Vec<String> {
    vec![
        counts.account.clone(),
        counts.folder.clone(),
        counts.mailbox.clone(),
        counts.brought.to_string(),
        output::octets(counts.octets),
        counts.present.to_string(),
        counts.changed.to_string(),
        counts.deleted.to_string(),
        counts.left_out.to_string(),
        if counts.uids_kept { "kept" } else { "new" }.to_owned(),
    ]
}
