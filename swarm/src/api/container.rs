//! Requests about one container that the manager answers itself.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use serde_json::{Map, Value, json};

use crate::cluster::Node;
use crate::ctx::http;
use crate::engine::{Engine, EngineError};
use crate::manager::RenameError;

use super::error::ApiError;
use super::query::Query;
use super::{Api, Reply, json, no_content};

/// The largest create body taken; real ones have a few kilobytes.
const CREATE_BODY_MAX_BYTES: usize = 16 << 20;

/// A container that a request names, and where it is.
pub(super) struct Located {
    /// Its full ID.
    pub id: String,
    /// The address of its node.
    pub addr: String,
    pub node_name: String,
    pub node_id: String,
    pub healthy: bool,
}

impl Located {
    /// Refuses when the container's node is not healthy.
    pub(super) fn check_healthy(&self, name: &str) -> Result<(), ApiError> {
        if self.healthy {
            return Ok(());
        }
        let node = &self.node_name;
        Err(ApiError::internal(format!("Container {name} running on unhealthy node {node}")))
    }
}

/// The JSON object that a request describes something to be made with.
pub(super) async fn read_object(body: Incoming) -> Result<Map<String, Value>, ApiError> {
    let body = http::collect(body, CREATE_BODY_MAX_BYTES).await;
    let body = body.map_err(|e| ApiError::bad_request(e.to_string()))?;
    serde_json::from_slice(&body).map_err(|e| ApiError::bad_request(e.to_string()))
}

impl Api {
    pub(super) fn locate(&self, name: &str) -> Option<Located> {
        self.manager.with(|cluster| {
            let (node, container) = cluster.find_container(name)?;
            Some(Located {
                id: container.id.clone(),
                addr: node.addr.clone(),
                node_name: node.name.clone(),
                node_id: node.id.clone(),
                healthy: node.is_healthy(),
            })
        })
    }

    /// The engine of a container that was just located.
    pub(super) fn engine_of(&self, located: &Located) -> Result<Arc<Engine>, ApiError> {
        self.manager.engine(&located.addr).ok_or_else(|| {
            let Located { node_name, node_id, .. } = located;
            // The blank at the end is the classic manager's.
            ApiError::internal(format!(
                "Possibly lost connection to Engine (name: {node_name}, ID: {node_id}) "
            ))
        })
    }

    pub(super) async fn create(&self, query: &Query, request: Request<Incoming>) -> Reply {
        let raw_query = request.uri().query().unwrap_or_default().to_owned();
        let auth = request.headers().get("x-registry-auth");
        let auth = auth.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = read_object(request.into_body()).await?;
        let name = query.text("name");
        let created = self.manager.create(name, Value::Object(body), auth, &raw_query).await;
        let created = created.map_err(|e| ApiError::new(e.status, e.message))?;
        let reply = json!({ "Id": created.id, "Warnings": created.warnings });
        Ok(json(StatusCode::CREATED, &reply))
    }

    /// The engine's inspect with the node added and host ports told by the node's address. All the
    /// rest is passed on as the engine wrote it, so that fields of later versions survive.
    pub(super) async fn inspect(&self, name: &str, query: Option<&str>) -> Reply {
        let missing = || ApiError::not_found(format!("No such container {name}"));
        let located = self.locate(name).ok_or_else(missing)?;
        located.check_healthy(name)?;
        let engine = self.engine_of(&located)?;
        let path = match query {
            Some(query) => format!("/containers/{}/json?{query}", located.id),
            None => format!("/containers/{}/json", located.id),
        };
        let mut inspect = match engine.json(Method::GET, &path, None).await {
            Ok(inspect) => inspect,
            // Gone since the manager last looked.
            Err(EngineError::Api { status: StatusCode::NOT_FOUND, .. }) => return Err(missing()),
            Err(e) => return Err(ApiError::internal(e)),
        };
        self.manager.with(|cluster| {
            if let (Some(fields), Some(node)) =
                (inspect.as_object_mut(), cluster.node(&located.addr))
            {
                add_node(fields, node);
                tell_host_ip(fields, &node.ip);
            }
        });
        Ok(json(StatusCode::OK, &inspect))
    }

    pub(super) async fn start(&self, name: &str, request: Request<Incoming>) -> Reply {
        // Old clients send a host configuration that engines no longer take.
        let _ = http::collect(request.into_body(), CREATE_BODY_MAX_BYTES).await;
        let located = self
            .locate(name)
            .ok_or_else(|| ApiError::not_found(format!("No such container {name}")))?;
        let started = self.manager.start_container(&located.addr, &located.id).await;
        started.map_err(ApiError::internal)?;
        Ok(no_content())
    }

