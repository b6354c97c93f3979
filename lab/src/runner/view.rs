//! What the cluster looks like at one moment: read from the manager, the engines and the store.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use serde::Deserialize;
use serde_json::{Value, json};
use swarm::ctx::Addr;

use super::access::Access;
use super::api::{Api, encoded};
use crate::scenario::cluster::{Cluster, consul_port, engine_port};
use crate::world::Guest;
use crate::world::fault::Part;

/// All containers, in any state.
pub(super) const LIST: &str = "/containers/json?all=1";

/// The endpoints of a cluster.
pub struct Endpoints {
    /// The manager.
    pub manager: Api,
    /// The store, if the cluster has one.
    pub store: Option<Api>,
    /// The engines, by host name.
    pub engines: BTreeMap<String, Api>,
    /// The hosts of the manager and of the store.
    hosts: (String, Option<String>),
    /// What inspecting the containers told, by the engines' addresses and the containers' IDs.
    inspected: Mutex<BTreeMap<(String, String), Arc<Value>>>,
    /// The label, and its value, of the only containers that count; without, all count.
    mark: Option<(String, String)>,
}

impl Endpoints {
    /// The endpoints of `cluster`, reached with `access`. `None` without a manager.
    ///
    /// The manager must prove who it is. Engines and the store need not: what they say is wanted
    /// even, and above all, when their certificates are no good.
    #[must_use]
    pub fn new(access: Access<'_>, cluster: &Cluster) -> Option<Self> {
        let (host, manager) = cluster.manager()?;
        let at = |ip: Ipv4Addr, port| access.witness(Addr::tcp(ip.to_string(), port));
        Some(Self {
            manager: access.client(Addr::tcp(host.address.to_string(), manager.port)),
            store: cluster.store().map(|(host, _)| at(host.address, consul_port(cluster.tls))),
            engines: cluster
                .engines()
                .map(|(host, _)| (host.name.clone(), at(host.address, engine_port(cluster.tls))))
                .collect(),
            hosts: (host.name.clone(), cluster.store().map(|(host, _)| host.name.clone())),
            inspected: Mutex::default(),
            mark: None,
        })
    }

    /// The same for a guest: the manager is where the guest was told, and only its own containers
    /// count.
    #[must_use]
    pub fn of_guest(self, access: Access<'_>, guest: &Guest) -> Self {
        let manager = access.client(guest.manager.clone());
        Self { manager, mark: Some(guest.mark.clone()), ..self }
    }

    /// Whether a row of a list of containers counts.
    #[must_use]
    pub fn counts(&self, row: &Listed) -> bool {
        let labels = row.labels.as_ref();
        let has = |(key, value): &(String, String)| {
            labels.and_then(|labels| labels.get(key)).is_some_and(|given| given == value)
        };
        self.mark.as_ref().is_none_or(has)
    }

    /// The configuration of a container, in the words of its engine. It is asked for once: no verb
    /// changes it, and no engine gives an ID again. `None` when it is gone.
    pub async fn configuration(&self, engine: &Api, id: &str) -> Option<Arc<Value>> {
        let key = (engine.addr.to_string(), id.to_owned());
        let known = lock(&self.inspected).get(&key).cloned();
        if known.is_some() {
            return known;
        }
        let inspect = Arc::new(engine.get(&format!("/containers/{id}/json")).await.ok()?);
        lock(&self.inspected).insert(key, Arc::clone(&inspect));
        Some(inspect)
    }

    /// The container rows of the manager, in any state.
    ///
    /// # Errors
    /// What the manager said, or why it could not be reached.
    pub async fn containers(&self) -> Result<Vec<Row>, String> {
        let rows: Vec<Listed> = self.manager.get_as(LIST).await?;
        let rows = rows.into_iter().filter(|row| self.counts(row));
        let mut rows: Vec<Row> = rows.map(Row::from_manager).collect();
        rows.sort_by(|a, b| (&a.name, &a.node).cmp(&(&b.name, &b.node)));
        Ok(rows)
    }

