//! Volumes: those of all engines as one list, and requests about one name.

use std::collections::BTreeSet;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use serde_json::{Value, json};

use crate::cluster::{Cluster, Node, json as read};
use crate::engine::EngineError;
use crate::manager::volume_path;

use super::container::read_object;
use super::error::ApiError;
use super::images::dangling;
use super::query::{Filters, Query};
use super::{Api, Reply, json, no_content};

const FILTERS: &[&str] = &["dangling", "driver", "label", "name", "node"];

impl Api {
    pub(super) fn list_volumes(&self, query: &Query) -> Reply {
        let filters = query.filters(FILTERS, StatusCode::INTERNAL_SERVER_ERROR)?;
        let listing = Listing { dangling: dangling(&filters)?, filters };
        let volumes = self.manager.with(|cluster| listing.select(cluster));
        let volumes = if volumes.is_empty() { Value::Null } else { Value::Array(volumes) };
        Ok(json(StatusCode::OK, &json!({ "Volumes": volumes, "Warnings": null })))
    }

    /// What the engine says of a volume now. Where it cannot be asked, what it last said.
    pub(super) async fn inspect_volume(&self, text: &str) -> Reply {
        let missing = || ApiError::not_found(format!("No such volume: {text}"));
        let found = self.manager.with(|cluster| {
            let (node, row) = cluster.find_volume(text)?;
            Some((node.is_healthy(), node.addr.clone(), row.clone()))
        });
        let (is_healthy, addr, row) = found.ok_or_else(missing)?;
        let engine = self.manager.engine(&addr).filter(|_| is_healthy);
        let Some(engine) = engine else { return Ok(json(StatusCode::OK, &row)) };
        let path = volume_path(read::text(&row, "/Name"));
        match engine.json(Method::GET, &path, None).await {
            Ok(volume) => Ok(json(StatusCode::OK, &volume)),
            // Gone since the manager last looked.
            Err(EngineError::Api { status: StatusCode::NOT_FOUND, .. }) => Err(missing()),
            Err(error) => Err(ApiError::internal(error)),
        }
    }

    pub(super) async fn create_volume(&self, request: Request<Incoming>) -> Reply {
        let body = read_object(request.into_body()).await?;
        let made = self.manager.create_volume(body).await.map_err(ApiError::internal)?;
        Ok(json(StatusCode::CREATED, &made))
    }

    pub(super) async fn remove_volume(&self, text: &str, query: Option<&str>) -> Reply {
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        match self.manager.remove_volume(text, &query).await.map_err(ApiError::internal)? {
            true => Ok(no_content()),
            false => Err(ApiError::not_found(format!("No such volume {text}"))),
        }
    }
}

/// What a list asks for.
struct Listing {
    filters: Filters,
    dangling: Option<bool>,
}

impl Listing {
    /// The volumes in the natural order of their nodes, then of their names. One that is not of
    /// the driver `local` comes once for each node.
    fn select(&self, cluster: &Cluster) -> Vec<Value> {
        let nodes = cluster.in_natural_order();
        let mounted = match self.dangling {
            Some(_) => nodes.iter().flat_map(|node| mounts(node)).collect(),
            None => BTreeSet::new(),
        };
        let mut volumes = Vec::new();
        for node in nodes {
            let mut rows: Vec<&Value> = node.volumes.iter().filter(|row| row.is_object()).collect();
            rows.sort_by_key(|row| read::text(row, "/Name"));
            let rows = rows.into_iter().filter(|row| {
                let home = if is_local(row) { node.addr.as_str() } else { "" };
                let in_use = mounted.contains(&(home, read::text(row, "/Name")));
                self.dangling.is_none_or(|dangling| dangling != in_use) && self.accepts(node, row)
            });
            volumes.extend(rows.map(|row| {
                let mut row = row.clone();
                row["Name"] = shown_name(node, &row).into();
                row
            }));
        }
        volumes
    }

    fn accepts(&self, node: &Node, row: &Value) -> bool {
        let filters = &self.filters;
        let name = read::text(row, "/Name");
        let shown = shown_name(node, row);
        filters.any("name", |part| name.contains(part) || shown == part)
            && filters.any("driver", |driver| driver == read::text(row, "/Driver"))
            && filters.labels(|key| row.get("Labels")?.get(key)?.as_str())
            // Which node shows a volume that belongs to none says nothing.
            && (!is_local(row) || filters.any("node", |wanted| wanted == node.name))
    }
}

fn is_local(row: &Value) -> bool {
    read::text(row, "/Driver") == "local"
}

/// `<node>/<name>` for a volume that lives on one node only.
fn shown_name(node: &Node, row: &Value) -> String {
    let name = read::text(row, "/Name");
    if is_local(row) { format!("{}/{name}", node.name) } else { name.to_owned() }
}

/// The volumes that the containers of a node mount: where they live, if on one node only, and
/// their names.
fn mounts(node: &Node) -> impl Iterator<Item = (&str, &str)> {
    let lists = node.containers.values().filter_map(|container| container.inspect.get("Mounts"));
    let mounts = lists.filter_map(Value::as_array).flatten();
    let volumes = mounts.filter(|mount| !read::text(mount, "/Name").is_empty());
    volumes.map(|mount| {
        let home = if is_local(mount) { node.addr.as_str() } else { "" };
        (home, read::text(mount, "/Name"))
    })
}
