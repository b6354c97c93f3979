//! Random clusters and requests out of few names, ports, labels and IDs, so that they collide.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::{Index, select};
use serde_json::{Map, Value, json};

use crate::world::{Container, Create, Engine, World};

pub const NODE_NAMES: [&str; 6] = ["node-1", "node-2", "node2", "node10", "node02", "n"];
pub const NAMES: [&str; 5] = ["web", "db", "a", "ab", "web-1"];
const IPS: [&str; 7] = ["", "0.0.0.0", "::", "10.0.0.1", "10.0.0.2", "0:0::0:0", "::ffff:0.0.0.0"];
const PORTS: [&str; 5] = ["80", "81", "0", "", "80-82"];
const KEYS: [&str; 3] = ["80/tcp", "80/udp", "53/udp"];
const IMAGES: [&str; 6] = [
    "nginx",
    "nginx:1.2",
    "reg:5000/nginx:1",
    "reg:5000/team/app",
    "busybox:latest",
    "<none>:<none>",
];
const LINEAGE: &str = "com.docker.swarm.rescheduled-from";
pub const KINDS: [&str; 3] = ["affinity", "constraint", "whitelist"];

/// The address of the engine with this number.
pub fn addr(number: usize) -> String {
    // So that the order of addresses is not the order of numbers.
    format!("10.0.0.{}:2375", (number * 7 + 3) % 10)
}

/// An ID of 64 digits; many share a beginning, some the first twelve digits.
pub fn id() -> impl Strategy<Value = String> {
    let start = select(vec!["a", "ab", "abcdefabcdef", "abcdefabcdef1", "db", "f"]);
    (start, 0..4_u8).prop_map(|(start, end)| format!("{start:0<62}{end:02}"))
}

/// A swarm ID like [`id`], none, or an empty one.
fn swarm_id() -> impl Strategy<Value = Option<String>> {
    prop_oneof![3 => id().prop_map(Some), 3 => Just(None), 1 => Just(Some(String::new()))]
}

/// The label by which a replacement names what it stands for; mostly none.
fn lineage() -> impl Strategy<Value = Option<String>> {
    let some =
        (1..4_u32, any::<bool>(), vec(id(), 1..3)).prop_map(|(generation, running, from)| {
            let told = json!({"generation": generation, "running": running, "from": from});
            Some(told.to_string())
        });
    prop_oneof![5 => Just(None), 1 => some]
}

fn name_from(names: &'static [&'static str]) -> impl Strategy<Value = String> {
    select(names).prop_map(str::to_owned)
}

fn bindings() -> impl Strategy<Value = Value> {
    let binding =
        (select(&IPS[..]), select(&PORTS[..]), any::<u8>()).prop_map(|(ip, port, odd)| {
            match odd {
                // Clients leave the address out as often as not.
                ..100 => json!({"HostPort": port}),
                _ => json!({"HostIp": ip, "HostPort": port}),
            }
        });
    let list = prop_oneof![4 => vec(binding, 1..3).prop_map(Value::from), 1 => Just(Value::Null)];
    vec((select(&KEYS[..]), list), 0..3).prop_map(|keys| {
        Value::Object(keys.into_iter().map(|(key, list)| (key.to_owned(), list)).collect())
    })
}

fn exposed() -> impl Strategy<Value = Value> {
    vec(select(&KEYS[..]), 0..3).prop_map(|keys| {
        Value::Object(keys.into_iter().map(|key| (key.to_owned(), json!({}))).collect())
    })
}

fn labels() -> impl Strategy<Value = Map<String, Value>> {
    vec((select(vec!["tier", "zone", "t.i-e_r"]), select(vec!["web", "z1", ""])), 0..3).prop_map(
        |pairs| pairs.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect(),
    )
}

/// A `HostConfig` with CPUs in the unit that `shares` gives.
fn host_config(shares: impl Strategy<Value = i64>) -> impl Strategy<Value = Value> {
    let mode = prop_oneof![
        9 => select(vec!["", "bridge", "host"]),
        1 => select(vec!["container:web", "container:"]),
    ];
    let memory = prop_oneof![3 => Just(0), 3 => 1..150_i64, 1 => 1..600_i64];
    let nanos = prop_oneof![4 => Just(0), 1 => 1..3_000_000_000_i64];
    (mode, bindings(), shares, nanos, memory).prop_map(|(mode, ports, shares, nanos, memory)| {
        json!({
            "NetworkMode": mode, "PortBindings": ports, "CpuShares": shares, "NanoCpus": nanos,
            "Memory": memory,
        })
    })
}

