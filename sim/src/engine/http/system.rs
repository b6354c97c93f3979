//! The engine itself, its networks and its volumes.

use std::sync::atomic::Ordering;

use hyper::header::HeaderValue;
use hyper::{Response, header};
use serde_json::{Value, json};
use swarm::ctx::http::Body;

use super::reply::{self, Reply};
use super::{Call, number};
use crate::engine::state::Refusal;

/// What the machine of every engine runs on.
const KERNEL: &str = "6.1.0-18-amd64";
const BUILT: &str = "2023-04-04T18:21:00.000000000+00:00";
const COMMIT: &str = "5d6db84";
const GO: &str = "go1.19.8";
const CONTAINERD: &str = "1.6.20";
const RUNC: &str = "1.1.5";
const INIT: &str = "0.19.0";

pub(super) fn ping(call: &Call) -> Response<Body> {
    let mut response = reply::text(200, if call.head { "" } else { "OK" });
    let headers = response.headers_mut();
    let value = HeaderValue::from_static;
    headers.insert(header::CACHE_CONTROL, value("no-cache, no-store, must-revalidate"));
    headers.insert(header::PRAGMA, value("no-cache"));
    // Engines from 23.0 on build with another builder and tell whether they are in swarm mode.
    if number(&call.engine.spec.api) >= (1, 42) {
        headers.insert("Builder-Version", value("2"));
        headers.insert("Swarm", value("inactive"));
    }
    response
}

pub(super) async fn version(call: &Call) -> Reply {
    let spec = &call.engine.spec;
    tokio::time::sleep(spec.timings.list).await;
    let engine = json!({
        "Name": "Engine",
        "Version": spec.version,
        "Details": {
            "ApiVersion": spec.api,
            "Arch": "amd64",
            "BuildTime": BUILT,
            "Experimental": "false",
            "GitCommit": COMMIT,
            "GoVersion": GO,
            "KernelVersion": KERNEL,
            "MinAPIVersion": spec.min_api,
            "Os": "linux",
        },
    });
    let other = |name: &str, version: &str| {
        let details = json!({"GitCommit": ""});
        json!({"Name": name, "Version": version, "Details": details})
    };
    Ok(reply::json(
        200,
        &json!({
            "Platform": {"Name": "Docker Engine - Community"},
            "Components": [
                engine,
                other("containerd", CONTAINERD),
                other("runc", RUNC),
                other("docker-init", INIT),
            ],
            "Version": spec.version,
            "ApiVersion": spec.api,
            "MinAPIVersion": spec.min_api,
            "GitCommit": COMMIT,
            "GoVersion": GO,
            "Os": "linux",
            "Arch": "amd64",
            "KernelVersion": KERNEL,
            "BuildTime": BUILT,
        }),
    ))
}

pub(super) async fn info(call: &Call) -> Reply {
    let engine = &call.engine;
    tokio::time::sleep(engine.spec.timings.list).await;
    let (id, images, (running, paused, stopped)) =
        engine.read(|state| (state.id.clone(), state.images.len(), state.counts()));
    let mut out = json!({
        "ID": id,
        "Containers": running + paused + stopped,
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": stopped,
        "Images": images,
    });
    extend(&mut out, storage());
    extend(&mut out, kernel());
    extend(
        &mut out,
        json!({
            "Debug": false,
            "NFd": 24,
            "OomKillDisable": true,
            "NGoroutines": 39,
            "SystemTime": engine.ctx.now().to_string(),
            "LoggingDriver": "json-file",
            "CgroupDriver": "cgroupfs",
            "CgroupVersion": "1",
            "NEventsListener": engine.listeners.load(Ordering::Relaxed),
            "KernelVersion": KERNEL,
            "OperatingSystem": "Debian GNU/Linux 12 (bookworm)",
            "OSVersion": "12",
            "OSType": "linux",
            "Architecture": "x86_64",
        }),
    );
    extend(&mut out, registry());
    let spec = &engine.spec;
    extend(
        &mut out,
        json!({
            "NCPU": spec.cpus,
            "MemTotal": spec.memory,
            "GenericResources": null,
            "DockerRootDir": "/var/lib/docker",
            "HttpProxy": "",
            "HttpsProxy": "",
            "NoProxy": "",
            "Name": spec.name,
            "Labels": spec.labels,
            "ExperimentalBuild": false,
            "ServerVersion": spec.version,
        }),
    );
    extend(&mut out, runtime());
    Ok(reply::json(200, &out))
}

