//! `GET /images/json`: the images of all engines, each once.

use std::cmp::Reverse;

use hyper::StatusCode;
use indexmap::IndexMap;
use serde_json::Value;

use crate::cluster::{Cluster, Node, json};
use crate::engine::ApiVersion;

use super::error::ApiError;
use super::query::{Filters, Query};
use super::system::is_named;
use super::{Api, Reply};

const FILTERS: &[&str] = &["node", "label", "reference", "dangling", "before", "since"];

impl Api {
    pub(super) fn list_images(&self, query: &Query, version: Option<ApiVersion>) -> Reply {
        let filters = query.filters(FILTERS, StatusCode::BAD_REQUEST)?;
        let mut patterns = filters.values("reference").to_vec();
        // Clients before API 1.28 name one pattern in a parameter of its own.
        let old = version.is_none_or(|version| version < ApiVersion::new(1, 28));
        if old && !query.text("filter").is_empty() {
            patterns.push(query.text("filter").to_owned());
        }
        let listing =
            Listing { all: query.flag("all"), dangling: dangling(&filters)?, patterns, filters };
        let images = self.manager.with(|cluster| listing.select(cluster))?;
        Ok(super::json(StatusCode::OK, &Value::Array(images)))
    }
}

/// Whether the filter `node` means this one: by name, or by ID with or without the address.
pub(super) fn is_node(node: &Node, wanted: &str) -> bool {
    let id = node.id.split('|').next().unwrap_or_default();
    wanted == node.name || wanted == node.id || wanted == id
}

/// What the filter `dangling` asks for, if it is given.
pub(super) fn dangling(filters: &Filters) -> Result<Option<bool>, ApiError> {
    match filters.values("dangling") {
        [] => Ok(None),
        [one] if one == "true" || one == "1" => Ok(Some(true)),
        [one] if one == "false" || one == "0" => Ok(Some(false)),
        _ => Err(ApiError::bad_request("Invalid filter: 'type'='dangling'")),
    }
}

struct Listing {
    all: bool,
    dangling: Option<bool>,
    patterns: Vec<String>,
    filters: Filters,
}

impl Listing {
    fn select(&self, cluster: &Cluster) -> Result<Vec<Value>, ApiError> {
        let before = self.date(cluster, "before")?;
        let since = self.date(cluster, "since")?;
        let mut nodes = cluster.in_natural_order();
        nodes.retain(|node| self.filters.any("node", |wanted| is_node(node, wanted)));
        let mut images: IndexMap<&str, Value> = IndexMap::new();
        for image in nodes.iter().flat_map(|node| &node.images).filter(|i| self.accepts(i)) {
            let created = json::int(image, "/Created");
            if before.is_some_and(|date| created >= date) || since.is_some_and(|d| created <= d) {
                continue;
            }
            match images.get_mut(json::text(image, "/Id")) {
                Some(known) => unite(known, image),
                None => {
                    images.insert(json::text(image, "/Id"), image.clone());
                }
            }
        }
        let mut images: Vec<Value> = images.into_values().collect();
        images.sort_by_key(|image| {
            (Reverse(json::int(image, "/Created")), json::text(image, "/Id").to_owned())
        });
        Ok(images)
    }

    /// The creation date of the one image that a `before` or `since` filter names.
    fn date(&self, cluster: &Cluster, key: &str) -> Result<Option<i64>, ApiError> {
        let invalid =
            |why: String| ApiError::bad_request(format!("Invalid filter: 'type'='{key}'{why}"));
        match self.filters.values(key) {
            [] => Ok(None),
            [name] => {
                let holders = cluster.find_image(name, true);
                let rows = holders.iter().flat_map(|node| &node.images);
                let found = rows.into_iter().find(|row| is_image(row, name));
                let found =
                    found.ok_or_else(|| invalid(format!(": no such image found: '{name}'")))?;
                Ok(Some(json::int(found, "/Created")))
            }
            _ => Err(invalid(String::new())),
        }
    }

    fn accepts(&self, image: &Value) -> bool {
        let named = is_named(image);
        let shown = match self.dangling {
            Some(dangling) => dangling != named,
            None => self.all || named,
        };
        shown
            && self.filters.labels(|key| image.get("Labels")?.get(key)?.as_str())
            && (self.patterns.is_empty() || self.patterns.iter().any(|p| has_reference(image, p)))
    }
}

/// Whether a row is the image called `name`: by ID, its beginning, or a reference.
fn is_image(image: &Value, name: &str) -> bool {
    let id = json::text(image, "/Id");
    let bare = id.strip_prefix("sha256:").unwrap_or(id);
    (name.len() > 2 && (id.starts_with(name) || bare.starts_with(name)))
        || references(image)
            .any(|reference| reference == name || reference == format!("{name}:latest"))
}

fn references(image: &Value) -> impl Iterator<Item = &str> {
    json::texts(image, "/RepoTags").chain(json::texts(image, "/RepoDigests"))
}

/// Whether a tag, a digest, or the name before either fits the pattern.
fn has_reference(image: &Value, pattern: &str) -> bool {
    references(image).any(|reference| {
        let end = match reference.split_once('@') {
            Some((name, _)) => name.len(),
            // A colon before a slash belongs to the registry's port.
            None => reference
                .rfind(':')
                .filter(|at| !reference[*at..].contains('/'))
                .unwrap_or(reference.len()),
        };
        glob(pattern, reference) || glob(pattern, &reference[..end])
    })
}

/// Go's `path.Match`: `*` and `?` take no slash, `[a-z]` and `[^a-z]` take one character.
fn glob(pattern: &str, text: &str) -> bool {
    let mut regex = String::from("^(?:");
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' => regex.push_str("[^/]*"),
            '?' => regex.push_str("[^/]"),
            '[' => {
                let class: String = chars.by_ref().take_while(|c| *c != ']').collect();
                regex.push('[');
                regex.push_str(&class.replace('\\', "\\\\").replace('[', "\\["));
                regex.push(']');
            }
            '\\' => regex.push_str(&regex::escape(&chars.next().unwrap_or('\\').to_string())),
            c => regex.push_str(&regex::escape(&c.to_string())),
        }
    }
    regex.push_str(")$");
    regex::Regex::new(&regex).is_ok_and(|regex| regex.is_match(text))
}

/// Adds the tags and digests of another engine's copy.
fn unite(known: &mut Value, other: &Value) {
    for key in ["RepoTags", "RepoDigests"] {
        let more: Vec<Value> =
            other.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        let Some(slot) = known.get_mut(key) else { continue };
        if more.is_empty() {
            continue;
        }
        if !slot.is_array() {
            *slot = Value::Array(Vec::new());
        }
        let list = slot.as_array_mut().expect("made an array just above");
        for one in more {
            if !list.contains(&one) {
                list.push(one);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_go() {
        for (pattern, text, fits) in [
            ("nginx", "nginx", true),
            ("nginx", "nginx2", false),
            ("*", "nginx", true),
            ("*", "a/b", false),
            ("*/*", "a/b", true),
            ("b?syb[a-z]x", "busybox", true),
            ("b[^u]x", "bux", false),
            ("a.c", "abc", false),
            ("[", "a", false),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn a_reference_fits_with_or_without_its_tag() {
        let image = serde_json::json!({
            "RepoTags": ["reg:5000/app:v1"], "RepoDigests": ["busybox@sha256:12"],
        });
        for pattern in ["reg:5000/app", "reg:5000/app:v1", "reg:5000/*:v?", "busybox", "busy*"] {
            assert!(has_reference(&image, pattern), "{pattern}");
        }
        assert!(!has_reference(&image, "app"));
    }
}
