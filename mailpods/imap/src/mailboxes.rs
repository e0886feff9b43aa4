//! Commands about mailboxes.

use std::collections::HashSet;

use mailpods_api::Rights;
use mailpods_imap_proto::pattern::DELIMITER;
use mailpods_imap_proto::{
    Code, CommandBody, Flag, ListAttribute, ListCommand, ListEntry, MailboxName, Resync,
    SpecialUse, Status, StatusItem,
};
use mailpods_store::mail::{MAX_KNOWN_KEYWORDS, MailboxInfo, Opened, SystemFlags};
use mailpods_store::{AccountId, MailStore, MailboxId, Uid};

use crate::failure::{Done, Failure, Reply, ReplyCode};
use crate::list;
use crate::messages::cannot;
use crate::quota::with_deleted;
use crate::session::Session;
use crate::sharing::{OTHERS, PUBLIC, Place, is_shared, may_match_shared};
use crate::view::View;

/// Levels of one name.
const MAX_LEVELS: usize = 32;
/// Octets of one level.
const MAX_LEVEL: usize = 255;

impl Session {
    pub(crate) async fn mailbox_command(&mut self, body: CommandBody) -> Done {
        match body {
            CommandBody::Select {
                mailbox,
                read_only,
                condstore,
                resync,
            } => {
                let resync = resync.as_deref();
                self.select(&mailbox, read_only, condstore, resync).await
            }
            CommandBody::Create {
                mailbox,
                special_use,
            } => self.create(&mailbox, &special_use).await,
            CommandBody::Delete(mailbox) => self.delete(&mailbox).await,
            CommandBody::Rename { from, to } => self.rename(&from, &to).await,
            CommandBody::Subscribe(mailbox) => self.subscribe(&mailbox, true).await,
            CommandBody::Unsubscribe(mailbox) => self.subscribe(&mailbox, false).await,
            CommandBody::List(command) => self.list(&command).await,
            CommandBody::Lsub { reference, pattern } => self.lsub(&reference, &pattern).await,
            CommandBody::Status { mailbox, items } => self.status(&mailbox, &items).await,
            CommandBody::GetQuota(root) => self.get_quota(&root).await,
            CommandBody::GetQuotaRoot(mailbox) => self.get_quota_root(&mailbox).await,
            CommandBody::Enable(names) => Ok(self.enable(&names)),
            CommandBody::Notify(command) => self.notify(command).await,
            CommandBody::GetMetadata(command) => self.get_metadata(command).await,
            CommandBody::SetMetadata(command) => self.set_metadata(command).await,
            CommandBody::SetAcl(command) => self.set_acl(command).await,
            CommandBody::DeleteAcl {
                mailbox,
                identifier,
            } => self.delete_acl(&mailbox, &identifier).await,
            CommandBody::GetAcl(mailbox) => self.get_acl(&mailbox).await,
            CommandBody::ListRights {
                mailbox,
                identifier,
            } => self.list_rights(&mailbox, &identifier).await,
            CommandBody::MyRights(mailbox) => self.my_rights(&mailbox).await,
            CommandBody::Namespace => {
                // RFC 9051 §6.3.10, RFC 2342 §5
                self.writer().namespace(OTHERS, PUBLIC);
                Ok(Reply::ok("done"))
            }
            CommandBody::Unselect => {
                self.view = None;
                Ok(Reply::ok("unselected"))
            }
            _ => Err(Failure::Bad("this command is not served")),
        }
    }

