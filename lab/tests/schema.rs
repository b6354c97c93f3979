//! The JSON schema says what the reader says: an editor that uses it shows no mistake in a good
//! file, and does show one in a file with an unknown key, a wrong type or an unknown word.

use serde_json::{Map, Value};

/// Whether a value satisfies a schema, with the keywords that our schema uses. Patterns and
/// formats are not looked at. The error is the path of a value that does not.
fn check(value: &Value, schema: &Value, root: &Value, path: &str) -> Result<(), String> {
    let Some(rules) = schema.as_object() else { return Ok(()) };
    for (keyword, rule) in rules {
        let good = match keyword.as_str() {
            "$ref" => {
                let pointer = rule.as_str().and_then(|text| text.strip_prefix('#'));
                let target = pointer.and_then(|pointer| root.pointer(pointer));
                check(value, target.expect("every reference has its definition"), root, path)?;
                true
            }
            "type" => match rule {
                Value::Array(names) => names.iter().any(|name| has_type(value, name)),
                name => has_type(value, name),
            },
            "enum" => rule.as_array().is_some_and(|words| words.contains(value)),
            "anyOf" => {
                let mut options = rule.as_array().into_iter().flatten();
                options.any(|option| check(value, option, root, path).is_ok())
            }
            "required" => {
                let keys = rule.as_array().into_iter().flatten();
                let has = |key: &Value| value.get(key.as_str().unwrap_or_default()).is_some();
                !value.is_object() || keys.clone().all(has)
            }
            "properties" | "additionalProperties" => {
                for (key, inner) in value.as_object().into_iter().flatten() {
                    let known = rules.get("properties").and_then(|known| known.get(key));
                    let rule = known.unwrap_or(&rules["additionalProperties"]);
                    let path = format!("{path}/{key}");
                    if *rule == Value::Bool(false) {
                        return Err(path);
                    }
                    check(inner, rule, root, &path)?;
                }
                true
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(item, rule, root, &format!("{path}/{index}"))?;
                }
                true
            }
            "minProperties" => size(value) >= rule.as_u64(),
            "maxProperties" => size(value) <= rule.as_u64(),
            "minimum" => value.as_f64().is_none_or(|number| Some(number) >= rule.as_f64()),
            "maximum" => value.as_f64().is_none_or(|number| Some(number) <= rule.as_f64()),
            "$schema" | "$defs" | "title" | "description" | "examples" | "format" | "pattern" => {
                true
            }
            other => panic!("the schema uses `{other}`, which this test does not know"),
        };
        if !good {
            return Err(format!("{path}: {keyword}"));
        }
    }
    Ok(())
}

fn has_type(value: &Value, name: &Value) -> bool {
    match name.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("null") => value.is_null(),
        other => panic!("unknown type {other:?}"),
    }
}

fn size(value: &Value) -> Option<u64> {
    value.as_object().map(Map::len).and_then(|len| u64::try_from(len).ok())
}

fn against_schema(yaml: &str) -> Result<(), String> {
    let schema: Value = serde_json::from_str(&lab::scenario::schema()).expect("the schema is JSON");
    let value: Value = serde_saphyr::from_str(yaml).map_err(|error| error.to_string())?;
    check(&value, &schema, &schema, "")
}

#[test]
fn the_reference_scenario_satisfies_the_schema() {
    let text = include_str!("../../scenarios/vagrant4.yaml");
    assert_eq!(against_schema(text), Ok(()));
}

#[test]
fn bad_keys_types_and_words_do_not_satisfy_the_schema() {
    macro_rules! bad {
        ($($name:literal: $path:literal,)*) => {
            [$(($name, include_str!(concat!("bad/", $name, ".yaml")), $path)),*]
        };
    }
    let files = bad! {
        "key-host": "/cluster/hosts/boss/manager/prot",
        "key-container": "/steps/0/run/env",
        "key-verb": "/steps/0/rnu",
        "key-later-version": "/steps/0/exec",
        "missing-fields": "/steps/0/run: required",
        "type-wrong": "/steps/0/wait/healthy: type",
        "type-host": "/cluster/tls: type",
        "word-cluster": "/cluster/hosts/boss/store: enum",
        "unit-memory": "/steps/0/run/memory: type",
    };
    for (name, text, path) in files {
        assert_eq!(against_schema(text), Err(path.to_owned()), "{name}");
    }
}
