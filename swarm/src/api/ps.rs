//! `GET /containers/json`: what `docker ps` shows, answered from what the manager knows.

use std::cmp::Reverse;

use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::cluster::{Cluster, Container, Facts, Node, json, status_text};

use super::container::tell_node_ip;
use super::error::ApiError;
use super::query::{Filters, Query};
use super::{Api, Reply};

/// The filters of the classic manager, and four more that are unsafe to ignore.
const FILTERS: &[&str] = &[
    "name", "id", "label", "status", "node", "health", "is-task", "volume", "network", "exited",
    "ancestor", "before", "since",
];

type Row<'a> = (&'a Node, &'a Container);

impl Api {
    /// Never waits for an engine, unless the manager was started with one of the two flags that
    /// ask for it.
    pub(super) async fn list_containers(&self, query: &Query) -> Reply {
        let listing = Listing::read(query)?;
        self.refresh_first(&listing.filters).await;
        let now = self.manager.ctx.now();
        let rows = self.manager.with(|cluster| listing.select(cluster, now))?;
        Ok(super::json(StatusCode::OK, &Value::Array(rows)))
    }

    async fn refresh_first(&self, filters: &Filters) {
        let everything = !self.settings.name_refresh_filter.is_empty()
            && filters.values("name").contains(&self.settings.name_refresh_filter);
        let by_node = self.settings.refresh_on_node_filter && filters.has("node");
        if !everything && !by_node {
            return;
        }
        let addresses: Vec<String> = self.manager.with(|cluster| {
            let wanted = cluster.registered().filter(|n| n.is_healthy());
            let wanted = wanted.filter(|n| everything || filters.matches("node", &n.name));
            wanted.map(|node| node.addr.clone()).collect()
        });
        let refreshes = addresses.iter().map(|addr| self.manager.refresh_containers(addr));
        // A failure leaves what was known before.
        futures_util::future::join_all(refreshes).await;
    }
}

/// A parsed request for a list.
struct Listing {
    all: bool,
    limit: usize,
    before: String,
    filters: Filters,
    exited: Vec<i64>,
}

impl Listing {
    fn read(query: &Query) -> Result<Self, ApiError> {
        let filters = query.filters(FILTERS, StatusCode::INTERNAL_SERVER_ERROR)?;
        let exited = filters.values("exited").iter().map(|code| {
            code.parse().map_err(|_| {
                ApiError::internal(format!("strconv.Atoi: parsing {code:?}: invalid syntax"))
            })
        });
        let exited = exited.collect::<Result<_, _>>()?;
        let wants_exited = filters.values("status").iter().any(|status| status == "exited");
        Ok(Self {
            all: query.flag("all") || wants_exited,
            // What is no number, and what is negative, is no limit.
            limit: query.text("limit").parse().unwrap_or(0),
            before: query.text("before").to_owned(),
            filters,
            exited,
        })
    }

    fn select(&self, cluster: &Cluster, now: Timestamp) -> Result<Vec<Value>, ApiError> {
        let find = |text: &str| {
            let found = cluster.find_container(text).map(|(_, container)| container);
            found.ok_or_else(|| ApiError::not_found(format!("No such container {text}")))
        };
        let created = |key| -> Result<Vec<Timestamp>, ApiError> {
            let values = self.filters.values(key).iter();
            values.map(|text| Ok(find(text)?.facts.created())).collect()
        };
        let (before, since) = (created("before")?, created("since")?);
        let cut = if self.before.is_empty() { None } else { Some(find(&self.before)?.id.clone()) };
        let superseded = cluster.superseded();
        let mut rows: Vec<Row<'_>> = cluster
            .registered()
            .flat_map(|node| node.containers.values().map(move |container| (node, container)))
            .filter(|(_, container)| !superseded.contains(container.id.as_str()))
            .filter(|row| self.accepts(row))
            .filter(|(_, container)| before.iter().all(|date| container.facts.created() < *date))
            .filter(|(_, container)| since.iter().all(|date| container.facts.created() > *date))
            .collect();
        // The ID decides between containers of one moment, so that the order is always the same.
        rows.sort_by_key(|(_, container)| (Reverse(container.facts.created()), &container.id));
        if self.limit > 0 {
            rows.truncate(self.limit);
        }
        if let Some(at) = rows.iter().position(|(_, c)| Some(&c.id) == cut.as_ref()) {
            rows.drain(..=at);
        }
        Ok(rows.into_iter().map(|row| describe(row, now)).collect())
    }

