//! One connection: reading, dispatch, answers.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use mailpods_api::Rights;
use mailpods_imap_proto::state::command_name;
use mailpods_imap_proto::{
    BadLine, CapabilityContext, Code, Command, CommandBody, Decoder, Event, Limits, State, Status,
    Tag, Writer, capabilities, permitted,
};
use mailpods_net::Connection;
use mailpods_net::listener::ConnectionGuard;
use mailpods_plan::{Mailbox, Protocol};
use mailpods_store::{AccountId, MailStore};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::failure::{Done, End, Failure, Reply, ReplyCode};
use crate::login::{HELD_ABOVE, User};
use crate::metrics::{CommandLabel, Outcome};
use crate::notify::Notifying;
use crate::patience::Patience;
use crate::server::Shared;
use crate::sharing::no_permission;
use crate::view::View;
use crate::wire::{Wire, read};

/// RFC 5804 §1.8: the port that a URL need not name.
const MANAGESIEVE_PORT: u16 = 4190;

pub(crate) struct Session {
    pub(crate) shared: Arc<Shared>,
    pub(crate) wire: Wire,
    pub(crate) decoder: Decoder,
    pub(crate) number: u64,
    /// IMAP4rev2 was enabled: names in UTF-8, ESEARCH for SEARCH.
    pub(crate) rev2: bool,
    /// UTF8=ACCEPT was enabled (RFC 9755).
    pub(crate) utf8_accept: bool,
    /// A CONDSTORE enabling command was given (RFC 7162 §3.1).
    pub(crate) condstore: bool,
    /// QRESYNC was enabled: VANISHED in the place of EXPUNGE (RFC 7162 §3.2.10).
    pub(crate) qresync: bool,
    pub(crate) user: Option<User>,
    pub(crate) view: Option<Box<View>>,
    /// What NOTIFY asked for.
    pub(crate) notifying: Option<Box<Notifying>>,
    /// Scripts that its last command with any left to be run behind it.
    pub(crate) scripts: Option<JoinHandle<()>>,
    /// Counts the session among its client's, until log-in.
    pub(crate) stranger: Option<ConnectionGuard>,
    patience: Patience,
}

impl Session {
    pub(crate) fn new(
        shared: Arc<Shared>,
        io: Connection,
        number: u64,
        stranger: ConnectionGuard,
    ) -> Self {
        Self {
            shared,
            wire: Wire::new(io),
            decoder: Decoder::new(Limits::default()),
            number,
            rev2: false,
            utf8_accept: false,
            condstore: false,
            qresync: false,
            user: None,
            view: None,
            notifying: None,
            scripts: None,
            stranger: Some(stranger),
            patience: Patience::new(),
        }
    }

    /// Runs the session to its end.
    pub(crate) async fn run(mut self) {
        self.greet();
        let end = loop {
            if let Err(end) = self.turn().await {
                break end;
            }
        };
        Box::pin(self.finish(end)).await;
    }

    fn greet(&mut self) {
        let names = self.capabilities();
        let text = format!(
            "{} Mailpods is ready",
            self.shared.deps.plan.current().hostname
        );
        self.writer()
            .status(None, Status::Ok, Some(&Code::Capability(&names)), &text);
    }

    /// Scripts are run to their end: whoever stops the server waits for its sessions.
    async fn finish(mut self, end: End) {
        let scripts = self.scripts.take();
        self.close_connection(end).await;
        if let Some(scripts) = scripts {
            // It is told when it fails.
            let _ = scripts.await;
        }
    }

    async fn close_connection(mut self, end: End) {
        let chain = mailpods_telemetry::error_chain(&end);
        tracing::debug!(reason = chain, "the session has ended");
        let text = match end {
            End::Closed | End::Io(_) | End::Tls(_) => return,
            End::Logout => "",
            End::Bye(text) => text,
        };
        if !text.is_empty() {
            self.writer().status(None, Status::Bye, None, text);
        }
        self.wire.close().await;
    }

