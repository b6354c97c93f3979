//! From a container of a scenario to the body of a create request, as the docker CLI would send it.

use serde_json::{Map, Value, json};

use crate::scenario::container::Restart;
use crate::scenario::{ContainerSpec, Spanned};

/// The body of `POST /containers/create` for `spec`.
///
/// Constraints, affinities and the reschedule policy travel as environment entries, as with
/// `docker run -e constraint:zone==external`: the form every manager understands.
#[must_use]
pub fn create_body(spec: &ContainerSpec) -> Value {
    let mut env: Vec<String> = Vec::new();
    env.extend(spec.constraints.iter().map(|c| format!("constraint:{}", c.value.text)));
    env.extend(spec.affinities.iter().map(|a| format!("affinity:{}", a.value.text)));
    env.extend(spec.reschedule.iter().map(|policy| format!("reschedule:{}", policy.value)));
    env.extend(spec.environment.0.iter().cloned());
    let mut exposed = Map::new();
    let mut bindings = Map::new();
    for port in &spec.expose {
        exposed.insert(format!("{}/{}", port.container, port.protocol), json!({}));
    }
    for port in &spec.ports {
        let key = format!("{}/{}", port.container, port.protocol);
        exposed.insert(key.clone(), json!({}));
        let host_ip = port.ip.map(|ip| ip.to_string()).unwrap_or_default();
        let host_port = port.host.map(|port| port.to_string()).unwrap_or_default();
        let list = bindings.entry(key).or_insert_with(|| json!([]));
        if let Some(list) = list.as_array_mut() {
            list.push(json!({ "HostIp": host_ip, "HostPort": host_port }));
        }
    }
    let mut host = json!({ "PortBindings": bindings });
    let mut set = |key: &str, value: Value| host[key] = value;
    if let Some(memory) = &spec.memory {
        set("Memory", memory.value.0.into());
    }
    if let Some(cpus) = &spec.cpus {
        set("CpuShares", cpus.value.into());
    }
    if let Some(restart) = &spec.restart {
        set("RestartPolicy", restart_policy(restart.value));
    }
    if let Some(mode) = &spec.network_mode {
        set("NetworkMode", mode.value.clone().into());
    }
    if let Some(init) = &spec.init {
        set("Init", init.value.into());
    }
    let texts = |list: &[Spanned<String>]| -> Value {
        list.iter().map(|text| Value::from(text.value.clone())).collect()
    };
    if !spec.volumes_from.is_empty() {
        set("VolumesFrom", texts(&spec.volumes_from));
    }
    if !spec.links.is_empty() {
        set("Links", texts(&spec.links));
    }
    let mut body = json!({
        "Image": spec.image.value,
        "Env": env,
        "Labels": spec.labels.0,
        "ExposedPorts": exposed,
        "HostConfig": host,
    });
    if !spec.command.is_empty() {
        body["Cmd"] = spec.command.iter().map(|word| Value::from(word.0.clone())).collect();
    }
    if let Some(hostname) = &spec.hostname {
        body["Hostname"] = hostname.value.clone().into();
    }
    body
}

/// A restart policy as the API wants it.
fn restart_policy(policy: Restart) -> Value {
    match policy {
        Restart::No => json!({ "Name": "no" }),
        Restart::Always => json!({ "Name": "always" }),
        Restart::UnlessStopped => json!({ "Name": "unless-stopped" }),
        Restart::OnFailure(count) => json!({ "Name": "on-failure", "MaximumRetryCount": count }),
    }
}
