//! The private network of a run.

use std::net::Ipv4Addr;
use std::path::Path;

use testcontainers::bollard::Docker;
use testcontainers::bollard::errors::Error;
use testcontainers::bollard::models::{
    EndpointIpamConfig, EndpointSettings, Ipam, IpamConfig, NetworkConnectRequest,
    NetworkCreateRequest, NetworkDisconnectRequest,
};
use testcontainers::bollard::query_parameters::ListNetworksOptions;

use super::certs;
use super::engine_error;
use super::labels::{CERTS, CLUSTER, ENDPOINT, FILE, Owner};
use crate::scenario::cluster::{Cluster, Subnet};
use crate::world::WorldError;

/// Creates the network of a run and returns its name.
///
/// It is internal: nothing in it can reach beyond this machine, and nothing outside can reach in,
/// but this machine reaches every node by its address.
pub(super) async fn create(
    docker: &Docker,
    cluster: &Cluster,
    owner: &Owner,
    file: Option<&Path>,
) -> Result<String, WorldError> {
    let existing = docker.list_networks(None::<ListNetworksOptions>).await;
    for network in existing.map_err(|e| engine_error("listing networks", e))? {
        let subnets = network.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
        let taken = subnets.iter().filter_map(|config| parse(config.subnet.as_deref()?));
        if taken.into_iter().any(|subnet| overlap(subnet, cluster.network)) {
            let labels = network.labels.unwrap_or_default();
            let holder = Owner::from_labels(|key| labels.get(key));
            return Err(taken_by(cluster.network, &network.name.unwrap_or_default(), holder));
        }
    }
    let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    if let Some(interface) = routed(&routes, cluster.network) {
        let what = format!("{} is already reached through {interface}", cluster.network);
        return Err(WorldError::new(what, "give the scenario another `network`"));
    }
    let name = format!("lab-{}", owner.run);
    let config = IpamConfig {
        subnet: Some(cluster.network.to_string()),
        gateway: Some(gateway(cluster)?.to_string()),
        ..Default::default()
    };
    let request = NetworkCreateRequest {
        name: name.clone(),
        driver: Some("bridge".into()),
        internal: Some(true),
        ipam: Some(Ipam { config: Some(vec![config]), ..Default::default() }),
        labels: Some(owner.labels().into_iter().chain(about(cluster, owner, file)).collect()),
        ..Default::default()
    };
    match docker.create_network(request).await {
        Ok(_) => Ok(name),
        // Somebody was faster.
        Err(Error::DockerResponseServerError { message, .. }) if message.contains("overlaps") => {
            Err(taken_by(cluster.network, "another network", None))
        }
        Err(error) => Err(engine_error("creating the network", error)),
    }
}

