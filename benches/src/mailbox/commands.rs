//! Commands on the full mailbox, timed from their first octet to the tagged answer.

use std::time::Instant;

use anyhow::{Result, ensure};
use tokio::task::JoinSet;

use super::load::message;
use super::table::Table;
use super::{CONNECTIONS, Scene, USER};
use crate::imap::Client;
use crate::message::{Messages, NEEDLE, NEEDLE_EVERY};
use crate::pop3;

/// A word that no message has.
const ABSENT: &str = "zyzzyvas";
/// SELECTs of a run, each on a new connection: one takes so little that it varies much.
const SELECTS: usize = 10;
/// One message in so many is fetched by the one connection alone.
const ALONE: usize = 4;
/// And by POP3.
const RETRIEVED: usize = 10;

/// What must be found.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    /// Messages.
    pub messages: usize,
    /// Of these, with the frequent word.
    pub frequent: usize,
}

impl Expected {
    /// Of the first so many messages.
    pub fn of(source: &Messages, messages: usize) -> Self {
        let has = |index: &usize| {
            let text = message(source, *index);
            let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            body.contains(source.frequent())
        };
        Self {
            messages,
            frequent: (0..messages).filter(has).count(),
        }
    }

    fn rare(self) -> usize {
        self.messages.div_ceil(NEEDLE_EVERY)
    }
}

impl Scene<'_> {
    /// The first SELECT of the mailbox on this server, and each command once, so that both sides know what they will be asked.
    pub async fn first(&self, table: &mut Table, expected: Expected) -> Result<()> {
        let mut client = self.login().await?;
        let time = select(&mut client, expected.messages).await?;
        table.add(self.side, "select, first", time);
        for command in self.commands(expected) {
            command.run(&mut client).await?;
        }
        Ok(())
    }

    /// All commands on a new connection, then the full fetch.
    pub async fn measure(&self, table: &mut Table, expected: Expected) -> Result<()> {
        for _ in 0..SELECTS {
            let time = select(&mut self.login().await?, expected.messages).await?;
            table.add(self.side, "select, later", time);
        }
        let mut client = self.login().await?;
        select(&mut client, expected.messages).await?;
        for command in self.commands(expected) {
            let time = command.run(&mut client).await?;
            table.add(self.side, command.name, time);
        }
        drop(client);
        let rate = self.fetch_all(CONNECTIONS, expected.messages).await?;
        table.add(self.side, "fetch-all, 4 connections", rate);
        let rate = self.fetch_all(1, expected.messages / ALONE).await?;
        table.add(self.side, "fetch-all, 1 connection", rate);
        self.pop3(table, expected.messages).await
    }

    /// Log-in, LIST and UIDL; then a part of the messages by RETR.
    async fn pop3(&self, table: &mut Table, messages: usize) -> Result<()> {
        let begin = Instant::now();
        let mut client = pop3::Client::login(&self.bench.tls, self.stack.pop3, USER).await?;
        for command in ["LIST", "UIDL"] {
            let lines = client.lines(command).await?;
            ensure!(lines == messages, "{command}: {lines}, not {messages}");
        }
        let time = begin.elapsed().as_secs_f64() * 1000.0;
        table.add(self.side, "pop3, log-in and lists", time);
        let begin = Instant::now();
        let octets = client.retrieve(messages / RETRIEVED).await?;
        let rate = octets as f64 / 1e6 / begin.elapsed().as_secs_f64();
        table.add(self.side, "pop3, RETR", rate);
        client.quit().await
    }

    async fn login(&self) -> Result<Client> {
        let client = Client::login(&self.bench.tls, self.stack.imap, USER).await?;
        Ok(client.greedy())
    }

    fn commands(&self, expected: Expected) -> [Command; 8] {
        let all = expected.messages;
        let command = |name, text: &str, answers| Command {
            name,
            text: text.to_owned(),
            answers,
        };
        let search = |name, key: &str, word: &str, hits| {
            command(
                name,
                &format!("SEARCH {key} {word}"),
                Answers::Numbers(hits),
            )
        };
        let frequent = self.bench.messages.frequent();
        [
            command("fetch-flags", "FETCH 1:* (FLAGS)", Answers::Lines(all)),
            command(
                "fetch-envelope",
                "FETCH 1:* (ENVELOPE)",
                Answers::Lines(all),
            ),
            search("search-subject", "SUBJECT", NEEDLE, expected.rare()),
            search(
                "search-body, frequent word",
                "BODY",
                frequent,
                expected.frequent,
            ),
            search("search-body, rare word", "BODY", NEEDLE, expected.rare()),
            search("search-body, absent word", "BODY", ABSENT, 0),
            command(
                "sort, by subject",
                "SORT (SUBJECT) UTF-8 ALL",
                Answers::Numbers(all),
            ),
            command(
                "thread, by references",
                "THREAD REFERENCES UTF-8 ALL",
                Answers::Lines(1),
            ),
        ]
    }

    /// Messages whole, each connection a part of the mailbox; MB/s.
    async fn fetch_all(&self, connections: usize, count: usize) -> Result<f64> {
        let mut clients = Vec::new();
        for _ in 0..connections {
            let mut client = self.login().await?;
            client.command("SELECT INBOX").await?;
            clients.push(client);
        }
        let begin = Instant::now();
        let part = count.div_ceil(connections);
        let mut workers = JoinSet::new();
        for (index, mut client) in clients.into_iter().enumerate() {
            let (first, last) = (index * part + 1, ((index + 1) * part).min(count));
            let command = format!("FETCH {first}:{last} (BODY.PEEK[])");
            workers.spawn(async move { client.count(&command).await });
        }
        let (mut octets, mut messages) = (0, 0);
        while let Some(done) = workers.join_next().await {
            let answer = done??;
            (octets, messages) = (octets + answer.octets, messages + answer.untagged);
        }
        ensure!(messages == count, "{messages} messages came, not {count}");
        Ok(octets as f64 / 1e6 / begin.elapsed().as_secs_f64())
    }
}

