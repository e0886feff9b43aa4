//! backup, restore, fsck.
use std::fs;

use crate::world::World;

const ALICE: &str = "alice@example.test";

fn with_mail() -> World {
    let world = World::new();
    world.with_store(async |_| ());
    let text = "From bob@example.org Thu Jan  1 00:00:00 1970\nSubject: kept\n\nbody\n";
    fs::write(world.path("one.mbox"), text).unwrap();
    world
        .run(&["mailbox", "import", ALICE, "one.mbox", "--create-account"])
        .exits(0);
    world
}

#[test]
fn a_backup_is_restored_whole() {
    let world = with_mail();
    world.run(&["backup", "saved"]).exits(0);
    world.run(&["restore", "saved", "--data", "other"]).exits(0);
    world.run(&["fsck", "--data", "other"]).exits(0);
    world
        .run(&[
            "mailbox", "export", ALICE, "out.mbox", "--format", "mbox", "--data", "other",
        ])
        .exits(0);
    assert!(
        fs::read_to_string(world.path("out.mbox"))
            .unwrap()
            .contains("Subject: kept")
    );
}

#[test]
fn nothing_is_overwritten() {
    let world = with_mail();
    world.run(&["backup", "saved"]).exits(0);
    let run = world.run(&["backup", "saved"]).exits(1);
    assert!(run.errors().contains("saved"), "{}", run.errors());
    let run = world.run(&["restore", "saved"]).exits(1);
    assert!(run.errors().contains("try:"), "{}", run.errors());
    world
        .run(&["restore", "absent", "--data", "other"])
        .exits(1);
    world
        .run(&["backup", "saved", "--data", "nothing"])
        .exits(3);
}

#[test]
fn fsck_finds_damage() {
    let world = with_mail();
    world.run(&["fsck"]).exits(0).says(&["no damage"]);
    world.run(&["fsck", "--data", "nothing"]).exits(3);
}
