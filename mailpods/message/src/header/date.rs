//! Dates (RFC 5322 §3.3 and the obsolete forms of §4.3).
use time::{Month, UtcDateTime};

/// A parsed date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub unix: i64,
    /// Minutes east of UTC as written.
    pub offset_minutes: i32,
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const DAY_SECONDS: i64 = 86_400;

/// Reads a Date value; `None` when no day, month, year and time can be found in it.
#[must_use]
pub fn parse_date(value: &[u8]) -> Option<Date> {
    let mut tokens = Tokens { rest: value };
    let mut token = tokens.next()?;
    if token.first()?.is_ascii_alphabetic() {
        token = tokens.next()?;
    }
    let day = number(token)?;
    let month = month(tokens.next()?)?;
    let year = year(tokens.next()?)?;
    let hour = number(tokens.next()?)?;
    let minute = number(tokens.next()?)?;
    let (second, zone) = match tokens.next() {
        Some(token) if token.iter().all(u8::is_ascii_digit) => (number(token)?, tokens.next()),
        other => (0, other),
    };
    if !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let offset_minutes = zone.map_or(0, offset);
    let local = days_from_civil(year, month, day)? * DAY_SECONDS
        + hour * 3600
        + minute * 60
        + second.min(59);
    Some(Date {
        unix: local - i64::from(offset_minutes) * 60,
        offset_minutes,
    })
}

/// Words of a date: white space, commas, colons and comments divide them.
struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Tokens<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        self.skip();
        let len = self
            .rest
            .iter()
            .position(|&byte| divides(byte))
            .unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        (!token.is_empty()).then_some(token)
    }

    fn skip(&mut self) {
        let mut depth = 0usize;
        while let Some((&byte, rest)) = self.rest.split_first() {
            match byte {
                b'(' => depth += 1,
                b')' => depth = depth.saturating_sub(1),
                _ if depth == 0 && !divides(byte) => return,
                _ => {}
            }
            self.rest = rest;
        }
    }
}

fn divides(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b',' | b':' | b'(' | b')')
}

/// At most four digits: nothing in a date is longer.
fn number(token: &[u8]) -> Option<i64> {
    if token.is_empty() || token.len() > 4 || !token.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        token
            .iter()
            .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')),
    )
}

fn month(token: &[u8]) -> Option<Month> {
    let head = token.get(..3)?;
    let index = MONTHS
        .iter()
        .position(|name| name.as_bytes().eq_ignore_ascii_case(head))?;
    Month::try_from(u8::try_from(index + 1).ok()?).ok()
}

/// RFC 5322 §4.3: two digits below 50 are 20xx, other two and three digits count from 1900.
fn year(token: &[u8]) -> Option<i64> {
    let year = number(token)?;
    Some(match (token.len(), year) {
        (1 | 2, 0..=49) => year + 2000,
        (1..=3, _) => year + 1900,
        _ => year,
    })
}

/// Minutes east of UTC; unknown zones count as -0000 (RFC 5322 §4.3).
fn offset(zone: &[u8]) -> i32 {
    match zone.split_first() {
        Some((b'+', digits)) => numeric_offset(digits).unwrap_or(0),
        Some((b'-', digits)) => -numeric_offset(digits).unwrap_or(0),
        _ => named_offset(zone),
    }
}

fn numeric_offset(digits: &[u8]) -> Option<i32> {
    let value = i32::try_from(number(digits)?)
        .ok()
        .filter(|_| digits.len() == 4)?;
    let (hours, minutes) = (value / 100, value % 100);
    (minutes < 60).then_some(hours * 60 + minutes)
}

fn named_offset(zone: &[u8]) -> i32 {
    let hours = match zone.to_ascii_uppercase().as_slice() {
        b"EDT" => -4,
        b"EST" | b"CDT" => -5,
        b"CST" | b"MDT" => -6,
        b"MST" | b"PDT" => -7,
        b"PST" => -8,
        _ => 0,
    };
    hours * 60
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar. Days that a month does not have count on into the next.
fn days_from_civil(year: i64, month: Month, day: i64) -> Option<i64> {
    let first = time::Date::from_calendar_date(i32::try_from(year).ok()?, month, 1).ok()?;
    Some(i64::from(first.to_julian_day() - UtcDateTime::UNIX_EPOCH.to_julian_day()) + day - 1)
}

/// `Mon, 02 Jan 2006 15:04:05 +0100` for a moment and a zone of `offset_minutes` east of UTC. Years outside 1900 to 9999, which
/// the format cannot say, are clamped.
#[must_use]
pub fn format_date(unix: i64, offset_minutes: i32) -> String {
    let local = unix
        .saturating_add(i64::from(offset_minutes) * 60)
        .clamp(-2_208_988_800, 253_402_300_799);
    let moment = UtcDateTime::from_unix_timestamp(local).unwrap_or(UtcDateTime::UNIX_EPOCH);
    let (year, month, day) = moment.to_calendar_date();
    let (hour, minute, second) = moment.as_hms();
    let weekday = name(&DAYS, moment.weekday().number_days_from_sunday());
    let month = name(&MONTHS, u8::from(month) - 1);
    let sign = if offset_minutes < 0 { '-' } else { '+' };
    let zone = offset_minutes.unsigned_abs();
    let (zone_hour, zone_minute) = (zone / 60 % 100, zone % 60);
    format!(
        "{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} {sign}{zone_hour:02}{zone_minute:02}"
    )
}

fn name(names: &[&'static str], index: u8) -> &'static str {
    names.get(usize::from(index)).copied().unwrap_or_default()
}
