//! Which units a queue command is about.
use std::collections::VecDeque;
use std::time::Duration;

use mailpods_store::queue::{Destination, QueueFilter, QueueItem};
use mailpods_store::{Store, UnitId, UnixMillis};

use crate::failure::Failure;
use crate::session::failed;
use crate::time;

/// Units read at once.
const PAGE: usize = 500;

/// Filters; all that are given must match.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Filter {
    /// Queue ids.
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// Queue id, as an option.
    #[arg(long = "id", value_name = "ID")]
    pub more_ids: Vec<String>,
    /// The sender contains this text; "" is the null sender of notifications.
    #[arg(long, value_name = "TEXT")]
    pub sender: Option<String>,
    /// A recipient that is left contains this text.
    #[arg(long, value_name = "TEXT")]
    pub recipient: Option<String>,
    /// The mail goes to this domain; "local" for mailboxes here.
    #[arg(long, value_name = "DOMAIN")]
    pub domain: Option<String>,
    /// Submitted by this log-in.
    #[arg(long, value_name = "ADDRESS")]
    pub account: Option<String>,
    /// In the queue for at least this long: 90s, 5m, 3h, 2d.
    #[arg(long, value_parser = time::parse_span, value_name = "SPAN")]
    pub older_than: Option<Duration>,
    /// In this state.
    #[arg(long, value_enum)]
    pub state: Option<State>,
}

/// What a unit is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum State {
    /// Due, and waits for a worker.
    Ready,
    /// Waits for its next attempt.
    Deferred,
    /// Held by an operator.
    Held,
    /// Held because its sender is suspended.
    Suspended,
    /// Tried at this moment.
    Active,
}

impl State {
    /// Of a unit, at a time.
    pub fn of(item: &QueueItem, now: UnixMillis) -> Self {
        match item {
            QueueItem { leased: true, .. } => Self::Active,
            QueueItem {
                suspended: true, ..
            } => Self::Suspended,
            QueueItem { held: true, .. } => Self::Held,
            item if item.next_attempt > now => Self::Deferred,
            _ => Self::Ready,
        }
    }

    /// The word in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Deferred => "deferred",
            Self::Held => "held",
            Self::Suspended => "suspended",
            Self::Active => "active",
        }
    }
}

impl Filter {
    /// Whether nothing was asked for: then it is everything.
    pub fn is_everything(&self) -> bool {
        let no_ids = self.ids.is_empty() && self.more_ids.is_empty();
        let no_texts = self.sender.is_none() && self.recipient.is_none() && self.domain.is_none();
        let no_texts = no_texts && self.account.is_none();
        no_ids && no_texts && self.older_than.is_none() && self.state.is_none()
    }

    /// The filters of the store: one for each id, or one.
    fn store_filters(&self) -> Vec<QueueFilter> {
        let base = QueueFilter {
            id: None,
            sender: self.sender.clone().filter(|sender| !sender.is_empty()),
            recipient: self.recipient.clone(),
            destination: self.domain.as_deref().map(destination),
            created_before: self.older_than.map(time::ago),
            held: matches!(self.state, Some(State::Held | State::Suspended)).then_some(true),
            account: self.account.clone(),
        };
        let with_id = |id: &String| QueueFilter {
            id: Some(id.clone()),
            ..base.clone()
        };
        let filters: Vec<QueueFilter> =
            self.ids.iter().chain(&self.more_ids).map(with_id).collect();
        if filters.is_empty() {
            vec![base]
        } else {
            filters
        }
    }

    /// What the store's filter cannot say.
    fn also_matches(&self, item: &QueueItem, now: UnixMillis) -> bool {
        let null_sender = self.sender.as_deref() == Some("");
        let state = self.state.is_none_or(|state| State::of(item, now) == state);
        state && (!null_sender || item.message.envelope.sender.is_empty())
    }

    /// The units that match, oldest first, at most `limit`.
    pub async fn units(&self, store: &Store, limit: usize) -> Result<Vec<QueueItem>, Failure> {
        let (mut units, mut pages) = (Vec::new(), self.pages());
        while units.len() < limit
            && let Some(page) = pages.next(store).await?
        {
            units.extend(page);
        }
        units.truncate(limit);
        Ok(units)
    }

    /// The same in pages: a queue may have millions of units.
    pub fn pages(&self) -> Pages<'_> {
        Pages {
            filter: self,
            now: time::now(),
            left: self.store_filters().into(),
            after: None,
        }
    }
}

/// Units that match a filter, page by page.
pub struct Pages<'f> {
    filter: &'f Filter,
    now: UnixMillis,
    /// The filters of the store that are not done.
    left: VecDeque<QueueFilter>,
    /// The last unit read with the first of them.
    after: Option<UnitId>,
}

impl Pages<'_> {
    /// The next page, which may be empty; `None` after the last.
    pub async fn next(&mut self, store: &Store) -> Result<Option<Vec<QueueItem>>, Failure> {
        let Some(filter) = self.left.front() else {
            return Ok(None);
        };
        let page = store.queue.list(filter, self.after, PAGE).await;
        let mut page = page.map_err(|error| failed("failed to read the queue", &error))?;
        self.after = page.last().map(|item| item.unit);
        if page.len() < PAGE {
            self.left.pop_front();
            self.after = None;
        }
        page.retain(|item| self.filter.also_matches(item, self.now));
        Ok(Some(page))
    }
}

fn destination(domain: &str) -> String {
    if domain == Destination::LOCAL {
        return domain.to_owned();
    }
    mailpods_api::DomainName::parse(domain)
        .map_or_else(|_| domain.to_owned(), |name| name.as_str().to_owned())
}
