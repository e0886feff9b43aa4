//! The folders of the source, and what they are called here.
use std::collections::{BTreeMap, BTreeSet, HashSet};

use bytes::Bytes;
use mailpods_imap_proto::ListPattern;
use mailpods_imap_proto::client::data::ListedFolder;
use mailpods_imap_proto::pattern::canonical_name;
use mailpods_store::Uid;
use mailpods_store::mail::SpecialUse;

use super::namespaces::{Namespaces, Whose};
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
    /// The messages of a view that no other folder shows: nothing else of it is brought.
    pub only: Option<HashSet<Uid>>,
}

/// Which folders are wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// All where empty.
    pub folders: Vec<String>,
    pub exclude: Vec<String>,
    /// Those of other users, and public ones.
    pub shared: bool,
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
    /// Views of mail, and what mail that they alone show becomes part of here.
    pub views: Vec<Mapped>,
    /// Folders of mail that are not wanted; views show what is in them too.
    pub unwanted: Vec<Mapped>,
    /// Names here of what is subscribed there.
    pub subscribed: Vec<String>,
    pub left_out: Vec<LeftOut>,
}

/// Asks for the folders, and names them.
pub async fn list(session: &mut Session, wanted: &Wanted) -> Result<Folders, SourceError> {
    let namespaces = Namespaces::ask(session).await?;
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
    Ok(Namer { namespaces }.map(listed, &subscribed, wanted))
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

/// Makes names of this side.
struct Namer {
    namespaces: Namespaces,
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
        let (mut views, mut shared) = (Vec::new(), BTreeMap::new());
        for mut folder in listed {
            let whose = self.namespaces.whose(&folder.name);
            if whose != Whose::Own {
                // What somebody else's mailbox is for is not what it is for here.
                folder
                    .attributes
                    .retain(|attribute| is_empty_hull(attribute));
            }
            let name = self.name(&folder);
            if folder.attributes.iter().any(|one| is_empty_hull(one)) {
                continue;
            }
            if whose != Whose::Own && !wanted.shared {
                *shared.entry(whose).or_insert(0) += 1;
            } else if is_view(&folder) {
                views.push(folder);
            } else if let Err(why) = check(&name) {
                folders.left_out.push(LeftOut {
                    fails: wanted.has(&name),
                    ..LeftOut::folder(&folder.name, why)
                });
            } else {
                named.insert(folder.raw.clone(), (folder, name));
            }
        }
        folders.left_out.extend(shared.into_iter().map(told));
        let moved = special_names(named.values());
        for (raw, (folder, name)) in &named {
            let mapped = Mapped {
                raw: raw.clone(),
                source: folder.name.clone(),
                special_use: special_use(folder),
                name: placed(name, &moved),
                only: None,
            };
            match wanted.has(&mapped.name) {
                true => folders.mapped.push(mapped),
                false => folders.unwanted.push(mapped),
            }
        }
        folders.mapped.sort_by(|a, b| a.name.cmp(&b.name));
        // A view has no mailbox here that could be subscribed to.
        let shown: BTreeSet<Bytes> = views.iter().map(|view| view.raw.clone()).collect();
        folders.views = into_archive(views, wanted);
        let subscribed = subscribed
            .iter()
            .filter(|folder| wanted.shared || self.namespaces.whose(&folder.name) == Whose::Own)
            .filter(|folder| !shown.contains(&folder.raw));
        let names = subscribed.map(|folder| self.name(folder));
        let names = names.filter(|name| check(name).is_ok());
        let names = names.map(|name| placed(&name, &moved));
        folders.subscribed = names.filter(|name| wanted.has(name)).collect();
        folders
    }

    /// The name here, which may be one that cannot be.
    fn name(&self, folder: &ListedFolder) -> String {
        let delimiter = folder.delimiter.or(self.namespaces.own().1);
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
        canonical_name(&levels.join("/"))
    }

    /// `INBOX.Sent` where all personal folders are below INBOX, as Courier and Cyrus have it.
    fn without_prefix<'n>(&self, name: &'n str, delimiter: Option<char>) -> &'n str {
        let Some(delimiter) = delimiter else {
            return name;
        };
        let (prefix, _) = self.namespaces.own();
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

/// Whether a folder of that attribute holds no mail of its own.
fn is_empty_hull(attribute: &str) -> bool {
    matches!(attribute, "\\noselect" | "\\nonexistent")
}

