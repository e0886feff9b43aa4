//! A rolling upgrade to a new image.

use anyhow::{Context, Result, ensure};

use super::system::{MAIL, OPERATOR, rolled_out, under_load};
use crate::image;
use crate::world::World;

/// No connection is refused, no message lost or doubled.
pub fn run(world: &World) -> Result<()> {
    let reference = image::reference();
    let (repository, _) = reference
        .rsplit_once(':')
        .context("a reference without a tag")?;
    // Another one in each run, or nothing would roll.
    let tag = format!("next-{}", std::process::id());
    let next = format!("{repository}:{tag}");
    world.load_image(&next)?;
    let chart = crate::root().join("charts/mailpods").display().to_string();
    let report = under_load(world, "upgrade", |load| {
        let tag = format!("image.tag={tag}");
        world.helm(&[
            "upgrade",
            "mailpods",
            &chart,
            "--namespace",
            OPERATOR,
            "--reuse-values",
            "--set",
            &tag,
            "--wait",
            "--timeout=5m",
        ])?;
        for role in ["smtp", "imap", "filter", "delivery"] {
            runs(world, role, &next)?;
        }
        load.flows(10)
    })?;
    ensure!(
        report.refused.is_empty() && report.failed.is_empty(),
        "refused connections: {:?}; other failures: {:?}",
        report.refused,
        report.failed
    );
    Ok(())
}

/// Every pod of a role runs the image.
fn runs(world: &World, role: &str, image: &str) -> Result<()> {
    let deployment = format!("deployment/main-{role}");
    let place = [
        "-n",
        MAIL,
        &deployment,
        "-o=jsonpath={.spec.template.spec.containers[0].image}",
    ];
    world.kubectl.until(
        &format!("{role} gets {image}"),
        super::system::LIMIT,
        &place,
        |seen| seen == image,
    )?;
    rolled_out(&world.kubectl, MAIL, &deployment)?;
    // Those of before finish their sessions; load goes on until the last one has ended.
    let label = format!("app.kubernetes.io/component={role}");
    let images = "-o=jsonpath={.items[*].spec.containers[0].image}";
    let pods = ["-n", MAIL, "pods", "-l", &label, images];
    let all_new = |seen: &str| seen.split_whitespace().all(|one| one == image);
    let what = format!("no {role} pod of before is left");
    world
        .kubectl
        .until(&what, super::system::LIMIT, &pods, all_new)?;
    Ok(())
}
