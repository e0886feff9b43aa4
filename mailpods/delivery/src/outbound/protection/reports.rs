//! What came of TLS, counted by day and domain, and told to the domains that ask for it (RFC 8460).
//!
//! Each process keeps its counts in the store as `outbound/tls-report/DAY/DOMAIN/PROCESS`. When a day is over, whichever process gets the
//! turn joins the counts of all, queues the report as mail, and deletes them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use mailpods_message::header::format_date;
use mailpods_net::dns::Family;
use mailpods_net::https::{Client, HeaderMap, HeaderValue, Limits, Method, Request, header};
use mailpods_plan::Plan;
use mailpods_policy::outbound::tls::Wish;
use mailpods_policy::outbound::tls::report::{
    Failure, PolicyShown, Report, Tally, Target, day, merge, targets,
};
use mailpods_store::StoreError;
use mailpods_store::tokens::{Take, Taken};
use zeroize::Zeroizing;

use super::policies;
use crate::context::{Context, destination_of};
use crate::letter::notification;

const KEPT: &str = "outbound/tls-report/";
/// How often counts go to the store.
const FLUSH: Duration = Duration::from_secs(60);
/// Who may send reports is settled for so long.
const TURN: Duration = Duration::from_secs(300);
/// How often kept policies are looked through.
const TIDY: Duration = Duration::from_secs(86_400);
/// Reports leave spread over the first hours of the next day (RFC 8460 §4.1 asks for some delay).
const SPREAD: i64 = 4 * 3_600_000;
/// After so many days a report that could not be sent is given up.
const GIVE_UP: i64 = 3 * 86_400_000;
/// Domains that are counted between two writes.
const MAX_DOMAINS: usize = 8_192;
const POST_LIMIT: Duration = Duration::from_secs(60);
const MAX_ANSWER: usize = 64 * 1024;

/// Counts that the store has not seen.
#[derive(Default)]
pub(crate) struct Reports {
    counts: Mutex<BTreeMap<(String, String), Vec<Tally>>>,
}

impl Reports {
    fn counts(&self) -> MutexGuard<'_, BTreeMap<(String, String), Vec<Tally>>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a session with a server of a domain.
    pub(crate) fn count(&self, now: i64, shown: &PolicyShown, failure: Option<Failure>) {
        let key = (day(now).0, shown.policy_domain.clone());
        let mut counts = self.counts();
        if counts.len() >= MAX_DOMAINS && !counts.contains_key(&key) {
            return;
        }
        let mut tally = Tally::new(shown.clone());
        tally.count(failure);
        merge(counts.entry(key).or_default(), vec![tally]);
    }

    /// Writes the counts of those domains that ask for reports; of others none are kept.
    pub(crate) async fn flush(&self, ctx: &Context) {
        let counts = std::mem::take(&mut *self.counts());
        if !ctx.plan.current().outbound.tls.reports {
            return;
        }
        for ((day, domain), tallies) in counts {
            if rua(ctx, &domain).await.is_empty() {
                continue;
            }
            if let Err(error) = add(ctx, &day, &domain, tallies).await {
                tracing::warn!(domain, %error, "failed to keep the counts of a TLS report");
            }
        }
    }
}

/// Where a domain wants its reports.
async fn rua(ctx: &Context, domain: &str) -> Vec<Target> {
    let records = ctx.resolver.txt(&format!("_smtp._tls.{domain}")).await;
    let records = records.unwrap_or_default();
    targets(records.iter().map(Vec::as_slice))
}

async fn add(
    ctx: &Context,
    day: &str,
    domain: &str,
    tallies: Vec<Tally>,
) -> Result<(), StoreError> {
    let name = format!("{KEPT}{day}/{domain}/{}", ctx.worker);
    let mut kept = read(ctx, &name).await?;
    merge(&mut kept, tallies);
    let text = serde_json::to_vec(&kept).map_err(|error| StoreError::Invalid(error.to_string()))?;
    ctx.store
        .secrets
        .put_secret(&name, Zeroizing::new(text))
        .await
}

async fn read(ctx: &Context, name: &str) -> Result<Vec<Tally>, StoreError> {
    let corrupt = |error| StoreError::Corrupt(format!("{name}: {error}"));
    let kept = ctx.store.secrets.secret(name).await?;
    let kept = kept.map(|kept| serde_json::from_slice(&kept).map_err(corrupt));
    Ok(kept.transpose()?.unwrap_or_default())
}

/// Keeps counts, and sends reports when it is this process' turn.
pub(crate) async fn run(ctx: std::sync::Arc<Context>) {
    loop {
        tokio::time::sleep(FLUSH).await;
        ctx.protections.reports.flush(&ctx).await;
        if let Err(error) = send_due(&ctx).await {
            tracing::warn!(%error, "failed to send TLS reports");
        }
        if let Err(error) = tidy_policies(&ctx).await {
            tracing::warn!(%error, "failed to tidy kept MTA-STS policies");
        }
    }
}

