//! Creating a container: reserve, ask the engine, commit or release.

use std::fmt;
use std::sync::Arc;

use hyper::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::cluster::{Cluster, LINEAGE_LABEL, Reservation, SWARM_ID_LABEL};
use crate::ctx::Level;
use crate::engine::{Engine, EngineError, Failure};
use crate::scheduler::Request;

use super::Manager;
use super::image::{is_missing, is_missing_here, pull_path, wrong_platform};
use super::refresh::Depth;
use super::settle::Claim;

/// Networks that every engine has of its own: no reason to prefer one.
const PREDEFINED_NETWORKS: [&str; 4] = ["default", "bridge", "host", "none"];

/// An empty object in base 64: what a client without credentials sends.
const NO_CREDENTIALS: &str = "e30=";

/// A container that was created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// Its full ID.
    pub id: String,
    /// The address of the node it is on.
    pub node: String,
    /// What the engine had to remark.
    pub warnings: Vec<String>,
}

/// Why no container was created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateError {
    /// The status for the client: 409 for a name in use, else 500 (the classic manager's rule).
    pub status: StatusCode,
    /// The classic manager's text.
    pub message: String,
}

impl fmt::Display for CreateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CreateError {}

impl From<String> for CreateError {
    fn from(message: String) -> Self {
        let status = match message.starts_with("Conflict") {
            true => StatusCode::CONFLICT,
            false => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, message }
    }
}

/// What stays the same from one attempt to the next.
struct Order {
    name: String,
    auth: String,
    /// The client's query without the name, as it was encoded.
    query: Vec<String>,
    /// The swarm ID, for a replacement: it has that of the container it replaces.
    replaces: Option<String>,
}

impl Order {
    fn path(&self) -> String {
        let mut query = self.query.clone();
        if !self.name.is_empty() {
            query.insert(0, format!("name={}", utf8_percent_encode(&self.name, NON_ALPHANUMERIC)));
        }
        match query.is_empty() {
            true => "/containers/create".to_owned(),
            false => format!("/containers/create?{}", query.join("&")),
        }
    }

    fn platform(&self) -> Option<&str> {
        self.query.iter().find_map(|pair| pair.strip_prefix("platform="))
    }
}

/// Why one attempt failed.
struct Failed {
    message: String,
    /// The image is nowhere to be had, as far as this engine knows.
    image_missing: bool,
    /// The container may exist: nothing may be tried again.
    unknown: bool,
}

impl From<String> for Failed {
    fn from(message: String) -> Self {
        Self { image_missing: is_missing(&message), message, unknown: false }
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self { unknown: failure.unknown, ..failure.error.to_string().into() }
    }
}

impl Manager {
    /// Creates a container on the node that the scheduler chooses. `name` may be empty; `auth` is
    /// the client's `X-Registry-Auth`; `query` its query string, of which everything but the name
    /// is passed on.
    ///
    /// The work goes on when the caller stops waiting.
    ///
    /// # Errors
    /// The name is taken, no node fits, or the engine refused.
    pub async fn create(
        self: &Arc<Self>,
        name: &str,
        body: Value,
        auth: Option<String>,
        query: &str,
    ) -> Result<Created, CreateError> {
        let is_other = |pair: &&str| !pair.is_empty() && pair.split('=').next() != Some("name");
        let order = Order {
            name: name.to_owned(),
            auth: auth.unwrap_or_else(|| NO_CREDENTIALS.to_owned()),
            query: query.split('&').filter(is_other).map(str::to_owned).collect(),
            replaces: None,
        };
        let mut body = body;
        if let Some(labels) = body.get_mut("Labels").and_then(Value::as_object_mut) {
            // Copied from a container that was one: what it says is not true of this one.
            labels.shift_remove(LINEAGE_LABEL);
        }
        let manager = Arc::clone(self);
        let work = async move { manager.create_somewhere(&order, body).await };
        let stopped = || Err("the manager is shutting down".to_owned());
        self.detached("create", work).await.unwrap_or_else(stopped).map_err(CreateError::from)
    }

    /// Creates a container in place of one that is lost, with its name and swarm ID. Everything
    /// else is in `body`, the lineage included.
    pub(super) async fn create_replacement(
        self: &Arc<Self>,
        name: &str,
        swarm_id: &str,
        body: Value,
    ) -> Result<Created, String> {
        let order = Order {
            name: name.to_owned(),
            auth: NO_CREDENTIALS.to_owned(),
            query: Vec::new(),
            replaces: Some(swarm_id.to_owned()),
        };
        self.create_somewhere(&order, body).await
    }