/// A container as its engine tells of it.
pub fn container() -> impl Strategy<Value = Container> {
    let shares = prop_oneof![2 => Just(0), 3 => 1..800_i64, 1 => Just(1024)];
    let names = vec(name_from(&NAMES), 0..3);
    let parts = (id(), names, swarm_id(), labels(), host_config(shares), bindings(), exposed());
    (parts, lineage(), 0..5_u8).prop_map(|(parts, lineage, state)| {
        let (id, names, swarm_id, mut labels, host, given, exposed) = parts;
        if let Some(swarm_id) = swarm_id {
            labels.insert("com.docker.swarm.id".to_owned(), swarm_id.into());
        }
        if let Some(lineage) = lineage {
            labels.insert(LINEAGE.to_owned(), lineage.into());
        }
        let names: Vec<String> = names.iter().map(|name| format!("/{name}")).collect();
        let (state, running, since) = match state {
            ..2 => ("exited", false, "2026-01-01T00:00:01Z"),
            2 => ("created", false, "0001-01-01T00:00:00Z"),
            _ => ("running", true, "2026-01-01T00:00:01Z"),
        };
        Container {
            row: json!({"Id": id, "Names": names, "State": state}),
            inspect: json!({
                "Id": id, "Created": "2026-01-01T00:00:00Z",
                "State": {"Running": running, "StartedAt": since},
                "Config": {"Image": "nginx", "Labels": labels, "ExposedPorts": exposed},
                "HostConfig": host,
                "NetworkSettings": {"Ports": given},
            }),
        }
    })
}

/// What an engine answers to `/info`.
pub fn info() -> impl Strategy<Value = Value> {
    let label = select(vec![
        "zone=z1",
        "zone=z2",
        "zone=",
        "storage=ssd",
        "storage=a=b",
        "containerslots=1",
        "containerslots=3",
        "containerslots=+2",
        "containerslots=many",
        "containerslots=-1",
        "node=node-2",
        "ostype=windows",
    ]);
    let labels = option::of(vec(label, 0..4));
    let name = prop_oneof![12 => select(&NODE_NAMES[..]), 1 => Just("")];
    let parts = (select(vec!["E1", "E2", "E3"]), name, 1..6_i64, 100..1000_i64, labels);
    (parts, any::<bool>()).prop_map(|((id, name, cpus, memory, labels), linux)| {
        json!({
            "ID": id, "Name": name, "NCPU": cpus, "MemTotal": memory, "Driver": "overlay2",
            "KernelVersion": "6.1.0", "OperatingSystem": "",
            "OSType": if linux { "linux" } else { "" }, "Labels": labels,
        })
    })
}

/// An engine's image list.
pub fn images() -> impl Strategy<Value = Vec<Value>> {
    let image = (id(), option::of(vec(select(&IMAGES[..]), 0..3)))
        .prop_map(|(id, tags)| json!({"Id": format!("sha256:{id}"), "RepoTags": tags}));
    vec(image, 0..3)
}

fn engine() -> impl Strategy<Value = Engine> {
    let failures = prop_oneof![4 => Just(0), 3 => 0..5_u32];
    let parts = (info(), any::<u8>(), failures, vec(container(), 0..4), images());
    parts.prop_map(|(info, registered, failures, mut containers, images)| {
        let mut ids = Vec::new();
        containers.retain(|container: &Container| {
            let new = !ids.contains(&container.id().to_owned());
            ids.push(container.id().to_owned());
            new
        });
        // Zero, towards which cases shrink, is a registered engine.
        let registered = registered < 230;
        Engine { addr: String::new(), info, registered, failures, containers, images }
    })
}

