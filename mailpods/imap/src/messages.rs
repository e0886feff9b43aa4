//! STORE, EXPUNGE, CLOSE, COPY and MOVE.

use mailpods_api::Rights;
use mailpods_imap_proto::sequence::compress;
use mailpods_imap_proto::{Code, CopyCommand, SequenceSet, Status, StoreAction, StoreCommand};
use mailpods_store::acl::Reader;
use mailpods_store::mail::{
    CopyOutcome, FlagOp, FlagOutcome, Flags, MAX_KNOWN_KEYWORDS, SystemFlags, Transfer,
};
use mailpods_store::{MailboxId, Uid};

use crate::failure::{Done, Failure, Reply, ReplyCode};
use crate::flags;
use crate::mailboxes::permanent;
use crate::session::Session;
use crate::sharing::{Place, no_permission};
use crate::sieve::{Cause, Event, Runner, of_flags};

/// Messages whose flags change in one transaction.
const STORE_BATCH: usize = 1000;

impl Session {
    /// RFC 9051 §6.4.6, RFC 7162 §3.1.3
    pub(crate) async fn store(&mut self, command: StoreCommand) -> Done {
        let view = self.writable()?;
        let uids = view.uids_at(&view.positions(&command.set, command.uid)?);
        let op = match command.action {
            StoreAction::Replace => FlagOp::Replace,
            StoreAction::Add => FlagOp::Add,
            StoreAction::Remove => FlagOp::Remove,
        };
        let flags = flags::to_store(&command.flags);
        let reader = view.reader;
        if reader.is_some_and(|reader| !may_store(&reader, op, &flags)) {
            return Err(no_permission());
        }
        if command.unchanged_since.is_some() {
            self.enable_condstore();
        }
        let (runner, mut events) = (self.script_of_view().await?, Vec::new());
        let change = (op, flags);
        let stored = self.store_all(&command, &uids, &change, (runner.as_ref(), &mut events));
        let stored = stored.await;
        // Also when the rest failed: these have changed.
        if let Some(runner) = runner.filter(|_| !events.is_empty()) {
            self.run_scripts(runner, events).await;
            self.view_mut()?.look_closely();
        }
        self.store_reply(stored?, command.uid)
    }

    /// Changes flags batch by batch, and gathers for whom a script is to run. Returns what was not changed as somebody else did.
    async fn store_all(
        &mut self,
        command: &StoreCommand,
        uids: &[Uid],
        change: &(FlagOp, Flags),
        (runner, events): (Option<&Runner>, &mut Vec<Event>),
    ) -> Result<Vec<Uid>, Failure> {
        let (id, reader) = (self.view()?.id, self.view()?.reader);
        let mut modified = Vec::new();
        for batch in uids.chunks(STORE_BATCH) {
            let store = self.mail();
            let before = match runner {
                Some(runner) => runner.flags(batch).await?,
                None => Vec::new(),
            };
            let (batch, since) = (batch.to_vec(), command.unchanged_since);
            let stored = store.store_flags_as(id, batch, change.clone(), since, reader);
            let stored = stored.await;
            if change.0 != FlagOp::Remove && !change.1.keywords.is_empty() {
                self.tell_keyword_limit().await?;
            }
            let outcome = stored?;
            events.extend(of_flags(&before, &outcome));
            self.tell_stored(&outcome, command)?;
            modified.extend(outcome.modified);
            self.flush_if_full().await?;
        }
        Ok(modified)
    }

    /// RFC 9051 §7.1: once there is no room for more keywords, PERMANENTFLAGS comes again without `\*`.
    async fn tell_keyword_limit(&mut self) -> Result<(), Failure> {
        let view = self.view()?;
        if !view.new_keywords {
            return Ok(());
        }
        let keywords = self.mail().keywords(view.id).await?;
        if keywords.len() < MAX_KNOWN_KEYWORDS {
            return Ok(());
        }
        self.view_mut()?.new_keywords = false;
        let flags = permanent(self.view()?, &keywords);
        let code = Code::PermanentFlags {
            flags: &flags,
            new_keywords: false,
        };
        self.writer()
            .status(None, Status::Ok, Some(&code), "no room for more keywords");
        Ok(())
    }

    fn tell_stored(
        &mut self,
        outcome: &FlagOutcome,
        command: &StoreCommand,
    ) -> Result<(), Failure> {
        let (condstore, qresync) = (self.condstore, self.qresync);
        for (uid, modseq, flags) in &outcome.entries {
            let view = self.view_mut()?;
            view.own_change(*uid, *modseq);
            let Some(number) = view.number(*uid).filter(|_| condstore || !command.silent) else {
                continue;
            };
            let mut fetch = self.writer().fetch(number);
            // RFC 7162 §3.2.4: with QRESYNC also in the answer to STORE
            if command.uid || qresync {
                fetch.uid(*uid);
            }
            if !command.silent {
                fetch.flags(flags::names(flags));
            }
            if condstore {
                // RFC 7162 §3.1.3: also after .SILENT
                fetch.mod_seq(*modseq);
            }
            fetch.finish();
        }
        Ok(())
    }

    fn store_reply(&self, modified: Vec<Uid>, by_uid: bool) -> Done {
        if modified.is_empty() {
            return Ok(Reply::ok("stored"));
        }
        let view = self.view()?;
        let set = match by_uid {
            true => compress(modified),
            false => compress(modified.into_iter().filter_map(|uid| view.number(uid))),
        };
        Ok(Reply {
            code: ReplyCode::Modified(set),
            text: "some messages have changed since",
        })
    }

