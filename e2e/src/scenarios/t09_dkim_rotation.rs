//! New DKIM keys while mail flows.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Result, ensure};

use super::system::{LIMIT, MAIL, SITE};
use crate::wait;
use crate::world::World;

/// Mail goes out all the time; no message fails verification; at the end the new keys sign.
pub fn run(world: &World) -> Result<()> {
    let before = signing(world)?;
    ensure!(!before.is_empty(), "no key signs");
    world.kubectl.run(&[
        "-n",
        MAIL,
        "annotate",
        "maildomain/example",
        "--overwrite",
        &format!("mailpods.dev/rotate-dkim={}", std::process::id()),
    ])?;
    let started = Instant::now();
    let mut sent = 0;
    let mut after = before.clone();
    while !after.is_disjoint(&before) || after.is_empty() {
        ensure!(
            started.elapsed() < LIMIT,
            "after {} s {after:?} still sign",
            LIMIT.as_secs()
        );
        SITE.sends_signed(world, &world.subject("while keys change"))?;
        sent += 1;
        after = signing(world)?;
    }
    eprintln!("==> {before:?} gave way to {after:?}; {sent} messages verified in between");
    // Pods may take the new plan a moment later than the status shows it.
    wait::until("a message is signed with the new keys alone", LIMIT, || {
        let subject = world.subject("after the change");
        SITE.submission(world)?
            .send("friend@outside.test", &subject)?;
        let message = world.outside()?.await_message("friend", &subject, LIMIT)?;
        SITE.verify(world, &message)?;
        let old = before.iter().any(|s| message.contains(&format!("s={s};")));
        Ok(wait::holds(!old, "an old key signed"))
    })
}

/// Selectors whose phase is Signing.
fn signing(world: &World) -> Result<BTreeSet<String>> {
    let domain = world.kubectl.get(&["-n", MAIL, "maildomain", "example"])?;
    let keys = domain["status"]["dkim"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let selectors = keys
        .iter()
        .filter(|key| key["phase"] == "Signing")
        .filter_map(|key| key["selector"].as_str().map(str::to_owned));
    Ok(selectors.collect())
}
