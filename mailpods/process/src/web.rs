//! What the world may ask for over HTTPS: MTA-STS policies, and what mail programs set themselves up by. No health, no metrics.

use mailpods_net::https::{Answer, Asked, HeaderValue, Method, StatusCode, answer, header};
use mailpods_plan::Plan;

use crate::{autoconfig, mta_sts};

/// Answers one request.
pub(crate) fn respond(plan: &Plan, request: &Asked) -> Answer {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return answer(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered\n");
    }
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok());
    let uri = request.uri();
    match found(plan, uri.path(), uri.query().unwrap_or_default(), host) {
        Some((kind, text)) => {
            let mut found = answer(StatusCode::OK, text);
            let kind = HeaderValue::from_static(kind);
            found.headers_mut().insert(header::CONTENT_TYPE, kind);
            found
        }
        None => answer(StatusCode::NOT_FOUND, "nothing is here\n"),
    }
}

fn found(
    plan: &Plan,
    path: &str,
    query: &str,
    host: Option<&str>,
) -> Option<(&'static str, String)> {
    if path == mta_sts::PATH {
        // RFC 8461 §3.3: the media type is text/plain.
        return Some(("text/plain; charset=utf-8", mta_sts::document(plan, host?)?));
    }
    autoconfig::PATHS.contains(&path).then_some(())?;
    let document = autoconfig::document(plan, query, host)?;
    Some(("application/xml; charset=utf-8", document))
}
