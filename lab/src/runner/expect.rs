//! Checks what a step expects, once.

use std::collections::BTreeSet;
use std::fmt::Display;

use hyper::Method;
use serde_json::Value;
use swarm::ctx::{Addr, Ctx};

use super::Miss;
use super::api::{Api, encoded};
use super::view::{Endpoints, Row};
use crate::scenario::cluster::Cluster;
use crate::scenario::expect::{Expect, Http, Info, Inspect, Logs, Ps, Store};
use crate::scenario::{Span, Spanned};

/// Longest part of something seen that a message repeats, in characters.
const SEEN_MAX: usize = 400;

/// What it takes to look at a cluster.
pub(super) struct Checker<'a> {
    pub endpoints: &'a Endpoints,
    pub client: &'a Ctx,
    pub cluster: &'a Cluster,
}

/// Equal, or a miss that says so.
fn equal<T: PartialEq + Display>(
    what: &str,
    wanted: &Spanned<T>,
    seen: &T,
    evidence: impl FnOnce() -> String,
) -> Result<(), Miss> {
    if wanted.value == *seen {
        return Ok(());
    }
    let title = format!("{what} is {seen}, not {}", wanted.value);
    Err(Miss::new(wanted.span, title, "expected here").note(evidence()))
}

fn unreachable(span: Span, why: String) -> Miss {
    Miss::new(span, why, "needed to check this")
}

/// The beginning of a text that may be long.
fn excerpt(text: &str) -> String {
    if text.chars().count() <= SEEN_MAX {
        return text.trim_end().to_owned();
    }
    text.chars().take(SEEN_MAX).chain("…".chars()).collect()
}

fn number(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

impl Checker<'_> {
    /// Checks everything that is expected; `names` are the containers of the step. Returns how
    /// many expectations held.
    pub(super) async fn check(&self, expect: &Expect, names: &[String]) -> Result<usize, Miss> {
        let mut held = 0;
        let names = expect.container.as_ref().map_or(names, |container| &container.all);
        for name in names {
            held += self.container(expect, name).await?;
        }
        for ps in &expect.ps.0 {
            held += self.ps(ps).await?;
        }
        for info in &expect.info.0 {
            held += self.info(info).await?;
        }
        for store in &expect.store.0 {
            held += self.store(store).await?;
        }
        for http in &expect.http.0 {
            held += self.http(http).await?;
        }
        Ok(held)
    }

    /// What is expected of one container.
    async fn container(&self, expect: &Expect, name: &str) -> Result<usize, Miss> {
        let wanted = expect.node.is_some()
            || expect.state.is_some()
            || expect.exit_code.is_some()
            || !expect.inspect.0.is_empty();
        let mut held = 0;
        if wanted {
            let path = format!("/containers/{}/json", encoded(name));
            let seen =
                self.endpoints.manager.get(&path).await.map_err(|e| unreachable(expect.span, e))?;
            held += check_inspect(expect, name, &seen)?;
        }
        for logs in &expect.logs.0 {
            self.logs(name, logs).await?;
            held += 1;
        }
        Ok(held)
    }

    async fn logs(&self, name: &str, logs: &Logs) -> Result<(), Miss> {
        let path = format!("/containers/{}/logs?stdout=1&stderr=1", encoded(name));
        let manager = &self.endpoints.manager;
        let reply = manager.send(Method::GET, &path, None).await.and_then(super::api::Reply::ok);
        let reply = reply.map_err(|e| unreachable(logs.contains.span, e))?;
        let text = String::from_utf8_lossy(&without_frames(&reply.body)).into_owned();
        if text.contains(&logs.contains.value) {
            return Ok(());
        }
        let title = format!("the logs of {name} do not contain \"{}\"", logs.contains.value);
        let miss = Miss::new(logs.contains.span, title, "expected here");
        Err(miss.note(format!("logs of {name}\n{}", excerpt(&text))))
    }

    async fn ps(&self, ps: &Ps) -> Result<usize, Miss> {
        let rows = self.endpoints.containers().await.map_err(|e| unreachable(ps.span, e))?;
        check_ps(ps, &rows)
    }

    async fn info(&self, info: &Info) -> Result<usize, Miss> {
        let seen = self.endpoints.info().await.map_err(|e| unreachable(info.span, e))?;
        let addr = info.node.as_ref().map(|node| self.cluster.store_key(node));
        check_info(info, addr.as_deref(), &seen)
    }

    async fn store(&self, store: &Store) -> Result<usize, Miss> {
        let prefix = &store.under.value;
        let seen = self.endpoints.store(prefix).await;
        let seen = seen.map_err(|e| unreachable(store.under.span, e))?;
        let evidence = || {
            let keys: Vec<_> = seen.keys().map(String::as_str).collect();
            format!("keys under {prefix}: {}", or_none(&keys))
        };
        let mut held = 0;
        if let Some(wanted) = &store.keys {
            let name = |key: &'_ Spanned<String>| self.cluster.store_key(key);
            let wanted_keys: BTreeSet<_> = wanted.value.iter().map(name).collect();
            if let Some(missing) = wanted.value.iter().find(|key| !seen.contains_key(&name(key))) {
                let title = format!("the store has no key {} under {prefix}", name(missing));
                return Err(Miss::new(missing.span, title, "expected here").note(evidence()));
            }
            if let Some(extra) = seen.keys().find(|key| !wanted_keys.contains(*key)) {
                let title = format!("the store has a key {extra} under {prefix} as well");
                return Err(Miss::new(wanted.span, title, "not expected here").note(evidence()));
            }
            held += 1;
        }
        if let Some(count) = &store.count {
            equal("the number of keys", count, &number(seen.len()), evidence)?;
            held += 1;
        }
        Ok(held)
    }

    async fn http(&self, http: &Http) -> Result<usize, Miss> {
        let url = &http.url;
        let (addr, path) = self.target(&url.value).map_err(|why| Miss::new(url.span, why, ""))?;
        let reply = Api::new(self.client, addr, None).send(Method::GET, &path, None).await;
        let reply = reply.map_err(|why| Miss::new(url.span, why, "expected to answer"))?;
        let body = String::from_utf8_lossy(&reply.body);
        let wanted = http.status.clone().unwrap_or(Spanned::new(200, url.span));
        let what = format!("the status of {}", url.value);
        equal(&what, &wanted, &reply.status.as_u16(), || format!("body\n{}", excerpt(&body)))?;
        if let Some(text) = &http.contains
            && !body.contains(&text.value)
        {
            let title = format!("the body of {} does not contain \"{}\"", url.value, text.value);
            return Err(Miss::new(text.span, title, "expected here")
                .note(format!("body\n{}", excerpt(&body))));
        }
        Ok(1 + usize::from(http.contains.is_some()))
    }

    /// Where a URL points to: hosts of the cluster go by their addresses.
    fn target(&self, url: &str) -> Result<(Addr, String), String> {
        let rest = url.strip_prefix("http://").ok_or("a URL begins with http://")?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
        let port = port.parse().map_err(|_| format!("`{port}` is not a port"))?;
        let address = self.cluster.host(host).map(|host| host.address.to_string());
        Ok((Addr::tcp(address.unwrap_or_else(|| host.to_owned()), port), path.to_owned()))
    }
}

