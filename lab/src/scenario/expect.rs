//! What must hold after a step.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value as Json;

use super::context::Context;
use super::decode::{Decode, Many, Table};
use super::name::Names;
use super::record::{choice, record};
use super::span::Spanned;
use super::yaml::{Node, Value};

record! {
    /// What must hold. Everything that is given must hold together.
    ///
    /// `node`, `state`, `exit_code`, `inspect` and `logs` speak of the step's own containers, each
    /// of them, or of those that `container` names.
    pub struct Expect: "an expectation" {
        /// The containers it speaks of, if not those of the step.
        container: optional Names,
        /// The host it is on.
        node: optional Spanned<String>,
        /// Its state.
        state: optional Spanned<State>,
        /// The step is refused, and the message contains this text.
        error: optional Spanned<String>,
        /// The exit code of its main process, which has ended.
        exit_code: optional Spanned<i64>,
        /// Fields of `docker inspect` as paths with dots, each with its value.
        inspect: default Inspect,
        /// What its output contains.
        logs: default Many<Logs>,
        /// What `docker ps -a` through the manager says.
        ps: default Many<Ps>,
        /// What `docker info` of the manager says.
        info: default Many<Info>,
        /// What the discovery store holds.
        store: default Many<Store>,
        /// What an HTTP server of the cluster answers.
        http: default Many<Http>,
    }
}

choice! {
    /// The state of a container, as the engine calls it.
    pub enum State: "a state" {
        /// Exists and was never started.
        Created = "created",
        /// Its main process runs.
        Running = "running",
        /// Its processes are frozen.
        Paused = "paused",
        /// Has ended and is about to be started again.
        Restarting = "restarting",
        /// Its main process has ended.
        Exited = "exited",
        /// Could not be removed completely.
        Dead = "dead",
    }
}

record! {
    /// What `docker ps -a` through the manager says: all containers of the cluster, whatever their
    /// state.
    pub struct Ps: "a ps expectation" {
        /// Number of running containers.
        running: optional Spanned<u64>,
        /// Number of containers in any state.
        total: optional Spanned<u64>,
        /// A container's name; exactly one must have it unless `count` says otherwise.
        named: optional Spanned<String>,
        /// How many containers have the name `named`.
        count: optional Spanned<u64>,
        /// The names of all containers, without their nodes, in any order.
        names: optional Spanned<Vec<Names>>,
        /// Number of containers, in any state, on each of these hosts.
        nodes: optional Table<Spanned<u64>>,
    }
}

choice! {
    /// The state of a node, as the manager calls it.
    pub enum NodeStatus: "a status" {
        /// Known by its address only.
        Pending = "Pending",
        /// Answers.
        Healthy = "Healthy",
        /// Has not answered too often.
        Unhealthy = "Unhealthy",
        /// Gone from discovery.
        Disconnected = "Disconnected",
    }
}

record! {
    /// What `docker info` of the manager says: of the cluster, or of one `node`.
    pub struct Info: "an info expectation" {
        /// Number of nodes, whatever their state.
        nodes: optional Spanned<u64>,
        /// Number of healthy nodes.
        healthy: optional Spanned<u64>,
        /// The strategy: spread, binpack or random.
        strategy: optional Spanned<Strategy>,
        /// The host that `status`, `error`, and then also `containers` and `running`, speak of.
        node: optional Spanned<String>,
        /// The state of `node`.
        status: optional Spanned<NodeStatus>,
        /// Text that the error of `node` contains.
        error: optional Spanned<String>,
        /// Number of containers.
        containers: optional Spanned<u64>,
        /// Number of running containers.
        running: optional Spanned<u64>,
        /// Number of paused containers.
        paused: optional Spanned<u64>,
        /// Number of containers that neither run nor are paused.
        stopped: optional Spanned<u64>,
    }
}

choice! {
    /// How the manager ranks the nodes that fit.
    pub enum Strategy: "a strategy" {
        /// The emptiest first.
        Spread = "spread",
        /// The fullest first.
        Binpack = "binpack",
        /// Any.
        Random = "random",
    }
}

record! {
    /// What a container has written.
    pub struct Logs: "a logs expectation" or contains {
        /// Text that its standard output or standard error contains.
        contains: required Spanned<String>,
    }
}

record! {
    /// What the discovery store holds.
    pub struct Store: "a store expectation" {
        /// The path of a directory, such as `docker/swarm/nodes`.
        under: required Spanned<String>,
        /// The names of all keys below it, without the path, in any order. The name of a host stands
        /// for its engine's address and port.
        keys: optional Spanned<Vec<Spanned<String>>>,
        /// Number of keys below it.
        count: optional Spanned<u64>,
    }
}

record! {
    /// What an HTTP server of the cluster answers to a GET.
    pub struct Http: "an http expectation" {
        /// `http://HOST:PORT/PATH`; HOST is an address or a host of the cluster.
        url: required Spanned<String>,
        /// The status; 200 if absent.
        status: optional Spanned<u16>,
        /// Text that the body contains.
        contains: optional Spanned<String>,
    }
}

/// Fields of `docker inspect`: paths with dots (`HostConfig.Memory`), each with its value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inspect(pub Vec<(Spanned<String>, Spanned<Json>)>);

impl Decode for Inspect {
    fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            cx.mismatch(node, "a mapping of paths to values");
            return None;
        };
        let mut fields = Vec::new();
        for (key, node) in entries {
            if key.value.split('.').any(str::is_empty) {
                let label = "field names with dots between them, as in `State.Running`";
                cx.error(key.span, format!("`{}` is not a path", key.value), label);
            } else if let Some(value) = cx.within(&key.value, |cx| Spanned::decode(node, cx)) {
                fields.push((key.clone(), value));
            }
        }
        Some(Self(fields))
    }
}

impl JsonSchema for Inspect {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Inspect".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object" })
    }
}
