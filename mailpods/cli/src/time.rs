//! Times as people write and read them, in UTC.
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mailpods_store::UnixMillis;

/// Now, in milliseconds since 1970.
pub fn now() -> UnixMillis {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixMillis::try_from(since.as_millis()).unwrap_or(UnixMillis::MAX)
}

/// `2026-01-31T12:00:00Z`
pub fn format(at: UnixMillis) -> String {
    mailpods_telemetry::timestamp(at)
}

/// How far a time is from now: `in 5m`, `3h ago`.
pub fn relative(at: UnixMillis, now: UnixMillis) -> String {
    match at - now {
        ..-999 => format!("{} ago", span(now - at)),
        -999..=999 => "now".to_owned(),
        later => format!("in {}", span(later)),
    }
}

/// The largest unit that fits: `90s`, `5m`, `3h`, `2d`.
pub fn span(millis: UnixMillis) -> String {
    let seconds = millis / 1000;
    match seconds {
        ..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Reads `90s`, `5m`, `3h`, `2d`, `1w`.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let allowed = || {
        format!(
            "{text:?} is not a time span: write a number and s, m, h, d or w, for example 90s, 5m or 2d"
        )
    };
    let unit = text.chars().last().ok_or_else(allowed)?;
    let number: u64 = text
        .strip_suffix(unit)
        .and_then(|number| number.parse().ok())
        .ok_or_else(allowed)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return Err(allowed()),
    };
    // A thousand years is more than any store holds, and far from overflow.
    number
        .checked_mul(seconds)
        .filter(|s| *s < 32_000_000_000)
        .map(Duration::from_secs)
        .ok_or_else(allowed)
}

/// A span back from now.
pub fn ago(span: Duration) -> UnixMillis {
    now().saturating_sub(UnixMillis::try_from(span.as_millis()).unwrap_or(UnixMillis::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_refused() {
        assert_eq!(parse_span("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_span("2d"), Ok(Duration::from_secs(172_800)));
        for wrong in [
            "",
            "5",
            "m",
            "5y",
            "-5m",
            "5 m",
            "99999999999999999999d",
            "9999999999999w",
            "5é",
        ] {
            assert!(parse_span(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn distances_are_rounded_to_one_unit() {
        assert_eq!(relative(1_000_000, 1_000_000), "now");
        assert_eq!(relative(1_300_000, 1_000_000), "in 5m");
        assert_eq!(relative(0, 7_200_000), "2h ago");
    }
}
