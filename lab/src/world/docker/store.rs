//! The discovery store of a host: Consul, in a container of its own on the host's network.

use testcontainers::core::ImageExt as _;
use testcontainers::{ContainerRequest, GenericImage};

use super::certs;
use super::hosts::{common, image, with_files};
use super::labels::{Owner, STORE};
use crate::pki::Pki;
use crate::scenario::cluster::{Host, PKI, STORE_PAIR, consul_port};

/// The container of `host`'s store, next to the container `node`.
pub(super) fn request(
    consul: &str,
    owner: &Owner,
    host: &Host,
    node: &str,
    pki: Option<&Pki>,
) -> ContainerRequest<GenericImage> {
    let network = format!("container:{node}");
    let mut words = vec![
        "agent".to_owned(),
        // One server that elects itself at once; any other mode takes seconds.
        "-dev".into(),
        "-client=0.0.0.0".into(),
        format!("-bind={}", host.address),
        "-log-level=info".into(),
        // All nodes have the machine's own identifier.
        "-disable-host-node-id".into(),
    ];
    if pki.is_some() {
        words.extend(["-hcl".to_owned(), tls_settings()]);
    }
    let request = image(consul)
        .with_entrypoint("consul")
        .with_cmd(words)
        .with_container_name(format!("lab-{}-{}-store", owner.run, host.name))
        .with_labels(owner.labels_of(&host.name, STORE))
        .with_host_config_modifier(move |config| {
            common(config);
            config.network_mode = Some(network.clone());
            config.init = Some(true);
        });
    match pki {
        Some(pki) => with_files(request, &certs::of_store(pki, host)),
        None => request,
    }
}

/// HTTPS for clients with a certificate, and no HTTP beside it.
fn tls_settings() -> String {
    let port = consul_port(true);
    format!(
        "ports {{ http = -1, https = {port} }} verify_incoming_https = true \
         ca_file = \"{PKI}/ca.pem\" cert_file = \"{PKI}/{STORE_PAIR}cert.pem\" \
         key_file = \"{PKI}/{STORE_PAIR}key.pem\""
    )
}
