//! The three networks that every engine has.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::container::Container;
use super::{Moment, State};

/// A network.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Network {
    pub(in crate::engine) name: &'static str,
    pub(in crate::engine) id: String,
    pub(in crate::engine) driver: &'static str,
    pub(in crate::engine) created: Timestamp,
}

/// The default bridge's own address.
pub(in crate::engine) const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 17, 0, 1);
/// The default bridge's prefix length.
pub(in crate::engine) const PREFIX: u8 = 16;

/// A container's place on a network.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Endpoint {
    pub(in crate::engine) network: String,
    /// Empty until the first start.
    pub(in crate::engine) network_id: String,
    /// Empty while the container does not run.
    pub(in crate::engine) id: String,
    /// Only on the bridge, only while the container runs.
    pub(in crate::engine) ip: Option<Ipv4Addr>,
}

impl Endpoint {
    /// The hardware address that a bridge derives from the IP address; empty without one.
    pub(in crate::engine) fn mac(&self) -> String {
        self.ip.map_or_else(String::new, |ip| {
            let [a, b, c, d] = ip.octets();
            format!("02:42:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
        })
    }

    fn ip_text(&self) -> String {
        self.ip.map_or_else(String::new, |ip| ip.to_string())
    }

    fn gateway(&self) -> String {
        self.ip.map_or_else(String::new, |_| GATEWAY.to_string())
    }

    fn prefix(&self) -> u8 {
        self.ip.map_or(0, |_| PREFIX)
    }

    /// The value under the network's name in `NetworkSettings.Networks`.
    pub(in crate::engine) fn json(&self) -> Value {
        json!({
            "IPAMConfig": null,
            "Links": null,
            "Aliases": null,
            "NetworkID": self.network_id,
            "EndpointID": self.id,
            "Gateway": self.gateway(),
            "IPAddress": self.ip_text(),
            "IPPrefixLen": self.prefix(),
            "IPv6Gateway": "",
            "GlobalIPv6Address": "",
            "GlobalIPv6PrefixLen": 0,
            "MacAddress": self.mac(),
            "DriverOpts": null,
        })
    }

    /// `NetworkSettings` of a container's inspection.
    pub(in crate::engine) fn settings(&self, sandbox: &str, ports: Value) -> Value {
        let bridged = self.network == "bridge";
        let key = match (sandbox.get(..12), self.network.as_str()) {
            (None, _) => String::new(),
            (Some(_), "host") => "/var/run/docker/netns/default".to_owned(),
            (Some(short), _) => format!("/var/run/docker/netns/{short}"),
        };
        json!({
            "Bridge": "",
            "SandboxID": sandbox,
            "HairpinMode": false,
            "LinkLocalIPv6Address": "",
            "LinkLocalIPv6PrefixLen": 0,
            "Ports": ports,
            "SandboxKey": key,
            "SecondaryIPAddresses": null,
            "SecondaryIPv6Addresses": null,
            "EndpointID": if bridged { self.id.as_str() } else { "" },
            "Gateway": self.gateway(),
            "GlobalIPv6Address": "",
            "GlobalIPv6PrefixLen": 0,
            "IPAddress": self.ip_text(),
            "IPPrefixLen": self.prefix(),
            "IPv6Gateway": "",
            "MacAddress": self.mac(),
            "Networks": {self.network.as_str(): self.json()},
        })
    }
}

/// The networks of a new engine.
pub(in crate::engine) fn builtin(moment: &Moment<'_>) -> Vec<Network> {
    [("none", "null"), ("host", "host"), ("bridge", "bridge")]
        .into_iter()
        .map(|(name, driver)| Network {
            name,
            id: moment.id("engine-network-id"),
            driver,
            created: moment.now,
        })
        .collect()
}

impl Network {
    /// The network as `/networks` shows it, with `containers` on it.
    pub(in crate::engine) fn json(&self, containers: &[&Container]) -> Value {
        let bridge = self.name == "bridge";
        let mut members = json!({});
        for container in containers {
            let endpoint = &container.endpoint;
            members[&container.id] = json!({
                "Name": container.name,
                "EndpointID": endpoint.id,
                "MacAddress": endpoint.mac(),
                "IPv4Address": endpoint.ip.map_or_else(String::new, |ip| format!("{ip}/{PREFIX}")),
                "IPv6Address": "",
            });
        }
        let ipam = if bridge { json!([{"Subnet": "172.17.0.0/16"}]) } else { json!([]) };
        let options = if bridge {
            json!({
                "com.docker.network.bridge.default_bridge": "true",
                "com.docker.network.bridge.enable_icc": "true",
                "com.docker.network.bridge.enable_ip_masquerade": "true",
                "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
                "com.docker.network.bridge.name": "docker0",
                "com.docker.network.driver.mtu": "1500",
            })
        } else {
            json!({})
        };
        json!({
            "Name": self.name,
            "Id": self.id,
            "Created": self.created.to_string(),
            "Scope": "local",
            "Driver": self.driver,
            "EnableIPv6": false,
            "IPAM": {"Driver": "default", "Options": null, "Config": ipam},
            "Internal": false,
            "Attachable": false,
            "Ingress": false,
            "ConfigFrom": {"Network": ""},
            "ConfigOnly": false,
            "Containers": members,
            "Options": options,
            "Labels": {},
        })
    }
}

impl State {
    /// The network of that name, ID or beginning of an ID.
    pub(in crate::engine) fn network(&self, name: &str) -> Option<&Network> {
        let exact = self.networks.iter().find(|net| net.name == name || net.id == name);
        exact.or_else(|| {
            let prefixed = |net: &&Network| !name.is_empty() && net.id.starts_with(name);
            let mut found = self.networks.iter().filter(prefixed);
            found.next().filter(|_| found.next().is_none())
        })
    }

    /// Running containers on a network.
    pub(in crate::engine) fn members(&self, network: &Network) -> Vec<&Container> {
        let on_it =
            |c: &&Container| c.endpoint.network == network.name && !c.endpoint.id.is_empty();
        self.containers.values().filter(on_it).collect()
    }

    /// The lowest address of the bridge that no container has.
    pub(in crate::engine) fn free_ip(&self) -> Option<Ipv4Addr> {
        let used: std::collections::BTreeSet<Ipv4Addr> =
            self.containers.values().filter_map(|container| container.endpoint.ip).collect();
        let base = u32::from(GATEWAY);
        (1..0xffff_u32 - 1).map(|n| Ipv4Addr::from(base + n)).find(|ip| !used.contains(ip))
    }
}
