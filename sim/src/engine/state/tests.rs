//! The engine as a value: no runtime, no clock, no sockets.

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};
use swarm::ctx::Rng;

use super::*;
use crate::engine::Spec;

/// Draws that are all different and always the same: splitmix64 over a counter.
#[derive(Default)]
pub(in crate::engine) struct Counter(AtomicU64);

impl Rng for Counter {
    fn fill(&self, _: &'static str, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let n = self.0.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(n ^ (n >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

/// A state with a clock and a source of numbers of its own.
struct Bench {
    state: State,
    now: Timestamp,
    rng: Counter,
}

impl Bench {
    fn new() -> Self {
        let (now, rng) = ("2026-01-02T03:04:05Z".parse().unwrap(), Counter::default());
        let spec = Spec::new("engine-1", "10.0.0.1");
        let state = State::new(&spec, &Moment { now, rng: &rng });
        Self { state, now, rng }
    }

    fn act<T>(&mut self, act: impl FnOnce(&mut State, &Moment<'_>) -> T) -> T {
        act(&mut self.state, &Moment { now: self.now, rng: &self.rng })
    }

    fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    fn create(&mut self, name: &str, body: Value) -> Result<String, Refusal> {
        let body = body.as_object().unwrap().clone();
        self.act(|state, moment| state.create(moment, name, &body))
    }

    fn start(&mut self, name: &str) -> Result<Launch, Refusal> {
        let id = self.state.container(name)?.id.clone();
        self.act(|state, moment| {
            state.start_begin(moment, &id, false)?;
            state.start_connected(moment, &id);
            state.start_finish(moment, &id)
        })
    }

    fn run(&mut self, name: &str, body: Value) -> String {
        let id = self.create(name, body).unwrap();
        self.start(name).unwrap();
        id
    }

    fn signal(&mut self, id: &str, number: u8) -> Result<(), Refusal> {
        self.act(|state, moment| state.signal(moment, id, number))
    }

    fn exit(&mut self, id: &str, code: i64) {
        let run = self.get(id).run;
        self.act(|state, moment| state.exited(moment, id, run, code));
    }

    fn get(&self, name: &str) -> &Container {
        self.state.container(name).unwrap()
    }

    /// `action name` of the container events so far.
    fn story(&self) -> Vec<String> {
        let (mut number, mut out) = (0, Vec::new());
        while let Some((next, event)) = self.state.events.at(number) {
            number = next;
            if event.topic == Topic::Container {
                out.push(format!("{} {}", event.action, event.attributes["name"]));
            }
        }
        out
    }
}

fn sleeper() -> Value {
    json!({"Image": "busybox", "Cmd": ["sleep", "1d"]})
}

fn with_policy(name: &str, retries: u64) -> Value {
    let policy = json!({"Name": name, "MaximumRetryCount": retries});
    json!({
        "Image": "busybox", "Cmd": ["sleep", "1d"], "HostConfig": {"RestartPolicy": policy},
    })
}

#[test]
fn a_request_is_checked_before_anything_is_made() {
    let mut bench = Bench::new();
    let id = bench.create("web", sleeper()).unwrap();
    for (name, body, status, message) in [
        ("x1", json!({}), 400, "Config cannot be empty in order to create a container"),
        ("x1", json!({"Image": "nope"}), 404, "No such image: nope:latest"),
        ("x1", json!({"Image": ""}), 400, "No command specified"),
        (
            "a",
            sleeper(),
            400,
            "Invalid container name (a), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
        ),
        (
            "x1",
            json!({"Image": "busybox", "HostConfig": {"Memory": 100}}),
            400,
            "Minimum memory limit allowed is 6MB",
        ),
        (
            "x1",
            json!({"Image": "busybox", "HostConfig": {"NanoCpus": 9_000_000_000_i64}}),
            400,
            "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available",
        ),
    ] {
        let refusal = bench.create(name, body).unwrap_err();
        assert_eq!(refusal, Refusal::new(status, message));
    }
    let conflict = bench.create("/web", sleeper()).unwrap_err();
    assert_eq!(
        conflict,
        Refusal::conflict(format!(
            "Conflict. The container name \"/web\" is already in use by container \"{id}\". You \
             have to remove (or rename) that container to be able to reuse that name."
        ))
    );
    assert_eq!(bench.state.containers().count(), 1);
}

#[test]
fn names_are_made_up_when_none_is_given() {
    let mut bench = Bench::new();
    for _ in 0..200 {
        bench.create("", sleeper()).unwrap();
    }
    let names: std::collections::BTreeSet<&str> =
        bench.state.containers().map(|container| container.name.as_str()).collect();
    assert_eq!(names.len(), 200);
    assert!(names.iter().all(|name| name.contains('_')), "{names:?}");
}

#[test]
fn a_container_is_found_by_name_by_id_and_by_its_beginning() {
    let mut bench = Bench::new();
    let id = bench.create("web", sleeper()).unwrap();
    for name in [id.as_str(), "web", "/web", &id[..12]] {
        assert_eq!(bench.get(name).id, id);
    }
    assert_eq!(bench.state.container("").unwrap_err().status, 404);
    assert_eq!(
        bench.state.container("web2").unwrap_err(),
        Refusal::not_found("No such container: web2")
    );
}

#[test]
fn a_port_in_use_fails_the_start_and_leaves_the_container_created() {
    let mut bench = Bench::new();
    let body = json!({
        "Image": "nginx", "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "80"}]}},
    });
    bench.run("first", body.clone());
    bench.create("second", body).unwrap();
    let refusal = bench.start("second").unwrap_err();
    assert_eq!(refusal.status, 500);
    let text = refusal.message.as_str();
    let start = "driver failed programming external connectivity on endpoint second (";
    assert!(text.starts_with(start), "{text}");
    assert!(text.ends_with("): Bind for 0.0.0.0:80 failed: port is already allocated"), "{text}");
    let second = bench.get("second");
    assert_eq!((second.status, second.exit_code), (Status::Created, 128));
    assert_eq!(second.error, refusal.message);
    assert!(second.endpoint.ip.is_none() && !second.starting);

    let first = bench.get("first").id.clone();
    bench.signal(&first, signal::QUIT).unwrap();
    assert_eq!(bench.get("first").exit_code, 0);
    bench.start("second").unwrap();
    assert_eq!(bench.get("second").ports[0].public, 80);
}

#[test]
fn sleep_ignores_term_unless_an_init_passes_it_on() {
    let mut bench = Bench::new();
    let plain = bench.run("plain", sleeper());
    bench.signal(&plain, signal::TERM).unwrap();
    assert_eq!(bench.get("plain").status, Status::Running);
    bench.signal(&plain, signal::KILL).unwrap();
    assert_eq!((bench.get("plain").status, bench.get("plain").exit_code), (Status::Exited, 137));
    assert_eq!(
        bench.signal(&plain, signal::KILL).unwrap_err(),
        Refusal::conflict(format!("Container {plain} is not running"))
    );

    let mut body = sleeper();
    body["HostConfig"] = json!({"Init": true});
    let init = bench.run("init", body);
    bench.signal(&init, signal::TERM).unwrap();
    assert_eq!(bench.get("init").exit_code, 143);
}

#[test]
fn a_paused_container_gets_its_signals_later() {
    let mut bench = Bench::new();
    let mut body = sleeper();
    body["HostConfig"] = json!({"Init": true});
    body["StopSignal"] = json!("SIGINT");
    let id = bench.run("web", body);
    bench.act(|state, moment| state.pause(moment, &id)).unwrap();
    let again = bench.act(|state, moment| state.pause(moment, &id)).unwrap_err();
    assert_eq!(again, Refusal::conflict(format!("Container {id} is already paused")));
    assert_eq!(bench.start("web").unwrap_err().status, 409);
    bench.signal(&id, 10).unwrap();
    assert_eq!(bench.get("web").status, Status::Paused, "not the stop signal: it waits");
    bench.act(|state, moment| state.unpause(moment, &id)).unwrap();
    assert_eq!(bench.get("web").exit_code, 138);

    bench.start("web").unwrap();
    bench.act(|state, moment| state.pause(moment, &id)).unwrap();
    bench.signal(&id, 2).unwrap();
    assert_eq!(bench.get("web").exit_code, 130, "the stop signal thaws it");
    let tail = bench.story().split_off(8);
    assert_eq!(tail, ["kill web", "unpause web", "die web"]);
}

#[test]
fn policies_decide_about_restarts() {
    let mut bench = Bench::new();
    for (name, policy, code, restarts) in [
        ("no", with_policy("no", 0), 1, false),
        ("always", with_policy("always", 0), 0, true),
        ("failure", with_policy("on-failure", 0), 1, true),
        ("success", with_policy("on-failure", 0), 0, false),
        ("unless", with_policy("unless-stopped", 0), 0, true),
    ] {
        let name = format!("c-{name}");
        let id = bench.run(&name, policy);
        bench.exit(&id, code);
        let expected = if restarts { Status::Restarting } else { Status::Exited };
        assert_eq!(bench.get(&name).status, expected, "{name}");
        assert_eq!(bench.state.take_effects().len(), 1 + usize::from(restarts), "{name}");
    }
    for name in ["c-always", "c-unless"] {
        let id = bench.get(name).id.clone();
        bench.signal(&id, signal::TERM).unwrap();
        assert_eq!(bench.get(name).status, Status::Exited, "{name} was told to stop");
        let run = bench.get(name).run;
        assert!(!bench.state.awaits_restart(&id, run));
    }
}

#[test]
fn restarts_come_slower_and_slower_and_end() {
    let mut bench = Bench::new();
    let id = bench.run("rp", with_policy("on-failure", 4));
    let mut delays = Vec::new();
    for ran in [0, 0, 11, 0] {
        bench.pass(ran);
        bench.exit(&id, 1);
        for effect in bench.state.take_effects() {
            if let Effect::RestartAfter { delay, .. } = effect {
                delays.push(delay.as_millis());
            }
        }
        bench.act(|state, moment| {
            state.start_begin(moment, &id, true).unwrap();
            state.start_finish(moment, &id).unwrap();
        });
    }
    assert_eq!(delays, [100, 200, 100, 200], "a good run starts the waits anew");
    bench.exit(&id, 1);
    assert_eq!(bench.get("rp").status, Status::Exited, "four retries were allowed");
    assert_eq!(bench.get("rp").restart_count, 4);
    bench.start("rp").unwrap();
    assert_eq!(bench.get("rp").restart_count, 0);
}

#[test]
fn an_old_process_cannot_end_a_later_run() {
    let mut bench = Bench::new();
    let id = bench.run("web", sleeper());
    bench.exit(&id, 0);
    bench.start("web").unwrap();
    bench.act(|state, moment| state.exited(moment, &id, 1, 5));
    assert_eq!(bench.get("web").status, Status::Running);
    assert_eq!(bench.start("web").unwrap_err().status, 304);
}

#[test]
fn removal_asks_for_force_and_takes_what_belongs_to_the_container() {
    let mut bench = Bench::new();
    let mut body = sleeper();
    body["Volumes"] = json!({"/data": {}});
    body["HostConfig"] = json!({"Binds": ["named:/x:ro", "/etc:/y"], "PublishAllPorts": true});
    let id = bench.run("web", body);
    assert_eq!(bench.state.volumes.len(), 2);
    let remove = |bench: &mut Bench, force| {
        bench.act(|state, moment| state.remove(moment, &id, force, true))
    };
    assert_eq!(
        remove(&mut bench, false).unwrap_err(),
        Refusal::conflict(format!(
            "You cannot remove a running container {id}. Stop the container before attempting \
             removal or force remove"
        ))
    );
    bench.act(|state, moment| state.pause(moment, &id)).unwrap();
    let paused = remove(&mut bench, false).unwrap_err().message;
    assert!(paused.contains("a paused container"), "{paused}");
    assert!(paused.contains(". Unpause and then stop the container"), "{paused}");
    remove(&mut bench, true).unwrap();
    assert_eq!(bench.state.containers().count(), 0);
    let left: Vec<&String> = bench.state.volumes.keys().collect();
    assert_eq!(left, ["named"], "a named volume stays");
    assert_eq!(bench.state.exit_code_of_removed(&id), Some(137));
    bench.create("web", sleeper()).expect("the name is free again");
    let end = ["pause web", "kill web", "unpause web", "die web", "destroy web", "create web"];
    assert_eq!(bench.story().split_off(2), end);
}

#[test]
fn auto_remove_is_honoured_but_not_in_a_restart() {
    let mut bench = Bench::new();
    let mut body = sleeper();
    body["HostConfig"] = json!({"AutoRemove": true});
    let id = bench.run("web", body);
    bench.state.hold(&id, true);
    bench.exit(&id, 0);
    assert_eq!(bench.get("web").status, Status::Exited);
    bench.state.hold(&id, false);
    bench.start("web").unwrap();
    bench.exit(&id, 7);
    assert_eq!(bench.state.container("web").unwrap_err().status, 404);
    assert_eq!(bench.state.exit_code_of_removed(&id), Some(7));
}

#[test]
fn after_a_power_cut_policies_say_who_comes_back() {
    let mut bench = Bench::new();
    bench.run("plain", sleeper());
    bench.run("always", with_policy("always", 0));
    let stopped = bench.run("stopped", with_policy("always", 0));
    let unless = bench.run("unless", with_policy("unless-stopped", 0));
    bench.create("never-started", with_policy("always", 0)).unwrap();
    let mut auto = sleeper();
    auto["HostConfig"] = json!({"AutoRemove": true});
    bench.run("auto", auto);
    bench.signal(&stopped, signal::KILL).unwrap();
    bench.signal(&unless, signal::KILL).unwrap();
    let kept = bench.state.clone();
    bench.state = kept;
    bench.act(|state, moment| state.boot(moment));
    let restarted: Vec<String> = bench
        .state
        .take_effects()
        .into_iter()
        .map(|effect| match effect {
            Effect::RestartAfter { id, .. } => bench.get(&id).name.clone(),
            Effect::Halt { .. } => panic!("nothing runs after a power cut"),
        })
        .collect();
    assert_eq!(restarted, ["always", "stopped"]);
    assert_eq!((bench.get("plain").status, bench.get("plain").exit_code), (Status::Exited, 255));
    assert_eq!(bench.get("never-started").status, Status::Created);
    assert_eq!(bench.get("unless").status, Status::Exited);
    assert!(bench.state.container("auto").is_err());
}

#[test]
fn lists_are_filtered_as_an_engine_filters_them() {
    let mut bench = Bench::new();
    for name in ["aa", "ab", "bb"] {
        let mut body = sleeper();
        body["Labels"] = json!({"name": name, "common": "x"});
        bench.run(name, body);
        bench.pass(1);
    }
    let stopped = bench.get("ab").id.clone();
    bench.signal(&stopped, signal::KILL).unwrap();
    let names = |filters: Value, all: bool, limit: i64| {
        let filters = filter::Filters::parse(&filters.to_string()).unwrap();
        let query = filter::ListQuery { all, limit, filters, size: false };
        let list = bench.state.list(&query, bench.now)?;
        let name = |entry: &Value| entry["Names"][0].as_str().unwrap()[1..].to_owned();
        Ok::<_, Refusal>(list.iter().map(name).collect::<Vec<_>>())
    };
    let is = |filters: Value, expected: &[&str]| {
        assert_eq!(names(filters.clone(), false, 0).unwrap(), expected, "{filters}");
    };
    is(json!({}), &["bb", "aa"]);
    is(json!({"name": ["^a"]}), &["aa"]);
    is(json!({"id": {&stopped: true}}), &[]);
    is(json!({"status": ["exited"]}), &["ab"]);
    is(json!({"exited": ["137"], "status": ["exited"]}), &["ab"]);
    is(json!({"label": ["common", "name=bb"]}), &["bb"]);
    is(json!({"label": ["common=y"]}), &[]);
    is(json!({"ancestor": ["busybox:latest"]}), &["bb", "aa"]);
    is(json!({"ancestor": ["nginx"]}), &[]);
    is(json!({"network": ["bridge"], "health": ["none"]}), &["bb", "aa"]);
    is(json!({"before": ["bb"]}), &["aa"]);
    is(json!({"since": ["aa"]}), &["bb"]);
    assert_eq!(names(json!({}), true, 0).unwrap(), ["bb", "ab", "aa"]);
    assert_eq!(names(json!({}), false, 2).unwrap(), ["bb", "ab"], "a limit shows stopped ones");
    for (filters, refusal) in [
        (json!({"foo": ["x"]}), Refusal::bad("Invalid filter 'foo'")),
        (json!({"status": ["x"]}), Refusal::bad("Invalid filter 'status=x'")),
        (json!({"exited": ["x"]}), Refusal::server("strconv.Atoi: parsing \"x\": invalid syntax")),
        (json!({"before": ["x"]}), Refusal::server("no such container x")),
    ] {
        assert_eq!(names(filters, false, 0).unwrap_err(), refusal);
    }
}

fn web(port: &str) -> Value {
    let bindings = json!({"80/tcp": [{"HostPort": port}]});
    json!({"Image": "nginx", "HostConfig": {"PortBindings": bindings}})
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is asked in whatever order: names, addresses and ports are held once, by those
    /// that run, and what is removed gives everything back.
    #[test]
    fn nothing_is_held_twice_and_nothing_leaks(
        ops in prop::collection::vec((0..8_u8, 0..4_usize), 1..60),
    ) {
        let mut bench = Bench::new();
        let names = ["one", "two", "three", "four"];
        for (op, which) in ops {
            let name = names[which];
            let id = bench.state.container(name).map(|c| c.id.clone()).unwrap_or_default();
            // Refusals are answers too: only what is left behind counts here.
            let _ = match op {
                0 => bench.create(name, web(["80", ""][which % 2])).map(drop),
                1 => bench.start(name).map(drop),
                2 => bench.signal(&id, signal::KILL),
                3 => bench.act(|state, m| state.pause(m, &id)),
                4 => bench.act(|state, m| state.unpause(m, &id)),
                5 => bench.act(|state, m| state.remove(m, &id, which % 2 == 0, true)),
                6 => bench.act(|state, m| state.rename(m, name, names[(which + 1) % 4])),
                _ => { bench.exit_if_there(&id); Ok(()) }
            };
            bench.check();
        }
    }
}

impl Bench {
    fn exit_if_there(&mut self, id: &str) {
        if self.state.containers.contains_key(id) {
            self.exit(id, 0);
        }
    }

    fn check(&self) {
        let all: Vec<&Container> = self.state.containers().collect();
        assert_eq!(self.state.names.len(), all.len());
        for container in &all {
            assert_eq!(self.state.names[&container.name], container.id);
            let live = matches!(container.status, Status::Running | Status::Paused);
            assert_eq!(container.endpoint.ip.is_some(), live, "{}", container.name);
            assert_eq!(container.ports.len(), usize::from(live), "{}", container.name);
        }
        let unique = |values: Vec<String>| {
            let set: std::collections::BTreeSet<&String> = values.iter().collect();
            assert_eq!(set.len(), values.len(), "{values:?}");
        };
        unique(all.iter().filter_map(|c| c.endpoint.ip).map(|ip| ip.to_string()).collect());
        unique(all.iter().flat_map(|c| &c.ports).map(|p| p.public.to_string()).collect());
    }
}
