//! One log-in.
use std::sync::Arc;
use std::time::Duration;

use mailpods_api::MailboxAddress;
use mailpods_plan::{Mailbox, Plan};
use mailpods_policy::Reason;
use mailpods_policy::password::is_sprayed;
use mailpods_sasl::server::{Event, NameLogin, PasswordLogin, SaslError, Server, ServerContext};
use mailpods_sasl::{Mechanism, Secret, prepare_name};

use super::memory::lock;
use super::metrics::{MechanismLabel, ReasonLabel};
use super::{Directory, Identity, Inner, LoginContext, Refusal, Step, random};
use crate::trace::{Stage, TraceEvent};

/// How long a right password is remembered. A change of the resource ends it at once.
const ACCEPTED_LIFE: Duration = Duration::from_secs(3600);

/// The account that a log-in names.
#[derive(Debug)]
pub(super) struct Subject {
    /// What failures are counted under, for an address of ours, whether or not it is an account.
    pub account: Option<String>,
    /// A problem of its resource keeps the account out of the plan.
    held: bool,
    /// The account, when it may log in.
    mailbox: Result<Arc<Mailbox>, Denied>,
}

impl Subject {
    /// Nobody is banned for a password that cannot be checked.
    const fn check_held(&self) -> Result<(), Refusal> {
        match self.held {
            true => Err(Refusal::OnHold),
            false => Ok(()),
        }
    }
}

/// Why there is no account to check.
#[derive(Debug, Clone, Copy)]
enum Denied {
    Unknown,
    Disabled,
}

impl Denied {
    fn refusal(self) -> Refusal {
        match self {
            Self::Unknown => Refusal::Credentials,
            Self::Disabled => Refusal::Disabled,
        }
    }
}

/// A log-in by SASL in progress.
pub struct Login {
    directory: Directory,
    mechanism: Mechanism,
    context: LoginContext,
    server: Server,
    scram: Option<ScramLogin>,
}

/// A SCRAM exchange between its first message and its end.
struct ScramLogin {
    subject: Subject,
    name: String,
    /// The keys are the account's own.
    real: bool,
    /// Of the credential that the keys came from.
    fingerprint: Option<[u8; 32]>,
}

impl Login {
    pub(super) fn new(
        directory: Directory,
        mechanism: Mechanism,
        context: LoginContext,
    ) -> Result<Self, Refusal> {
        if !context.tls {
            directory
                .0
                .report(&context, mechanism, "", Err(&Refusal::TlsRequired));
            return Err(Refusal::TlsRequired);
        }
        let nonce: String = random::<24>()?
            .iter()
            .map(|octet| format!("{octet:02x}"))
            .collect();
        let server = Server::new(
            mechanism,
            ServerContext {
                bindings: context.bindings.clone(),
                nonce,
            },
        );
        Ok(Self {
            directory,
            mechanism,
            context,
            server,
            scram: None,
        })
    }

    /// Begins, with the client's initial response where there is one.
    pub async fn start(&mut self, initial: Option<&[u8]>) -> Step {
        let event = self.server.start(initial);
        self.act(event).await
    }

    /// Goes on with the client's answer to a challenge.
    pub async fn step(&mut self, input: &[u8]) -> Step {
        let event = self.server.step(input);
        self.act(event).await
    }

    async fn act(&mut self, event: Result<Event, SaslError>) -> Step {
        match event {
            Ok(Event::Challenge(challenge)) => Step::Challenge(challenge),
            Ok(Event::CheckPassword(login)) => self.check_password(login).await,
            Ok(Event::NeedKeys(login)) => self.supply_keys(login).await,
            Ok(Event::Accepted(_)) => self.accept_scram(),
            Err(error) => self.fail(error).await,
        }
    }

    async fn check_password(&self, login: PasswordLogin) -> Step {
        self.directory
            .0
            .password_login(login, &self.context, self.mechanism)
            .await
    }

    async fn supply_keys(&mut self, login: NameLogin) -> Step {
        match self.find_keys(login).await {
            Ok(event) => match event {
                Ok(Event::Challenge(challenge)) => Step::Challenge(challenge),
                Ok(_) => Step::Failure(Refusal::Malformed(SaslError::OutOfTurn)),
                Err(error) => self.fail(error).await,
            },
            Err(refusal) => self.finish(Err(refusal)),
        }
    }

    async fn find_keys(&mut self, login: NameLogin) -> Result<Result<Event, SaslError>, Refusal> {
        let inner = &self.directory.0;
        let subject = inner.subject(&login);
        inner.check_bans(&subject, self.context.client).await?;
        subject.check_held()?;
        let (mut keys, mut fingerprint) = (None, None);
        if let Ok(mailbox) = &subject.mailbox {
            fingerprint = Some(inner.fingerprint(mailbox));
            keys = inner.real_keys(mailbox).await?;
        }
        let real = keys.is_some();
        let fake_name = subject
            .account
            .clone()
            .unwrap_or_else(|| login.authcid.clone());
        let keys = keys.unwrap_or_else(|| inner.fake_keys(&fake_name));
        self.scram = Some(ScramLogin {
            subject,
            name: login.authcid,
            real,
            fingerprint,
        });
        Ok(self.server.supply_keys(keys))
    }

