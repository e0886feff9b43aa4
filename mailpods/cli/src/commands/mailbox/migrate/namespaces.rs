//! Whose folders those of a source are (RFC 2342).
use mailpods_imap_proto::client::data::{Prefixes, namespaces};

use super::session::{Session, SourceError};

/// Whose a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whose {
    Own,
    OtherUsers,
    Public,
}

/// The namespaces of a source.
#[derive(Debug, Clone, Default)]
pub struct Namespaces {
    prefixes: Vec<(Whose, String, Option<char>)>,
}

impl Namespaces {
    /// Asks for them; a source that has no NAMESPACE has only folders of its user's own.
    pub async fn ask(session: &mut Session) -> Result<Self, SourceError> {
        let mut told = [vec![], vec![], vec![]];
        if session.has("NAMESPACE") {
            let on_data = |data: super::session::Data| {
                if data.name == "NAMESPACE" {
                    told = namespaces(&data.values);
                }
                Ok(())
            };
            session.run(b"NAMESPACE", on_data).await?;
        }
        Ok(Self::new(told))
    }

    pub fn new([own, others, public]: [Prefixes; 3]) -> Self {
        let kinds = [
            (Whose::Own, own),
            (Whose::OtherUsers, others),
            (Whose::Public, public),
        ];
        let of = |(whose, prefixes): (Whose, Prefixes)| {
            let prefixes = prefixes.into_iter();
            prefixes.map(move |(prefix, delimiter)| (whose, prefix, delimiter))
        };
        Self {
            prefixes: kinds.into_iter().flat_map(of).collect(),
        }
    }

    /// The first of the user's own namespaces: its prefix without a delimiter, and the delimiter.
    pub fn own(&self) -> (&str, Option<char>) {
        let mut own = self.prefixes.iter().filter(|one| one.0 == Whose::Own);
        own.next().map_or(("", None), |(_, prefix, delimiter)| {
            (without_end(prefix, *delimiter), *delimiter)
        })
    }

    /// Whose a folder is: the longest prefix that it has tells, and a public one may well be empty, as Cyrus has it.
    pub fn whose(&self, folder: &str) -> Whose {
        if folder.eq_ignore_ascii_case("INBOX") {
            return Whose::Own;
        }
        let has = |(_, prefix, delimiter): &&(Whose, String, Option<char>)| {
            starts_with(folder, prefix) || folder == without_end(prefix, *delimiter)
        };
        let longest = self.prefixes.iter().filter(has);
        // Of those as long as each other the first: the user's own.
        let longest = longest.reduce(|one, other| match other.1.len() > one.1.len() {
            true => other,
            false => one,
        });
        longest.map_or(Whose::Own, |(whose, ..)| *whose)
    }
}

fn without_end(prefix: &str, delimiter: Option<char>) -> &str {
    let end = delimiter.and_then(|delimiter| prefix.strip_suffix(delimiter));
    end.unwrap_or(prefix)
}

/// INBOX is one name in whatever letter case (RFC 9051 §5.1).
fn starts_with(folder: &str, prefix: &str) -> bool {
    let inbox = |text: &str| {
        text.get(..5)
            .is_some_and(|head| head.eq_ignore_ascii_case("INBOX"))
    };
    match inbox(folder) && inbox(prefix) {
        true => folder
            .get(5..)
            .unwrap_or_default()
            .starts_with(prefix.get(5..).unwrap_or_default()),
        false => folder.starts_with(prefix),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(texts: &[&str]) -> Prefixes {
        let one = |text: &&str| ((*text).to_owned(), text.chars().last().or(Some('.')));
        texts.iter().map(one).collect()
    }

    #[test]
    fn the_longest_prefix_tells_whose_a_folder_is() {
        let dovecot = Namespaces::new([
            prefixes(&[""]),
            prefixes(&["shared/"]),
            prefixes(&["Public/", "News/"]),
        ]);
        let cyrus = Namespaces::new([prefixes(&["INBOX."]), prefixes(&["user."]), prefixes(&[""])]);
        let (own, others, public) = (Whose::Own, Whose::OtherUsers, Whose::Public);
        for (namespaces, folder, wanted) in [
            (&dovecot, "INBOX", own),
            (&dovecot, "Publications", own),
            (&dovecot, "shared/bob/Work", others),
            (&dovecot, "shared", others),
            (&dovecot, "News/rust", public),
            (&cyrus, "inbox", own),
            (&cyrus, "Inbox.Sent", own),
            (&cyrus, "user.bob", others),
            (&cyrus, "bulletin", public),
            (&Namespaces::default(), "anything", own),
        ] {
            assert_eq!(namespaces.whose(folder), wanted, "{folder}");
        }
        assert_eq!(cyrus.own(), ("INBOX", Some('.')));
    }
}
