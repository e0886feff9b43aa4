//! backup, restore, fsck.
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::world::{World, text_of};

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

#[test]
fn a_lost_sealing_key_is_told_and_not_made_anew() {
    let world = with_mail();
    let config = world.config();
    let print = ["dns", "print", "--config", text_of(&config)];
    world.run(&print).exits(0);
    fs::remove_file(world.path("data/seal.key")).unwrap();
    for command in [&["queue", "list"][..], &["backup", "saved"], &print] {
        let run = world.run(command).exits(3);
        assert!(
            run.errors().contains("seal.key is missing"),
            "{}",
            run.errors()
        );
    }
    assert!(!world.path("data/seal.key").exists());
    world
        .run(&["fsck"])
        .exits(1)
        .says(&["a sealed secret does not open", "--forget-secrets"]);
    world
        .run(&["fsck", "--forget-secrets"])
        .exits(0)
        .says(&["(mended)"]);
    world.run(&print).exits(0);
}

/// Changes octets of a large message's file in place.
fn damage_large_message(world: &World) {
    let text: String = (0_u64..100_000)
        .map(|n| format!("{:x}\n", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .collect();
    let text = format!("From x Thu Jan  1 00:00:00 1970\nSubject: large\n\n{text}");
    fs::write(world.path("large.mbox"), text).unwrap();
    world
        .run(&["mailbox", "import", ALICE, "large.mbox"])
        .exits(0);
    let files = fs::read_dir(world.path("data/bodies")).unwrap();
    let folder = files
        .map(|entry| entry.unwrap().path())
        .find(|path| path.is_dir());
    let file = fs::read_dir(folder.unwrap())
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let mut octets = fs::read(file.path()).unwrap();
    octets[100_000..100_004].copy_from_slice(b"????");
    fs::write(file.path(), octets).unwrap();
}

#[test]
fn an_export_goes_on_past_a_damaged_message_and_names_it() {
    let world = with_mail();
    damage_large_message(&world);
    for (target, format) in [("out", "maildir"), ("out.mbox", "mbox")] {
        let run = world
            .run(&["mailbox", "export", ALICE, target, "--format", format])
            .exits(1);
        assert!(
            run.errors().contains("alice@example.test INBOX uid 2\n"),
            "{}",
            run.errors()
        );
    }
    assert_eq!(fs::read_dir(world.path("out/cur")).unwrap().count(), 1);
    let text = fs::read_to_string(world.path("out.mbox")).unwrap();
    assert!(text.contains("Subject: kept"));
    let run = world.run(&["fsck", "--bodies", "--repair"]).exits(1);
    run.says(&[
        "alice@example.test INBOX uid 2: body ",
        "what to do: ",
        "not mended",
    ]);
    assert!(!run.errors().contains("fsck --repair"), "{}", run.errors());
}

#[test]
fn another_users_store_is_not_called_missing() {
    let world = with_mail();
    let data = world.data();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailpods"));
    // The superuser may read everything.
    if fs::read_dir(&data).is_ok() {
        command.uid(65534);
    }
    let output = command
        .args(["queue", "list", "--data", text_of(&data)])
        .current_dir("/")
        .output()
        .unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{errors}");
    assert!(
        errors.contains("no permission") && errors.contains("sudo -u"),
        "{errors}"
    );
}
