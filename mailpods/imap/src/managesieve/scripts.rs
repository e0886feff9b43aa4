//! The commands about scripts.

use bytes::Bytes;
use mailpods_plan::SieveScript;
use mailpods_pop3_proto::managesieve::{Code, Command, ScriptName};
use mailpods_store::AccountId;
use mailpods_store::scripts::OF_RESOURCE;

use super::Session;
use super::failure::{Done, Failure};

impl Session {
    pub(super) async fn script_command(&mut self, command: Command) -> Done {
        let account = self.user()?.account;
        match command {
            Command::HaveSpace { name, octets } => self.have_space(account, &name, octets).await,
            Command::PutScript { name, source } => self.put(account, &name, source).await,
            Command::ListScripts => self.list(account).await,
            Command::SetActive(name) => self.activate(account, name.as_ref()).await,
            Command::GetScript(name) => self.get(account, &name).await,
            Command::DeleteScript(name) => self.delete(account, &name).await,
            Command::RenameScript { from, to } => self.rename(account, &from, &to).await,
            Command::CheckScript(source) => {
                let warnings = self.check(account, source).await?;
                self.done_with(&warnings, "the script is right")
            }
            _ => Err(Failure::no("this command is not permitted now")),
        }
    }

    /// RFC 5804 §2.5
    async fn have_space(&mut self, account: AccountId, name: &ScriptName, octets: u64) -> Done {
        self.changeable(name)?;
        let room = self
            .scripts()
            .room_for_script(account, name.as_str(), octets)
            .await;
        room?;
        self.done("there is room")
    }

    /// RFC 5804 §2.6
    async fn put(&mut self, account: AccountId, name: &ScriptName, source: Bytes) -> Done {
        self.changeable(name)?;
        let warnings = self.check(account, source.clone()).await?;
        self.scripts()
            .put_script(account, name.as_str(), source)
            .await?;
        self.log(name.as_str(), "script kept");
        self.done_with(&warnings, "the script is kept")
    }

    /// RFC 5804 §2.7
    async fn list(&mut self, account: AccountId) -> Done {
        let scripts = self.scripts().scripts(account).await?;
        if self.of_resource().is_some() {
            let active = !scripts.iter().any(|info| info.active);
            self.writer().script(OF_RESOURCE, active);
        }
        for info in scripts {
            if !self.is_of_resource(&info.name) {
                self.writer().script(&info.name, info.active);
            }
        }
        self.done("listed")
    }

    /// RFC 5804 §2.8
    async fn activate(&mut self, account: AccountId, name: Option<&ScriptName>) -> Done {
        let name = name.map(ScriptName::as_str);
        let personal = name.filter(|name| !self.is_of_resource(name));
        self.scripts().activate_script(account, personal).await?;
        self.log(personal.unwrap_or_default(), "script activated");
        match name {
            None if self.of_resource().is_some() => {
                let text = format!("mail goes through the script \"{OF_RESOURCE}\" now");
                self.done_with(&[text], "")
            }
            None => self.done("no script is active"),
            Some(_) => self.done("the script is active"),
        }
    }

    /// RFC 5804 §2.9
    async fn get(&mut self, account: AccountId, name: &ScriptName) -> Done {
        let source = match self.of_resource().filter(|_| name.as_str() == OF_RESOURCE) {
            Some(script) => Some(Bytes::copy_from_slice(script.source().as_bytes())),
            None => self.scripts().script(account, name.as_str()).await?,
        };
        let missing = Failure::coded(Code::NonExistent, "there is no script of that name");
        let source = source.ok_or(missing)?;
        self.writer().source(&source);
        self.done("")
    }

    /// RFC 5804 §2.10
    async fn delete(&mut self, account: AccountId, name: &ScriptName) -> Done {
        self.changeable(name)?;
        self.scripts().delete_script(account, name.as_str()).await?;
        self.log(name.as_str(), "script deleted");
        self.done("the script is deleted")
    }

    /// RFC 5804 §2.11
    async fn rename(&mut self, account: AccountId, from: &ScriptName, to: &ScriptName) -> Done {
        self.changeable(from)?;
        self.changeable(to)?;
        self.scripts()
            .rename_script(account, from.as_str(), to.as_str())
            .await?;
        self.log(to.as_str(), "script renamed");
        self.done("the script is renamed")
    }

    /// The script of the Mailbox resource, where it has one.
    fn of_resource(&self) -> Option<SieveScript> {
        self.mailbox_of_plan()?.sieve.clone()
    }

    fn is_of_resource(&self, name: &str) -> bool {
        name == OF_RESOURCE && self.of_resource().is_some()
    }

    fn changeable(&self, name: &ScriptName) -> Result<(), Failure> {
        match self.is_of_resource(name.as_str()) {
            false => Ok(()),
            true => Err(Failure::no(
                "this script is that of the Mailbox resource, and is changed there; put one under another name",
            )),
        }
    }

    /// RFC 5804 §1.3, WARNINGS
    fn done_with(&mut self, warnings: &[String], text: &str) -> Done {
        if warnings.is_empty() {
            return self.done(text);
        }
        self.writer()
            .ok(Some(Code::Warnings), &warnings.join("\r\n"));
        Ok(())
    }

    fn log(&self, script: &str, what: &'static str) {
        if let Some(user) = &self.user {
            tracing::info!(account = %user.address, script, "{what}");
        }
    }
}
