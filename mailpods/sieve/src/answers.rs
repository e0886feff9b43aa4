//! What only the caller can know.

use std::collections::HashMap;

/// Something that a run must know to go on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    /// May mail be filed into this mailbox of the owner (RFC 5490 §3.1)? Yes or no.
    MailboxExists(String),
    /// The name of the owner's mailbox with this MAILBOXID (RFC 9042 §3), or no.
    MailboxById(String),
    /// The name of the owner's mailbox with this special-use attribute (RFC 8579 §3), or no. The first when there are several.
    MailboxBySpecialUse(String),
    /// Has the mailbox of this name the attribute? Yes or no.
    HasSpecialUse {
        /// Its name.
        mailbox: String,
        /// The attribute with its backslash.
        attribute: String,
    },
    /// Was a message with this identity of RFC 7352 seen and remembered, and is not forgotten yet? Yes or no.
    Seen(String),
    /// Is there an external list of this name (RFC 6134 §2.6)? Yes or no.
    ListExists(String),
    /// Is the value on the list? Yes or no.
    InList {
        /// Name of the list.
        list: String,
        /// The value.
        value: String,
    },
    /// The addresses on a list, divided by commas, or no.
    ListMembers(String),
}

/// Answers so far. A yes without a name is an empty text.
#[derive(Clone, Debug, Default)]
pub struct Answers(HashMap<Question, Option<String>>);

impl Answers {
    /// Answers a question with a text, or with no.
    pub fn put(&mut self, question: Question, answer: Option<String>) {
        self.0.insert(question, answer);
    }

    /// Answers a question with yes or no.
    pub fn say(&mut self, question: Question, yes: bool) {
        self.put(question, yes.then(String::new));
    }

    pub(crate) fn get(&self, question: &Question) -> Option<Option<&str>> {
        self.0.get(question).map(Option::as_deref)
    }

    /// How many questions were answered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
