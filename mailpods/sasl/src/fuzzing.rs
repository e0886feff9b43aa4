//! One entry for each parser, for fuzz targets: any input, no panic, bounded work.
use crate::client::{Client, ClientCredentials};
use crate::server::{Event, Server, ServerContext};
use crate::{BearerMechanism, ChannelBindings, Mechanism, PasswordHash, ScramKeys, Secret};

/// Reads a stored hash and, when it is cheap, tries a password.
pub fn password(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(hash) = PasswordHash::parse(text)
        && hash.is_cheap()
    {
        let _ = hash.verify(data);
    }
}

/// Feeds the lines of the input to every mechanism of the server, and the whole to those with tokens.
pub fn server(data: &[u8]) {
    let _ = BearerMechanism::OAuthBearer.read(data);
    let _ = BearerMechanism::XOAuth2.read(data);
    for mechanism in Mechanism::ALL {
        let bindings = ChannelBindings {
            tls_exporter: Some(vec![7; 32]),
            ..ChannelBindings::default()
        };
        let mut server = Server::new(
            mechanism,
            ServerContext {
                bindings,
                nonce: "nonce".to_owned(),
            },
        );
        for line in data.split(|b| *b == b'\n') {
            match server.step(line) {
                Ok(Event::NeedKeys(login)) => {
                    let _ = server.supply_keys(ScramKeys::fake(b"secret", &login.authcid));
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
    }
}

/// Feeds the lines of the input to every mechanism of the client.
pub fn client(data: &[u8]) {
    for mechanism in Mechanism::ALL {
        let credentials = ClientCredentials {
            name: "user".to_owned(),
            password: Secret::new("pencil"),
        };
        let bindings = ChannelBindings {
            tls_exporter: Some(vec![7; 32]),
            ..ChannelBindings::default()
        };
        let Ok(mut client) =
            Client::new(mechanism, credentials, &bindings, true, "nonce".to_owned())
        else {
            continue;
        };
        let _ = client.initial();
        for line in data.split(|b| *b == b'\n').take(4) {
            if client.step(line).is_err() {
                break;
            }
        }
    }
}
