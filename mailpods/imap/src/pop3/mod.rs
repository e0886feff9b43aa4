//! POP3 (RFC 1939): people take their mail away.
//!
//! A session sees INBOX as it was at log-in, has it to itself among POP3 sessions of all processes, and changes nothing before QUIT.
//! It holds the UIDs and sizes of the messages; bodies are read in pieces as they are told.

mod auth;
mod failure;
pub(crate) mod locks;
mod maildrop;
mod retrieve;

use std::sync::Arc;
use std::time::Duration;

use mailpods_net::Connection;
use mailpods_net::listener::ConnectionGuard;
use mailpods_pop3_proto::pop3::state::command_name;
use mailpods_pop3_proto::pop3::{
    CapabilityContext, Code, Command, Decoder, Event, State, Writer, capabilities, permitted,
};
use mailpods_sasl::Mechanism;
use mailpods_store::MailStore;

use self::failure::{Done, Failure, answer};
use self::maildrop::Maildrop;
use crate::failure::End;
use crate::login::Challenged as _;
use crate::metrics::{CommandLabel, Outcome};
use crate::patience::Patience;
use crate::refused::Refusing;
use crate::server::Shared;
use crate::wire::{Wire, read};

/// Wait for a command after log-in: RFC 1939 §3 asks for 10 minutes at least, and nobody else gets the maildrop meanwhile.
const IDLE_WAIT: Duration = Duration::from_secs(600);

pub(crate) struct Session {
    shared: Arc<Shared>,
    wire: Wire,
    decoder: Decoder,
    number: u64,
    /// What USER named.
    name: Option<String>,
    maildrop: Option<Box<Maildrop>>,
    /// Counts the session among its client's, until log-in.
    stranger: Option<ConnectionGuard>,
    patience: Patience,
}

