//! Do two runs tell the same story? Placements, names, states and the store's content must agree;
//! times, identifiers and host ports chosen by engines may differ. So may the ports that tell TLS from
//! plain, when one run had TLS and the other had not.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Value, json};

use crate::event::{self, Event};
use crate::scenario::cluster::engine_port;

/// One point of a story, and where it stands in its log.
#[derive(Clone, Debug, PartialEq)]
struct Point {
    /// Number of the step, from 1.
    step: u64,
    /// `step.item` or `cluster.state`.
    kind: String,
    /// What happened, without what may differ.
    told: Value,
}

/// The first point where two stories part.
#[derive(Debug, PartialEq)]
pub struct Difference {
    /// Number of the step, from 1.
    pub step: u64,
    /// What differs, such as `containers[2].node`.
    pub place: String,
    /// What each log says there.
    pub told: [String; 2],
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {}, {}: {} | {}", self.step, self.place, self.told[0], self.told[1])
    }
}

/// Reads a log.
///
/// # Errors
/// The line that could not be read, and why.
pub fn read(text: &str) -> Result<Vec<Event>, String> {
    let mut lines = text.lines().enumerate();
    let header = lines.next().map(|(_, line)| line).unwrap_or_default();
    let header: Value = serde_json::from_str(header)
        .map_err(|_| "line 1: not the header of an event log".to_owned())?;
    match header["swarmlab_log"].as_u64() {
        Some(event::VERSION) => {}
        Some(other) => return Err(format!("line 1: unknown version {other} of the log format")),
        None => return Err("line 1: not the header of an event log".to_owned()),
    }
    lines
        .map(|(n, line)| Event::parse(line).map_err(|why| format!("line {}: {why}", n + 1)))
        .collect()
}

/// The first difference between the stories of two logs; `None` if they are the same story.
#[must_use]
pub fn first_difference(a: &[Event], b: &[Event]) -> Option<Difference> {
    let with_ports = tls(a) == tls(b);
    let (mut a, mut b) = (story(a), story(b));
    if !with_ports {
        a.iter_mut().chain(&mut b).for_each(|point| hide_ports(&mut point.told));
    }
    for (left, right) in a.iter().zip(&b) {
        if left.step != right.step || left.kind != right.kind {
            let told = [left, right].map(|p| format!("{} of step {}", p.kind, p.step));
            return Some(Difference { step: left.step, place: "what happened".into(), told });
        }
        if let Some((place, told)) = differ(&left.told, &right.told, "") {
            return Some(Difference { step: left.step, place, told });
        }
    }
    if a.len() == b.len() {
        return None;
    }
    let end = |points: &[Point]| match points.get(a.len().min(b.len())) {
        Some(point) => format!("goes on with {} of step {}", point.kind, point.step),
        None => "ends".to_owned(),
    };
    let step = a.last().map_or(0, |p| p.step);
    Some(Difference { step, place: "the length".into(), told: [end(&a), end(&b)] })
}

/// How many points of the story a log holds.
#[must_use]
pub fn length(events: &[Event]) -> usize {
    story(events).len()
}

fn story(events: &[Event]) -> Vec<Point> {
    let told = |event: &Event| match event.kind.as_str() {
        "step.item" => {
            let field = |key: &str| event.fields.get(key).cloned().unwrap_or_default();
            Some(json!({
                "verb": field("verb"), "subject": field("subject"), "result": field("result"),
                "ok": field("ok"),
            }))
        }
        "cluster.state" => {
            let mut fields = event.fields.clone();
            fields.shift_remove("step");
            if let Some(Value::Array(nodes)) = fields.get_mut("nodes") {
                // A node that is not healthy is on its way somewhere: how far it has come when a
                // step ends is a matter of time, and what a scenario waits for is told by its steps.
                nodes.retain(|node| node["status"] == "Healthy");
                nodes.sort_by_key(|node| node["addr"].to_string());
                let healthy: BTreeSet<String> =
                    nodes.iter().filter_map(|node| Some(node["addr"].as_str()?.into())).collect();
                // The same goes for what its agent has told the store.
                if let Some(Value::Object(keys)) = fields.get_mut("store") {
                    keys.retain(|key, _| healthy.contains(key));
                }
            }
            Some(Value::Object(fields))
        }
        _ => None,
    };
    events
        .iter()
        .filter_map(|event| {
            Some(Point {
                step: event.fields.get("step").and_then(Value::as_u64).unwrap_or_default(),
                kind: event.kind.clone(),
                told: told(event)?,
            })
        })
        .collect()
}

/// What a log says of TLS.
fn tls(events: &[Event]) -> Option<&Value> {
    let start = events.iter().find(|event| event.kind == "run.start")?;
    start.fields.get("tls")
}

