use super::collate;

#[test]
fn text_is_compared_without_case_and_composition() {
    assert_eq!(collate("Hello, World"), "HELLO, WORLD");
    for (one, other) in [
        ("Grüße", "gRÜße"),
        ("é", "e\u{301}"),
        ("ﬁne", "fine"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("ǆ", "Ǆ"),
    ] {
        assert_eq!(collate(one).to_lowercase(), collate(other).to_lowercase());
    }
    // RFC 5051 §2: one character stays one
    assert_ne!(collate("ß"), collate("ss"));
    assert!(collate("apple") < collate("Banana") && collate("z") < collate("ä").replace('A', "z"));
}
