//! Hashes made by other implementations: openssl passwd, crypt(3), Python's hashlib, the argon2 reference.
use proptest::prelude::*;

use super::*;

const PASSWORD: &[u8] = b"correct horse";

/// Every hash here is of [`PASSWORD`].
const FOREIGN: &[(&str, Scheme)] = &[
    (
        "$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
        Scheme::Bcrypt,
    ),
    (
        "{BLF-CRYPT}$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
        Scheme::Bcrypt,
    ),
    (
        "{CRYPT}$2a$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
        Scheme::Crypt,
    ),
    (
        "$6$saltstring$.r0X7ub5wGR2v4Xz7svCIozfnlorFh19V89t8KC9Umd81uGhFgsyTRNyzQDXDIm17fFcR9z3z7oBNdsyYBbtm/",
        Scheme::Sha512Crypt,
    ),
    (
        "{SHA512-CRYPT}$6$rounds=1000$short$0e8c4VH2.9WECWJ4hEU7wwl83rldSLVuQftBmF/xkj96Wh4.yNfDVKXLBTXD0R1YGFzxp1NCeSFbNup.13awx1",
        Scheme::Sha512Crypt,
    ),
    (
        "$5$saltstring$vc6YOOogU4kWVvwga8e9zTFgKcy4tb5LaPxIiPJzqEC",
        Scheme::Sha256Crypt,
    ),
    (
        "$5$rounds=10000$saltstringsaltst$ffO6RHJbzihHqETll0c/MLDJrGhQw9fAaO1LcVIStWB",
        Scheme::Sha256Crypt,
    ),
    (
        "{PBKDF2}$1$saltsalt$1000$c10a0153b19730da360890beada8a3adfea47b2e",
        Scheme::Pbkdf2,
    ),
    (
        "$pbkdf2-sha256$1000$MDEyMzQ1Njc4OWFiY2RlZg$cBg8D2DungRB9k76szThf5ehfyBz991ay6PT8Srwk4M",
        Scheme::Pbkdf2Sha256,
    ),
    (
        "$pbkdf2-sha512$i=1000,l=64$MDEyMzQ1Njc4OWFiY2RlZg$OM0FAoIqCVK1sWtxDiffVlBejtLa+ks4TP71JiecwuSZCG8iLbnlIEPOMoVX+i2B2wkSxjQ8CRGR9OkNGuIPMQ",
        Scheme::Pbkdf2Sha512,
    ),
    (
        "{PBKDF2-SHA256}1000$MDEyMzQ1Njc4OWFiY2RlZg$cBg8D2DungRB9k76szThf5ehfyBz991ay6PT8Srwk4M",
        Scheme::Pbkdf2Sha256,
    ),
    ("{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=", Scheme::Sha),
    ("{SSHA}YjOxnlnw8lITpqjG3t+XV9jV7otwZXBwZXI=", Scheme::Ssha),
    (
        "{SHA256}QQTTb42iwlQ0n4WDZ5Pr4CngyVcGOjTJHC6SAxh7VjE=",
        Scheme::Sha256,
    ),
    (
        "{SHA256.hex}4104d36f8da2c254349f85836793ebe029e0c957063a34c91c2e9203187b5631",
        Scheme::Sha256,
    ),
    (
        "{SSHA256}iiBneCY1H83bKojQwRhnuXkXl3mOZIuJrAljDBgCy5BwZXBwZXI=",
        Scheme::Ssha256,
    ),
    (
        "{SSHA256.HEX}8a20677826351fcddb2a88d0c11867b9791797798e648b89ac09630c1802cb90706570706572",
        Scheme::Ssha256,
    ),
    (
        "{SHA512}VraY3v7bWkNbY0r+MyC7rz/c2SC2xQOkRvx7endrKY1HnRumqLYXgI6wv1ec6aldZoNHvKtxSQhayTyyeZUZew==",
        Scheme::Sha512,
    ),
    (
        "{SSHA512.b64}jKNzZGOpZV+d15b9woPUu/HlAvWT2N41SupXoEK6cIpe8kGEbagFMP62zqbEllyguDhie7qcSvb0YtWRmcfrEXBlcHBlcg==",
        Scheme::Ssha512,
    ),
    ("{PLAIN}correct horse", Scheme::Plain),
    ("{plain.b64}Y29ycmVjdCBob3JzZQ==", Scheme::Plain),
];

#[test]
fn verifies_what_other_systems_made() {
    for (text, scheme) in FOREIGN {
        let hash = PasswordHash::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(hash.scheme(), *scheme, "{text}");
        assert!(hash.verify(PASSWORD), "{text}");
        assert!(!hash.verify(b"correct horsf"), "{text}");
        assert!(!hash.verify(b""), "{text}");
        assert_eq!(hash.needs_rehash(), *scheme != Scheme::Plain, "{text}");
    }
}

