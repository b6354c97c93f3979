//! What a replacement is made from: the inspect JSON of the container that was lost.

use hyper::Method;
use serde_json::{Map, Value, json};

use crate::cluster::{Container, LINEAGE_LABEL, json as read};
use crate::ctx::Level;
use crate::engine::EngineError;

use super::Manager;
use super::create::Created;

/// Network modes that are no network of a user's.
const PLAIN_MODES: [&str; 5] = ["", "default", "bridge", "host", "none"];

/// A network that the container was in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Endpoint {
    network: String,
    network_id: String,
    /// What the user asked for there.
    config: Value,
}

/// A container that was lost, as a create request.
#[derive(Clone, Debug)]
pub(super) struct Lost {
    /// Without a slash.
    pub(super) name: String,
    /// Whether it was running.
    pub(super) running: bool,
    /// The create body, with the first network only: engines take no more at once.
    pub(super) body: Value,
    /// The other networks.
    others: Vec<Endpoint>,
    /// The first network, if it is a user's.
    first: Option<Endpoint>,
}

impl Lost {
    /// `None` for a container without a name: it was never complete.
    pub(super) fn new(container: &Container, lineage: &str) -> Option<Self> {
        let inspect = &container.inspect;
        let name = container.facts.names().next()?.trim_start_matches('/').to_owned();
        let mut body = inspect.get("Config").and_then(Value::as_object).cloned()?;
        let mut host = inspect.get("HostConfig").and_then(Value::as_object).cloned()?;
        let short_id = container.id.get(..12).unwrap_or_default();
        let mode = read::text(inspect, "/HostConfig/NetworkMode").to_owned();
        // Given by the engine: the replacement gets one of its own. And in the network of another
        // container there is none to have.
        if body.get("Hostname").and_then(Value::as_str) == Some(short_id)
            || mode.starts_with("container:")
        {
            body.shift_remove("Hostname");
        }
        // Shares of the old engine's; the create wants CPUs, and makes shares of the new one's.
        if read::int(inspect, "/HostConfig/CpuShares") > 0 {
            host.insert("CpuShares".to_owned(), container.facts.cpus.into());
        }
        let labels = read::object_mut(&mut body, "Labels");
        labels.insert(LINEAGE_LABEL.to_owned(), lineage.into());
        body.insert("HostConfig".to_owned(), Value::Object(host));
        let mut others = endpoints(inspect, short_id);
        let is_first =
            |endpoint: &Endpoint| endpoint.network == mode || endpoint.network_id == mode;
        let plain = PLAIN_MODES.contains(&mode.as_str()) || mode.starts_with("container:");
        let first = others.iter().position(is_first).filter(|_| !plain);
        let first = first.map(|at| others.remove(at));
        let running = container.facts.state.is_running();
        let mut lost = Self { name, running, body: Value::Object(body), others, first };
        lost.put_first();
        Some(lost)
    }

    fn put_first(&mut self) {
        if let Some(first) = &self.first {
            let networks = json!({ first.network.clone(): first.config.clone() });
            self.body["NetworkingConfig"] = json!({ "EndpointsConfig": networks });
        }
    }
}

/// The networks of a container with what its user asked for there; without those that every
/// engine has of its own.
fn endpoints(inspect: &Value, short_id: &str) -> Vec<Endpoint> {
    let networks = read::members(inspect, "/NetworkSettings/Networks");
    let of_users = networks.filter(|(name, _)| !PLAIN_MODES.contains(name));
    let endpoint = |(name, told): (&str, &Value)| {
        let mut config = Map::new();
        for key in ["IPAMConfig", "Links", "DriverOpts"] {
            if let Some(value) = told.get(key).filter(|value| !value.is_null()) {
                config.insert(key.to_owned(), value.clone());
            }
        }
        // The engine adds the short ID to what the user asked for.
        let aliases: Vec<&str> =
            read::texts(told, "/Aliases").filter(|alias| *alias != short_id).collect();
        if !aliases.is_empty() {
            config.insert("Aliases".to_owned(), json!(aliases));
        }
        Endpoint {
            network: name.to_owned(),
            network_id: read::text(told, "/NetworkID").to_owned(),
            config: Value::Object(config),
        }
    };
    of_users.map(endpoint).collect()
}

impl Manager {
    /// Takes the lost container out of the networks that span nodes: its endpoints there would be in
    /// the replacement's way. Where that fails the address it asked for is not asked for again, as
    /// it is still in use.
    pub(super) async fn release_endpoints(&self, lost: &mut Lost) {
        let name = lost.name.clone();
        for endpoint in lost.first.iter_mut().chain(&mut lost.others) {
            let Some(addr) = self.node_with_wide_network(&endpoint.network_id) else { continue };
            let path = format!("/networks/{}/disconnect", endpoint.network_id);
            let body = json!({ "Container": name, "Force": true });
            if let Err(error) = self.post(&addr, &path, &body).await {
                let network = &endpoint.network;
                let text = format!("Failed to disconnect {name} from network {network}: {error}");
                self.ctx.log(Level::Warn, text);
                if let Some(config) = endpoint.config.as_object_mut() {
                    config.shift_remove("IPAMConfig");
                }
            }
        }
        lost.put_first();
    }

