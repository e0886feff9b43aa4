//! Annotations of a source (RFC 5464).
use std::collections::BTreeSet;

use bytes::Bytes;
use mailpods_imap_proto::client::data::annotations;
use mailpods_store::{AccountId, MailboxId, StoreError};

use super::folders::Mapped;
use super::report::LeftOut;
use super::run::{Error, Run};
use super::session::{Data, Session, SourceError};
use super::target;

/// Octets of a value, as many as may be written over IMAP here.
const MAX_VALUE: usize = 32 << 10;
/// Annotations of a folder that are read.
const MAX_ANNOTATIONS: usize = 1_000;

/// What a folder is for comes with the folder (RFC 6154 §5.4).
const SPECIAL_USE: &str = "/private/specialuse";

/// Brings those of the folders and of the account itself, where the source has any. What is here under the same name stays. Returns what
/// is left out.
pub async fn bring(
    run: &mut Run,
    session: &mut Session,
    folders: &[Mapped],
) -> Result<Vec<LeftOut>, Error> {
    let mut left_out = Vec::new();
    let Some(account) = run.account.filter(|_| !run.options.dry_run) else {
        return Ok(left_out);
    };
    if session.has("METADATA") {
        for folder in folders {
            let mailbox = target::known(run, account, folder).await?;
            if let Some(mailbox) = mailbox {
                let place = (account, Some(mailbox));
                let why = of(run, session, place, &folder.raw).await?;
                left_out.extend(why.map(|why| told(&folder.source, &why)));
            }
        }
    }
    if session.has("METADATA") || session.has("METADATA-SERVER") {
        let why = of(run, session, (account, None), b"").await?;
        left_out.extend(why.map(|why| told("the account", &why)));
    }
    Ok(left_out)
}

/// Of a folder, or of the account: what a server has for all to see is the server's. Returns why they are left out.
async fn of(
    run: &Run,
    session: &mut Session,
    (account, mailbox): (AccountId, Option<MailboxId>),
    raw: &[u8],
) -> Result<Option<String>, Error> {
    let told = match ask(session, raw, mailbox.is_some()).await {
        Err(SourceError::Refused { text, .. }) => {
            return Ok(Some(format!("the server refused them: {text}")));
        }
        Err(error @ (SourceError::TooMany { .. } | SourceError::Name8Bit(_))) => {
            return Ok(Some(error.to_string()));
        }
        told => told?,
    };
    let here = run.store.mail.annotations(account, mailbox).await?;
    let here: BTreeSet<String> = here.into_iter().map(|one| one.entry).collect();
    let is_new = |entry: &String| !here.contains(entry) && !entry.eq_ignore_ascii_case(SPECIAL_USE);
    let new = told.into_iter().filter(|(entry, _)| is_new(entry));
    let new: Vec<_> = new.map(|(entry, value)| (entry, Some(value))).collect();
    if new.is_empty() {
        return Ok(None);
    }
    let done = run.store.mail.annotate(account, mailbox, new).await;
    match done {
        Err(StoreError::Invalid(why)) => Ok(Some(why)),
        done => Ok(done.map(|()| None)?),
    }
}

fn told(folder: &str, why: &str) -> LeftOut {
    LeftOut::folder(folder, format!("annotations: {why}"))
}

async fn ask(
    session: &mut Session,
    raw: &[u8],
    shared: bool,
) -> Result<Vec<(String, Bytes)>, SourceError> {
    let mut command = format!("GETMETADATA (MAXSIZE {MAX_VALUE} DEPTH infinity) ").into_bytes();
    command.extend_from_slice(&session.quoted(raw)?);
    let entries: &[u8] = if shared {
        b" (/private /shared)"
    } else {
        b" (/private)"
    };
    command.extend_from_slice(entries);
    let mut told = Vec::new();
    let on_data = |data: Data| {
        if data.name == "METADATA" {
            told.extend(annotations(&data.values));
        }
        // The answer is read to its end, so that none of it is taken for that of the next folder.
        told.truncate(MAX_ANNOTATIONS + 1);
        Ok(())
    };
    session.must(&command, "GETMETADATA", on_data).await?;
    match told.len() > MAX_ANNOTATIONS {
        true => Err(SourceError::TooMany {
            what: "annotations of a folder",
            most: MAX_ANNOTATIONS,
        }),
        false => Ok(told),
    }
}
