//! What the fuzz targets hold the parsers to.

use super::sts::{MAX_AGE, Policy, id};
use super::tlsa::{MAX_RECORDS, Tlsa, usable};

/// A policy that is read is within its bounds, is read the same from what is written of it, and never lets an empty name pass.
///
/// # Errors
/// What does not hold.
pub fn sts_policy(input: &[u8]) -> Result<(), String> {
    if let Some(id) = id([input])
        && !(1..=32).contains(&id.len())
    {
        return Err(format!("an id of {} characters", id.len()));
    }
    let Ok(policy) = Policy::parse(input) else {
        return Ok(());
    };
    if policy.max_age > MAX_AGE || policy.names("") {
        return Err(format!("out of bounds: {policy:?}"));
    }
    match Policy::parse(policy.document().as_bytes()) {
        Ok(again) if again == policy => Ok(()),
        other => Err(format!("{policy:?} is read back as {other:?}")),
    }
}

/// A record that is read is written and read the same, and what counts of many is usable.
///
/// # Errors
/// What does not hold.
pub fn tlsa(input: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(input);
    let records: Vec<Tlsa> = text.lines().filter_map(|line| line.parse().ok()).collect();
    for record in &records {
        match record.to_string().parse::<Tlsa>() {
            Ok(again) if again == *record => {}
            other => return Err(format!("{record} is read back as {other:?}")),
        }
        if record.matches(b"", b"") && !record.data.is_empty() && record.matching == 0 {
            return Err(format!("{record} matches nothing"));
        }
    }
    let usable = usable(&records);
    let sound = usable.len() <= MAX_RECORDS && usable.iter().all(|record| record.usage().is_some());
    sound
        .then_some(())
        .ok_or_else(|| format!("not usable: {usable:?}"))
}
