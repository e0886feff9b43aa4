//! What a reply of a provider would mean, and which rule says so.

use mailpods_plan::Plan;
use mailpods_policy::outbound::classify::{Heard, Stage, Told};
use mailpods_policy::outbound::provider::{ProfileError, Profiles, Rule};
use serde::Serialize;

/// What a reply means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Meaning {
    /// What it is about: `ip`, `tenant`, `recipient`, `message`, `content`, `rate` or `temporary`.
    pub blame: &'static str,
    /// What kind of failure it is.
    pub kind: &'static str,
    /// The rule that says so.
    pub rule: String,
    /// Which replies that rule fits, in words; `None`: it is a table of an RFC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fits: Option<String>,
}

/// What a reply such as `550 5.7.1 text` of a provider means by the plan; `None`: it is no reply.
///
/// # Errors
/// When what is known of providers cannot be read.
pub fn meaning(
    plan: &Plan,
    provider: &str,
    stage: Stage,
    reply: &str,
) -> Result<Option<Meaning>, ProfileError> {
    let profiles = Profiles::shipped()?.with(&plan.outbound.providers)?;
    let Some(heard) = heard(reply, stage) else {
        return Ok(None);
    };
    let (class, told) = profiles.explain(provider, &heard);
    let place = profiles.profile(provider).place.unwrap_or_default();
    let rule = match &told {
        Told::Settings(at) => format!("spec.outbound.providers[{place}].rules[{at}]"),
        Told::Profile(at) => format!("rule {at} of the profile {provider}"),
        Told::All(at) => format!("rule {at} for all providers"),
        Told::EnhancedCode => "the enhanced code (RFC 3463, RFC 7372)".to_owned(),
        Told::ReplyCode => "the reply code (RFC 5321)".to_owned(),
    };
    Ok(Some(Meaning {
        blame: class.blame.as_str(),
        kind: class.bounce.as_str(),
        rule,
        fits: profiles.rule(provider, &told).map(Rule::words),
    }))
}

fn heard(reply: &str, stage: Stage) -> Option<Heard<'_>> {
    let (code, text) = reply
        .trim()
        .split_once([' ', '-'])
        .unwrap_or((reply.trim(), ""));
    let code = code.parse().ok().filter(|code| (400..600).contains(code))?;
    let first = text.split(' ').next().unwrap_or_default();
    let numbers: Option<Vec<u16>> = first.split('.').map(|part| part.parse().ok()).collect();
    let enhanced = match numbers.as_deref() {
        Some([class, subject, detail]) => Some((*class, *subject, *detail)),
        _ => None,
    };
    Some(Heard {
        code,
        enhanced,
        text,
        stage,
    })
}

#[cfg(test)]
mod tests {
    use mailpods_policy::outbound::classify::{Blame, Bounce};
    use mailpods_policy::outbound::provider::Override;

    use super::*;
    use crate::testing::plan;

    #[test]
    fn the_rule_is_named() {
        let mut plan = plan(25);
        let of = |plan: &Plan, reply: &str| {
            meaning(plan, "google", Stage::Data, reply)
                .unwrap()
                .map(|meaning| meaning.rule)
        };
        assert_eq!(of(&plan, "hello"), None);
        assert_eq!(of(&plan, "250 fine"), None);
        let unknown = "451 x";
        assert_eq!(of(&plan, unknown).unwrap(), "the reply code (RFC 5321)");
        let rule = Rule {
            code: "451".to_owned(),
            enhanced: Vec::new(),
            stage: None,
            text: Vec::new(),
            blame: Blame::Rate,
            bounce: Bounce::Other,
        };
        plan.outbound.providers.push(Override {
            name: "google".to_owned(),
            rules: vec![rule],
            ..Override::default()
        });
        assert_eq!(
            of(&plan, unknown).unwrap(),
            "spec.outbound.providers[0].rules[0]"
        );
        let told = meaning(&plan, "google", Stage::Data, unknown).unwrap();
        assert_eq!(told.unwrap().fits.unwrap(), "code 451");
        assert!(of(&plan, "552 5.2.2 full").is_some());
    }
}