    /// Tries until it works or there is no reason left to.
    async fn create_somewhere(
        self: &Arc<Self>,
        order: &Order,
        mut body: Value,
    ) -> Result<Created, String> {
        let mut request = Request::from_create(&order.name, &mut body)?;
        self.with(|cluster| strip_node_names(cluster, &mut body));
        let mut retries = 0;
        let mut result = self.create_once(order, &request, &body).await;
        if let Err(failed) = &result
            && !failed.unknown
            && let Some(os) = wrong_platform(&failed.message)
        {
            request.add_constraint(&format!("ostype=={os}"), &mut body);
            retries += 1;
            result = self.create_once(order, &request, &body).await;
        }
        let image = request.facts.image().to_owned();
        if let Err(failed) = &result
            && !failed.unknown
            && failed.image_missing
            && !request.has_hard_node_constraint()
            && self.with(|cluster| !cluster.find_image(&image, true).is_empty())
        {
            // Not in the labels, so that it does not pin the container for ever.
            let mut near_image = request.clone();
            near_image.affinities.push(format!("image=={image}"));
            retries += 1;
            result = self.create_once(order, &near_image, &body).await;
        }
        while let Err(failed) = &result
            && !failed.unknown
            && retries < self.options.create_retry
        {
            let text = format!("Failed to create container: {}, retrying", failed.message);
            self.ctx.log(Level::Warn, text);
            retries += 1;
            result = self.create_once(order, &request, &body).await;
        }
        result.map_err(|failed| failed.message)
    }

    /// One attempt: everything is claimed in one step, then the engine is asked.
    async fn create_once(
        self: &Arc<Self>,
        order: &Order,
        request: &Request,
        body: &Value,
    ) -> Result<Created, Failed> {
        let (mut request, mut body) = (request.clone(), body.clone());
        let swarm_id = order.replaces.clone().unwrap_or_else(|| self.ctx.random_id("swarm-id"));
        set_swarm_id(&mut body, &swarm_id);
        let what = match order.name.as_str() {
            "" => request.facts.image().to_owned(),
            name => name.to_owned(),
        };
        let reserved = self.with(|cluster| {
            prefer_network(cluster, &mut request, &mut body);
            let mut random = |bound| self.ctx.random_below("scheduler", bound);
            let reserved = cluster
                .reserve(&request, &swarm_id, &self.options.scheduler, &mut random)
                .map_err(|refusal| {
                    let told = self.refused(cluster, &what, &request, &refusal);
                    (refusal.to_string(), told)
                })?;
            let node = cluster.node(&reserved.node);
            if let Some(node) = node {
                node.scale_cpu_shares(&mut body);
            }
            Ok((node.map(|node| node.name.clone()).unwrap_or_default(), reserved))
        });
        let (node, reservation): (String, Reservation) =
            reserved.map_err(|(message, told): (String, String)| {
                self.ctx.log(Level::Info, told);
                message
            })?;
        let claim = Claim::new(self, &swarm_id);
        self.ctx.log(Level::Info, format!("create {what}: {} -> {node}", reservation.summary));
        let engine = self.engine(&reservation.node);
        let engine = engine.ok_or_else(|| "error creating container".to_owned())?;
        match self.create_on(&engine, order, request.facts.image(), &body).await {
            Ok(created) => {
                self.commit(&engine, &created.id, order, &body, claim).await;
                Ok(created)
            }
            Err(failed) if !failed.unknown => Err(failed),
            Err(failed) => match self.find_created(&engine, &swarm_id).await {
                // The answer was lost, the container was not.
                Ok(Some(id)) => {
                    self.commit(&engine, &id, order, &body, claim).await;
                    Ok(Created { id, node: engine.addr.clone(), warnings: Vec::new() })
                }
                // Should it exist after all, its lineage tells that it is one copy too many: it is
                // better to try elsewhere now than to wait for an engine that may be dead.
                Ok(None) | Err(_) if order.replaces.is_some() => Err(failed),
                Ok(None) | Err(_) => {
                    self.settle_create(engine, claim);
                    Err(failed)
                }
            },
        }
    }

    /// Asks the engine, pulling the image there if it is not.
    async fn create_on(
        &self,
        engine: &Engine,
        order: &Order,
        image: &str,
        body: &Value,
    ) -> Result<Created, Failed> {
        let path = order.path();
        let mut answer = engine.attempt(Method::POST, &path, Some(body)).await?;
        if answer.0 == StatusCode::NOT_FOUND
            && let EngineError::Api { message, .. } = EngineError::api(answer.0, &answer.1)
            && is_missing_here(&message)
            && let Some(pull) = pull_path(image, order.platform())
        {
            engine.pull(&pull, &order.auth).await.map_err(|error| Failed {
                image_missing: error.status() == Some(StatusCode::NOT_FOUND)
                    || is_missing(&error.to_string()),
                message: match error {
                    EngineError::Other(message) => format!("Failed to load {image}: {message}"),
                    error => error.to_string(),
                },
                unknown: false,
            })?;
            answer = engine.attempt(Method::POST, &path, Some(body)).await?;
        }
        let (status, bytes) = answer;
        if !status.is_success() {
            let error = EngineError::api(status, &bytes);
            let message = error.to_string();
            let missing_here = status == StatusCode::NOT_FOUND && is_missing_here(&message);
            return Err(Failed {
                image_missing: missing_here || is_missing(&message),
                message,
                unknown: false,
            });
        }
        let reply: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let Some(id) = reply.get("Id").and_then(Value::as_str).filter(|id| !id.is_empty()) else {
            let message = format!("{} created a container without an ID", engine.addr);
            return Err(Failed { message, image_missing: false, unknown: true });
        };
        let warnings = reply.get("Warnings").and_then(Value::as_array);
        let warnings = warnings.into_iter().flatten().filter_map(Value::as_str);
        Ok(Created {
            id: id.to_owned(),
            node: engine.addr.clone(),
            warnings: warnings.map(str::to_owned).collect(),
        })
    }

