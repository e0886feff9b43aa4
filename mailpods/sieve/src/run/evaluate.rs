//! Tests.

use super::{Result, Run};
use crate::answers::Question;
use crate::mailto;
use crate::program::{Test, TestKind, UniqueId};
use crate::text::Text;

impl Run<'_> {
    pub(super) fn test(&mut self, test: &Test) -> Result<bool> {
        let result = match &test.kind {
            TestKind::All(tests) => {
                let mut all = true;
                for test in tests {
                    all = self.test(test)?;
                    if !all {
                        break;
                    }
                }
                all
            }
            TestKind::Any(tests) => {
                let mut any = false;
                for test in tests {
                    any = self.test(test)?;
                    if any {
                        break;
                    }
                }
                any
            }
            TestKind::Not(test) => !self.test(test)?,
            _ => {
                self.at = test.at;
                self.charge(0)?;
                self.leaf(test)?
            }
        };
        self.at = test.at;
        self.note(|| format!("test {}: {result}", test.name));
        Ok(result)
    }

    fn leaf(&mut self, test: &Test) -> Result<bool> {
        match &test.kind {
            TestKind::Constant(value) => Ok(*value),
            TestKind::Header {
                headers,
                scope,
                matching,
            } => self.header_test(headers, scope, matching),
            TestKind::Address {
                headers,
                part,
                scope,
                matching,
            } => self.address_test(headers, *part, scope, matching),
            TestKind::Exists { headers, scope } => self.exists(headers, scope),
            TestKind::Envelope {
                parts,
                part,
                matching,
            } => self.envelope_test(parts, *part, matching),
            TestKind::Body {
                transform,
                matching,
            } => self.body_test(transform, matching),
            TestKind::Date {
                header,
                zone,
                part,
                index,
                matching,
            } => self.date_test(header.as_ref(), *zone, *part, *index, matching),
            TestKind::Size { over, limit } => {
                let size = self.message.size() as u64;
                // RFC 5228 §5.9: a message of exactly this size is neither over nor under.
                Ok(if *over { size > *limit } else { size < *limit })
            }
            TestKind::Strings { sources, matching } => {
                let values = self.expand_all(sources)?;
                self.matches(matching, &values)
            }
            _ => self.extension_leaf(test),
        }
    }

    fn extension_leaf(&mut self, test: &Test) -> Result<bool> {
        match &test.kind {
            TestKind::HasFlag {
                variables,
                matching,
            } => {
                let flags = if variables.is_empty() {
                    self.flags_of(None)
                } else {
                    variables
                        .iter()
                        .flat_map(|name| self.flags_of(Some(name)))
                        .collect()
                };
                self.matches(matching, &flags)
            }
            TestKind::Environment { item, matching } => {
                // RFC 5183 §4: an item that is not known fails; so do those of RFC 6785 §4.8 at delivery.
                let item = self.expand(item)?.to_ascii_lowercase();
                let found = self
                    .input
                    .environment
                    .iter()
                    .find(|(name, _)| *name == item);
                let values: Vec<String> =
                    found.map(|(_, value)| value.clone()).into_iter().collect();
                self.matches(matching, &values)
            }
            TestKind::Spam { percent, matching } => {
                let value = spam_value(self.input.spam_percent, *percent).to_string();
                self.matches(matching, &[value])
            }
            TestKind::Virus { matching } => {
                let value = self.input.virus.unwrap_or(0).min(5).to_string();
                self.matches(matching, &[value])
            }
            TestKind::Duplicate {
                handle,
                source,
                seconds,
                last,
            } => self.duplicate(handle.as_ref(), source, *seconds, *last),
            TestKind::MailboxExists(names) => self.all(names, Question::MailboxExists),
            TestKind::MailboxIdExists(ids) => self.all(ids, Question::MailboxById),
            TestKind::SpecialUseExists { mailbox, uses } => {
                self.special_use(mailbox.as_ref(), uses)
            }
            TestKind::ValidExtList(lists) => self.all(lists, Question::ListExists),
            TestKind::ValidNotifyMethod(methods) => {
                let methods = self.expand_all(methods)?;
                Ok(methods.iter().all(|method| mailto::parse(method).is_ok()))
            }
            TestKind::NotifyCapability {
                method,
                capability,
                matching,
            } => {
                let (method, capability) = (self.expand(method)?, self.expand(capability)?);
                // RFC 5436 §2.6: nobody knows whether the owner is reading.
                let known =
                    mailto::parse(&method).is_ok() && capability.eq_ignore_ascii_case("online");
                let values: Vec<String> = known.then(|| "maybe".to_owned()).into_iter().collect();
                self.matches(matching, &values)
            }
            _ => Ok(false),
        }
    }

    pub(super) fn expand_all(&mut self, texts: &[Text]) -> Result<Vec<String>> {
        texts.iter().map(|text| self.expand(text)).collect()
    }

    /// Whether the answer to all questions is yes.
    fn all(&mut self, texts: &[Text], question: fn(String) -> Question) -> Result<bool> {
        for text in texts {
            let text = self.expand(text)?;
            if self.ask(question(text))?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// RFC 8579 §3.
    fn special_use(&mut self, mailbox: Option<&Text>, uses: &[Text]) -> Result<bool> {
        let Some(mailbox) = mailbox else {
            return self.all(uses, Question::MailboxBySpecialUse);
        };
        let mailbox = self.expand(mailbox)?;
        for attribute in uses {
            let attribute = self.expand(attribute)?;
            let question = Question::HasSpecialUse {
                mailbox: mailbox.clone(),
                attribute,
            };
            if self.ask(question)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// RFC 7352 §3.
    fn duplicate(
        &mut self,
        handle: Option<&Text>,
        source: &UniqueId,
        seconds: u64,
        last: bool,
    ) -> Result<bool> {
        let handle = handle
            .map(|text| self.expand(text))
            .transpose()?
            .unwrap_or_default();
        let value = match source {
            UniqueId::Value(text) => Some(self.expand(text)?),
            UniqueId::Header(name) => {
                let name = self.expand(name)?;
                let values = super::headers::field_values(self.message.header(), &name, None);
                values
                    .first()
                    .map(|value| String::from_utf8_lossy(value).trim().to_owned())
            }
        };
        // RFC 7352 §3.1: without the field nothing is known, so it is no duplicate.
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return Ok(false);
        };
        let identity = format!("{handle}\n{value}");
        let seen = self.ask(Question::Seen(identity.clone()))?.is_some();
        if !seen || last {
            self.add(crate::Action::Remember {
                identity,
                seconds,
                again: seen,
            })?;
        }
        Ok(seen)
    }
}

/// RFC 5235 §2.1: 0 is "not tested", 1 is surely clean, 10 surely spam; in percent 0 is clean.
fn spam_value(score: Option<u8>, percent: bool) -> u8 {
    let Some(score) = score.map(|score| score.min(100)) else {
        return 0;
    };
    if percent {
        score
    } else {
        1 + (u16::from(score) * 9 / 100).min(9) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::spam_value;

    #[test]
    fn spam_scale() {
        let row = [None, Some(0), Some(50), Some(100)].map(|score| spam_value(score, false));
        assert_eq!(row, [0, 1, 5, 10]);
        assert_eq!(spam_value(Some(37), true), 37);
    }
}
