//! Transcripts of the server's side; the SCRAM ones from RFC 7677 §3.
use std::num::NonZeroU32;

use proptest::prelude::*;

use super::*;
use crate::client::{Client, ClientCredentials};

const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const SALT: &[u8] = &[
    0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81,
];
const CLIENT_FIRST: &[u8] = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const CLIENT_FINAL: &[u8] = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn keys() -> ScramKeys {
    ScramKeys::derive(b"pencil", SALT, NonZeroU32::new(4096).unwrap())
}

fn name(authcid: &str) -> NameLogin {
    NameLogin {
        authcid: authcid.to_owned(),
        authzid: None,
    }
}

fn challenge(text: &str) -> Event {
    Event::Challenge(text.as_bytes().to_vec())
}

fn server(mechanism: Mechanism, bindings: ChannelBindings) -> Server {
    Server::new(
        mechanism,
        ServerContext {
            bindings,
            nonce: SERVER_NONCE.to_owned(),
        },
    )
}

fn exporter(octet: u8) -> ChannelBindings {
    ChannelBindings {
        tls_exporter: Some(vec![octet; 32]),
        tls_server_end_point: None,
    }
}

#[test]
fn scram_follows_the_example_of_rfc_7677() {
    let mut server = server(Mechanism::ScramSha256, ChannelBindings::default());
    assert_eq!(server.start(None), Ok(challenge("")));
    assert_eq!(server.step(CLIENT_FIRST), Ok(Event::NeedKeys(name("user"))));
    assert_eq!(server.supply_keys(keys()), Ok(challenge(SERVER_FIRST)));
    assert_eq!(server.step(CLIENT_FINAL), Ok(challenge(SERVER_FINAL)));
    assert_eq!(server.step(b""), Ok(Event::Accepted(name("user"))));
    assert_eq!(server.step(b""), Err(SaslError::OutOfTurn));
}

#[test]
fn scram_refuses_a_wrong_proof_nonce_and_binding() {
    let last = std::str::from_utf8(CLIENT_FINAL).unwrap();
    let cases = [
        (last.replace("p=dHz", "p=dHy"), SaslError::InvalidProof),
        (last.replace("k0,", "k1,"), SaslError::NonceMismatch),
        (last.replace("biws", "eSws"), SaslError::BindingMismatch),
        (
            last.replace("c=", "d="),
            SaslError::Message(MessageError::Syntax),
        ),
        (
            last.replace(",p=", ",q="),
            SaslError::Message(MessageError::Syntax),
        ),
        (
            last.replace("dVQ=", "dV=="),
            SaslError::Message(MessageError::Syntax),
        ),
    ];
    for (input, expected) in cases {
        let mut server = server(Mechanism::ScramSha256, ChannelBindings::default());
        let _ = server.start(Some(CLIENT_FIRST)).unwrap();
        let _ = server.supply_keys(keys()).unwrap();
        assert_eq!(server.step(input.as_bytes()), Err(expected), "{input}");
        assert_eq!(
            server.step(CLIENT_FINAL),
            Err(SaslError::OutOfTurn),
            "a failed exchange is over"
        );
    }
}

#[test]
fn scram_client_first_is_checked() {
    let cases: &[(&[u8], SaslError)] = &[
        (b"", SaslError::Message(MessageError::Syntax)),
        (b"n,,n=user", SaslError::Message(MessageError::Syntax)),
        (b"n,,n=user,r=", SaslError::Message(MessageError::Syntax)),
        (
            b"n,,n=user,r=a\x80b",
            SaslError::Message(MessageError::Syntax),
        ),
        (
            b"n,,n=user,r=nonce,garbage",
            SaslError::Message(MessageError::Syntax),
        ),
        (
            b"n,,m=must,n=user,r=nonce",
            SaslError::Message(MessageError::Extension),
        ),
        (
            b"n,,n=us=er,r=nonce",
            SaslError::Message(MessageError::NameEncoding),
        ),
        (
            b"n,,n=,r=nonce",
            SaslError::Message(MessageError::NameEncoding),
        ),
        (
            b"q,,n=user,r=nonce",
            SaslError::Message(MessageError::Syntax),
        ),
        (
            b"p=tls-exporter,,n=user,r=nonce",
            SaslError::BindingUnsupported,
        ),
    ];
    for (input, expected) in cases {
        let mut server = server(Mechanism::ScramSha256, ChannelBindings::default());
        assert_eq!(
            server.step(input),
            Err(*expected),
            "{}",
            String::from_utf8_lossy(input)
        );
    }
}