    /// The manager's description of the cluster.
    ///
    /// # Errors
    /// As [`Endpoints::containers`].
    pub async fn info(&self) -> Result<Info, String> {
        let mut info = Info::from(self.manager.get_as::<Document>("/info").await?);
        if self.mark.is_some() {
            let rows: Vec<Listed> = self.manager.get_as(LIST).await?;
            let others = rows.into_iter().filter(|row| !self.counts(row));
            others.map(Row::from_manager).for_each(|row| info.leave_out(&row));
        }
        Ok(info)
    }

    /// The keys below `prefix` in the store, without the directory markers, and their values.
    ///
    /// # Errors
    /// What the store said, or why it could not be reached.
    pub async fn store(&self, prefix: &str) -> Result<BTreeMap<String, String>, String> {
        let store = self.store.as_ref().ok_or("the cluster has no store")?;
        let prefix = prefix.trim_matches('/');
        let path: Vec<_> = prefix.split('/').map(encoded).collect();
        let reply = store
            .send(hyper::Method::GET, &format!("/v1/kv/{}?recurse", path.join("/")), None)
            .await?;
        if reply.status == hyper::StatusCode::NOT_FOUND {
            return Ok(BTreeMap::new());
        }
        let rows = reply.ok()?.json();
        let mut found = BTreeMap::new();
        for row in rows.as_array().into_iter().flatten() {
            let key = row["Key"].as_str().unwrap_or_default();
            let Some(rest) = key.strip_prefix(prefix) else { continue };
            let rest = rest.trim_start_matches('/');
            if rest.is_empty() || rest.ends_with('/') {
                continue;
            }
            let value = row["Value"].as_str().unwrap_or_default();
            let value = base64::engine::general_purpose::STANDARD.decode(value).unwrap_or_default();
            found.insert(rest.to_owned(), String::from_utf8_lossy(&value).into_owned());
        }
        Ok(found)
    }

    /// Everything at once, for the log and for comparing two worlds. Parts that cannot be read are
    /// absent; so are those known to be `silent`, which nobody waits for.
    pub async fn snapshot(&self, silent: &impl Fn(Part, &str) -> bool) -> Value {
        let mut out = serde_json::Map::new();
        let (manager, store) = &self.hosts;
        let answers = !silent(Part::Manager, manager);
        if answers && let Ok(rows) = self.containers().await {
            out.insert("containers".into(), rows.iter().map(Row::story).collect());
        }
        if answers && let Ok(info) = self.info().await {
            let nodes: Vec<_> = info
                .nodes
                .iter()
                .map(|node| json!({"name": node.name, "addr": node.addr, "status": node.status}))
                .collect();
            out.insert("nodes".into(), nodes.into());
            out.insert("strategy".into(), info.strategy.into());
        }
        if store.as_ref().is_some_and(|host| !silent(Part::Store, host))
            && let Ok(keys) = self.store("docker/swarm/nodes").await
        {
            out.insert("store".into(), json!(keys));
        }
        out.into()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One container as the manager lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Full ID.
    pub id: String,
    /// Its name without the node.
    pub name: String,
    /// The node it is on; empty in rows of an engine.
    pub node: String,
    /// Its image.
    pub image: String,
    /// `running`, `exited`, `created`, `paused`, …
    pub state: String,
    /// Published ports as `docker ps` shows them: `10.100.199.203:80->80/tcp`.
    pub ports: BTreeSet<String>,
}

/// What is read of a row of `GET /containers/json`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Listed {
    id: String,
    names: Option<Vec<String>>,
    image: String,
    state: String,
    ports: Option<Vec<Port>>,
    labels: Option<BTreeMap<String, String>>,
}

/// What is read of one of its ports.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Port {
    #[serde(rename = "IP")]
    ip: String,
    private_port: u16,
    public_port: Option<u16>,
    #[serde(rename = "Type")]
    kind: String,
}

