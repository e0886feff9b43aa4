//! Several sessions on two servers of one store change a mailbox at random; what each client makes of the answers is what is there.

use std::collections::BTreeMap;

use crate::world::{Client, World};

/// Numbers that are the same in each run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

/// What a client knows of a mailbox, from answers alone.
struct Mirror {
    client: Client,
    mailbox: &'static str,
    qresync: bool,
    /// By message number; 0 where the UID is not told yet.
    uids: Vec<u32>,
    flags: BTreeMap<u32, Vec<String>>,
    validity: u32,
    mod_seq: u64,
}

impl Mirror {
    async fn open(mut client: Client, mailbox: &'static str, qresync: bool) -> Self {
        if qresync {
            client.command("ENABLE QRESYNC").await;
        }
        let mut mirror = Self {
            client,
            mailbox,
            qresync,
            uids: Vec::new(),
            flags: BTreeMap::new(),
            validity: 0,
            mod_seq: 0,
        };
        mirror.command(&format!("SELECT {mailbox}")).await;
        mirror
    }

    async fn command(&mut self, command: &str) {
        for line in self.client.command(command).await {
            self.take(&line);
            assert!(
                !line.starts_with("t BAD") && !line.starts_with("t NO"),
                "{command}: {line}"
            );
        }
    }

    fn take(&mut self, line: &str) {
        for (code, slot) in [("[UIDVALIDITY ", 0), ("[HIGHESTMODSEQ ", 1)] {
            let Some((_, rest)) = line.split_once(code) else {
                continue;
            };
            let number: u64 = rest.split(']').next().unwrap().parse().unwrap();
            match slot {
                0 => self.validity = number as u32,
                _ => self.mod_seq = number,
            }
        }
        let Some(data) = line.strip_prefix("* ") else {
            return;
        };
        if let Some(set) = data.strip_prefix("VANISHED ") {
            let set = set.strip_prefix("(EARLIER) ").unwrap_or(set);
            self.vanish(&numbers(set));
            return;
        }
        let mut words = data.splitn(3, ' ');
        let (number, word) = (words.next().unwrap(), words.next().unwrap_or_default());
        let Ok(number) = number.parse::<usize>() else {
            return;
        };
        match word {
            "EXISTS" => {
                assert!(number >= self.uids.len(), "EXISTS never shrinks: {line}");
                self.uids.resize(number, 0);
            }
            "EXPUNGE" => {
                assert!(!self.qresync, "{line}");
                let uid = self.uids.remove(number - 1);
                self.flags.remove(&uid);
            }
            "FETCH" => self.fetched(number, words.next().unwrap()),
            _ => {}
        }
    }

    fn vanish(&mut self, uids: &[u32]) {
        assert!(self.qresync);
        self.uids.retain(|uid| *uid == 0 || !uids.contains(uid));
        self.flags.retain(|uid, _| !uids.contains(uid));
    }

    fn fetched(&mut self, number: usize, data: &str) {
        if let Some((_, rest)) = data.split_once("UID ") {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            let uid = digits.parse().unwrap();
            let known = self
                .uids
                .get_mut(number - 1)
                .expect("a message of that number");
            assert!(
                *known == 0 || *known == uid,
                "{number} is {known}, not {uid}"
            );
            *known = uid;
        }
        let uid = self.uids[number - 1];
        if let Some((_, rest)) = data.split_once("FLAGS (") {
            let flags = rest.split(')').next().unwrap();
            let mut flags: Vec<String> = flags.split_whitespace().map(str::to_owned).collect();
            flags.sort();
            self.flags.insert(uid, flags);
        }
    }

    /// Looks, and asks about what it has only heard of.
    async fn look(&mut self) {
        self.command("NOOP").await;
        if let Some(first) = self.uids.iter().position(|uid| *uid == 0) {
            self.command(&format!("FETCH {}:* (UID FLAGS)", first + 1))
                .await;
            self.command("NOOP").await;
        }
    }

    /// Selects the mailbox again, with what it knew.
    async fn come_back(&mut self) {
        let (validity, mod_seq) = (self.validity, self.mod_seq);
        let known: Vec<String> = self
            .uids
            .iter()
            .filter(|uid| **uid > 0)
            .map(u32::to_string)
            .collect();
        // Those without a UID yet are told again.
        self.uids.retain(|uid| *uid > 0);
        let before = self.uids.clone();
        let known = match known.is_empty() {
            true => String::new(),
            false => format!(" {}", known.join(",")),
        };
        let lines = self
            .client
            .command(&format!(
                "SELECT {} (QRESYNC ({validity} {mod_seq}{known}))",
                self.mailbox
            ))
            .await;
        let gone: Vec<u32> = lines
            .iter()
            .filter_map(|line| line.strip_prefix("* VANISHED (EARLIER) "))
            .flat_map(numbers)
            .collect();
        self.uids = before
            .into_iter()
            .filter(|uid| !gone.contains(uid))
            .collect();
        for line in &lines {
            self.take(line);
        }
    }
}

