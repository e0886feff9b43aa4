//! Certificates and kubeconfigs: one authority, a client certificate for each component.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};

use super::network;

/// The folder with all keys and certificates.
pub struct Certificates {
    folder: PathBuf,
}

/// Who a certificate is for.
struct Subject<'a> {
    file: &'a str,
    common_name: &'a str,
    organization: Option<&'a str>,
    /// DNS names and addresses; clients have none.
    names: &'a [&'a str],
}

const fn client<'a>(
    file: &'a str,
    common_name: &'a str,
    organization: Option<&'a str>,
) -> Subject<'a> {
    Subject {
        file,
        common_name,
        organization,
        names: &[],
    }
}

const SUBJECTS: &[Subject] = &[
    Subject {
        file: "apiserver",
        common_name: "kube-apiserver",
        organization: None,
        names: &[
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "localhost",
            "127.0.0.1",
            network::FIRST_SERVICE,
            network::NODE_ADDRESS,
        ],
    },
    Subject {
        file: "etcd",
        common_name: "etcd",
        organization: None,
        names: &["localhost", network::NODE_ADDRESS],
    },
    client("admin", "admin", Some("system:masters")),
    client(
        "apiserver-kubelet",
        "kube-apiserver",
        Some("system:masters"),
    ),
    client("controller-manager", "system:kube-controller-manager", None),
    client("scheduler", "system:kube-scheduler", None),
    client("proxy", "system:kube-proxy", None),
    client("coredns", "system:coredns", None),
    // The Node authorizer takes the node's name from here.
    client("node", "system:node:mailpods", Some("system:nodes")),
];

/// Those that talk to the API server through a kubeconfig.
const KUBECONFIGS: &[&str] = &[
    "admin",
    "controller-manager",
    "scheduler",
    "proxy",
    "coredns",
    "node",
];

impl Certificates {
    /// Makes all that is missing.
    pub fn ensure(folder: &Path) -> Result<Self> {
        let certificates = Self {
            folder: folder.to_owned(),
        };
        if !certificates.file("complete").exists() {
            std::fs::create_dir_all(folder)?;
            certificates.make().context("failed to make certificates")?;
            certificates.write("complete", "")?;
        }
        Ok(certificates)
    }

    /// The path of a file by its name.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// `--OPTION=FILE` as the Kubernetes components take it.
    pub fn option(&self, option: &str, name: &str) -> String {
        format!("--{option}={}", self.file(name).display())
    }

    /// The kubeconfig of a component or of `admin`.
    pub fn kubeconfig(&self, name: &str) -> PathBuf {
        self.file(&format!("{name}.kubeconfig"))
    }

    fn make(&self) -> Result<()> {
        let key = KeyPair::generate()?;
        let mut authority = CertificateParams::default();
        authority.distinguished_name = distinguished_name("mailpods-cluster", None);
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let certificate = authority.self_signed(&key)?;
        self.write("ca.pem", &certificate.pem())?;
        self.write("ca.key", &key.serialize_pem())?;
        let issuer = Issuer::new(authority, key);
        for subject in SUBJECTS {
            self.issue(subject, &issuer)?;
        }
        for name in KUBECONFIGS {
            self.write_kubeconfig(name)?;
        }
        let tokens = KeyPair::generate()?;
        self.write("service-account.key", &tokens.serialize_pem())?;
        self.write("service-account.pub", &tokens.public_key_pem())
    }

    fn issue(&self, subject: &Subject, issuer: &Issuer<'_, KeyPair>) -> Result<()> {
        let names: Vec<String> = subject.names.iter().map(|&n| n.to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = distinguished_name(subject.common_name, subject.organization);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if !subject.names.is_empty() {
            params
                .extended_key_usages
                .push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, issuer)?;
        self.write(&format!("{}.pem", subject.file), &certificate.pem())?;
        self.write(&format!("{}.key", subject.file), &key.serialize_pem())
    }

    fn write_kubeconfig(&self, name: &str) -> Result<()> {
        let text = format!(
            include_str!("templates/kubeconfig.yaml"),
            server = network::API_SERVER,
            authority = self.file("ca.pem").display(),
            certificate = self.file(&format!("{name}.pem")).display(),
            key = self.file(&format!("{name}.key")).display(),
        );
        std::fs::write(self.kubeconfig(name), text)?;
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        use std::os::unix::fs::OpenOptionsExt;
        let mut file = std::fs::File::options()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(self.file(name))?;
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        Ok(())
    }
}

fn distinguished_name(common_name: &str, organization: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name
}
