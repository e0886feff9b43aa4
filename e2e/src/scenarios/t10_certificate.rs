//! A new certificate, and nobody notices.

use anyhow::Result;

use super::system::{LIMIT, MAIL, SITE, patch};
use crate::wait;
use crate::world::World;

/// The Secret is replaced: the new certificate is served at once, and an open session goes on.
pub fn run(world: &World) -> Result<()> {
    let first = certificate(world)?;
    patch(
        &world.kubectl,
        "mailcluster/main",
        r#"{"spec":{"tls":{"secretRef":{"name":"tls"}}}}"#,
    )?;
    served(world, &first)?;
    let mut session = SITE.imap(world)?.session()?;
    let second = certificate(world)?;
    served(world, &second)?;
    session.lives()?;
    session.end()
}

/// Makes a certificate and puts it into the Secret.
fn certificate(world: &World) -> Result<String> {
    let made = rcgen::generate_simple_self_signed(vec![SITE.host.to_owned()])?;
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let indented = |pem: &str| pem.trim_end().replace('\n', "\n    ");
    world.kubectl.apply(&format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: tls, namespace: {MAIL}}}\ntype: kubernetes.io/tls\nstringData:\n  tls.crt: |\n    {}\n  tls.key: |\n    {}\n",
        indented(&certificate),
        indented(&key)
    ))?;
    Ok(certificate.replace('\r', "").trim_end().to_owned())
}

fn served(world: &World, certificate: &str) -> Result<()> {
    wait::until("the new certificate is served", LIMIT, || {
        let shown = SITE.imap(world)?.certificate()?;
        Ok(wait::holds(shown == certificate, "another one is"))
    })
}
