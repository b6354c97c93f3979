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
        self.constraints.iter().any(|text| {
            // One `=` says the same.
            let value = text.strip_prefix("node=");
            let value = value.map(|value| value.strip_prefix('=').unwrap_or(value));
            value.is_some_and(|node| !node.starts_with('~'))
        })
    }

    /// Adds a constraint of the manager's own, also to the label in `body`, so that it still holds
    /// when the container is rescheduled.
    pub fn add_constraint(&mut self, expression: &str, body: &mut Value) {
        self.constraints.push(expression.to_owned());
        let list = to_label(&self.constraints);
        let facts = std::mem::take(&mut self.facts);
        self.facts = facts.with_label(CONSTRAINTS.label, &list);
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: Value) -> (Request, Value) {
        let mut body = body;
        let request = Request::from_create("/web", &mut body).expect("a fine request");
        (request, body)
    }

    #[test]
    fn expressions_move_from_the_environment_to_labels() {
        let (request, body) = read(json!({
            "Env": ["A=constraint:x", "constraint:storage==ssd", "affinity:container==a:b", "B=1",
                    "constraint:region!=<us>", "Constraint:a==b", "whitelist:node==n1|n2"],
            "Labels": {"a": "b", "com.docker.swarm.constraints": "[ \"zone==z1\" ]"},
            "Unknown": {"kept": [1]},
        }));
        assert_eq!(request.constraints, ["zone==z1", "storage==ssd", "region!=<us>"]);
        assert_eq!(request.affinities, ["container==a:b"]);
        assert_eq!(request.whitelists, ["node==n1|n2"]);
        let expected = json!({
            "Env": ["A=constraint:x", "B=1", "Constraint:a==b"],
            "Labels": {
                "a": "b",
                "com.docker.swarm.affinities": "[\"container==a:b\"]",
                "com.docker.swarm.constraints":
                    "[\"zone==z1\",\"storage==ssd\",\"region!=\\u003cus\\u003e\"]",
                "com.docker.swarm.whitelists": "[\"node==n1|n2\"]",
            },
            "Unknown": {"kept": [1]},
        });
        assert_eq!(body, expected);
        assert_eq!(request.facts.label("a"), Some("b"));
        // What a restarted manager reads back from the labels is the same.
        let (again, _) = read(body);
        assert_eq!(again.constraints, request.constraints);
    }

    #[test]
    fn an_emptied_environment_is_null_and_missing_labels_are_made() {
        let (_, body) = read(json!({"Env": ["constraint:aa==b"], "Labels": null}));
        let labels = json!({"com.docker.swarm.constraints": "[\"aa==b\"]"});
        assert_eq!(body, json!({"Env": null, "Labels": labels}));
        let untouched = json!({"Image": "nginx", "Env": [], "Labels": null});
        assert_eq!(read(untouched.clone()).1, untouched);
    }

    #[test]
    fn a_label_that_is_no_list_counts_as_empty() {
        let odd = json!({"Labels": {"com.docker.swarm.constraints": "{\"no\": 1}"}});
        let (request, body) = read(odd.clone());
        assert_eq!((request.constraints, &body), (vec![], &odd));
        let mut with_env = odd;
        with_env["Env"] = json!(["constraint:aa==b"]);
        let (_, body) = read(with_env);
        assert_eq!(body["Labels"]["com.docker.swarm.constraints"], "[\"aa==b\"]");
    }

    #[test]
    fn reschedule_policies_are_checked() {
        let policies = |env: &[&str]| {
            let mut body = json!({"Env": env});
            Request::from_create("", &mut body).map(|_| body)
        };
        let text = "invalid reschedule policy: foo";
        assert_eq!(policies(&["reschedule:foo"]), Err(text.to_owned()));
        let two = ["reschedule:off", "reschedule:on-node-failure"];
        assert_eq!(policies(&two), Err("too many reschedule policies".to_owned()));
        for policy in ["off", "on-node-failure"] {
            let body = policies(&[&format!("reschedule:{policy}")]).expect("a known policy");
            let label = &body["Labels"]["com.docker.swarm.reschedule-policies"];
            assert_eq!(label, &format!("[\"{policy}\"]"));
        }
    }

    #[test]
    fn resources_of_old_clients_move_to_the_host_config() {
        let (request, body) = read(json!({
            "Memory": 512, "MemorySwap": 0, "CpuShares": 2, "Cpuset": "0,1",
            "HostConfig": {"Memory": 1, "MemorySwap": -1},
        }));
        let host = json!({"Memory": 512, "MemorySwap": -1, "CpuShares": 2, "CpusetCpus": "0,1"});
        assert_eq!(body, json!({"HostConfig": host}));
        assert_eq!((request.facts.cpus, request.facts.memory), (2, 512));
    }

    #[test]
    fn a_constraint_of_the_managers_own_is_kept_in_the_label() {
        let (mut request, mut body) = read(json!({"Env": ["constraint:zone==z1"]}));
        request.add_constraint("ostype==linux", &mut body);
        let label = "[\"zone==z1\",\"ostype==linux\"]";
        assert_eq!(body["Labels"]["com.docker.swarm.constraints"], label);
        assert_eq!(request.facts.label("com.docker.swarm.constraints"), Some(label));
        assert_eq!(request.constraints, ["zone==z1", "ostype==linux"]);
    }

    #[test]
    fn only_a_hard_equals_nails_to_a_node() {
        let nailed = |text: &str| {
            let request = Request { constraints: vec![text.to_owned()], ..Request::default() };
            request.has_hard_node_constraint()
        };
        assert!(nailed("node==node-1") && nailed("node=node-1") && nailed("node===~x"));
        for text in ["node==~node-1", "node=~node-1", "node!=node-1", "nodes==a", "zone==node==a"] {
            assert!(!nailed(text), "{text}");
        }
    }

    #[test]
    fn a_body_that_is_no_object_is_refused() {
        for mut body in [json!(null), json!([]), json!("x")] {
            assert!(Request::from_create("", &mut body).is_err());
        }
    }

    #[test]
    fn dependencies_and_bindings_are_read_from_the_host_config() {
        let (request, _) = read(json!({"HostConfig": {
            "VolumesFrom": ["data:ro"], "Links": ["db:database"],
            "NetworkMode": "container:proxy", "PortBindings": {"80/tcp": [{"HostPort": ""}]},
        }}));
        let shown: Vec<_> =
            request.dependencies.iter().map(|d| (d.flag.as_str(), d.container.as_str())).collect();
        let expected = [
            ("--volumes-from=data:ro", "data"),
            ("--link=db:database", "db"),
            ("--net=container:proxy", "proxy"),
        ];
        assert_eq!(shown, expected);
        assert_eq!(request.bindings, [HostPort { ip: String::new(), port: String::new() }]);
        assert!(request.facts.ports().next().is_none());
        assert_eq!((request.name.as_str(), request.facts.names().next()), ("web", Some("/web")));
    }
}
