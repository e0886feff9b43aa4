//! Reading when each destination may next have something to do.

use rusqlite::Connection;

use crate::common::due::DueIndex;
use crate::error::Result;
use crate::queue::Destination;

/// The earliest unit of the first destination after `?1`: from one destination to the next without reading what lies between.
const NEXT: [&str; 2] = [
    "SELECT destination, due FROM unit WHERE destination > ?1 AND held = 0 AND lease = 0 ORDER BY destination, due LIMIT 1",
    "SELECT destination, due FROM unit WHERE destination > ?1 AND held = 0 AND lease <> 0 ORDER BY destination, due LIMIT 1",
];

/// Reads the earliest time of each destination.
pub(in crate::sqlite) fn load(connection: &Connection) -> Result<DueIndex> {
    let mut index = DueIndex::default();
    for sql in NEXT {
        let mut statement = connection.prepare_cached(sql)?;
        let mut last = String::new();
        loop {
            let mut rows = statement.query([&last])?;
            let Some(row) = rows.next()? else {
                break;
            };
            let (destination, due): (String, i64) = (row.get(0)?, row.get(1)?);
            index.at_most(Destination(destination.as_str().into()), due);
            last = destination;
        }
    }
    Ok(index)
}
