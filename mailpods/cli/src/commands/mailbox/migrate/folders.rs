//! The folders of the source, and what they are called here.
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use mailpods_imap_proto::ListPattern;
use mailpods_imap_proto::client::data::{ListedFolder, personal_namespaces};
use mailpods_imap_proto::pattern::canonical_name;
use mailpods_store::mail::SpecialUse;

use super::report::LeftOut;
use super::session::{Data, Session, SourceError};

/// Folders of a source; an account has no room for more.
const MAX_FOLDERS: usize = 10_000;
/// Octets of a folder's name as the source has it.
const MAX_RAW_NAME: usize = 4_096;
/// Octets of a mailbox name and of one of its levels, and levels, that the store takes.
const MAX_NAME: usize = 1024;
const MAX_LEVEL: usize = 255;
const MAX_DEPTH: usize = 32;

/// A folder of the source and its mailbox here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    /// As the source names it in commands.
    pub raw: Bytes,
    /// As people read it.
    pub source: String,
    /// The mailbox.
    pub name: String,
    /// What it is for.
    pub special_use: Option<SpecialUse>,
}

/// Which folders are wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// All where empty.
    pub folders: Vec<String>,
    pub exclude: Vec<String>,
}

impl Wanted {
    /// Whether a mailbox is wanted. `*` in a pattern stands for anything, `%` for anything within a level.
    pub fn has(&self, name: &str) -> bool {
        let matches = |pattern: &String| ListPattern::new("", pattern).matches(name);
        (self.folders.is_empty() || self.folders.iter().any(matches))
            && !self.exclude.iter().any(matches)
    }
}

/// What the source has.
#[derive(Debug, Default)]
pub struct Folders {
    pub mapped: Vec<Mapped>,
    /// Names here of what is subscribed there.
    pub subscribed: Vec<String>,
    pub left_out: Vec<LeftOut>,
}

/// Asks for the folders, and names them.
pub async fn list(session: &mut Session, wanted: &Wanted) -> Result<Folders, SourceError> {
    let (prefix, delimiter) = namespace(session).await?;
    let special = match session.has("LIST-EXTENDED") && session.has("SPECIAL-USE") {
        true => " RETURN (SPECIAL-USE)",
        false => "",
    };
    let listed = ask(session, &format!("LIST \"\" \"*\"{special}"), "LIST").await?;
    let subscribed = match ask(session, "LSUB \"\" \"*\"", "LSUB").await {
        // IMAP4rev2 has it no more (RFC 9051 appendix E).
        Err(SourceError::Refused { .. }) => {
            ask(session, "LIST (SUBSCRIBED) \"\" \"*\"", "LIST").await?
        }
        other => other?,
    };
    let namer = Namer { prefix, delimiter };
    Ok(namer.map(listed, &subscribed, wanted))
}

async fn ask(
    session: &mut Session,
    command: &str,
    name: &'static str,
) -> Result<Vec<ListedFolder>, SourceError> {
    let mut folders = Vec::new();
    let on_data = |data: Data| {
        if data.name == name
            && let Some(folder) = ListedFolder::read(&data.values)
        {
            if folder.raw.len() > MAX_RAW_NAME {
                return Err(SourceError::TooMany {
                    what: "octets in the name of a folder",
                    most: MAX_RAW_NAME,
                });
            }
            folders.push(folder);
        }
        match folders.len() > MAX_FOLDERS {
            true => Err(SourceError::TooMany {
                what: "folders",
                most: MAX_FOLDERS,
            }),
            false => Ok(()),
        }
    };
    session.must(command.as_bytes(), name, on_data).await?;
    Ok(folders)
}

/// RFC 2342: the first personal namespace, as a prefix without its delimiter.
async fn namespace(session: &mut Session) -> Result<(String, Option<char>), SourceError> {
    let mut personal = Vec::new();
    if session.has("NAMESPACE") {
        session
            .run(b"NAMESPACE", |data| {
                if data.name == "NAMESPACE" {
                    personal = personal_namespaces(&data.values);
                }
                Ok(())
            })
            .await?;
    }
    Ok(personal.into_iter().next().unwrap_or_default())
}

/// Makes names of this side.
struct Namer {
    prefix: String,
    delimiter: Option<char>,
}

