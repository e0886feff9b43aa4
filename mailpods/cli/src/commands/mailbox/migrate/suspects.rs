//! Messages at which a connection broke: asked for alone, and given up after some tries, so that one that a source cannot deliver does
//! not keep all that come after it.
use std::collections::BTreeMap;

use mailpods_store::Uid;

/// Tries of a message that is asked for alone.
const TRIES: u32 = 3;
/// Messages of an account that are given up: a source that breaks at more is broken itself.
const MAX_GIVEN_UP: usize = 50;

/// What is known of them.
#[derive(Debug, Default)]
pub struct Suspects {
    /// Of the folder under way, with tries that broke and why the last one did.
    tries: BTreeMap<Uid, (u32, String)>,
    /// Of all folders.
    given_up: usize,
    blamed: bool,
    broken: bool,
}

impl Suspects {
    /// Whether a message is to be asked for alone.
    pub fn has(&self, uid: Uid) -> bool {
        self.tries.contains_key(&uid)
    }

    /// A connection broke while these were to come, of a command that asked for `asked`. Of a message alone it is its fault.
    pub fn blame(&mut self, missing: &[Uid], asked: usize, retries: u32, why: &str) {
        if let ([uid], 1) = (missing, asked) {
            let tried = self.tries.entry(*uid).or_default();
            *tried = (tried.0 + 1, why.to_owned());
            if tried.0 == most(retries) {
                match self.given_up < MAX_GIVEN_UP {
                    true => self.given_up += 1,
                    false => self.broken = true,
                }
            }
        }
        for uid in missing {
            self.tries.entry(*uid).or_default();
        }
        self.blamed = !missing.is_empty() && !self.broken;
    }

    /// Whether the last connection broke at messages that can be told; asking that takes it back.
    pub fn blamed(&mut self) -> bool {
        std::mem::take(&mut self.blamed)
    }

    /// Messages that are given up so far.
    pub fn given_up(&self) -> usize {
        self.given_up
    }

    /// Whether one more broke it than may be given up.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Why a message is given up, if it is.
    pub fn why(&self, uid: Uid, retries: u32) -> Option<String> {
        let (tries, why) = self.tries.get(&uid)?;
        (*tries >= most(retries)).then(|| format!("{tries} tries of it alone failed: {why}"))
    }

    /// The folder is done.
    pub fn end_folder(&mut self) {
        self.tries.clear();
    }
}

fn most(retries: u32) -> u32 {
    TRIES.min(retries.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_alone_is_given_up_and_no_other() {
        let mut suspects = Suspects::default();
        suspects.blame(&[4, 5, 6], 9, 8, "closed");
        assert!(suspects.has(5) && !suspects.has(7) && suspects.blamed() && !suspects.blamed());
        for _ in 0..2 {
            suspects.blame(&[4], 1, 8, "closed");
            assert_eq!(suspects.why(4, 8), None);
        }
        suspects.blame(&[4], 1, 8, "BYE");
        let why = suspects.why(4, 8).unwrap();
        assert!(why.contains("3 tries") && why.ends_with("BYE"), "{why}");
        assert_eq!((suspects.given_up(), suspects.why(5, 8)), (1, None));
        suspects.end_folder();
        assert!(!suspects.has(4));
    }

    #[test]
    fn a_source_that_breaks_everywhere_is_not_asked_for_ever() {
        let mut suspects = Suspects::default();
        for uid in 1..=50 {
            suspects.blame(&[uid], 1, 1, "closed");
            assert!(suspects.blamed() && !suspects.is_broken());
        }
        suspects.blame(&[51], 1, 1, "closed");
        assert_eq!(suspects.given_up(), MAX_GIVEN_UP);
        assert!(!suspects.blamed() && suspects.is_broken());
    }
}
