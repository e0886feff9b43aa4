//! Which names a certificate is for.

use rustls::client::verify_server_name;
use rustls::server::ParsedCertificate;
use rustls_pki_types::ServerName;

use super::TlsConfigError;
use super::server::certificates;

/// Whether the first certificate of a PEM chain is for a host name (RFC 9525 §6), be it trusted or not.
///
/// # Errors
/// Malformed PEM, or no certificate in it.
pub fn covers(chain: &[u8], name: &str) -> Result<bool, TlsConfigError> {
    let chain = certificates(chain)?;
    let own = chain.first().ok_or(TlsConfigError::NoCertificate)?;
    let (Ok(own), Ok(name)) = (ParsedCertificate::try_from(own), ServerName::try_from(name)) else {
        return Ok(false);
    };
    Ok(verify_server_name(&own, &name).is_ok())
}

#[cfg(test)]
mod tests {
    use super::super::self_signed;
    use super::*;

    #[test]
    fn a_certificate_is_for_its_names() {
        let names = [
            "mx.example.test".to_owned(),
            "*.out.example.test".to_owned(),
        ];
        let pem = self_signed(&names, std::time::SystemTime::now(), 90).unwrap();
        for (name, wanted) in [
            ("mx.example.test", true),
            ("MX.example.test", true),
            ("a.out.example.test", true),
            ("a.b.out.example.test", false),
            ("example.test", false),
            ("not a name", false),
        ] {
            assert_eq!(
                covers(pem.chain.as_bytes(), name).unwrap(),
                wanted,
                "{name}"
            );
        }
        assert!(covers(b"", "mx.example.test").is_err());
    }
}