#[test]
fn scram_names_are_decoded_and_prepared() {
    let mut server = server(Mechanism::ScramSha256, ChannelBindings::default());
    let expected = NameLogin {
        authcid: "a,b=c\u{fc}".to_owned(),
        authzid: Some("boss".to_owned()),
    };
    let input = "n,a=boss,n=a=2Cb=3Dcu\u{308},r=nonce,x=ignored";
    assert_eq!(server.step(input.as_bytes()), Ok(Event::NeedKeys(expected)));
}

#[test]
fn scram_plus_downgrade_is_refused() {
    // RFC 5802 §6: the client supports channel binding but believes that the server does not.
    let mut server = server(Mechanism::ScramSha256, exporter(1));
    assert_eq!(server.step(b"y,,n=user,r=nonce"), Err(SaslError::Downgrade));
}

#[test]
fn scram_plus_wants_the_flag_and_a_known_binding() {
    for input in [
        "n,,n=user,r=nonce",
        "y,,n=user,r=nonce",
        "p=tls-unique,,n=user,r=nonce",
        "p=tls-server-end-point,,n=user,r=nonce",
    ] {
        let mut server = server(Mechanism::ScramSha256Plus, exporter(1));
        assert_eq!(
            server.step(input.as_bytes()),
            Err(SaslError::BindingUnsupported),
            "{input}"
        );
    }
}

/// Runs our client against our server.
fn exchange(
    mechanism: Mechanism,
    client_sees: &ChannelBindings,
    server_sees: ChannelBindings,
) -> Result<Event, SaslError> {
    let credentials = ClientCredentials {
        name: "user".to_owned(),
        password: Secret::new("pencil"),
    };
    let mut client = Client::new(
        mechanism,
        credentials,
        client_sees,
        true,
        "cnonce".to_owned(),
    )
    .unwrap();
    let mut server = server(mechanism, server_sees);
    let mut event = server.start(client.initial().as_deref())?;
    loop {
        event = match event {
            Event::Challenge(challenge) => server.step(&client.step(&challenge).unwrap())?,
            Event::NeedKeys(_) => server.supply_keys(keys())?,
            other => {
                client.finish().unwrap();
                return Ok(other);
            }
        };
    }
}

#[test]
fn client_and_server_agree_in_every_mechanism() {
    for mechanism in [Mechanism::ScramSha256, Mechanism::ScramSha256Plus] {
        assert_eq!(
            exchange(mechanism, &exporter(1), exporter(1)),
            Ok(Event::Accepted(name("user")))
        );
    }
    for mechanism in [Mechanism::Plain, Mechanism::Login] {
        let expected = PasswordLogin {
            login: name("user"),
            password: Secret::new("pencil"),
        };
        assert_eq!(
            exchange(mechanism, &exporter(1), exporter(1)),
            Ok(Event::CheckPassword(expected))
        );
    }
    let end_point = ChannelBindings {
        tls_exporter: None,
        tls_server_end_point: Some(vec![9; 32]),
    };
    assert_eq!(
        exchange(Mechanism::ScramSha256Plus, &end_point, end_point.clone()),
        Ok(Event::Accepted(name("user")))
    );
}