impl Row {
    fn from_manager(listed: Listed) -> Self {
        let row = Self::from_engine(listed);
        match row.name.split_once('/') {
            Some((node, name)) => Self { name: name.into(), node: node.into(), ..row },
            None => row,
        }
    }

    /// Reads a row of an engine's own list, whose names carry no node.
    #[must_use]
    pub fn from_engine(listed: Listed) -> Self {
        let Listed { id, names, image, state, ports, labels: _ } = listed;
        let name = names.into_iter().flatten().next().unwrap_or_default();
        Self {
            id,
            name: name.trim_start_matches('/').to_owned(),
            node: String::new(),
            image,
            state,
            ports: ports.iter().flatten().filter_map(port_text).collect(),
        }
    }

    /// What both worlds must agree on: no IDs, and a port that the engine chose is `*`.
    fn story(&self) -> Value {
        let ports: BTreeSet<_> = self.ports.iter().map(|port| without_chosen_port(port)).collect();
        json!({
            "name": self.name, "node": self.node, "image": self.image, "state": self.state,
            "ports": ports,
        })
    }
}

/// `IP:public->private/type` of a row's port; `None` for one that is only exposed, and for the
/// IPv6 twin that newer engines list beside each IPv4 binding.
fn port_text(port: &Port) -> Option<String> {
    let Port { ip, private_port, public_port, kind } = port;
    let public = public_port.filter(|_| !ip.contains(':'))?;
    Some(format!("{ip}:{public}->{private_port}/{kind}"))
}

/// Replaces a host port from the range engines choose from (32768 and up) by `*`.
fn without_chosen_port(port: &str) -> String {
    let parts = port.split_once("->").and_then(|(host, inner)| {
        let (ip, public) = host.rsplit_once(':')?;
        Some((ip, public.parse::<u16>().ok()?, inner))
    });
    match parts {
        Some((ip, public, inner)) if public >= 32768 => format!("{ip}:*->{inner}"),
        _ => port.to_owned(),
    }
}

/// `docker info` of a manager.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// The strategy's name.
    pub strategy: String,
    /// The number in the row `Nodes`.
    pub count: u64,
    /// Containers over all nodes.
    pub counts: Counts,
    /// The nodes, in the order listed.
    pub nodes: Vec<InfoNode>,
}

/// One node in [`Info`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InfoNode {
    /// Its name; `(unknown)` before the first contact.
    pub name: String,
    /// Its address.
    pub addr: String,
    /// `Healthy`, `Unhealthy`, `Pending`.
    pub status: String,
    /// The error row; empty without one.
    pub error: String,
    /// Its containers.
    pub counts: Counts,
    /// Its labels, those that the engine has by itself among them.
    pub labels: BTreeMap<String, String>,
}

/// Numbers of containers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// In any state.
    pub total: u64,
    /// Running.
    pub running: u64,
    /// Paused.
    pub paused: u64,
    /// Neither.
    pub stopped: u64,
}

impl Counts {
    /// Reads `3 (2 Running, 0 Paused, 1 Stopped)`; a node that is not healthy shows only `3`.
    fn parse(text: &str) -> Self {
        let mut numbers = text
            .split(|c: char| !c.is_ascii_digit())
            .filter(|digits| !digits.is_empty())
            .map(|digits| digits.parse().unwrap_or_default());
        let mut next = || numbers.next().unwrap_or_default();
        Self { total: next(), running: next(), paused: next(), stopped: next() }
    }
}

/// What is read of `GET /info`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Document {
    containers: u64,
    containers_running: u64,
    containers_paused: u64,
    containers_stopped: u64,
    system_status: Option<Vec<(String, String)>>,
}

