//! The public key infrastructure of a cluster: one authority, a certificate for every server, one
//! for clients, and every kind of certificate that must not get anybody in.
//!
//! File names are those of the clusters this replays: `ca.pem`, `swarm-cert.pem`,
//! `dockerhost01-cert.pem`, and `cert.pem` for the client, each with its `…key.pem`. Keys are not
//! encrypted, so their files are for their owner alone ([`write`]).

mod files;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SanType,
};
use sha2::{Digest as _, Sha256};

use crate::scenario::CertKind as Kind;
use crate::scenario::cluster::{Cluster, Host};

pub use files::{Files, write};

/// How long certificates are valid, and half of what bad ones are away from it.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// How far the clocks of hosts may be behind.
const LEEWAY: Duration = Duration::from_secs(24 * 3600);

/// Where keys come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// From a seed: Ed25519, whose signatures draw nothing. Fit for the simulator alone: whoever
    /// knows the seed has the keys.
    Seeded(u64),
    /// From the operating system: ECDSA over P-256, which every Docker engine and client speaks.
    Fresh,
}

/// A certificate and its key.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate, PEM.
    pub cert: String,
    /// Its private key, PEM, not encrypted.
    pub key: String,
}

/// Never shows the key.
impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pair(..)")
    }
}

/// Whom a certificate is for.
struct Subject {
    name: String,
    /// What it is valid for, besides the name.
    addresses: Vec<IpAddr>,
    names: Vec<String>,
    usages: Vec<ExtendedKeyUsagePurpose>,
}

/// An authority, and certificates by it.
pub struct Pki {
    keys: Keys,
    now: SystemTime,
    authority: Authority,
    /// One that nobody trusts.
    stranger: Authority,
}

type Authority = CertifiedIssuer<'static, KeyPair>;

impl Pki {
    /// A new authority. `now` is the date in the world that its certificates are for.
    #[must_use]
    pub fn new(keys: Keys, now: SystemTime) -> Self {
        let authority = |name: &str| authority(name, key_pair(keys, name), now);
        Self {
            keys,
            now,
            authority: authority("Non-Prod Test CA"),
            stranger: authority("Some Other CA"),
        }
    }

    /// The authority's certificate, PEM.
    #[must_use]
    pub fn authority(&self) -> String {
        self.authority.pem()
    }

    /// The certificate of the manager on `host`, for both directions.
    #[must_use]
    pub fn manager(&self, host: &Host, kind: Kind) -> Pair {
        self.issue("manager", Subject::server(host), kind)
    }

    /// The certificate of the engine on `host`. It is also what the host's agent shows the store.
    #[must_use]
    pub fn engine(&self, host: &Host, kind: Kind) -> Pair {
        self.issue("engine", Subject::server(host), kind)
    }

    /// The certificate of the store on `host`.
    #[must_use]
    pub fn store(&self, host: &Host) -> Pair {
        self.issue("store", Subject::server(host), Kind::Good)
    }

    /// The certificate of a client.
    #[must_use]
    pub fn client(&self, kind: Kind) -> Pair {
        let subject = Subject {
            name: "client".into(),
            addresses: Vec::new(),
            names: Vec::new(),
            usages: vec![ExtendedKeyUsagePurpose::ClientAuth],
        };
        self.issue("client", subject, kind)
    }

    /// Every file of a cluster, as its hosts and its users have them.
    #[must_use]
    pub fn files(&self, cluster: &Cluster) -> Files {
        let mut files = Files::default();
        files.public("ca.pem", self.authority());
        files.pair("", self.client(Kind::Good));
        if let Some((host, _)) = cluster.manager() {
            files.pair("swarm-", self.manager(host, Kind::Good));
        }
        if let Some((host, _)) = cluster.store() {
            files.pair("store-", self.store(host));
        }
        for (host, _) in cluster.engines() {
            files.pair(&format!("{}-", host.name), self.engine(host, Kind::Good));
        }
        files
    }

    fn issue(&self, role: &str, subject: Subject, kind: Kind) -> Pair {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(&subject.name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = subject.usages;
        params.use_authority_key_identifier_extension = true;
        let ips = subject.addresses.into_iter().map(SanType::IpAddress);
        let names = subject.names.iter().filter_map(|name| dns(name));
        params.subject_alt_names = ips.chain(names).collect();
        (params.not_before, params.not_after) =
            ((self.now - LEEWAY).into(), (self.now + YEAR).into());
        let mut authority = &self.authority;
        match kind {
            Kind::Good | Kind::Plain => {}
            Kind::NoSan => params.subject_alt_names.clear(),
            Kind::WrongSan => {
                // An address for documentation (RFC 5737): nobody's.
                let nobody = Ipv4Addr::new(192, 0, 2, 1);
                params.subject_alt_names = vec![SanType::IpAddress(nobody.into())];
                params.subject_alt_names.extend(dns("elsewhere"));
            }
            Kind::Expired => {
                params.not_before = (self.now - 2 * YEAR).into();
                params.not_after = (self.now - YEAR).into();
            }
            Kind::NotYetValid => {
                params.not_before = (self.now + YEAR).into();
                params.not_after = (self.now + 2 * YEAR).into();
            }
            Kind::OtherCa => authority = &self.stranger,
            Kind::NoClientAuth => {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            }
        }
        let key = key_pair(self.keys, &format!("{role} {} {kind}", subject.name));
        let cert = params.signed_by(&key, authority).expect("a request of our own making");
        Pair { cert: cert.pem(), key: key.serialize_pem() }
    }
}

impl Subject {
    fn server(host: &Host) -> Self {
        Self {
            name: host.name.clone(),
            addresses: vec![host.address.into(), Ipv4Addr::LOCALHOST.into()],
            names: vec![host.name.clone(), "localhost".into()],
            usages: vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        }
    }
}

fn authority(name: &str, key: KeyPair, now: SystemTime) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = ((now - 3 * YEAR).into(), (now + 3 * YEAR).into());
    CertifiedIssuer::self_signed(params, key).expect("a request of our own making")
}

fn named(name: &str) -> rcgen::DistinguishedName {
    let mut distinguished = rcgen::DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// A DNS name; host names that are none are left to the address.
fn dns(name: &str) -> Option<SanType> {
    name.to_owned().try_into().ok().map(SanType::DnsName)
}

fn key_pair(keys: Keys, label: &str) -> KeyPair {
    match keys {
        Keys::Fresh => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        Keys::Seeded(seed) => {
            let mut hash = Sha256::new();
            hash.update(seed.to_le_bytes());
            hash.update(label);
            KeyPair::from_pem_and_sign_algo(&ed25519_pem(&hash.finalize()), &PKCS_ED25519)
        }
    }
    .expect("ring makes and reads such keys")
}

/// A private key of Ed25519, which is any 32 bytes, as PKCS #8 (RFC 8410, section 7).
fn ed25519_pem(secret: &[u8]) -> String {
    const HEADER: [u8; 16] =
        [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let encoded = base64::engine::general_purpose::STANDARD.encode([&HEADER, secret].concat());
    format!("-----BEGIN PRIVATE KEY-----\n{encoded}\n-----END PRIVATE KEY-----\n")
}

#[cfg(test)]
mod tests;
