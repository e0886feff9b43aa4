//! Whose servers a domain's mail exchangers are, and what is known of that provider.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;

use super::classify::{Blame, Bounce, Stage};

/// The profiles that are part of the program.
const SHIPPED: &str = include_str!("../../data/providers.toml");

/// Connections at once and messages on one, for a provider that nothing is known of.
const CONNECTIONS: usize = 20;
const MESSAGES_PER_CONNECTION: usize = 100;

/// The profiles cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Not TOML of the right form.
    #[error("the provider profiles cannot be read")]
    Form(#[from] toml::de::Error),
    /// A name stands twice, or a rule can never fit or fits everything.
    #[error("the provider profile {0} is wrong: {1}")]
    Wrong(String, &'static str),
}

/// What is known of a provider.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Stable name, for settings, metrics and logs.
    pub name: String,
    /// Name for people.
    pub title: String,
    /// Ends of the host names of its mail exchangers.
    pub mx: Vec<String>,
    /// Connections at once from one pool.
    pub connections: usize,
    /// Messages on one connection.
    pub messages_per_connection: usize,
    /// The least rest of an address that it refuses, in minutes; 0: as configured.
    #[serde(default)]
    pub rest_minutes: u32,
    /// What its replies mean.
    #[serde(default, rename = "rule")]
    pub rules: Vec<Rule>,
}

/// A kind of reply and what it means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Begin of the reply code.
    #[serde(default)]
    pub code: String,
    /// Enhanced codes, `x` for any class; empty: any or none.
    #[serde(default)]
    pub enhanced: Vec<String>,
    /// When it is said; `None`: whenever.
    pub stage: Option<Stage>,
    /// Texts of which one is contained, `*` for anything; empty: any.
    #[serde(default)]
    pub text: Vec<String>,
    /// What the reply is about.
    pub blame: Blame,
    /// What kind of failure it is.
    pub bounce: Bounce,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "provider")]
    providers: Vec<Profile>,
    #[serde(rename = "rule")]
    rules: Vec<Rule>,
}

/// All profiles.
#[derive(Debug)]
pub struct Profiles {
    by_name: BTreeMap<String, Profile>,
    /// Rules for every provider.
    pub(super) rules: Vec<Rule>,
    unknown: Profile,
}

impl Profiles {
    /// The profiles that are part of the program.
    ///
    /// # Errors
    /// When they are not well formed, which the tests rule out.
    pub fn shipped() -> Result<Self, ProfileError> {
        Self::parse(SHIPPED)
    }

    fn parse(text: &str) -> Result<Self, ProfileError> {
        let mut file: File = toml::from_str(text)?;
        let mut by_name = BTreeMap::new();
        file.rules
            .iter_mut()
            .try_for_each(|rule| rule.prepare("of all"))?;
        for mut profile in file.providers {
            let name = profile.name.clone();
            profile
                .rules
                .iter_mut()
                .try_for_each(|rule| rule.prepare(&name))?;
            if by_name.insert(name.clone(), profile).is_some() {
                return Err(ProfileError::Wrong(name, "stands twice"));
            }
        }
        Ok(Self {
            by_name,
            rules: file.rules,
            unknown: unknown(),
        })
    }

    /// The profile of a provider's name; a modest one when nothing is known of it.
    #[must_use]
    pub fn profile(&self, name: &str) -> &Profile {
        self.by_name.get(name).unwrap_or(&self.unknown)
    }

    /// The provider behind mail exchangers, given by preference: all domains whose exchanger lies with one provider are one. Who
    /// is not known goes by the registered domain of the first exchanger.
    #[must_use]
    pub fn of_mx<'a>(&self, hosts: impl IntoIterator<Item = &'a str>) -> Option<String> {
        let host = hosts.into_iter().next()?.trim_end_matches('.');
        let host = host.to_ascii_lowercase();
        let known = self
            .by_name
            .values()
            .find(|profile| profile.mx.iter().any(|end| is_below(&host, end)));
        if let Some(profile) = known {
            return Some(profile.name.clone());
        }
        // An address, or a name of one label, stands for itself.
        let registered = psl::domain_str(&host).filter(|_| host.parse::<IpAddr>().is_err());
        Some(registered.map_or_else(|| host.clone(), str::to_owned))
    }
}

