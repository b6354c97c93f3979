//! Create requests: what they ask for, and what the engine gets to see.

use std::collections::BTreeMap;

use proptest::prelude::{Strategy, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::select;
use serde_json::json;
use swarm::scheduler::Request;

use crate::{config, generate, naive};

fn policy() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        3 => select(vec!["off", "on-node-failure"]),
        1 => select(vec!["", "on", "on-node-failure ", "a:b"]),
    ]
}

/// The texts of an object's members.
fn texts(value: &serde_json::Value) -> BTreeMap<String, String> {
    serde_json::from_value(value.clone()).expect("an object of texts")
}

proptest! {
    #![proptest_config(config())]

    /// Expressions, resources, ports and dependencies are read alike, and what is left of the
    /// environment and the labels is the same.
    #[test]
    fn requests_are_read_alike(
        mut body in generate::create_body(),
        policies in proptest::collection::vec(policy(), 0..3),
        kept in proptest::option::of(policy()),
        plain in proptest::bool::ANY,
    ) {
        let env = body["Env"].as_array_mut().expect("generated as one");
        if plain {
            env.pop();
        }
        env.extend(policies.iter().map(|policy| json!(format!("reschedule:{policy}"))));
        if let Some(kept) = kept {
            let label = "com.docker.swarm.reschedule-policies";
            body["Labels"][label] = json!([kept]).to_string().into();
        }
        let asked = naive::read_request(&body);
        let expected = match asked.reschedules.as_slice() {
            [] => Ok(()),
            [policy] if ["off", "on-node-failure"].contains(&policy.as_str()) => Ok(()),
            [policy] => Err(format!("invalid reschedule policy: {policy}")),
            _ => Err("too many reschedule policies".to_owned()),
        };
        let request = Request::from_create("web", &mut body);
        prop_assert_eq!(request.as_ref().map(|_| ()).map_err(Clone::clone), expected);
        let Ok(request) = request else { return Ok(()) };
        prop_assert_eq!(request.affinities, asked.affinities);
        prop_assert_eq!(request.constraints, asked.constraints);
        prop_assert_eq!(request.whitelists, asked.whitelists);
        prop_assert_eq!((request.facts.cpus, request.facts.memory), (asked.cpus, asked.memory));
        let bindings: Vec<_> =
            request.bindings.into_iter().map(|binding| (binding.ip, binding.port)).collect();
        prop_assert_eq!(bindings, asked.bindings);
        let dependencies: Vec<_> =
            request.dependencies.into_iter().map(|one| (one.flag, one.container)).collect();
        prop_assert_eq!(dependencies, asked.dependencies);
        prop_assert_eq!(&body["Env"], &json!(asked.env));
        prop_assert_eq!(texts(&body["Labels"]), asked.labels);
    }
}
