//! Mail from the world.

use anyhow::Result;

use super::system::SITE;
use crate::world::World;

/// A strange Postfix finds our MX in DNS; the mail is read by curl; an unknown user is refused at RCPT.
pub fn run(world: &World) -> Result<()> {
    SITE.receives(world, &world.subject("from outside"))?;
    SITE.refuses_strangers(world)
}
