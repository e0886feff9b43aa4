//! TLS to the database.

use mailpods_store::StoreError;
use mailpods_store::postgres::PostgresStore;
use mailpods_test_postgres::Server;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::support::options;

fn issuer() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA")
}

/// A server whose certificate is for `db.test`, and its CA.
fn encrypted() -> (Server, String) {
    let (ca, key) = (issuer(), KeyPair::generate().expect("a key"));
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    let certificate = params.signed_by(&key, &ca).expect("a certificate");
    let mut server = Server::start().expect("a server");
    server
        .encrypt(&certificate.pem(), &key.serialize_pem())
        .expect("started");
    (server, ca.pem())
}

async fn attempt(
    server: &Server,
    host: &str,
    mode: &str,
    ca: Option<&str>,
) -> Result<bool, StoreError> {
    let mut options = options(&server.tcp_uri(host, mode));
    options.ca = ca.map(|pem| pem.as_bytes().to_vec());
    options.name = "tls".to_owned();
    let store = PostgresStore::connect(options).await?;
    let sql = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'tls'";
    let encrypted = server.execute(sql).expect("looked") == "t";
    store.close().await;
    Ok(encrypted)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_checked_as_the_uri_says() {
    let (server, ca) = encrypted();
    let other = issuer().pem();
    let right = Some(ca.as_str());
    assert!(
        attempt(&server, "localhost", "", right)
            .await
            .expect("the default")
    );
    assert!(
        attempt(&server, "localhost", "sslmode=verify-full", right)
            .await
            .expect("verify-full")
    );
    assert!(
        attempt(&server, "127.0.0.1", "sslmode=verify-ca", right)
            .await
            .expect("verify-ca")
    );
    assert!(
        attempt(&server, "127.0.0.1", "sslmode=require", None)
            .await
            .expect("require")
    );
    assert!(
        !attempt(&server, "127.0.0.1", "sslmode=disable", None)
            .await
            .expect("disable")
    );
    let path = server.put("ca.pem", &ca).expect("written");
    let named = format!("sslrootcert={}", path.display());
    assert!(
        attempt(&server, "localhost", &named, Some(&other))
            .await
            .expect("sslrootcert")
    );
    for (host, mode, ca) in [
        ("127.0.0.1", "", right),
        ("127.0.0.1", "sslmode=verify-full", right),
        ("localhost", "sslmode=verify-full", Some(other.as_str())),
        ("localhost", "sslmode=verify-ca", Some(other.as_str())),
        ("localhost", "", None),
    ] {
        let error = attempt(&server, host, mode, ca).await.expect_err(mode);
        assert!(
            matches!(&error, StoreError::Unavailable(text) if text.contains("certificate")),
            "{host} {mode}: {error}"
        );
    }
}
