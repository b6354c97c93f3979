//! Networks: made where the scheduler says, asked and changed where they are.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use hyper::{Method, StatusCode};
use serde_json::{Map, Value};

use crate::cluster::json;
use crate::engine::{Engine, EngineError};
use crate::scheduler::Request;

use super::refresh::{Depth, id_of};
use super::{Manager, STOPPED};

/// What a client gets for a network without a driver: in a cluster, the one that spans hosts.
const DEFAULT_DRIVER: &str = "overlay";

/// A network and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its full ID.
    pub id: String,
    /// Whether it lives on one node only.
    pub is_local: bool,
    /// The addresses of the nodes that know it, healthy ones first, then in the natural order of
    /// their names; never empty. One for a local network.
    pub holders: Vec<String>,
    /// How many of the holders are healthy.
    pub healthy: usize,
}

impl Manager {
    /// The network a client means by `text`.
    #[must_use]
    pub fn find_network(&self, text: &str) -> Option<Network> {
        self.with(|cluster| {
            let (node, row) = cluster.network_scope(text)?;
            let is_local = json::text(&row, "/Scope") == "local";
            let mut holders = match is_local {
                true => vec![node],
                false => cluster.in_natural_order(),
            };
            holders.retain(|node| node.networks.iter().any(|other| id_of(other) == id_of(&row)));
            holders.sort_by_key(|node| !node.is_healthy());
            Some(Network {
                id: id_of(&row).to_owned(),
                is_local,
                healthy: holders.iter().filter(|node| node.is_healthy()).count(),
                holders: holders.into_iter().map(|node| node.addr.clone()).collect(),
            })
        })
    }

