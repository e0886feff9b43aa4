use std::path::Path;

use serde_json::{Value, json};

use super::*;

#[test]
fn times_read_and_print() {
    for (text, millis, shown) in [
        ("30s", 30_000, "30s"),
        ("90s", 90_000, "1m30s"),
        ("1d12h", 129_600_000, "1d12h"),
        ("250ms", 250, "250ms"),
        ("0s", 0, "0s"),
    ] {
        let time: TimeSpan = text.parse().unwrap();
        assert_eq!(
            (time.get().as_millis(), time.to_string().as_str()),
            (millis, shown)
        );
    }
    for text in [
        "",
        "s",
        "10",
        "1.5h",
        "-1s",
        "1w",
        "9999999999d",
        "11000d",
        "1h 2m",
    ] {
        assert!(text.parse::<TimeSpan>().is_err(), "{text}");
    }
}

#[test]
fn sizes_read_and_print() {
    for (text, octets, shown) in [
        ("10Gi", 10 << 30, "10Gi"),
        ("1M", 1_000_000, "1000000"),
        ("1048576", 1 << 20, "1Mi"),
        ("0", 0, "0"),
        ("5k", 5_000, "5000"),
    ] {
        let size: Octets = text.parse().unwrap();
        assert_eq!((size.0, size.to_string().as_str()), (octets, shown));
    }
    for text in [
        "",
        "Gi",
        "1GB",
        "1.5Gi",
        "-1",
        "99999999999999999999",
        "9Ei",
    ] {
        assert!(text.parse::<Octets>().is_err(), "{text}");
    }
    assert_eq!(
        serde_json::from_str::<Octets>("1024").unwrap(),
        Octets(1_024)
    );
}

#[test]
fn crds_folder_has_the_definitions_of_this_crate() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds");
    let files = crds().unwrap();
    assert_eq!(files.len(), 5);
    for file in files {
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(&file.name), &file.yaml).unwrap();
        }
        let kept = std::fs::read_to_string(folder.join(&file.name)).unwrap_or_default();
        assert!(
            kept == file.yaml,
            "crds/{} differs from mailpods/api: run `cargo xtask crds`",
            file.name
        );
    }
}

#[test]
fn schemas_are_structural() {
    let all = [definitions().unwrap(), served_definitions().unwrap()].concat();
    for definition in all {
        let kind = definition
            .pointer("/spec/names/kind")
            .unwrap()
            .as_str()
            .unwrap();
        let root = schema(&definition).unwrap();
        assert_structural(root, kind);
        assert_eq!(
            definition.pointer("/spec/names/categories/0").unwrap(),
            "mailpods"
        );
        assert!(
            definition
                .pointer("/spec/versions/0/subresources/status")
                .is_some(),
            "{kind}"
        );
    }
}

/// A type in every node, a description on every field, no keyword that the API server refuses.
fn assert_structural(node: &Value, path: &str) {
    let object = node
        .as_object()
        .unwrap_or_else(|| panic!("{path} is no object"));
    let free = object.contains_key("x-kubernetes-int-or-string");
    assert!(
        free || object.get("type").is_some_and(Value::is_string),
        "{path} has no type: {node}"
    );
    for refused in [
        "$ref",
        "const",
        "definitions",
        "oneOf",
        "anyOf",
        "allOf",
        "not",
        "exclusiveMinimum",
        "uniqueItems",
    ] {
        assert!(!object.contains_key(refused), "{path} has {refused}");
    }
    if let Some(pattern) = object.get("pattern").and_then(Value::as_str) {
        assert!(
            !pattern.contains("(?"),
            "{path}: pattern is not RE2 and ECMA at once"
        );
    }
    for (name, field) in object
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let path = format!("{path}.{name}");
        let standard = matches!(
            name.as_str(),
            "apiVersion" | "kind" | "metadata" | "spec" | "status"
        );
        assert!(
            standard || field.get("description").is_some(),
            "{path} has no description"
        );
        assert_structural(field, &path);
    }
    if let Some(items) = object.get("items") {
        assert_structural(items, &format!("{path}[]"));
    }
    if let Some(values) = object
        .get("additionalProperties")
        .filter(|values| values.is_object())
    {
        assert_structural(values, &format!("{path}.*"));
    }
}