#[test]
fn a_machine_in_the_middle_is_seen_by_the_binding() {
    let result = exchange(Mechanism::ScramSha256Plus, &exporter(1), exporter(2));
    assert_eq!(result, Err(SaslError::BindingMismatch));
}

#[test]
fn an_unknown_name_answers_the_same_salt_each_time_and_never_succeeds() {
    let fake = ScramKeys::fake(b"server secret", "nobody");
    assert_eq!(fake, ScramKeys::fake(b"server secret", "nobody"));
    assert_ne!(
        fake.salt(),
        ScramKeys::fake(b"server secret", "somebody").salt()
    );
    assert_ne!(
        fake.salt(),
        ScramKeys::fake(b"other secret", "nobody").salt()
    );
    assert_eq!(
        fake.iterations(),
        ScramKeys::derive_default(b"x", &[0; 16]).iterations()
    );
    let mut server = server(Mechanism::ScramSha256, ChannelBindings::default());
    let _ = server.start(Some(CLIENT_FIRST)).unwrap();
    assert!(matches!(server.supply_keys(fake), Ok(Event::Challenge(_))));
    assert_eq!(server.step(CLIENT_FINAL), Err(SaslError::InvalidProof));
}

#[test]
fn plain_splits_its_three_fields() {
    // RFC 4616 §4
    let login = |input: &[u8]| server(Mechanism::Plain, ChannelBindings::default()).step(input);
    let tim = |authzid: Option<&str>| {
        let login = NameLogin {
            authcid: "tim".to_owned(),
            authzid: authzid.map(str::to_owned),
        };
        Ok(Event::CheckPassword(PasswordLogin {
            login,
            password: Secret::new("tanstaaftanstaaf"),
        }))
    };
    assert_eq!(login(b"\0tim\0tanstaaftanstaaf"), tim(None));
    assert_eq!(
        login(b"tim\0tim\0tanstaaftanstaaf"),
        tim(None),
        "authzid equal to authcid says nothing"
    );
    assert_eq!(login(b"Ursel\0tim\0tanstaaftanstaaf"), tim(Some("Ursel")));
    assert_eq!(login(b"tim"), Err(SaslError::Malformed));
    assert_eq!(login(b"\0tim\0a\0b"), Err(SaslError::Malformed));
    assert_eq!(login(b"\0\0password"), Err(SaslError::InvalidName));
    assert_eq!(login(b"\0tim\0"), Err(SaslError::InvalidPassword));
    assert_eq!(login(b"\0t\xffm\0password"), Err(SaslError::InvalidName));
    assert_eq!(
        login(&[b"\0tim\0".as_slice(), &[b'x'; 600]].concat()),
        Err(SaslError::InvalidPassword)
    );
    assert_eq!(login(&[b'x'; 5000]), Err(SaslError::TooLong));
}

#[test]
fn login_prompts_twice() {
    let mut server = server(Mechanism::Login, ChannelBindings::default());
    assert_eq!(server.start(None), Ok(challenge("Username:")));
    assert_eq!(server.step(b"tim"), Ok(challenge("Password:")));
    let expected = PasswordLogin {
        login: name("tim"),
        password: Secret::new("pw"),
    };
    assert_eq!(server.step(b"pw"), Ok(Event::CheckPassword(expected)));
    assert_eq!(server.step(b"pw"), Err(SaslError::OutOfTurn));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_input_gives_an_event_or_an_error(lines in proptest::collection::vec("[a-z,=npyr0-9+/\0]{0,40}", 0..4)) {
        crate::fuzzing::server(lines.join("\n").as_bytes());
    }

    #[test]
    fn names_survive_the_encoding(user in "[ -~]{1,30}") {
        let first = format!("n,,n={},r=nonce", crate::scram::message::encode_name(&user));
        let mut server = server(Mechanism::ScramSha256, ChannelBindings::default());
        prop_assert_eq!(server.step(first.as_bytes()), Ok(Event::NeedKeys(name(&user))));
    }
}
