//! The end of data: decide, queue, answer.

use std::collections::HashSet;
use std::time::Instant;

use bytes::Bytes;
use mailpods_api::QueueId;
use mailpods_message::header::find;
use mailpods_plan::Protocol;
use mailpods_policy::outbound::tls::Wish;
use mailpods_smtp_proto::{MailParams, Reply};
use mailpods_store::queue::{BodyType, Envelope, NewMessage, NewRecipient, Origin, Ret};

use super::Driver;
use super::envelope::{Transaction, about_message, no_memory};
use crate::decide::{self, Context, Draft};
use crate::ids;
use crate::metrics::Service;
use crate::recipients::{self, Recipient, unavailable};
use crate::report::Refusal;

/// What each recipient is told, by its place.
type Statuses = Vec<Result<(), Refusal>>;

impl Driver {
    pub(super) async fn on_body_end(&mut self) {
        let Some(mut transaction) = self.transaction.take() else {
            return;
        };
        let started = Instant::now();
        self.shared.metrics.in_flight.set(
            (),
            i64::try_from(self.shared.budget.octets()).unwrap_or(i64::MAX),
        );
        let now = ids::now();
        let Some(id) = ids::new_id(now) else {
            return self.answer_all(&transaction, &no_memory());
        };
        let message = std::mem::take(&mut transaction.body).freeze();
        let mut statuses = self
            .final_statuses(&transaction, message.len() as u64)
            .await;
        let outcome = match transaction.starved {
            true => Err(no_memory()),
            false => {
                self.queue(&transaction, &id, now, message, &mut statuses)
                    .await
            }
        };
        self.shared
            .metrics
            .seconds
            .observe_duration(Service(self.client.protocol), started.elapsed());
        match outcome {
            Ok(()) => self.answer_each(&transaction, &id, &statuses),
            // Each of them for a reason of its own.
            Err(_) if statuses.iter().all(Result::is_err) => {
                self.answer_each(&transaction, &id, &statuses);
            }
            Err(refusal) => {
                let about = about_message(&self.client, id.as_str(), &transaction.sender);
                self.shared.report_refused_message(about, &refusal);
                self.answer_all(&transaction, &refusal);
            }
        }
    }

    /// RFC 2033 §4.2: in LMTP each recipient has a status of its own.
    async fn final_statuses(&self, transaction: &Transaction, size: u64) -> Statuses {
        if self.client.protocol != Protocol::Lmtp {
            return transaction.recipients.iter().map(|_| Ok(())).collect();
        }
        let mut statuses = Vec::with_capacity(transaction.recipients.len());
        for recipient in &transaction.recipients {
            let store = &self.shared.deps.store;
            let size = size + recipient.own_fields(&transaction.sender);
            statuses
                .push(recipients::final_status(&transaction.plan, store, recipient, size).await);
        }
        statuses
    }

    async fn queue(
        &self,
        transaction: &Transaction,
        id: &QueueId,
        now: i64,
        message: Bytes,
        statuses: &mut Statuses,
    ) -> Result<(), Refusal> {
        let accepted = accepted(transaction, statuses)?;
        let context = Context {
            shared: &self.shared,
            plan: &transaction.plan,
            client: &self.client,
            sender: &transaction.sender,
            params: &transaction.params,
            recipients: &accepted,
            id,
            now,
        };
        let draft = decide::decide(&context, message).await?;
        // What was added counts too.
        let size = draft.edits.len(&draft.message) as u64;
        let whole = self.final_statuses(transaction, size).await;
        let settled = statuses.iter_mut().zip(whole);
        settled
            .filter(|(status, _)| status.is_ok())
            .for_each(|(status, whole)| *status = whole);
        let accepted = self::accepted(transaction, statuses)?;
        let reason = draft.reason;
        let junk = draft.junk;
        let rows = rows(&accepted);
        let (octets, new) = self.new_message(transaction, id, now, draft, rows);
        self.shared
            .deps
            .store
            .queue
            .enqueue(vec![new])
            .await
            .map_err(|error| unavailable(&error))?;
        let about = about_message(&self.client, id.as_str(), &transaction.sender);
        let names: Vec<&str> = accepted
            .iter()
            .map(|recipient| recipient.row.address.as_str())
            .collect();
        self.shared
            .report_accepted(about, reason, junk, &names, octets);
        Ok(())
    }

