//! Reading the few fields we need out of raw engine JSON. Whatever is missing, null or of an
//! unexpected type reads as empty: engines of many versions answer, and one odd field must not
//! hide a whole container.

use serde_json::{Map, Value};

/// The text at `pointer`, or an empty one.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The integer at `pointer`, or 0. Numbers beyond `i64` saturate.
pub(crate) fn int(value: &Value, pointer: &str) -> i64 {
    match value.pointer(pointer) {
        Some(Value::Number(number)) => number
            .as_i64()
            .or_else(|| number.as_u64().map(|_| i64::MAX))
            // A float-to-integer cast saturates, which is what is wanted here.
            .unwrap_or_else(|| number.as_f64().unwrap_or_default() as i64),
        _ => 0,
    }
}

/// The flag at `pointer`, or `false`.
pub(crate) fn flag(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool).unwrap_or_default()
}

/// The members of the object at `pointer`, or none.
pub(crate) fn members<'a>(
    value: &'a Value,
    pointer: &str,
) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let map = value.pointer(pointer).and_then(Value::as_object);
    map.into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// The texts in the array at `pointer`, or none.
pub(crate) fn texts<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a str> {
    let array = value.pointer(pointer).and_then(Value::as_array);
    array.into_iter().flatten().filter_map(Value::as_str)
}

/// The object at `key` of `parent`, made empty if it is missing or something else.
pub(crate) fn object_mut<'a>(
    parent: &'a mut Map<String, Value>,
    key: &str,
) -> &'a mut Map<String, Value> {
    let slot = parent.entry(key).or_insert(Value::Null);
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    slot.as_object_mut().expect("made an object just above")
}
