//! One container as the manager sees it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use serde_json::Value;

use super::index::Handle;
use super::texts::{Reader, Texts};
use super::{LINEAGE_LABEL, Lineage, SWARM_ID_LABEL};

/// What a container is doing. The texts are those of `docker ps --filter status=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunState {
    /// Made, never started.
    #[default]
    Created,
    /// Running.
    Running,
    /// Running, frozen.
    Paused,
    /// Between two runs.
    Restarting,
    /// Ended.
    Exited,
    /// Could not be removed.
    Dead,
}

impl RunState {
    /// The state's text in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }

    /// Whether it counts as running: `docker ps` shows it without `--all`.
    #[must_use]
    pub fn is_running(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Restarting)
    }
}

/// A port of the node that a container claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// The address it is bound to; empty means all.
    pub ip: String,
    /// The port as text, as the client wrote it.
    pub port: String,
}

impl HostPort {
    /// The same, borrowed.
    #[must_use]
    pub fn as_port(&self) -> Port<'_> {
        Port { ip: &self.ip, port: &self.port }
    }
}

/// A [`HostPort`] that belongs to somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port<'a> {
    /// The address it is bound to; empty means all.
    pub ip: &'a str,
    /// The port as text, as the client wrote it.
    pub port: &'a str,
}

impl Port<'_> {
    /// Whether it is bound to all addresses. `::ffff:0.0.0.0` is all of IPv4 as well.
    #[must_use]
    pub fn is_everywhere(&self) -> bool {
        let ip = self.ip.parse::<IpAddr>();
        self.ip.is_empty() || ip.is_ok_and(|ip| ip.to_canonical().is_unspecified())
    }
}

/// What scheduling, naming and listing need to know, read once from the raw JSON. The texts are
/// packed together; [`Words`] are what they are made of.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub(super) texts: Texts,
    /// What it was made in place of, as its label tells.
    pub lineage: Option<Box<Lineage>>,
    /// What it is doing.
    pub state: RunState,
    /// Whether it uses the host's network.
    pub host_network: bool,
    /// Whether the engine removes it when it ends.
    pub auto_remove: bool,
    /// Exit code of the last run.
    pub exit_code: i64,
    pub(super) created: Moment,
    pub(super) started: Moment,
    pub(super) finished: Moment,
    /// Whole CPUs it reserves: from its shares, or from `NanoCpus` when it has no shares.
    pub cpus: i64,
    /// Memory it reserves, in bytes.
    pub memory: i64,
}

/// The texts among [`Facts`].
#[derive(Clone, Debug, Default)]
pub struct Words {
    /// Names with their leading slash; a container may have none.
    pub names: Vec<String>,
    /// The image as the client named it.
    pub image: String,
    /// The container's labels.
    pub labels: BTreeMap<String, String>,
    /// `starting`, `healthy`, `unhealthy`; empty without a health check.
    pub health: String,
    /// Host ports it claims, requested and given.
    pub ports: Vec<HostPort>,
    /// Its exposed ports as `80/tcp`; only looked at in host mode.
    pub exposed: Vec<String>,
}

impl Words {
    /// In this order: image, health, names, ports, exposed ports, labels; a number before each of
    /// the lists but the last.
    fn pack(&self) -> Texts {
        let counts = [self.names.len(), self.ports.len(), self.exposed.len()];
        let [names, ports, exposed] = counts.map(|count| count.to_string());
        let fixed = [self.image.as_str(), self.health.as_str(), &names];
        let all = fixed.into_iter().chain(self.names.iter().map(String::as_str));
        let bindings = self.ports.iter().flat_map(|port| [port.ip.as_str(), port.port.as_str()]);
        let all = all.chain([ports.as_str()]).chain(bindings).chain([exposed.as_str()]);
        let all = all.chain(self.exposed.iter().map(String::as_str));
        all.chain(self.labels.iter().flat_map(|(k, v)| [k.as_str(), v.as_str()])).collect()
    }
}

impl Facts {
    /// The same with these texts.
    #[must_use]
    pub fn with_words(self, words: &Words) -> Self {
        let lineage = words.labels.get(LINEAGE_LABEL).and_then(|label| Lineage::parse(label));
        Self { texts: words.pack(), lineage: lineage.map(Box::new), ..self }
    }

    /// The texts, to be changed.
    #[must_use]
    pub fn words(&self) -> Words {
        let owned = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect();
        Words {
            names: owned(self.names().collect()),
            image: self.image().to_owned(),
            labels: self.labels().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            health: self.health().to_owned(),
            ports: self
                .ports()
                .map(|port| HostPort { ip: port.ip.to_owned(), port: port.port.to_owned() })
                .collect(),
            exposed: owned(self.exposed().collect()),
        }
    }

    /// The same with one more label, or another value of it.
    #[must_use]
    pub fn with_label(self, key: &str, value: &str) -> Self {
        let mut words = self.words();
        words.labels.insert(key.to_owned(), value.to_owned());
        self.with_words(&words)
    }

    /// When it was made.
    #[must_use]
    pub fn created(&self) -> Timestamp {
        self.created.get().unwrap_or_default()
    }