impl Namer {
    fn map(
        &self,
        listed: Vec<ListedFolder>,
        subscribed: &[ListedFolder],
        wanted: &Wanted,
    ) -> Folders {
        let mut folders = Folders::default();
        let mut named: BTreeMap<Bytes, (ListedFolder, String)> = BTreeMap::new();
        for folder in listed {
            match self.admit(&folder) {
                Ok(name) => {
                    named.insert(folder.raw.clone(), (folder, name));
                }
                Err(None) => {}
                Err(Some(why)) => folders.left_out.push(LeftOut::folder(&folder.name, why)),
            }
        }
        let moved = special_names(named.values());
        let place = |name: &str| placed(name, &moved);
        let mut seen = BTreeSet::new();
        for (raw, (folder, name)) in &named {
            let name = place(name);
            if !wanted.has(&name) || !seen.insert(raw.clone()) {
                continue;
            }
            folders.mapped.push(Mapped {
                raw: raw.clone(),
                source: folder.name.clone(),
                special_use: special_use(folder),
                name,
            });
        }
        folders.mapped.sort_by(|a, b| a.name.cmp(&b.name));
        let names = subscribed
            .iter()
            .filter_map(|folder| self.name(folder).ok());
        let names = names.map(|name| place(&name));
        folders.subscribed = names.filter(|name| wanted.has(name)).collect();
        folders
    }

    /// The name here; `Err(None)` for what holds no mail of its own.
    fn admit(&self, folder: &ListedFolder) -> Result<String, Option<&'static str>> {
        if folder.has("\\noselect") || folder.has("\\nonexistent") {
            return Err(None);
        }
        // RFC 6154 §2: views of messages that are in other folders.
        if folder.has("\\all") || folder.has("\\flagged") || folder.has("\\important") {
            return Err(Some("a view of messages that other folders have"));
        }
        self.name(folder).map_err(Some)
    }

    fn name(&self, folder: &ListedFolder) -> Result<String, &'static str> {
        let delimiter = folder.delimiter.or(self.delimiter);
        let own = self.without_prefix(&folder.name, delimiter);
        let levels: Vec<&str> = match delimiter {
            Some(delimiter) => own.split(delimiter).collect(),
            None => vec![own],
        };
        let clean = |level: &&str| -> String {
            // What separates levels here, wildcards and control characters cannot be in a name.
            let replaced = |c: char| c == '/' || c == '*' || c == '%' || c.is_control();
            level
                .chars()
                .map(|c| if replaced(c) { '_' } else { c })
                .collect()
        };
        let levels: Vec<String> = levels.iter().map(clean).collect();
        if levels
            .iter()
            .any(|level| level.is_empty() || level.len() > MAX_LEVEL)
        {
            return Err("its name has an empty level, or one of more than 255 octets");
        }
        if levels.len() > MAX_DEPTH {
            return Err("its name has more than 32 levels");
        }
        let name = canonical_name(&levels.join("/"));
        match name.len() <= MAX_NAME {
            true => Ok(name),
            false => Err("its name has more than 1024 octets"),
        }
    }

    /// `INBOX.Sent` where all personal folders are below INBOX, as Courier and Cyrus have it.
    fn without_prefix<'n>(&self, name: &'n str, delimiter: Option<char>) -> &'n str {
        let Some(delimiter) = delimiter else {
            return name;
        };
        let prefix = self.prefix.strip_suffix(delimiter).unwrap_or(&self.prefix);
        let (Some(start), Some(rest)) = (name.get(..prefix.len()), name.get(prefix.len()..)) else {
            return name;
        };
        match rest.strip_prefix(delimiter) {
            Some(own)
                if !prefix.is_empty() && start.eq_ignore_ascii_case(prefix) && !own.is_empty() =>
            {
                own
            }
            _ => name,
        }
    }
}

fn special_use(folder: &ListedFolder) -> Option<SpecialUse> {
    [
        ("\\archive", SpecialUse::Archive),
        ("\\drafts", SpecialUse::Drafts),
        ("\\junk", SpecialUse::Junk),
        ("\\sent", SpecialUse::Sent),
        ("\\trash", SpecialUse::Trash),
    ]
    .into_iter()
    .find(|(attribute, _)| folder.has(attribute))
    .map(|(_, special)| special)
}

/// What the mailbox of an account for that use is called.
fn usual_name(special: SpecialUse) -> &'static str {
    match special {
        SpecialUse::Archive => "Archive",
        SpecialUse::Drafts => "Drafts",
        SpecialUse::Junk => "Junk",
        SpecialUse::Sent => "Sent",
        SpecialUse::Trash => "Trash",
    }
}