    fn new_message(
        &self,
        transaction: &Transaction,
        id: &QueueId,
        now: i64,
        draft: Draft,
        recipients: Vec<NewRecipient>,
    ) -> (u64, NewMessage) {
        let junk = draft.junk;
        let wish = wish(&transaction.params, &draft.message);
        let (octets, body) = draft.into_body();
        let message = NewMessage {
            id: id.clone(),
            body,
            envelope: envelope(transaction, wish),
            origin: self.origin(),
            junk,
            created: now,
            recipients,
        };
        (octets, message)
    }

    fn origin(&self) -> Origin {
        match (&self.client.identity, self.client.protocol) {
            (Some(identity), _) => Origin::Submission(identity.address.to_string()),
            (None, Protocol::Lmtp) => Origin::Lmtp,
            (None, _) => Origin::Inbound,
        }
    }

    fn answer_each(&mut self, transaction: &Transaction, id: &QueueId, statuses: &Statuses) {
        let queued = || Reply::new(250, (0, 0), format!("queued as {id}"));
        if self.client.protocol != Protocol::Lmtp {
            return self.session.answer(queued());
        }
        for (recipient, status) in transaction.recipients.iter().zip(statuses) {
            match status {
                Ok(()) => self.session.answer(queued()),
                Err(refusal) => {
                    let about = about_message(&self.client, id.as_str(), &transaction.sender);
                    self.shared
                        .report_refused_envelope(about, &recipient.row.address, refusal);
                    self.session.answer(refusal.reply.clone());
                }
            }
        }
    }

    fn answer_all(&mut self, transaction: &Transaction, refusal: &Refusal) {
        let answers = if self.client.protocol == Protocol::Lmtp {
            transaction.recipients.len()
        } else {
            1
        };
        for _ in 0..answers {
            self.session.answer(refusal.reply.clone());
        }
    }
}

/// The recipients that the message is for; the first refusal when there are none.
fn accepted<'t>(
    transaction: &'t Transaction,
    statuses: &Statuses,
) -> Result<Vec<&'t Recipient>, Refusal> {
    let told = transaction.recipients.iter().zip(statuses);
    let accepted: Vec<&Recipient> = told
        .filter(|(_, status)| status.is_ok())
        .map(|(recipient, _)| recipient)
        .collect();
    match statuses.iter().find_map(|status| status.as_ref().err()) {
        Some(refusal) if accepted.is_empty() => Err(refusal.clone()),
        _ => Ok(accepted),
    }
}

/// Each address once, however often it was given.
fn rows(accepted: &[&Recipient]) -> Vec<NewRecipient> {
    let mut seen = HashSet::new();
    let fresh = accepted
        .iter()
        .filter(|recipient| seen.insert(recipient.row.address.as_str()));
    fresh.map(|recipient| recipient.row.clone()).collect()
}

/// RFC 8689 §4.1: REQUIRETLS outweighs the field.
fn wish(params: &MailParams, message: &[u8]) -> Wish {
    if params.require_tls {
        return Wish::Required;
    }
    let value = find(message, b"tls-required").unwrap_or_default();
    // RFC 8689 §5: `No` is the only value.
    if value.trim_ascii().eq_ignore_ascii_case(b"no") {
        Wish::Waived
    } else {
        Wish::Usual
    }
}

fn envelope(transaction: &Transaction, tls: Wish) -> Envelope {
    use mailpods_smtp_proto as proto;
    let params = &transaction.params;
    Envelope {
        sender: transaction.sender.clone(),
        ret: params.ret.map(|ret| match ret {
            proto::Ret::Full => Ret::Full,
            proto::Ret::Headers => Ret::Hdrs,
        }),
        envid: params.envid.clone(),
        smtputf8: params.smtputf8,
        tls,
        body_type: match params.body {
            proto::BodyType::SevenBit => BodyType::SevenBit,
            proto::BodyType::EightBitMime => BodyType::EightBit,
            proto::BodyType::BinaryMime => BodyType::Binary,
        },
    }
}