#[test]
fn rules_compile() {
    let all = [definitions().unwrap(), served_definitions().unwrap()].concat();
    for definition in all {
        let compiled = kube_core::cel::compile_schema(schema(&definition).unwrap());
        assert!(
            !compiled.has_errors(),
            "{:?}",
            compiled.compilation_errors()
        );
    }
}

/// Patterns of a schema that people write against.
fn patterns(node: &Value, found: &mut Vec<String>) {
    if let Some(pattern) = node.get("pattern").and_then(Value::as_str) {
        found.push(pattern.to_owned());
    }
    match node {
        Value::Object(object) => object.values().for_each(|inner| patterns(inner, found)),
        Value::Array(values) => values.iter().for_each(|inner| patterns(inner, found)),
        _ => {}
    }
}

#[test]
fn no_one_is_shown_a_pattern() {
    let spec = "/properties/spec";
    let (mut written, mut served) = (Vec::new(), Vec::new());
    for definition in definitions().unwrap() {
        let schema = schema(&definition).unwrap();
        patterns(schema.pointer(spec).unwrap(), &mut written);
    }
    for definition in served_definitions().unwrap() {
        let schema = schema(&definition).unwrap();
        patterns(schema.pointer(spec).unwrap(), &mut served);
    }
    // What may be there too often for a rule has one that reads like an address.
    served.dedup();
    assert_eq!(served, [r"^.+@[^@\s]+$"]);
    for pattern in written {
        assert!(Form::of(&pattern).is_some(), "{pattern} has no words");
    }
}

/// What the API server would say of a text at a field that holds a form.
fn said(pattern: &str, text: &Value) -> Result<(), String> {
    let mut field = json!({"type": "string", "pattern": pattern});
    if text.is_number() {
        field = json!({"x-kubernetes-int-or-string": true, "pattern": pattern});
    }
    let mut schema = json!({"type": "object", "properties": {"field": field}});
    crate::forms::explain_patterns(&mut schema);
    let object = json!({"field": text});
    let told = kube_core::cel::Validator::new().validate(&schema, &object, None);
    told.map_err(|errors| errors[0].message.clone())
}

#[test]
fn rules_say_in_words_what_a_text_must_look_like() {
    let address = "^[0-9A-Fa-f:.]+$";
    for (pattern, good, bad, words) in [
        (
            address,
            "192.0.2.1",
            "999.0.0.1",
            "must be an IP address such as 192.0.2.1 or 2001:db8::1; found 999.0.0.1",
        ),
        (address, "2001:db8::1", "192.0.2", "found 192.0.2"),
        (
            r"^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$",
            "192.0.2.0/24",
            "10.0.0.0/33",
            "must be a network such as 192.0.2.0/24 or 2001:db8::/32; found 10.0.0.0/33",
        ),
        (
            r"^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$",
            "::1",
            "home",
            "found home",
        ),
        (
            r"^[!#$%&'*+/=?^_`{|}~-]$",
            "'",
            "\\'",
            "must be one of the characters ! # $ % & ' *",
        ),
        (
            r"^v=spf1( [!-~]+)*$",
            "v=spf1 -all",
            "v=spf1  -all",
            "must be an SPF record: v=spf1, then terms with one space before each; found v=spf1  -all",
        ),
        (
            r"^[^@\s\x00-\x1f\x7f]+$",
            "info",
            "a b",
            "must be what stands before the @ of an address, such as info; found a b",
        ),
    ] {
        assert_eq!(said(pattern, &json!(good)), Ok(()), "{good}");
        let told = said(pattern, &json!(bad)).unwrap_err();
        assert!(told.contains(words), "{bad}: {told}");
        let form = Form::of(pattern).unwrap();
        assert!(form.holds(good), "{good}");
    }
    let size = r"^[0-9]{1,19}(Ei|Pi|Ti|Gi|Mi|Ki|E|P|T|G|M|k)?$";
    assert_eq!(said(size, &json!(5)), Ok(()));
    assert!(
        said(size, &json!("much"))
            .unwrap_err()
            .contains("10Gi; found much")
    );
}
