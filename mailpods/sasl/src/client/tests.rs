//! The client's side; transcript of RFC 7677 §3.
use super::*;

fn client(mechanism: Mechanism, bindings: &ChannelBindings, plus_seen: bool) -> Client {
    let credentials = ClientCredentials {
        name: "user".to_owned(),
        password: Secret::new("pencil"),
    };
    Client::new(
        mechanism,
        credentials,
        bindings,
        plus_seen,
        "rOprNGfwEbeRWgbNEkqO".to_owned(),
    )
    .unwrap()
}

const SERVER_FIRST: &[u8] =
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

#[test]
fn scram_follows_the_example_of_rfc_7677() {
    let mut client = client(Mechanism::ScramSha256, &ChannelBindings::default(), false);
    assert_eq!(
        client.initial().unwrap(),
        b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    );
    let last = client.step(SERVER_FIRST).unwrap();
    assert_eq!(
        String::from_utf8(last).unwrap(),
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    );
    assert_eq!(
        client.finish(),
        Err(ClientError::OutOfTurn),
        "success without the server's signature is not one"
    );
    assert_eq!(
        client.step(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="),
        Ok(Vec::new())
    );
    assert_eq!(client.finish(), Ok(()));
}

#[test]
fn scram_refuses_a_server_that_cheats() {
    let first = |challenge: &[u8]| {
        let mut client = client(Mechanism::ScramSha256, &ChannelBindings::default(), false);
        let _ = client.initial();
        client.step(challenge)
    };
    assert_eq!(
        first(b"r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
        Err(ClientError::Nonce)
    );
    assert_eq!(
        first(b"r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
        Err(ClientError::Nonce)
    );
    assert_eq!(
        first(b"r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=1"),
        Err(ClientError::Iterations { found: 1 })
    );
    assert_eq!(
        first(b"r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=4000000000"),
        Err(ClientError::Iterations {
            found: 4_000_000_000
        })
    );
    assert_eq!(
        first(b"m=x,r=a,s=AAAA,i=4096"),
        Err(ClientError::Message(MessageError::Extension))
    );
    let last = |challenge: &[u8]| {
        let mut client = client(Mechanism::ScramSha256, &ChannelBindings::default(), false);
        let _ = client.initial();
        let _ = client.step(SERVER_FIRST).unwrap();
        client.step(challenge)
    };
    assert_eq!(
        last(b"v=AAAATRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="),
        Err(ClientError::ServerSignature)
    );
    assert_eq!(
        last(b"e=invalid-proof"),
        Err(ClientError::Refused("invalid-proof".to_owned()))
    );
}

#[test]
fn the_flag_tells_what_the_client_believes() {
    let bindings = ChannelBindings {
        tls_exporter: Some(vec![1; 32]),
        tls_server_end_point: None,
    };
    let header = |mechanism, bindings: &ChannelBindings, plus_seen| {
        let initial = client(mechanism, bindings, plus_seen).initial().unwrap();
        String::from_utf8(initial)
            .unwrap()
            .split(",n=")
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        header(Mechanism::ScramSha256, &ChannelBindings::default(), false),
        "n,"
    );
    assert_eq!(header(Mechanism::ScramSha256, &bindings, false), "y,");
    assert_eq!(header(Mechanism::ScramSha256, &bindings, true), "n,");
    assert_eq!(
        header(Mechanism::ScramSha256Plus, &bindings, true),
        "p=tls-exporter,"
    );
}

#[test]
fn the_strongest_possible_mechanism_is_chosen() {
    let choose =
        |offered: &str, bindings: &ChannelBindings| Client::choose(offered.split(' '), bindings);
    let none = ChannelBindings::default();
    let some = ChannelBindings {
        tls_exporter: Some(vec![1]),
        tls_server_end_point: None,
    };
    assert_eq!(choose("LOGIN PLAIN", &none), Some(Mechanism::Plain));
    assert_eq!(
        choose("PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS", &none),
        Some(Mechanism::ScramSha256)
    );
    assert_eq!(
        choose("PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS", &some),
        Some(Mechanism::ScramSha256Plus)
    );
    assert_eq!(choose("GSSAPI CRAM-MD5", &some), None);
}

#[test]
fn any_challenge_gives_an_answer_or_an_error() {
    for data in [
        "",
        "\n\n\n",
        "r=,s=,i=",
        "v=\ne=",
        "r=nonce1,s=AAAA,i=4096\nv=AAAA",
        "\u{0}\u{ffff}",
    ] {
        crate::fuzzing::client(data.as_bytes());
    }
}
