//! What a client asks for.

use std::collections::BTreeMap;

use serde_json::Value;

/// A create request, read.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub affinities: Vec<String>,
    pub constraints: Vec<String>,
    pub whitelists: Vec<String>,
    pub reschedules: Vec<String>,
    /// The environment without expressions.
    pub env: Option<Vec<String>>,
    /// The labels the engine gets.
    pub labels: BTreeMap<String, String>,
    pub cpus: i64,
    pub memory: i64,
    pub host_mode: bool,
    /// Address and port of each requested binding.
    pub bindings: Vec<(String, String)>,
    /// Keys such as `80/tcp`.
    pub exposed: Vec<String>,
    /// Each as it was given with its flag, and the container it names.
    pub dependencies: Vec<(String, String)>,
}

/// Reads a create body.
pub fn read(body: &Value) -> Asked {
    let host = &body["HostConfig"];
    let old = |name: &str| match number(&body[name]) {
        0 => number(&host[name]),
        set => set,
    };
    let mut asked = Asked {
        env: body["Env"].as_array().map(|_| texts(&body["Env"])),
        labels: text_map(&body["Labels"]),
        cpus: if old("CpuShares") == 0 {
            whole(number(&host["NanoCpus"]))
        } else {
            old("CpuShares")
        },
        memory: old("Memory"),
        host_mode: text(&host["NetworkMode"]) == "host",
        bindings: bindings(&host["PortBindings"]),
        exposed: keys(&body["ExposedPorts"]),
        dependencies: dependencies(host),
        ..Asked::default()
    };
    asked.affinities = take(&mut asked, "affinity:", "com.docker.swarm.affinities");
    asked.constraints = take(&mut asked, "constraint:", "com.docker.swarm.constraints");
    asked.whitelists = take(&mut asked, "whitelist:", "com.docker.swarm.whitelists");
    asked.reschedules = take(&mut asked, "reschedule:", "com.docker.swarm.reschedule-policies");
    asked
}

/// The expressions of one kind: those in the label, then those in the environment, which go into
/// the label.
fn take(asked: &mut Asked, prefix: &str, label: &str) -> Vec<String> {
    let kept = asked.labels.get(label).and_then(|text| serde_json::from_str(text).ok());
    let mut all: Vec<String> = kept.unwrap_or_default();
    if let Some(mut env) = asked.env.take() {
        let before = env.len();
        all.extend(env.iter().filter_map(|entry| entry.strip_prefix(prefix)).map(str::to_owned));
        env.retain(|entry| !entry.starts_with(prefix));
        asked.env = (!env.is_empty() || before == 0).then_some(env);
    }
    if !all.is_empty() {
        let text = serde_json::to_string(&all).expect("texts");
        let text = text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
        asked.labels.insert(label.to_owned(), text);
    }
    all
}

fn dependencies(host: &Value) -> Vec<(String, String)> {
    let before_colon = |text: &str| text.split(':').next().unwrap_or_default().to_owned();
    let mut all = Vec::new();
    for volumes in texts(&host["VolumesFrom"]) {
        all.push((format!("--volumes-from={volumes}"), before_colon(&volumes)));
    }
    for link in texts(&host["Links"]) {
        all.push((format!("--link={link}"), before_colon(&link)));
    }
    let mode = text(&host["NetworkMode"]);
    if let Some(container) = mode.strip_prefix("container:") {
        all.push((format!("--net={mode}"), container.to_owned()));
    }
    all
}

/// `--cpus` counts as whole CPUs where no shares are given: a documented addition.
pub fn whole(nano_cpus: i64) -> i64 {
    (nano_cpus + 999_999_999) / 1_000_000_000
}

pub fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

pub fn keys(value: &Value) -> Vec<String> {
    value.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
}

pub fn text_map(value: &Value) -> BTreeMap<String, String> {
    let members = value.as_object().into_iter().flatten();
    members.map(|(key, value)| (key.clone(), text(value))).collect()
}

/// Address and port of everything in `PortBindings` or `Ports`.
pub fn bindings(value: &Value) -> Vec<(String, String)> {
    let lists = value.as_object().into_iter().flatten().map(|(_, list)| list);
    let all = lists.flat_map(|list| list.as_array().into_iter().flatten());
    all.map(|binding| (text(&binding["HostIp"]), text(&binding["HostPort"]))).collect()
}