/// Whether a mailbox can have that name.
fn check(name: &str) -> Result<(), &'static str> {
    let mut levels = name.split('/');
    if levels.any(|level| level.is_empty() || level.len() > MAX_LEVEL) {
        return Err("its name has an empty level, or one of more than 255 octets");
    }
    if name.split('/').count() > MAX_DEPTH {
        return Err("its name has more than 32 levels");
    }
    match name.len() <= MAX_NAME {
        true => Ok(()),
        false => Err("its name has more than 1024 octets"),
    }
}

/// Folders of others, which are not of the account.
fn told((whose, count): (Whose, usize)) -> LeftOut {
    let kind = match whose {
        Whose::OtherUsers => "folders of other users",
        Whose::Public | Whose::Own => "public folders",
    };
    LeftOut::remark(
        kind,
        format!("{count} of them; --shared-folders brings them"),
    )
}

/// RFC 6154 §2: views of messages that are in other folders.
fn is_view(folder: &ListedFolder) -> bool {
    ["\\all", "\\flagged", "\\important"]
        .iter()
        .any(|attribute| folder.has(attribute))
}

/// Views that are looked through for mail which no folder shows: of all mail, else of some.
fn into_archive(mut views: Vec<ListedFolder>, wanted: &Wanted) -> Vec<Mapped> {
    let archive = usual_name(SpecialUse::Archive);
    if !wanted.has(archive) {
        return Vec::new();
    }
    if views.iter().any(|view| view.has("\\all")) {
        views.retain(|view| view.has("\\all"));
    }
    let view = |view: ListedFolder| Mapped {
        raw: view.raw,
        source: view.name,
        name: archive.to_owned(),
        special_use: Some(SpecialUse::Archive),
        only: None,
    };
    views.into_iter().map(view).collect()
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
        let own = vec![(prefix.to_owned(), Some('.'))];
        let shared = vec![("#shared.".to_owned(), Some('.'))];
        let namespaces = Namespaces::new([own, vec![], shared]);
        let folders = Namer { namespaces }.map(listed, &[], &Wanted::default());
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
    fn folders_of_others_and_views_are_told_apart() {
        let own = vec![(String::new(), Some('/'))];
        let others = vec![("shared/".to_owned(), Some('/'))];
        let namer = || Namer {
            namespaces: Namespaces::new([own.clone(), others.clone(), vec![]]),
        };
        let listed = || {
            vec![
                folder("INBOX", '/', &[]),
                folder("shared/bob/INBOX", '/', &[]),
                folder("[Gmail]/Starred", '/', &["\\flagged"]),
                folder("[Gmail]/All Mail", '/', &["\\all"]),
                folder("a//b", '/', &[]),
            ]
        };
        let subscribed = [
            folder("shared/bob/INBOX", '/', &[]),
            folder("[Gmail]/All Mail", '/', &[]),
        ];
        let mut wanted = Wanted::default();
        let found = namer().map(listed(), &subscribed, &wanted);
        let names = |mapped: &[Mapped]| -> Vec<(String, String)> {
            let pair = |one: &Mapped| (one.source.clone(), one.name.clone());
            mapped.iter().map(pair).collect()
        };
        assert_eq!(names(&found.mapped), pairs(&[("INBOX", "INBOX")]));
        let archive = [("[Gmail]/All Mail", "Archive")];
        assert_eq!(names(&found.views), pairs(&archive));
        assert!(found.subscribed.is_empty());
        let left_out: Vec<_> = found
            .left_out
            .iter()
            .map(|one| (one.folder.as_str(), one.fails))
            .collect();
        assert_eq!(
            left_out,
            [("a//b", true), ("folders of other users", false)]
        );
        wanted.shared = true;
        wanted.folders = vec!["shared*".to_owned()];
        let found = namer().map(listed(), &subscribed, &wanted);
        let shared = [("shared/bob/INBOX", "shared/bob/INBOX")];
        assert_eq!(names(&found.mapped), pairs(&shared));
        assert_eq!(names(&found.unwanted), pairs(&[("INBOX", "INBOX")]));
        assert!(!found.left_out.iter().any(|one| one.fails) && found.views.is_empty());
        assert_eq!(found.subscribed, ["shared/bob/INBOX"]);
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
            shared: false,
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
