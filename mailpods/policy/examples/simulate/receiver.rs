//! Providers that judge each address by what came from it.

use mailpods_policy::outbound::classify::Stage;

const HOUR: i64 = 3_600_000;

/// How a provider is.
pub struct Nature {
    /// Its profile.
    pub name: &'static str,
    /// Of a thousand messages so many are for it.
    pub share: u64,
    /// Messages an hour that it takes from an address of good name that it knows.
    pub per_hour: f64,
    /// Milliseconds that a message takes.
    pub latency: i64,
    /// An address with a name below this is refused.
    pub floor: f64,
    /// How long, in milliseconds.
    pub block: i64,
    /// Each attempt while it refuses prolongs that by so many milliseconds, up to the whole again.
    pub stern: i64,
    /// What it says to an address that it refuses.
    pub blocked: Reply,
    /// What it says when it is too much.
    pub too_much: Reply,
}

/// A reply.
#[derive(Clone, Copy)]
pub struct Reply {
    pub code: u16,
    pub enhanced: Option<(u16, u16, u16)>,
    pub text: &'static str,
    pub stage: Stage,
}

const fn reply(code: u16, enhanced: Option<(u16, u16, u16)>, text: &'static str) -> Reply {
    Reply {
        code,
        enhanced,
        text,
        stage: Stage::Data,
    }
}

const BUSY: Reply = reply(421, Some((4, 7, 0)), "too many connections, slow down");
const SPAMHAUS: Reply = reply(
    554,
    Some((5, 7, 1)),
    "Service unavailable; Client host blocked using zen.spamhaus.org",
);

/// The ten providers. Shares and patience are those of a mixed European sender; none of them publishes its numbers.
pub const NATURES: [Nature; 10] = [
    Nature {
        name: "google",
        share: 350,
        per_hour: 8_000.0,
        latency: 350,
        floor: 0.45,
        block: HOUR,
        stern: 1_000,
        blocked: reply(
            421,
            Some((4, 7, 28)),
            "Gmail has detected an unusual rate of mail originating from your IP address",
        ),
        too_much: reply(
            421,
            Some((4, 7, 28)),
            "Gmail has detected an unusual rate of unsolicited mail originating from your IP Netblock",
        ),
    },
    Nature {
        name: "microsoft",
        share: 220,
        per_hour: 5_000.0,
        latency: 450,
        floor: 0.5,
        block: 2 * HOUR,
        stern: 1_000,
        blocked: reply(
            550,
            Some((5, 7, 1)),
            "Unfortunately, messages from [192.0.2.1] weren't sent. part of their network is on our block list (S3140).",
        ),
        too_much: reply(
            451,
            Some((4, 7, 650)),
            "The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation. (S775)",
        ),
    },
    Nature {
        name: "yahoo",
        share: 140,
        per_hour: 4_000.0,
        latency: 400,
        floor: 0.5,
        block: 2 * HOUR,
        stern: 1_000,
        blocked: reply(
            421,
            Some((4, 7, 0)),
            "[TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints",
        ),
        too_much: BUSY,
    },
    Nature {
        name: "apple",
        share: 60,
        per_hour: 2_000.0,
        latency: 400,
        floor: 0.4,
        block: HOUR,
        stern: 0,
        blocked: reply(
            554,
            Some((5, 7, 1)),
            "[HM08] Message rejected due to local policy",
        ),
        too_much: BUSY,
    },
    Nature {
        name: "united-internet",
        share: 60,
        per_hour: 1_500.0,
        latency: 300,
        floor: 0.5,
        block: 4 * HOUR,
        stern: 0,
        blocked: reply(
            554,
            None,
            "Nemesis ESMTP Service not available No SMTP service IP address is block listed",
        ),
        too_much: reply(421, None, "Rate limit reached. Please try again later"),
    },
    Nature {
        name: "comcast",
        share: 40,
        per_hour: 1_500.0,
        latency: 300,
        floor: 0.4,
        block: HOUR,
        stern: 0,
        blocked: reply(
            554,
            None,
            "comcast 192.0.2.1 Comcast block for spam BL000000",
        ),
        too_much: reply(421, Some((4, 1, 0)), "Throttled - try again later RL000001"),
    },
    Nature {
        name: "ovh",
        share: 30,
        per_hour: 1_500.0,
        latency: 300,
        floor: 0.3,
        block: HOUR,
        stern: 0,
        blocked: SPAMHAUS,
        too_much: BUSY,
    },
    Nature {
        name: "t-online",
        share: 30,
        per_hour: 1_000.0,
        latency: 350,
        floor: 0.5,
        block: 6 * HOUR,
        stern: 0,
        blocked: Reply {
            stage: Stage::Session,
            ..reply(
                554,
                None,
                "IP=192.0.2.1 - A problem occurred. (contact tosa@rx.t-online.de)",
            )
        },
        too_much: BUSY,
    },
    Nature {
        name: "orange",
        share: 20,
        per_hour: 800.0,
        latency: 500,
        floor: 0.45,
        block: HOUR,
        stern: 1_000,
        blocked: reply(
            550,
            Some((5, 2, 0)),
            "Mail rejete. Mail rejected. OFR_506 [506]",
        ),
        too_much: reply(
            421,
            Some((4, 7, 0)),
            "Too many connections, slow down. OFR005_104",
        ),
    },
    Nature {
        name: "example.org",
        share: 50,
        per_hour: 3_000.0,
        latency: 250,
        floor: 0.2,
        block: HOUR,
        stern: 0,
        blocked: SPAMHAUS,
        too_much: BUSY,
    },
];

/// What a provider knows of an address.
#[derive(Clone)]
pub struct Standing {
    /// Its name, from 0 to 1.
    score: f64,
    /// How much it is used to get from it, as a part of what it takes from one that it knows.
    known: f64,
    hour: i64,
    in_hour: f64,
    pub blocked_until: i64,
    pub blocked_for: i64,
}

impl Standing {
    pub const fn new(score: f64, known: f64) -> Self {
        Self {
            score,
            known,
            hour: 0,
            in_hour: 0.0,
            blocked_until: 0,
            blocked_for: 0,
        }
    }

    /// One message; `Err` is a refusal.
    pub fn take(&mut self, nature: &Nature, unwanted: bool, now: i64) -> Result<(), Reply> {
        if self.blocked_until > now {
            let until = self.blocked_until + nature.stern;
            self.block(now, until.min(now + nature.block).max(self.blocked_until));
            return Err(nature.blocked);
        }
        if self.hour != now / HOUR {
            self.known = (self.known + 0.1 * self.in_hour / nature.per_hour).min(1.0);
            (self.hour, self.in_hour) = (now / HOUR, 0.0);
        }
        if self.in_hour >= nature.per_hour * self.known * self.score.max(0.1) {
            self.score -= 0.002;
            self.judge(nature, now);
            return Err(nature.too_much);
        }
        self.in_hour += 1.0;
        self.score = if unwanted {
            self.score - 0.008
        } else {
            self.score + 0.000_2 * (1.0 - self.score)
        };
        self.judge(nature, now);
        Ok(())
    }

    fn judge(&mut self, nature: &Nature, now: i64) {
        if self.score < nature.floor {
            self.block(now, now + nature.block);
            self.score = nature.floor + 0.15;
        }
    }

    fn block(&mut self, now: i64, until: i64) {
        self.blocked_for += until - self.blocked_until.max(now);
        self.blocked_until = until;
    }
}
