//! The decision over a message at the end of data: stages in order, each a small function. The first that objects ends it.
//!
//! Its form (size, lines, line ends, NUL) was checked while it came. Then: loops, headers (trace fields out, repairs on submission), scan (the filter), limits
//! (what a log-in may send, and what is too much at once). What passes is a [`Draft`]: the message with its edits, not yet copied.

mod draft;
mod headers;
mod limits;
mod loops;
mod scan;

use bytes::Bytes;
use mailpods_api::QueueId;
use mailpods_plan::Plan;
use mailpods_smtp_proto::MailParams;
use mailpods_store::UnixMillis;

use crate::recipients::Recipient;
use crate::report::Refusal;
use crate::server::Shared;
use crate::session::Client;

pub(crate) use draft::Draft;

/// What a stage may look at.
pub(crate) struct Context<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) plan: &'a Plan,
    pub(crate) client: &'a Client,
    pub(crate) sender: &'a str,
    pub(crate) params: &'a MailParams,
    pub(crate) recipients: &'a [&'a Recipient],
    pub(crate) id: &'a QueueId,
    pub(crate) now: UnixMillis,
}

/// Runs the stages.
///
/// # Errors
/// The refusal of the first stage that objects.
pub(crate) async fn decide(context: &Context<'_>, message: Bytes) -> Result<Draft, Refusal> {
    let mut draft = Draft::new(message);
    loops::check(context, &draft.message)?;
    headers::mend(context, &mut draft)?;
    headers::add_received(context, &mut draft);
    scan::judge(context, &mut draft).await?;
    limits::check(context).await?;
    let taken = limits::take(context).await?;
    limits::burst(context, taken).await?;
    Ok(draft)
}
