//! Volumes: a name stands for one volume on each engine, so changes go to many.

use std::sync::Arc;

use futures_util::future::join_all;
use hyper::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use crate::cluster::{Cluster, Node, json};
use crate::engine::{Engine, EngineError};
use crate::scheduler::Request;

use super::{Manager, STOPPED};

/// The label that says on which nodes to make a volume.
const WHITELISTS_LABEL: &str = "com.docker.swarm.whitelists";

/// What is escaped in a segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An engine and the name of its node.
type Target = (String, Arc<Engine>);

/// The path of a volume on its engine.
#[must_use]
pub fn volume_path(name: &str) -> String {
    format!("/volumes/{}", utf8_percent_encode(name, SEGMENT))
}

impl Manager {
    /// Creates a volume on every registered engine at the same time, on that of `<node>/<name>`,
    /// or on those that the label `com.docker.swarm.whitelists` allows; without a name, under a
    /// random one. Returns the answer of the first engine in the natural order of nodes. Fields of
    /// `body` that the manager does not know are passed on.
    ///
    /// # Errors
    /// No node fits, or an engine failed: the client's text. The volumes on the others stay.
    pub async fn create_volume(
        self: &Arc<Self>,
        mut body: Map<String, Value>,
    ) -> Result<Value, String> {
        let name = body.get("Name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let (node, bare) = name.split_once('/').unwrap_or(("", &name));
        let bare = match bare {
            // The same everywhere, unlike what each engine would think of.
            "" => self.ctx.random_id("volume-name"),
            bare => bare.to_owned(),
        };
        body.insert("Name".to_owned(), bare.into());
        let body = Value::Object(body);
        let targets = self.volume_targets(node, &body)?;
        let manager = Arc::clone(self);
        let work = async move {
            let (manager, body) = (&manager, &body);
            let made = targets.iter().map(|(node, engine)| async move {
                let made = engine.json(Method::POST, "/volumes/create", Some(body)).await;
                if made.is_ok() {
                    manager.relist_volumes(engine).await;
                }
                made.map_err(|error| format!("{node}: {error}"))
            });
            let made = all_or_errors(join_all(made).await)?;
            Ok(made.into_iter().next().unwrap_or_default())
        };
        self.detached("create-volume", work).await.unwrap_or_else(|| Err(STOPPED.to_owned()))
    }

    /// Where to make a volume, in natural order; never nowhere.
    fn volume_targets(&self, node: &str, body: &Value) -> Result<Vec<Target>, String> {
        let mut request = Request::default();
        let labels = body.get("Labels");
        let label = labels.and_then(|l| l.get(WHITELISTS_LABEL)).and_then(Value::as_str);
        let addrs = if !node.is_empty() {
            request.constraints.push(format!("node=={node}"));
            vec![self.choose_for(&request)?]
        } else if let Some(label) = label {
            // As with containers, a label that is no list counts as an empty one.
            request.whitelists = serde_json::from_str(label).unwrap_or_default();
            let mut random = |bound| self.ctx.random_below("scheduler", bound);
            let scheduler = &self.options.scheduler;
            let placed = self.with(|cluster| scheduler.place(cluster, &request, &mut random));
            placed.map_err(|rejection| rejection.message)?.ranked
        } else {
            let all =
                |cluster: &mut Cluster| cluster.registered().map(|n| n.addr.clone()).collect();
            self.with(all)
        };
        let targets = self.with(|cluster| {
            let mut nodes: Vec<&Node> = addrs.iter().filter_map(|at| cluster.node(at)).collect();
            nodes.sort_by(|a, b| Cluster::natural_order(a, b));
            let names = nodes.iter().map(|node| (node.label().to_owned(), node.addr.clone()));
            names.collect::<Vec<_>>()
        });
        let engine = |(name, addr): (String, String)| Some((name, self.engine(&addr)?));
        let targets: Vec<Target> = targets.into_iter().filter_map(engine).collect();
        if targets.is_empty() {
            // The scheduler knows what to say of a cluster without nodes.
            let why = self.choose_for(&request).err();
            return Err(why.unwrap_or_else(|| "Engine no longer exists".to_owned()));
        }
        Ok(targets)
    }

    /// Removes the volume called `text` from every engine that has one. `query` is passed on. Says
    /// whether there was one.
    ///
    /// # Errors
    /// An engine failed: the client's text. The volumes on the others are gone.
    pub async fn remove_volume(self: &Arc<Self>, text: &str, query: &str) -> Result<bool, String> {
        let holders: Vec<(String, String, String)> = self.with(|cluster| {
            let found = cluster.find_volumes(text).into_iter();
            let name = |row| json::text(row, "/Name").to_owned();
            found
                .map(|(node, row)| (node.label().to_owned(), node.addr.clone(), name(row)))
                .collect()
        });
        if holders.is_empty() {
            return Ok(false);
        }
        let (manager, query) = (Arc::clone(self), query.to_owned());
        let work = async move {
            let (manager, query) = (&manager, &query);
            let removed = holders.iter().map(|(node, addr, name)| async move {
                let path = format!("{}{query}", volume_path(name));
                let gone = || EngineError::Other(format!("Error: No such volume: {name}"));
                let removed = manager.delete(addr, &path, gone).await;
                // Also when it was gone: then what is known is outdated.
                if !matches!(removed, Err(EngineError::Connect(_)))
                    && let Some(engine) = manager.engine(addr)
                {
                    manager.relist_volumes(&engine).await;
                }
                removed.map_err(|error| format!("{node}: {error}"))
            });
            all_or_errors(join_all(removed).await).map(|_| true)
        };
        self.detached("remove-volume", work).await.unwrap_or_else(|| Err(STOPPED.to_owned()))
    }

    /// Lists the volumes of an engine again. What cannot be listed now is listed later.
    async fn relist_volumes(&self, engine: &Engine) {
        if let Err(error) = self.list_volumes(engine).await {
            self.log_failed(engine, "volumes", &error);
        }
    }
}

/// All that succeeded, or the lines of those that did not.
fn all_or_errors<T>(results: Vec<Result<T, String>>) -> Result<Vec<T>, String> {
    let (done, failed): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    let lines: Vec<String> = failed.into_iter().filter_map(Result::err).collect();
    match lines.is_empty() {
        true => Ok(done.into_iter().filter_map(Result::ok).collect()),
        false => Err(lines.join("\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_segment_of_the_path() {
        assert_eq!(volume_path("my_data-1.x"), "/volumes/my_data-1.x");
        assert_eq!(volume_path("a/b c?é"), "/volumes/a%2Fb%20c%3F%C3%A9");
    }
}