/// Makes an engine's address one that is the same with TLS and without.
fn hide_ports(value: &mut Value) {
    let [plain, secured] = [false, true].map(|tls| format!(":{}", engine_port(tls)));
    let hidden = |text: &str| {
        let host = text.strip_suffix(&plain).or_else(|| text.strip_suffix(&secured));
        host.map(|host| format!("{host}:*"))
    };
    match value {
        Value::String(text) => {
            if let Some(hidden) = hidden(text) {
                *text = hidden;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide_ports),
        Value::Object(fields) => {
            let entries = std::mem::take(fields);
            fields.extend(entries.into_iter().map(|(key, mut value)| {
                hide_ports(&mut value);
                (hidden(&key).unwrap_or(key), value)
            }));
        }
        _ => {}
    }
}

/// The first place where two values differ, with both sides as text.
fn differ(a: &Value, b: &Value, at: &str) -> Option<(String, [String; 2])> {
    let here = || Some((at.trim_start_matches('.').to_owned(), [a.to_string(), b.to_string()]));
    match (a, b) {
        (Value::Object(left), Value::Object(right)) => {
            let keys = left.keys().chain(right.keys().filter(|key| !left.contains_key(*key)));
            for key in keys {
                let at = format!("{at}.{key}");
                let absent = &Value::Null;
                let sides = (left.get(key).unwrap_or(absent), right.get(key).unwrap_or(absent));
                if let Some(found) = differ(sides.0, sides.1, &at) {
                    return Some(found);
                }
            }
            None
        }
        (Value::Array(left), Value::Array(right)) => {
            for (n, (a, b)) in left.iter().zip(right).enumerate() {
                if let Some(found) = differ(a, b, &format!("{at}[{n}]")) {
                    return Some(found);
                }
            }
            if left.len() == right.len() { None } else { here() }
        }
        _ if a == b => None,
        _ => here(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn item(step: u64, node: &str, took: u64) -> Event {
        let fields = json!({
            "step": step, "verb": "run", "subject": "web", "result": node, "ok": true,
            "took_us": took,
        });
        Event::new(Duration::from_micros(took), "lab", "runner", "step.item", fields)
    }

    fn state(step: u64, node: &str) -> Event {
        let fields = json!({"step": step, "containers": [{"name": "web", "node": node}]});
        Event::new(Duration::ZERO, "lab", "runner", "cluster.state", fields)
    }

    #[test]
    fn times_do_not_matter_and_placements_do() {
        let a = [item(1, "n1", 5), state(1, "n1")];
        assert_eq!(first_difference(&a, &[item(1, "n1", 900), state(1, "n1")]), None);
        let other = first_difference(&a, &[item(1, "n2", 5), state(1, "n2")]).unwrap();
        assert_eq!(other.to_string(), "step 1, result: \"n1\" | \"n2\"");
        let other = first_difference(&a, &[item(1, "n1", 5), state(1, "n2")]).unwrap();
        assert_eq!(other.place, "containers[0].node");
    }

    #[test]
    fn ports_of_engines_do_not_matter_between_tls_and_plain() {
        let run = |tls: &str, port: u16| {
            let start = json!({ "tls": tls });
            let addr = format!("10.0.0.1:{port}");
            let nodes = json!([{"addr": addr, "status": "Healthy"}]);
            let mut fields = json!({"step": 1, "nodes": nodes});
            fields["store"][format!("10.0.0.1:{port}")] = format!("10.0.0.1:{port}").into();
            let log =
                |kind: &str, fields| Event::new(Duration::ZERO, "lab", "runner", kind, fields);
            [log("run.start", start), log("cluster.state", fields)]
        };
        assert_eq!(first_difference(&run("off", 2375), &run("on", 2376)), None);
        let other = first_difference(&run("on", 2375), &run("on", 2376)).unwrap();
        assert_eq!(other.place, "nodes[0].addr");
        assert!(first_difference(&run("off", 2375), &run("on", 2377)).is_some());
    }

    #[test]
    fn nodes_count_once_they_are_healthy() {
        let announced = |nodes: Value, store: Value| {
            let fields = json!({"step": 1, "nodes": nodes, "store": store});
            [Event::new(Duration::ZERO, "lab", "runner", "cluster.state", fields)]
        };
        let with = |nodes| announced(nodes, json!({"a": "a"}));
        let node = |name: &str, status: &str| json!({"name": name, "addr": name, "status": status});
        let early = with(json!([node("a", "Healthy")]));
        let late = with(json!([node("(unknown)", "Pending"), node("a", "Healthy")]));
        assert_eq!(first_difference(&early, &late), None);
        let dead = with(json!([node("a", "Unhealthy")]));
        assert!(first_difference(&early, &dead).is_some());
        // What an agent has announced counts once the manager has made something of it.
        let both = announced(json!([node("a", "Healthy")]), json!({"a": "a", "b": "b"}));
        assert_eq!(first_difference(&early, &both), None);
        let neither = announced(json!([node("a", "Healthy")]), json!({}));
        assert!(first_difference(&early, &neither).is_some());
    }

    #[test]
    fn a_story_that_ends_early_is_another_story() {
        let a = [item(1, "n1", 5), state(1, "n1")];
        let other = first_difference(&a, &a[..1]).unwrap();
        assert_eq!(other.told, ["goes on with cluster.state of step 1", "ends"]);
    }

    #[test]
    fn a_log_without_its_header_is_refused() {
        assert!(read("{}").unwrap_err().contains("not the header"));
        assert!(read("{\"swarmlab_log\":99}").unwrap_err().contains("unknown version 99"));
    }
}