    /// The proof was right: the account must still be what it was when the exchange began.
    fn accept_scram(&self) -> Step {
        let inner = &self.directory.0;
        let current = self.scram.as_ref().and_then(|scram| {
            let before = scram.subject.mailbox.as_ref().ok()?;
            let now = inner.plan().mailbox(&before.address)?.clone();
            (now.enabled && Some(inner.fingerprint(&now)) == scram.fingerprint).then_some(now)
        });
        let Some(mailbox) = current else {
            return self.finish(Err(Refusal::Credentials));
        };
        inner.remember_client(&mailbox.address.to_string(), self.context.client);
        self.finish(Ok(Identity {
            mailbox,
            mechanism: self.mechanism,
        }))
    }

    async fn fail(&self, error: SaslError) -> Step {
        let wrong = matches!(error, SaslError::InvalidProof | SaslError::BindingMismatch);
        let Some(scram) = self.scram.as_ref().filter(|_| wrong) else {
            return self.finish(Err(Refusal::Malformed(error)));
        };
        let refusal = match &scram.subject.mailbox {
            // No proof can be right, so this failure says nothing of the client.
            Ok(_) if !scram.real => return self.finish(Err(Refusal::NoScramKeys)),
            Ok(_) => Refusal::Credentials,
            Err(denied) => denied.refusal(),
        };
        let counted = self
            .directory
            .0
            .count_failure(&scram.subject, self.context.client)
            .await;
        self.finish(Err(counted.map_or_else(Refusal::Unavailable, |()| refusal)))
    }

    fn finish(&self, result: Result<Identity, Refusal>) -> Step {
        let name = self.scram.as_ref().map_or("", |scram| scram.name.as_str());
        let result = self
            .directory
            .0
            .finish(&self.context, self.mechanism, name, result);
        match result {
            Ok(identity) => Step::Success(identity),
            Err(refusal) => Step::Failure(refusal),
        }
    }
}

impl Directory {
    /// Logs in with a name and a password that did not come by SASL: IMAP's LOGIN command.
    ///
    /// # Errors
    /// Why it was refused.
    pub async fn password_login(
        &self,
        name: &str,
        password: &[u8],
        context: &LoginContext,
    ) -> Result<Identity, Refusal> {
        if !context.tls {
            return self
                .0
                .finish(context, Mechanism::Plain, name, Err(Refusal::TlsRequired));
        }
        let malformed = |error| Refusal::Malformed(error);
        let authcid = prepare_name(name.as_bytes()).ok_or(malformed(SaslError::InvalidName))?;
        if password.is_empty() || password.len() > mailpods_sasl::MAX_PASSWORD {
            return Err(malformed(SaslError::InvalidPassword));
        }
        let login = NameLogin {
            authcid,
            authzid: None,
        };
        match self
            .0
            .password_login(
                PasswordLogin {
                    login,
                    password: Secret::new(password),
                },
                context,
                Mechanism::Plain,
            )
            .await
        {
            Step::Success(identity) => Ok(identity),
            Step::Failure(refusal) => Err(refusal),
            Step::Challenge(_) => Err(malformed(SaslError::OutOfTurn)),
        }
    }
}

impl Inner {
    /// The account of a name: its address, also with a domain alias. Aliases are no log-in names.
    fn subject(&self, login: &NameLogin) -> Subject {
        let plan = self.plan();
        let named = MailboxAddress::parse(&login.authcid).ok();
        let address = named.as_ref().and_then(|address| plan.primary(address));
        let account = address.as_ref().map(ToString::to_string);
        Subject {
            account,
            held: named.is_some_and(|address| plan.is_held(&address)),
            mailbox: find(&plan, address.as_ref(), login.authzid.as_deref()),
        }
    }

    async fn password_login(
        &self,
        login: PasswordLogin,
        context: &LoginContext,
        mechanism: Mechanism,
    ) -> Step {
        let result = self.check_password(&login, context).await;
        let result = result.map(|mailbox| Identity { mailbox, mechanism });
        match self.finish(context, mechanism, &login.login.authcid, result) {
            Ok(identity) => Step::Success(identity),
            Err(refusal) => Step::Failure(refusal),
        }
    }

