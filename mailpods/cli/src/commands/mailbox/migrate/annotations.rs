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

/// Brings those of the folders and of the account itself, where the source has any. What is here under the same name stays.
pub async fn bring(run: &mut Run, session: &mut Session, folders: &[Mapped]) -> Result<(), Error> {
    let Some(account) = run.account.filter(|_| !run.options.dry_run) else {
        return Ok(());
    };
    if session.has("METADATA") {
        for folder in folders {
            let mailbox = target::known(run, account, folder).await?;
            if let Some(mailbox) = mailbox {
                let place = (account, Some(mailbox));
                of(
                    run,
                    session,
                    place,
                    (&folder.raw[..], folder.source.as_str()),
                )
                .await?;
            }
        }
    }
    match session.has("METADATA") || session.has("METADATA-SERVER") {
        true => of(run, session, (account, None), (&b""[..], "the account")).await,
        false => Ok(()),
    }
}

/// Of a folder, or of the account: what a server has for all to see is the server's.
async fn of(
    run: &mut Run,
    session: &mut Session,
    (account, mailbox): (AccountId, Option<MailboxId>),
    (raw, name): (&[u8], &str),
) -> Result<(), Error> {
    let told = match ask(session, raw, mailbox.is_some()).await {
        Err(SourceError::Refused { text, .. }) => {
            return left_out(run, name, &format!("the server refused them: {text}"));
        }
        told => told?,
    };
    let here = run.store.mail.annotations(account, mailbox).await?;
    let here: BTreeSet<String> = here.into_iter().map(|one| one.entry).collect();
    let new = told.into_iter().filter(|(entry, _)| !here.contains(entry));
    let new: Vec<_> = new.map(|(entry, value)| (entry, Some(value))).collect();
    if new.is_empty() {
        return Ok(());
    }
    let done = run.store.mail.annotate(account, mailbox, new).await;
    match done {
        Err(StoreError::Invalid(why)) => left_out(run, name, &why),
        done => Ok(done?),
    }
}

fn left_out(run: &mut Run, folder: &str, why: &str) -> Result<(), Error> {
    let left_out = LeftOut::folder(folder, format!("annotations: {why}"));
    run.report.left_out.push(left_out);
    Ok(())
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
        match told.len() > MAX_ANNOTATIONS {
            true => Err(SourceError::TooMany {
                what: "annotations of a folder",
                most: MAX_ANNOTATIONS,
            }),
            false => Ok(()),
        }
    };
    session.must(&command, "GETMETADATA", on_data).await?;
    Ok(told)
}
