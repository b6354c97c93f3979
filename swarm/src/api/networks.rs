//! Networks: those of all engines as one list, and requests about one of them.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use crate::cluster::{Cluster, Node, json as read};
use crate::ctx::http;
use crate::engine::EngineError;
use crate::manager::Network;

use super::container::{Located, read_object};
use super::error::ApiError;
use super::images::{dangling, is_node};
use super::query::{Filters, Query};
use super::{Api, Reply, json, no_content};

const FILTERS: &[&str] = &["dangling", "driver", "id", "label", "name", "node", "scope", "type"];

/// The networks that every engine has of its own.
const BUILTIN: [&str; 3] = ["bridge", "host", "none"];

impl Api {
    pub(super) fn list_networks(&self, query: &Query) -> Reply {
        let filters = query.filters(FILTERS, StatusCode::BAD_REQUEST)?;
        let bad = filters.values("type").iter().find(|t| *t != "custom" && *t != "builtin");
        if let Some(bad) = bad {
            return Err(ApiError::bad_request(format!("Invalid filter: 'type'='{bad}'")));
        }
        let dangling = dangling(&filters)?;
        let networks = self.manager.with(|cluster| {
            let listing = Listing::new(cluster, &filters, dangling);
            let networks = known(cluster).into_values().filter(|network| listing.accepts(network));
            networks.map(Known::describe).collect()
        });
        Ok(json(StatusCode::OK, &Value::Array(networks)))
    }

    /// What the engines say of a network now, with the containers that each of them knows. Where
    /// no engine can be asked, what they last said.
    pub(super) async fn inspect_network(&self, text: &str, query: Option<&str>) -> Reply {
        let missing = || ApiError::not_found(format!("No such network: {text}"));
        let network = self.manager.find_network(text).ok_or_else(missing)?;
        if network.healthy == 0 {
            let last = |cluster: &mut Cluster| Some(known(cluster).shift_remove(&network.id)?.row);
            return Ok(json(StatusCode::OK, &self.manager.with(last).ok_or_else(missing)?));
        }
        let path = match query {
            Some(query) => format!("/networks/{}?{query}", network.id),
            None => format!("/networks/{}", network.id),
        };
        let holders = network.holders[..network.healthy].iter();
        let engines = holders.filter_map(|addr| self.manager.engine(addr)).map(|engine| {
            let path = &path;
            async move { engine.json(Method::GET, path, None).await }
        });
        let mut told: Option<Value> = None;
        let mut failure = None;
        for answer in join_all(engines).await {
            match (answer, &mut told) {
                (Ok(mut more), Some(told)) => unite(told, containers_of(&mut more)),
                (Ok(first), None) => told = Some(first),
                (Err(error), _) => failure = failure.or(Some(error)),
            }
        }
        match (told, failure) {
            (Some(mut told), _) => {
                drop_doubles(&mut told);
                Ok(json(StatusCode::OK, &told))
            }
            (None, Some(EngineError::Api { status: StatusCode::NOT_FOUND, .. }) | None) => {
                Err(missing())
            }
            (None, Some(error)) => Err(ApiError::internal(error)),
        }
    }

    pub(super) async fn create_network(&self, request: Request<Incoming>) -> Reply {
        let body = read_object(request.into_body()).await?;
        let made = self.manager.create_network(body).await.map_err(ApiError::internal)?;
        let reply =
            json!({ "Id": read::text(&made, "/Id"), "Warning": read::text(&made, "/Warning") });
        Ok(json(StatusCode::CREATED, &reply))
    }

    /// The engine's answer is passed on, but a failure to reach it is 404, as in the classic
    /// manager.
    pub(super) async fn connect_network(&self, text: &str, request: Request<Incoming>) -> Reply {
        let (network, located, body) = self.membership(text, request).await?;
        let manager = &self.manager;
        let answer = manager.connect_network(&network, &located.addr, &located.id, body).await;
        let (status, body) = answer.map_err(|e| ApiError::not_found(e.to_string()))?;
        if let (false, EngineError::Api { message, .. }) =
            (status.is_success(), EngineError::api(status, &body))
        {
            return Err(ApiError::new(status, message));
        }
        let mut response = Response::new(http::full(body));
        *response.status_mut() = status;
        Ok(response)
    }

