//! Reading [`Facts`] from what an engine says of a container.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::container::{Facts, HostPort, RunState, Words};
use super::json;

/// The label that carries the swarm ID, the identity that survives rescheduling.
pub const SWARM_ID_LABEL: &str = "com.docker.swarm.id";

/// Shares an engine gives a container that may use all its CPUs.
const SHARES_PER_ENGINE: i128 = 1024;

impl Facts {
    /// Reads a container's row of the engine's list and its inspect JSON. `cpus` is the engine's
    /// number of CPUs, `clock_delta` what is added to the engine's dates to make them ours.
    #[must_use]
    pub fn read(summary: &Value, inspect: &Value, cpus: i64, clock_delta: SignedDuration) -> Self {
        let date = |pointer| parse_date(json::text(inspect, pointer), clock_delta);
        let mut words = Words {
            names: names(summary, inspect),
            image: first_text(&[(inspect, "/Config/Image"), (summary, "/Image")]),
            health: json::text(inspect, "/State/Health/Status").to_owned(),
            ..Words::default()
        };
        words.read_config(inspect, "/Config");
        if inspect.pointer("/Config/Labels").is_none() {
            words.read_labels(summary, "/Labels");
        }
        for (_, bindings) in json::members(inspect, "/NetworkSettings/Ports") {
            words.add_ports(bindings);
        }
        let mut facts = Self {
            state: run_state(inspect),
            exit_code: json::int(inspect, "/State/ExitCode"),
            created: date("/Created").unwrap_or_else(|| list_date(summary, clock_delta)).into(),
            started: date("/State/StartedAt").into(),
            finished: date("/State/FinishedAt").into(),
            ..Self::default()
        };
        facts.read_host_config(inspect);
        facts.cpus = match json::int(inspect, "/HostConfig/CpuShares") {
            0 => nano_cpus(inspect),
            shares => whole_cpus(shares, cpus),
        };
        facts.with_words(&words)
    }

    /// Reads what a create asks for. CPUs are whole ones here, not shares.
    pub(crate) fn read_create(name: &str, body: &Value) -> Self {
        let mut words = Words { image: json::text(body, "/Image").to_owned(), ..Words::default() };
        if !name.is_empty() {
            words.names.push(format!("/{name}"));
        }
        words.read_config(body, "");
        let mut facts = Self::default();
        facts.read_host_config(body);
        facts.cpus = match json::int(body, "/HostConfig/CpuShares") {
            0 => nano_cpus(body),
            cpus => cpus.max(0),
        };
        facts.with_words(&words)
    }

    /// What inspect JSON and create bodies have in common.
    fn read_host_config(&mut self, body: &Value) {
        self.memory = json::int(body, "/HostConfig/Memory").max(0);
        self.host_network = json::text(body, "/HostConfig/NetworkMode") == "host";
        self.auto_remove = json::flag(body, "/HostConfig/AutoRemove");
    }
}

impl Words {
    /// What inspect JSON (below `config`) and create bodies (at the top) have in common.
    fn read_config(&mut self, body: &Value, config: &str) {
        self.read_labels(body, &format!("{config}/Labels"));
        self.exposed = json::members(body, &format!("{config}/ExposedPorts"))
            .map(|(port, _)| port.to_owned())
            .collect();
        for (_, bindings) in json::members(body, "/HostConfig/PortBindings") {
            self.add_ports(bindings);
        }
    }

    fn read_labels(&mut self, body: &Value, pointer: &str) {
        self.labels = json::members(body, pointer)
            .map(|(key, value)| (key.to_owned(), value.as_str().unwrap_or_default().to_owned()))
            .collect();
    }

    /// Adds the claims among `bindings`. One without a port claims nothing: the engine picks.
    fn add_ports(&mut self, bindings: &Value) {
        for port in host_ports(bindings) {
            if !port.port.is_empty() && !self.ports.contains(&port) {
                self.ports.push(port);
            }
        }
    }
}