/// A list for a message; `none` when empty.
fn or_none(items: &[&str]) -> String {
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

fn check_inspect(expect: &Expect, name: &str, seen: &Value) -> Result<usize, Miss> {
    let mut held = 0;
    let state = seen["State"]["Status"].as_str().unwrap_or("unknown").to_owned();
    let node = seen["Node"]["Name"].as_str().unwrap_or("no node").to_owned();
    if let Some(wanted) = &expect.node {
        if wanted.value != node {
            let title = format!("{name} is on {node}, not on {}", wanted.value);
            return Err(Miss::new(wanted.span, title, "expected here"));
        }
        held += 1;
    }
    if let Some(wanted) = &expect.state {
        let wanted = Spanned::new(wanted.value.to_string(), wanted.span);
        equal(&format!("the state of {name}"), &wanted, &state, || format!("it is on {node}"))?;
        held += 1;
    }
    if let Some(wanted) = &expect.exit_code {
        if state != "exited" && state != "dead" {
            let title = format!("{name} has not ended: it is {state}");
            return Err(Miss::new(wanted.span, title, "expected to end with this exit code"));
        }
        let code = seen["State"]["ExitCode"].as_i64().unwrap_or(-1);
        equal(&format!("the exit code of {name}"), wanted, &code, || format!("it is {state}"))?;
        held += 1;
    }
    let Inspect(fields) = &expect.inspect;
    for (path, wanted) in fields {
        let value = at_path(seen, &path.value);
        if *value != wanted.value {
            let title = format!("{} of {name} is {value}, not {}", path.value, wanted.value);
            return Err(Miss::new(wanted.span, title, "expected here"));
        }
        held += 1;
    }
    Ok(held)
}

/// The value at a path such as `State.Running` or `Mounts.0.Source`; `null` where there is none.
fn at_path<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, |value, key| match value {
        Value::Array(items) => {
            key.parse().ok().and_then(|n: usize| items.get(n)).unwrap_or(&Value::Null)
        }
        other => other.get(key).unwrap_or(&Value::Null),
    })
}