#[test]
fn verifies_the_argon2_reference_vectors() {
    let hash =
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    let two_lanes = "{ARGON2ID}$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc";
    for text in [hash, two_lanes] {
        let hash = PasswordHash::parse(text).unwrap();
        assert!(hash.verify(b"password"), "{text}");
        assert!(!hash.verify(b"Password"), "{text}");
        assert!(hash.needs_rehash(), "{text}");
    }
}

#[test]
fn a_new_hash_verifies_and_needs_no_rehash() {
    let text = hash_argon2id(PASSWORD, b"0123456789abcdef").unwrap();
    let hash = PasswordHash::parse(&text).unwrap();
    assert!(hash.verify(PASSWORD));
    assert!(!hash.verify(b"wrong"));
    assert!(!hash.needs_rehash());
    assert!(
        !format!("{hash:?}").contains("0123"),
        "Debug must not show the hash"
    );
}

#[test]
fn hostile_costs_are_refused() {
    let expensive = [
        "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=65536,t=4000000000,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=0,t=1,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=256,t=1,p=4000$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$2b$31$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
        "$6$rounds=999999999$short$0e8c4VH2.9WECWJ4hEU7wwl83rldSLVuQftBmF/xkj96Wh4.yNfDVKXLBTXD0R1YGFzxp1NCeSFbNup.13awx1",
        "$pbkdf2-sha256$400000000$MDEyMzQ1Njc4OWFiY2RlZg$cBg8D2DungRB9k76szThf5ehfyBz991ay6PT8Srwk4M",
        "{PBKDF2}$1$saltsalt$0$c10a0153b19730da360890beada8a3adfea47b2e",
        "{SCRAM-SHA-256}1,AAAA,AAAA,AAAA",
    ];
    for text in expensive {
        let error = PasswordHash::parse(text).unwrap_err();
        assert!(
            matches!(error, PasswordError::Cost { .. }),
            "{text}: {error}"
        );
    }
}

#[test]
fn errors_name_the_scheme_and_never_the_hash() {
    let unknown = PasswordHash::parse("{NTLM}8846F7EAEE8FB117")
        .unwrap_err()
        .to_string();
    assert!(
        unknown.contains("\"NTLM\"") && unknown.contains("ARGON2ID, "),
        "{unknown}"
    );
    assert!(!unknown.contains("8846F7"), "{unknown}");
    assert_eq!(
        PasswordHash::parse("hunter2").unwrap_err(),
        PasswordError::NoScheme
    );
    assert!(
        !PasswordHash::parse("hunter2")
            .unwrap_err()
            .to_string()
            .contains("hunter2")
    );
    let md5 = PasswordHash::parse("$1$abcdefgh$irWbblnpmw.5z7wgBnprh0").unwrap_err();
    assert_eq!(
        md5,
        PasswordError::UnknownScheme {
            found: "$1$".to_owned()
        }
    );
    let malformed = PasswordHash::parse("{SSHA512}dG9vc2hvcnQ=").unwrap_err();
    assert_eq!(
        malformed.to_string(),
        "malformed SSHA512 hash: shorter than its digest"
    );
}

#[test]
fn a_password_typed_in_another_normal_form_matches() {
    let hash = PasswordHash::parse("{PLAIN}\u{fc}ml\u{e4}ut").unwrap();
    assert!(hash.verify("\u{fc}ml\u{e4}ut".as_bytes()));
    assert!(hash.verify("u\u{308}ml\u{e4}ut".as_bytes()), "decomposed");
    let crypt = "$6$rounds=1000$short$0QOLJE0/a6qP8Xi445h20sBxIcLpaOCpA8qc4oSZKltTRIqxu0c3aqabmeFrKHjeHrqzT6w4GhXavD1RJ114l/";
    assert!(
        PasswordHash::parse(crypt)
            .unwrap()
            .verify("u\u{308}mla\u{308}ut".as_bytes())
    );
}

#[test]
fn scram_keys_survive_their_text_and_verify() {
    let keys = ScramKeys::derive_default(PASSWORD, b"0123456789abcdef");
    let hash = PasswordHash::parse(&keys.expose_text()).unwrap();
    assert_eq!(hash.scram_keys(), Some(&keys));
    assert!(hash.verify(PASSWORD));
    assert!(!hash.verify(b"wrong"));
    let rfc5803 = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    assert!(
        PasswordHash::parse(rfc5803).unwrap().verify(b"pencil"),
        "the keys of RFC 7677 §3's example"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_is_parsed_or_refused(prefix in "(\\{[A-Z0-9.-]{0,14}\\})?", body in "[$a-z0-9=,./+]{0,80}") {
        crate::fuzzing::password(format!("{prefix}{body}").as_bytes());
    }

    #[test]
    fn plain_verifies_itself(password in "[ -~]{1,40}") {
        let text = format!("{{PLAIN}}{password}");
        prop_assert!(PasswordHash::parse(&text).unwrap().verify(password.as_bytes()));
    }
}