/// `1:3,7`
fn numbers(set: &str) -> Vec<u32> {
    let range = |part: &str| {
        let (from, to) = part.split_once(':').unwrap_or((part, part));
        from.parse::<u32>().unwrap()..=to.parse().unwrap()
    };
    set.split(',').flat_map(range).collect()
}

/// What is there, from a session that knows nothing.
async fn truth(client: &mut Client, mailbox: &str) -> (Vec<u32>, BTreeMap<u32, Vec<String>>) {
    client.command(&format!("EXAMINE {mailbox}")).await;
    let (mut uids, mut flags) = (Vec::new(), BTreeMap::new());
    for line in client.command("UID FETCH 1:* (FLAGS)").await {
        let Some((_, rest)) = line.split_once("FLAGS (") else {
            continue;
        };
        let (words, rest) = rest.split_once(')').unwrap();
        let digits: String = rest.chars().filter(char::is_ascii_digit).collect();
        let uid: u32 = digits.parse().unwrap();
        let mut words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        words.sort();
        uids.push(uid);
        flags.insert(uid, words);
    }
    (uids, flags)
}

async fn change(client: &mut Client, mailbox: &str, random: &mut Random) {
    let uid = 1 + random.below(30);
    let to = uid + random.below(4);
    let command = match random.below(8) {
        0..=2 => {
            let count = 1 + random.below(3) as usize;
            format!("APPEND {mailbox}{}", " {3+}\r\na:b".repeat(count))
        }
        3 => format!("UID STORE {uid}:{to} +FLAGS.SILENT (\\Seen $x)"),
        4 => format!("UID STORE {uid}:{to} -FLAGS (\\Seen)"),
        5 => format!("UID STORE {uid}:{to} FLAGS.SILENT (\\Deleted)"),
        6 => "EXPUNGE".to_owned(),
        _ => format!("UID MOVE {uid}:{to} {mailbox}"),
    };
    let lines = client.command(&command).await;
    assert!(
        lines.last().unwrap().starts_with("t OK"),
        "{command}: {lines:?}"
    );
}

/// Changes by two clients on two servers, looked at by two others of `reader`. Each client names the mailbox its own way.
async fn play(
    (world, second): (&World, &World),
    mut random: Random,
    mut writers: [(Client, &'static str); 2],
    (reader, name): (&str, &'static str),
) {
    let mut plain = Mirror::open(world.login(reader).await, name, false).await;
    let mut quick = Mirror::open(second.login(reader).await, name, true).await;
    for _ in 0..60 {
        let writer = random.below(2) as usize;
        change(&mut writers[writer].0, writers[writer].1, &mut random).await;
        match random.below(5) {
            0 => plain.look().await,
            1 => quick.look().await,
            2 => {
                quick.look().await;
                let writer = random.below(2) as usize;
                quick.command("UNSELECT").await;
                change(&mut writers[writer].0, writers[writer].1, &mut random).await;
                quick.come_back().await;
                quick.look().await;
            }
            _ => {}
        }
    }
    let (uids, flags) = truth(&mut writers[1].0, name).await;
    for mirror in [&mut plain, &mut quick] {
        mirror.look().await;
        assert_eq!(mirror.uids, uids);
        assert_eq!(mirror.flags, flags);
    }
}

fn random(seed: u64) -> Random {
    Random(u64::wrapping_mul(seed, 0x9E37_79B9_7F4A_7C15))
}

async fn selected(world: &World, who: &str, name: &'static str) -> (Client, &'static str) {
    let mut client = world.login(who).await;
    client.command(&format!("SELECT {name}")).await;
    (client, name)
}

#[tokio::test]
async fn every_client_knows_what_is_there() {
    for seed in 1..=5 {
        let world = World::new().await;
        let second = world.second().await;
        let writers = [
            selected(&world, "alice", "INBOX").await,
            selected(&second, "alice", "INBOX").await,
        ];
        let reader = ("alice", "INBOX");
        play((&world, &second), random(seed), writers, reader).await;
    }
}

#[tokio::test]
async fn every_reader_of_anothers_mailbox_knows_what_is_there() {
    const BOBS_NAME: &str = "\"Other Users/alice@example.test/INBOX\"";
    for seed in 6..=10 {
        let world = World::new().await;
        let second = world.second().await;
        let (mut alice, name) = selected(&world, "alice", "INBOX").await;
        alice
            .talk("C: a SETACL INBOX bob@example.test lrswite\nS: a OK ...")
            .await;
        let bob = selected(&second, "bob", BOBS_NAME).await;
        let reader = ("bob", BOBS_NAME);
        let writers = [(alice, name), bob];
        play((&world, &second), random(seed), writers, reader).await;
    }
}