    /// Connects a replacement to the networks it was not created with.
    pub(super) async fn connect_networks(&self, created: &Created, lost: &Lost) {
        for endpoint in &lost.others {
            let network = &endpoint.network;
            let path = format!("/networks/{network}/connect");
            let body = json!({ "Container": created.id, "EndpointConfig": endpoint.config });
            if let Err(error) = self.post(&created.node, &path, &body).await {
                let id = &created.id;
                let text = format!("Failed to connect {id} to network {network}: {error}");
                self.ctx.log(Level::Warn, text);
            }
        }
    }

    /// A healthy node that knows this network, if the network spans nodes.
    fn node_with_wide_network(&self, id: &str) -> Option<String> {
        self.with(|cluster| {
            let (node, row) = cluster.network_scope(id)?;
            let wide = matches!(read::text(&row, "/Scope"), "global" | "swarm");
            (wide && node.is_healthy()).then(|| node.addr.clone())
        })
    }

    async fn post(&self, addr: &str, path: &str, body: &Value) -> Result<(), EngineError> {
        let engine = self.known_engine(addr)?;
        engine.json(Method::POST, path, Some(body)).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Facts;
    use jiff::SignedDuration;

    fn lost(extra: &Value) -> Lost {
        let mut inspect = json!({
            "Name": "/web", "State": {"Running": true},
            "Config": {"Hostname": "aaaaaaaaaaaa", "Image": "nginx", "Labels": {"a": "b"},
                       "Cmd": ["x"], "NewThing": 1},
            "HostConfig": {"NetworkMode": "default", "CpuShares": 512, "Memory": 5,
                           "Binds": ["/a:/b"], "PortBindings": {"80/tcp": [{"HostPort": "80"}]}},
        });
        for (pointer, value) in extra.as_object().unwrap() {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            inspect.pointer_mut(parent).unwrap()[key] = value.clone();
        }
        let summary = json!({"Names": ["/web"]});
        let facts = Facts::read(&summary, &inspect, 4, SignedDuration::ZERO);
        let id = "a".repeat(64);
        let container = Container { id, summary, inspect, facts, ..Container::default() };
        Lost::new(&container, "the lineage").unwrap()
    }

    #[test]
    fn everything_the_user_asked_for_is_kept() {
        let lost = lost(&json!({}));
        let expected = json!({
            "Image": "nginx", "Labels": {"a": "b", LINEAGE_LABEL: "the lineage"},
            "Cmd": ["x"], "NewThing": 1,
            // Two CPUs of the old engine's four: the create makes shares of it again.
            "HostConfig": {"NetworkMode": "default", "CpuShares": 2, "Memory": 5,
                           "Binds": ["/a:/b"], "PortBindings": {"80/tcp": [{"HostPort": "80"}]}},
        });
        assert_eq!((lost.name.as_str(), lost.running, lost.body), ("web", true, expected));
    }

    #[test]
    fn a_hostname_of_the_users_is_kept() {
        let named = lost(&json!({"/Config/Hostname": "web.example"}));
        assert_eq!(named.body["Hostname"], "web.example");
        let sharing = json!({"/Config/Hostname": "x", "/HostConfig/NetworkMode": "container:db"});
        assert_eq!(lost(&sharing).body.get("Hostname"), None);
    }

    #[test]
    fn only_the_first_network_is_in_the_create_and_nothing_of_the_old_endpoint() {
        let told = |id: &str| {
            json!({"NetworkID": id, "EndpointID": "e", "IPAddress": "10.0.0.7",
                   "IPAMConfig": {"IPv4Address": "10.0.0.7"}, "Links": null,
                   "Aliases": ["db", "aaaaaaaaaaaa"]})
        };
        let networks = json!({"back": told("n1"), "bridge": told("n0"), "front": told("n2")});
        let lost = lost(&json!({
            "/HostConfig/NetworkMode": "front", "/NetworkSettings": {"Networks": networks},
        }));
        let config = json!({"IPAMConfig": {"IPv4Address": "10.0.0.7"}, "Aliases": ["db"]});
        let expected = json!({"EndpointsConfig": {"front": config.clone()}});
        assert_eq!(lost.body["NetworkingConfig"], expected);
        let back = Endpoint { network: "back".to_owned(), network_id: "n1".to_owned(), config };
        assert_eq!(lost.others, [back]);
    }
}
