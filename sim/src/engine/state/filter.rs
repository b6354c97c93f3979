//! The `filters` parameter, and what passes it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use regex::Regex;
use serde_json::Value;

use super::State;
use super::container::{Container, Status};
use super::event::{Event, Topic};
use super::image::{self, Image};
use super::network::Network;
use super::ports;
use super::refusal::Refusal;

/// Filter values by key. Values of one key are alternatives (except labels), keys add up.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Filters(BTreeMap<String, Vec<String>>);

const CONTAINER_KEYS: [&str; 14] = [
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
];
const IMAGE_KEYS: [&str; 5] = ["dangling", "label", "before", "since", "reference"];
const NETWORK_KEYS: [&str; 7] = ["dangling", "driver", "id", "label", "name", "scope", "type"];
const VOLUME_KEYS: [&str; 4] = ["dangling", "driver", "label", "name"];

impl Filters {
    /// Reads `{"key":{"value":true}}` or `{"key":["value"]}`; empty is no filter.
    ///
    /// # Errors
    /// 500 with the words of Go's decoder.
    pub(in crate::engine) fn parse(text: &str) -> Result<Self, Refusal> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let value: Value =
            serde_json::from_str(text).map_err(|_| Refusal::server(go_error(text.as_bytes())))?;
        let Value::Object(map) = value else {
            let text = "json: cannot unmarshal value into Go value of type map[string][]string";
            return Err(Refusal::server(text));
        };
        let values = |value: Value| match value {
            Value::Object(set) => set
                .into_iter()
                .filter(|(_, on)| *on != Value::Bool(false))
                .map(|(value, _)| value)
                .collect(),
            Value::Array(list) => {
                list.iter().filter_map(Value::as_str).map(Into::into).collect::<Vec<String>>()
            }
            _ => Vec::new(),
        };
        Ok(Self(map.into_iter().map(|(key, value)| (key, values(value))).collect()))
    }

    fn get(&self, key: &str) -> &[String] {
        self.0.get(key).map(Vec::as_slice).unwrap_or_default()
    }

    /// Refuses keys that a list does not know.
    fn check(&self, known: &[&str]) -> Result<(), Refusal> {
        match self.0.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(Refusal::bad(format!("Invalid filter '{key}'"))),
            None => Ok(()),
        }
    }

    /// Whether one of the values equals `source` or finds something in it as a pattern.
    fn matches(&self, key: &str, source: &str) -> bool {
        // A plain word needs no pattern: full IDs are asked for all the time.
        let plain = |value: &str| value.chars().all(|c| c.is_ascii_alphanumeric());
        let hit = |value: &String| match plain(value) {
            true => source.contains(value.as_str()),
            false => Regex::new(value).is_ok_and(|pattern| pattern.is_match(source)),
        };
        let values = self.get(key);
        values.is_empty() || values.iter().any(|value| value == source || hit(value))
    }

    fn labels<'a>(&self, find: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.get("label").iter().all(|wanted| match wanted.split_once('=') {
            Some((key, value)) => find(key) == Some(value),
            None => find(wanted).is_some(),
        })
    }

    /// A boolean filter; `None` when it is not there.
    fn flag(&self, key: &str) -> Result<Option<bool>, Refusal> {
        match self.get(key).first().map(String::as_str) {
            None => Ok(None),
            Some("true" | "1" | "t") => Ok(Some(true)),
            Some("false" | "0" | "f") => Ok(Some(false)),
            Some(other) => Err(Refusal::bad(format!("Invalid filter '{key}={other}'"))),
        }
    }

    /// Whether an event passes. Unknown keys are ignored, as an engine does.
    pub(in crate::engine) fn event(&self, event: &Event) -> bool {
        let any = |key: &str, test: &dyn Fn(&str) -> bool| {
            let values = self.get(key);
            values.is_empty() || values.iter().any(|value| test(value))
        };
        let named = |key: &str, topic: Topic| {
            any(key, &|value| {
                let name = event.attributes.get("name").map(String::as_str);
                event.topic == topic && (event.id.starts_with(value) || name == Some(value))
            })
        };
        let image = any("image", &|value| {
            let of = match event.topic {
                Topic::Image => Some(event.id.as_str()),
                _ => event.attributes.get("image").map(String::as_str),
            };
            of.is_some_and(|of| of == value || of.split(':').next() == Some(value))
        });
        any("type", &|value| value == event.topic.as_str())
            && any("event", &|value| value == event.action)
            && any("scope", &|value| value == "local")
            && named("container", Topic::Container)
            && named("network", Topic::Network)
            && named("volume", Topic::Volume)
            && image
            && self.labels(|key| event.attributes.get(key).map(String::as_str))
    }
}

