//! ManageSieve (RFC 5804): people keep their Sieve scripts.
//!
//! A script is taken when it compiles; delivery runs the active one in place of that of the Mailbox resource, which is shown here as a
//! script that cannot be changed.

mod auth;
mod check;
mod failure;
mod scripts;

use std::sync::Arc;

use mailpods_net::Connection;
use mailpods_net::listener::ConnectionGuard;
use mailpods_plan::Mailbox;
use mailpods_pop3_proto::managesieve::state::command_name;
use mailpods_pop3_proto::managesieve::{
    CapabilityContext, Code, Command, Decoder, Event, Limits, State, Writer, capabilities,
    permitted,
};
use mailpods_sasl::Mechanism;
use mailpods_store::ScriptStore;

use self::failure::{Done, Failure, answer};
use crate::failure::End;
use crate::login::{Challenged as _, HELD_ABOVE, User};
use crate::metrics::{CommandLabel, Outcome};
use crate::patience::Patience;
use crate::refused::Refusing;
use crate::server::Shared;
use crate::wire::{Wire, read};

pub(crate) struct Session {
    shared: Arc<Shared>,
    wire: Wire,
    decoder: Decoder,
    number: u64,
    user: Option<User>,
    /// Counts the session among its client's, until log-in.
    stranger: Option<ConnectionGuard>,
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
            user: None,
            stranger: Some(stranger),
            patience: Patience::new(),
        }
    }

    /// Runs the session to its end.
    pub(crate) async fn run(mut self) {
        let hostname = self.shared.deps.plan.current().hostname.clone();
        // RFC 5804 §1.7: capabilities come unasked
        self.tell_capabilities().await;
        self.ok(&format!("{hostname} Mailpods is ready"));
        let end = loop {
            if let Err(end) = self.turn().await {
                break end;
            }
        };
        Box::pin(self.finish(end)).await;
    }

    async fn finish(mut self, end: End) {
        let chain = mailpods_telemetry::error_chain(&end);
        tracing::debug!(reason = chain, "the session has ended");
        match end {
            End::Closed | End::Io(_) | End::Tls(_) => return,
            End::Logout => {}
            End::Bye(text) => self.writer().bye(None, text),
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
            Event::BadLine(error) => {
                self.hold(0)?;
                let code = error.is_quota().then_some(Code::QuotaMaxSize);
                self.writer().no(code, &error.to_string());
                self.count_bad_line()
            }
            // They only come when they were asked for, and who asked has taken them.
            Event::AuthResponse(_) | Event::AuthCancelled => Ok(()),
        }
    }

    async fn next_event(&mut self) -> Result<Event, End> {
        loop {
            if let Some(event) = self.decoder.next_event() {
                return Ok(event);
            }
            self.wire.flush().await?;
            self.wire.release();
            self.decoder.release();
            let waiting = self.decoder.buffer().len() as u64;
            if waiting > HELD_ABOVE {
                self.hold(waiting)?;
            }
            // RFC 5804 §1.2: at least 30 minutes
            let idle = self.shared.deps.plan.current().imap.idle_timeout;
            let idle = self.user.as_ref().map(|_| idle);
            let begun = self.decoder.is_within_command();
            let deadline = self.patience.deadline(idle, begun);
            let drain = self.shared.deps.shutdown.drain();
            read(&mut self.wire.io, self.decoder.buffer(), deadline, drain).await?;
        }
    }

    /// Counts what is read of a large command, until it is done.
    fn hold(&mut self, octets: u64) -> Result<(), End> {
        let plan = self.shared.deps.plan.current();
        match &mut self.user {
            Some(user) => user.hold(&plan, octets),
            None => Ok(()),
        }
    }

    async fn command(&mut self, command: Command) -> Result<(), End> {
        let name = command_name(&command);
        let is_logout = command == Command::Logout;
        let done = self.execute(command).await;
        let outcome = match &done {
            Ok(()) => Outcome::Ok,
            Err(_) => Outcome::No,
        };
        let metrics = &self.shared.deps.metrics;
        metrics
            .managesieve_commands
            .inc((CommandLabel(name), outcome));
        match done {
            Ok(()) if is_logout => Err(End::Logout),
            Ok(()) => Ok(()),
            Err(failure) => self.failed(name, failure),
        }
    }

    /// Each arm that waits long or holds much is boxed, so that none pays for the others.
    async fn execute(&mut self, command: Command) -> Done {
        if !permitted(self.state(), &command) {
            self.count_bad_line()?;
            return Err(Failure::no("this command is not permitted now"));
        }
        self.check_account()?;
        match command {
            Command::Capability => Box::pin(self.capability()).await,
            Command::StartTls => Box::pin(self.start_tls()).await,
            Command::Authenticate { mechanism, initial } => {
                Box::pin(self.authenticate(&mechanism, initial)).await
            }
            Command::Unauthenticate => self.unauthenticate(),
            Command::Logout => self.done("see you"),
            Command::Noop(None) => self.done("done"),
            // RFC 5804 §2.13
            Command::Noop(Some(tag)) => {
                self.writer().ok(Some(Code::Tag(&tag)), "done");
                Ok(())
            }
            other => Box::pin(self.script_command(other)).await,
        }
    }

    fn state(&self) -> State {
        match self.user {
            None => State::NotAuthenticated,
            Some(_) => State::Authenticated,
        }
    }

    /// The account as the plan has it now.
    fn mailbox_of_plan(&self) -> Option<Arc<Mailbox>> {
        self.shared.mailbox_of_plan(self.user.as_ref()?)
    }

    fn check_account(&self) -> Done {
        if self.user.is_some() && self.mailbox_of_plan().is_none() {
            return Err(End::Bye("the mailbox has been disabled").into());
        }
        Ok(())
    }

    async fn capability(&mut self) -> Done {
        self.tell_capabilities().await;
        self.done("done")
    }

    async fn tell_capabilities(&mut self) {
        let is_tls = self.wire.io.is_tls();
        let mut mechanisms = Vec::new();
        if is_tls && self.user.is_none() {
            let directory = &self.shared.deps.directory;
            let offered = directory.mechanisms(&self.context()).await;
            let names = offered.into_iter();
            let names = names.filter(|offered| *offered != Mechanism::Login);
            mechanisms.extend(names.map(Mechanism::name));
        }
        let context = CapabilityContext {
            starttls: !is_tls && self.shared.deps.tls.is_some(),
            mechanisms,
            extensions: mailpods_sieve::CAPABILITIES.to_vec(),
            redirects: mailpods_sieve::Limits::default().redirects,
            owner: self.user.as_ref().map(|user| user.address.to_string()),
        };
        for (name, value) in capabilities(&context) {
            self.writer().capability(name, value.as_deref());
        }
    }

    fn scripts(&self) -> Arc<dyn ScriptStore> {
        Arc::clone(&self.shared.deps.scripts)
    }

    fn user(&self) -> Result<&User, Failure> {
        self.user.as_ref().ok_or(Failure::no("log in first"))
    }

    fn writer(&mut self) -> Writer<'_> {
        Writer::new(&mut self.wire.out)
    }

    fn ok(&mut self, text: &str) {
        self.writer().ok(None, text);
    }

    fn done(&mut self, text: &str) -> Done {
        self.ok(text);
        Ok(())
    }
}

impl Refusing for Session {
    type Code = Code<'static>;

    fn refuse(&mut self, failure: &Failure) {
        let (code, text) = answer(failure);
        self.writer().no(code, text);
    }

    fn count_bad_line(&mut self) -> Result<(), End> {
        self.patience.count_bad_line(self.user.is_some())
    }
}