    /// Every failure is 404, and a success through another engine 200, as in the classic manager.
    pub(super) async fn disconnect_network(&self, text: &str, request: Request<Incoming>) -> Reply {
        let (network, located, body) = self.membership(text, request).await?;
        let manager = &self.manager;
        let done = manager.disconnect_network(network, &located.addr, &located.id, body).await;
        match done.map_err(|e| ApiError::not_found(e.to_string()))? {
            true => Ok(Response::new(http::empty())),
            false => Ok(no_content()),
        }
    }

    pub(super) async fn remove_network(&self, text: &str) -> Reply {
        let missing = || ApiError::not_found(format!("No such network {text}"));
        let network = self.manager.find_network(text).ok_or_else(missing)?;
        self.manager.remove_network(network).await.map_err(ApiError::internal)?;
        Ok(no_content())
    }

    /// The network and the container that a connect or disconnect is about, and its body, which
    /// now names the container by its full ID.
    async fn membership(
        &self,
        text: &str,
        request: Request<Incoming>,
    ) -> Result<(Network, Located, Map<String, Value>), ApiError> {
        let missing = || ApiError::not_found(format!("No such network: {text}"));
        let network = self.manager.find_network(text).ok_or_else(missing)?;
        let unspecified = |_| ApiError::not_found("Container is not specified");
        let mut body = read_object(request.into_body()).await.map_err(unspecified)?;
        let container = body.get("Container").and_then(Value::as_str).unwrap_or_default();
        let missing = || ApiError::not_found(format!("No such container: {container}"));
        let located = self.locate(container).ok_or_else(missing)?;
        body.insert("Container".to_owned(), located.id.as_str().into());
        Ok((network, located, body))
    }
}

/// A network as all engines together know it.
struct Known<'a> {
    /// The row of the first of `nodes`, with the containers of all of them.
    row: Value,
    /// Where it is, in natural order.
    nodes: Vec<&'a Node>,
}

impl Known<'_> {
    /// `<node>/<name>` for a network that lives on one node only.
    fn shown_name(&self) -> String {
        let name = read::text(&self.row, "/Name");
        match read::text(&self.row, "/Scope") {
            "local" => format!("{}/{name}", self.nodes[0].name),
            _ => name.to_owned(),
        }
    }

    fn describe(self) -> Value {
        let name = self.shown_name();
        let mut row = self.row;
        row["Name"] = name.into();
        row
    }
}

/// All networks by ID, in the natural order of their nodes, then of their names.
fn known(cluster: &Cluster) -> IndexMap<String, Known<'_>> {
    let mut networks: IndexMap<String, Known<'_>> = IndexMap::new();
    for node in cluster.in_natural_order() {
        let mut rows: Vec<&Value> = node.networks.iter().filter(|row| row.is_object()).collect();
        rows.sort_by_key(|row| (read::text(row, "/Name"), read::text(row, "/Id")));
        let mut endpoints = endpoints(node);
        for row in rows {
            let id = read::text(row, "/Id");
            let added = endpoints.remove(id).unwrap_or_default();
            if let Some(known) = networks.get_mut(id) {
                known.nodes.push(node);
                unite(&mut known.row, containers_of(&mut row.clone()));
                unite(&mut known.row, added);
                continue;
            }
            let mut known = Known { row: row.clone(), nodes: vec![node] };
            unite(&mut known.row, added);
            networks.insert(id.to_owned(), known);
        }
    }
    networks
}

/// The containers of each network of a node, as an engine describes them. Engines leave them out
/// of their lists since API 1.28; as in the classic manager, clients still get them.
fn endpoints(node: &Node) -> BTreeMap<&str, Map<String, Value>> {
    let mut endpoints: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for container in node.containers.values() {
        let name = container.facts.names().next().unwrap_or_default();
        for (_, endpoint) in read::members(&container.inspect, "/NetworkSettings/Networks") {
            let text = |pointer| read::text(endpoint, pointer);
            // A container that does not run is on no network, as engines see it.
            if text("/EndpointID").is_empty() {
                continue;
            }
            let with_prefix = |ip: &str, length| match ip {
                "" => String::new(),
                ip => format!("{ip}/{}", read::int(endpoint, length)),
            };
            let described = json!({
                "Name": name.trim_start_matches('/'),
                "EndpointID": text("/EndpointID"),
                "MacAddress": text("/MacAddress"),
                "IPv4Address": with_prefix(text("/IPAddress"), "/IPPrefixLen"),
                "IPv6Address": with_prefix(text("/GlobalIPv6Address"), "/GlobalIPv6PrefixLen"),
            });
            let network = endpoints.entry(text("/NetworkID")).or_default();
            network.insert(container.id.clone(), described);
        }
    }
    endpoints
}

