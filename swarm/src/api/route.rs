//! Which handler a request is for.

use hyper::Method;
use percent_encoding::percent_decode_str;

use crate::engine::ApiVersion;

/// What to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handler {
    Ping,
    Version,
    Info,
    Events,
    ListImages,
    ListContainers,
    Create,
    Inspect,
    Start,
    Rename,
    Remove,
    /// Pass on to the container's engine: `/containers/<id>/<verb>`.
    Forward(&'static str),
    /// Likewise, then look at the container again before the reply ends.
    ForwardAndRefresh(&'static str),
    /// Pass on, and give the connection away: `/containers/<id>/<verb>`.
    Hijack(&'static str),
    CreateExec,
    /// Pass on to the command's engine: `/exec/<id>/<verb>`.
    Exec(&'static str),
    /// Pass on to any engine, at this path.
    Any(&'static str),
    /// `GET /distribution/<name>/json`, on any engine.
    Distribution,
    /// Pass on to an engine with the image: `/images/<name>/<verb>`.
    Holder(&'static str),
    SaveImages,
    CreateImage,
    LoadImages,
    TagImage,
    RemoveImage,
    Commit,
    Build,
    ListNetworks,
    InspectNetwork,
    CreateNetwork,
    ConnectNetwork,
    DisconnectNetwork,
    RemoveNetwork,
    ListVolumes,
    InspectVolume,
    CreateVolume,
    RemoveVolume,
    /// A question that makes no sense for a cluster.
    Senseless,
    /// A Docker route that is not served yet.
    Unserved,
}

use Handler::{Exec, Forward, ForwardAndRefresh, Hijack, Unserved};

/// Every route: methods, path (a `{…}` takes any text, slashes included), handler. The first that
/// fits wins.
const ROUTES: &[(&str, &str, Handler)] = &[
    ("GET HEAD", "/_ping", Handler::Ping),
    ("GET", "/version", Handler::Version),
    ("GET", "/info", Handler::Info),
    ("GET", "/events", Handler::Events),
    ("GET", "/images/json", Handler::ListImages),
    ("GET", "/images/viz", Handler::Senseless),
    ("GET", "/containers/json", Handler::ListContainers),
    ("GET", "/containers/ps", Handler::ListContainers),
    ("POST", "/containers/create", Handler::Create),
    ("GET", "/containers/{name}/json", Handler::Inspect),
    ("GET", "/containers/{name}/logs", Forward("logs")),
    ("GET", "/containers/{name}/top", Forward("top")),
    ("POST", "/containers/{name}/start", Handler::Start),
    ("POST", "/containers/{name}/rename", Handler::Rename),
    ("POST", "/containers/{name}/stop", ForwardAndRefresh("stop")),
    ("POST", "/containers/{name}/kill", ForwardAndRefresh("kill")),
    ("POST", "/containers/{name}/restart", ForwardAndRefresh("restart")),
    ("POST", "/containers/{name}/pause", ForwardAndRefresh("pause")),
    ("POST", "/containers/{name}/unpause", ForwardAndRefresh("unpause")),
    ("POST", "/containers/{name}/wait", ForwardAndRefresh("wait")),
    ("POST", "/containers/prune", Unserved),
    ("GET HEAD PUT", "/containers/{name}/archive", Forward("archive")),
    ("GET", "/containers/{name}/changes", Forward("changes")),
    ("GET", "/containers/{name}/export", Forward("export")),
    ("GET", "/containers/{name}/stats", Forward("stats")),
    ("GET", "/containers/{name}/attach/ws", Hijack("attach/ws")),
    ("POST", "/containers/{name}/attach", Hijack("attach")),
    ("POST", "/containers/{name}/copy", Unserved),
    ("POST", "/containers/{name}/exec", Handler::CreateExec),
    ("POST", "/containers/{name}/resize", Forward("resize")),
    ("POST", "/containers/{name}/update", ForwardAndRefresh("update")),
    ("GET POST DELETE", "/containers/{name}/checkpoints", Unserved),
    ("DELETE", "/containers/{name}/checkpoints/{id}", Unserved),
    ("DELETE", "/containers/{name}", Handler::Remove),
    ("GET", "/exec/{id}/json", Exec("json")),
    ("POST", "/exec/{id}/start", Exec("start")),
    ("POST", "/exec/{id}/resize", Exec("resize")),
    ("GET", "/images/search", Handler::Any("/images/search")),
    ("GET", "/images/get", Handler::SaveImages),
    ("GET", "/images/{name}/get", Handler::Holder("get")),
    ("GET", "/images/{name}/history", Handler::Holder("history")),
    ("GET", "/images/{name}/json", Handler::Holder("json")),
    ("POST", "/images/create", Handler::CreateImage),
    ("POST", "/images/load", Handler::LoadImages),
    ("POST", "/images/prune", Unserved),
    ("POST", "/images/{name}/push", Handler::Holder("push")),
    ("POST", "/images/{name}/tag", Handler::TagImage),
    ("DELETE", "/images/{name}", Handler::RemoveImage),
    ("GET", "/networks", Handler::ListNetworks),
    ("POST", "/networks/create", Handler::CreateNetwork),
    ("POST", "/networks/prune", Unserved),
    ("POST", "/networks/{id}/connect", Handler::ConnectNetwork),
    ("POST", "/networks/{id}/disconnect", Handler::DisconnectNetwork),
    ("GET", "/networks/{id}", Handler::InspectNetwork),
    ("DELETE", "/networks/{id}", Handler::RemoveNetwork),
    ("GET", "/volumes", Handler::ListVolumes),
    ("POST", "/volumes/create", Handler::CreateVolume),
    ("POST", "/volumes/prune", Unserved),
    ("GET", "/volumes/{name}", Handler::InspectVolume),
    ("DELETE", "/volumes/{name}", Handler::RemoveVolume),
    ("PUT", "/volumes/{name}", Unserved),
    ("GET", "/distribution/{name}/json", Handler::Distribution),
    ("GET", "/system/df", Unserved),
    ("POST", "/auth", Handler::Any("/auth")),
    ("POST", "/build", Handler::Build),
    ("POST", "/build/{action}", Unserved),
    ("POST", "/commit", Handler::Commit),
    ("POST", "/session", Unserved),
    ("POST", "/grpc", Unserved),
    ("GET", "/plugins", Unserved),
    ("GET POST DELETE", "/plugins/{name}", Unserved),
    ("GET", "/swarm", Unserved),
    ("GET POST", "/swarm/{action}", Unserved),
    ("GET", "/nodes", Unserved),
    ("GET POST DELETE", "/nodes/{id}", Unserved),
    ("GET", "/services", Unserved),
    ("GET POST DELETE", "/services/{id}", Unserved),
    ("GET", "/tasks", Unserved),
    ("GET", "/tasks/{id}", Unserved),
    ("GET", "/secrets", Unserved),
    ("GET POST DELETE", "/secrets/{id}", Unserved),
    ("GET", "/configs", Unserved),
    ("GET POST DELETE", "/configs/{id}", Unserved),
];

/// A request's place in the API.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The version in the path, if it has one.
    pub version: Option<ApiVersion>,
    /// The decoded path without version.
    pub path: String,
    /// What `{…}` stands for; empty if the route has none.
    pub name: String,
    pub handler: Handler,
}

/// Finds the handler of a request; `None` for what Docker does not know either.
///
/// `OPTIONS` finds the route of any method: with CORS a browser asks before it acts.
pub(super) fn find(method: &Method, raw_path: &str) -> Option<Target> {
    let decoded = percent_decode_str(raw_path).decode_utf8().ok()?;
    let (version, path) = split_version(&decoded);
    let accepts =
        |methods: &str| *method == Method::OPTIONS || methods.split(' ').any(|m| m == method);
    let (name, handler) = ROUTES.iter().find_map(|(methods, pattern, handler)| {
        if accepts(methods) { Some((capture(pattern, path)?, *handler)) } else { None }
    })?;
    Some(Target { version, path: path.to_owned(), name: name.to_owned(), handler })
}

/// What the first `{…}` of `pattern` stands for in `path`.
fn capture<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    let Some((before, after)) = pattern.split_once('{') else {
        return (pattern == path).then_some("");
    };
    let (_, suffix) = after.split_once('}')?;
    let rest = path.strip_prefix(before)?;
    let name = match suffix.split_once('{') {
        // A second one only ever ends the path.
        Some((middle, _)) => rest.rsplit_once(middle)?.0,
        None => rest.strip_suffix(suffix)?,
    };
    (!name.is_empty()).then_some(name)
}

/// Splits `/v1.41/info` into the version and `/info`.
fn split_version(path: &str) -> (Option<ApiVersion>, &str) {
    let split = || {
        let rest = path.strip_prefix("/v")?;
        let (version, _) = rest.split_once('/')?;
        Some((version.parse().ok()?, &rest[version.len()..]))
    };
    split().map_or((None, path), |(version, path)| (Some(version), path))
}

/// The canonical form of a path that is not, as Go's router would redirect it.
pub(super) fn redirect(path: &str) -> Option<String> {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    let mut clean = format!("/{}", segments.join("/"));
    if path.ends_with('/') && clean != "/" {
        clean.push('/');
    }
    (clean != path).then_some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(method: Method, path: &str) -> Option<(String, Handler)> {
        find(&method, path).map(|target| (target.name, target.handler))
    }

    #[test]
    fn paths_come_with_and_without_version() {
        let target = find(&Method::GET, "/v1.41/info").unwrap();
        assert_eq!((target.version, target.handler), (Some(ApiVersion::new(1, 41)), Handler::Info));
        let target = find(&Method::GET, "/info").unwrap();
        assert_eq!((target.version, target.handler), (None, Handler::Info));
        assert!(find(&Method::GET, "/v1x40/info").is_none());
        assert!(find(&Method::GET, "/vx/info").is_none());
    }

    #[test]
    fn a_name_may_hold_slashes_plain_or_encoded() {
        for path in ["/containers/node-1/web/json", "/v1.30/containers/node-1%2Fweb/json"] {
            let (name, handler) = found(Method::GET, path).unwrap();
            assert_eq!((name.as_str(), handler), ("node-1/web", Handler::Inspect));
        }
        let (name, handler) = found(Method::DELETE, "/containers/node-1/web").unwrap();
        assert_eq!((name.as_str(), handler), ("node-1/web", Handler::Remove));
        let (name, handler) = found(Method::POST, "/containers/stop/stop").unwrap();
        assert_eq!((name.as_str(), handler), ("stop", ForwardAndRefresh("stop")));
        let (name, handler) = found(Method::POST, "/networks/node-1/connect/connect").unwrap();
        assert_eq!((name.as_str(), handler), ("node-1/connect", Handler::ConnectNetwork));
        let (name, handler) = found(Method::GET, "/images/reg:5000/a/b/json").unwrap();
        assert_eq!((name.as_str(), handler), ("reg:5000/a/b", Handler::Holder("json")));
    }

    #[test]
    fn method_and_path_must_both_fit() {
        assert_eq!(found(Method::HEAD, "/_ping").unwrap().1, Handler::Ping);
        assert_eq!(found(Method::POST, "/info"), None);
        assert_eq!(found(Method::GET, "/nothing"), None);
        assert_eq!(found(Method::GET, "/containers/json").unwrap().1, Handler::ListContainers);
        assert_eq!(found(Method::OPTIONS, "/containers/create").unwrap().1, Handler::Create);
        assert_eq!(found(Method::POST, "/containers//stop"), None);
    }

    #[test]
    fn unclean_paths_are_redirected() {
        for (path, clean) in [
            ("//info", Some("/info")),
            ("/a/./b/../c", Some("/a/c")),
            ("/a//", Some("/a/")),
            ("/..", Some("/")),
            ("/info", None),
            ("/a/", None),
        ] {
            assert_eq!(redirect(path).as_deref(), clean, "{path}");
        }
    }
}
