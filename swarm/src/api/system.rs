//! `/_ping`, `/version`, `/info`.

use std::sync::LazyLock;

use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, PRAGMA};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use crate::cli::VERSION;
use crate::cluster::{Cluster, Node, RunState, bytes_text};
use crate::ctx::http::{self, Body};
use crate::engine::ApiVersion;
use crate::scheduler::Scheduler;

use super::{Api, json};

impl Api {
    /// Answers GET and HEAD; hyper leaves the body of the latter out.
    pub(super) fn ping(&self) -> Response<Body> {
        // Clients negotiate by this reply: it must not repeat what was true for an earlier one.
        self.advertised_version();
        let mut response = Response::new(http::full("OK"));
        for (name, text) in [
            (CONTENT_TYPE, "text/plain; charset=utf-8"),
            (CACHE_CONTROL, "no-cache, no-store, must-revalidate"),
            (PRAGMA, "no-cache"),
            // The classic builder; and no swarm mode here.
            (HeaderName::from_static("builder-version"), "1"),
            (HeaderName::from_static("swarm"), "inactive"),
        ] {
            response.headers_mut().insert(name, HeaderValue::from_static(text));
        }
        response
    }

    pub(super) fn version(&self) -> Response<Body> {
        let mut version = json!({
            "Platform": { "Name": "Docker Swarm - Community" },
            "Version": format!("swarm/{VERSION}"),
            "ApiVersion": self.advertised_version().to_string(),
            "MinAPIVersion": ApiVersion::MIN.to_string(),
            "GitCommit": "HEAD",
            // A key that clients expect; there is no Go in here.
            "GoVersion": "",
            "Os": "linux",
            "Arch": architecture(),
            "KernelVersion": self.settings.kernel,
            "BuildTime": "<unknown>",
        });
        if self.settings.experimental {
            version["Experimental"] = true.into();
        }
        json(StatusCode::OK, &version)
    }

    pub(super) fn info(&self) -> Response<Body> {
        json(StatusCode::OK, &self.info_json())
    }

    fn info_json(&self) -> Value {
        let manager = &self.manager;
        let (totals, rows) = manager.with(|cluster| {
            (Totals::of(cluster), status_rows(&manager.options.scheduler, cluster))
        });
        let settings = &self.settings;
        let mut info = INFO.clone();
        for (key, value) in [
            ("Containers", json!(totals.containers)),
            ("ContainersRunning", json!(totals.running)),
            ("ContainersPaused", json!(totals.paused)),
            ("ContainersStopped", json!(totals.containers - totals.running - totals.paused)),
            ("Images", json!(totals.images)),
            ("SystemStatus", rows),
            ("SystemTime", json!(manager.ctx.now().to_string())),
            ("NEventsListener", json!(manager.events.listeners())),
            ("KernelVersion", json!(settings.kernel)),
            ("Architecture", json!(architecture())),
            ("NCPU", json!(totals.cpus)),
            ("MemTotal", json!(totals.memory)),
            ("HttpProxy", json!(settings.http_proxy)),
            ("HttpsProxy", json!(settings.https_proxy)),
            ("NoProxy", json!(settings.no_proxy)),
            ("Name", json!(settings.host_name)),
            ("ExperimentalBuild", json!(settings.experimental)),
            ("ServerVersion", json!(format!("swarm/{VERSION}"))),
        ] {
            info[key] = value;
        }
        info
    }
}

/// Every key of the classic manager's `/info` in its order, with the values that never change.
/// Where that says nothing of swarm mode, this says `inactive`: the CLI prints empty rows for
/// nothing.
static INFO: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("info.json")).expect("the file is valid JSON")
});

/// The processor's name as Go, and so Docker, spells it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

/// Sums over registered nodes, healthy or not.
#[derive(Debug, Default)]
struct Totals {
    containers: usize,
    running: usize,
    paused: usize,
    images: usize,
    cpus: i64,
    memory: i64,
}

impl Totals {
    fn of(cluster: &Cluster) -> Self {
        let mut totals = Self::default();
        for node in cluster.registered() {
            let (running, paused) = running_and_paused(node);
            totals.containers += node.containers.len();
            totals.running += running;
            totals.paused += paused;
            totals.images += node.images.iter().filter(|image| is_named(image)).count();
            totals.cpus += node.total_cpus(cluster.options());
            totals.memory += node.total_memory(cluster.options());
        }
        totals
    }
}

fn running_and_paused(node: &Node) -> (usize, usize) {
    let count = |wanted: &[RunState]| {
        node.containers.values().filter(|c| wanted.contains(&c.facts.state)).count()
    };
    (count(&[RunState::Running, RunState::Restarting]), count(&[RunState::Paused]))
}

/// Whether an image has a real tag or digest; engines before API 1.43 write `<none>` for none.
pub(super) fn is_named(image: &Value) -> bool {
    let first = |key: &str| image.get(key).and_then(|v| v.get(0)).and_then(Value::as_str);
    first("RepoTags").is_some_and(|tag| tag != "<none>:<none>")
        || first("RepoDigests").is_some_and(|digest| digest != "<none>@<none>")
}

/// The rows that `docker info` prints, exactly as the classic manager words them.
fn status_rows(scheduler: &Scheduler, cluster: &Cluster) -> Value {
    let filters: Vec<&str> = scheduler.filters().iter().map(|filter| filter.as_str()).collect();
    let row = |key: &str, value: String| pair(key.to_owned(), value);
    let mut rows = vec![
        row("Role", "primary".into()),
        row("Strategy", scheduler.strategy().as_str().into()),
        row("Filters", filters.join(", ")),
        row("Nodes", cluster.nodes().count().to_string()),
    ];
    let mut nodes: Vec<&Node> = cluster.nodes().collect();
    nodes.sort_by(|a, b| Cluster::natural_order(a, b));
    for node in nodes {
        add_node(&mut rows, cluster, node);
    }
    rows.into()
}

/// A row of two cells.
fn pair(key: String, value: String) -> Value {
    Value::Array(vec![key.into(), value.into()])
}

fn add_node(rows: &mut Vec<Value>, cluster: &Cluster, node: &Node) {
    let options = cluster.options();
    let name = if node.name.is_empty() { "(unknown)" } else { &node.name };
    rows.push(pair(format!(" {name}"), node.addr.clone()));
    let mut add = |key: &str, value: String| rows.push(pair(format!("  └ {key}"), value));
    let all = node.containers.len();
    add("ID", node.id.clone());
    add("Status", node.state.as_str().to_owned());
    add(
        "Containers",
        if node.is_healthy() {
            let (running, paused) = running_and_paused(node);
            let stopped = all - running - paused;
            format!("{all} ({running} Running, {paused} Paused, {stopped} Stopped)")
        } else {
            all.to_string()
        },
    );
    let (used, total) = (node.used_cpus(cluster), node.total_cpus(options));
    add("Reserved CPUs", format!("{used} / {total}"));
    let (used, total) = (node.used_memory(cluster), node.total_memory(options));
    add("Reserved Memory", format!("{} / {}", bytes_text(used), bytes_text(total)));
    let labels: Vec<String> = node.specs.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    add("Labels", labels.join(", "));
    if !node.error.is_empty() {
        add("Error", node.error.clone());
    }
    add("UpdatedAt", node.updated_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    add("ServerVersion", node.specs.version.clone());
}
