use proptest::prelude::*;

use super::*;
use crate::fuzz::fuzz_yaml;

#[test]
fn anchors_repeat_values_within_bounds() {
    let text = "a: &a {name: main}\n";
    let cluster = CLUSTER.replace("metadata: {name: main}", "metadata: &m {name: main}");
    let domain = "---\napiVersion: mailpods.dev/v1alpha1\nkind: MailDomain\nmetadata: *m\nspec: {domain: example.test}\n";
    // An anchor ends with its document.
    assert!(
        problems(&[source("c.yaml", &format!("{cluster}{domain}"))])[0].contains("invalid YAML")
    );
    assert!(problems(&[source("c.yaml", text)])[0].contains("kind: is required"));
}

#[test]
fn a_bomb_of_aliases_is_refused() {
    let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..12 {
        let before = level - 1;
        text.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            vec![format!("*a{before}"); 10].join(",")
        ));
    }
    let found = problems(&[source("bomb.yaml", &text)]);
    assert!(
        found[0].contains("anchors repeat more than 200000 values"),
        "{found:?}"
    );
}

#[test]
fn deep_and_large_files_are_refused() {
    let deep = problems(&[source("deep.yaml", &"[".repeat(100_000))]);
    assert!(deep[0].starts_with("deep.yaml:1:"), "{deep:?}");
    let block: String = (0..200)
        .map(|depth| format!("{}a:\n", " ".repeat(depth)))
        .collect();
    assert!(problems(&[source("deep.yaml", &block)])[0].starts_with("deep.yaml:"));
    let large = problems(&[source("large.yaml", &"#".repeat(5 << 20))]);
    assert!(
        large[0].starts_with("large.yaml: file is larger than 4 MiB; found 5242880 octets"),
        "{large:?}"
    );
}

#[test]
fn odd_files_are_answered() {
    let files: [&[u8]; 12] = [
        b"",
        b"---\n---\n",
        b"\xff\xfe",
        b"!!binary x",
        b"? [a]\n: b",
        b"&a [*a]",
        b"*a",
        b"%YAML 9.9\n---\n",
        b"kind: {}\napiVersion: []\nmetadata: 5",
        b"apiVersion: v1\nkind: Secret\nmetadata: {name: []}",
        b"<<: {a: b}",
        b"- - - - -",
    ];
    files.into_iter().for_each(fuzz_yaml);
}

thread_local! {
    /// Keeps the compiled kinds from case to case.
    static KINDS: std::sync::Arc<Vec<crate::kinds::Kind>> = crate::kinds::kinds();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_octets_are_answered(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        KINDS.with(|_| fuzz_yaml(&data));
    }

    /// A valid folder with some octets changed.
    #[test]
    fn a_damaged_folder_is_answered(changes in proptest::collection::vec((any::<usize>(), "[\\[\\]{}:,&*#'\"a-z0-9 \n-]"), 1..6)) {
        let mut text = format!("{CLUSTER}---\n{}---\n{}", domain("example.test", ""), mailbox("a@example.test", "")).into_bytes();
        for (place, with) in changes {
            let place = place % text.len();
            text.splice(place..=place, with.bytes());
        }
        KINDS.with(|_| fuzz_yaml(&text));
    }
}
