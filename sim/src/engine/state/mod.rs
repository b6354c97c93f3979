//! The engine as a plain value: what exists, and what each request does to it.
//!
//! Nothing here waits, reads a clock or draws a number: a [`Moment`] brings the date and the
//! randomness, and what has to happen over time is left as an [`Effect`] for whoever drives the
//! state. The value can therefore outlive the process that serves it.

pub(in crate::engine) mod config;
mod container;
mod create;
pub(in crate::engine) mod event;
pub(in crate::engine) mod filter;
pub(in crate::engine) mod image;
mod lifecycle;
mod names;
pub(in crate::engine) mod network;
mod ports;
pub(in crate::engine) mod program;
mod refusal;
pub(in crate::engine) mod signal;
mod start;
#[cfg(test)]
pub(in crate::engine) mod tests;
mod view;
mod volume;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use swarm::ctx::Rng;

pub use container::{Container, Status};
pub use image::Image;
pub use ports::{Proto, Published};
pub use refusal::Refusal;
pub(in crate::engine) use start::{Launch, Plan};

use self::event::{Event, Events, Topic};
use self::image::Images;
use self::network::Network;
use self::ports::Ports;
use self::volume::Volume;
use super::spec::Spec;

/// The outside at the moment of a request.
pub(in crate::engine) struct Moment<'a> {
    pub(in crate::engine) now: Timestamp,
    pub(in crate::engine) rng: &'a dyn Rng,
}