    /// RFC 9051 §6.3.2, §6.3.3
    async fn select(
        &mut self,
        mailbox: &MailboxName,
        read_only: bool,
        condstore: bool,
        resync: Option<&Resync>,
    ) -> Done {
        if resync.is_some() && !self.qresync {
            // RFC 7162 §3.2.5
            return Err(Failure::Bad("QRESYNC must be enabled first"));
        }
        if self.view.take().is_some() {
            // RFC 9051 §7.1: what follows is about the new mailbox
            self.writer().status(
                None,
                Status::Ok,
                Some(&Code::Closed),
                "the mailbox before is closed",
            );
        }
        if condstore {
            self.enable_condstore();
        }
        let store = self.mail();
        let place = self.allowed(mailbox, Rights::READ).await?;
        let changes = store.watch(place.info.id);
        let mut opened = store.opened(place.info.id).await?;
        let view = View::new(&place, self.reader(&place)?, &opened, changes, read_only);
        if view.reader.is_some() && !self.rev2 {
            opened.unseen = first_unseen(&*store, &view).await?;
        }
        self.tell_selected(&opened, &view);
        if self.rev2 {
            // RFC 9051 §6.3.2
            self.tell_listed(&view.name, mailbox.written()).await?;
        }
        self.view = Some(Box::new(view));
        if let Some(resync) = resync
            && let Err(failure) = self.resync(resync, opened.info.uid_validity).await
        {
            self.view = None;
            return Err(failure);
        }
        Ok(match read_only || !place.rights.intersects(WRITING) {
            true => Reply::with(Code::ReadOnly, "selected"),
            false => Reply::with(Code::ReadWrite, "selected"),
        })
    }

    /// Tells which flags the client may change now.
    pub(crate) async fn tell_permanent_flags(&mut self) -> Result<(), Failure> {
        let keywords = self.mail().keywords(self.view()?.id).await?;
        let view = self.view_mut()?;
        view.new_keywords = !view.read_only
            && view.rights.contains(Rights::WRITE)
            && keywords.len() < MAX_KNOWN_KEYWORDS;
        let (flags, new_keywords) = (permanent(view, &keywords), view.new_keywords);
        let code = Code::PermanentFlags {
            flags: &flags,
            new_keywords,
        };
        self.writer()
            .status(None, Status::Ok, Some(&code), "your rights have changed");
        Ok(())
    }

    fn tell_selected(&mut self, opened: &Opened, view: &View) {
        let info = &opened.info;
        let system = Flag::SYSTEM;
        let flags: Vec<&str> = system
            .iter()
            .map(Flag::as_str)
            .chain(opened.keywords.iter().map(String::as_str))
            .collect();
        let rev2 = self.rev2;
        let mut writer = self.writer();
        writer.exists(view.count());
        if !rev2 {
            // RFC 3501 §7.3.2 wants it; nothing is recent here (RFC 9051 has done away with it)
            writer.recent(0);
        }
        writer.flags(flags.iter().copied());
        let permanent = Code::PermanentFlags {
            flags: &permanent(view, &opened.keywords),
            new_keywords: view.new_keywords,
        };
        writer.status(None, Status::Ok, Some(&permanent), "flags that are kept");
        // RFC 3501 §6.3.1: when it is near the start; beyond that, clients search
        let unseen = opened.unseen.filter(|_| !rev2);
        if let Some(number) = unseen.and_then(|uid| view.number(uid)) {
            writer.status(
                None,
                Status::Ok,
                Some(&Code::Unseen(number)),
                "first unseen message",
            );
        }
        writer.status(
            None,
            Status::Ok,
            Some(&Code::UidValidity(info.uid_validity)),
            "UIDs are valid",
        );
        let next = info
            .uid_next
            .max(view.uids.last().map_or(1, |last| last.saturating_add(1)));
        writer.status(None, Status::Ok, Some(&Code::UidNext(next)), "next UID");
        // RFC 8474 §4.2
        writer.status(
            None,
            Status::Ok,
            Some(&Code::MailboxId(&info.id.object_id())),
            "the mailbox's own id",
        );
        writer.status(
            None,
            Status::Ok,
            Some(&Code::HighestModSeq(view.told())),
            "highest modification sequence",
        );
    }

    /// LIST of one mailbox, with the name that the client wrote where that is another one.
    async fn tell_listed(&mut self, name: &str, written: Option<&str>) -> Result<(), Failure> {
        let (store, account) = (self.mail(), self.account()?);
        let mut mailboxes = store.mailboxes(account).await?;
        if is_shared(name) {
            self.add_shared(&mut mailboxes, false).await?;
        }
        let subscriptions = store.subscriptions(account).await?;
        let entry = ListEntry {
            attributes: &list::Names::new(&mailboxes, &subscriptions).attributes_of(name),
            name,
            subscribed_below: false,
        };
        match written {
            Some(written) => self.writer().list_normalized(&entry, written),
            None => self.writer().list(&entry),
        }
        Ok(())
    }