    pub(super) async fn rename(&self, name: &str, query: &Query) -> Reply {
        let located = self
            .locate(name)
            .ok_or_else(|| ApiError::not_found(format!("No such container: {name}")))?;
        let (addr, id) = (&located.addr, &located.id);
        let renamed = self.manager.rename_container(addr, id, query.text("name")).await;
        renamed.map_err(|e| match e {
            RenameError::Name(taken) => ApiError::new(StatusCode::CONFLICT, taken.to_string()),
            RenameError::Engine(e) => ApiError::internal(e),
        })?;
        Ok(no_content())
    }

    pub(super) async fn remove(&self, name: &str, query: &Query) -> Reply {
        let located = self
            .locate(name)
            .ok_or_else(|| ApiError::not_found(format!("Container {name} not found")))?;
        let (force, volumes) = (query.flag("force"), query.flag("v"));
        let removed =
            self.manager.remove_container(&located.addr, &located.id, force, volumes).await;
        removed.map_err(ApiError::internal)?;
        Ok(no_content())
    }
}

/// Inserts `Node` after `LogPath`, where clients of the classic manager have seen it.
fn add_node(inspect: &mut Map<String, Value>, node: &Node) {
    let described = json!({
        "ID": node.id,
        "IP": node.ip,
        "Addr": node.addr,
        "Name": node.name,
        "Cpus": node.specs.cpus,
        "Memory": node.specs.memory,
        "Labels": node.specs.labels,
    });
    let place = inspect.keys().position(|key| key == "LogPath");
    let place = place.map_or(inspect.len(), |at| at + 1);
    inspect.shift_insert(place, "Node".to_owned(), described);
}

/// Tells on which address of which node a published port is reached.
fn tell_host_ip(inspect: &mut Map<String, Value>, ip: &str) {
    let ports = inspect
        .get_mut("NetworkSettings")
        .and_then(|settings| settings.get_mut("Ports"))
        .and_then(Value::as_object_mut);
    for bindings in ports.into_iter().flatten().filter_map(|(_, list)| list.as_array_mut()) {
        for binding in bindings.iter_mut() {
            // In inspect, unlike in lists, nothing means every address.
            if binding.get("HostIp").is_some_and(|ip| ip.as_str() == Some("")) {
                binding["HostIp"] = "0.0.0.0".into();
            }
        }
        tell_node_ip(bindings, "HostIp", ip);
    }
}

/// Replaces addresses under `key` that mean "every address of the node" by the node's own. An
/// engine lists such a port once for IPv4 and once for IPv6, which would now say the same: one of
/// them goes.
pub(super) fn tell_node_ip(ports: &mut Vec<Value>, key: &str, ip: &str) {
    for port in ports.iter_mut() {
        let told = port.get(key).and_then(Value::as_str);
        if told.and_then(|text| text.parse().ok()).is_some_and(|ip: IpAddr| ip.is_unspecified()) {
            port[key] = ip.into();
        }
    }
    let all = std::mem::take(ports);
    for port in all {
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inspect_gains_its_node_and_keeps_everything_else() {
        let mut inspect = json!({
            "Id": "1",
            "LogPath": "/l",
            "FieldOfTomorrow": { "a": [1, 2.5] },
            "NetworkSettings": { "Ports": {
                "80/tcp": [
                    { "HostIp": "0.0.0.0", "HostPort": "1" },
                    { "HostIp": "::", "HostPort": "1" },
                    { "HostIp": "::", "HostPort": "2" },
                ],
                "81/tcp": null,
                "82/tcp": [{ "HostIp": "10.0.0.9" }, { "HostIp": "" }],
            } },
        });
        let node = Node { name: "n1".into(), ip: "10.0.0.1".into(), ..Node::default() };
        let fields = inspect.as_object_mut().unwrap();
        add_node(fields, &node);
        tell_host_ip(fields, &node.ip);
        let keys: Vec<&str> = fields.keys().map(String::as_str).collect();
        assert_eq!(keys, ["Id", "LogPath", "Node", "FieldOfTomorrow", "NetworkSettings"]);
        assert_eq!(
            fields["NetworkSettings"]["Ports"],
            json!({
                "80/tcp": [
                    { "HostIp": "10.0.0.1", "HostPort": "1" },
                    { "HostIp": "10.0.0.1", "HostPort": "2" },
                ],
                "81/tcp": null,
                "82/tcp": [{ "HostIp": "10.0.0.9" }, { "HostIp": "10.0.0.1" }],
            })
        );
        assert_eq!(fields["FieldOfTomorrow"], json!({ "a": [1, 2.5] }));
    }
}
