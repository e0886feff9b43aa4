//! Mail to the world.

use anyhow::Result;

use super::system::{MAIL, SITE};
use super::tools::Tools;
use crate::world::World;

/// Submission with a log-in; DKIM by dkimpy and SPF by pyspf pass against the DNS that everybody sees. The tools tell of it.
pub fn run(world: &World) -> Result<()> {
    SITE.sends_signed(world, &world.subject("to the outside"))?;
    Tools::build(world, MAIL)?.work(&SITE)
}