fn lost() -> Failure {
    End::Bye("another session has taken the maildrop; nothing was removed").into()
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
            decoder: Decoder::default(),
            number,
            name: None,
            maildrop: None,
            stranger: Some(stranger),
            patience: Patience::new(),
        }
    }

    /// Runs the session to its end.
    pub(crate) async fn run(mut self) {
        let hostname = self.shared.deps.plan.current().hostname.clone();
        self.writer().ok(&format!("{hostname} Mailpods is ready"));
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
        if let Some(maildrop) = self.maildrop.take() {
            maildrop.lock.free().await;
        }
        match end {
            End::Closed | End::Io(_) | End::Tls(_) => return,
            End::Logout => {}
            End::Bye(text) => self.writer().err(Some(Code::SysTemp), text),
        }
        self.wire.close().await;
    }

    /// One event of the client, answered.
    async fn turn(&mut self) -> Result<(), End> {
        match self.next_event().await? {
            // Boxed: what a command needs on its way is not kept while the session is idle.
            Event::Command(command) => Box::pin(self.command(command)).await,
            Event::BadLine(error) => {
                self.writer().err(None, &error.to_string());
                self.count_bad_line()
            }
            // They only come when they were asked for, and who asked has taken them.
            Event::AuthResponse(_) | Event::AuthCancelled => Ok(()),
        }
    }

    /// The next event. Answers are sent when the client has said nothing more (RFC 2449 §6.6).
    async fn next_event(&mut self) -> Result<Event, End> {
        loop {
            if let Some(event) = self.decoder.next_event() {
                return Ok(event);
            }
            self.wire.flush().await?;
            self.wire.release();
            self.decoder.release();
            let idle = self.maildrop.as_ref().map(|_| IDLE_WAIT);
            let deadline = self.patience.deadline(idle, self.decoder.has_input());
            let drain = self.shared.deps.shutdown.drain();
            read(&mut self.wire.io, self.decoder.buffer(), deadline, drain).await?;
        }
    }

    async fn command(&mut self, command: Command) -> Result<(), End> {
        let name = command_name(&command);
        let is_quit = command == Command::Quit;
        let done = self.execute(command).await;
        let outcome = match &done {
            Ok(()) => Outcome::Ok,
            Err(_) => Outcome::No,
        };
        let metrics = &self.shared.deps.metrics;
        metrics.pop3_commands.inc((CommandLabel(name), outcome));
        match done {
            Ok(()) if is_quit => Err(End::Logout),
            Ok(()) => Ok(()),
            Err(failure) => {
                self.failed(name, failure)?;
                if is_quit { Err(End::Logout) } else { Ok(()) }
            }
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
            Command::Capa => Box::pin(self.capa()).await,
            Command::Stls => Box::pin(self.stls()).await,
            Command::Auth { mechanism, initial } => Box::pin(self.auth(&mechanism, initial)).await,
            Command::User(name) => self.user(name),
            Command::Pass(password) => Box::pin(self.pass(&password)).await,
            Command::Quit => Box::pin(self.quit()).await,
            Command::Stat => self.stat(),
            Command::List(None) => Box::pin(self.list_all()).await,
            Command::List(Some(number)) => self.list_one(number),
            Command::Uidl(number) => Box::pin(self.uidl(number)).await,
            Command::Retr(number) => Box::pin(self.retrieve(number, None)).await,
            Command::Top { message, lines } => Box::pin(self.retrieve(message, Some(lines))).await,
            Command::Dele(number) => self.dele(number),
            Command::Noop => self.ok("done"),
            Command::Rset => self.rset(),
        }
    }

    fn state(&self) -> State {
        match self.maildrop {
            None => State::Authorization,
            Some(_) => State::Transaction,
        }
    }

    fn check_account(&self) -> Done {
        let Some(maildrop) = &self.maildrop else {
            return Ok(());
        };
        if self.shared.mailbox_of_plan(&maildrop.user).is_none() {
            return Err(End::Bye("the mailbox has been disabled").into());
        }
        match maildrop.lock.is_lost() {
            true => Err(lost()),
            false => Ok(()),
        }
    }

    /// RFC 2449 §5
    async fn capa(&mut self) -> Done {
        let context = CapabilityContext {
            stls: !self.wire.io.is_tls() && self.shared.deps.tls.is_some(),
            user: self.wire.io.is_tls() && self.maildrop.is_none(),
        };
        let mut mechanisms = Vec::new();
        if context.user {
            let offered = self.shared.deps.directory.mechanisms(&self.context()).await;
            let names = offered
                .into_iter()
                .filter(|offered| *offered != Mechanism::Login);
            mechanisms.extend(names.map(Mechanism::name));
        }
        let mut writer = self.writer();
        writer.ok("what can be done");
        for line in capabilities(context, &mechanisms) {
            writer.line(&line);
        }
        writer.end();
        Ok(())
    }

    /// RFC 1939 §6: what is marked is removed now.
    async fn quit(&mut self) -> Done {
        let Some(maildrop) = self.maildrop.take() else {
            return self.ok("see you");
        };
        let updated = maildrop.update(self.mail().as_ref()).await;
        maildrop.lock.free().await;
        updated?;
        self.ok("see you")
    }

    fn stat(&mut self) -> Done {
        let (count, octets) = self.maildrop()?.totals();
        self.ok(&format!("{count} {octets}"))
    }

    fn list_one(&mut self, number: u32) -> Done {
        let octets = self.maildrop()?.message(number)?.1.octets;
        self.ok(&format!("{number} {octets}"))
    }

    async fn list_all(&mut self) -> Done {
        let maildrop = self.maildrop()?;
        let (count, octets) = maildrop.totals();
        let lines: Vec<_> = maildrop
            .present()
            .map(|(number, message)| (number, message.octets))
            .collect();
        self.ok(&format!("{count} messages ({octets} octets)"))?;
        for (number, octets) in lines {
            self.writer().line(&format!("{number} {octets}"));
            self.wire.flush_if_full().await?;
        }
        self.writer().end();
        Ok(())
    }

    async fn uidl(&mut self, number: Option<u32>) -> Done {
        let mail = self.mail();
        let maildrop = self.maildrop()?;
        maildrop.read_names(mail.as_ref()).await?;
        if let Some(number) = number {
            let name = maildrop.name(maildrop.message(number)?.1.uid);
            return self.ok(&format!("{number} {name}"));
        }
        let uids: Vec<_> = maildrop
            .present()
            .map(|(number, message)| (number, message.uid))
            .collect();
        self.ok("names follow")?;
        for (number, uid) in uids {
            let name = self.maildrop()?.name(uid);
            self.writer().line(&format!("{number} {name}"));
            self.wire.flush_if_full().await?;
        }
        self.writer().end();
        Ok(())
    }

    fn dele(&mut self, number: u32) -> Done {
        self.maildrop()?.mark_deleted(number)?;
        self.ok("marked")
    }

    fn rset(&mut self) -> Done {
        self.maildrop()?.unmark();
        self.ok("nothing is marked")
    }

    fn maildrop(&mut self) -> Result<&mut Maildrop, Failure> {
        self.maildrop
            .as_deref_mut()
            .ok_or(Failure::no("log in first"))
    }

    fn mail(&self) -> Arc<dyn MailStore> {
        Arc::clone(&self.shared.deps.store)
    }

    fn writer(&mut self) -> Writer<'_> {
        Writer::new(&mut self.wire.out)
    }

    fn ok(&mut self, text: &str) -> Done {
        self.writer().ok(text);
        Ok(())
    }
}

impl Refusing for Session {
    type Code = Code;

    fn refuse(&mut self, failure: &Failure) {
        let (code, text) = answer(failure);
        self.writer().err(code, text);
    }

    fn count_bad_line(&mut self) -> Result<(), End> {
        self.patience.count_bad_line(self.maildrop.is_some())
    }
}
