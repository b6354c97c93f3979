//! `GET /events`: what happens on all engines, as one endless reply.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde_json::Value;

use crate::cluster::json;
use crate::ctx::http::BodyError;

use super::error::ApiError;
use super::query::{Filters, Query};
use super::{Api, Reply};

const FILTERS: &[&str] = &[
    "type",
    "event",
    "container",
    "image",
    "network",
    "volume",
    "label",
    "node",
    "scope",
    "daemon",
];

const NANOS_PER_SECOND: i128 = 1_000_000_000;

impl Api {
    /// Streams events, each followed by a newline, until the client goes, falls too far behind, or
    /// `until` has come. The manager keeps no history, so `since` only matters in the future.
    /// (The classic manager ignores `filters` and `since`, takes only whole seconds for `until`,
    /// and writes no newlines.)
    pub(super) fn events(&self, query: &Query) -> Reply {
        let filters = query.filters(FILTERS, hyper::StatusCode::BAD_REQUEST)?;
        let since = moment(query.text("since"))?;
        let until = moment(query.text("until"))?.filter(|nanos| *nanos != 0);
        let now = self.manager.ctx.now().as_nanosecond();
        let left = until.map(|until| {
            Duration::from_nanos(u64::try_from((until - now).max(0)).unwrap_or(u64::MAX))
        });
        let deadline = left.map(|left| tokio::time::Instant::now() + left.min(LONGEST));
        let wanted = Wanted { filters, since };
        let start = (self.manager.events.subscribe(), wanted);
        let lines = futures_util::stream::unfold(start, move |(mut events, wanted)| async move {
            loop {
                let next = events.next();
                let event = match deadline {
                    Some(deadline) => tokio::time::timeout_at(deadline, next).await.ok()??,
                    None => next.await?,
                };
                if wanted.accepts(&event) {
                    let line = Frame::data(Bytes::from(format!("{event}\n")));
                    return Some((Ok::<_, BodyError>(line), (events, wanted)));
                }
            }
        });
        let mut response = Response::new(StreamBody::new(lines).boxed_unsync());
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        Ok(response)
    }
}

/// A longer wait than any process lives; instants further away than the clock can count would
/// overflow.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// A moment as clients send it, `seconds[.fraction]` since 1970, in nanoseconds.
fn moment(text: &str) -> Result<Option<i128>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    let read = || {
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
        if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let seconds: i64 = seconds.parse().ok()?;
        let nanos: i128 = format!("{:0<9.9}", fraction).parse().ok()?;
        Some(i128::from(seconds) * NANOS_PER_SECOND + nanos)
    };
    let invalid =
        || ApiError::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"));
    read().map(Some).ok_or_else(invalid)
}

/// What a client wants to hear of.
struct Wanted {
    filters: Filters,
    /// Events before this moment are not sent, in nanoseconds since 1970.
    since: Option<i128>,
}

impl Wanted {
    fn accepts(&self, event: &Value) -> bool {
        if self.since.is_some_and(|since| since > i128::from(json::int(event, "/timeNano"))) {
            return false;
        }
        let filters = &self.filters;
        let attribute = |key: &str| event.get("Actor")?.get("Attributes")?.get(key)?.as_str();
        let actor = json::text(event, "/Actor/ID");
        let kind = json::text(event, "/Type");
        // `exec_create: sh` is meant by `exec_create`.
        let action = json::text(event, "/Action");
        let verb = action.split(':').next().unwrap_or_default();
        // An object's own events, and those of others that name it.
        let object = |key: &str| {
            filters.any(key, |wanted| {
                let named = attribute("name") == Some(wanted) || is_id(wanted, actor);
                kind == key && named || kind != key && attribute(key) == Some(wanted)
            })
        };
        filters.any("type", |wanted| wanted == kind)
            && filters.any("event", |wanted| wanted == action || wanted == verb)
            && filters.any("scope", |wanted| wanted == json::text(event, "/scope"))
            && filters.any("node", |wanted| attribute("node.name") == Some(wanted))
            && filters.any("image", |wanted| is_image(kind, actor, &attribute, wanted))
            && ["container", "network", "volume", "daemon"].into_iter().all(object)
            && filters.labels(attribute)
    }
}

fn is_id(wanted: &str, id: &str) -> bool {
    !wanted.is_empty() && id.starts_with(wanted)
}

/// Whether an event is about an image, or about a container made from it; without a tag in the
/// filter every tag will do.
fn is_image<'a>(
    kind: &str,
    actor: &str,
    attribute: &impl Fn(&str) -> Option<&'a str>,
    wanted: &str,
) -> bool {
    let names: [&str; 2] = match kind {
        "image" => [actor, attribute("name").unwrap_or_default()],
        _ => [attribute("image").unwrap_or_default(), ""],
    };
    names.iter().any(|name| {
        *name == wanted || name.rsplit_once(':').is_some_and(|(bare, _)| bare == wanted)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wanted(filters: &str) -> Wanted {
        let raw = format!("filters={filters}");
        let query = Query::parse(Some(&raw));
        let filters = query.filters(FILTERS, hyper::StatusCode::BAD_REQUEST).unwrap();
        Wanted { filters, since: None }
    }

    #[test]
    fn events_are_filtered() {
        let event = json!({
            "Type": "container", "Action": "exec_create: sh", "scope": "local", "timeNano": 5,
            "Actor": { "ID": "abc123", "Attributes": {
                "name": "web", "image": "nginx:1", "zone": "z1", "node.name": "n1",
            } },
        });
        for yes in [
            "",
            r#"{"type":["container"]}"#,
            r#"{"event":["exec_create"]}"#,
            r#"{"container":["web"]}"#,
            r#"{"container":["abc"]}"#,
            r#"{"image":["nginx"]}"#,
            r#"{"image":["nginx:1"]}"#,
            r#"{"label":["zone=z1"]}"#,
            r#"{"node":["n1","n2"]}"#,
        ] {
            assert!(wanted(yes).accepts(&event), "{yes}");
        }
        for no in [
            r#"{"type":["image"]}"#,
            r#"{"event":["start"]}"#,
            r#"{"container":["we"]}"#,
            r#"{"image":["nginx:2"]}"#,
            r#"{"label":["zone=z2"]}"#,
            r#"{"node":["n2"]}"#,
            r#"{"network":["web"]}"#,
        ] {
            assert!(!wanted(no).accepts(&event), "{no}");
        }
        assert!(!Wanted { since: Some(6), ..wanted("") }.accepts(&event));
    }

    #[test]
    fn moments_are_seconds_with_or_without_a_fraction() {
        assert_eq!(moment("").unwrap(), None);
        assert_eq!(moment("1").unwrap(), Some(1_000_000_000));
        assert_eq!(moment("1.5").unwrap(), Some(1_500_000_000));
        assert_eq!(moment("1.000000002").unwrap(), Some(1_000_000_002));
        assert_eq!(
            moment("x").unwrap_err().message,
            "strconv.ParseInt: parsing \"x\": invalid syntax"
        );
        assert!(moment("1.").is_err() && moment("1.x").is_err());
    }
}