    /// Creates a network on the node that the scheduler chooses, or on that of `<node>/<name>`;
    /// returns the engine's answer. Fields of `body` that the manager does not know are passed on.
    ///
    /// # Errors
    /// No node fits, or the engine refused: the client's text.
    pub async fn create_network(
        self: &Arc<Self>,
        mut body: Map<String, Value>,
    ) -> Result<Value, String> {
        if body.get("Driver").is_none_or(|driver| driver.is_null() || driver == "") {
            body.insert("Driver".to_owned(), DEFAULT_DRIVER.into());
        }
        let name = body.get("Name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut request = Request::default();
        if let Some((node, bare)) = name.split_once('/') {
            request.constraints.push(format!("node=={node}"));
            body.insert("Name".to_owned(), bare.into());
        }
        let addr = self.choose_for(&request)?;
        let engine = self.known_engine(&addr).map_err(|e| e.to_string())?;
        let manager = Arc::clone(self);
        let work = async move {
            let body = Value::Object(body);
            let made = engine.json(Method::POST, "/networks/create", Some(&body)).await;
            let made = made.map_err(|e| e.to_string())?;
            manager.show_network(&engine, id_of(&made)).await;
            Ok(made)
        };
        self.detached("create-network", work).await.unwrap_or_else(|| Err(STOPPED.to_owned()))
    }

    /// Lists the networks of the engine where one was just made; of all of them if it is there,
    /// too.
    async fn show_network(&self, engine: &Engine, id: &str) {
        self.relist_networks(std::slice::from_ref(&engine.addr)).await;
        let others = self.with(|cluster| {
            let rows = cluster.node(&engine.addr).map_or(&[][..], |node| &node.networks);
            let made = rows.iter().find(|row| id_of(row) == id);
            made.is_some_and(|row| json::text(row, "/Scope") != "local")
        });
        if others {
            let mut addrs = self.healthy();
            addrs.retain(|addr| *addr != engine.addr);
            self.relist_networks(&addrs).await;
        }
    }

    /// Removes a network. One that is on several engines is removed on any that can be reached.
    ///
    /// # Errors
    /// The engine refused, or none could be asked.
    pub async fn remove_network(self: &Arc<Self>, network: Network) -> Result<(), EngineError> {
        let manager = Arc::clone(self);
        let work = async move {
            let path = format!("/networks/{}", network.id);
            let mut result = Err(EngineError::Other("Engine no longer exists".to_owned()));
            for addr in &network.holders {
                result = manager.delete(addr, &path, || no_such_network(&network.id)).await;
                if !matches!(result, Err(EngineError::Connect(_))) {
                    break;
                }
            }
            // Also when it was gone: then what is known is outdated.
            if !matches!(result, Err(EngineError::Connect(_))) {
                let everywhere = || manager.healthy();
                let addrs = if network.is_local { network.holders } else { everywhere() };
                manager.relist_networks(&addrs).await;
            }
            result
        };
        let stopped = || Err(EngineError::Other(STOPPED.to_owned()));
        self.detached("remove-network", work).await.unwrap_or_else(stopped)
    }

    /// `DELETE path` on the engine at `addr`; `gone` is the error for what is not there.
    pub(super) async fn delete(
        &self,
        addr: &str,
        path: &str,
        gone: impl FnOnce() -> EngineError,
    ) -> Result<(), EngineError> {
        let engine = self.known_engine(addr)?;
        match engine.call(Method::DELETE, path, None).await? {
            (status, _) if status.is_success() => Ok(()),
            (StatusCode::NOT_FOUND, _) => Err(gone()),
            (status, body) => Err(EngineError::api(status, &body)),
        }
    }

    /// Connects the container `id` on the engine at `addr` to a network, and looks at it again.
    /// `body` names the container by its full ID. Returns the engine's answer, of any status.
    ///
    /// # Errors
    /// The engine could not be asked.
    pub async fn connect_network(
        self: &Arc<Self>,
        network: &Network,
        addr: &str,
        id: &str,
        body: Map<String, Value>,
    ) -> Result<(StatusCode, Bytes), EngineError> {
        let engine = self.known_engine(addr)?;
        let path = format!("/networks/{}/connect", network.id);
        let (manager, id) = (Arc::clone(self), id.to_owned());
        let work = async move {
            let answer = engine.call(Method::POST, &path, Some(&Value::Object(body))).await?;
            manager.look(&engine, &id).await;
            Ok(answer)
        };
        let stopped = || Err(EngineError::Other(STOPPED.to_owned()));
        self.detached("connect-network", work).await.unwrap_or_else(stopped)
    }

    /// Disconnects the container `id` on the engine at `addr` from a network, and looks at it
    /// again. If its engine is out of reach and `body` says `Force`, another engine is asked to
    /// do it where the network spans several. Says whether another one did.
    ///
    /// # Errors
    /// The engine refused, or could not be asked.
    pub async fn disconnect_network(
        self: &Arc<Self>,
        network: Network,
        addr: &str,
        id: &str,
        body: Map<String, Value>,
    ) -> Result<bool, EngineError> {
        let engine = self.known_engine(addr)?;
        let (manager, id) = (Arc::clone(self), id.to_owned());
        let work = async move {
            let path = format!("/networks/{}/disconnect", network.id);
            let body = Value::Object(body);
            let result = engine.json(Method::POST, &path, Some(&body)).await;
            let Err(failure @ EngineError::Connect(_)) = result else {
                manager.look(&engine, &id).await;
                return result.map(|_| false);
            };
            if network.is_local || !json::flag(&body, "/Force") {
                return Err(failure);
            }
            for other in network.holders.iter().filter(|addr| **addr != engine.addr) {
                let Some(other) = manager.engine(other) else { continue };
                if other.json(Method::POST, &path, Some(&body)).await.is_ok() {
                    return Ok(true);
                }
            }
            Err(failure)
        };
        let stopped = || Err(EngineError::Other(STOPPED.to_owned()));
        self.detached("disconnect-network", work).await.unwrap_or_else(stopped)
    }

    /// Looks at a container that has just been changed.
    async fn look(&self, engine: &Engine, id: &str) {
        if let Err(error) = self.look_at(engine, id, Depth::Full).await {
            self.log_failed(engine, "a container", &error);
        }
    }

    /// Lists the networks of these engines again. What cannot be listed now is listed later.
    async fn relist_networks(&self, addrs: &[String]) {
        let engines: Vec<Arc<Engine>> = addrs.iter().filter_map(|addr| self.engine(addr)).collect();
        let listed = engines.iter().map(|engine| async move {
            if let Err(error) = self.list_networks(engine).await {
                self.log_failed(engine, "networks", &error);
            }
        });
        join_all(listed).await;
    }
}

fn no_such_network(id: &str) -> EngineError {
    EngineError::Other(format!("Error: No such network: {id}"))
}
