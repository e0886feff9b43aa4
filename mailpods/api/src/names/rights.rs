//! Who may do what with a mailbox (RFC 4314).

use std::fmt;
use std::str::FromStr;

use super::{AddressError, MailboxAddress, string_value};

/// A set of the rights of RFC 4314 §2.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Rights(u16);

/// Letters in the order in which they are printed; the place is the bit.
const LETTERS: &str = "lrswipkxtea";

/// Why a text is no set of rights.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RightsError {
    /// Nothing there.
    #[error("no right is named; the rights are {LETTERS}")]
    Empty,
    /// A letter that is no right.
    #[error("{0:?} is no right; the rights are {LETTERS}, c for kx and d for te")]
    Unknown(char),
}

impl Rights {
    /// No right.
    pub const NONE: Self = Self(0);
    /// `l`: LIST tells the mailbox.
    pub const LOOKUP: Self = Self(1);
    /// `r`: SELECT, STATUS.
    pub const READ: Self = Self(1 << 1);
    /// `s`: to keep a `\Seen` of one's own.
    pub const SEEN: Self = Self(1 << 2);
    /// `w`: flags other than `\Seen` and `\Deleted`.
    pub const WRITE: Self = Self(1 << 3);
    /// `i`: APPEND and COPY into it.
    pub const INSERT: Self = Self(1 << 4);
    /// `p`: mail to its own address.
    pub const POST: Self = Self(1 << 5);
    /// `k`: mailboxes below it.
    pub const CREATE: Self = Self(1 << 6);
    /// `x`: DELETE and RENAME.
    pub const DELETE: Self = Self(1 << 7);
    /// `t`: `\Deleted`.
    pub const DELETE_MESSAGES: Self = Self(1 << 8);
    /// `e`: EXPUNGE.
    pub const EXPUNGE: Self = Self(1 << 9);
    /// `a`: who may do what.
    pub const ADMINISTER: Self = Self(1 << 10);
    /// All of them.
    pub const ALL: Self = Self((1 << 11) - 1);

    /// Reads letters, none too; `c` stands for `kx` and `d` for `te` (RFC 4314 §2.1.1).
    ///
    /// # Errors
    /// A letter that is no right.
    pub fn parse(letters: &str) -> Result<Self, RightsError> {
        let mut rights = Self::NONE;
        for letter in letters.chars() {
            let named = match letter {
                'c' => Self::CREATE.union(Self::DELETE),
                'd' => Self::DELETE_MESSAGES.union(Self::EXPUNGE),
                letter => LETTERS
                    .find(letter)
                    .map(|bit| Self(1 << bit))
                    .ok_or(RightsError::Unknown(letter))?,
            };
            rights = rights.union(named);
        }
        Ok(rights)
    }

    /// The rights as a number that is kept.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Rights from such a number; bits that are no rights are passed over.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// Whether all of `other` are among them.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is among them.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These without `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each right alone.
    pub fn each(self) -> impl Iterator<Item = Self> {
        (0..LETTERS.len())
            .map(|bit| Self(1 << bit))
            .filter(move |right| self.contains(*right))
    }

    /// As clients are told: with `c` and `d` where a part of them is there, for those that know RFC 2086 alone (RFC 4314 §2.1.1).
    #[must_use]
    pub fn told(self) -> String {
        let mut text = self.to_string();
        if self.intersects(Self::CREATE.union(Self::DELETE)) {
            text.push('c');
        }
        if self.intersects(Self::DELETE_MESSAGES.union(Self::EXPUNGE)) {
            text.push('d');
        }
        text
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bit, letter) in LETTERS.chars().enumerate() {
            if self.contains(Self(1 << bit)) {
                fmt::Write::write_char(f, letter)?;
            }
        }
        Ok(())
    }
}

impl FromStr for Rights {
    type Err = RightsError;

    /// Letters, at least one.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" => Err(RightsError::Empty),
            text => Self::parse(text),
        }
    }
}

string_value!(Rights, 13, "^[lrswipkxteacd]+$");

/// Who has rights: an address, or everybody who may be given any.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Grantee {
    /// `anyone`
    Anyone,
    /// One person.
    Person(MailboxAddress),
}

impl Grantee {
    /// Whether `reader` is meant, alone or with others.
    #[must_use]
    pub fn is(&self, reader: &MailboxAddress) -> bool {
        match self {
            Self::Anyone => true,
            Self::Person(address) => address == reader,
        }
    }
}

impl fmt::Display for Grantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => f.write_str("anyone"),
            Self::Person(address) => address.fmt(f),
        }
    }
}

impl FromStr for Grantee {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "anyone" => Ok(Self::Anyone),
            address => Ok(Self::Person(MailboxAddress::parse(address)?.canonical())),
        }
    }
}

string_value!(
    Grantee,
    254,
    r"^(anyone|[^\x00-\x1f\x7f]+@[^\x00-\x20\x7f@\[\]]+)$"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_come_back_in_order() {
        let rights: Rights = "aetxkpiwsrl".parse().unwrap();
        assert_eq!(rights, Rights::ALL);
        assert_eq!(rights.to_string(), LETTERS);
        assert_eq!(rights.told(), "lrswipkxteacd");
        assert_eq!(rights.each().count(), 11);
        assert_eq!(Rights::from_bits(rights.bits()), rights);
        assert_eq!(Rights::from_bits(u16::MAX), rights);
        assert_eq!("lr".parse::<Rights>().unwrap().told(), "lr");
        assert_eq!("ix".parse::<Rights>().unwrap().told(), "ixc");
    }

    #[test]
    fn old_rights_stand_for_new_ones() {
        assert_eq!(Rights::parse("cd"), Rights::parse("kxte"));
        assert_eq!(Rights::parse(""), Ok(Rights::NONE));
        assert_eq!("".parse::<Rights>(), Err(RightsError::Empty));
        assert_eq!("lq".parse::<Rights>(), Err(RightsError::Unknown('q')));
        assert_eq!("L".parse::<Rights>(), Err(RightsError::Unknown('L')));
    }

    #[test]
    fn grantees_are_people_or_anyone() {
        let bob = MailboxAddress::parse("bob@example.test").unwrap();
        let grantee: Grantee = "Bob@Example.test".parse().unwrap();
        assert_eq!(grantee.to_string(), "bob@example.test");
        assert!(grantee.is(&bob) && Grantee::Anyone.is(&bob));
        assert!("authenticated".parse::<Grantee>().is_err());
    }
}
