//! Whether a recipient is taken, and where its mail goes.

use mailpods_api::MailboxAddress;
use mailpods_plan::{Mailbox, OverQuota, Plan, Resolved, Route, Target};
use mailpods_policy::Reason;
use mailpods_policy::srs::{Keys, SECRET};
use mailpods_smtp_proto::{Domain, ForwardPath, RcptParams};
use mailpods_store::queue::{Destination, NewRecipient, Notify};
use mailpods_store::suppression::suppressed;
use mailpods_store::{Lack, SecretStore, Store, StoreError, quota};

use crate::report::Refusal;

/// A recipient that was accepted.
#[derive(Debug, Clone)]
pub(crate) struct Recipient {
    /// For the queue.
    pub(crate) row: NewRecipient,
    /// Mailboxes here that it leads to.
    pub(crate) mailboxes: Vec<MailboxAddress>,
    /// An address here whose mail goes on to other domains, and to nobody here.
    pub(crate) goes_on: bool,
}

impl Recipient {
    /// Octets of the fields that local delivery puts in front of this recipient's copy: Return-Path, Delivered-To, and X-Original-To for
    /// another address than the mailbox's.
    pub(crate) fn own_fields(&self, sender: &str) -> u64 {
        let path = "Return-Path: <>\r\n".len() + sender.len();
        let own = |mailbox: &MailboxAddress| {
            let mailbox = mailbox.to_string();
            let original = match self.row.address.eq_ignore_ascii_case(&mailbox) {
                true => 0,
                false => "X-Original-To: \r\n".len() + self.row.address.len(),
            };
            "Delivered-To: \r\n".len() + mailbox.len() + original
        };
        let longest = self.mailboxes.iter().map(own).max();
        longest.map_or(0, |own| (path + own) as u64)
    }
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a> {
    /// A log-in may send to anywhere; nobody else may.
    pub(crate) may_relay: bool,
    /// Envelope sender.
    pub(crate) sender: &'a str,
    /// Declared size of the message in octets, for the quota.
    pub(crate) size: u64,
    /// Milliseconds since 1970.
    pub(crate) now: i64,
}

/// Decides over one RCPT.
///
/// # Errors
/// The refusal to answer with.
pub(crate) async fn accept(
    plan: &Plan,
    store: &Store,
    asker: Asker<'_>,
    path: &ForwardPath,
    params: &RcptParams,
) -> Result<Recipient, Refusal> {
    let Some(address) = address(plan, path)? else {
        return literal(asker, path, params);
    };
    if let Some(back) = rewritten(plan, store.secrets.as_ref(), &address, asker.now).await? {
        let destination = match plan.route(back.domain()) {
            Route::Local => Destination::local(),
            _ => Destination(back.domain().as_str().into()),
        };
        return Ok(Recipient {
            goes_on: !plan.is_local(back.domain()),
            row: row(destination, back.written(), params),
            mailboxes: Vec::new(),
        });
    }
    let resolved = plan.resolve(&address);
    let goes_on = match &resolved {
        Resolved::Targets(targets) => targets.iter().all(|target| plan.is_elsewhere(target)),
        _ => false,
    };
    let (destination, mailboxes) = match resolved {
        Resolved::NotLocal => {
            let destination = remote(asker, &address)?;
            refuse_suppressed(plan, store.secrets.as_ref(), asker, &address).await?;
            (destination, Vec::new())
        }
        Resolved::Unknown => return Err(unknown(&address)),
        Resolved::Disabled(_) => {
            return Err(Refusal::new(
                Reason::MailboxDisabled,
                550,
                (2, 1),
                format!("<{address}>: mailbox is disabled"),
            ));
        }
        Resolved::Held => return Err(held(&address)),
        // A slip of the pen in a resource sends nobody's mail back.
        Resolved::Loop => {
            return Err(Refusal::new(
                Reason::AliasLoop,
                451,
                (4, 6),
                format!("<{address}>: alias leads in a circle"),
            ));
        }
        Resolved::Targets(targets) => {
            let mailboxes = check_quotas(plan, store, asker, &targets).await?;
            (local(plan, &address, &targets), mailboxes)
        }
    };
    Ok(Recipient {
        row: row(destination, written(path, &address), params),
        mailboxes,
        goes_on,
    })
}

/// A recipient whose server said that it does not exist is not written to again for a while.
async fn refuse_suppressed(
    plan: &Plan,
    secrets: &dyn SecretStore,
    asker: Asker<'_>,
    address: &MailboxAddress,
) -> Result<(), Refusal> {
    if plan.outbound.suppression.is_none() {
        return Ok(());
    }
    let recipient = address.to_string();
    let found = suppressed(secrets, asker.sender, &recipient, asker.now).await;
    match found.map_err(|error| unavailable(&error))? {
        None => Ok(()),
        Some(found) => Err(Refusal::new(
            Reason::SuppressedRecipient,
            550,
            found.status(),
            format!(
                "<{address}>: not tried, because {}",
                one_line(&found.text())
            ),
        )),
    }
}

/// A reply may have several lines.
fn one_line(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(clean).take(200).collect()
}

/// Where an address leads back to that a forward from here had as its sender; `None`: it is none.
async fn rewritten(
    plan: &Plan,
    secrets: &dyn SecretStore,
    address: &MailboxAddress,
    now: i64,
) -> Result<Option<MailboxAddress>, Refusal> {
    if plan.outbound.srs.is_none() || !plan.is_local(address.domain()) || !is_rewritten(address) {
        return Ok(None);
    }
    let kept = secrets.secret(SECRET).await;
    let kept = kept.map_err(|error| unavailable(&error))?;
    let keys = kept
        .and_then(|octets| Keys::from_octets(&octets))
        .unwrap_or_default();
    let forged = |why: &dyn std::fmt::Display| {
        let text = format!("<{address}>: {why}");
        Refusal::new(Reason::ForgedReturnPath, 550, (1, 1), text)
    };
    // The first sender's server may care for letter case.
    let written = address.written();
    let local = written.rsplit_once('@').map_or("", |(local, _)| local);
    match keys.reverse(local, now) {
        None => Ok(None),
        Some(Err(error)) => Err(forged(&error)),
        Some(Ok(back)) => MailboxAddress::parse(&back)
            .map(Some)
            .map_err(|error| forged(&error)),
    }
}

/// No other address is worth a look at the keys.
fn is_rewritten(address: &MailboxAddress) -> bool {
    let kind = address.local().get(..4).unwrap_or_default();
    kind.eq_ignore_ascii_case("SRS0") || kind.eq_ignore_ascii_case("SRS1")
}

/// The address to resolve; `None` for an address literal.
fn address(plan: &Plan, path: &ForwardPath) -> Result<Option<MailboxAddress>, Refusal> {
    let ForwardPath::Mailbox(mailbox) = path else {
        return postmaster(plan).map(Some);
    };
    if matches!(mailbox.domain(), Domain::Literal(_)) {
        return Ok(None);
    }
    let bad = |error| {
        Refusal::new(
            Reason::UnknownRecipient,
            553,
            (1, 3),
            format!("<{mailbox}>: {error}"),
        )
    };
    MailboxAddress::parse(&mailbox.to_string())
        .map(Some)
        .map_err(bad)
}

/// RFC 5321 §4.5.1: mail to postmaster without a domain is taken.
fn postmaster(plan: &Plan) -> Result<MailboxAddress, Refusal> {
    let at_first_domain = || {
        let domain = plan.domains.keys().next()?;
        MailboxAddress::new("postmaster", domain.clone()).ok()
    };
    let found = plan.outbound.postmaster.clone().or_else(at_first_domain);
    found.ok_or_else(|| {
        Refusal::new(
            Reason::UnknownRecipient,
            550,
            (1, 1),
            "there is no postmaster here",
        )
    })
}

fn literal(
    asker: Asker<'_>,
    path: &ForwardPath,
    params: &RcptParams,
) -> Result<Recipient, Refusal> {
    let ForwardPath::Mailbox(mailbox) = path else {
        return Err(relay_denied(path));
    };
    if !asker.may_relay {
        return Err(relay_denied(path));
    }
    let destination = Destination(mailbox.domain().to_string().into());
    Ok(Recipient {
        row: row(destination, path.to_string(), params),
        mailboxes: Vec::new(),
        goes_on: false,
    })
}

fn remote(asker: Asker<'_>, address: &MailboxAddress) -> Result<Destination, Refusal> {
    if !asker.may_relay {
        return Err(relay_denied(address));
    }
    // RFC 6409 §4.2: nothing but fully qualified names goes on; what a short name means is not guessed.
    if address.domain().labels().count() < 2 {
        let text = format!("<{address}>: the domain is not fully qualified");
        return Err(Refusal::new(Reason::NoSuchDomain, 554, (1, 2), text));
    }
    Ok(Destination(address.domain().as_str().into()))
}

/// A relayed domain's own address goes straight on; whatever has an alias or a mailbox is expanded by delivery.
fn local(plan: &Plan, address: &MailboxAddress, targets: &[Target]) -> Destination {
    let straight = matches!(targets, [Target::Remote(only)] if only == address);
    match plan.route(address.domain()) {
        Route::Relay(_) if straight => Destination(address.domain().as_str().into()),
        _ => Destination::local(),
    }
}

fn unknown(address: &MailboxAddress) -> Refusal {
    Refusal::new(
        Reason::UnknownRecipient,
        550,
        (1, 1),
        format!("<{address}>: no such mailbox here"),
    )
}

/// RFC 3463 §3.4: the system is not configured so that it can take the message.
pub(crate) fn held(address: &MailboxAddress) -> Refusal {
    let text = format!("<{address}>: mail is on hold here, try again later");
    Refusal::new(Reason::OnHold, 451, (3, 5), text)
}

fn relay_denied(address: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(
        Reason::RelayDenied,
        550,
        (7, 1),
        format!("<{address}>: relaying denied"),
    )
}

/// Refuses when every mailbox that the recipient leads to is full; those that are not get their copy.
async fn check_quotas(
    plan: &Plan,
    store: &Store,
    asker: Asker<'_>,
    targets: &[Target],
) -> Result<Vec<MailboxAddress>, Refusal> {
    let mut mailboxes = Vec::new();
    let mut lacks = Vec::new();
    for target in targets {
        let Target::Mailbox { mailbox, .. } = target else {
            continue;
        };
        lacks.extend(lack(plan, store, mailbox, asker.size).await?);
        mailboxes.push(mailbox.address.clone());
    }
    match lacks.iter().min() {
        Some(lack) if lacks.len() == targets.len() => Err(over_quota(plan, *lack)),
        _ => Ok(mailboxes),
    }
}

/// Why a message does not fit; `None`: it does.
async fn lack(
    plan: &Plan,
    store: &Store,
    mailbox: &Mailbox,
    size: u64,
) -> Result<Option<Lack>, Refusal> {
    let quota = quota::of_delivery(store.upkeep.as_ref(), plan, mailbox).await;
    let quota = quota.map_err(|error| unavailable(&error))?;
    if quota.is_endless() {
        return Ok(None);
    }
    let mail = store.mail.as_ref();
    let account = mail.account(&mailbox.address).await;
    let account = account.map_err(|error| unavailable(&error))?;
    let usage = mail.usage(account).await;
    let usage = usage.map_err(|error| unavailable(&error))?;
    // A message of unknown size is taken when there is room for anything at all.
    Ok(quota.lack(usage, size.max(1)))
}

/// What can never fit is no matter of waiting (RFC 5321 §4.2.3).
fn over_quota(plan: &Plan, lack: Lack) -> Refusal {
    let text = match lack {
        Lack::Mailbox => "mailbox is full",
        Lack::Domain => "the mailboxes of the domain together are full",
        Lack::TooLarge => "the message is larger than all of the mailbox may be",
    };
    let code = match (plan.smtp.over_quota, lack) {
        (OverQuota::Reject, _) | (_, Lack::TooLarge) => 552,
        (OverQuota::Defer, _) => 452,
    };
    Refusal::new(Reason::OverQuota, code, (2, 2), text)
}

/// The answer when the store does not.
pub(crate) fn unavailable(error: &StoreError) -> Refusal {
    tracing::error!(
        error = mailpods_telemetry::error_chain(error),
        "the store failed"
    );
    match error {
        StoreError::Full => Refusal::new(
            Reason::InsufficientStorage,
            452,
            (3, 1),
            "insufficient system storage",
        ),
        _ => Refusal::new(
            Reason::StoreUnavailable,
            451,
            (3, 0),
            "temporary failure, try again later",
        ),
    }
}

/// Only the receiving host may read the local part, so it keeps its letter case (RFC 5321 §2.4).
fn written(path: &ForwardPath, address: &MailboxAddress) -> String {
    match path {
        ForwardPath::Postmaster => address.to_string(),
        ForwardPath::Mailbox(_) => address.written(),
    }
}

fn row(destination: Destination, address: String, params: &RcptParams) -> NewRecipient {
    let notify = params.notify.map_or_else(Notify::default, |notify| Notify {
        given: true,
        success: notify.success,
        failure: notify.failure,
        delay: notify.delay,
    });
    let orcpt = params
        .orcpt
        .as_ref()
        .map(|orcpt| format!("{};{}", orcpt.address_type, orcpt.address));
    NewRecipient {
        destination,
        address,
        orcpt,
        notify,
    }
}

/// Whether a mailbox is full for a message of known size, as an LMTP status.
pub(crate) async fn final_status(
    plan: &Plan,
    store: &Store,
    recipient: &Recipient,
    size: u64,
) -> Result<(), Refusal> {
    let mailboxes = recipient
        .mailboxes
        .iter()
        .filter_map(|address| plan.mailboxes.get(address));
    let mut lacks = Vec::new();
    for mailbox in mailboxes {
        lacks.extend(lack(plan, store, mailbox, size).await?);
    }
    match lacks.iter().min() {
        Some(lack) if lacks.len() == recipient.mailboxes.len() => Err(over_quota(plan, *lack)),
        _ => Ok(()),
    }
}
