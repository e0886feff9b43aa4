//! mailbox migrate from Dovecot, as Debian has it: TLS, master user, Maildir with all that it keeps.
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mailpods_store::mail::{Columns, SystemFlags};

use crate::world::World;

const ALICE: &str = "alice@example.test";
/// Owner of Dovecot's mail where it runs as root: nobody.
const NOBODY: u32 = 65_534;
const VALIDITY: u32 = 1_500_000_000;

const SETTINGS: &str = "\
base_dir = @/run
state_dir = @/state
instance_name = mailpods-migrate
log_path = @/dovecot.log
protocols = imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <@/cert.pem
ssl_key = <@/key.pem
default_internal_user = USER
default_login_user = USER
default_internal_group = GROUP
mail_uid = USER
mail_gid = GROUP
first_valid_uid = 0
mail_home = @/mail/%n
mail_location = maildir:~/Maildir
auth_master_user_separator = *
passdb {
  driver = static
  args = password=master-secret
  master = yes
}
passdb {
  driver = static
  args = password=secret
}
userdb {
  driver = static
  args = uid=USER gid=GROUP home=@/mail/%n allow_all_users=yes
}
service anvil {
  chroot =
}
service imap-login {
  chroot =
  inet_listener imap {
    port = IMAP
  }
  inet_listener imaps {
    port = IMAPS
    ssl = yes
  }
}
namespace inbox {
  inbox = yes
  mailbox \"Sent Items\" {
    special_use = \\Sent
  }
}
";

/// A running Dovecot; it ends with this.
struct Dovecot {
    child: Child,
    folder: tempfile::TempDir,
    imap: u16,
    imaps: u16,
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        // Its processes are a group of their own. What has ended already is no matter.
        let _ = Command::new("kill").args(["--", &group]).status();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn name_of(option: &str) -> String {
    let output = Command::new("id").arg(option).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Dovecot {
    /// Starts it over the Maildir that `fill` makes.
    fn start(fill: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        let is_root = name_of("-u") == "0";
        let (user, group) = match is_root {
            true => ("nobody".to_owned(), "nogroup".to_owned()),
            false => (name_of("-un"), name_of("-gn")),
        };
        let (imap, imaps) = (free_port(), free_port());
        let settings = SETTINGS
            .replace('@', path.to_str().unwrap())
            .replace("USER", &user)
            .replace("GROUP", &group)
            .replace("= IMAPS", &format!("= {imaps}"))
            .replace("= IMAP\n", &format!("= {imap}\n"));
        fs::write(path.join("dovecot.conf"), settings).unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        fs::write(path.join("cert.pem"), made.cert.pem()).unwrap();
        fs::write(path.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        fill(&path.join("mail/alice/Maildir"));
        if is_root {
            give(&path.join("mail"));
        }
        let child = Command::new("dovecot")
            .arg("-F")
            .arg("-c")
            .arg(path.join("dovecot.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(path.join("dovecot.err")).unwrap())
            .process_group(0)
            .spawn()
            .expect("dovecot (cargo xtask packages installs it)");
        let mut dovecot = Self {
            child,
            folder,
            imap,
            imaps,
        };
        dovecot.wait();
        dovecot
    }

    /// Until it listens: it tells nobody when it does.
    fn wait(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", self.imaps)).is_err() {
            let ended = self.child.try_wait().unwrap();
            let told = fs::read_to_string(self.folder.path().join("dovecot.err")).unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "{told}");
            std::thread::yield_now();
        }
    }

    fn maildir(&self) -> PathBuf {
        self.folder.path().join("mail/alice/Maildir")
    }
}

/// Everything below belongs to nobody.
fn give(path: &Path) {
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path());
        }
    }
}

fn mail(number: usize) -> String {
    format!("Message-ID: <{number}@old.test>\nSubject: number {number}\n\nbody of {number}\n")
}

/// A message of a Maildir, of a day of its own.
fn put(path: &Path, number: usize) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, mail(number)).unwrap();
    let time = std::time::UNIX_EPOCH + Duration::from_secs(1_600_000_000 + number as u64);
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(time).unwrap();
}

fn folder(path: &Path) {
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(path.join(part)).unwrap();
    }
}

/// INBOX with UIDs 3, 5 and 9, and three folders.
fn fill(maildir: &Path) {
    for part in ["", ".Archive.2024", ".B&APw-ro", ".Sent Items"] {
        folder(&maildir.join(part));
    }
    fs::write(maildir.join(".Archive.2024/maildirfolder"), "").unwrap();
    put(&maildir.join("cur/1600000003.a:2,FS"), 3);
    put(&maildir.join("cur/1600000005.b:2,Rab"), 5);
    put(&maildir.join("cur/1600000009.c:2,"), 9);
    fs::write(maildir.join("dovecot-keywords"), "0 Work\n1 $Junk\n").unwrap();
    let list = format!(
        "3 V{VALIDITY} N12 G00000000000000000000000000000001\n3 :1600000003.a\n5 :1600000005.b\n9 :1600000009.c\n"
    );
    fs::write(maildir.join("dovecot-uidlist"), list).unwrap();
    put(&maildir.join(".Archive.2024/cur/1600000020.d:2,S"), 20);
    put(&maildir.join(".B&APw-ro/cur/1600000021.e:2,S"), 21);
    put(&maildir.join(".Sent Items/cur/1600000022.f:2,S"), 22);
    fs::write(
        maildir.join("subscriptions"),
        "V\t2\n\nINBOX\nArchive\t2024\n",
    )
    .unwrap();
}

