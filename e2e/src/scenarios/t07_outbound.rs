//! Mail to the world.

use anyhow::Result;

use super::system::SITE;
use crate::world::World;

/// Submission with a log-in; DKIM by dkimpy and SPF by pyspf pass against the DNS that everybody sees.
pub fn run(world: &World) -> Result<()> {
    SITE.sends_signed(world, &world.subject("to the outside"))
        .map(|_| ())
}
