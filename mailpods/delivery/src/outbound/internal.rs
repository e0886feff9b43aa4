//! Fields that this server wrote for its own and that other servers do not get.

use std::borrow::Cow;

use mailpods_api::DomainName;
use mailpods_message::Span;
use mailpods_message::edit::authserv_id;
use mailpods_message::header::fields;
use mailpods_plan::{Plan, Route};
use mailpods_store::queue::{Destination, Origin};

/// Where the fields of a stored message are that do not leave with it for `to`, in their order.
///
/// The filter's verdict is nobody's business outside. Our Authentication-Results say of mail that begins here that somebody logged in, which means nothing to
/// others (RFC 8601 §1.6: they trust no such field of another domain); of mail that is sent on they stay, as ARC's set repeats them (RFC 8617 §4.1.1). A
/// host of ours gets all of it. Only fields above our own Received are ours: the filter took out others under our name.
pub(crate) fn internal(plan: &Plan, to: &Destination, origin: &Origin, body: &[u8]) -> Vec<Span> {
    let domain = DomainName::parse(&to.0);
    if to.is_local() || domain.is_ok_and(|domain| matches!(plan.route(&domain), Route::Relay(_))) {
        return Vec::new();
    }
    let begins_here = matches!(origin, Origin::Submission(_) | Origin::Notification);
    let is_ours = |value: &[u8]| {
        authserv_id(value).is_some_and(|id| id.eq_ignore_ascii_case(plan.hostname.as_str()))
    };
    fields(body)
        .take_while(|field| !field.is(body, b"received"))
        .filter(|field| {
            field.is(body, b"x-mailpods-verdict")
                || begins_here
                    && field.is(body, b"authentication-results")
                    && is_ours(field.value(body))
        })
        .map(|field| field.full)
        .collect()
}

/// Octets without some fields.
pub(crate) fn without<'a>(octets: &'a [u8], fields: &[Span]) -> Cow<'a, [u8]> {
    if fields.is_empty() {
        return Cow::Borrowed(octets);
    }
    let (mut out, mut at) = (Vec::with_capacity(octets.len()), 0);
    for field in fields {
        out.extend_from_slice(octets.get(at..field.range().start).unwrap_or_default());
        at = field.range().end;
    }
    out.extend_from_slice(octets.get(at..).unwrap_or_default());
    Cow::Owned(out)
}
