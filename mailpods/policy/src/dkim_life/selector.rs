//! Names of new selectors.

/// Longest label of a name, octets (RFC 1035 §2.3.4).
const MAX_LABEL: usize = 63;
/// Seconds of a day.
const DAY: i64 = 86_400;

/// A selector that is not taken: `base-20261125`, then `base-20261125-2` and so on. A long base is cut to fit.
///
/// `now`: seconds since 1970.
pub fn new_selector(base: &str, now: i64, taken: impl Fn(&str) -> bool) -> String {
    let date = date(now);
    let mut number = 1_u64;
    loop {
        let end = match number {
            1 => format!("-{date}"),
            _ => format!("-{date}-{number}"),
        };
        let name = fitted(base, &end);
        if !taken(&name) {
            return name;
        }
        // Ends because what is taken is finite and each number gives another name.
        number += 1;
    }
}

/// Selectors are ASCII; one that is not is cut between characters.
fn fitted(base: &str, end: &str) -> String {
    let mut room = MAX_LABEL.saturating_sub(end.len()).min(base.len());
    while !base.is_char_boundary(room) {
        room -= 1;
    }
    let start = base.get(..room).unwrap_or_default();
    format!("{}{end}", start.trim_end_matches(['-', '.', '_']))
}

/// The day as `YYYYMMDD`, in UTC.
fn date(now: i64) -> String {
    // Days since 0000-03-01, in eras of 400 years, so that the leap day is the last of a year.
    let days = now.max(0) / DAY + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + i64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (now, day) in [
            (0, "19700101"),
            (-5, "19700101"),
            (951_782_399, "20000228"),
            (951_782_400, "20000229"),
            (951_868_800, "20000301"),
            (4_107_542_399, "21000228"),
            (4_107_542_400, "21000301"),
            (1_798_675_200, "20261231"),
            (1_798_761_600, "20270101"),
        ] {
            assert_eq!(date(now), day, "{now}");
        }
    }

    #[test]
    fn names_are_new_and_fit_a_label() {
        let none = |_: &str| false;
        assert_eq!(new_selector("s", 0, none), "s-19700101");
        let taken = |name: &str| ["s-19700101", "s-19700101-2"].contains(&name);
        assert_eq!(new_selector("s", 0, taken), "s-19700101-3");
        let base = format!("{}-{}", "a".repeat(53), "b".repeat(9));
        let name = new_selector(&base, 0, none);
        assert_eq!(name, format!("{}-19700101", "a".repeat(53)));
        let second = new_selector(&base, 0, |other| other == name);
        assert_eq!(second.len(), 63);
        assert!(second.ends_with("a-19700101-2"));
    }
}
