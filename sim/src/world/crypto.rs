//! TLS whose every byte the seed decides.
//!
//! rustls asks its provider for randomness, but ring makes ephemeral keys and nonces from the
//! operating system's. So two parts are replaced: the random numbers, and the key exchange, which
//! is X25519 with a private key from the same numbers. Certificates must have Ed25519 keys, whose
//! signatures draw nothing (those of P-256 do, and vary even in length).
//!
//! A provider's parts are `'static` and know no host. They draw from the host whose task runs,
//! which the world notes in a variable of its thread.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, GetRandomFailed, SecureRandom, SharedSecret,
    SupportedKxGroup, WebPkiSupportedAlgorithms, ring,
};
use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};
use rustls::{Error, NamedGroup, PeerMisbehaved, SignatureScheme};
use sha2::{Digest as _, Sha256};
use x25519_dalek::{PublicKey, StaticSecret};

use super::host::Host;
use crate::rng::Stream;

/// How many valid signatures are remembered.
const VALID_MAX: usize = 1024;

/// The purpose of these draws.
const PURPOSE: &str = "tls";

thread_local! {
    /// The seed of this thread's world.
    static SEED: Cell<u64> = const { Cell::new(0) };
    /// The host whose task runs.
    static HOST: RefCell<Option<Arc<Host>>> = const { RefCell::new(None) };
    /// Hashes of signatures that were found valid, with their messages and keys.
    static VALID: RefCell<BTreeSet<[u8; 32]>> = const { RefCell::new(BTreeSet::new()) };
    /// Draws of the world's own program, which runs on no host.
    static DRAWS: Cell<u64> = const { Cell::new(0) };
}

/// Makes this thread draw from the world of `seed`, from the start.
pub(super) fn begin(seed: u64) {
    SEED.set(seed);
    DRAWS.set(0);
}

/// Runs `work` with draws from `host`.
pub(super) fn on_host<T>(host: &Arc<Host>, work: impl FnOnce() -> T) -> T {
    let outer = HOST.replace(Some(Arc::clone(host)));
    let result = work();
    HOST.set(outer);
    result
}

/// The provider of every host.
pub(super) fn provider() -> CryptoProvider {
    CryptoProvider {
        kx_groups: vec![&SeededX25519],
        secure_random: &Seeded,
        signature_verification_algorithms: WebPkiSupportedAlgorithms {
            all: &[&Remembered],
            mapping: &[(SignatureScheme::ED25519, &[&Remembered])],
        },
        ..ring::default_provider()
    }
}

/// Ed25519 as ring has it.
static ED25519: LazyLock<&'static dyn SignatureVerificationAlgorithm> = LazyLock::new(|| {
    let known = ring::default_provider().signature_verification_algorithms;
    let found = known.mapping.iter().find(|(scheme, _)| *scheme == SignatureScheme::ED25519);
    found.and_then(|(_, algorithms)| algorithms.first()).copied().expect("ring has Ed25519")
});

/// Ed25519 that checks no signature twice. Every handshake checks the same few certificates, and
/// that is a third of what it costs.
#[derive(Debug)]
struct Remembered;

impl SignatureVerificationAlgorithm for Remembered {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let mut hash = Sha256::new();
        for part in [public_key, signature, message] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let hash: [u8; 32] = hash.finalize().into();
        if VALID.with_borrow(|valid| valid.contains(&hash)) {
            return Ok(());
        }
        ED25519.verify_signature(public_key, message, signature)?;
        VALID.with_borrow_mut(|valid| {
            if valid.len() == VALID_MAX {
                valid.clear();
            }
            valid.insert(hash);
        });
        Ok(())
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        ED25519.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        ED25519.signature_alg_id()
    }
}

fn fill(bytes: &mut [u8]) {
    let seed = SEED.get();
    HOST.with_borrow(|host| match host {
        Some(host) => host.fill(seed, PURPOSE, bytes),
        None => {
            let count = DRAWS.get();
            DRAWS.set(Stream::new(seed, &["world", PURPOSE]).fill(count, bytes));
        }
    });
}

#[derive(Debug)]
struct Seeded;

impl SecureRandom for Seeded {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        fill(bytes);
        Ok(())
    }
}

#[derive(Debug)]
struct SeededX25519;

impl SupportedKxGroup for SeededX25519 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut bytes = [0; 32];
        fill(&mut bytes);
        let secret = StaticSecret::from(bytes);
        let public = PublicKey::from(&secret).to_bytes();
        Ok(Box::new(Exchange { secret, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

struct Exchange {
    secret: StaticSecret,
    public: [u8; 32],
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let peer: [u8; 32] =
            peer.try_into().map_err(|_| Error::from(PeerMisbehaved::InvalidKeyShare))?;
        let shared = self.secret.diffie_hellman(&PublicKey::from(peer));
        match shared.was_contributory() {
            true => Ok(SharedSecret::from(shared.as_bytes().as_slice())),
            false => Err(PeerMisbehaved::InvalidKeyShare.into()),
        }
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(seed: u64) -> (Vec<u8>, Vec<u8>) {
        begin(seed);
        let ours = SeededX25519.start().unwrap();
        let public = ours.pub_key().to_vec();
        let theirs = ring::kx_group::X25519.start_and_complete(&public).unwrap();
        let shared = ours.complete(&theirs.pub_key).unwrap();
        assert_eq!(shared.secret_bytes(), theirs.secret.secret_bytes(), "ring agrees");
        (public, shared.secret_bytes().to_vec())
    }

    #[test]
    fn the_key_exchange_is_x25519_and_follows_the_seed() {
        assert_eq!(exchange(1).0, exchange(1).0);
        assert_ne!(exchange(1).0, exchange(2).0);
    }

    #[test]
    fn a_share_that_contributes_nothing_is_refused() {
        for share in [&[0; 32][..], &[1; 31]] {
            let ours = SeededX25519.start().unwrap();
            assert!(ours.complete(share).is_err());
        }
    }
}