    /// One event of the client, answered.
    async fn turn(&mut self) -> Result<(), End> {
        match self.next_event().await? {
            // Boxed: what a command needs on its way is not kept while the session is idle.
            Event::Command(command) => {
                let done = Box::pin(self.command(command)).await;
                self.hold(0)?;
                done
            }
            Event::BadLine(bad) => {
                self.hold(0)?;
                self.bad_line(&bad)
            }
            // They only come when they were asked for, and who asked has taken them.
            Event::IdleDone
            | Event::AuthResponse(_)
            | Event::AuthCancelled
            | Event::NeedContinuation => Ok(()),
        }
    }

    /// The next event; asks for literals on the way.
    pub(crate) async fn next_event(&mut self) -> Result<Event, End> {
        loop {
            match self.decoder.next_event() {
                Some(Event::NeedContinuation) => self.writer().continuation("go ahead"),
                Some(event) => return Ok(event),
                None => {
                    self.flush().await?;
                    self.release();
                    self.read().await?;
                }
            }
        }
    }

    async fn read(&mut self) -> Result<(), End> {
        let waiting = self.decoder.held();
        if waiting > HELD_ABOVE {
            self.hold(waiting)?;
        }
        let hint = self.decoder.read_hint();
        if hint > 4096 {
            self.decoder.buffer().reserve(hint);
        }
        let deadline = self.deadline(waiting > 0);
        if waiting == 0 && self.notifying.is_some() {
            return Box::pin(self.read_notifying(deadline)).await;
        }
        read(
            &mut self.wire.io,
            self.decoder.buffer(),
            deadline,
            self.shared.deps.shutdown.drain(),
        )
        .await
    }

    /// Counts what is read of a large command, until it is done.
    pub(crate) fn hold(&mut self, octets: u64) -> Result<(), End> {
        let plan = self.shared.deps.plan.current();
        match &mut self.user {
            Some(user) => user.hold(&plan, octets),
            None => Ok(()),
        }
    }

    /// When the client must have said something.
    pub(crate) fn deadline(&self, begun: bool) -> Instant {
        // RFC 9051 §5.4: at least 30 minutes
        let idle = self.shared.deps.plan.current().imap.idle_timeout;
        self.patience
            .deadline(self.user.as_ref().map(|_| idle), begun)
    }

    /// Gives memory back before a wait that may be long.
    pub(crate) fn release(&mut self) {
        self.decoder.release();
        self.wire.release();
    }

    pub(crate) fn bad_line(&mut self, bad: &BadLine) -> Result<(), End> {
        let text = bad.error.to_string();
        let tag = bad.tag.as_ref().map(Tag::as_str);
        self.writer()
            .status(tag, bad.error.status(), bad.error.code().as_ref(), &text);
        self.count_bad_line()
    }

    fn count_bad_line(&mut self) -> Result<(), End> {
        self.patience.count_bad_line(self.user.is_some())
    }

    async fn command(&mut self, command: Command) -> Result<(), End> {
        let Command { tag, body } = command;
        let name = command_name(&body);
        let quiet = forbids_expunge(&body);
        let mut done = self.execute(&tag, body).await;
        if done.is_ok() && self.view.is_some() {
            done = self.announce(!quiet).await.and(done);
        }
        let outcome = match &done {
            Ok(_) => Outcome::Ok,
            Err(failure) if failure.answer().0 == Status::Bad => Outcome::Bad,
            Err(_) => Outcome::No,
        };
        self.shared
            .deps
            .metrics
            .commands
            .inc((CommandLabel(name), outcome));
        self.answer(&tag, name, done)
    }

    fn answer(&mut self, tag: &Tag, name: &'static str, done: Done) -> Result<(), End> {
        let told = self.view.as_ref().map(|view| view.told());
        let failure = match done {
            Ok(Reply {
                code: ReplyCode::AlreadySent,
                ..
            }) => return Ok(()),
            Ok(Reply { code, text }) => {
                let code = match (&code, told) {
                    (ReplyCode::Told, Some(told)) => Some(Code::HighestModSeq(told)),
                    (code, _) => code.borrowed(),
                };
                self.writer()
                    .status(Some(tag.as_str()), Status::Ok, code.as_ref(), text);
                return if name == "logout" {
                    Err(End::Logout)
                } else {
                    Ok(())
                };
            }
            Err(Failure::End(end)) => return Err(end),
            Err(failure) => failure,
        };
        match &failure {
            // A name that is taken, a full mailbox: nothing is wrong here.
            Failure::Store(error) if error.is_of_request() => {
                tracing::debug!(command = name, %error, "a command was refused");
            }
            Failure::Store(error) => tracing::warn!(
                command = name,
                error = mailpods_telemetry::error_chain(error),
                "a command failed in the store"
            ),
            _ => {}
        }
        let (status, code, text) = failure.answer();
        // Guesses count too: each costs a hash.
        let guess = matches!(code, Some(Code::AuthenticationFailed));
        self.writer()
            .status(Some(tag.as_str()), status, code.as_ref(), text);
        if guess || status == Status::Bad {
            self.count_bad_line()
        } else {
            Ok(())
        }
    }

