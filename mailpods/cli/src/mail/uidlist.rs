//! Dovecot's list of the messages of a Maildir, for the names that it gives them over POP3: a program that keeps mail on the server
//! takes each message again whose name changes.
use std::collections::HashMap;

/// Its name in the Maildir.
pub const FILE: &str = "dovecot-uidlist";

/// POP3's names by the unique part of the file name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Uidlist(HashMap<String, String>);

/// The part of a file's name that never changes.
pub fn unique(name: &str) -> &str {
    name.split([':', ';', '!']).next().unwrap_or(name)
}

impl Uidlist {
    /// Reads version 3 of the list: `3 V<UIDVALIDITY> ...`, then `<UID> [<key><value> ...] :<file name>`. Key `P` has the name; without
    /// it the name is what `pop3_uidl_format = %08Xu%08Xv`, Dovecot's default, makes of UID and UIDVALIDITY.
    pub fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        let validity = lines.next().and_then(validity).unwrap_or(0);
        Self(lines.filter_map(|line| entry(line, validity)).collect())
    }

    /// The name of the message in a file.
    pub fn name(&self, file: &str) -> Option<&str> {
        self.0.get(unique(file)).map(String::as_str)
    }
}

fn validity(head: &str) -> Option<u32> {
    let mut words = head.strip_prefix("3 ")?.split(' ');
    words.find_map(|word| word.strip_prefix('V')?.parse().ok())
}

fn entry(line: &str, validity: u32) -> Option<(String, String)> {
    let (head, file) = line.split_once(" :")?;
    let mut words = head.split(' ');
    let uid: u32 = words.next()?.parse().ok()?;
    let given = words.find_map(|word| word.strip_prefix('P'));
    let name = match given {
        Some(name) => name.to_owned(),
        None if validity > 0 => format!("{uid:08x}{validity:08x}"),
        None => return None,
    };
    // RFC 1939 §7: what no message may be called is not carried over
    let fits = (1..=70).contains(&name.len()) && name.bytes().all(|octet| octet.is_ascii_graphic());
    fits.then(|| (unique(file).to_owned(), name))
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
        let name = |file: &str| list.name(file).map(str::to_owned);
        assert_eq!(
            name("1276528487.M364837P9451.kurkku,S=2993,W=3065:2,FS").as_deref(),
            Some("4bd1f2a0")
        );
        assert_eq!(
            name("1276528488.M364838P9451.kurkku:2,").as_deref(),
            Some("000061ba4c0907b0")
        );
        assert_eq!(name("1276528489.M1P1.kurkku"), None);
        assert_eq!(name("other"), None);
    }

    #[test]
    fn what_is_no_list_has_no_names() {
        for text in [
            "",
            "1 1275660208 25022\n25017 1276528487.kurkku\n",
            "3 N1\n1 :a\n",
        ] {
            assert_eq!(Uidlist::parse(text), Uidlist::default(), "{text}");
        }
    }
}