    fn accepts(&self, (node, container): &Row<'_>) -> bool {
        let facts = &container.facts;
        let everything = self.all || self.limit > 0 || !self.before.is_empty();
        if !everything && (!facts.state.is_running() || !node.is_healthy()) {
            return false;
        }
        // Containers of a cluster's own agents and managers.
        let image = facts.image().split(':').next().unwrap_or_default();
        if image == "swarm" && !self.all {
            return false;
        }
        let filters = &self.filters;
        let name = facts.names().next().map(|name| name.trim_start_matches('/'));
        name.map_or(!filters.has("name"), |name| filters.matches("name", name))
            && filters.matches("id", &container.id)
            && filters.labels(|key| facts.label(key))
            && filters.matches("status", facts.state.as_str())
            && filters.matches("node", &node.name)
            && filters.any("health", |wanted| wanted == health(facts))
            && filters.any("is-task", |wanted| {
                wanted == facts.label("com.docker.swarm.task").is_some().to_string()
            })
            && filters.any("volume", |wanted| has_mount(container, wanted))
            && filters.any("network", |wanted| has_network(container, wanted))
            && filters.any("ancestor", |wanted| is_made_from(container, wanted))
            && (self.exited.is_empty()
                || !facts.state.is_running() && self.exited.contains(&facts.exit_code))
    }
}

fn health(facts: &Facts) -> &str {
    if facts.health().is_empty() { "none" } else { facts.health() }
}

fn has_mount(container: &Container, wanted: &str) -> bool {
    let mounts = container.inspect.get("Mounts").and_then(Value::as_array);
    mounts.into_iter().flatten().any(|mount| {
        json::text(mount, "/Name") == wanted || json::text(mount, "/Destination") == wanted
    })
}

fn has_network(container: &Container, wanted: &str) -> bool {
    let mut networks = json::members(&container.inspect, "/NetworkSettings/Networks");
    networks.any(|(name, network)| {
        name == wanted || json::text(network, "/NetworkID").starts_with(wanted)
    })
}

/// Whether the container's image is the wanted one, by name (with or without tag) or by ID.
fn is_made_from(container: &Container, wanted: &str) -> bool {
    let image = container.facts.image();
    let id = json::text(&container.inspect, "/Image");
    let bare = id.strip_prefix("sha256:").unwrap_or(id);
    let tagged = |name: &str| format!("{name}:latest");
    image == wanted
        || image == tagged(wanted)
        || tagged(image) == wanted
        || wanted.len() > 2 && (id.starts_with(wanted) || bare.starts_with(wanted))
}

/// The engine's own row, with the node's name before the container's and the node's address in
/// its ports. The status is the manager's word: the engine's was true when it was last asked.
fn describe((node, container): Row<'_>, now: Timestamp) -> Value {
    let facts = &container.facts;
    let mut row = container.summary.as_object().cloned().unwrap_or_else(Map::new);
    let names = facts.names().map(|name| format!("/{}{name}", node.name));
    row.insert("Names".into(), names.collect());
    let status = if node.is_healthy() { status_text(facts, now) } else { "Host Down".to_owned() };
    row.insert("Status".into(), status.into());
    let state = facts.state.as_str();
    row.entry("State").and_modify(|told| *told = state.into());
    let labels = facts.labels().map(|(key, value)| (key.to_owned(), value.into()));
    row.insert("Labels".into(), labels.collect::<Map<_, _>>().into());
    if let Some(ports) = row.get_mut("Ports").and_then(Value::as_array_mut) {
        tell_node_ip(ports, "IP", &node.ip);
    }
    Value::Object(row)
}