    async fn check_password(
        &self,
        login: &PasswordLogin,
        context: &LoginContext,
    ) -> Result<Arc<Mailbox>, Refusal> {
        let subject = self.subject(&login.login);
        self.check_bans(&subject, context.client).await?;
        subject.check_held()?;
        let (mailbox, denied) = match subject.mailbox.clone() {
            Ok(mailbox) => (Some(mailbox), Denied::Unknown),
            Err(denied) => (None, denied),
        };
        let mark = self.password_mark(&subject, mailbox.as_deref(), &login.password);
        if let Some(mailbox) = mailbox
            .clone()
            .filter(|_| lock(&self.accepted).contains(&mark, self.now()))
        {
            return Ok(mailbox);
        }
        if is_sprayed(login.password.expose()) {
            // RFC 9051 §11.7: an account with such a password is blocked, and the guess counts.
            self.count_wrong_password(&subject, mark, context).await?;
            return Err(Refusal::SprayedPassword);
        }
        let credential = match &mailbox {
            Some(mailbox) => self.credential(mailbox).await?,
            None => None,
        };
        if let (true, Some(mailbox)) = (
            self.verify(credential.clone(), &login.password).await?,
            mailbox,
        ) {
            lock(&self.accepted).insert(mark, (), self.now(), ACCEPTED_LIFE);
            self.remember_client(&mailbox.address.to_string(), context.client);
            if let Some(credential) = &credential {
                self.upgrade(&mailbox, credential, &login.password).await;
            }
            return Ok(mailbox);
        }
        self.count_wrong_password(&subject, mark, context).await?;
        Err(denied.refusal())
    }

    /// Binds a password to the account and to the credential that the plan has for it now.
    fn password_mark(
        &self,
        subject: &Subject,
        mailbox: Option<&Mailbox>,
        password: &Secret,
    ) -> [u8; 32] {
        let account = subject.account.as_deref().unwrap_or_default();
        let fingerprint = mailbox.map_or([0; 32], |mailbox| self.fingerprint(mailbox));
        self.mark(&[
            b"password",
            account.as_bytes(),
            &fingerprint,
            password.expose(),
        ])
    }

    /// A device that keeps trying an old password is no attack: the same wrong password of an address counts once a window.
    async fn count_wrong_password(
        &self,
        subject: &Subject,
        mark: [u8; 32],
        context: &LoginContext,
    ) -> Result<(), Refusal> {
        let window = self.plan().auth.window;
        let client = context.client.to_string();
        let mark = self.mark(&[b"refused", &mark, client.as_bytes()]);
        if subject.account.is_some() && lock(&self.refused).contains(&mark, self.now()) {
            return Ok(());
        }
        lock(&self.refused).insert(mark, (), self.now(), window);
        Ok(self.count_failure(subject, context.client).await?)
    }

    fn finish(
        &self,
        context: &LoginContext,
        mechanism: Mechanism,
        name: &str,
        result: Result<Identity, Refusal>,
    ) -> Result<Identity, Refusal> {
        self.report(context, mechanism, name, result.as_ref().map(|_| ()));
        result
    }

    /// Tells the metrics, and the log and trace of what was refused.
    fn report(
        &self,
        context: &LoginContext,
        mechanism: Mechanism,
        name: &str,
        result: Result<(), &Refusal>,
    ) {
        let reason = result.map_or_else(Refusal::reason, |()| Reason::LoggedIn);
        self.metrics.logins.inc((
            context.service,
            MechanismLabel(mechanism),
            ReasonLabel(reason),
        ));
        let Err(refusal) = result else { return };
        // Somebody may have typed the password as the name: only what is an address is shown.
        let account = MailboxAddress::parse(name)
            .map(|address| address.to_string())
            .unwrap_or_default();
        let service = context.service.as_str();
        // Whose session it is, the span around it tells.
        tracing::info!(service, %mechanism, account, %reason, error = refusal as &dyn std::error::Error, "log-in refused");
        // One who is banned may try thousands of times: the ban itself was told.
        if matches!(refusal, Refusal::Banned { .. }) {
            return;
        }
        self.parts.trace.record(TraceEvent {
            at: self.now(),
            id: context.session.clone(),
            stage: Stage::Login,
            reason: reason.as_str(),
            sender: account,
            recipient: String::new(),
            peer: context.client.to_string(),
            text: format!("{service} {mechanism}: {refusal}"),
        });
    }
}

fn find(
    plan: &Plan,
    address: Option<&MailboxAddress>,
    authzid: Option<&str>,
) -> Result<Arc<Mailbox>, Denied> {
    let mailbox = address
        .and_then(|address| plan.mailbox(address))
        .ok_or(Denied::Unknown)?;
    if let Some(authzid) = authzid {
        // RFC 4616 §2: to act as somebody else needs a permission that nobody has.
        let other = MailboxAddress::parse(authzid)
            .ok()
            .and_then(|other| plan.primary(&other));
        if other.as_ref() != Some(&mailbox.address) {
            return Err(Denied::Unknown);
        }
    }
    match mailbox.enabled {
        true => Ok(mailbox.clone()),
        false => Err(Denied::Disabled),
    }
}
