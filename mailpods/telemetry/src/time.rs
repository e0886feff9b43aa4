//! Times for people.
use time::UtcDateTime;

/// Milliseconds since 1970 as `2026-01-31T12:00:00Z` (RFC 3339); what is outside of years of four digits shows as their end.
#[must_use]
pub fn timestamp(at: i64) -> String {
    let moment = UtcDateTime::from_unix_timestamp(at.div_euclid(1000)).unwrap_or(UtcDateTime::MAX);
    let (year, month, day) = moment.to_calendar_date();
    let (hour, minute, second) = moment.as_hms();
    let month = u8::from(month);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_across_leap_years() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59Z"),
            (1_709_251_200_000, "2024-03-01T00:00:00Z"),
            (4_102_444_799_000, "2099-12-31T23:59:59Z"),
            (-1000, "1969-12-31T23:59:59Z"),
        ];
        for (at, text) in cases {
            assert_eq!(timestamp(at), text);
        }
    }
}