    /// LIST with OLDNAME, where the client wrote another name than the mailbox has (RFC 9051 §6.3.9.7).
    pub(crate) async fn tell_normalized(&mut self, mailbox: &MailboxName) -> Result<(), Failure> {
        let name = mailbox.as_str().trim_end_matches(DELIMITER);
        match mailbox.written().filter(|_| self.rev2) {
            Some(written) => self.tell_listed(name, Some(written)).await,
            None => Ok(()),
        }
    }

    /// RFC 9051 §6.3.4, RFC 6154 §3
    async fn create(&mut self, mailbox: &MailboxName, special_use: &[Option<SpecialUse>]) -> Done {
        // RFC 9051 §6.3.4: a delimiter at the end says that names will be made below
        let name = mailbox.as_str().trim_end_matches(DELIMITER);
        check_name(name)?;
        let special_use = match special_use {
            [] => None,
            [one] => Some(one.and_then(list::to_store).ok_or(Failure::no(
                Code::UseAttr,
                "this special use is not possible here",
            ))?),
            _ => return Err(Failure::no(Code::UseAttr, "a mailbox has one special use")),
        };
        let (account, inner, permit) = self.new_place(name).await?;
        if special_use.is_some() && account != self.account()? {
            return Err(Failure::no(
                Code::UseAttr,
                "mailboxes of others have no special use",
            ));
        }
        let store = self.mail();
        let created = store
            .make_mailbox(account, &inner, special_use, permit)
            .await?;
        // RFC 9051 §6.3.4: the client learns under which name it was made
        self.tell_normalized(mailbox).await?;
        // RFC 8474 §4.1
        let code = ReplyCode::MailboxId(created.object_id());
        Ok(Reply {
            code,
            text: "created",
        })
    }

    /// RFC 9051 §6.3.5
    async fn delete(&mut self, mailbox: &MailboxName) -> Done {
        let place = self.allowed(mailbox, Rights::DELETE).await?;
        if place.inner_name() == "INBOX" {
            return Err(cannot("INBOX can not be deleted"));
        }
        self.tell_normalized(mailbox).await?;
        let id = place.info.id;
        let permit = self.permit(place.owner.as_ref())?;
        self.mail().remove_mailbox(id, permit).await?;
        if self.view.as_ref().is_some_and(|view| view.id == id) {
            self.view = None;
            self.writer().status(
                None,
                Status::Ok,
                Some(&Code::Closed),
                "the selected mailbox is gone",
            );
        }
        Ok(Reply::ok("deleted"))
    }

    /// RFC 9051 §6.3.6
    async fn rename(&mut self, from: &MailboxName, new: &MailboxName) -> Done {
        let to = new.as_str().trim_end_matches(DELIMITER);
        check_name(to)?;
        if to
            .strip_prefix(from.as_str())
            .is_some_and(|rest| rest.starts_with(DELIMITER))
        {
            return Err(cannot("a mailbox can not be moved below itself"));
        }
        let place = self.allowed(from, Rights::DELETE).await?;
        let (account, inner, _) = self.new_place(to).await?;
        if account != self.account_of_place(&place)? {
            return Err(cannot("a mailbox stays with its owner"));
        }
        if place.owner.is_some() && place.inner_name() == "INBOX" {
            return Err(cannot("INBOX of another can not be renamed"));
        }
        let permit = self.permit(place.owner.as_ref())?;
        let id = place.info.id;
        self.mail().move_mailbox(id, &inner, permit).await?;
        self.tell_normalized(new).await?;
        if let Some(view) = &mut self.view {
            view.look_closely();
        }
        Ok(Reply::ok("renamed"))
    }