/// Sends the reports of days that are over, one process at a time.
pub(crate) async fn send_due(ctx: &Context) -> Result<(), StoreError> {
    let plan = ctx.plan.current();
    if !plan.outbound.tls.reports || !is_our_turn(ctx, "outbound/tls-report/turn", TURN).await? {
        return Ok(());
    }
    let names = ctx.store.secrets.secret_names(KEPT).await?;
    let mut due: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for name in names {
        let rest = name.strip_prefix(KEPT).unwrap_or_default();
        let mut parts = rest.splitn(3, '/');
        if let (Some(day), Some(domain)) = (parts.next(), parts.next())
            && is_due(day, domain, ctx.now())
        {
            due.entry((day.to_owned(), domain.to_owned()))
                .or_default()
                .push(name);
        }
    }
    for ((day, domain), names) in due {
        send(ctx, &plan, &day, &domain, &names).await?;
    }
    Ok(())
}

/// Once a day, by one process.
async fn tidy_policies(ctx: &Context) -> Result<(), StoreError> {
    if is_our_turn(ctx, "outbound/sts/turn", TIDY).await? {
        policies::tidy(ctx.store.secrets.as_ref(), ctx.now()).await?;
    }
    Ok(())
}

async fn is_our_turn(ctx: &Context, what: &str, window: Duration) -> Result<bool, StoreError> {
    let take = Take {
        key: what.to_owned(),
        amount: 1,
        limit: 1,
        window,
    };
    let taken = ctx.store.tokens.take(vec![take], ctx.now()).await?;
    Ok(taken == Taken::Granted)
}

/// Whether the day is over, and the domain's own delay after it.
fn is_due(of: &str, domain: &str, now: i64) -> bool {
    let sum = domain
        .bytes()
        .fold(0_i64, |sum, octet| (sum * 31 + i64::from(octet)) % SPREAD);
    let (latest, _) = day(now.saturating_sub(sum));
    of < latest.as_str()
}

/// Queues one report, then deletes its counts; should the process die in between, the report leaves twice with one id, which RFC 8460
/// §4.4 has for that.
async fn send(
    ctx: &Context,
    plan: &Plan,
    day: &str,
    domain: &str,
    names: &[String],
) -> Result<(), StoreError> {
    let mut tallies = Vec::new();
    for name in names {
        merge(&mut tallies, read(ctx, name).await?);
    }
    let from = sender(plan);
    let id = format!("{day}.{domain}");
    let organization = plan.hostname.to_string();
    let report = Report::new(&organization, &from, &id, day, &tallies);
    let document = gzip(&report)?;
    let mut open = 0;
    for target in rua(ctx, domain).await {
        let sent = match &target {
            Target::Mail(to) => {
                mail(
                    ctx,
                    plan,
                    &Letter {
                        day,
                        domain,
                        id: &id,
                        from: &from,
                        to,
                        document: &document,
                    },
                )
                .await?
            }
            Target::Https(url) => post(ctx, url, &document).await,
        };
        open += usize::from(!sent);
        tracing::info!(domain, day, to = ?target, sent, "TLS report");
    }
    if open > 0 && !is_old(day, ctx.now()) {
        return Ok(());
    }
    for name in names {
        ctx.store.secrets.delete_secret(name).await?;
    }
    Ok(())
}

fn is_old(of: &str, now: i64) -> bool {
    of < day(now.saturating_sub(GIVE_UP)).0.as_str()
}

/// Who the report comes from: somebody who reads mail, where there is one.
fn sender(plan: &Plan) -> String {
    let postmaster = plan.outbound.postmaster.as_ref();
    postmaster.map_or_else(
        || format!("postmaster@{}", plan.hostname),
        ToString::to_string,
    )
}

fn gzip(report: &Report) -> Result<Vec<u8>, StoreError> {
    let invalid = |error: String| StoreError::Invalid(format!("a TLS report: {error}"));
    let json = serde_json::to_vec(report).map_err(|error| invalid(error.to_string()))?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder
        .write_all(&json)
        .map_err(|error| invalid(error.to_string()))?;
    encoder.finish().map_err(|error| invalid(error.to_string()))
}

/// A report as a message.
struct Letter<'a> {
    day: &'a str,
    domain: &'a str,
    id: &'a str,
    from: &'a str,
    to: &'a str,
    document: &'a [u8],
}

