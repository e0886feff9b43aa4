//! SEARCH (RFC 9051 §6.4.4): keys are compiled once, the store tells where the texts in them cannot be, then each message is judged with
//! what is cheapest first: its position, its row, its stored facts, its header, its body. Each step is taken only for messages on which
//! the one before is silent.

mod bound;
mod compile;
mod evaluate;
mod read;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;

use mailpods_imap_proto::sequence::runs;
use mailpods_imap_proto::{Code, ESearch, SearchCommand, SearchReturn, Tag};
use mailpods_store::{ModSeq, Uid};

use crate::append::now;
use crate::failure::{Done, Failure, Reply};
use crate::session::Session;
use compile::{Key, compile};
use evaluate::{Cost, Facts, judge};
use read::Search;

/// BODY and TEXT keys of one command: each looks through all of a message.
const MAX_BODY_KEYS: usize = 32;
/// Keys of one command that look through a header.
const MAX_HEADER_KEYS: usize = 512;

/// What was found.
#[derive(Default)]
struct Found {
    /// Positions, ascending.
    positions: Vec<u32>,
    /// Highest modification sequence of the messages found, where rows were read.
    mod_seq: ModSeq,
}

/// What was found, for those who tell it in their own way.
pub(crate) struct Searched {
    /// Positions, ascending.
    pub(crate) positions: Vec<u32>,
    /// Highest modification sequence of the messages found, when it was searched for.
    pub(crate) mod_seq: Option<ModSeq>,
}

/// How to tell what was found.
pub(crate) struct Answer {
    pub(crate) uid: bool,
    pub(crate) returns: Option<SearchReturn>,
    pub(crate) mod_seq: Option<ModSeq>,
}

impl Session {
    pub(crate) async fn search(&mut self, tag: &Tag, command: SearchCommand) -> Done {
        if command.charset && self.utf8_accept {
            // RFC 6855 §3: all text is UTF-8 then
            return Err(Failure::Bad(
                "CHARSET has no place after ENABLE UTF8=ACCEPT",
            ));
        }
        let found = self.searched(&command).await?;
        // RFC 9051 §6.4.4: rev2 answers with ESEARCH also without RETURN
        let implied = self.rev2.then_some(SearchReturn {
            all: true,
            ..SearchReturn::default()
        });
        let answer = Answer {
            uid: command.uid,
            returns: command.returns.or(implied),
            mod_seq: found.mod_seq,
        };
        self.tell_found(tag, answer, &found.positions, false)
    }

    /// The messages that a command is about.
    pub(crate) async fn searched(&mut self, command: &SearchCommand) -> Result<Searched, Failure> {
        // RFC 9051 §6.4.4.1: what is BAD leaves the result that was saved
        let mut key = compile(&command.key, self.view()?, now())?;
        if command.returns.is_some_and(|returns| returns.save) {
            // RFC 9051 §6.4.4.1: what ends with NO leaves nothing saved. What `$` means is in the key by now.
            self.view_mut()?.saved = Vec::new();
        }
        if command.bad_charset {
            return Err(Failure::no(Code::BadCharset, "this charset is not served"));
        }
        if key.count(Cost::Body) > MAX_BODY_KEYS || key.count(Cost::Header) > MAX_HEADER_KEYS {
            return Err(Failure::no(Code::Limit, "too many keys that look for text"));
        }
        let uses_mod_seq = key.uses_mod_seq();
        if uses_mod_seq {
            self.enable_condstore();
        }
        self.bound(&mut key).await?;
        let found = self.find_messages(&Arc::new(key)).await?;
        let mod_seq = (uses_mod_seq && !found.positions.is_empty()).then_some(found.mod_seq);
        Ok(Searched {
            positions: found.positions,
            mod_seq,
        })
    }

    async fn find_messages(&self, key: &Arc<Key>) -> Result<Found, Failure> {
        let view = self.view()?;
        let candidates = key.candidates(view.count());
        if key.cost() == Cost::Position {
            let positions = candidates
                .into_iter()
                .flatten()
                .filter(|position| judge(key, *position, &Facts::default()) == Some(true));
            return Ok(Found {
                positions: positions.collect(),
                mod_seq: 0,
            });
        }
        let search = Search {
            store: self.mail(),
            heavy: &self.shared.heavy,
            view,
            key,
            candidates: &candidates,
        };
        search.run().await
    }

    /// Tells what was found, in its order; `sorted`: by SORT.
    pub(crate) fn tell_found(
        &mut self,
        tag: &Tag,
        answer: Answer,
        positions: &[u32],
        sorted: bool,
    ) -> Done {
        let view = self.view()?;
        let uid_of = |position: &u32| view.uids.get(*position as usize).copied();
        let numbers: Vec<u32> = match answer.uid {
            true => positions.iter().filter_map(uid_of).collect(),
            false => positions.iter().map(|position| position + 1).collect(),
        };
        let Some(returns) = answer.returns else {
            match sorted {
                true => self.writer().sort(numbers, answer.mod_seq),
                false => self.writer().search(numbers, answer.mod_seq),
            }
            return Ok(Reply::ok("searched"));
        };
        if returns.save {
            let mut saved: Vec<Uid> = saved_part(positions, returns)
                .filter_map(|position| uid_of(&position))
                .collect();
            saved.sort_unstable();
            self.view_mut()?.saved = saved;
        }
        let all = runs(numbers.iter().copied());
        let shown = returns.partial.map(|window| {
            let part = numbers.get(window.of(numbers.len())).unwrap_or_default();
            (window, runs(part.iter().copied()))
        });
        let result = ESearch {
            uid: answer.uid,
            min: numbers.first().copied().filter(|_| returns.min),
            max: numbers.last().copied().filter(|_| returns.max),
            all: returns.all.then_some(all.as_slice()),
            partial: shown
                .as_ref()
                .map(|(window, part)| (*window, part.as_slice())),
            count: returns.count.then_some(numbers.len() as u32),
            mod_seq: answer.mod_seq,
        };
        let silent = returns
            == SearchReturn {
                save: true,
                ..SearchReturn::default()
            };
        if !silent {
            // RFC 5182 §2.1: SAVE alone tells nothing
            self.writer().esearch(tag.as_str(), &result);
        }
        Ok(Reply::ok("searched"))
    }
}

/// RFC 5182 §2.4: with only MIN or MAX beside it, SAVE saves only those; with PARTIAL what it shows too (RFC 9394 §3.2); with COUNT all.
fn saved_part(positions: &[u32], returns: SearchReturn) -> impl Iterator<Item = u32> + '_ {
    let ends = returns.min || returns.max;
    let everything = returns.all || returns.count || !ends && returns.partial.is_none();
    let last = positions.len().saturating_sub(1);
    let shown = returns.partial.map(|window| window.of(positions.len()));
    let wanted = move |index: usize| {
        everything
            || returns.min && index == 0
            || returns.max && index == last
            || shown.as_ref().is_some_and(|shown| shown.contains(&index))
    };
    positions
        .iter()
        .enumerate()
        .filter(move |(index, _)| wanted(*index))
        .map(|(_, position)| *position)
}