fn unknown() -> Profile {
    Profile {
        name: "other".to_owned(),
        title: "a provider without a profile".to_owned(),
        mx: Vec::new(),
        connections: CONNECTIONS,
        messages_per_connection: MESSAGES_PER_CONNECTION,
        rest_minutes: 0,
        rules: Vec::new(),
    }
}

/// Whether `host` is `end` or a name below it.
fn is_below(host: &str, end: &str) -> bool {
    host.strip_suffix(end)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

impl Rule {
    /// Texts are compared in lower case.
    fn prepare(&mut self, owner: &str) -> Result<(), ProfileError> {
        let names_nothing = self.code.is_empty()
            && self.enhanced.is_empty()
            && self.text.is_empty()
            && self.stage.is_none();
        if names_nothing {
            return Err(ProfileError::Wrong(
                owner.to_owned(),
                "a rule fits everything",
            ));
        }
        self.text
            .iter_mut()
            .for_each(|text| *text = text.to_lowercase());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_with_one_providers_exchangers_are_one() {
        let profiles = Profiles::shipped().unwrap();
        for (host, provider) in [
            ("gmail-smtp-in.l.google.com", "google"),
            ("ASPMX.L.GOOGLE.COM.", "google"),
            ("aspmx2.googlemail.com", "google"),
            ("contoso-com.mail.protection.outlook.com", "microsoft"),
            ("outlook-com.olc.protection.outlook.com", "microsoft"),
            ("contoso-com.o-v1.mx.microsoft", "microsoft"),
            ("mta5.am0.yahoodns.net", "yahoo"),
            ("mx01.mail.icloud.com", "apple"),
            ("mx00.gmx.net", "united-internet"),
            ("mx-ha02.web.de", "united-internet"),
            ("mx1.comcast.net", "comcast"),
            ("mx1.mail.ovh.net", "ovh"),
            ("mail.protonmail.ch", "proton"),
            ("mx.zoho.eu", "zoho"),
            ("in1-smtp.messagingengine.com", "fastmail"),
            ("mx00.t-online.de", "t-online"),
            ("smtp-in.orange.fr", "orange"),
            ("eu-smtp-inbound-1.mimecast.com", "mimecast"),
            ("mxs.mail.ru", "mail-ru"),
            ("mx3.qq.com", "qq"),
            ("mx.example.co.uk", "example.co.uk"),
            ("a.b.example.test", "example.test"),
            ("notgoogle.com", "notgoogle.com"),
            ("192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(profiles.of_mx([host]).as_deref(), Some(provider), "{host}");
        }
        assert_eq!(profiles.of_mx([]), None);
    }

    #[test]
    fn the_first_exchanger_counts() {
        let profiles = Profiles::shipped().unwrap();
        let hosts = ["mx.example.org", "aspmx.l.google.com"];
        assert_eq!(profiles.of_mx(hosts).as_deref(), Some("example.org"));
    }

    #[test]
    fn every_profile_is_usable() {
        let profiles = Profiles::shipped().unwrap();
        assert!(profiles.by_name.len() >= 10);
        for profile in profiles.by_name.values() {
            assert!(!profile.mx.is_empty() && !profile.title.is_empty());
            assert!(profile.connections > 0 && profile.messages_per_connection > 0);
            for end in &profile.mx {
                let host = format!("mx.{end}");
                assert_eq!(
                    profiles.of_mx([host.as_str()]).as_deref(),
                    Some(profile.name.as_str()),
                    "{end} belongs to two"
                );
            }
        }
        assert_eq!(profiles.profile("example.org").name, "other");
    }

    #[test]
    fn a_rule_that_fits_everything_is_refused() {
        let text = "provider = []\n[[rule]]\nblame = \"ip\"\nbounce = \"block\"\n";
        assert!(matches!(
            Profiles::parse(text),
            Err(ProfileError::Wrong(_, _))
        ));
        let twice = "[[provider]]\nname=\"a\"\ntitle=\"a\"\nmx=[\"a.test\"]\nconnections=1\nmessages_per_connection=1\n";
        let text = format!("rule = []\n{twice}{twice}");
        assert!(matches!(
            Profiles::parse(&text),
            Err(ProfileError::Wrong(_, "stands twice"))
        ));
    }
}
