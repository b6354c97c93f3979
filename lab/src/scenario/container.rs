//! Containers, in the words of Compose.

use std::borrow::Cow;

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::context::{Context, suggestion};
use super::decode::{Decode, Word};
use super::expression::Expression;
use super::name::Names;
use super::port::{Exposed, Port};
use super::record::{choice, record};
use super::scalar::{Kind, Memory};
use super::span::Spanned;
use super::yaml::{Node, Value};

record! {
    /// A container, in the words of Compose.
    pub struct ContainerSpec: "a container" {
        /// Its name; `web[1:3]` makes three containers, one after the other.
        name: required Names,
        /// Its image: busybox, nginx, or one of `cluster.images`.
        image: required Spanned<String>,
        /// The command, instead of the image's own.
        command: default Vec<Word>,
        /// Variables: a mapping, or a list of NAME=VALUE.
        environment: default Environment,
        /// Labels: a mapping, or a list of NAME=VALUE.
        labels: default Labels,
        /// Published ports: "80" (any free port of the host), "80:80", "127.0.0.1:80:80/udp".
        ports: default Vec<Spanned<Port>>,
        /// Ports it listens on without publishing them.
        expose: default Vec<Spanned<Exposed>>,
        /// What the node must be: `zone==external`, `node!=dockerhost01`, `disk==~ssd`.
        constraints: default Vec<Spanned<Expression>>,
        /// What must be on the node: `container==db`, `image==nginx`, or a container's label.
        affinities: default Vec<Spanned<Expression>>,
        /// Whether the manager creates it anew elsewhere when its node fails.
        reschedule: optional Spanned<Reschedule>,
        /// What its engine does when it ends: "no", always, unless-stopped, on-failure[:3].
        restart: optional Spanned<Restart>,
        /// Whole CPUs it reserves (the classic manager's reading of CPU shares).
        cpus: optional Spanned<u32>,
        /// Memory it reserves and may use.
        memory: optional Spanned<Memory>,
        /// bridge, host, none, container:NAME, or a network's name.
        network_mode: optional Spanned<String>,
        /// Containers whose volumes it mounts: NAME, or NAME:ro.
        volumes_from: default Vec<Spanned<String>>,
        /// Containers it is linked to: NAME, or NAME:ALIAS.
        links: default Vec<Spanned<String>>,
        /// The host name it sees.
        hostname: optional Spanned<String>,
        /// Whether a small init process reaps its zombies.
        init: optional Spanned<bool>,
    }
}

impl ContainerSpec {
    /// Names of the containers that must be on the same node, each with where it is named.
    #[must_use]
    pub fn dependencies(&self) -> Vec<Spanned<&str>> {
        let listed = self.volumes_from.iter().chain(&self.links).map(|text| {
            let name = text.split_once(':').map_or(text.as_str(), |(name, _)| name);
            Spanned::new(name, text.span)
        });
        let network = self
            .network_mode
            .iter()
            .filter_map(|mode| Some(Spanned::new(mode.strip_prefix("container:")?, mode.span)));
        listed.chain(network).collect()
    }
}

choice! {
    /// What the manager does with a container whose node fails.
    pub enum Reschedule: "a rescheduling policy" {
        /// Nothing.
        Off = "off",
        /// Creates it anew on another node.
        OnNodeFailure = "on-node-failure",
    }
}

/// What an engine does when a container ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Nothing.
    No,
    /// Starts it again, always.
    Always,
    /// Starts it again unless somebody stopped it.
    UnlessStopped,
    /// Starts it again when its exit code is not 0, this many times at most (0: no limit).
    OnFailure(u32),
}

impl Restart {
    const WORDS: &[&str] = &["no", "always", "unless-stopped", "on-failure"];
}

impl Decode for Restart {
    fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
        let text = String::decode(node, cx)?;
        match text.as_str() {
            "no" => return Some(Self::No),
            "always" => return Some(Self::Always),
            "unless-stopped" => return Some(Self::UnlessStopped),
            "on-failure" => return Some(Self::OnFailure(0)),
            _ => {}
        }
        if let Some(count) = text.strip_prefix("on-failure:").and_then(|n| n.parse().ok()) {
            return Some(Self::OnFailure(count));
        }
        let label = suggestion(&text, Self::WORDS.iter().copied(), "not a restart policy");
        cx.error(node.span, format!("unknown restart policy `{text}`"), label)
            .note("a restart policy is: \"no\", always, unless-stopped, on-failure, on-failure:3");
        None
    }
}

impl JsonSchema for Restart {
    fn schema_name() -> Cow<'static, str> {
        "Restart".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(no|always|unless-stopped|on-failure(:[0-9]+)?)$",
        })
    }
}

/// Variables of a container, as NAME=VALUE (or NAME alone), in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment(pub Vec<String>);

impl Decode for Environment {
    fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
        let pairs = pairs(node, cx)?;
        let join = |(name, value): (String, Option<String>)| match value {
            Some(value) => format!("{name}={value}"),
            None => name,
        };
        Some(Self(pairs.into_iter().map(join).collect()))
    }
}

/// Labels of a container, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(pub IndexMap<String, String>);

impl Decode for Labels {
    fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
        let pairs = pairs(node, cx)?;
        Some(Self(pairs.into_iter().map(|(k, v)| (k, v.unwrap_or_default())).collect()))
    }
}

/// A mapping, or a list of NAME=VALUE. Nothing as a value, and no `=`, are the absence of a value.
fn pairs(node: &Node, cx: &mut Context) -> Option<Vec<(String, Option<String>)>> {
    match &node.value {
        Value::List(items) => {
            let read = |item: &Node| {
                let text = String::decode(item, cx)?;
                Some(match text.split_once('=') {
                    Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                    None => (text, None),
                })
            };
            Some(items.iter().filter_map(read).collect())
        }
        Value::Map(entries) => {
            let read = |(key, node): &(Spanned<String>, Node)| {
                let absent = matches!(&node.value,
                    Value::Scalar { text, plain: true } if Kind::of(text) == Kind::Null);
                let value = match absent {
                    true => None,
                    false => Some(cx.within(&key.value, |cx| Word::decode(node, cx))?.0),
                };
                Some((key.value.clone(), value))
            };
            Some(entries.iter().filter_map(read).collect())
        }
        Value::Scalar { .. } => {
            cx.mismatch(node, "a mapping, or a list of NAME=VALUE");
            None
        }
    }
}

fn pairs_schema() -> Schema {
    let value = json_schema!({ "type": ["string", "number", "null"] });
    json_schema!({ "anyOf": [
        { "type": "object", "additionalProperties": value },
        { "type": "array", "items": { "type": "string" } },
    ] })
}

impl JsonSchema for Environment {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Environment".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        pairs_schema()
    }
}

impl JsonSchema for Labels {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Labels".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        pairs_schema()
    }
}