fn extend(out: &mut Value, more: Value) {
    if let (Value::Object(out), Value::Object(more)) = (out, more) {
        out.extend(more);
    }
}

fn storage() -> Value {
    json!({
        "Driver": "overlay2",
        "DriverStatus": [
            ["Backing Filesystem", "extfs"],
            ["Supports d_type", "true"],
            ["Native Overlay Diff", "true"],
            ["userxattr", "false"],
        ],
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "host", "ipvlan", "macvlan", "null", "overlay"],
            "Authorization": null,
            "Log": [
                "awslogs", "fluentd", "gcplogs", "gelf", "journald", "json-file", "local",
                "logentries", "splunk", "syslog",
            ],
        },
    })
}

fn kernel() -> Value {
    json!({
        "MemoryLimit": true,
        "SwapLimit": true,
        "KernelMemory": true,
        "KernelMemoryTCP": true,
        "CpuCfsPeriod": true,
        "CpuCfsQuota": true,
        "CPUShares": true,
        "CPUSet": true,
        "PidsLimit": true,
        "IPv4Forwarding": true,
        "BridgeNfIptables": true,
        "BridgeNfIp6tables": true,
    })
}

fn registry() -> Value {
    json!({
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": {
            "AllowNondistributableArtifactsCIDRs": [],
            "AllowNondistributableArtifactsHostnames": [],
            "InsecureRegistryCIDRs": ["127.0.0.0/8"],
            "IndexConfigs": {
                "docker.io": {
                    "Name": "docker.io", "Mirrors": [], "Secure": true, "Official": true,
                },
            },
            "Mirrors": [],
        },
    })
}

fn runtime() -> Value {
    let commit = |id: &str| json!({"ID": id, "Expected": id});
    json!({
        "Runtimes": {
            "io.containerd.runc.v2": {"path": "runc"},
            "io.containerd.runtime.v1.linux": {"path": "runc"},
            "runc": {"path": "runc"},
        },
        "DefaultRuntime": "runc",
        "Swarm": {
            "NodeID": "",
            "NodeAddr": "",
            "LocalNodeState": "inactive",
            "ControlAvailable": false,
            "Error": "",
            "RemoteManagers": null,
        },
        "LiveRestoreEnabled": false,
        "Isolation": "",
        "InitBinary": "docker-init",
        "ContainerdCommit": commit(CONTAINERD),
        "RuncCommit": commit(RUNC),
        "InitCommit": commit(INIT),
        "SecurityOptions": ["name=seccomp,profile=default"],
        "Warnings": null,
    })
}

pub(super) async fn networks(call: &Call) -> Reply {
    tokio::time::sleep(call.engine.spec.timings.list).await;
    let filters = call.query.filters()?;
    let list = call.engine.read(|state| state.list_networks(&filters))?;
    Ok(reply::json(200, &Value::Array(list)))
}

pub(super) async fn network(call: &Call, name: &str) -> Reply {
    tokio::time::sleep(call.engine.spec.timings.inspect).await;
    let found = call.engine.read(|state| {
        let network = state.network(name)?;
        Some(network.json(&state.members(network)))
    });
    let found = found.ok_or_else(|| Refusal::not_found(format!("network {name} not found")))?;
    Ok(reply::json(200, &found))
}

pub(super) async fn volumes(call: &Call) -> Reply {
    tokio::time::sleep(call.engine.spec.timings.list).await;
    let filters = call.query.filters()?;
    let list = call.engine.read(|state| state.list_volumes(&filters))?;
    Ok(reply::json(200, &json!({"Volumes": list, "Warnings": null})))
}

pub(super) async fn volume(call: &Call, name: &str) -> Reply {
    tokio::time::sleep(call.engine.spec.timings.inspect).await;
    let found = call.engine.read(|state| state.volumes.get(name).map(|volume| volume.json()));
    let found = found.ok_or_else(|| Refusal::not_found(format!("get {name}: no such volume")))?;
    Ok(reply::json(200, &found))
}