/// SELECT; milliseconds.
async fn select(client: &mut Client, messages: usize) -> Result<f64> {
    let begin = Instant::now();
    let answer = client.command("SELECT INBOX").await?;
    let time = begin.elapsed().as_secs_f64() * 1000.0;
    let exists = format!("* {messages} EXISTS");
    ensure!(
        answer.lines.contains(&exists),
        "the mailbox does not have {messages} messages: {:?}",
        answer.lines
    );
    Ok(time)
}

/// What an answer must have.
#[derive(Debug, Clone, Copy)]
enum Answers {
    /// So many untagged lines.
    Lines(usize),
    /// So many numbers in one untagged line.
    Numbers(usize),
}

struct Command {
    name: &'static str,
    text: String,
    answers: Answers,
}

impl Command {
    /// Runs it; milliseconds.
    async fn run(&self, client: &mut Client) -> Result<f64> {
        let begin = Instant::now();
        let answer = match self.answers {
            Answers::Lines(_) => client.count(&self.text).await?,
            Answers::Numbers(_) => client.command(&self.text).await?,
        };
        let time = begin.elapsed().as_secs_f64() * 1000.0;
        let (found, expected) = match self.answers {
            Answers::Lines(count) => (answer.untagged, count),
            Answers::Numbers(count) => (numbers(&answer.lines), count),
        };
        ensure!(
            found == expected,
            "{}: {found} messages, not {expected}",
            self.text
        );
        Ok(time)
    }
}

/// Numbers in the answer to SEARCH and SORT.
fn numbers(lines: &[String]) -> usize {
    let words = lines.iter().flat_map(|line| line.split_whitespace());
    words.filter(|word| word.parse::<u32>().is_ok()).count()
}
