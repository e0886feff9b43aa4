//! Folders of resources against the objects and records that they come to. `UPDATE=1` refreshes what is expected.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};

use mailpods_operator::render::{read_folder, render, surroundings};

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn rendered(name: &str) -> String {
    let mut sources = read_folder(&case(name)).unwrap();
    sources.retain(|source| source.path == "in.yaml");
    let rendered = render(&sources, &surroundings("mailpods:test", "mailpods-system")).unwrap();
    let problems: Vec<_> = rendered.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems, Vec::<String>::new());
    rendered.text
}

fn check(name: &str) {
    let text = rendered(name);
    let path = case(name).join("out.yaml");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text == wanted,
        "{} differs; UPDATE=1 cargo test -p mailpods-operator refreshes it\n{text}",
        path.display()
    );
}

#[test]
fn embedded_store() {
    check("embedded");
}

#[test]
fn postgresql_store() {
    check("postgresql");
}

#[test]
fn egress_proxies() {
    check("egress");
}

#[test]
fn rendering_twice_gives_the_same() {
    assert_eq!(rendered("postgresql"), rendered("postgresql"));
}
