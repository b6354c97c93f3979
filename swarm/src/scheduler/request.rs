//! What a create asks of the scheduler, and how its expressions are kept.

use serde_json::{Map, Value};

use crate::cluster::{Facts, HostPort, host_ports, json};

const CONSTRAINTS: Kind = Kind { prefix: "constraint", label: "com.docker.swarm.constraints" };
const AFFINITIES: Kind = Kind { prefix: "affinity", label: "com.docker.swarm.affinities" };
const WHITELISTS: Kind = Kind { prefix: "whitelist", label: "com.docker.swarm.whitelists" };
const RESCHEDULES: Kind =
    Kind { prefix: "reschedule", label: "com.docker.swarm.reschedule-policies" };

/// A kind of expression: the word before the colon in the environment, and the label that keeps
/// the list.
struct Kind {
    prefix: &'static str,
    label: &'static str,
}

/// A container that must be on the same node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// How it was asked for, such as `--link=db:database`.
    pub flag: String,
    /// The container's name or ID.
    pub container: String,
}

/// What is asked of the scheduler.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The container's name without slash; may be empty.
    pub name: String,
    /// Ports, resources, labels, image of the container to be.
    pub facts: Facts,
    /// Constraint expressions, as typed.
    pub constraints: Vec<String>,
    /// Affinity expressions, as typed.
    pub affinities: Vec<String>,
    /// Whitelist expressions, as typed.
    pub whitelists: Vec<String>,
    /// Containers that must be on the same node.
    pub dependencies: Vec<Dependency>,
    /// Requested host port bindings; an empty port means any free one.
    pub bindings: Vec<HostPort>,
}

impl Request {
    /// Reads a create request and rewrites `body` into what an engine may see: expressions move
    /// from `Env` to labels, and the resources of old clients from the top to `HostConfig`.
    /// Everything else stays as the client sent it.
    ///
    /// # Errors
    /// The body is no object, or the reschedule policy is wrong: the classic manager's text.
    pub fn from_create(name: &str, body: &mut Value) -> Result<Self, String> {
        let Some(members) = body.as_object_mut() else {
            return Err("the container's configuration is not a JSON object".to_owned());
        };
        move_old_resources(members);
        let affinities = take_expressions(members, &AFFINITIES);
        let constraints = take_expressions(members, &CONSTRAINTS);
        let reschedules = take_expressions(members, &RESCHEDULES);
        let whitelists = take_expressions(members, &WHITELISTS);
        match reschedules.as_slice() {
            [] => {}
            [policy] if policy == "off" || policy == "on-node-failure" => {}
            [policy] => return Err(format!("invalid reschedule policy: {policy}")),
            _ => return Err("too many reschedule policies".to_owned()),
        }
        let name = name.strip_prefix('/').unwrap_or(name).to_owned();
        let bindings = json::members(body, "/HostConfig/PortBindings")
            .flat_map(|(_, bindings)| host_ports(bindings))
            .collect();
        Ok(Self {
            facts: Facts::read_create(&name, body),
            name,
            constraints,
            affinities,
            whitelists,
            dependencies: dependencies(body),
            bindings,
        })
    }

    /// Whether a constraint nails it to a node.
    #[must_use]
    pub fn has_hard_node_constraint(&self) -> bool {
        self.constraints
            .iter()
            .any(|text| text.strip_prefix("node==").is_some_and(|node| !node.starts_with('~')))
    }

    /// Adds a constraint of the manager's own, also to the label in `body`, so that it still holds
    /// when the container is rescheduled.
    pub fn add_constraint(&mut self, expression: &str, body: &mut Value) {
        self.constraints.push(expression.to_owned());
        let list = to_label(&self.constraints);
        self.facts.labels.insert(CONSTRAINTS.label.to_owned(), list.clone());
        if let Some(members) = body.as_object_mut() {
            set_label(members, CONSTRAINTS.label, list);
        }
    }
}

/// Clients before API 1.18 put resources at the top; what they set there wins. Engines of that
/// time still read them there, so they must go, or they would undo what we make of them.
fn move_old_resources(body: &mut Map<String, Value>) {
    let names = [
        ("Memory", "Memory"),
        ("MemorySwap", "MemorySwap"),
        ("CpuShares", "CpuShares"),
        ("Cpuset", "CpusetCpus"),
    ];
    for (old, new) in names {
        let Some(value) = body.shift_remove(old) else { continue };
        if value != 0 && value != "" && !value.is_null() {
            json::object_mut(body, "HostConfig").insert(new.to_owned(), value);
        }
    }
}

/// Takes the expressions of one kind out of `Env` and adds them to those in the label.
fn take_expressions(body: &mut Map<String, Value>, kind: &Kind) -> Vec<String> {
    let labels = body.get("Labels").and_then(Value::as_object);
    let label = labels.and_then(|labels| labels.get(kind.label)).and_then(Value::as_str);
    // A label that is no such list counts as an empty one and is left alone.
    let mut list: Vec<String> =
        label.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    if let Some(env) = body.get_mut("Env").and_then(Value::as_array_mut) {
        let before = list.len();
        env.retain(|entry| {
            let expression = entry.as_str().and_then(|entry| {
                let (prefix, expression) = entry.split_once(':')?;
                (prefix == kind.prefix).then(|| expression.to_owned())
            });
            let keep = expression.is_none();
            list.extend(expression);
            keep
        });
        if env.is_empty() && list.len() > before {
            body.insert("Env".to_owned(), Value::Null);
        }
    }
    if !list.is_empty() {
        set_label(body, kind.label, to_label(&list));
    }
    list
}

fn set_label(body: &mut Map<String, Value>, label: &str, value: String) {
    json::object_mut(body, "Labels").insert(label.to_owned(), Value::String(value));
}

/// The list as compact JSON with the characters escaped that Go's encoder escapes, so that labels
/// read the same whichever manager wrote them.
fn to_label(list: &[String]) -> String {
    let text = Value::from(list.to_vec()).to_string();
    let escapes = [
        ('<', "\\u003c"),
        ('>', "\\u003e"),
        ('&', "\\u0026"),
        ('\u{2028}', "\\u2028"),
        ('\u{2029}', "\\u2029"),
    ];
    escapes.iter().fold(text, |text, (from, to)| text.replace(*from, to))
}

fn dependencies(body: &Value) -> Vec<Dependency> {
    let listed = |flag: &str, pointer: &str| -> Vec<Dependency> {
        let entries = json::texts(body, pointer).map(|entry| Dependency {
            flag: format!("{flag}={entry}"),
            container: entry.split(':').next().unwrap_or(entry).to_owned(),
        });
        entries.collect()
    };
    let mut all = listed("--volumes-from", "/HostConfig/VolumesFrom");
    all.extend(listed("--link", "/HostConfig/Links"));
    let mode = json::text(body, "/HostConfig/NetworkMode");
    if let Some(container) = mode.strip_prefix("container:") {
        all.push(Dependency { flag: format!("--net={mode}"), container: container.to_owned() });
    }
    all
}