/// What Go's decoder says about a text that is not JSON.
pub(in crate::engine) fn go_error(text: &[u8]) -> String {
    let Err(error) = serde_json::from_slice::<Value>(text) else {
        return String::new();
    };
    if text.iter().all(u8::is_ascii_whitespace) {
        return "EOF".into();
    }
    if error.is_eof() {
        return "unexpected EOF".into();
    }
    let line = text.split(|b| *b == b'\n').nth(error.line().saturating_sub(1));
    let found = line.and_then(|line| line.get(error.column().saturating_sub(1)));
    let found = found.map_or(' ', |byte| char::from(*byte));
    format!("invalid character '{found}' looking for beginning of value")
}

/// The parameters of `GET /containers/json`.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct ListQuery {
    pub(in crate::engine) all: bool,
    pub(in crate::engine) size: bool,
    /// 0 or less: no limit.
    pub(in crate::engine) limit: i64,
    pub(in crate::engine) filters: Filters,
}

impl State {
    /// The list of containers, newest first.
    ///
    /// # Errors
    /// 400 and 500 with the engine's texts for filters it does not understand.
    pub(in crate::engine) fn list(
        &self,
        query: &ListQuery,
        now: Timestamp,
    ) -> Result<Vec<Value>, Refusal> {
        let filters = &query.filters;
        let mut known = CONTAINER_KEYS.to_vec();
        known.push("volume");
        filters.check(&known)?;
        let mut all = query.all;
        for status in filters.get("status") {
            let words =
                ["paused", "restarting", "removing", "running", "dead", "created", "exited"];
            if !words.contains(&status.as_str()) {
                return Err(Refusal::bad(format!("Invalid filter 'status={status}'")));
            }
            all = true;
        }
        let mut exited = Vec::new();
        for code in filters.get("exited") {
            exited.push(code.parse::<i64>().map_err(|_| {
                Refusal::server(format!("strconv.Atoi: parsing \"{code}\": invalid syntax"))
            })?);
        }
        let task = filters.flag("is-task")?;
        let edge = |key: &str| -> Result<Option<&str>, Refusal> {
            let Some(name) = filters.get(key).first() else {
                return Ok(None);
            };
            let missing = |_| Refusal::server(format!("no such container {name}"));
            Ok(Some(self.container(name).map_err(missing)?.id.as_str()))
        };
        let (before, since) = (edge("before")?, edge("since")?);
        let ancestors: Vec<&str> = filters
            .get("ancestor")
            .iter()
            .filter_map(|name| self.images.find(name).ok())
            .map(|image| image.id.as_str())
            .collect();
        let mut out = Vec::new();
        let mut seen_before = before.is_none();
        // Newest first; of the same moment, the one made last.
        let mut ordered: Vec<&Container> = self.containers.values().rev().collect();
        ordered.sort_by_key(|container| std::cmp::Reverse(container.created));
        for container in ordered {
            if Some(container.id.as_str()) == since {
                break;
            }
            let skip = !seen_before;
            seen_before |= Some(container.id.as_str()) == before;
            let hidden = !container.running() && !all && query.limit <= 0;
            if skip || hidden || !container.passes(self, filters) {
                continue;
            }
            let stopped = container.started.is_some() && !container.running();
            let exit = exited.is_empty() || (stopped && exited.contains(&container.exit_code));
            let image = filters.get("ancestor").is_empty()
                || ancestors.contains(&container.image_id.as_str());
            let is_task = container.label("com.docker.swarm.task").is_some();
            if exit && image && task.is_none_or(|wanted| wanted == is_task) {
                out.push(container.summary(now, query.size));
            }
            if query.limit > 0 && out.len() as i64 == query.limit {
                break;
            }
        }
        Ok(out)
    }

    /// The list of images, newest name last.
    ///
    /// # Errors
    /// 400 for filters that are not known.
    pub(in crate::engine) fn list_images(&self, filters: &Filters) -> Result<Vec<Value>, Refusal> {
        filters.check(&IMAGE_KEYS)?;
        let dangling = filters.flag("dangling")?;
        let passes = |image: &&Image| {
            let wanted = filters.get("reference");
            let named = |pattern: &String| image.tags.iter().any(|tag| reference(pattern, tag));
            (wanted.is_empty() || wanted.iter().any(named))
                && filters.labels(|_| None)
                && dangling.is_none_or(|dangling| dangling == image.tags.is_empty())
        };
        Ok(self.images.iter().filter(passes).map(Image::summary).collect())
    }

