use super::*;

#[test]
fn domains_with_one_providers_exchangers_are_one() {
    let profiles = Profiles::shipped().unwrap();
    for (host, provider) in [
        ("gmail-smtp-in.l.google.com", "google"),
        ("ASPMX.L.GOOGLE.COM.", "google"),
        ("aspmx2.googlemail.com", "google"),
        ("contoso-com.mail.protection.outlook.com", "microsoft"),
        ("outlook-com.olc.protection.outlook.com", "microsoft"),
        ("contoso-com.o-v1.mx.microsoft", "microsoft"),
        ("mta5.am0.yahoodns.net", "yahoo"),
        ("mx01.mail.icloud.com", "apple"),
        ("mx00.gmx.net", "united-internet"),
        ("mx-ha02.web.de", "united-internet"),
        ("mx1.comcast.net", "comcast"),
        ("mx1.mail.ovh.net", "ovh"),
        ("mail.protonmail.ch", "proton"),
        ("mx.zoho.eu", "zoho"),
        ("in1-smtp.messagingengine.com", "fastmail"),
        ("mx00.t-online.de", "t-online"),
        ("smtp-in.orange.fr", "orange"),
        ("eu-smtp-inbound-1.mimecast.com", "mimecast"),
        ("mxs.mail.ru", "mail-ru"),
        ("mx3.qq.com", "qq"),
        ("mx.example.co.uk", "example.co.uk"),
        ("a.b.example.test", "example.test"),
        ("notgoogle.com", "notgoogle.com"),
        ("192.0.2.1", "192.0.2.1"),
    ] {
        assert_eq!(profiles.of_mx([host]).as_deref(), Some(provider), "{host}");
    }
    assert_eq!(profiles.of_mx([]), None);
}

#[test]
fn the_first_exchanger_counts() {
    let profiles = Profiles::shipped().unwrap();
    let hosts = ["mx.example.org", "aspmx.l.google.com"];
    assert_eq!(profiles.of_mx(hosts).as_deref(), Some("example.org"));
}

#[test]
fn every_profile_is_usable() {
    let profiles = Profiles::shipped().unwrap();
    assert!(profiles.by_name.len() >= 10);
    for profile in profiles.by_name.values() {
        assert!(!profile.mx.is_empty() && !profile.title.is_empty());
        assert!(profile.connections > 0 && profile.messages_per_connection > 0);
        for end in &profile.mx {
            let host = format!("mx.{end}");
            assert_eq!(
                profiles.of_mx([host.as_str()]).as_deref(),
                Some(profile.name.as_str()),
                "{end} belongs to two"
            );
        }
    }
    assert_eq!(profiles.profile("example.org").name, "other");
}

#[test]
fn a_rule_that_fits_everything_is_refused() {
    let text = "provider = []\n[[rule]]\nblame = \"ip\"\nbounce = \"block\"\n";
    assert!(matches!(
        Profiles::parse(text),
        Err(ProfileError::Wrong(_, _))
    ));
    let twice = "[[provider]]\nname=\"a\"\ntitle=\"a\"\nmx=[\"a.test\"]\nconnections=1\nmessages_per_connection=1\n";
    let text = format!("rule = []\n{twice}{twice}");
    assert!(matches!(
        Profiles::parse(&text),
        Err(ProfileError::Wrong(_, "stands twice"))
    ));
}

fn settings(name: &str, mx: &[&str]) -> Override {
    Override {
        name: name.to_owned(),
        mx: mx.iter().map(|&end| end.to_owned()).collect(),
        ..Override::default()
    }
}

fn rule(code: &str, blame: Blame) -> Rule {
    Rule {
        code: code.to_owned(),
        enhanced: Vec::new(),
        stage: None,
        text: Vec::new(),
        blame,
        bounce: Bounce::Other,
    }
}

#[test]
fn settings_stand_before_the_profiles() {
    let profiles = Profiles::shipped().unwrap();
    let before = profiles.profile("google").messages_per_connection;
    let google = Override {
        connections: Some(2),
        rest_minutes: Some(300),
        ..settings("google", &["relay.google.example"])
    };
    let house = settings("house", &["googlemail.com", ".corp.test."]);
    let profiles = profiles.with(&[google, house]).unwrap();
    let google = profiles.profile("google");
    assert_eq!(
        (
            google.connections,
            google.messages_per_connection,
            google.rest_minutes,
            google.place
        ),
        (2, before, 300, Some(0))
    );
    for (host, provider) in [
        ("aspmx.l.google.com", "google"),
        ("mx.relay.google.example", "google"),
        ("aspmx2.googlemail.com", "house"),
        ("mx.corp.test", "house"),
    ] {
        assert_eq!(profiles.of_mx([host]).as_deref(), Some(provider), "{host}");
    }
    assert_eq!(profiles.profile("house").connections, CONNECTIONS);
}

#[test]
fn settings_that_cannot_be_used_are_named() {
    for (overrides, place, field) in [
        (vec![settings("nobody", &[])], 0, "mx"),
        (
            vec![settings("a", &["a.test"]), settings("A", &["b.test"])],
            1,
            "name",
        ),
        (
            vec![
                settings("a", &["a.test"]),
                settings("b", &["b.test", "A.test."]),
            ],
            1,
            "mx[1]",
        ),
        (
            vec![Override {
                rules: vec![rule("550", Blame::Ip), rule("", Blame::Ip)],
                ..settings("google", &[])
            }],
            0,
            "rules[1]",
        ),
    ] {
        let wrong = Profiles::shipped().unwrap().with(&overrides).unwrap_err();
        assert!(
            matches!(&wrong, ProfileError::Override(at, name, _) if *at == place && name == field),
            "{wrong}"
        );
    }
}