    /// Takes a created container into the cache, which ends its claim. It exists, so this cannot
    /// fail: what the engine does not tell now is assumed from the request, and asked for later.
    async fn commit(
        self: &Arc<Self>,
        engine: &Arc<Engine>,
        id: &str,
        order: &Order,
        body: &Value,
        claim: Claim,
    ) {
        let Err(error) = self.look_at(engine, id, Depth::Full).await else { return };
        self.log_failed(engine, "a container", &error);
        let (summary, inspect) = assumed(id, &order.name, body, self.ctx.now());
        self.with_slot(engine, |slot, cluster| {
            let number = slot.fresh.begin();
            slot.fresh.accept(id, number);
            cluster.update_container(&engine.addr, summary, Some(inspect));
        });
        drop(claim);
        self.settle_container(Arc::clone(engine), id.to_owned(), ());
    }
}

/// Marks the container as this create's. A swarm ID sent by the client is replaced: it would be
/// another container's.
fn set_swarm_id(body: &mut Value, swarm_id: &str) {
    let Some(fields) = body.as_object_mut() else { return };
    let labels = fields.entry("Labels").or_insert(Value::Null);
    if !labels.is_object() {
        *labels = Value::Object(Map::new());
    }
    if let Some(labels) = labels.as_object_mut() {
        labels.insert(SWARM_ID_LABEL.to_owned(), Value::String(swarm_id.to_owned()));
    }
}

/// Prefers the node of a network that exists on one node only, and calls the network as that node
/// does.
pub(super) fn prefer_network(cluster: &Cluster, request: &mut Request, body: &mut Value) {
    let mode = body.pointer("/HostConfig/NetworkMode").and_then(Value::as_str).unwrap_or_default();
    if mode.is_empty() || mode.starts_with("container:") || PREDEFINED_NETWORKS.contains(&mode) {
        return;
    }
    let Some((node, network)) = cluster.network_scope(mode) else { return };
    let text = |key: &str| network.get(key).and_then(Value::as_str).unwrap_or_default();
    if text("Scope") != "local" {
        return;
    }
    let constraint = format!("node==~{}", node.name);
    if let Some(mode) = body.pointer_mut("/HostConfig/NetworkMode") {
        *mode = Value::String(text("Name").to_owned());
    }
    if !request.has_hard_node_constraint() {
        request.add_constraint(&constraint, body);
    }
}

/// `<node>/<network>` in `EndpointsConfig` is the manager's way of naming; engines know the network
/// alone.
fn strip_node_names(cluster: &Cluster, body: &mut Value) {
    let endpoints = body.pointer_mut("/NetworkingConfig/EndpointsConfig");
    let Some(endpoints) = endpoints.and_then(Value::as_object_mut) else { return };
    let bare = |key: &String| match key.split_once('/') {
        Some((node, network))
            if node.is_empty() || cluster.registered().any(|known| known.name == node) =>
        {
            network.to_owned()
        }
        _ => key.clone(),
    };
    *endpoints =
        std::mem::take(endpoints).into_iter().map(|(key, value)| (bare(&key), value)).collect();
}

/// What the engine will say of a container that was created a moment ago, as far as it is known.
fn assumed(id: &str, name: &str, body: &Value, now: jiff::Timestamp) -> (Value, Value) {
    let mut config = body.as_object().cloned().unwrap_or_default();
    let host = config.shift_remove("HostConfig").unwrap_or_else(|| json!({}));
    config.shift_remove("NetworkingConfig");
    let name = match name.trim_start_matches('/') {
        "" => String::new(),
        name => format!("/{name}"),
    };
    let names: Vec<&str> =
        Some(name.as_str()).filter(|name| !name.is_empty()).into_iter().collect();
    let never = "0001-01-01T00:00:00Z";
    let summary = json!({
        "Id": id, "Names": names, "Image": config.get("Image"), "ImageID": "", "Command": "",
        "Created": now.as_second(), "Ports": [], "Labels": config.get("Labels"),
        "State": "created", "Status": "Created",
        "HostConfig": { "NetworkMode": host.get("NetworkMode") },
        "NetworkSettings": { "Networks": {} }, "Mounts": [],
    });
    let inspect = json!({
        "Id": id, "Created": now.to_string(), "Path": "", "Args": [],
        "State": {
            "Status": "created", "Running": false, "Paused": false, "Restarting": false,
            "OOMKilled": false, "Dead": false, "Pid": 0, "ExitCode": 0, "Error": "",
            "StartedAt": never, "FinishedAt": never,
        },
        "Image": "", "Name": name, "RestartCount": 0, "HostConfig": host, "Mounts": [],
        "Config": config, "NetworkSettings": { "Ports": {}, "Networks": {} },
    });
    (summary, inspect)
}
