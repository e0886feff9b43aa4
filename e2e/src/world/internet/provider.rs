//! The ten providers: their domains, mail exchangers, and what they think of addresses.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::replies::Refusal;

/// The longest time that an answer is held back.
const LONGEST_HOLD: Duration = Duration::from_secs(60);

/// A domain, and the mail exchanger that takes its mail.
pub struct Site {
    /// The domain.
    pub domain: &'static str,
    /// The exchanger.
    pub host: &'static str,
}

/// A provider as the world knows it.
pub struct Facts {
    /// As in mailpods/policy/data/providers.toml.
    pub name: &'static str,
    /// Its own domain, and one of a customer or of another brand.
    pub sites: [Site; 2],
}

const fn facts(
    name: &'static str,
    [own, host]: [&'static str; 2],
    [other, other_host]: [&'static str; 2],
) -> Facts {
    Facts {
        name,
        sites: [
            Site { domain: own, host },
            Site {
                domain: other,
                host: other_host,
            },
        ],
    }
}

/// All of them. The names of the exchangers are those of the world; that their ends lead to a profile is part of what is tested.
pub const PROVIDERS: [Facts; 10] = [
    facts(
        "google",
        ["gmail.com", "gmail-smtp-in.l.google.com"],
        ["workspace.test", "aspmx.l.google.com"],
    ),
    facts(
        "microsoft",
        ["hotmail.com", "hotmail-com.olc.protection.outlook.com"],
        ["contoso.test", "contoso-test.mail.protection.outlook.com"],
    ),
    facts(
        "yahoo",
        ["yahoo.com", "mta5.am0.yahoodns.net"],
        ["aol.com", "mx-aol.mail.gm0.yahoodns.net"],
    ),
    facts(
        "apple",
        ["icloud.com", "mx01.mail.icloud.com"],
        ["me.com", "mx02.mail.icloud.com"],
    ),
    facts(
        "united-internet",
        ["gmx.net", "mx00.gmx.net"],
        ["web.de", "mx-ha02.web.de"],
    ),
    facts(
        "comcast",
        ["comcast.net", "mx1a1.comcast.net"],
        ["cable.test", "mx2h1.comcast.net"],
    ),
    facts(
        "ovh",
        ["ovh.net", "mx1.mail.ovh.net"],
        ["boutique.test", "mx3.mail.ovh.net"],
    ),
    facts(
        "t-online",
        ["t-online.de", "mx00.t-online.de"],
        ["magenta.de", "mx01.t-online.de"],
    ),
    facts(
        "orange",
        ["orange.fr", "smtp-in.orange.fr"],
        ["wanadoo.fr", "smtp-in.wanadoo.fr"],
    ),
    facts(
        "qq",
        ["qq.com", "mx1.qq.com"],
        ["foxmail.com", "mx2.qq.com"],
    ),
];

/// A provider that works.
pub struct Provider {
    /// What the world knows of it.
    pub facts: &'static Facts,
    refused: Mutex<HashMap<Ipv4Addr, Refusal>>,
    held: Mutex<Held>,
    let_go: Condvar,
}

#[derive(Default)]
struct Held {
    holds: bool,
    waiting: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Provider {
    /// One that has nothing against anybody.
    pub fn new(facts: &'static Facts) -> Self {
        Self {
            facts,
            refused: Mutex::default(),
            held: Mutex::default(),
            let_go: Condvar::new(),
        }
    }

    /// Has had enough of an address.
    pub fn refuse(&self, address: Ipv4Addr, refusal: Refusal) {
        lock(&self.refused).insert(address, refusal);
    }

    /// Has forgotten what it had against an address.
    pub fn forgive(&self, address: Ipv4Addr) {
        lock(&self.refused).remove(&address);
    }

    /// What it says to an address that it refuses.
    pub fn refusal(&self, address: Ipv4Addr) -> Option<Refusal> {
        lock(&self.refused).get(&address).cloned()
    }

    /// Keeps messages from now on, and does not answer until it is let go.
    pub fn hold(&self) {
        lock(&self.held).holds = true;
    }

    /// Answers again.
    pub fn let_go(&self) {
        lock(&self.held).holds = false;
        self.let_go.notify_all();
    }

    /// Messages that it has kept and not answered.
    pub fn waiting(&self) -> usize {
        lock(&self.held).waiting
    }

    /// Waits while answers are held back.
    pub fn answer_when_let_go(&self) {
        let started = Instant::now();
        let mut held = lock(&self.held);
        held.waiting += 1;
        while held.holds && started.elapsed() < LONGEST_HOLD {
            let woken = self.let_go.wait_timeout(held, LONGEST_HOLD);
            held = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        held.waiting -= 1;
    }
}

/// The address of a mail exchanger, by the place of its provider and its own.
pub fn exchanger(provider: usize, site: usize) -> Ipv4Addr {
    let last = u8::try_from(10 + 2 * provider + site).unwrap_or(u8::MAX);
    Ipv4Addr::new(203, 0, 113, last)
}