impl From<Document> for Info {
    /// Reads the rows of `SystemStatus`: names have one leading blank, their details two and a
    /// corner.
    fn from(info: Document) -> Self {
        let counts = Counts {
            total: info.containers,
            running: info.containers_running,
            paused: info.containers_paused,
            stopped: info.containers_stopped,
        };
        let mut out = Self { counts, ..Self::default() };
        for (key, value) in info.system_status.into_iter().flatten() {
            if let Some(detail) = key.strip_prefix("  └ ") {
                match (detail, out.nodes.last_mut()) {
                    ("Status", Some(node)) => node.status = value,
                    ("Error", Some(node)) => node.error = value,
                    ("Containers", Some(node)) => node.counts = Counts::parse(&value),
                    ("Labels", Some(node)) => {
                        let pairs = value.split(", ").filter_map(|pair| pair.split_once('='));
                        node.labels = pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
                    }
                    _ => {}
                }
            } else if let Some(name) = key.strip_prefix(' ') {
                out.nodes.push(InfoNode { name: name.into(), addr: value, ..InfoNode::default() });
            } else {
                match key.as_str() {
                    "Strategy" => out.strategy = value,
                    "Nodes" => out.count = value.parse().unwrap_or_default(),
                    _ => {}
                }
            }
        }
        out
    }
}

impl Info {
    /// Reads a manager's `/info`; one that is none is empty.
    #[must_use]
    pub fn parse(info: &Value) -> Self {
        Document::deserialize(info).unwrap_or_default().into()
    }

    /// Takes a container of somebody else out of all counts.
    fn leave_out(&mut self, row: &Row) {
        let node = self.nodes.iter_mut().find(|node| node.name == row.node);
        for counts in std::iter::once(&mut self.counts).chain(node.map(|node| &mut node.counts)) {
            let of_state = match row.state.as_str() {
                "running" => &mut counts.running,
                "paused" => &mut counts.paused,
                _ => &mut counts.stopped,
            };
            *of_state = of_state.saturating_sub(1);
            counts.total = counts.total.saturating_sub(1);
        }
    }

    /// The nodes as lines, for a message.
    #[must_use]
    pub fn describe(&self) -> String {
        let line = |node: &InfoNode| {
            let InfoNode { name, addr, status, error, .. } = node;
            format!("{name:<14} {addr:<21} {status} {error}").trim_end().to_owned()
        };
        let lines: Vec<_> = self.nodes.iter().map(line).collect();
        format!("nodes\n{}", if lines.is_empty() { "(none)".into() } else { lines.join("\n") })
    }

    /// How many nodes are healthy.
    #[must_use]
    pub fn healthy(&self) -> usize {
        self.nodes.iter().filter(|node| node.status == "Healthy").count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_ports_are_hidden_and_fixed_ones_are_not() {
        assert_eq!(without_chosen_port("10.0.0.1:80->80/tcp"), "10.0.0.1:80->80/tcp");
        assert_eq!(without_chosen_port("10.0.0.1:49153->80/tcp"), "10.0.0.1:*->80/tcp");
    }

    #[test]
    fn the_rows_of_info_become_nodes() {
        let info = Info::parse(&json!({
            "Containers": 3, "ContainersRunning": 2,
            "SystemStatus": [
                ["Role", "primary"], ["Strategy", "spread"], ["Nodes", "2"],
                [" a", "10.0.0.1:2375"], ["  └ ID", "X|10.0.0.1:2375"],
                ["  └ Status", "Healthy"],
                ["  └ Containers", "3 (2 Running, 0 Paused, 1 Stopped)"],
                [" (unknown)", "10.0.0.2:2375"], ["  └ Status", "Pending"],
                ["  └ Error", "Cannot connect"],
            ],
        }));
        assert_eq!((info.count, info.healthy(), info.counts.running), (2, 1, 2));
        let counts = Counts { total: 3, running: 2, paused: 0, stopped: 1 };
        assert_eq!(info.nodes[0].counts, counts);
        assert_eq!(info.nodes[1].error, "Cannot connect");
        assert_eq!(info.nodes[0].name, "a");
    }
}
