//! Dates (RFC 5260).

use mailpods_message::header::{Date, format_date, parse_date};
use time::UtcDateTime;

use super::{Result, Run};
use crate::program::{DatePart, Index, Matching, Scope, Zone};
use crate::text::Text;

/// Day 0 of the Modified Julian Date as a Julian day number.
const JULIAN_EPOCH: i32 = 2_400_001;

impl Run<'_> {
    pub(super) fn date_test(
        &mut self,
        header: Option<&Text>,
        zone: Zone,
        part: DatePart,
        index: Option<Index>,
        matching: &Matching,
    ) -> Result<bool> {
        let local = self.input.offset_minutes;
        let dates: Vec<Date> = match header {
            None => vec![Date {
                unix: self.input.now,
                offset_minutes: local,
            }],
            Some(name) => {
                let scope = Scope {
                    index,
                    ..Scope::default()
                };
                let values = self.raw_values(std::slice::from_ref(name), &scope)?;
                // RFC 5260 §4: of a field with more than a date, what follows the last semicolon.
                let date = |value: &Vec<u8>| parse_date(value.rsplit(|&byte| byte == b';').next()?);
                values.iter().filter_map(date).collect()
            }
        };
        let shown = |date: &Date| {
            let minutes = match zone {
                Zone::Local => local,
                Zone::Original => date.offset_minutes,
                Zone::Minutes(minutes) => minutes,
            };
            date_part(date.unix, minutes, part)
        };
        let values: Vec<String> = dates.iter().map(shown).collect();
        self.matches(matching, &values)
    }
}

/// One part of a moment as a zone shows it (RFC 5260 §4.2).
fn date_part(unix: i64, minutes: i32, part: DatePart) -> String {
    let local = unix
        .saturating_add(i64::from(minutes) * 60)
        .clamp(-62_167_219_200, 253_402_300_799);
    let moment = UtcDateTime::from_unix_timestamp(local).unwrap_or(UtcDateTime::UNIX_EPOCH);
    let (year, month, day) = moment.to_calendar_date();
    let (hour, minute, second) = moment.as_hms();
    let month = u8::from(month);
    let date = format!("{year:04}-{month:02}-{day:02}");
    let time = format!("{hour:02}:{minute:02}:{second:02}");
    match part {
        DatePart::Year => format!("{year:04}"),
        DatePart::Month => format!("{month:02}"),
        DatePart::Day => format!("{day:02}"),
        DatePart::Date => date,
        DatePart::Julian => (moment.to_julian_day() - JULIAN_EPOCH).to_string(),
        DatePart::Hour => format!("{hour:02}"),
        DatePart::Minute => format!("{minute:02}"),
        DatePart::Second => format!("{second:02}"),
        DatePart::Time => time,
        DatePart::Iso8601 => format!("{date}T{time}{}", zone(minutes, ":")),
        DatePart::Std11 => format_date(unix, minutes),
        DatePart::Zone => zone(minutes, ""),
        DatePart::Weekday => moment.weekday().number_days_from_sunday().to_string(),
    }
}

fn zone(minutes: i32, between: &str) -> String {
    let sign = if minutes < 0 { '-' } else { '+' };
    let minutes = minutes.unsigned_abs();
    format!("{sign}{:02}{between}{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        // 2010-07-20T22:41:03+02:00, a Tuesday.
        let table = [
            (DatePart::Year, "2010"),
            (DatePart::Month, "07"),
            (DatePart::Day, "20"),
            (DatePart::Date, "2010-07-20"),
            (DatePart::Julian, "55397"),
            (DatePart::Hour, "22"),
            (DatePart::Minute, "41"),
            (DatePart::Second, "03"),
            (DatePart::Time, "22:41:03"),
            (DatePart::Iso8601, "2010-07-20T22:41:03+02:00"),
            (DatePart::Std11, "Tue, 20 Jul 2010 22:41:03 +0200"),
            (DatePart::Zone, "+0200"),
            (DatePart::Weekday, "2"),
        ];
        for (part, wanted) in table {
            assert_eq!(date_part(1_279_658_463, 120, part), wanted, "{part:?}");
        }
        assert_eq!(date_part(0, -570, DatePart::Zone), "-0930");
        assert_eq!(date_part(951_782_400, 0, DatePart::Date), "2000-02-29");
    }
}