fn migrate(world: &World, server: &Dovecot, from: &str, more: &[&str]) -> crate::world::Run {
    let port = if from.starts_with("imaps") {
        server.imaps
    } else {
        server.imap
    };
    let url = format!("{from}@localhost:{port}");
    let ca = server.folder.path().join("cert.pem");
    let first = [
        "mailbox",
        "migrate",
        ALICE,
        "--from",
        &url,
        "--ca-file",
        ca.to_str().unwrap(),
        "--create-account",
        "--password-file",
        "password",
        "--output",
        "json",
    ];
    world.run(&[&first[..], more].concat())
}

type Row = (u32, SystemFlags, Vec<String>, i64);

/// UIDVALIDITY and the messages of a mailbox.
fn mailbox(world: &World, name: &str) -> (u32, Vec<Row>) {
    world.with_store(async |store| {
        let account = store.mail.account(&ALICE.parse().unwrap()).await.unwrap();
        let found = store
            .mail
            .mailbox(account, name)
            .await
            .unwrap()
            .expect(name);
        let entries = store
            .mail
            .entries(found.id, 1..=u32::MAX, 0, Columns::default(), 99);
        let row = |entry: mailpods_store::mail::Entry| {
            (
                entry.uid,
                entry.flags.system,
                entry.flags.keywords,
                entry.received,
            )
        };
        let rows = entries.await.unwrap().into_iter().map(row).collect();
        (found.uid_validity, rows)
    })
}

fn sum(run: &crate::world::Run, field: &str) -> u64 {
    let accounts = run.rows();
    let folders = accounts[0]["folders"].as_array().unwrap();
    folders.iter().map(|row| row[field].as_u64().unwrap()).sum()
}

#[test]
fn everything_of_dovecot_comes_along_and_later_changes_too() {
    let world = World::new();
    world.with_store(async |_| ());
    let server = Dovecot::start(fill);
    fs::write(world.path("password"), "secret\n").unwrap();
    let dry = migrate(&world, &server, "imaps://alice", &["--dry-run"]).exits(0);
    assert_eq!(sum(&dry, "brought"), 6);
    let run = migrate(&world, &server, "imaps://alice", &[]).exits(0);
    assert_eq!(sum(&run, "brought"), 6);
    let (seen, flagged, answered) = (
        SystemFlags::SEEN,
        SystemFlags::FLAGGED,
        SystemFlags::ANSWERED,
    );
    let words =
        |texts: &[&str]| -> Vec<String> { texts.iter().map(|text| (*text).to_owned()).collect() };
    let wanted = vec![
        (3, seen.union(flagged), words(&[]), 1_600_000_003),
        (5, answered, words(&["Work", "$Junk"]), 1_600_000_005),
        (9, SystemFlags::default(), words(&[]), 1_600_000_009),
    ];
    assert_eq!(mailbox(&world, "INBOX"), (VALIDITY, wanted));
    assert_eq!(mailbox(&world, "Archive/2024").1.len(), 1);
    assert_eq!(mailbox(&world, "Büro").1.len(), 1);
    assert_eq!(mailbox(&world, "Sent").1.len(), 1, "by its use");
    let (names, subscribed) = world.with_store(async |store| {
        let account = store.mail.account(&ALICE.parse().unwrap()).await.unwrap();
        let inbox = store.mail.mailbox(account, "INBOX").await.unwrap().unwrap();
        let names = store.mail.uidls(inbox.id).await.unwrap();
        (names, store.mail.subscriptions(account).await.unwrap())
    });
    assert_eq!(names[0], (3, format!("{:08x}{VALIDITY:08x}", 3)));
    assert!(
        subscribed.contains(&"Archive/2024".to_owned()) && !subscribed.contains(&"Büro".to_owned())
    );

    let again = migrate(&world, &server, "imap://alice", &[]).exits(0);
    assert_eq!(
        (sum(&again, "brought"), sum(&again, "present")),
        (0, 6),
        "STARTTLS"
    );
    later_changes(&world, &server);
}

/// A new message, another flag, and one that is gone.
fn later_changes(world: &World, server: &Dovecot) {
    let maildir = server.maildir();
    put(&maildir.join("new/1600000030.g"), 30);
    fs::rename(
        maildir.join("cur/1600000009.c:2,"),
        maildir.join("cur/1600000009.c:2,S"),
    )
    .unwrap();
    fs::remove_file(maildir.join("cur/1600000003.a:2,FS")).unwrap();
    if name_of("-u") == "0" {
        give(&maildir);
    }
    fs::write(world.path("password"), "master-secret").unwrap();
    let run = migrate(world, server, "imaps://alice*master", &["--delete"]).exits(0);
    let found = (
        sum(&run, "brought"),
        sum(&run, "changed"),
        sum(&run, "deleted"),
    );
    assert_eq!(found, (1, 1, 1), "{}", run.text());
    let (validity, rows) = mailbox(world, "INBOX");
    assert_eq!(validity, VALIDITY);
    let uids: Vec<u32> = rows.iter().map(|row| row.0).collect();
    assert_eq!(uids.get(..2), Some(&[5, 9][..]), "{rows:?}");
    assert!(uids.len() == 3 && uids[2] > 12, "{rows:?}");
    assert_eq!(rows[1].1, SystemFlags::SEEN);
}