/// Folders that have another name here: `Sent Items`, which the source says is for sent mail, is `Sent`, unless the source has a folder
/// of that name beside it. One for each use.
fn special_names<'f>(
    named: impl Iterator<Item = &'f (ListedFolder, String)> + Clone,
) -> BTreeMap<String, &'static str> {
    let taken: BTreeSet<&str> = named.clone().map(|(_, name)| name.as_str()).collect();
    let mut used = BTreeSet::new();
    let mut moved = BTreeMap::new();
    for (folder, name) in named {
        let Some(usual) = special_use(folder).map(usual_name) else {
            continue;
        };
        if !taken.contains(usual) && name != "INBOX" && used.insert(usual) {
            moved.insert(name.clone(), usual);
        }
    }
    moved
}

/// The name with the longest of its parents that is moved.
fn placed(name: &str, moved: &BTreeMap<String, &'static str>) -> String {
    let mut end = name.len();
    loop {
        let parent = name.get(..end).unwrap_or_default();
        if let Some(usual) = moved.get(parent) {
            return format!("{usual}{}", name.get(end..).unwrap_or_default());
        }
        match parent.rfind('/') {
            Some(at) => end = at,
            None => return name.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(raw: &str, delimiter: char, attributes: &[&str]) -> ListedFolder {
        ListedFolder {
            raw: Bytes::copy_from_slice(raw.as_bytes()),
            name: mailpods_imap_proto::utf7::decode(raw).unwrap(),
            delimiter: Some(delimiter),
            attributes: attributes.iter().map(|text| (*text).to_owned()).collect(),
        }
    }

    fn names(prefix: &str, listed: Vec<ListedFolder>) -> Vec<(String, String)> {
        let namer = Namer {
            prefix: prefix.to_owned(),
            delimiter: None,
        };
        let folders = namer.map(listed, &[], &Wanted::default());
        let mapped = folders.mapped.into_iter();
        mapped.map(|one| (one.source, one.name)).collect()
    }

    fn pairs(wanted: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        wanted.iter().map(owned).collect()
    }

    #[test]
    fn folders_below_inbox_stand_beside_it_where_that_is_the_namespace() {
        let listed = || {
            vec![
                folder("INBOX", '.', &[]),
                folder("INBOX.Sent", '.', &["\\sent"]),
                folder("INBOX.B&APw-ro.2024/5", '.', &[]),
            ]
        };
        let wanted = [
            ("INBOX.Büro.2024/5", "Büro/2024_5"),
            ("INBOX", "INBOX"),
            ("INBOX.Sent", "Sent"),
        ];
        assert_eq!(names("INBOX.", listed()), pairs(&wanted));
        let plain = names("", listed());
        assert!(plain.contains(&("INBOX.Sent".to_owned(), "Sent".to_owned())));
        assert!(plain.contains(&(
            "INBOX.Büro.2024/5".to_owned(),
            "INBOX/Büro/2024_5".to_owned()
        )));
    }

    #[test]
    fn special_folders_get_the_names_of_this_side() {
        let found = names(
            "",
            vec![
                folder("Sent Items", '/', &["\\sent"]),
                folder("Sent Items/2024", '/', &[]),
                folder("Trash", '/', &[]),
                folder("Deleted Items", '/', &["\\trash"]),
                folder("[Gmail]/All Mail", '/', &["\\all"]),
                folder("[Gmail]", '/', &["\\noselect"]),
            ],
        );
        let wanted = [
            ("Deleted Items", "Deleted Items"),
            ("Sent Items", "Sent"),
            ("Sent Items/2024", "Sent/2024"),
            ("Trash", "Trash"),
        ];
        assert_eq!(found, pairs(&wanted));
    }

    #[test]
    fn names_that_lead_elsewhere_are_only_names() {
        let found = names(
            "",
            vec![
                folder("../../etc/passwd", '.', &[]),
                folder("..", '/', &[]),
                folder("a\u{1}b*c", '/', &[]),
            ],
        );
        // Dots separate levels there, so that these have empty ones: they are left out.
        assert_eq!(found, pairs(&[("..", ".."), ("a\u{1}b*c", "a_b_c")]));
    }

    #[test]
    fn patterns_choose() {
        let wanted = Wanted {
            folders: vec!["INBOX".to_owned(), "Work*".to_owned()],
            exclude: vec!["Work/%/old".to_owned()],
        };
        for (name, is) in [
            ("INBOX", true),
            ("Work/a", true),
            ("Work/a/old", false),
            ("Sent", false),
        ] {
            assert_eq!(wanted.has(name), is, "{name}");
        }
    }
}