    /// RFC 9051 §6.4.3, RFC 4315 §2.1
    pub(crate) async fn expunge(&mut self, set: Option<SequenceSet>) -> Done {
        self.may(Rights::EXPUNGE)?;
        let view = self.writable()?;
        let uids = match &set {
            Some(set) => Some(view.uids_at(&view.positions(set, true)?)),
            None => None,
        };
        let gone = self.mail().expunge(view.id, uids).await?;
        self.expunged(&gone)?;
        self.view_mut()?.look_closely();
        Ok(self.removed(!gone.is_empty(), "expunged"))
    }

    /// RFC 7162 §3.2.7: whoever counts modification sequences learns that of the removal.
    pub(crate) fn removed(&self, some: bool, text: &'static str) -> Reply {
        let code = match self.condstore && some {
            true => ReplyCode::Told,
            false => ReplyCode::None,
        };
        Reply { code, text }
    }

    /// RFC 9051 §6.4.1
    pub(crate) async fn close(&mut self) -> Done {
        let view = self.view()?;
        // RFC 4314 §4: without `e` nothing is expunged, and it is OK all the same
        if !view.read_only && view.rights.contains(Rights::EXPUNGE) {
            self.mail().expunge(view.id, None).await?;
        }
        self.view = None;
        Ok(Reply::ok("closed"))
    }

    /// RFC 9051 §6.4.7
    pub(crate) async fn copy(&mut self, command: CopyCommand) -> Done {
        let view = self.view()?;
        let (id, uids) = (
            view.id,
            view.uids_at(&view.positions(&command.set, command.uid)?),
        );
        let target = self.target(command.mailbox.as_str()).await?;
        if uids.is_empty() {
            return Ok(Reply::ok("nothing to copy"));
        }
        let outcome = self.transfer(id, uids, &target, true).await?;
        self.copied(&outcome, &target).await;
        self.look_if_selected(&target.info);
        Ok(Reply {
            code: copy_uid(&outcome),
            text: "copied",
        })
    }

    async fn transfer(
        &self,
        from: MailboxId,
        uids: Vec<Uid>,
        target: &Place,
        copy: bool,
    ) -> Result<CopyOutcome, Failure> {
        let transfer = Transfer {
            seen_of: self.view()?.reader.map(|reader| reader.account),
            reader: self.reader(target)?,
            quota: self.quota_of(target).await?,
            copy,
            ..Transfer::within(from, uids, target.info.id)
        };
        Ok(self.mail().transfer(transfer).await?)
    }

    async fn copied(&mut self, outcome: &CopyOutcome, target: &Place) {
        let uids: Vec<Uid> = outcome.pairs.iter().map(|pair| pair.1).collect();
        self.came_in(Cause::Copy, target, &uids).await;
    }

    /// RFC 9051 §6.4.8
    pub(crate) async fn move_messages(&mut self, command: CopyCommand) -> Done {
        // RFC 6851 §4.2: what STORE \Deleted and EXPUNGE need
        self.may(Rights::DELETE_MESSAGES.union(Rights::EXPUNGE))?;
        let view = self.writable()?;
        let (id, uids) = (
            view.id,
            view.uids_at(&view.positions(&command.set, command.uid)?),
        );
        let target = self.target(command.mailbox.as_str()).await?;
        if uids.is_empty() {
            return Ok(Reply::ok("nothing to move"));
        }
        let outcome = self.transfer(id, uids, &target, false).await?;
        self.copied(&outcome, &target).await;
        if let Some(code) = copy_uid(&outcome).borrowed() {
            // RFC 6851 §4.3: COPYUID in an untagged OK, before the EXPUNGEs
            self.writer().status(None, Status::Ok, Some(&code), "moved");
        }
        let gone: Vec<Uid> = outcome.pairs.iter().map(|pair| pair.0).collect();
        self.expunged(&gone)?;
        self.view_mut()?.look_closely();
        Ok(self.removed(!gone.is_empty(), "moved"))
    }
}

/// RFC 4314 §4: STORE goes on where at least one of its flags may be changed.
fn may_store(reader: &Reader, op: FlagOp, flags: &Flags) -> bool {
    let any = reader.keywords || reader.system != SystemFlags::default();
    let named =
        flags.system.0 & reader.system.0 != 0 || reader.keywords && !flags.keywords.is_empty();
    let nothing = flags.system == SystemFlags::default() && flags.keywords.is_empty();
    named || any && (op == FlagOp::Replace || nothing)
}

/// RFC 4315 §3: nothing when nothing was copied. Pairs ascend on both sides.
fn copy_uid(outcome: &CopyOutcome) -> ReplyCode {
    if outcome.pairs.is_empty() {
        return ReplyCode::None;
    }
    let source = compress(outcome.pairs.iter().map(|pair| pair.0));
    let target = compress(outcome.pairs.iter().map(|pair| pair.1));
    ReplyCode::CopyUid {
        validity: outcome.uid_validity,
        source,
        target,
    }
}

/// A refusal of what read-only or missing mailboxes do not allow.
pub(crate) fn cannot(text: &'static str) -> Failure {
    Failure::no(Code::Cannot, text)
}