    /// RFC 9051 §6.3.7, §6.3.8
    async fn subscribe(&mut self, mailbox: &MailboxName, on: bool) -> Done {
        let name = mailbox.as_str().trim_end_matches(DELIMITER);
        check_name(name)?;
        self.mail().subscribe(self.account()?, name, on).await?;
        Ok(Reply::ok("done"))
    }

    async fn list(&mut self, command: &ListCommand) -> Done {
        let no_pattern = matches!(command.patterns.as_slice(), [pattern] if pattern.is_empty());
        if !command.extended && no_pattern {
            self.writer().list_root();
            return Ok(Reply::ok("done"));
        }
        let (store, account) = (self.mail(), self.account()?);
        let mut mailboxes = store.mailboxes(account).await?;
        let mut patterns = command.patterns.iter();
        let shared = match patterns.any(|one| may_match_shared(&command.reference, one)) {
            true => {
                let counts = !command.returns.status.is_empty();
                self.add_shared(&mut mailboxes, counts).await?
            }
            false => Vec::new(),
        };
        let rights = |id| {
            let found = shared.binary_search_by_key(&id, |one| one.0);
            found
                .ok()
                .and_then(|at| shared.get(at))
                .map_or(Rights::ALL, |one| one.1)
        };
        let subscriptions = match command.subscribed || command.returns.subscribed {
            true => store.subscriptions(account).await?,
            false => Vec::new(),
        };
        if command.returns.status.contains(&StatusItem::HighestModSeq) {
            self.enable_condstore();
        }
        let limit = self.append_limit();
        let rows = list::list(&mailboxes, &subscriptions, command);
        let told = rows.iter().filter_map(|row| row.info);
        let deleted = with_deleted(&command.returns.status, told);
        let deleted = self.deleted_octets(deleted).await?;
        for row in rows {
            let entry = ListEntry {
                attributes: &row.attributes,
                name: row.name,
                subscribed_below: row.subscribed_below,
            };
            let mut writer = self.writer();
            writer.list(&entry);
            if let Some(info) = row.info {
                let rights = rights(info.id);
                if command.returns.my_rights {
                    writer.my_rights(&info.name, &rights.told());
                }
                if !command.returns.status.is_empty() && rights.contains(Rights::READ) {
                    let deleted = deleted.get(&info.id).copied().unwrap_or(0);
                    let values = status_values(info, &command.returns.status, limit, deleted);
                    writer.mailbox_status(&info.name, &values);
                }
            }
            self.flush_if_full().await?;
        }
        Ok(Reply::ok("done"))
    }

    async fn lsub(&mut self, reference: &str, pattern: &str) -> Done {
        let subscriptions = self.mail().subscriptions(self.account()?).await?;
        for (name, subscribed) in list::lsub(&subscriptions, reference, pattern) {
            let attributes: &[ListAttribute] = if subscribed {
                &[]
            } else {
                &[ListAttribute::NoSelect]
            };
            self.writer().lsub(&ListEntry {
                attributes,
                name,
                subscribed_below: false,
            });
        }
        Ok(Reply::ok("done"))
    }

    /// RFC 9051 §6.3.11
    async fn status(&mut self, mailbox: &MailboxName, items: &[StatusItem]) -> Done {
        let mut place = self.allowed(mailbox, Rights::READ).await?;
        self.count_unseen(std::slice::from_mut(&mut place)).await?;
        if items.contains(&StatusItem::HighestModSeq) {
            self.enable_condstore();
        }
        let info = &place.info;
        let some = with_deleted(items, std::iter::once(info));
        let deleted = self.deleted_octets(some).await?;
        let deleted = deleted.get(&info.id).copied().unwrap_or(0);
        let values = status_values(info, items, self.append_limit(), deleted);
        self.writer().mailbox_status(mailbox.as_str(), &values);
        Ok(Reply::ok("done"))
    }

    fn account_of_place(&self, place: &Place) -> Result<AccountId, Failure> {
        match &place.owner {
            Some(owner) => Ok(owner.account),
            None => self.account(),
        }
    }