impl Moment<'_> {
    /// 64 random hexadecimal digits.
    pub(in crate::engine) fn id(&self, purpose: &'static str) -> String {
        let mut bytes = [0; 32];
        self.rng.fill(purpose, &mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What has to happen because of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Effect {
    /// The process of this container is gone: its task and its sockets end.
    Halt { id: String },
    /// Start the container again later, if this run is still its last.
    RestartAfter { id: String, run: u64, delay: Duration },
}

/// How many removed containers are remembered for those who wait for their exit code.
const REMEMBERED: usize = 256;

/// Everything an engine knows. Clone it to keep it: it holds no sockets and no tasks.
#[derive(Clone, Debug)]
pub struct State {
    /// The engine's ID, as in `/info`.
    pub id: String,
    cpus: u32,
    pub(in crate::engine) containers: IndexMap<String, Container>,
    /// Container IDs by name.
    names: BTreeMap<String, String>,
    pub(in crate::engine) images: Images,
    pub(in crate::engine) networks: Vec<Network>,
    pub(in crate::engine) volumes: BTreeMap<String, Volume>,
    ports: Ports,
    pub(in crate::engine) events: Events,
    /// Exit codes of the containers removed last.
    removed: VecDeque<(String, i64)>,
    last_pid: u32,
    effects: Vec<Effect>,
}

impl State {
    /// The state of an engine that has just been installed.
    pub(in crate::engine) fn new(spec: &Spec, moment: &Moment<'_>) -> Self {
        let mut images = Images::default();
        for name in &spec.images {
            // A name that cannot be one is the scenario's mistake; it is no image then.
            if let Ok(reference) = image::familiar(name) {
                images.add(Image::named(&reference, moment.now));
            }
        }
        Self {
            id: spec.id.clone().unwrap_or_else(|| engine_id(moment)),
            cpus: spec.cpus,
            containers: IndexMap::new(),
            names: BTreeMap::new(),
            images,
            networks: network::builtin(moment),
            volumes: BTreeMap::new(),
            ports: Ports::new(spec.random_ports),
            events: Events::default(),
            removed: VecDeque::new(),
            last_pid: 2000,
            effects: Vec::new(),
        }
    }

    /// All containers, oldest first.
    pub fn containers(&self) -> impl Iterator<Item = &Container> {
        self.containers.values()
    }

    /// The images that are present.
    pub fn images(&self) -> impl Iterator<Item = &Image> {
        self.images.iter()
    }

    /// Finds a container by ID, name or beginning of an ID.
    ///
    /// # Errors
    /// 404 `No such container: <name>`, 400 when the beginning fits more than one.
    pub fn container(&self, name: &str) -> Result<&Container, Refusal> {
        let missing = || Refusal::not_found(format!("No such container: {name}"));
        if let Some(container) = self.containers.get(name) {
            return Ok(container);
        }
        let bare = name.strip_prefix('/').unwrap_or(name);
        if let Some(id) = self.names.get(bare) {
            return self.containers.get(id).ok_or_else(missing);
        }
        let mut found = self.containers.values().filter(|c| c.id.starts_with(name));
        match (found.next(), found.next()) {
            _ if name.is_empty() => Err(missing()),
            (Some(container), None) => Ok(container),
            (Some(_), Some(_)) => {
                Err(Refusal::bad(format!("Multiple IDs found with provided prefix: {name}")))
            }
            (None, _) => Err(missing()),
        }
    }

    /// A container by its full ID, to change it.
    fn by_id(&mut self, id: &str) -> Result<&mut Container, Refusal> {
        let missing = || Refusal::not_found(format!("No such container: {id}"));
        self.containers.get_mut(id).ok_or_else(missing)
    }

    /// The exit code of a container that was removed not long ago.
    pub(in crate::engine) fn exit_code_of_removed(&self, id: &str) -> Option<i64> {
        self.removed.iter().rev().find(|(removed, _)| removed == id).map(|(_, code)| *code)
    }

    /// Hands out what has to be done, once.
    pub(in crate::engine) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Adds an image that a pull has brought.
    pub(in crate::engine) fn pulled(&mut self, moment: &Moment<'_>, reference: &str) {
        self.images.add(Image::named(reference, moment.now));
        let name = reference.rsplit_once(':').map_or(reference, |(repository, _)| repository);
        let attributes = BTreeMap::from([("name".to_owned(), name.to_owned())]);
        self.emit(moment, Topic::Image, "pull", reference, attributes);
    }

    fn emit(
        &mut self,
        moment: &Moment<'_>,
        topic: Topic,
        action: &str,
        id: &str,
        attributes: BTreeMap<String, String>,
    ) {
        let (action, id) = (action.to_owned(), id.to_owned());
        self.events.push(Event { topic, action, id, attributes, time: moment.now });
    }

    /// Tells of something that happened to a container.
    fn emit_container(
        &mut self,
        moment: &Moment<'_>,
        id: &str,
        action: &str,
        more: &[(&str, &str)],
    ) {
        let Some(container) = self.containers.get(id) else {
            return;
        };
        let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let mut attributes: BTreeMap<String, String> = container.labels().map(own).collect();
        attributes.extend(more.iter().copied().map(own));
        attributes.insert("image".into(), container.image().to_owned());
        attributes.insert("name".into(), container.name.clone());
        self.emit(moment, Topic::Container, action, id, attributes);
    }

    /// Tells that a container came onto its network or left it.
    fn emit_network(&mut self, moment: &Moment<'_>, id: &str, action: &str) {
        let Some(container) = self.containers.get(id) else {
            return;
        };
        let Some(network) = self.network(&container.endpoint.network) else {
            return;
        };
        let attributes = BTreeMap::from([
            ("container".to_owned(), id.to_owned()),
            ("name".to_owned(), network.name.to_owned()),
            ("type".to_owned(), network.driver.to_owned()),
        ]);
        let network_id = network.id.clone();
        self.emit(moment, Topic::Network, action, &network_id, attributes);
    }
}

/// Twelve groups of four letters or digits.
fn engine_id(moment: &Moment<'_>) -> String {
    const DIGITS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut bytes = [0; 48];
    moment.rng.fill("engine-id", &mut bytes);
    let text: Vec<char> = bytes.iter().map(|b| char::from(DIGITS[usize::from(b % 32)])).collect();
    let groups: Vec<String> = text.chunks(4).map(|group| group.iter().collect()).collect();
    groups.join(":")
}