    /// When it last started; `None` if never.
    #[must_use]
    pub fn started(&self) -> Option<Timestamp> {
        self.started.get()
    }

    /// When it last ended; `None` if never.
    #[must_use]
    pub fn finished(&self) -> Option<Timestamp> {
        self.finished.get()
    }

    /// The image as the client named it.
    #[must_use]
    pub fn image(&self) -> &str {
        self.texts.iter().next().unwrap_or_default()
    }

    /// `starting`, `healthy`, `unhealthy`; empty without a health check.
    #[must_use]
    pub fn health(&self) -> &str {
        self.texts.iter().nth(1).unwrap_or_default()
    }

    /// Names with their leading slash; a container may have none.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        let mut texts = self.claimed();
        let count = texts.next_count();
        texts.take(count)
    }

    /// Host ports it claims, requested and given.
    pub fn ports(&self) -> impl Iterator<Item = Port<'_>> + Clone {
        let mut texts = self.claimed();
        let names = texts.next_count();
        texts.skip_texts(names);
        let count = texts.next_count();
        (0..count).map_while(move |_| Some(Port { ip: texts.next()?, port: texts.next()? }))
    }

    /// Its exposed ports as `80/tcp`; only looked at in host mode.
    pub fn exposed(&self) -> impl Iterator<Item = &str> + Clone {
        let mut texts = self.after_ports();
        let count = texts.next_count();
        texts.take(count)
    }

    /// Its labels by key.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        let mut texts = self.after_ports();
        let exposed = texts.next_count();
        texts.skip_texts(exposed);
        std::iter::from_fn(move || Some((texts.next()?, texts.next()?)))
    }

    /// The value of a label.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels().find(|(known, _)| *known == key).map(|(_, value)| value)
    }

    /// Its swarm ID, if it came through a manager.
    #[must_use]
    pub fn swarm_id(&self) -> Option<&str> {
        self.label(SWARM_ID_LABEL).filter(|id| !id.is_empty())
    }

    /// Whether both claim the same of their node and are found by the same texts.
    pub(super) fn same_claim(&self, other: &Self) -> bool {
        self.claimed() == other.claimed()
            && (self.cpus, self.memory) == (other.cpus, other.memory)
            && self.host_network == other.host_network
    }

    /// The texts after image and health.
    fn claimed(&self) -> Reader<'_> {
        let mut texts = self.texts.iter();
        texts.skip_texts(2);
        texts
    }

    /// The texts after the ports.
    fn after_ports(&self) -> Reader<'_> {
        let mut texts = self.claimed();
        let names = texts.next_count();
        texts.skip_texts(names);
        let ports = texts.next_count();
        texts.skip_texts(2 * ports);
        texts
    }
}

/// A date, or none, in twelve bytes: an optional [`Timestamp`] takes twice as many.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moment {
    /// Seconds since 1970, the upper half first.
    seconds: [i32; 2],
    /// One more than the nanoseconds, away from zero; nothing is no date.
    nanoseconds: i32,
}

impl Moment {
    fn get(self) -> Option<Timestamp> {
        let [upper, lower] = self.seconds;
        let seconds = i64::from(upper) << 32 | i64::from(lower as u32);
        match self.nanoseconds {
            0 => None,
            nanoseconds => Timestamp::new(seconds, nanoseconds - nanoseconds.signum()).ok(),
        }
    }
}

impl From<Timestamp> for Moment {
    fn from(date: Timestamp) -> Self {
        let (seconds, nanoseconds) = (date.as_second(), date.subsec_nanosecond());
        let away = if nanoseconds < 0 { -1 } else { 1 };
        let seconds = [(seconds >> 32) as i32, seconds as i32];
        Self { seconds, nanoseconds: nanoseconds + away }
    }
}

impl From<Option<Timestamp>> for Moment {
    fn from(date: Option<Timestamp>) -> Self {
        date.map(Self::from).unwrap_or_default()
    }
}

/// A container.
#[derive(Clone, Debug, Default)]
pub struct Container {
    /// Full ID, 64 hexadecimal digits.
    pub id: String,
    /// Its row in the engine's list, as sent.
    pub summary: Value,
    /// What the engine's inspect said, as sent.
    pub inspect: Value,
    /// What was read from both.
    pub facts: Facts,
    /// Its number in the index, while it is known there.
    pub(crate) handle: Handle,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn moments_are_dates(seconds in -99_999_999_999..99_999_999_999_i64, nanos in 0..1_000_000_000) {
            for date in [Timestamp::new(seconds, nanos), Timestamp::new(seconds, 0)] {
                let date = date.expect("within the years that there are");
                prop_assert_eq!(Moment::from(date).get(), Some(date));
            }
        }
    }

    #[test]
    fn the_first_second_and_no_date_differ() {
        assert_eq!(Moment::from(Timestamp::UNIX_EPOCH).get(), Some(Timestamp::UNIX_EPOCH));
        assert_eq!(Moment::default().get(), None);
        assert_eq!(size_of::<Moment>(), 12);
    }
}