/// Takes the containers out of a network.
fn containers_of(network: &mut Value) -> Map<String, Value> {
    match network.get_mut("Containers").map(Value::take) {
        Some(Value::Object(containers)) => containers,
        _ => Map::new(),
    }
}

/// Adds containers to a network.
fn unite(network: &mut Value, more: Map<String, Value>) {
    if more.is_empty() {
        return;
    }
    if let Some(network) = network.as_object_mut() {
        read::object_mut(network, "Containers").extend(more);
    }
}

/// An engine knows a container on another host by its endpoint only, and calls it after that; its
/// own engine knows better. One entry of the two is enough.
fn drop_doubles(network: &mut Value) {
    let Some(containers) = network.get_mut("Containers").and_then(Value::as_object_mut) else {
        return;
    };
    let is_named_after_endpoint = |key: &str, endpoint: &Value| {
        let id = read::text(endpoint, "/EndpointID");
        !id.is_empty() && key.contains(id)
    };
    let better: BTreeSet<String> = containers
        .iter()
        .filter(|(key, endpoint)| !is_named_after_endpoint(key, endpoint))
        .map(|(_, endpoint)| read::text(endpoint, "/EndpointID").to_owned())
        .collect();
    containers.retain(|key, endpoint| {
        !is_named_after_endpoint(key, endpoint)
            || !better.contains(read::text(endpoint, "/EndpointID"))
    });
}

/// What a list asks for.
struct Listing<'a> {
    filters: &'a Filters,
    dangling: Option<bool>,
    /// The IDs of the networks that the values of `name` and of `id` mean.
    names: Vec<String>,
    ids: Vec<String>,
}

impl<'a> Listing<'a> {
    fn new(cluster: &Cluster, filters: &'a Filters, dangling: Option<bool>) -> Self {
        let meant = |key| -> Vec<String> {
            let found = filters.values(key).iter().filter_map(|text| cluster.network_scope(text));
            found.map(|(_, row)| read::text(&row, "/Id").to_owned()).collect()
        };
        Self { filters, dangling, names: meant("name"), ids: meant("id") }
    }

    fn accepts(&self, network: &Known<'_>) -> bool {
        let filters = self.filters;
        let text = |pointer| read::text(&network.row, pointer);
        let (id, name) = (text("/Id"), text("/Name"));
        let means = |ids: &[String]| ids.iter().any(|one| one == id);
        let is_builtin = BUILTIN.contains(&name);
        let in_use = is_builtin || read::members(&network.row, "/Containers").next().is_some();
        filters.any("type", |wanted| (wanted == "builtin") == is_builtin)
            && filters.labels(|key| network.row.get("Labels")?.get(key)?.as_str())
            && filters.any("driver", |driver| driver == text("/Driver"))
            && filters.any("scope", |scope| scope == text("/Scope"))
            && filters.any("node", |n| network.nodes.iter().any(|node| is_node(node, n)))
            && (means(&self.names) || filters.matches("name", name))
            && (means(&self.ids) || filters.matches("id", id))
            && self.dangling.is_none_or(|dangling| dangling != in_use)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_named_by_the_engine_that_has_it() {
        let entry = |name: &str, id: &str| json!({ "Name": name, "EndpointID": id });
        let mut network = json!({ "Id": "n", "Containers": { "ep-e2": entry("two", "e2") } });
        let mut other = json!({ "Containers": {
            "c2": entry("two", "e2"), "ep-e3": entry("three", "e3"), "c4": entry("four", ""),
        } });
        unite(&mut network, containers_of(&mut other));
        drop_doubles(&mut network);
        let keys: Vec<&str> = read::members(&network, "/Containers").map(|(key, _)| key).collect();
        assert_eq!(keys, ["c2", "ep-e3", "c4"]);
        let mut none = json!({ "Id": "n" });
        unite(&mut none, Map::new());
        drop_doubles(&mut none);
        assert_eq!(none, json!({ "Id": "n" }));
    }
}
