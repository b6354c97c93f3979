//! Query strings, and the parameters all lists share.

use std::collections::BTreeMap;

use hyper::StatusCode;
use percent_encoding::percent_decode_str;
use regex::Regex;
use serde_json::{Map, Value};

use super::error::ApiError;

/// The decoded parameters of a request, in order.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(raw: Option<&str>) -> Self {
        let pairs = raw.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        Self(pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(decode).collect())
    }

    /// The first value of a parameter; empty when absent.
    pub(super) fn text(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }

    /// All values of a parameter.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.0.iter().filter(move |(key, _)| key == name);
        named.map(|(_, value)| value.as_str())
    }

    /// A truth value: false for nothing, `0`, `no`, `false`, `none`; true for anything else.
    pub(super) fn flag(&self, name: &str) -> bool {
        let value = self.text(name).trim().to_ascii_lowercase();
        !matches!(value.as_str(), "" | "0" | "no" | "false" | "none")
    }

    /// The `filters` parameter, with only keys of `known`. (The classic manager ignores the others:
    /// `docker rm $(docker ps -q --filter …)` then removes everything.)
    ///
    /// # Errors
    /// Status `malformed` when it is not filters at all, 400 for an unknown key.
    pub(super) fn filters(
        &self,
        known: &[&str],
        malformed: StatusCode,
    ) -> Result<Filters, ApiError> {
        let filters = Filters::parse(self.text("filters"))
            .map_err(|e| ApiError::new(malformed, format!("invalid filters: {e}")))?;
        match filters.0.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(ApiError::bad_request(format!("invalid filter '{key}'"))),
            None => Ok(filters),
        }
    }
}

fn decode((key, value): (&str, &str)) -> (String, String) {
    let decode =
        |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    (decode(key), decode(value))
}

/// Filters of a list: values by key.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Filters(BTreeMap<String, Vec<String>>);

impl Filters {
    /// Reads `{"key":["value"]}` or the older `{"key":{"value":true}}`.
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let keys: Map<String, Value> = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let mut filters = BTreeMap::new();
        for (key, values) in keys {
            let values = match values {
                Value::Array(values) => {
                    values.iter().filter_map(Value::as_str).map(str::to_owned).collect()
                }
                Value::Object(values) => values.keys().cloned().collect(),
                _ => return Err(format!("the values of '{key}' are not a list")),
            };
            filters.insert(key, values);
        }
        Ok(Self(filters))
    }

    /// The values of a filter; none when it was not given.
    pub(super) fn values(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// Whether the filter was given at all.
    pub(super) fn has(&self, key: &str) -> bool {
        !self.values(key).is_empty()
    }

    /// Whether the filter is absent or `accept` takes one of its values.
    pub(super) fn any(&self, key: &str, accept: impl Fn(&str) -> bool) -> bool {
        !self.has(key) || self.values(key).iter().any(|value| accept(value))
    }

    /// Whether `text` equals a value of the filter, or a value found as a pattern in it.
    pub(super) fn matches(&self, key: &str, text: &str) -> bool {
        self.any(key, |value| {
            value == text || Regex::new(value).is_ok_and(|regex| regex.is_match(text))
        })
    }

    /// Whether the labels have every `key` or `key=value` of the filter `label`.
    pub(super) fn labels<'a>(&self, get: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.values("label").iter().all(|wanted| match wanted.split_once('=') {
            Some((key, value)) => get(key) == Some(value),
            None => get(wanted).is_some(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = Query::parse(Some("all=1&name=a%2Fb+c&empty&x=False&y=none&z=yes&name=2"));
        assert_eq!(query.text("name"), "a/b c");
        assert!(query.flag("all") && query.flag("z"));
        assert!(!query.flag("empty") && !query.flag("x") && !query.flag("y") && !query.flag("w"));
    }

    #[test]
    fn filters_come_in_two_forms() {
        for text in [r#"{"name":["a"]}"#, r#"{"name":{"a":true}}"#] {
            let filters = Filters::parse(text).unwrap();
            assert_eq!(filters.values("name"), ["a"]);
            assert!(filters.matches("name", "cat") && !filters.matches("name", "dog"));
            assert!(filters.matches("absent", "anything"));
        }
        for bad in ["[", "[]", r#"{"a":1}"#] {
            let query = Query(vec![("filters".into(), bad.into())]);
            let error = query.filters(&["a"], StatusCode::INTERNAL_SERVER_ERROR).unwrap_err();
            assert_eq!(error.status, StatusCode::INTERNAL_SERVER_ERROR);
            assert!(error.message.starts_with("invalid filters: "), "{error}");
        }
    }

    #[test]
    fn an_unknown_filter_is_refused() {
        let query = Query::parse(Some("filters=%7B%22x%22%3A%5B%221%22%5D%7D"));
        let filters = |known| query.filters(&[known], StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(filters("y").unwrap_err(), ApiError::bad_request("invalid filter 'x'"));
        assert!(filters("x").unwrap().has("x"));
    }

    #[test]
    fn all_wanted_labels_must_be_there() {
        let filters = Filters::parse(r#"{"label":["a","b=1"]}"#).unwrap();
        let labels = |b: &'static str| {
            move |key: &str| match key {
                "a" => Some("x"),
                "b" => Some(b),
                _ => None,
            }
        };
        assert!(filters.labels(labels("1")));
        assert!(!filters.labels(labels("2")));
    }
}