    /// The list of networks, without the containers on them.
    ///
    /// # Errors
    /// 400 for filters that are not known.
    pub(in crate::engine) fn list_networks(
        &self,
        filters: &Filters,
    ) -> Result<Vec<Value>, Refusal> {
        filters.check(&NETWORK_KEYS)?;
        let dangling = filters.flag("dangling")?;
        let passes = |network: &&Network| {
            let any = |key: &str, test: &dyn Fn(&str) -> bool| {
                let values = filters.get(key);
                values.is_empty() || values.iter().any(|value| test(value))
            };
            any("driver", &|value| value == network.driver)
                && any("id", &|value| network.id.starts_with(value))
                && any("scope", &|value| value == "local")
                && any("type", &|value| value == "builtin")
                && filters.matches("name", network.name)
                && filters.labels(|_| None)
                // Those an engine brings with it are never called dangling.
                && dangling != Some(true)
        };
        Ok(self.networks.iter().filter(passes).map(|network| network.json(&[])).collect())
    }

    /// The list of volumes.
    ///
    /// # Errors
    /// 400 for filters that are not known.
    pub(in crate::engine) fn list_volumes(&self, filters: &Filters) -> Result<Vec<Value>, Refusal> {
        filters.check(&VOLUME_KEYS)?;
        let dangling = filters.flag("dangling")?;
        let used = |name: &str| {
            let mut mounts = self.containers.values().flat_map(|container| &container.mounts);
            mounts.any(|mount| mount.volume.as_deref() == Some(name))
        };
        let drivers = filters.get("driver");
        let passes = |name: &str| {
            filters.matches("name", name)
                && (drivers.is_empty() || drivers.iter().any(|driver| driver == "local"))
                && filters.labels(|_| None)
                && dangling.is_none_or(|dangling| dangling != used(name))
        };
        let volumes = self.volumes.values().filter(|volume| passes(&volume.name));
        Ok(volumes.map(super::volume::Volume::json).collect())
    }
}

impl Container {
    /// The filters that look at one container only.
    fn passes(&self, state: &State, filters: &Filters) -> bool {
        let any = |key: &str, test: &dyn Fn(&str) -> bool| {
            let values = filters.get(key);
            values.is_empty() || values.iter().any(|value| test(value))
        };
        let network = any("network", &|value| {
            let wanted = state.network(value).map_or(value, |network| network.name);
            self.endpoint.network == wanted
        });
        let volume = any("volume", &|value| {
            let is = |mount: &super::container::Mount| {
                mount.volume.as_deref() == Some(value) || mount.destination == value
            };
            self.mounts.iter().any(is)
        });
        let live = matches!(self.status, Status::Running | Status::Paused);
        let published = any("publish", &|value| {
            ports::parse(value).is_some_and(|(number, proto)| {
                self.ports.iter().any(|port| port.proto == proto && port.public == number)
            })
        });
        let exposed = any("expose", &|value| {
            let exposed = ports::exposed(&self.config, &self.host);
            live && ports::parse(value).is_some_and(|wanted| exposed.contains(&wanted))
        });
        filters.matches("id", &self.id)
            && filters.matches("name", &self.name)
            && filters.labels(|key| self.label(key))
            && any("status", &|value| value == self.status.as_str())
            // No health check runs in this world.
            && any("health", &|value| value == "none")
            && any("isolation", &|value| value == "default")
            && network
            && volume
            && published
            && exposed
    }
}

/// Whether a pattern such as `nginx`, `nginx:1.*` or `*/app` means the image named `tag`.
fn reference(pattern: &str, tag: &str) -> bool {
    let repository = tag.rsplit_once(':').map_or(tag, |(repository, _)| repository);
    let glob = regex::escape(pattern).replace(r"\*", "[^/]*").replace(r"\?", "[^/]");
    let Ok(pattern) = Regex::new(&format!("^{glob}$")) else {
        return false;
    };
    pattern.is_match(tag)
        || pattern.is_match(repository)
        || image::familiar(tag).is_ok_and(|full| pattern.is_match(&full))
}