    /// Each arm that waits long or holds much is boxed, so that none pays for the others.
    async fn execute(&mut self, tag: &Tag, body: CommandBody) -> Done {
        if !permitted(self.state(), &body) {
            return Err(Failure::Bad("this command is not permitted now"));
        }
        self.check_account()?;
        self.look_at_rights().await?;
        match body {
            CommandBody::Capability => self.capability(),
            CommandBody::Noop | CommandBody::Check => Ok(self.look_closely()),
            CommandBody::Logout => self.logout(),
            CommandBody::Id(fields) => self.id(&fields),
            CommandBody::StartTls => Box::pin(self.start_tls(tag)).await,
            CommandBody::Authenticate { mechanism, initial } => {
                Box::pin(self.authenticate(&mechanism, initial)).await
            }
            CommandBody::Login { user, password } => Box::pin(self.login(&user, &password)).await,
            CommandBody::Compress(mechanism) => Box::pin(self.compress(tag, &mechanism)).await,
            CommandBody::Idle => Box::pin(self.idle()).await,
            CommandBody::Append(append) => Box::pin(self.append(append)).await,
            CommandBody::Replace(replace) => Box::pin(self.replace(*replace)).await,
            CommandBody::Fetch(fetch) => Box::pin(self.fetch(fetch)).await,
            CommandBody::Search(search) => Box::pin(self.search(tag, *search)).await,
            CommandBody::Sort(sort) => Box::pin(self.sort(tag, *sort)).await,
            CommandBody::Thread(thread) => Box::pin(self.thread(*thread)).await,
            CommandBody::Store(store) => Box::pin(self.store(store)).await,
            CommandBody::Copy(copy) => Box::pin(self.copy(copy)).await,
            CommandBody::Move(copy) => Box::pin(self.move_messages(copy)).await,
            CommandBody::Expunge { uids } => Box::pin(self.expunge(uids)).await,
            CommandBody::Close => Box::pin(self.close()).await,
            other => Box::pin(self.mailbox_command(other)).await,
        }
    }

    fn state(&self) -> State {
        match (&self.user, &self.view) {
            (None, _) => State::NotAuthenticated,
            (Some(_), None) => State::Authenticated,
            (Some(_), Some(_)) => State::Selected,
        }
    }

    /// The account as the plan has it now: who was switched off is sent away.
    pub(crate) fn mailbox_of_plan(&self) -> Option<Arc<Mailbox>> {
        self.shared.mailbox_of_plan(self.user.as_ref()?)
    }

    fn check_account(&self) -> Result<(), Failure> {
        if self.user.is_some() && self.mailbox_of_plan().is_none() {
            return Err(End::Bye("the mailbox has been disabled").into());
        }
        Ok(())
    }

