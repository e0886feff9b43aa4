//! Flags as letters: of Maildir file names, and of the Status fields of mbox.
use mailpods_store::mail::{Flags, SystemFlags};

/// What Maildir calls "passed".
const FORWARDED: &str = "$Forwarded";

/// Letters of Maildir for system flags (<https://cr.yp.to/proto/maildir.html>), in the order of the alphabet, which the
/// format asks for.
const MAILDIR: [(char, SystemFlags); 5] = [
    ('D', SystemFlags::DRAFT),
    ('F', SystemFlags::FLAGGED),
    ('R', SystemFlags::ANSWERED),
    ('S', SystemFlags::SEEN),
    ('T', SystemFlags::DELETED),
];

/// Letters of the X-Status field.
const X_STATUS: [(char, SystemFlags); 4] = [
    ('A', SystemFlags::ANSWERED),
    ('D', SystemFlags::DELETED),
    ('F', SystemFlags::FLAGGED),
    ('T', SystemFlags::DRAFT),
];

/// Keywords of a Maildir folder: the place in the list is the letter, `a` for the first (Dovecot's `dovecot-keywords`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keywords(pub Vec<String>);

impl Keywords {
    /// Reads `0 name` lines.
    pub fn parse(text: &str) -> Self {
        let mut names = Vec::new();
        for line in text.lines().take(26) {
            if let Some((number, name)) = line.split_once(' ')
                && number.parse() == Ok(names.len())
                && !name.is_empty()
            {
                names.push(name.to_owned());
            }
        }
        Self(names)
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        self.0
            .iter()
            .enumerate()
            .map(|(number, name)| format!("{number} {name}\n"))
            .collect()
    }

    fn name(&self, letter: char) -> Option<&String> {
        let place = u32::from(letter).checked_sub(u32::from('a'))?;
        self.0.get(usize::try_from(place).ok()?)
    }

    /// Whether a keyword has a letter.
    pub fn has(&self, keyword: &str) -> bool {
        let known = |name: &String| name.eq_ignore_ascii_case(keyword);
        keyword.eq_ignore_ascii_case(FORWARDED) || self.0.iter().any(known)
    }

    /// The letter of a keyword, which gets one if there is room: 26 in a folder.
    fn letter(&mut self, keyword: &str) -> Option<char> {
        let known = self
            .0
            .iter()
            .position(|name| name.eq_ignore_ascii_case(keyword));
        let place = known.unwrap_or(self.0.len());
        let letter = ('a'..='z').nth(place)?;
        if known.is_none() {
            self.0.push(keyword.to_owned());
        }
        Some(letter)
    }
}

/// The flags of a Maildir name's letters.
pub fn from_maildir(letters: &str, keywords: &Keywords) -> Flags {
    let mut flags = Flags::default();
    for letter in letters.chars() {
        if let Some((_, flag)) = MAILDIR.iter().find(|(known, _)| *known == letter) {
            flags.system = flags.system.union(*flag);
        } else if letter == 'P' {
            flags.keywords.push(FORWARDED.to_owned());
        } else if let Some(name) = keywords.name(letter) {
            flags.keywords.push(name.clone());
        }
    }
    flags
}

/// The letters of a Maildir name, sorted as the format asks.
pub fn to_maildir(flags: &Flags, keywords: &mut Keywords) -> String {
    let system = MAILDIR
        .iter()
        .filter(|(_, flag)| flags.system.contains(*flag))
        .map(|(letter, _)| *letter);
    let mut letters: Vec<char> = system.collect();
    for keyword in &flags.keywords {
        match keyword.eq_ignore_ascii_case(FORWARDED) {
            true => letters.push('P'),
            false => letters.extend(keywords.letter(keyword)),
        }
    }
    letters.sort_unstable();
    letters.dedup();
    letters.into_iter().collect()
}

/// The flags of mbox's Status, X-Status and X-Keywords fields.
pub fn from_mbox(status: &str, x_status: &str, keywords: &str) -> Flags {
    let mut flags = Flags::default();
    if status.contains('R') {
        flags.system = SystemFlags::SEEN;
    }
    for (letter, flag) in X_STATUS {
        if x_status.contains(letter) {
            flags.system = flags.system.union(flag);
        }
    }
    flags.keywords = keywords
        .split_ascii_whitespace()
        .take(100)
        .map(str::to_owned)
        .collect();
    flags
}

/// The fields of mbox that hold the flags, with LF line ends; empty when there is nothing to say.
pub fn to_mbox(flags: &Flags) -> String {
    let x_status: String = X_STATUS
        .iter()
        .filter(|(_, flag)| flags.system.contains(*flag))
        .map(|(letter, _)| *letter)
        .collect();
    let status = if flags.system.contains(SystemFlags::SEEN) {
        "RO"
    } else {
        "O"
    };
    let mut fields = format!("Status: {status}\n");
    if !x_status.is_empty() {
        fields.push_str(&format!("X-Status: {x_status}\n"));
    }
    if !flags.keywords.is_empty() {
        fields.push_str(&format!("X-Keywords: {}\n", flags.keywords.join(" ")));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maildir_letters_lead_back_to_the_flags() {
        let system = SystemFlags::SEEN
            .union(SystemFlags::ANSWERED)
            .union(SystemFlags::DRAFT);
        let flags = Flags {
            system,
            keywords: vec![
                "$Forwarded".to_owned(),
                "$Junk".to_owned(),
                "work".to_owned(),
            ],
        };
        let mut keywords = Keywords(vec!["work".to_owned()]);
        let letters = to_maildir(&flags, &mut keywords);
        assert_eq!(letters, "DPRSab");
        let read = from_maildir(&letters, &Keywords::parse(&keywords.text()));
        assert_eq!(read.system, system);
        assert_eq!(read.keywords, ["$Forwarded", "work", "$Junk"]);
    }

    #[test]
    fn a_folder_has_room_for_26_keywords() {
        let mut keywords = Keywords::default();
        let flags = Flags {
            system: SystemFlags::default(),
            keywords: (0..30).map(|n| format!("k{n}")).collect(),
        };
        assert_eq!(
            to_maildir(&flags, &mut keywords),
            ('a'..='z').collect::<String>()
        );
    }

    #[test]
    fn status_fields_lead_back_to_the_flags() {
        let system = SystemFlags::SEEN
            .union(SystemFlags::FLAGGED)
            .union(SystemFlags::DELETED);
        let flags = Flags {
            system,
            keywords: vec!["$Junk".to_owned()],
        };
        assert_eq!(
            to_mbox(&flags),
            "Status: RO\nX-Status: DF\nX-Keywords: $Junk\n"
        );
        assert_eq!(from_mbox("RO", "DF", "$Junk"), flags);
    }
}
