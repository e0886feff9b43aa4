//! Whose servers a domain's mail exchangers are, and what is known of that provider.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::classify::{Blame, Bounce, Stage};

#[cfg(test)]
mod tests;

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
    /// What the settings say of a provider cannot be used: its place, the field, and why.
    #[error("providers[{0}].{1} {2}")]
    Override(usize, String, &'static str),
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
    /// What the settings say that they mean; these come first.
    #[serde(skip)]
    pub own_rules: Vec<Rule>,
    /// Its place in the settings, where they speak of it.
    #[serde(skip)]
    pub place: Option<usize>,
}

/// A kind of reply and what it means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// What the settings say of a provider: of one that has a profile, or of another one. What is left out stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Override {
    /// Stable name.
    pub name: String,
    /// Ends of the host names of its mail exchangers, besides those of the profile; they count before those of all profiles.
    pub mx: Vec<String>,
    /// Connections at once from one pool.
    pub connections: Option<usize>,
    /// Messages on one connection.
    pub messages_per_connection: Option<usize>,
    /// The least rest of an address that it refuses, in minutes.
    pub rest_minutes: Option<u32>,
    /// What its replies mean; looked at before all other rules.
    pub rules: Vec<Rule>,
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
    /// Ends of host names that the settings give to a provider.
    own_mx: Vec<(String, String)>,
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
            own_mx: Vec::new(),
        })
    }

    /// The profiles with what the settings say put over them.
    ///
    /// # Errors
    /// [`ProfileError::Override`] names the first thing that cannot be used.
    pub fn with(mut self, overrides: &[Override]) -> Result<Self, ProfileError> {
        for (place, settings) in overrides.iter().enumerate() {
            self.put(place, settings)
                .map_err(|(field, why)| ProfileError::Override(place, field, why))?;
        }
        Ok(self)
    }

    fn put(&mut self, place: usize, settings: &Override) -> Result<(), (String, &'static str)> {
        let name = settings.name.to_ascii_lowercase();
        let known = self.by_name.get(&name).cloned();
        if known
            .as_ref()
            .is_some_and(|profile| profile.place.is_some())
        {
            return Err(("name".to_owned(), "stands twice"));
        }
        if known.is_none() && settings.mx.is_empty() {
            return Err(("mx".to_owned(), "is missing: no profile has this name"));
        }
        for (at, end) in settings.mx.iter().enumerate() {
            let end = end.trim_matches('.').to_ascii_lowercase();
            if end.is_empty() || self.own_mx.iter().any(|(other, _)| *other == end) {
                return Err((
                    format!("mx[{at}]"),
                    "belongs to another provider, or is empty",
                ));
            }
            self.own_mx.push((end, name.clone()));
        }
        let mut profile = known.unwrap_or_else(|| Profile {
            title: settings.name.clone(),
            name: name.clone(),
            ..unknown()
        });
        profile.apply(settings);
        profile.place = Some(place);
        for (at, rule) in profile.own_rules.iter_mut().enumerate() {
            let fits_all = |_| {
                (
                    format!("rules[{at}]"),
                    "fits every reply: it needs code, enhanced, stage or text",
                )
            };
            rule.prepare(&name).map_err(fits_all)?;
        }
        self.by_name.insert(name, profile);
        Ok(())
    }

    /// The profile of a provider's name; a modest one when nothing is known of it.
    #[must_use]
    pub fn profile(&self, name: &str) -> &Profile {
        self.by_name.get(name).unwrap_or(&self.unknown)
    }

    /// The names of all that have a profile.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// The provider behind mail exchangers, given by preference: all domains whose exchanger lies with one provider are one. Who
    /// is not known goes by the registered domain of the first exchanger.
    #[must_use]
    pub fn of_mx<'a>(&self, hosts: impl IntoIterator<Item = &'a str>) -> Option<String> {
        let host = hosts.into_iter().next()?.trim_end_matches('.');
        let host = host.to_ascii_lowercase();
        // The longest end is the most particular one.
        let own = self.own_mx.iter().filter(|(end, _)| is_below(&host, end));
        if let Some((_, name)) = own.max_by_key(|(end, _)| end.len()) {
            return Some(name.clone());
        }
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
        own_rules: Vec::new(),
        place: None,
    }
}

impl Profile {
    fn apply(&mut self, settings: &Override) {
        self.connections = settings.connections.unwrap_or(self.connections).max(1);
        let messages = settings.messages_per_connection;
        self.messages_per_connection = messages.unwrap_or(self.messages_per_connection).max(1);
        self.rest_minutes = settings.rest_minutes.unwrap_or(self.rest_minutes);
        self.own_rules.clone_from(&settings.rules);
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
