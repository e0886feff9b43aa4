//! Fields that this server wrote for its own and that other servers do not get.

use mailpods_api::DomainName;
use mailpods_message::Span;
use mailpods_message::edit::authserv_id;
use mailpods_message::header::fields;
use mailpods_plan::{Plan, Route};
use mailpods_store::queue::{LeasedUnit, Origin};

/// Where the fields of a stored message are that do not leave with it, in their order.
///
/// The filter's verdict is nobody's business outside. Our Authentication-Results say of mail that begins here that somebody logged in, which means nothing to
/// others (RFC 8601 §1.6: they trust no such field of another domain); of mail that is sent on they stay, as ARC's set repeats them (RFC 8617 §4.1.1). A
/// host of ours gets all of it. Only fields above our own Received are ours: the filter took out others under our name.
pub(super) fn internal(plan: &Plan, unit: &LeasedUnit, body: &[u8]) -> Vec<Span> {
    let domain = DomainName::parse(&unit.destination.0);
    if domain.is_ok_and(|domain| matches!(plan.route(&domain), Route::Relay(_))) {
        return Vec::new();
    }
    let begins_here = matches!(
        unit.message.origin,
        Origin::Submission(_) | Origin::Notification
    );
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
