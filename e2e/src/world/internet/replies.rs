//! What real receivers say to an address that they have had enough of.

use std::net::Ipv4Addr;

use anyhow::{Context, Result};

/// The same replies that the rules for providers are tested with.
const REPLIES: &str = include_str!("../../../../mailpods/policy/data/replies.tsv");
/// The address in them.
const ADDRESS: &str = "192.0.2.1";
/// About where Gmail breaks its lines.
const WIDTH: usize = 70;

/// When a reply is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// In place of the greeting.
    Session,
    /// To MAIL.
    Mail,
    /// To RCPT.
    Rcpt,
    /// To the end of the message.
    Data,
}

/// A refusal of an address.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// When it is said.
    pub stage: Stage,
    text: String,
}

impl Refusal {
    /// The reply of a provider with a text in it.
    pub fn of(provider: &str, text: &str) -> Result<Self> {
        let found = REPLIES
            .lines()
            .filter_map(|line| {
                let fields: Vec<&str> = line.split('\t').collect();
                let [name, stage, "ip", _, reply] = fields[..] else {
                    return None;
                };
                let fits = name == provider && reply.contains(text);
                fits.then_some((stage, reply))
            })
            .next();
        let (stage, reply) =
            found.with_context(|| format!("no reply of {provider} has `{text}`"))?;
        let stage = match stage {
            "session" => Stage::Session,
            "mail" => Stage::Mail,
            "rcpt" => Stage::Rcpt,
            _ => Stage::Data,
        };
        Ok(Self {
            stage,
            text: reply.to_owned(),
        })
    }

    /// The reply to a client. After an enhanced code it is broken into lines that each repeat both codes, as Gmail does (RFC 2034 §4).
    pub fn to(&self, client: Ipv4Addr) -> String {
        let text = self.text.replace(ADDRESS, &client.to_string());
        let mut words = text.split(' ');
        let (code, enhanced) = (words.next().unwrap_or_default(), words.clone().next());
        let enhanced = enhanced.filter(|word| is_enhanced(word));
        if enhanced.is_some() {
            words.next();
        }
        let mut lines = vec![String::new()];
        for word in words {
            let is_full = enhanced.is_some()
                && lines
                    .last()
                    .is_some_and(|line| line.len() + word.len() > WIDTH);
            if is_full {
                lines.push(String::new());
            }
            if let Some(line) = lines.last_mut() {
                *line += " ";
                *line += word;
            }
        }
        let last = lines.len() - 1;
        let line = |(at, line): (usize, &String)| {
            let more = if at < last { '-' } else { ' ' };
            let rest = format!("{}{line}", enhanced.unwrap_or_default());
            format!("{code}{more}{}", rest.trim_start())
        };
        let lines: Vec<String> = lines.iter().enumerate().map(line).collect();
        lines.join("\r\n")
    }
}

fn is_enhanced(word: &str) -> bool {
    word.split('.').count() == 3 && word.split('.').all(|part| part.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_replies_are_broken_into_lines() {
        let refusal = Refusal::of("google", "unusual rate").unwrap();
        assert_eq!(refusal.stage, Stage::Data);
        let reply = refusal.to(Ipv4Addr::new(198, 51, 100, 11));
        let lines: Vec<&str> = reply.split("\r\n").collect();
        assert!(
            lines.len() > 2 && reply.contains("198.51.100.11"),
            "{reply}"
        );
        assert!(lines.iter().all(|line| line.len() < 90), "{reply}");
        let (last, others) = lines.split_last().unwrap();
        assert!(last.starts_with("421 4.7.28 "), "{reply}");
        assert!(
            others.iter().all(|line| line.starts_with("421-4.7.28 ")),
            "{reply}"
        );
    }

    #[test]
    fn a_reply_without_an_enhanced_code_is_one_line() {
        let refusal = Refusal::of("t-online", "A problem occurred").unwrap();
        let reply = refusal.to(Ipv4Addr::new(198, 51, 100, 11));
        assert!(
            reply.starts_with("554 IP=198.51.100.11 - A problem"),
            "{reply}"
        );
        assert!(!reply.contains('\n'), "{reply}");
    }
}
