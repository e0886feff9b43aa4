//! The certificate of the control channel over its life, with connections all the while.

use std::time::Duration;

use axum::Router;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use rustls::ServerConfig;
use rustls_pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::*;
use crate::certificates::renewal::Lifetimes;
use crate::control::{SERVICE, server, tls};

const LIFETIMES: Lifetimes = Lifetimes {
    whole: Duration::from_secs(3_600),
    left: Duration::from_secs(1_800),
    overlap: Duration::from_secs(60),
};

async fn served(config: impl Fn() -> Arc<ServerConfig> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(server::serve(listener, config, Router::new()));
    address
}

async fn connects(address: SocketAddr, authorities: &str) -> bool {
    let stream = TcpStream::connect(address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(tls::client(authorities).unwrap()));
    let name = ServerName::try_from(format!("{SERVICE}.mail.svc")).unwrap();
    connector.connect(name, stream).await.is_ok()
}

#[tokio::test]
async fn a_certificate_is_renewed_while_everybody_connects() {
    let played = Server::start("");
    let client = played.context.client.clone();
    let start = Timestamp::now();
    let at = |seconds: i64| start + SignedDuration::from_secs(seconds);
    let identity = tls::Identity::load(client, "mail", LIFETIMES)
        .await
        .unwrap();
    let (_, asked) = played.taken();
    let path = format!("/api/v1/namespaces/mail/secrets/{SERVICE}");
    played.has(&path, asked[0].body.clone());
    let served_now = identity.clone();
    let address = served(move || served_now.config()).await;
    let trusted = || identity.authorities().borrow().clone();
    let first = trusted();
    assert!(connects(address, &first).await);
    identity.look(at(1_700)).await.unwrap();
    assert_eq!(trusted(), first);
    // Those who connect get to know the successor's authority; the old certificate is still shown.
    identity.look(at(1_801)).await.unwrap();
    let both = trusted();
    assert_ne!(both, first);
    assert!(connects(address, &first).await && connects(address, &both).await);
    let old = identity.config();
    let other_replica = served(move || old.clone()).await;
    identity.look(at(1_830)).await.unwrap();
    assert!(connects(address, &first).await);
    // The server changes over; a replica that has not yet is trusted as well.
    identity.look(at(1_870)).await.unwrap();
    assert!(connects(address, &both).await && connects(other_replica, &both).await);
    assert!(!connects(address, &first).await);
    assert_eq!(trusted(), both);
    let (lines, _) = played.taken();
    let patches = lines
        .iter()
        .filter(|line| line.starts_with("PATCH"))
        .count();
    assert_eq!(patches, 2);
    // Another replica takes over what this one renewed.
    let client = played.context.client.clone();
    let second = tls::Identity::load(client, "mail", LIFETIMES)
        .await
        .unwrap();
    assert_eq!(*second.authorities().borrow(), both);
}
