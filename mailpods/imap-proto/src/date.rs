//! Dates of SEARCH and INTERNALDATE.

use std::fmt;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Seconds of a day.
pub const DAY: i64 = 86_400;

/// A calendar day, proleptic Gregorian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    year: i32,
    month: u8,
    day: u8,
}

impl Date {
    /// The day, or `None` when the calendar has no such day. Years are 1 to 9999, months 1 to 12.
    #[must_use]
    pub fn new(year: i32, month: u8, day: u8) -> Option<Self> {
        let real = (1..=9999).contains(&year)
            && (1..=12).contains(&month)
            && day >= 1
            && day <= month_length(year, month);
        real.then_some(Self { year, month, day })
    }

    /// Reads `1-Feb-1994` (RFC 9051 §9, `date-text`); the day may have one digit or two.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.trim_start().split('-');
        let (day, month, year) = (fields.next()?, fields.next()?, fields.next()?);
        if fields.next().is_some() || day.len() > 2 || year.len() != 4 {
            return None;
        }
        Self::new(
            digits(year)?,
            month_number(month)?,
            u8::try_from(digits(day)?).ok()?,
        )
    }

    /// Days since 1970-01-01; negative before.
    #[must_use]
    pub fn days(self) -> i64 {
        let year = i64::from(self.year) - i64::from(self.month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let month = (i64::from(self.month) + 9) % 12;
        let day_of_year = (153 * month + 2) / 5 + i64::from(self.day) - 1;
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year
            - 719_468
    }

    /// The day that is `days` after 1970-01-01.
    #[must_use]
    pub fn from_days(days: i64) -> Self {
        let days = days.clamp(-719_162, 2_932_896) + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = (month_from_march + 2) % 12 + 1;
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self {
            year: year as i32,
            month: month as u8,
            day: day as u8,
        }
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let month = MONTHS
            .get(usize::from(self.month) - 1)
            .copied()
            .unwrap_or("Jan");
        write!(f, "{}-{month}-{:04}", self.day, self.year)
    }
}

/// A moment with the zone in which it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateTime {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub unix: i64,
    /// Minutes east of UTC.
    pub offset: i16,
}

impl DateTime {
    /// The moment `unix` (seconds) in UTC.
    #[must_use]
    pub fn utc(unix: i64) -> Self {
        Self { unix, offset: 0 }
    }

    /// Reads ` 1-Feb-1994 21:52:25 -0800` (RFC 9051 §9, `date-time`, without its quotes).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let (date, time, zone) = (Date::parse(words.next()?)?, words.next()?, words.next()?);
        if words.next().is_some() {
            return None;
        }
        let offset = parse_zone(zone)?;
        let local = date.days() * DAY + parse_time(time)?;
        Some(Self {
            unix: local - i64::from(offset) * 60,
            offset,
        })
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let local = self.unix.saturating_add(i64::from(self.offset) * 60);
        let date = Date::from_days(local.div_euclid(DAY));
        let second = local.rem_euclid(DAY);
        let month = MONTHS
            .get(usize::from(date.month) - 1)
            .copied()
            .unwrap_or("Jan");
        let zone = self.offset.unsigned_abs();
        let sign = if self.offset < 0 { '-' } else { '+' };
        write!(f, "{:02}-{month}-{:04} ", date.day, date.year)?;
        write!(
            f,
            "{:02}:{:02}:{:02} ",
            second / 3600,
            second / 60 % 60,
            second % 60
        )?;
        write!(f, "{sign}{:02}{:02}", zone / 60, zone % 60)
    }
}

fn month_length(year: i32, month: u8) -> u8 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn month_number(name: &str) -> Option<u8> {
    let index = MONTHS
        .iter()
        .position(|month| month.eq_ignore_ascii_case(name))?;
    u8::try_from(index + 1).ok()
}

fn digits(text: &str) -> Option<i32> {
    let all =
        !text.is_empty() && text.len() <= 4 && text.bytes().all(|octet| octet.is_ascii_digit());
    all.then(|| text.parse().ok()).flatten()
}

fn parse_time(text: &str) -> Option<i64> {
    let mut fields = text.split(':');
    let (hour, minute, second) = (
        digits(fields.next()?)?,
        digits(fields.next()?)?,
        digits(fields.next()?)?,
    );
    // A leap second is written as :60 (RFC 5322 §3.3).
    let real = fields.next().is_none() && hour < 24 && minute < 60 && second <= 60;
    real.then(|| i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second))
}

fn parse_zone(text: &str) -> Option<i16> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1, text.get(1..)?),
        b'-' => (-1, text.get(1..)?),
        _ => return None,
    };
    let value = digits(rest).filter(|_| rest.len() == 4)?;
    let minutes = value / 100 * 60 + value % 100;
    (value % 100 < 60 && minutes < 24 * 60)
        .then(|| i16::try_from(sign * minutes).ok())
        .flatten()
}