/// Queues the report. False when its address cannot be used; trying again would change nothing, so it counts as done.
async fn mail(ctx: &Context, plan: &Plan, letter: &Letter<'_>) -> Result<bool, StoreError> {
    let Some(destination) = destination_of(plan, letter.to) else {
        tracing::warn!(
            domain = letter.domain,
            to = letter.to,
            "the address for TLS reports is none"
        );
        return Ok(true);
    };
    let octets = letter.message(plan, ctx.now(), &boundary(ctx));
    let mut message = notification(ctx, destination, letter.to, octets);
    letter.from.clone_into(&mut message.envelope.sender);
    // RFC 8460 §5.3: a report about broken TLS must not need TLS that works.
    message.envelope.tls = Wish::Waived;
    ctx.store.queue.enqueue(vec![message]).await?;
    Ok(true)
}

fn boundary(ctx: &Context) -> String {
    let random = ctx.random::<16>();
    random.iter().map(|octet| format!("{octet:02x}")).collect()
}

impl Letter<'_> {
    /// RFC 8460 §5.3.
    fn message(&self, plan: &Plan, now: i64, boundary: &str) -> Vec<u8> {
        let Self {
            day,
            domain,
            id,
            from,
            to,
            ..
        } = self;
        let host = plan.hostname.as_str();
        let file = format!("{host}!{domain}!{day}.json.gz");
        let encoded = STANDARD.encode(self.document);
        let lines = encoded.as_bytes().chunks(76);
        let lines: Vec<&str> = lines
            .filter_map(|line| std::str::from_utf8(line).ok())
            .collect();
        format!(
            "From: <{from}>\r\nTo: <{to}>\r\nDate: {date}\r\nMessage-ID: <{boundary}@{host}>\r\n\
             Subject: Report Domain: {domain} Submitter: {host} Report-ID: <{id}@{host}>\r\n\
             TLS-Report-Domain: {domain}\r\nTLS-Report-Submitter: {host}\r\nTLS-Required: No\r\nAuto-Submitted: auto-generated\r\n\
             MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=\"tlsrpt\"; boundary=\"{boundary}\"\r\n\r\n\
             --{boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
             This is a TLS report of {host} about mail for {domain} on {day} (RFC 8460).\r\n\r\n\
             --{boundary}\r\nContent-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n\
             Content-Disposition: attachment; filename=\"{file}\"\r\n\r\n{body}\r\n--{boundary}--\r\n",
            date = format_date(now / 1000, 0),
            body = lines.join("\r\n"),
        )
        .into_bytes()
    }
}

/// Posts the report (RFC 8460 §5.4). False when it is to be tried again.
async fn post(ctx: &Context, url: &str, document: &[u8]) -> bool {
    match try_post(ctx, url, document).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(url, error, "failed to post a TLS report");
            false
        }
    }
}

async fn try_post(ctx: &Context, url: &str, document: &[u8]) -> Result<(), String> {
    let rest = url.strip_prefix("https://").unwrap_or_default();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
    let port: u16 = port
        .parse()
        .map_err(|_| "the port is no number".to_owned())?;
    let told = |error: &dyn std::error::Error| super::super::attempt::with_causes(error);
    let addresses = ctx.resolver.addresses(host, Family::Both).await;
    let addresses = addresses.map_err(|error| told(&error))?.into_iter();
    let addresses = addresses
        .map(|address| SocketAddr::new(address, port))
        .collect();
    let server = format!("https://{authority}").parse();
    let server = server.map_err(|error: mailpods_net::https::UrlError| told(&error))?;
    let mut headers = HeaderMap::new();
    let kind = HeaderValue::from_static("application/tlsrpt+gzip");
    headers.insert(header::CONTENT_TYPE, kind);
    let request = Request {
        method: Method::POST,
        path: format!("/{path}"),
        headers,
        body: vec![Bytes::copy_from_slice(document)],
    };
    let limits = Limits {
        time: POST_LIMIT,
        body: MAX_ANSWER,
    };
    let client = Client::at(server, addresses, ctx.protections.clients.verified.clone());
    let response = client
        .send(&request, limits)
        .await
        .map_err(|error| told(&error))?;
    match response.status.is_success() {
        true => Ok(()),
        false => Err(format!("the server answered {}", response.status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_due_within_four_hours_of_the_next_day() {
        let midnight = 1_767_225_600_000;
        for domain in ["a.test", "example.org", "a-very-long-name.example.com"] {
            assert!(!is_due("2025-12-31", domain, midnight - 1), "{domain}");
            assert!(is_due("2025-12-31", domain, midnight + SPREAD), "{domain}");
            assert!(!is_due("2026-01-01", domain, midnight + SPREAD), "{domain}");
        }
        assert!(
            !is_old("2025-12-31", midnight)
                && is_old("2025-12-31", midnight + GIVE_UP + 86_400_000)
        );
    }
}
