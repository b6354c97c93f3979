//! The networks and volumes of the scripted engine, and of a second one.

use hyper::Response;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::ctx::http::Body;

use super::engine::{no_content, reply};
use super::*;

/// The ID of an engine's network; of one that spans engines, without an engine.
pub(super) fn network_id(name: &str, engine: &str) -> String {
    let hex: String = format!("{name}{engine}").bytes().map(|b| format!("{b:02x}")).collect();
    format!("{hex:0<64}")
}

/// What every engine has from the start.
pub(super) fn own_networks(engine: &str) -> Vec<Value> {
    let own = ["host", "bridge"].map(|name| {
        json!({
            "Name": name, "Id": network_id(name, engine), "Scope": "local", "Driver": name,
            "Containers": {}, "Labels": {},
        })
    });
    own.to_vec()
}

/// A container's end of a network, as inspect tells it.
pub(super) fn endpoint(network: &str) -> Value {
    json!({
        "NetworkID": network, "EndpointID": format!("e{}", &network[..8]), "MacAddress": "02:42",
        "IPAddress": "10.9.0.2", "IPPrefixLen": 24, "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
    })
}

fn refuse(status: u16, message: impl Into<String>) -> Response<Body> {
    reply(status, &json!({ "message": message.into() }))
}

fn position(rows: &[Value], key: &str, value: &str) -> Option<usize> {
    rows.iter().position(|row| row[key] == value)
}

impl Engine {
    /// Answers `/networks…`.
    pub(super) fn network(&self, method: &str, rest: &[&str], body: &[u8]) -> Response<Body> {
        let shared = Arc::clone(&self.shared.lock().unwrap());
        let (mut own, mut shared) = (self.networks.lock().unwrap(), shared.lock().unwrap());
        match (method, rest) {
            ("GET", []) => reply(200, &own.iter().chain(shared.iter()).cloned().collect()),
            ("POST", ["create"]) => {
                let mut network: Value = serde_json::from_slice(body).unwrap();
                let name = network["Name"].as_str().unwrap().to_owned();
                if own.iter().chain(shared.iter()).any(|row| row["Name"] == *name) {
                    return refuse(409, format!("network with name {name} already exists"));
                }
                let local = network["Driver"] != "overlay";
                let id = network_id(&name, if local { self.name } else { "" });
                network["Id"] = id.clone().into();
                network["Scope"] = if local { "local" } else { "swarm" }.into();
                network["Containers"] = json!({});
                if local {
                    own.push(network)
                } else {
                    shared.push(network)
                }
                reply(201, &json!({ "Id": id, "Warning": "careful" }))
            }
            (_, [id, rest @ ..]) => {
                let list =
                    if position(&shared, "Id", id).is_some() { &mut shared } else { &mut own };
                let Some(at) = position(list, "Id", id) else {
                    return refuse(404, format!("network {id} not found"));
                };
                match (method, rest) {
                    ("GET", []) => reply(200, &self.described(&list[at])),
                    ("DELETE", []) if list[at]["Driver"] == list[at]["Name"] => {
                        refuse(403, format!("{} is a pre-defined network", list[at]["Name"]))
                    }
                    ("DELETE", []) => {
                        list.remove(at);
                        no_content()
                    }
                    (_, verb) => self.change_membership(verb[0] == "connect", id, body),
                }
            }
            _ => refuse(404, "page not found"),
        }
    }

    /// What inspect says of a network.
    fn described(&self, network: &Value) -> Value {
        let mut network = network.clone();
        for (id, container) in &*self.containers.lock().unwrap() {
            if container.networks.iter().any(|on| network["Id"] == **on) {
                network["Containers"][id] = json!({ "Name": container.name, "EndpointID": "e1" });
            }
        }
        network["FieldOfTomorrow"] = json!([self.name]);
        network
    }

    fn change_membership(&self, joins: bool, network: &str, body: &[u8]) -> Response<Body> {
        let body: Value = serde_json::from_slice(body).unwrap();
        let mut containers = self.containers.lock().unwrap();
        let container = containers.get_mut(body["Container"].as_str().unwrap()).unwrap();
        let is_on = container.networks.iter().any(|on| on == network);
        match (is_on, joins) {
            (true, true) => refuse(403, format!("{} is on it already", container.name)),
            (false, false) => refuse(500, format!("{} is not on it", container.name)),
            (false, true) if body["EndpointConfig"]["Tomorrow"] != 1 => {
                refuse(400, "fields went missing")
            }
            (false, true) => {
                container.networks.push(network.to_owned());
                Response::new(http::empty())
            }
            (true, false) => {
                container.networks.retain(|on| on != network);
                Response::new(http::empty())
            }
        }
    }

    /// Answers `/volumes…`.
    pub(super) fn volume(&self, method: &str, rest: &[&str], body: &[u8]) -> Response<Body> {
        let mut rows = self.volumes.lock().unwrap();
        match (method, rest) {
            ("GET", []) => reply(200, &json!({ "Volumes": *rows, "Warnings": null })),
            ("POST", ["create"]) => {
                let mut volume: Value = serde_json::from_slice(body).unwrap();
                let name = volume["Name"].as_str().unwrap().to_owned();
                if name == format!("not-on-{}", self.name) {
                    return refuse(500, "no space left");
                }
                if volume["Driver"].is_null() {
                    volume["Driver"] = "local".into();
                }
                volume["Mountpoint"] = format!("/{}/{name}", self.name).into();
                if position(&rows, "Name", &name).is_none() {
                    rows.push(volume.clone());
                }
                reply(201, &volume)
            }
            (_, [name]) => {
                let name = percent_decode_str(name).decode_utf8().unwrap();
                let Some(at) = position(&rows, "Name", &name) else {
                    return refuse(404, format!("get {name}: no such volume"));
                };
                match method {
                    "GET" => {
                        let mut volume = rows[at].clone();
                        volume["Status"] = json!({ "asked": self.name });
                        reply(200, &volume)
                    }
                    _ if rows[at]["Busy"] == true => refuse(409, "volume is in use"),
                    _ => {
                        rows.remove(at);
                        no_content()
                    }
                }
            }
            _ => refuse(404, "page not found"),
        }
    }
}

impl World {
    /// A second engine, `node-2`, which has no containers; new networks may span both.
    pub(super) async fn join(&self) -> Arc<Engine> {
        let second = self.add_engine().await;
        *second.shared.lock().unwrap() = Arc::clone(&self.engine.shared.lock().unwrap());
        second
    }

    /// Makes the node of an engine unhealthy.
    pub(super) fn lose(&self, engine: &Engine) {
        self.manager.with(|cluster| {
            for _ in 0..3 {
                cluster.failed(&engine.addr, "no route to host", jiff::Timestamp::UNIX_EPOCH);
            }
        });
    }

    /// The request answered by an error with this status and text.
    pub(super) async fn refuses(&self, request: &str, body: &str, status: u16, message: &str) {
        let (method, target) = request.split_once(' ').unwrap();
        let answer = self.send(method, target, body).await;
        let expected = (status, message.to_owned());
        assert_eq!((answer.status, answer.message()), expected, "{request}");
    }
}

/// Filters as a query.
pub(super) fn filters(text: &str) -> String {
    let escape = percent_encoding::NON_ALPHANUMERIC;
    format!("filters={}", utf8_percent_encode(text, escape))
}