    /// Adds mailboxes of others behind those of one's own, which come first where names are equal; what may be done in them, by id.
    async fn add_shared(
        &self,
        mailboxes: &mut Vec<MailboxInfo>,
        counts: bool,
    ) -> Result<Vec<(MailboxId, Rights)>, Failure> {
        let mut places = self.shared_places().await?;
        if counts {
            self.count_unseen(&mut places).await?;
        }
        let own: HashSet<&str> = mailboxes.iter().map(|own| own.name.as_str()).collect();
        places.retain(|place| !own.contains(place.info.name.as_str()));
        let rights = places.iter().map(|place| (place.info.id, place.rights));
        let mut rights: Vec<_> = rights.collect();
        rights.sort_unstable_by_key(|one| one.0);
        mailboxes.extend(places.into_iter().map(|place| place.info));
        Ok(rights)
    }
}

pub(crate) fn status_values(
    info: &MailboxInfo,
    items: &[StatusItem],
    append_limit: u64,
    deleted_octets: u64,
) -> Vec<(StatusItem, String)> {
    let number = |item: &StatusItem| match item {
        StatusItem::Messages => u64::from(info.messages),
        StatusItem::Recent => 0,
        StatusItem::UidNext => u64::from(info.uid_next),
        StatusItem::UidValidity => u64::from(info.uid_validity),
        StatusItem::Unseen => u64::from(info.unseen),
        StatusItem::Deleted => u64::from(info.deleted),
        StatusItem::DeletedStorage => deleted_octets,
        StatusItem::Size => info.octets,
        StatusItem::HighestModSeq => info.highest_modseq,
        // RFC 7889 §3.1
        StatusItem::AppendLimit => append_limit,
        StatusItem::MailboxId => 0,
    };
    let value = |item: &StatusItem| match item {
        // RFC 8474 §4.3
        StatusItem::MailboxId => format!("({})", info.id.object_id()),
        item => number(item).to_string(),
    };
    items.iter().map(|item| (*item, value(item))).collect()
}

/// RFC 4314 §5.2: the rights of which one at least makes a mailbox READ-WRITE. `\Seen` is each reader's own.
const WRITING: Rights = Rights::INSERT
    .union(Rights::EXPUNGE)
    .union(Rights::WRITE)
    .union(Rights::DELETE_MESSAGES);

/// Flags that the client may change and that are kept (RFC 4314 §5.1.1).
pub(crate) fn permanent<'f>(view: &View, keywords: &'f [String]) -> Vec<&'f str> {
    if view.read_only {
        return Vec::new();
    }
    let needed = |flag: &Flag| match flag {
        Flag::Seen => Rights::SEEN,
        Flag::Deleted => Rights::DELETE_MESSAGES,
        _ => Rights::WRITE,
    };
    let system = Flag::SYSTEM.iter();
    let system = system.filter(|flag| view.rights.contains(needed(flag)));
    let words = keywords
        .iter()
        .filter(|_| view.rights.contains(Rights::WRITE));
    system
        .map(Flag::as_str)
        .chain(words.map(String::as_str))
        .collect()
}

/// A name that may be made: levels that are not empty, no wildcards.
fn check_name(name: &str) -> Result<(), Failure> {
    let levels = || name.split(DELIMITER);
    let fits = levels().count() <= MAX_LEVELS
        && levels().all(|level| !level.is_empty() && level.len() <= MAX_LEVEL);
    if fits && !name.contains(['*', '%']) {
        Ok(())
    } else {
        Err(cannot("this name is not possible"))
    }
}

/// So many messages from the start are looked at.
const UNSEEN_WITHIN: usize = 1_000;

/// RFC 3501 §6.3.1: the first message that a reader of another's mailbox has not seen, when it is near the start.
async fn first_unseen(store: &dyn MailStore, view: &View) -> Result<Option<Uid>, Failure> {
    let entries = store
        .entries(view.id, 1..=Uid::MAX, 0, view.columns(), UNSEEN_WITHIN)
        .await?;
    let unseen = entries
        .iter()
        .find(|entry| !entry.flags.system.contains(SystemFlags::SEEN));
    Ok(unseen.map(|entry| entry.uid))
}
