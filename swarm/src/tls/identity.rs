//! Certificates and keys out of PEM, with the complaints of Go's `tls.X509KeyPair`.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{PemObject as _, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, RootCertStore};

/// A certificate chain and its private key.
#[derive(Clone)]
pub struct Identity(pub(super) Arc<CertifiedKey>);

/// Never shows the key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({} certificates)", self.0.cert.len())
    }
}

impl Identity {
    /// Reads a chain, the leaf first, and the leaf's unencrypted key. Other sections are skipped.
    ///
    /// # Errors
    /// Why they are of no use: nothing found, unreadable, or not a pair.
    pub fn from_pem(provider: &CryptoProvider, cert: &[u8], key: &[u8]) -> Result<Self, String> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(cert).filter_map(Result::ok).collect();
        if chain.is_empty() {
            return Err(no_certificate(cert));
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| no_key(key))?;
        let pair = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            Error::InconsistentKeys(_) => "tls: private key does not match public key".to_owned(),
            Error::InvalidCertificate(_) => "x509: malformed certificate".to_owned(),
            _ => "tls: failed to parse private key".to_owned(),
        })?;
        Ok(Self(Arc::new(pair)))
    }
}

/// The kinds of the sections of a PEM file.
fn sections(pem: &[u8]) -> Vec<SectionKind> {
    let sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(pem);
    sections.filter_map(|section| Some(section.ok()?.0)).collect()
}

fn is_key(kind: SectionKind) -> bool {
    use SectionKind::{EcPrivateKey, PrivateKey, RsaPrivateKey};
    matches!(kind, PrivateKey | RsaPrivateKey | EcPrivateKey)
}

fn no_certificate(pem: &[u8]) -> String {
    let found = sections(pem);
    if found.first().is_some_and(|kind| is_key(*kind)) {
        return "tls: failed to find certificate PEM data in certificate input, but did find a \
                private key; PEM inputs may have been switched"
            .to_owned();
    }
    match found.is_empty() {
        true => "tls: failed to find any PEM data in certificate input".to_owned(),
        false => "tls: failed to find \"CERTIFICATE\" PEM block in certificate input".to_owned(),
    }
}

fn no_key(pem: &[u8]) -> String {
    let found = sections(pem);
    if found.iter().any(|kind| is_key(*kind)) || holds_other_key(pem) {
        return "tls: failed to parse private key".to_owned();
    }
    match found.first() {
        None => "tls: failed to find any PEM data in key input".to_owned(),
        Some(SectionKind::Certificate) => {
            "tls: found a certificate rather than a key in the PEM for the private key".to_owned()
        }
        Some(_) => "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input"
            .to_owned(),
    }
}

/// Whether there is a key of a kind that cannot be used, above all an encrypted one.
fn holds_other_key(pem: &[u8]) -> bool {
    let ending = b"PRIVATE KEY-----";
    pem.windows(ending.len()).any(|window| window == ending)
}

/// The certificate authorities that are trusted.
#[derive(Clone, Debug)]
pub struct Authorities(pub(super) Arc<RootCertStore>);

impl Authorities {
    /// Reads one or more certificates.
    ///
    /// # Errors
    /// When there is none that could be one of an authority.
    pub fn from_pem(pem: &[u8]) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok);
        match roots.add_parsable_certificates(certificates) {
            (0, _) => Err("no certificate found in it".to_owned()),
            _ => Ok(Self(Arc::new(roots))),
        }
    }
}
