//! The YAML of the documents is taken, rules of the definitions included.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;

use mailpods_operator::cluster::validate::validate;
use mailpods_plan::{Source, load_valid};

/// The YAML blocks of a document, one source for each document in them that is of a kind of ours.
fn sources(text: &str) -> Vec<Source> {
    let blocks = text.split("```yaml\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split("```").next());
    blocks
        .flat_map(|block| block.split("---\n"))
        .filter(|document| document.starts_with("apiVersion: mailpods.dev/"))
        .enumerate()
        .map(|(index, document)| Source {
            path: format!("block-{index}.yaml"),
            text: document.to_owned(),
        })
        .collect()
}

#[test]
fn what_documents_show_is_taken() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/kubernetes.md");
    let sources = sources(&std::fs::read_to_string(path).unwrap());
    let (resources, problems) = load_valid(&sources);
    assert_eq!(problems, []);
    let mut problems = Vec::new();
    for cluster in &resources.clusters {
        problems.extend(validate(&cluster.object).err().into_iter().flatten());
    }
    assert_eq!(problems, []);
    let mail = resources.domains.len() + resources.mailboxes.len();
    let count = resources.clusters.len() + mail + resources.outbound_ips.len();
    assert_eq!(count, sources.len());
    assert!(count >= 7, "{count} resources");
}