fn check_ps(ps: &Ps, rows: &[Row]) -> Result<usize, Miss> {
    let evidence = || {
        let rows: Vec<_> =
            rows.iter().map(|r| format!("{}/{} {}", r.node, r.name, r.state)).collect();
        format!("ps -a\n{}", if rows.is_empty() { "(empty)".into() } else { rows.join("\n") })
    };
    let mut held = 0;
    if let Some(wanted) = &ps.running {
        let seen = number(rows.iter().filter(|row| row.state == "running").count());
        equal("the number of running containers", wanted, &seen, evidence)?;
        held += 1;
    }
    if let Some(wanted) = &ps.total {
        equal("the number of containers", wanted, &number(rows.len()), evidence)?;
        held += 1;
    }
    if let Some(named) = &ps.named {
        let seen = number(rows.iter().filter(|row| row.name == named.value).count());
        let wanted = ps.count.clone().unwrap_or(Spanned::new(1, named.span));
        let what = format!("the number of containers named {}", named.value);
        equal(&what, &wanted, &seen, evidence)?;
        held += 1;
    }
    if let Some(names) = &ps.names {
        let wanted: BTreeSet<&str> =
            names.value.iter().flat_map(|names| names.all.iter().map(String::as_str)).collect();
        let seen: BTreeSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        if wanted != seen {
            let missing: Vec<_> = wanted.difference(&seen).copied().collect();
            let extra: Vec<_> = seen.difference(&wanted).copied().collect();
            let title = "the names of the containers are not those expected";
            return Err(Miss::new(names.span, title, "expected here")
                .note(format!("missing: {}; not expected: {}", or_none(&missing), or_none(&extra)))
                .note(evidence()));
        }
        held += 1;
    }
    for entry in ps.nodes.iter().flat_map(|table| &table.0) {
        let Some(wanted) = &entry.value else { continue };
        let seen = number(rows.iter().filter(|row| row.node == entry.key.value).count());
        let what = format!("the number of containers on {}", entry.key.value);
        equal(&what, wanted, &seen, evidence)?;
        held += 1;
    }
    Ok(held)
}

/// `addr` is the address of the node that `info` speaks of: the manager knows the name only of a node
/// it has talked to.
fn check_info(info: &Info, addr: Option<&str>, seen: &super::view::Info) -> Result<usize, Miss> {
    let evidence = || seen.describe();
    let mut held = 0;
    if let Some(wanted) = &info.nodes {
        equal("the number of nodes", wanted, &seen.count, evidence)?;
        held += 1;
    }
    if let Some(wanted) = &info.healthy {
        equal("the number of healthy nodes", wanted, &number(seen.healthy()), evidence)?;
        held += 1;
    }
    if let Some(wanted) = &info.strategy {
        let wanted = Spanned::new(wanted.value.to_string(), wanted.span);
        equal("the strategy", &wanted, &seen.strategy, evidence)?;
        held += 1;
    }
    let (whose, counts) = match &info.node {
        None => (String::new(), seen.counts),
        Some(name) => {
            let means = |node: &&super::view::InfoNode| {
                node.name == name.value || addr == Some(node.addr.as_str())
            };
            let node = seen.nodes.iter().find(means);
            let Some(node) = node else {
                let title = format!("`docker info` shows no node {}", name.value);
                return Err(Miss::new(name.span, title, "expected here").note(evidence()));
            };
            if let Some(wanted) = &info.status {
                let wanted = Spanned::new(wanted.value.to_string(), wanted.span);
                equal(&format!("the status of {}", node.name), &wanted, &node.status, evidence)?;
                held += 1;
            }
            if let Some(wanted) = &info.error {
                if !node.error.contains(&wanted.value) {
                    let title =
                        format!("the error of {} does not contain \"{}\"", node.name, wanted.value);
                    return Err(Miss::new(wanted.span, title, "expected here").note(evidence()));
                }
                held += 1;
            }
            (format!(" of {}", node.name), node.counts)
        }
    };
    let counted = [
        ("containers", &info.containers, counts.total),
        ("running containers", &info.running, counts.running),
        ("paused containers", &info.paused, counts.paused),
        ("stopped containers", &info.stopped, counts.stopped),
    ];
    for (what, wanted, seen) in counted {
        if let Some(wanted) = wanted {
            equal(&format!("the number of {what}{whose}"), wanted, &seen, evidence)?;
            held += 1;
        }
    }
    Ok(held)
}

/// The text of a log stream: an engine frames what a container without a terminal writes as a
/// kind (0 to 2), three zeros and a length, then the text.
fn without_frames(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [0..=2, 0, 0, 0, a, b, c, d, text @ ..] = rest {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let (text, behind) = text.split_at(length.min(text.len()));
        out.extend_from_slice(text);
        rest = behind;
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn log_frames_are_taken_off_and_plain_text_is_kept() {
        assert_eq!(without_frames(b"\x01\0\0\0\0\0\0\x03abc\x02\0\0\0\0\0\0\x02de"), b"abcde");
        assert_eq!(without_frames(b"plain"), b"plain");
        assert_eq!(without_frames(b"\x01\0\0\0\0\0\0\xffcut"), b"cut");
    }

    #[test]
    fn paths_lead_through_objects_and_lists() {
        let value = json!({"A": {"B": [1, {"C": "x"}]}});
        assert_eq!(at_path(&value, "A.B.1.C"), "x");
        assert_eq!(at_path(&value, "A.Z.0"), &Value::Null);
    }

    #[test]
    fn long_evidence_is_cut() {
        assert_eq!(excerpt("short\n"), "short");
        assert_eq!(excerpt(&"x".repeat(1000)).chars().count(), SEEN_MAX + 1);
    }
}
