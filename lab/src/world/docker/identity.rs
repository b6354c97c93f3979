//! Engines that share one ID, as hosts made from one disk image do.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use serde_json::json;
use testcontainers::{ContainerRequest, CopyTargetOptions, GenericImage, ImageExt as _};

use crate::scenario::cluster::{Cluster, Host};

/// Where engines up to 23.0 keep the key that their ID is the fingerprint of.
const KEY: &str = "/etc/docker/key.json";
/// Where later engines keep their ID itself. They take any text.
const ID: &str = "/var/lib/docker/engine-id";

/// The key of every ID that a scenario gives. Hosts with one ID get one key; which fingerprint the
/// older engines make of it is not for the scenario to choose.
pub(super) struct Identities(BTreeMap<String, String>);

impl Identities {
    /// New keys for the IDs in `cluster`.
    pub(super) fn new(cluster: &Cluster) -> Self {
        let given = cluster.engines().filter_map(|(_, engine)| engine.id.clone());
        Self(given.map(|id| (id, key_json())).collect())
    }

    /// The same with what makes the engine of `host` have the ID it is to have, if any.
    pub(super) fn give(
        &self,
        request: ContainerRequest<GenericImage>,
        host: &Host,
    ) -> ContainerRequest<GenericImage> {
        let id = host.engine.as_ref().and_then(|engine| engine.id.as_ref());
        let Some((id, key)) = id.and_then(|id| self.0.get_key_value(id)) else { return request };
        let file = |path, mode| CopyTargetOptions::new(path).with_mode(mode);
        request
            .with_copy_to(file(KEY, 0o600), key.clone().into_bytes())
            .with_copy_to(file(ID, 0o600), id.clone().into_bytes())
    }
}

/// A new private key as JSON (RFC 7518, section 6.2), which is how engines store theirs.
fn key_json() -> String {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("ring makes such keys");
    let der = pair.serialize_der();
    // PKCS #8 of RFC 5958 around RFC 5915: the secret is the octet string behind its version.
    let secret = der.windows(5).position(|bytes| bytes == [2, 1, 1, 4, 32]).map(|at| at + 5);
    let secret = secret.map(|at| &der[at..at + 32]).expect("ring writes 32 octets");
    // An uncompressed point: 4, x, y.
    let (x, y) = pair.der_bytes()[1..].split_at(32);
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    json!({"kty": "EC", "crv": "P-256", "d": text(secret), "x": text(x), "y": text(y)}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_three_numbers_in_full() {
        let key: serde_json::Value = serde_json::from_str(&key_json()).unwrap();
        for number in ["d", "x", "y"] {
            let text = key[number].as_str().unwrap();
            assert_eq!(URL_SAFE_NO_PAD.decode(text).unwrap().len(), 32, "{number}");
        }
    }
}