/// The labels of the network, which say all that there is to know of the cluster: it must be
/// found again from another shell, and after the machine has started anew.
fn about(cluster: &Cluster, owner: &Owner, file: Option<&Path>) -> Vec<(String, String)> {
    let json = serde_json::to_string(cluster).expect("a cluster is plain data");
    let certs = (cluster.tls && owner.keep).then(|| certs::client_folder(&owner.run));
    let labels = [
        (CERTS, certs.map(|folder| folder.display().to_string())),
        (CLUSTER, Some(json)),
        (ENDPOINT, cluster.endpoint()),
        (FILE, file.map(|file| file.display().to_string())),
    ];
    labels.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

fn taken_by(subnet: Subnet, name: &str, holder: Option<Owner>) -> WorldError {
    let Some(owner) = holder else {
        let what = format!("{subnet} overlaps the Docker network {name}");
        return WorldError::new(what, format!("`docker network rm {name}`, or another `network`"));
    };
    let what = format!("{subnet} is in use by {}", owner.title());
    let help = match owner.pid {
        _ if owner.keep => format!("it was asked to stay: `lab down {}` removes it", owner.run),
        Some(pid) => format!("process {pid} holds it: wait for its end, or `lab gc --all`"),
        None => "`lab gc --all` removes it".to_owned(),
    };
    WorldError::new(what, help)
}

/// Puts a container that is on no network at `address`.
///
/// testcontainers has no static addresses, and a network's own choice could hit the address of a
/// node that is still to come: so a node starts on no network at all.
pub(super) async fn attach(
    docker: &Docker,
    network: &str,
    container: &str,
    address: Ipv4Addr,
) -> Result<(), WorldError> {
    let leave = NetworkDisconnectRequest { container: container.into(), force: None };
    let left = docker.disconnect_network("none", leave).await;
    left.map_err(|e| engine_error("taking a node off the empty network", e))?;
    join(docker, network, container, address).await
}

/// Puts a container that is not on the network of the run there, at `address`.
pub(super) async fn join(
    docker: &Docker,
    network: &str,
    container: &str,
    address: Ipv4Addr,
) -> Result<(), WorldError> {
    let endpoint = EndpointSettings {
        ipam_config: Some(EndpointIpamConfig {
            ipv4_address: Some(address.to_string()),
            ..Default::default()
        }),
        ..Default::default()
    };
    let join =
        NetworkConnectRequest { container: container.into(), endpoint_config: Some(endpoint) };
    let joined = docker.connect_network(network, join).await;
    joined.map_err(|e| engine_error(&format!("giving a node the address {address}"), e))
}

/// An address of the subnet that no host has: this machine's own in that network.
fn gateway(cluster: &Cluster) -> Result<Ipv4Addr, WorldError> {
    let first = u32::from(cluster.network.base) + 1;
    let addresses = (first..).map(Ipv4Addr::from).take_while(|ip| cluster.network.contains(*ip));
    let mut free = addresses.filter(|ip| cluster.hosts.iter().all(|host| host.address != *ip));
    free.next().ok_or_else(|| {
        let what = format!("{} has no address left for the machine itself", cluster.network);
        WorldError::new(what, "give the scenario a larger `network`")
    })
}

fn parse(text: &str) -> Option<Subnet> {
    let (base, prefix) = text.split_once('/')?;
    Some(Subnet { base: base.parse().ok()?, prefix: prefix.parse().ok()? })
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

fn overlap(a: Subnet, b: Subnet) -> bool {
    let mask = mask(a.prefix.min(b.prefix));
    u32::from(a.base) & mask == u32::from(b.base) & mask
}

/// The interface through which a part of `subnet` is reached already, other than by default.
/// `routes` is in the format of `/proc/net/route`: addresses in hexadecimal, in the machine's byte
/// order.
fn routed(routes: &str, subnet: Subnet) -> Option<&str> {
    routes.lines().skip(1).find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [interface, destination, _, _, _, _, _, mask, ..] = fields[..] else { return None };
        let number = |text: &str| Some(u32::from_be(u32::from_str_radix(text, 16).ok()?));
        let prefix = u8::try_from(number(mask)?.leading_ones()).ok()?;
        let route = Subnet { base: Ipv4Addr::from(number(destination)?), prefix };
        (prefix > 0 && overlap(route, subnet)).then_some(interface)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::cluster::Host;

    fn subnet(text: &str) -> Subnet {
        parse(text).expect("the test's own subnet")
    }

    #[test]
    fn overlap_is_by_the_shorter_prefix() {
        assert!(overlap(subnet("10.100.199.0/24"), subnet("10.100.0.0/16")));
        assert!(!overlap(subnet("10.100.199.0/24"), subnet("10.100.198.0/24")));
        assert!(overlap(subnet("0.0.0.0/0"), subnet("10.100.198.0/24")));
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn a_route_counts_unless_it_is_the_default() {
        let routes = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\n\
            eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\n\
            vbox0\t00C7640A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\n";
        assert_eq!(routed(routes, subnet("10.100.199.0/24")), Some("vbox0"));
        assert_eq!(routed(routes, subnet("10.100.198.0/24")), None);
    }

    #[test]
    fn the_machine_takes_an_address_that_no_host_has() {
        let host = |last| Host {
            name: format!("h{last}"),
            address: Ipv4Addr::new(10, 0, 0, last),
            engine: None,
            store: None,
            manager: None,
            agent: None,
        };
        let mut cluster = Cluster {
            name: "test".into(),
            network: subnet("10.0.0.0/30"),
            tls: false,
            hosts: vec![host(1)],
            images: Vec::new(),
        };
        assert_eq!(gateway(&cluster).unwrap(), Ipv4Addr::new(10, 0, 0, 2));
        cluster.hosts.push(host(2));
        assert!(gateway(&cluster).unwrap_err().what.contains("no address left"));
    }
}
