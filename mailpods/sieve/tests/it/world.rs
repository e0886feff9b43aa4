//! A message, an owner, and what the owner's mailbox answers.

use std::collections::HashMap;
use std::sync::Arc;

use mailpods_sieve::{
    Action, Answers, Envelope, FileInto, Input, Library, Limits, Location, Outcome, Progress,
    Question, Script, Stage, compile, run,
};

pub(crate) const MESSAGE: &str = "Received: from a.test by mx.example.test; Tue, 20 Jul 2010 22:41:03 +0200\r\n\
Received: from b.test by a.test; Tue, 20 Jul 2010 22:30:00 +0200\r\n\
From: Anna <anna@Sender.test>\r\n\
To: me+list@example.test, \"Other\" <other@example.test>\r\n\
Cc: third@example.test\r\n\
Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?= from afar\r\n\
Date: Tue, 20 Jul 2010 22:00:00 -0700\r\n\
Message-ID: <m1@sender.test>\r\n\
X-Count: 10\r\n\
X-Empty:\r\n\
\r\n\
Hello there.\r\nSecond line.\r\n";

/// Scripts that may be included.
#[derive(Default)]
pub(crate) struct Scripts(HashMap<(Location, String), Arc<Script>>);

impl Library for Scripts {
    fn script(&self, location: Location, name: &str) -> Option<Arc<Script>> {
        self.0.get(&(location, name.to_owned())).cloned()
    }
}

impl Scripts {
    pub(crate) fn with(mut self, location: Location, name: &str, script: &str) -> Self {
        self.0
            .insert((location, name.to_owned()), script_of(script));
        self
    }
}

pub(crate) fn script_of(text: &str) -> Arc<Script> {
    match compile(text.as_bytes(), &Limits::default()) {
        Ok(script) => Arc::new(script),
        Err(errors) => panic!("{text}\n{errors:?}"),
    }
}

pub(crate) fn input<'a>(message: &'a str, library: &'a dyn Library) -> Input<'a> {
    Input {
        message: message.as_bytes(),
        envelope: Some(Envelope {
            from: "anna@sender.test".to_owned(),
            to: "me+list@example.test".to_owned(),
            auth: None,
        }),
        owner: "me@example.test".to_owned(),
        addresses: vec!["alias@example.test".to_owned()],
        separators: vec!['+'],
        now: 1_279_658_463,
        offset_minutes: 120,
        random: [0xab; 16],
        hostname: "mx.example.test".to_owned(),
        environment: vec![
            ("name".to_owned(), "Mailpods".to_owned()),
            ("phase".to_owned(), "post".to_owned()),
        ],
        spam_percent: Some(50),
        virus: Some(1),
        flags: Vec::new(),
        library,
        limits: Limits::default(),
        trace: false,
    }
}

/// Mailboxes INBOX, Lists (MAILBOXID F1) and Junk (\Junk); the list `friends` with anna; messages `seen` were seen.
pub(crate) fn answer(question: &Question) -> Option<String> {
    let yes = |yes: bool| yes.then(String::new);
    match question {
        Question::MailboxExists(name) => yes(matches!(name.as_str(), "INBOX" | "Lists" | "Junk")),
        Question::MailboxById(id) => (id == "F1").then(|| "Lists".to_owned()),
        Question::MailboxBySpecialUse(attribute) => {
            (attribute == "\\Junk").then(|| "Junk".to_owned())
        }
        Question::HasSpecialUse { mailbox, attribute } => {
            yes(mailbox == "Junk" && attribute == "\\Junk")
        }
        Question::Seen(identity) => yes(identity.ends_with("seen")),
        Question::ListExists(list) => yes(list == "friends"),
        Question::InList { list, value } => {
            yes(list == "friends" && value.eq_ignore_ascii_case("anna@sender.test"))
        }
        Question::ListMembers(list) => (list == "friends").then(|| "a@f.test,b@f.test".to_owned()),
    }
}

pub(crate) fn run_all(stages: &[Stage], input: &Input) -> Outcome {
    let mut answers = Answers::default();
    loop {
        match run(stages, input, &answers) {
            Progress::Done(outcome) => return outcome,
            Progress::Ask(question) => {
                let answer = answer(&question);
                answers.put(question, answer);
            }
        }
    }
}

pub(crate) fn run_with(script: &str, input: &Input) -> Outcome {
    let stages = [Stage {
        name: "main".to_owned(),
        script: script_of(script),
    }];
    run_all(&stages, input)
}

/// Runs a script over the message.
pub(crate) fn outcome(script: &str) -> Outcome {
    run_with(script, &input(MESSAGE, &mailpods_sieve::NoLibrary))
}

/// The actions as one line.
pub(crate) fn show(outcome: &Outcome) -> String {
    let file = |name: &str, file: &FileInto| {
        let flags = if file.flags.is_empty() {
            String::new()
        } else {
            format!(" ({})", file.flags.join(" "))
        };
        let create = if file.create { " :create" } else { "" };
        let version = if file.version == 0 {
            String::new()
        } else {
            format!(" v{}", file.version)
        };
        format!("{name}{flags}{create}{version}")
    };
    let one = |action: &Action| match action {
        Action::Keep(keep) => file("keep", keep),
        Action::FileInto(into) => file(&into.mailbox, into),
        Action::Redirect { address, .. } => format!(">{address}"),
        Action::Discard => "discard".to_owned(),
        Action::Reject { reason, extended } => {
            format!("{}reject {reason}", if *extended { "e" } else { "" })
        }
        Action::Vacation(reply) => format!("vacation {} {}", reply.to, reply.seconds),
        Action::Notify(notification) => format!("notify {}", notification.to.join(",")),
        Action::Remember {
            identity,
            seconds,
            again,
        } => format!(
            "remember {} {seconds}{}",
            identity.replace('\n', "|"),
            if *again { " again" } else { "" }
        ),
    };
    let mut shown: Vec<String> = outcome.actions.iter().map(one).collect();
    if let Some(error) = &outcome.error {
        shown.push(format!(
            "error {}:{} {}",
            error.at.line, error.at.column, error.message
        ));
    }
    shown.join("; ")
}

/// Each row: section, script, wanted actions.
pub(crate) fn table(rows: &[(&str, &str, &str)]) {
    for (section, script, wanted) in rows {
        assert_eq!(show(&outcome(script)), *wanted, "{section}: {script}");
    }
}

/// Each row: section, extensions, a test, whether it holds.
pub(crate) fn tests(rows: &[(&str, &str, &str, bool)]) {
    for (section, requires, test, wanted) in rows {
        let list: Vec<String> = requires
            .split_whitespace()
            .map(|name| format!("\"{name}\""))
            .collect();
        let require = if list.is_empty() {
            String::new()
        } else {
            format!("require [{}];", list.join(","))
        };
        let script = format!("{require} if {test} {{ discard; }}");
        let shown = show(&outcome(&script));
        let held = shown.split("; ").any(|action| action == "discard");
        assert_eq!(held, *wanted, "{section}: {script}: {shown}");
        assert!(!shown.contains("error"), "{section}: {script}: {shown}");
    }
}