/// The entries of one key of `PortBindings` or `Ports`, including those without a port.
pub(crate) fn host_ports(bindings: &Value) -> impl Iterator<Item = HostPort> {
    bindings.as_array().into_iter().flatten().map(|binding| HostPort {
        ip: json::text(binding, "/HostIp").to_owned(),
        port: json::text(binding, "/HostPort").to_owned(),
    })
}

/// Shares for an engine with `engine_cpus` CPUs, rounded up so that reading them back gives at
/// least `cpus` again.
#[must_use]
pub fn cpu_shares(cpus: i64, engine_cpus: i64) -> i64 {
    if engine_cpus <= 0 {
        return cpus;
    }
    let engine_cpus = i128::from(engine_cpus);
    let shares = (i128::from(cpus) * SHARES_PER_ENGINE + engine_cpus - 1).div_euclid(engine_cpus);
    i64::try_from(shares).unwrap_or(i64::MAX)
}

/// The whole CPUs that `shares` of an engine stand for, rounded down.
fn whole_cpus(shares: i64, engine_cpus: i64) -> i64 {
    let cpus = i128::from(shares.max(0)) * i128::from(engine_cpus.max(0)) / SHARES_PER_ENGINE;
    i64::try_from(cpus).unwrap_or(i64::MAX)
}

/// The CPUs of `--cpus`, rounded up. The classic manager knows only shares; a client that speaks
/// in CPUs means a reservation too, so it is counted when no shares are given.
fn nano_cpus(body: &Value) -> i64 {
    let nanos = json::int(body, "/HostConfig/NanoCpus").max(0);
    nanos / 1_000_000_000 + i64::from(nanos % 1_000_000_000 > 0)
}

fn names(summary: &Value, inspect: &Value) -> Vec<String> {
    let names: Vec<String> = json::texts(summary, "/Names").map(str::to_owned).collect();
    match json::text(inspect, "/Name") {
        name if names.is_empty() && name.len() > 1 => vec![name.to_owned()],
        _ => names,
    }
}

fn first_text(places: &[(&Value, &str)]) -> String {
    let texts = places.iter().map(|(value, pointer)| json::text(value, pointer));
    texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default().to_owned()
}

/// The state as the classic manager tells it from inspect's flags.
fn run_state(inspect: &Value) -> RunState {
    let flag = |name: &str| json::flag(inspect, &format!("/State/{name}"));
    if flag("Running") {
        return match (flag("Paused"), flag("Restarting")) {
            (true, _) => RunState::Paused,
            (_, true) => RunState::Restarting,
            _ => RunState::Running,
        };
    }
    if flag("Dead") {
        RunState::Dead
    } else if parse_date(json::text(inspect, "/State/StartedAt"), SignedDuration::ZERO).is_none() {
        RunState::Created
    } else {
        RunState::Exited
    }
}

/// A date of the Docker API moved by `delta`; Go's zero time and unreadable texts are `None`.
fn parse_date(text: &str, delta: SignedDuration) -> Option<Timestamp> {
    let date: Timestamp = text.parse().ok()?;
    let is_zero = text.starts_with("0001-");
    (!is_zero).then(|| date.saturating_add(delta).unwrap_or(date))
}