/// A cluster of no to four engines and up to three creates under way.
pub fn world() -> impl Strategy<Value = World> {
    let engines = prop_oneof![1 => vec(engine(), 0..1), 20 => vec(engine(), 1..5)];
    let create = (id(), request_name(), create_body(), any::<Index>());
    let overcommit = prop_oneof![3 => Just(0), 1 => -60..60_i64];
    (engines, vec(create, 0..4), overcommit, 1..5_u32).prop_map(
        |(mut engines, creates, overcommit, failure_retry)| {
            for (number, engine) in engines.iter_mut().enumerate() {
                engine.addr = addr(number);
            }
            let creates = creates.into_iter().filter(|_| !engines.is_empty());
            let creates = creates.map(|(swarm_id, name, body, place)| {
                let addr = engines[place.index(engines.len())].addr.clone();
                Create { swarm_id, name, body, addr }
            });
            World { overcommit, failure_retry, creates: creates.collect(), engines }
        },
    )
}

/// A name for a container, or none.
pub fn request_name() -> impl Strategy<Value = String> {
    prop_oneof![1 => Just(String::new()), 3 => name_from(&NAMES)]
}

/// What a client sends to create a container.
pub fn create_body() -> impl Strategy<Value = Value> {
    body(&KINDS, 1, 3)
}

/// One that asks for little, so that clusters fill.
pub fn modest_body() -> impl Strategy<Value = Value> {
    prop_oneof![3 => body(&KINDS, 1, 1), 1 => body(&KINDS, 1, 2)].prop_map(|mut body| {
        body["Memory"] = 0.into();
        body["HostConfig"]["Memory"] =
            (body["HostConfig"]["Memory"].as_i64().expect("generated as one") / 2).into();
        body
    })
}

/// A create body with up to `most` expressions of these kinds in its environment, and with
/// dependencies as `often`.
fn body(kinds: &'static [&'static str], often: u32, most: usize) -> impl Strategy<Value = Value> {
    let cpus = prop_oneof![8 => Just(0), 8 => 1..4_i64, 1 => Just(i64::MAX)];
    let one = move || select(kinds).prop_flat_map(|kind| (Just(kind), expression(kind)));
    let kept = select(kinds).prop_flat_map(|kind| (Just(kind), vec(expression(kind), 0..3)));
    let kept = prop_oneof![5 => Just(Vec::new()), 1 => vec(kept, 1..3)];
    let containers = |all: Vec<&'static str>| {
        let some = vec(select(all), 1..3);
        prop_oneof![5 => Just(Vec::new()), often => some]
    };
    let volumes = containers(vec!["web", "db:ro", "abcdefabcdef", "node-1/a", "a:rw", ":rw"]);
    let links = containers(vec!["web:w", "db", "ab:x", "f", "web-1:x", "a", "E1"]);
    let old = prop_oneof![6 => Just(0), 1 => 1..500_i64];
    let parts = (host_config(cpus), exposed(), labels(), vec(one(), 0..most), kept);
    (parts, volumes, links, old, lineage()).prop_map(|(parts, volumes, links, old, lineage)| {
        let (mut host, exposed, mut labels, env, kept) = parts;
        if let Some(lineage) = lineage {
            labels.insert(LINEAGE.to_owned(), lineage.into());
        }
        for (kind, list) in kept {
            // What is no list of texts counts as an empty one.
            let text = if list.is_empty() { "oops".to_owned() } else { json!(list).to_string() };
            labels.insert(label_of(kind), text.into());
        }
        host["VolumesFrom"] = json!(volumes);
        host["Links"] = json!(links);
        let mut env: Vec<String> =
            env.into_iter().map(|(kind, expression)| format!("{kind}:{expression}")).collect();
        env.push("PATH=constraint:x".to_owned());
        json!({
            "Image": "nginx", "Env": env, "Labels": labels, "ExposedPorts": exposed,
            "HostConfig": host, "Memory": old,
        })
    })
}

/// The label that keeps expressions of this kind.
pub fn label_of(kind: &str) -> String {
    let plural = match kind {
        "affinity" => "affinities",
        "constraint" => "constraints",
        _ => "whitelists",
    };
    format!("com.docker.swarm.{plural}")
}

