//! The targets, each with the words that its grammar is made of.

mod imap;
mod mail;
mod policy;
mod smtp;

use mailpods_plan::Source;

/// Something that takes any octets.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The name, also of its folder in the corpus.
    pub name: &'static str,
    /// The code under test.
    pub run: fn(&[u8]),
    /// Words to insert.
    pub words: &'static [&'static [u8]],
    /// Mutated inputs in the short run of the test suite.
    pub short_run: u32,
}

/// All targets, by name.
pub const TARGETS: &[Target] = &[
    Target {
        name: "filter",
        run: mailpods_filter::fuzzing::fuzz_filter,
        words: mail::FILTER,
        short_run: 1000,
    },
    Target {
        name: "imap",
        run: mailpods_imap_proto::fuzzing::fuzz_decoder,
        words: imap::IMAP,
        short_run: 2000,
    },
    Target {
        name: "imap-client",
        run: mailpods_imap_proto::fuzzing::fuzz_client,
        words: imap::IMAP_REPLIES,
        short_run: 2000,
    },
    Target {
        name: "managesieve",
        run: mailpods_pop3_proto::fuzzing::fuzz_managesieve,
        words: imap::MANAGESIEVE,
        short_run: 2000,
    },
    Target {
        name: "message",
        run: mailpods_message::fuzz_message,
        words: mail::MESSAGE,
        short_run: 500,
    },
    Target {
        name: "mta-sts",
        run: mta_sts,
        words: policy::STS,
        short_run: 2000,
    },
    Target {
        name: "password",
        run: mailpods_sasl::fuzzing::password,
        words: smtp::PASSWORD,
        short_run: 500,
    },
    Target {
        name: "plan-update",
        run: mailpods_plan::fuzz::fuzz_update,
        words: policy::PLAN,
        short_run: 500,
    },
    Target {
        name: "pop3",
        run: mailpods_pop3_proto::fuzzing::fuzz_pop3,
        words: imap::POP3,
        short_run: 2000,
    },
    Target {
        name: "proxy",
        run: mailpods_net::proxy::fuzz,
        words: smtp::PROXY,
        short_run: 2000,
    },
    Target {
        name: "sasl-client",
        run: mailpods_sasl::fuzzing::client,
        words: smtp::SASL,
        short_run: 200,
    },
    Target {
        name: "sasl-server",
        run: mailpods_sasl::fuzzing::server,
        words: smtp::SASL,
        short_run: 200,
    },
    Target {
        name: "scan",
        run: mailpods_rpc::fuzzing::fuzz_scan,
        words: mail::SCAN,
        short_run: 1000,
    },
    Target {
        name: "sieve",
        run: mailpods_sieve::fuzzing::fuzz_sieve,
        words: mail::SIEVE,
        short_run: 1000,
    },
    Target {
        name: "smtp-client",
        run: mailpods_smtp_proto::fuzzing::fuzz_client,
        words: smtp::SMTP_REPLIES,
        short_run: 2000,
    },
    Target {
        name: "smtp-server",
        run: mailpods_smtp_proto::fuzzing::fuzz_server,
        words: smtp::SMTP,
        short_run: 1000,
    },
    Target {
        name: "socks",
        run: mailpods_net::socks::fuzz,
        words: smtp::SOCKS,
        short_run: 2000,
    },
    Target {
        name: "spf-budget",
        run: spf_budget,
        words: mail::FILTER,
        short_run: 2000,
    },
    Target {
        name: "tlsa",
        run: tlsa,
        words: policy::TLSA,
        short_run: 2000,
    },
    Target {
        name: "yaml",
        run: yaml,
        words: policy::YAML,
        short_run: 300,
    },
];

/// The target called `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// A folder of one file, checked as `mailpods check` does.
fn yaml(input: &[u8]) {
    let text = String::from_utf8_lossy(input).into_owned();
    let (plan, problems) = mailpods_plan::check(&[Source {
        path: "fuzz.yaml".to_owned(),
        text,
    }]);
    assert!(
        plan.is_some() || !problems.is_empty(),
        "no plan and no reason"
    );
}

fn mta_sts(input: &[u8]) {
    let held = mailpods_policy::outbound::tls::fuzzing::sts_policy(input);
    assert_eq!(held, Ok(()));
}

fn tlsa(input: &[u8]) {
    let held = mailpods_policy::outbound::tls::fuzzing::tlsa(input);
    assert_eq!(held, Ok(()));
}

fn spf_budget(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let _ = mailpods_policy::spf::total_cost(&text, |_| None);
}