/// The date in the engine's list, in seconds since 1970.
fn list_date(summary: &Value, delta: SignedDuration) -> Timestamp {
    let date = Timestamp::from_second(json::int(summary, "/Created")).unwrap_or_default();
    date.saturating_add(delta).unwrap_or(date)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{inspect, now, summary};
    use super::*;
    use serde_json::json;

    fn read(extra: &Value) -> Facts {
        Facts::read(&summary("web"), &inspect("web", extra), 3, SignedDuration::ZERO)
    }

    #[test]
    fn one_cpu_of_three_is_342_shares_and_back() {
        assert_eq!(cpu_shares(1, 3), 342);
        assert_eq!(read(&json!({"HostConfig": {"CpuShares": 342}})).cpus, 1);
    }

    #[test]
    fn shares_of_foreign_containers() {
        assert_eq!(read(&json!({"HostConfig": {"CpuShares": 1024}})).cpus, 3);
        assert_eq!(read(&json!({"HostConfig": {"CpuShares": 0}})).cpus, 0);
        assert_eq!(read(&json!({"HostConfig": {"CpuShares": -5}})).cpus, 0);
        let absurd = read(&json!({"HostConfig": {"CpuShares": u64::MAX, "Memory": 1e300}}));
        assert_eq!((absurd.cpus, absurd.memory), (i64::MAX / 1024 * 3 + 2, i64::MAX));
    }

    #[test]
    fn nano_cpus_count_only_without_shares() {
        assert_eq!(read(&json!({"HostConfig": {"NanoCpus": 1_500_000_000_i64}})).cpus, 2);
        assert_eq!(read(&json!({"HostConfig": {"NanoCpus": 1}})).cpus, 1);
        let both = json!({"HostConfig": {"NanoCpus": 3_000_000_000_i64, "CpuShares": 342}});
        assert_eq!(read(&both).cpus, 1);
    }

    #[test]
    fn ports_are_those_requested_and_those_given() {
        let facts = read(&json!({
            "HostConfig": {"PortBindings": {
                "80/tcp": [{"HostIp": "", "HostPort": "8080"}], "81/tcp": [{"HostPort": ""}],
                "82/tcp": null,
            }},
            "NetworkSettings": {"Ports": {
                "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}],
                "81/tcp": [{"HostIp": "0.0.0.0", "HostPort": "32768"}], "82/tcp": null,
            }},
        }));
        let ports: Vec<_> = facts.ports().map(|p| (p.ip, p.port)).collect();
        assert_eq!(ports, [("", "8080"), ("0.0.0.0", "8080"), ("0.0.0.0", "32768")]);
    }

    #[test]
    fn states_come_from_the_flags() {
        let state = |state: Value| read(&json!({"State": state})).state;
        let started = "2026-01-01T00:00:00.123456789Z";
        assert_eq!(state(json!({"Running": true, "Paused": true})), RunState::Paused);
        assert_eq!(state(json!({"Running": true, "Restarting": true})), RunState::Restarting);
        assert_eq!(state(json!({"Running": true, "StartedAt": started})), RunState::Running);
        assert_eq!(state(json!({"Dead": true, "StartedAt": started})), RunState::Dead);
        assert_eq!(state(json!({"StartedAt": "0001-01-01T00:00:00Z"})), RunState::Created);
        assert_eq!(state(json!({"StartedAt": started})), RunState::Exited);
        assert_eq!(state(json!(null)), RunState::Created);
    }

    #[test]
    fn dates_move_by_the_clock_delta_but_never_stays_never() {
        let delta = SignedDuration::from_secs(10);
        let facts = Facts::read(&summary("web"), &inspect("web", &json!({})), 3, delta);
        assert_eq!(facts.created().to_string(), "2026-01-01T00:00:10.5Z");
        assert_eq!(facts.started().map(|t| t.to_string()).as_deref(), Some("2026-01-01T00:00:11Z"));
        assert_eq!(facts.finished(), None);
        let row = json!({"Created": now().as_second()});
        assert_eq!(Facts::read(&row, &json!({}), 3, delta).created(), now() + delta);
    }

    #[test]
    fn engines_that_leave_members_out() {
        let row = json!({"Id": "x", "Image": "nginx", "Labels": {"a": "b"}});
        let facts = Facts::read(&row, &json!({"Name": "/web"}), 3, SignedDuration::ZERO);
        assert_eq!((facts.names().collect(), facts.image()), (vec!["/web"], "nginx"));
        assert_eq!(facts.label("a"), Some("b"));
        let nameless = Facts::read(&row, &json!({"Name": "/"}), 3, SignedDuration::ZERO);
        assert!(nameless.names().next().is_none());
    }
}
