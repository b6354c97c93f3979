//! The discovery store of a host: Consul, in a container of its own on the host's network.

use testcontainers::core::ImageExt as _;
use testcontainers::{ContainerRequest, GenericImage};

use super::hosts::{common, image};
use super::labels::{Owner, STORE};
use crate::scenario::cluster::Host;

/// The container of `host`'s store, next to the container `node`.
pub(super) fn request(
    consul: &str,
    owner: &Owner,
    host: &Host,
    node: &str,
) -> ContainerRequest<GenericImage> {
    let network = format!("container:{node}");
    image(consul)
        .with_entrypoint("consul")
        .with_cmd([
            "agent".to_owned(),
            // One server that elects itself at once; any other mode takes seconds.
            "-dev".into(),
            "-client=0.0.0.0".into(),
            format!("-bind={}", host.address),
            "-log-level=info".into(),
            // All nodes have the machine's own identifier.
            "-disable-host-node-id".into(),
        ])
        .with_container_name(format!("lab-{}-{}-store", owner.run, host.name))
        .with_labels(owner.labels_of(&host.name, STORE))
        .with_host_config_modifier(move |config| {
            common(config);
            config.network_mode = Some(network.clone());
            config.init = Some(true);
        })
}
