//! Dovecot's list of the messages of a Maildir: their UIDs, UIDVALIDITY, and the names that it gives them over POP3. A program that keeps
//! mail takes each message again whose name changes.
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

/// Its name in the Maildir.
pub const FILE: &str = "dovecot-uidlist";

/// What is known of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub uid: u32,
    /// What POP3 calls it.
    pub uidl: Option<String>,
}

/// The messages by the unique part of the file name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Uidlist {
    /// UIDVALIDITY; 0 when it is not told.
    pub validity: u32,
    /// The UID that the next message gets.
    pub next: u32,
    known: HashMap<String, Known>,
}

/// The part of a file's name that never changes.
pub fn unique(name: &str) -> &str {
    name.split([':', ';', '!']).next().unwrap_or(name)
}

impl Uidlist {
    /// An empty list.
    pub fn new(validity: u32, next: u32) -> Self {
        Self {
            validity,
            next,
            known: HashMap::new(),
        }
    }

    /// Reads version 3 of the list: `3 V<UIDVALIDITY> N<next UID> ...`, then `<UID> [<key><value> ...] :<file name>`. Key `P` has POP3's
    /// name; without it the name is what `pop3_uidl_format = %08Xu%08Xv`, Dovecot's default, makes of UID and UIDVALIDITY. Of two files
    /// with one UID, which RFC 9051 §2.3.1.1 has no room for, the first has it.
    pub fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        let head = lines.next().unwrap_or_default();
        let mut list = Self::new(
            number(head, 'V').unwrap_or(0),
            number(head, 'N').unwrap_or(0),
        );
        let validity = list.validity;
        let mut seen = HashSet::new();
        let entries = lines.filter_map(|line| entry(line, validity));
        list.known = entries
            .filter(|(_, known)| seen.insert(known.uid))
            .collect();
        list
    }

    /// What is known of the message in a file.
    pub fn get(&self, file: &str) -> Option<&Known> {
        self.known.get(unique(file))
    }

    /// Adds a message.
    pub fn add(&mut self, file: &str, known: Known) {
        self.known.insert(unique(file).to_owned(), known);
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        let mut text = format!("3 V{} N{}\n", self.validity, self.next);
        let mut sorted: Vec<_> = self.known.iter().collect();
        sorted.sort_by_key(|(_, known)| known.uid);
        for (file, Known { uid, uidl }) in sorted {
            let name = uidl.as_ref().map(|name| format!(" P{name}"));
            // Writing to a String does not fail.
            let _ = writeln!(text, "{uid}{} :{file}", name.unwrap_or_default());
        }
        text
    }
}

fn number(head: &str, key: char) -> Option<u32> {
    let mut words = head.strip_prefix("3 ")?.split(' ');
    words.find_map(|word| word.strip_prefix(key)?.parse().ok())
}

fn entry(line: &str, validity: u32) -> Option<(String, Known)> {
    let (head, file) = line.split_once(" :")?;
    let mut words = head.split(' ');
    let uid: u32 = words.next()?.parse().ok()?;
    let given = words.find_map(|word| word.strip_prefix('P'));
    let name = match given {
        Some(name) => Some(name.to_owned()),
        None if validity > 0 => Some(format!("{uid:08x}{validity:08x}")),
        None => None,
    };
    let known = Known {
        uid,
        uidl: name.filter(|name| is_name(name)),
    };
    (uid > 0).then(|| (unique(file).to_owned(), known))
}

/// RFC 1939 §7: what no message may be called is not carried over.
pub fn is_name(name: &str) -> bool {
    (1..=70).contains(&name.len()) && name.bytes().all(|octet| octet.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_given_or_follow_from_uid_and_uidvalidity() {
        let list = Uidlist::parse(
            "3 V1275660208 N25022 G3085f01b7f11094c501100008c4a11c1\n\
             25017 P4bd1f2a0 W3065 S2993 :1276528487.M364837P9451.kurkku,S=2993,W=3065:2,S\n\
             25018 :1276528488.M364838P9451.kurkku\n\
             25019 Pa\u{e9} :1276528489.M1P1.kurkku\n\
             nonsense\n\n",
        );
        assert_eq!((list.validity, list.next), (1_275_660_208, 25_022));
        let known = |file: &str| {
            let known = list.get(file)?;
            Some((known.uid, known.uidl.clone()))
        };
        assert_eq!(
            known("1276528487.M364837P9451.kurkku,S=2993,W=3065:2,FS"),
            Some((25_017, Some("4bd1f2a0".to_owned())))
        );
        assert_eq!(
            known("1276528488.M364838P9451.kurkku:2,"),
            Some((25_018, Some("000061ba4c0907b0".to_owned())))
        );
        assert_eq!(known("1276528489.M1P1.kurkku"), Some((25_019, None)));
        assert_eq!(known("other"), None);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut list = Uidlist::new(1_700_000_000, 10);
        for (uid, name) in [(9, Some("x.9")), (2, None)] {
            let uidl = name.map(str::to_owned);
            list.add(&format!("{uid}.a:2,S"), Known { uid, uidl });
        }
        let text = list.text();
        assert!(
            text.starts_with("3 V1700000000 N10\n2 :2.a\n9 Px.9 :9.a\n"),
            "{text}"
        );
        let read = Uidlist::parse(&text);
        assert_eq!(read.get("9.a"), list.get("9.a"));
        assert_eq!(read.get("2.a").map(|known| known.uid), Some(2));
    }

    #[test]
    fn a_uid_is_of_one_file() {
        let list = Uidlist::parse("3 V9 N9\n4 :1.a\n4 :2.b\n5 :3.c\n");
        let uid = |file| list.get(file).map(|known| known.uid);
        assert_eq!(
            (uid("1.a"), uid("2.b"), uid("3.c")),
            (Some(4), None, Some(5))
        );
    }

    #[test]
    fn what_is_no_list_has_no_names() {
        for text in [
            "",
            "1 1275660208 25022\n25017 1276528487.kurkku\n",
            "3 N1\n0 :a\n",
        ] {
            let list = Uidlist::parse(text);
            assert!(list.validity == 0 && list.known.is_empty(), "{text}");
        }
    }
}
