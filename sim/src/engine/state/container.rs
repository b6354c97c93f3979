//! A container and how its state reads.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::config;
use super::network::Endpoint;
use super::ports::Published;
use super::program::{Program, Stream};
use super::signal;

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Never started, or never successfully.
    Created,
    /// Its process runs.
    Running,
    /// Its process is frozen.
    Paused,
    /// Its process ended and will be started again.
    Restarting,
    /// Its process ended.
    Exited,
}

impl Status {
    /// The word of `State.Status`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
        }
    }
}

/// One line that a container's process wrote.
#[derive(Clone, Debug)]
pub(in crate::engine) struct LogLine {
    pub(in crate::engine) time: Timestamp,
    pub(in crate::engine) stream: Stream,
    /// Without its newline.
    pub(in crate::engine) text: String,
}

/// A volume or a directory of the host inside a container.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Mount {
    /// The volume; `None` for a directory of the host.
    pub(in crate::engine) volume: Option<String>,
    /// Whether the volume was made for this container alone.
    pub(in crate::engine) anonymous: bool,
    pub(in crate::engine) source: String,
    pub(in crate::engine) destination: String,
    pub(in crate::engine) mode: String,
    pub(in crate::engine) writable: bool,
}

/// A container.
#[derive(Clone, Debug)]
pub struct Container {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Name, without the leading slash of the API.
    pub name: String,
    /// Where it is in its life.
    pub status: Status,
    /// Exit code of the last run.
    pub exit_code: i64,
    /// Published ports while it runs.
    pub ports: Vec<Published>,
    /// Automatic restarts since it was last started by hand.
    pub restart_count: u32,
    pub(in crate::engine) created: Timestamp,
    pub(in crate::engine) image_id: String,
    pub(in crate::engine) image_layer: String,
    pub(in crate::engine) image_size: u64,
    pub(in crate::engine) web: bool,
    pub(in crate::engine) config: Map<String, Value>,
    pub(in crate::engine) host: Map<String, Value>,
    pub(in crate::engine) argv: Vec<String>,
    pub(in crate::engine) pid: u32,
    pub(in crate::engine) error: String,
    pub(in crate::engine) started: Option<Timestamp>,
    pub(in crate::engine) finished: Option<Timestamp>,
    pub(in crate::engine) endpoint: Endpoint,
    /// ID of its network namespace; empty before the first start.
    pub(in crate::engine) sandbox: String,
    pub(in crate::engine) mounts: Vec<Mount>,
    pub(in crate::engine) logs: Vec<LogLine>,
    pub(super) program: Option<Program>,
    /// A start is under way: everything that needs the container's lock waits.
    pub(in crate::engine) starting: bool,
    /// Counts runs, so that a process of an earlier run cannot touch a later one.
    pub(in crate::engine) run: u64,
    /// Counts ends of runs, for those who wait for one.
    pub(in crate::engine) exits: u64,
    /// Wait before the next automatic restart.
    pub(super) backoff: Duration,
    /// Somebody asked it to end: no automatic restart.
    pub(super) cancelled: bool,
    /// Somebody signalled it since its last start by hand.
    pub(super) manually_stopped: bool,
    /// A restart by hand is under way: it is not removed when it ends.
    pub(super) held: bool,
    /// Signals that arrived while it was paused.
    pub(super) pending: Vec<u8>,
}

impl Container {
    /// What the API calls running: paused and restarting too.
    #[must_use]
    pub fn running(&self) -> bool {
        matches!(self.status, Status::Running | Status::Paused | Status::Restarting)
    }

    /// The image as it was asked for.
    #[must_use]
    pub fn image(&self) -> &str {
        self.config["Image"].as_str().unwrap_or_default()
    }

    /// A label's value.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.config["Labels"].get(key)?.as_str()
    }

    /// All labels.
    pub(in crate::engine) fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let labels = self.config["Labels"].as_object().into_iter().flatten();
        labels.map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()))
    }

    /// Whether it has a terminal: its output is then not framed.
    pub(in crate::engine) fn tty(&self) -> bool {
        self.config["Tty"] == json!(true)
    }

    /// The signal that `stop` sends first.
    pub(in crate::engine) fn stop_signal(&self) -> u8 {
        self.configured_stop_signal().unwrap_or(signal::TERM)
    }

    pub(super) fn configured_stop_signal(&self) -> Option<u8> {
        self.config.get("StopSignal").and_then(Value::as_str).and_then(signal::parse)
    }

    /// How long `stop` waits for the process before it kills it; negative means for ever.
    pub(in crate::engine) fn stop_timeout(&self) -> i64 {
        self.config.get("StopTimeout").and_then(Value::as_i64).unwrap_or(10)
    }

    pub(super) fn init(&self) -> bool {
        self.host.get("Init") == Some(&json!(true))
    }

    pub(super) fn auto_remove(&self) -> bool {
        self.host["AutoRemove"] == json!(true)
    }

    /// The restart policy's name and its greatest number of retries.
    pub(super) fn restart_policy(&self) -> (&str, u64) {
        let policy = self.host["RestartPolicy"].as_object();
        let field = |name| policy.and_then(|policy| config::get(policy, name));
        (
            field("Name").and_then(Value::as_str).unwrap_or_default(),
            field("MaximumRetryCount").and_then(Value::as_u64).unwrap_or_default(),
        )
    }

    /// The mode of `HostConfig.NetworkMode`, with `default` replaced by what it means.
    pub(in crate::engine) fn network_mode(&self) -> &str {
        match self.host["NetworkMode"].as_str().unwrap_or_default() {
            "default" | "" => "bridge",
            mode => mode,
        }
    }

    /// The text of the STATUS column.
    pub(in crate::engine) fn status_text(&self, now: Timestamp) -> String {
        let since = |then: Option<Timestamp>| human(then.unwrap_or(now), now);
        match self.status {
            Status::Running => format!("Up {}", since(self.started)),
            Status::Paused => format!("Up {} (Paused)", since(self.started)),
            Status::Restarting => {
                format!("Restarting ({}) {} ago", self.exit_code, since(self.finished))
            }
            Status::Created => "Created".into(),
            Status::Exited => format!("Exited ({}) {} ago", self.exit_code, since(self.finished)),
        }
    }
}

/// A duration as `docker ps` says it.
fn human(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - then.as_second();
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match () {
        () if seconds < 1 => "Less than a second".into(),
        () if seconds == 1 => "1 second".into(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".into(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".into(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", hours / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_in_docker_ps() {
        let at = |seconds: i64| Timestamp::from_second(seconds).unwrap();
        for (seconds, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (120, "2 minutes"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (5400, "2 hours"),
            (86_400, "24 hours"),
            (3 * 86_400, "3 days"),
            (20 * 86_400, "2 weeks"),
            (70 * 86_400, "2 months"),
            (900 * 86_400, "2 years"),
        ] {
            assert_eq!(human(at(0), at(seconds)), text);
        }
    }
}