    pub(crate) fn capabilities(&self) -> Vec<Cow<'static, str>> {
        let tls = self.wire.io.is_tls();
        let info = self.wire.io.tls_info();
        let mut names = capabilities(CapabilityContext {
            tls,
            starttls: !tls && self.shared.deps.tls.is_some(),
            authenticated: self.user.is_some(),
            channel_binding: info
                .is_some_and(|info| info.exporter.is_some() || info.server_end_point.is_some()),
            append_limit: self.append_limit(),
            compressed: self.wire.io.is_compressed(),
        });
        if self.user.is_some() {
            names.extend(self.sieve_url().map(Cow::Owned));
        }
        names
    }

    /// RFC 6785 §2.1: where the scripts are kept that run at commands here.
    fn sieve_url(&self) -> Option<String> {
        let plan = self.shared.deps.plan.current();
        let mut listeners = plan.listeners.iter();
        let listener = listeners.find(|listener| listener.protocol == Protocol::ManageSieve)?;
        let host = &plan.hostname;
        Some(match listener.address.port() {
            MANAGESIEVE_PORT => format!("IMAPSIEVE=sieve://{host}"),
            port => format!("IMAPSIEVE=sieve://{host}:{port}"),
        })
    }

    /// The largest message that is taken, in octets.
    pub(crate) fn append_limit(&self) -> u64 {
        self.shared.deps.plan.current().imap.max_append_octets
    }

    fn capability(&mut self) -> Done {
        let names = self.capabilities();
        self.writer().capability(&names);
        Ok(Reply::ok("done"))
    }

    fn logout(&mut self) -> Done {
        // RFC 9051 §6.1.3: BYE stands before the tagged OK
        self.writer().status(None, Status::Bye, None, "see you");
        self.view = None;
        Ok(Reply::ok("logged out"))
    }

    /// RFC 2971
    fn id(&mut self, fields: &[(String, Option<String>)]) -> Done {
        let value = |wanted: &str| {
            fields
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
                .and_then(|field| field.1.clone())
        };
        tracing::debug!(
            name = value("name"),
            version = value("version"),
            "the client has told its name"
        );
        self.writer()
            .id(&[("name", "Mailpods"), ("version", env!("CARGO_PKG_VERSION"))]);
        Ok(Reply::ok("done"))
    }

    /// NOOP and CHECK: ask the store itself, whatever the change watch has told.
    fn look_closely(&mut self) -> Reply {
        if let Some(view) = &mut self.view {
            view.look_closely();
        }
        Reply::ok("done")
    }

    pub(crate) fn writer(&mut self) -> Writer<'_> {
        let utf8 = self.utf8();
        Writer::new(&mut self.wire.out, utf8)
    }

    pub(crate) fn mail(&self) -> Arc<dyn MailStore> {
        Arc::clone(&self.shared.deps.store)
    }

    pub(crate) fn account(&self) -> Result<AccountId, Failure> {
        self.user
            .as_ref()
            .map(|user| user.account)
            .ok_or(Failure::Bad("log in first"))
    }

    pub(crate) fn view(&self) -> Result<&View, Failure> {
        self.view
            .as_deref()
            .ok_or(Failure::Bad("select a mailbox first"))
    }

    pub(crate) fn view_mut(&mut self) -> Result<&mut View, Failure> {
        self.view
            .as_deref_mut()
            .ok_or(Failure::Bad("select a mailbox first"))
    }

    /// The selected mailbox, for a command that changes it.
    pub(crate) fn writable(&self) -> Result<&View, Failure> {
        let view = self.view()?;
        if view.read_only {
            return Err(Failure::No(None, "the mailbox is selected read-only"));
        }
        Ok(view)
    }

    /// Whether the client may do something in the selected mailbox.
    pub(crate) fn may(&self, needed: Rights) -> Result<(), Failure> {
        match self.view()?.rights.contains(needed) {
            true => Ok(()),
            false => Err(no_permission()),
        }
    }

    /// Sends what is gathered once it is much.
    pub(crate) async fn flush_if_full(&mut self) -> Result<(), End> {
        self.wire.flush_if_full().await
    }

    /// Sends what is gathered.
    pub(crate) async fn flush(&mut self) -> Result<(), End> {
        self.wire.flush().await
    }

    /// Sends octets behind what is gathered, without copying them.
    pub(crate) async fn send(&mut self, octets: &Bytes) -> Result<(), End> {
        self.wire.send(octets).await
    }

    pub(crate) fn capability_reply(&self, text: &'static str) -> Reply {
        Reply {
            code: ReplyCode::Capability(self.capabilities()),
            text,
        }
    }
}

/// RFC 9051 §7.5.1, RFC 5256 §3: no EXPUNGE while a command by number is in progress.
fn forbids_expunge(body: &CommandBody) -> bool {
    match body {
        CommandBody::Fetch(fetch) => !fetch.uid,
        CommandBody::Store(store) => !store.uid,
        CommandBody::Search(search) => !search.uid,
        CommandBody::Sort(sort) => !sort.search.uid,
        CommandBody::Thread(thread) => !thread.search.uid,
        _ => false,
    }
}
