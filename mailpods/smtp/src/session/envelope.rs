//! MAIL, RCPT and the start of a body.

use std::sync::Arc;

use bytes::BytesMut;
use mailpods_api::MailboxAddress;
use mailpods_plan::{Mailbox, Plan, Protocol};
use mailpods_policy::Reason;
use mailpods_smtp_proto::{ForwardPath, MailParams, ProtocolError, RcptParams, ReversePath};

use super::Driver;
use crate::budget::Held;
use crate::recipients::{self, Asker, Recipient};
use crate::report::{self, About, Refusal};
use crate::suspension;

/// Octets that a body's buffer has room for from the start, when its size was not declared.
const FIRST_ROOM: u64 = 16 * 1024;
/// Most that a declared size is believed before octets come.
const MOST_ROOM: u64 = 1024 * 1024;

/// A message under way.
pub(super) struct Transaction {
    pub(super) plan: Arc<Plan>,
    /// `local@domain`; empty for the null sender.
    pub(super) sender: String,
    pub(super) params: MailParams,
    pub(super) recipients: Vec<Recipient>,
    pub(super) body: BytesMut,
    pub(super) held: Held,
    /// The budget did not allow the body: it is read to its end and refused.
    pub(super) starved: bool,
}

impl Transaction {
    /// Keeps a piece of the body, while the budget allows.
    pub(super) fn push(&mut self, chunk: &[u8]) {
        if self.starved {
            return;
        }
        if self
            .held
            .grow(chunk.len() as u64, self.plan.smtp.max_octets_in_flight)
        {
            self.body.extend_from_slice(chunk);
        } else {
            self.starved = true;
            self.body = BytesMut::new();
        }
    }
}

impl Driver {
    pub(super) async fn on_mail(&mut self, path: &ReversePath, params: MailParams) {
        let plan = self.shared.deps.plan.current();
        let sender = written(path);
        if let Err(refusal) = self.check_sender(&plan, path).await {
            self.shared
                .report_refused_envelope(self.client.about(&sender), "", &refusal);
            return self.session.answer(refusal.reply);
        }
        self.transaction = Some(Transaction {
            plan,
            sender,
            params,
            recipients: Vec::new(),
            body: BytesMut::new(),
            held: self.shared.budget.start(),
            starved: false,
        });
        self.session.accept();
    }

    async fn check_sender(&self, plan: &Plan, path: &ReversePath) -> Result<(), Refusal> {
        if self.client.protocol == Protocol::Smtp {
            let rate = self
                .shared
                .admission
                .message(self.client.address, &plan.smtp);
            rate.map_err(|reason| {
                Refusal::new(
                    reason,
                    450,
                    (7, 1),
                    "too many messages from your network, try again later",
                )
            })?;
        }
        match (&self.client.identity, path.mailbox()) {
            (Some(identity), Some(mailbox)) => {
                match MailboxAddress::parse(&mailbox.to_string()).ok() {
                    Some(address) if plan.may_send_as(identity, &address) => {
                        self.check_suspended(plan, identity).await
                    }
                    // Whose it is will be known again.
                    Some(address) if plan.is_held(&address) => Err(recipients::held(&address)),
                    _ => {
                        let login = &identity.address;
                        let text = format!("<{mailbox}>: not an address of the log-in {login}");
                        Err(Refusal::new(Reason::SenderNotOwned, 550, (7, 1), text))
                    }
                }
            }
            (Some(identity), None) => self.check_suspended(plan, identity).await,
            (None, _) => Ok(()),
        }
    }

    async fn check_suspended(&self, plan: &Plan, identity: &Mailbox) -> Result<(), Refusal> {
        let account = identity.address.to_string();
        suspension::check(&self.shared, plan, &account, crate::ids::now()).await
    }

    pub(super) async fn on_rcpt(&mut self, path: &ForwardPath, params: &RcptParams) {
        let Some(transaction) = &mut self.transaction else {
            return;
        };
        let asker = Asker {
            may_relay: self.client.identity.is_some(),
            sender: &transaction.sender,
            size: transaction.params.size.unwrap_or(0),
            now: crate::ids::now(),
        };
        let store = &self.shared.deps.store;
        match recipients::accept(&transaction.plan, store, asker, path, params).await {
            Ok(recipient) => {
                transaction.recipients.push(recipient);
                self.shared.report_recipient(self.client.about(""));
                self.session.accept();
            }
            Err(refusal) => {
                let about = self.client.about(&transaction.sender);
                self.shared
                    .report_refused_envelope(about, &path.to_string(), &refusal);
                self.session.answer(refusal.reply);
            }
        }
    }

    pub(super) fn on_body_start(&mut self) {
        let Some(transaction) = &mut self.transaction else {
            return;
        };
        let declared = transaction.params.size.unwrap_or(FIRST_ROOM);
        let limit = transaction.plan.smtp.max_octets_in_flight;
        if !self.shared.budget.has_room(declared, limit) {
            let refusal = no_memory();
            let about = self.client.about(&transaction.sender);
            self.shared.report_refused_message(about, &refusal);
            // The transaction stays: the client may try DATA again, or go on with RSET.
            return self.session.answer(refusal.reply);
        }
        transaction
            .body
            .reserve(usize::try_from(declared.min(MOST_ROOM)).unwrap_or(0));
        self.session.accept();
    }

    /// The core found a fault in the body and has answered.
    pub(super) fn on_body_refused(&mut self, error: &ProtocolError) {
        let Some(transaction) = self.transaction.take() else {
            return;
        };
        let about = self.client.about(&transaction.sender);
        match report::reason_of(error) {
            Some(reason) => self.shared.report_refused_message(
                about,
                &Refusal {
                    reason,
                    reply: error.reply(),
                },
            ),
            None => self.shared.report_fault(about, error),
        }
    }
}

/// The answer when memory is short.
pub(super) fn no_memory() -> Refusal {
    Refusal::new(
        Reason::InsufficientStorage,
        452,
        (3, 1),
        "too much mail at once, try again later",
    )
}

/// The sender with its domain in A-labels, where it is an address of the usual kind.
fn written(path: &ReversePath) -> String {
    let text = path.to_string();
    MailboxAddress::parse(&text).map_or(text, |address| address.written())
}

/// What a report is about once the message has an id.
pub(super) fn about_message<'a>(
    client: &'a super::Client,
    id: &'a str,
    sender: &'a str,
) -> About<'a> {
    About {
        id,
        ..client.about(sender)
    }
}