/// A create body that asks one filter only.
pub fn body_for(filter: &'static str) -> impl Strategy<Value = Value> {
    let (kinds, most) = match KINDS.iter().position(|kind| *kind == filter) {
        Some(place) => (&KINDS[place..=place], 4),
        None => (&KINDS[..1], 1),
    };
    body(kinds, 5, most).prop_map(move |mut body| {
        if filter != "port" {
            body["ExposedPorts"] = Value::Null;
            body["HostConfig"]["PortBindings"] = Value::Null;
        }
        if filter != "dependency" {
            body["HostConfig"]["VolumesFrom"] = Value::Null;
            body["HostConfig"]["Links"] = Value::Null;
        }
        body
    })
}

/// An expression, mostly one that means something to a filter.
pub fn expression(kind: &str) -> impl Strategy<Value = String> + use<> {
    let keys = match kind {
        "affinity" => vec!["container", "container", "image", "tier", "zone"],
        "constraint" => vec!["node", "node", "zone", "storage", "ostype"],
        _ => vec!["node"],
    };
    let odd = vec!["", "z", "9z", "Zone", "t.i-e_r", "foo!=a", "com.docker.swarm.id", "a b"];
    let key = prop_oneof![50 => select(keys), 1 => select(odd)];
    let operator = prop_oneof![
        20 => Just("=="),
        10 => Just("!="),
        3 => Just("="),
        1 => select(vec!["", "<=", "=!", "==="]),
    ];
    let soft = prop_oneof![40 => Just(""), 20 => Just("~"), 1 => Just("~~")];
    (key, operator, soft).prop_flat_map(|(key, operator, soft)| {
        let start = format!("{key}{operator}{soft}");
        let likely = match key {
            "container" => select(vec!["web", "db", "a", "ab", "web-1", "ab0*", "*eb", "/^a/"]),
            "image" => {
                select(vec!["nginx", "nginx:*", "reg:5000/*", "reg:5000/nginx", "sha256:a*"])
            }
            "node" => select(vec![
                "node-*",
                "node-1|node-2|n",
                "node2|node02|node10",
                "E1*",
                "/2/",
                "*.3:2375",
            ]),
            _ => select(vec!["z1", "z*", "web", "*", "ssd", "linux", "/./", "a=b"]),
        };
        prop_oneof![5 => likely.prop_map(str::to_owned), 1 => value()]
            .prop_map(move |value| format!("{start}{value}"))
    })
}

/// A value: something that exists, a pattern of it, or a heap of characters.
pub fn value() -> impl Strategy<Value = String> {
    let exists = select(vec![
        "z1",
        "z2",
        "ssd",
        "a=b",
        "web",
        "db",
        "web-1",
        "node-1",
        "node10",
        "n",
        "linux",
        "nginx",
        "nginx:1.2",
        "reg:5000/nginx",
        "reg:5000/nginx:1",
        "E1|10.0.0.3:2375",
        "node-1|node10",
    ]);
    let pattern = select(vec![
        "node*",
        "*1",
        "n?ode-1",
        "E1*",
        "a*b",
        "*",
        "z.",
        "reg:5000/*",
        "sha256:ab*",
        "abcdef*",
        "/node-[12]/",
        "/(?i)NODE/",
        "/^z1$/",
        "/",
        "//",
        "/z/",
        "z1|x",
        "(web|db)",
        "[",
        "/(/",
        "/\\d+/",
        "/[^a-m]ode/",
        "",
        "a,b",
        "=web",
        "!web",
        "node-2||n",
    ]);
    prop_oneof![
        3 => exists.prop_map(str::to_owned),
        2 => pattern.prop_map(str::to_owned),
        1 => "/?[a-dnz12:\\-. *?+()|\\[\\]\\\\^$/]{1,6}/?",
    ]
}

/// Some of the filters in any order.
pub fn filters() -> impl Strategy<Value = Vec<String>> {
    let all: Vec<String> =
        swarm::scheduler::Filter::ALL.iter().map(|filter| filter.as_str().to_owned()).collect();
    prop_oneof![
        2 => Just(all.clone()),
        1 => proptest::sample::subsequence(all.clone(), 0..=all.len()).prop_shuffle(),
    ]
}

/// The name of a strategy.
pub fn strategy() -> impl Strategy<Value = &'static str> {
    select(vec!["spread", "binpack", "random"])
}
