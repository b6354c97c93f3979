//! The Docker Engine API over a [`super::state`].

mod containers;
mod images;
mod query;
mod reply;
mod streams;
mod system;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{DATE, HeaderMap, HeaderValue, LOCATION, SERVER};
use hyper::{Method, Request, Response};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use swarm::ctx::http::Body;

use self::query::Query;
use self::reply::Reply;
use super::run::Engine;
use super::state::Refusal;

/// A version of the API.
type Version = (u32, u32);

/// A request on its way to its handler.
struct Call {
    engine: Arc<Engine>,
    query: Query,
    headers: HeaderMap,
    body: Incoming,
    /// Whether only the head of the answer is wanted.
    head: bool,
    /// What the URL asks for; the engine's highest when it asks for none.
    version: Version,
}

/// What a path and a method mean. Names are decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Route {
    Ping,
    Version,
    Info,
    Events,
    ContainerList,
    ContainerCreate,
    Container(Verb, String),
    ImageList,
    ImageCreate,
    ImageInspect(String),
    Distribution(String),
    NetworkList,
    NetworkInspect(String),
    VolumeList,
    VolumeInspect(String),
}

/// What is done to one container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Inspect,
    Logs,
    Top,
    Start,
    Stop,
    Restart,
    Kill,
    Pause,
    Unpause,
    Rename,
    Wait,
    Remove,
}

/// Answers one request.
pub(super) async fn answer(engine: Arc<Engine>, request: Request<Incoming>) -> Response<Body> {
    let now = engine.ctx.now();
    let mut response = match redirect(request.uri().path()) {
        Some(response) => response,
        None => answer_clean(engine, request).await,
    };
    response.headers_mut().insert(DATE, date(now));
    response
}

/// A date as HTTP headers write it.
pub(super) fn date(now: Timestamp) -> HeaderValue {
    let text = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    HeaderValue::try_from(text).expect("a date is plain ASCII")
}

/// Go's router sends clients to the clean form of a path with doubled slashes.
fn redirect(path: &str) -> Option<Response<Body>> {
    if !path.contains("//") {
        return None;
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let mut response = reply::status(301);
    let location = HeaderValue::try_from(format!("/{}", parts.join("/"))).ok()?;
    response.headers_mut().insert(LOCATION, location);
    Some(response)
}

async fn answer_clean(engine: Arc<Engine>, request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let (asked, path) = split_version(parts.uri.path());
    let Some(route) = route(&parts.method, path) else {
        return reply::refusal(&Refusal::not_found("page not found"), false);
    };
    let spec = &engine.spec;
    let (highest, lowest) = (number(&spec.api), number(&spec.min_api));
    let version = asked.map_or(highest, number);
    let plain = version < (1, 24);
    let common = common_headers(&engine);
    let refused = match asked {
        Some(text) if version > highest => Some(format!(
            "client version {text} is too new. Maximum supported API version is {}",
            spec.api
        )),
        Some(text) if version < lowest => Some(format!(
            "client version {text} is too old. Minimum supported API version is {}, please \
             upgrade your client to a newer version",
            spec.min_api
        )),
        _ => None,
    };
    let mut response = match refused {
        Some(message) => reply::refusal(&Refusal::bad(message), plain),
        None => {
            let query = Query::parse(parts.uri.query().unwrap_or_default());
            let head = parts.method == Method::HEAD;
            let call = Call { engine, query, headers: parts.headers, body, head, version };
            let mut response = match dispatch(route, call).await {
                Ok(response) => response,
                Err(refusal) => reply::refusal(&refusal, plain),
            };
            let no = HeaderValue::from_static("false");
            response.headers_mut().insert("Docker-Experimental", no);
            response
        }
    };
    response.headers_mut().extend(common);
    response
}

/// The headers that every route of the API carries.
fn common_headers(engine: &Engine) -> HeaderMap {
    let mut headers = HeaderMap::new();
    // A version that no header can carry is the scenario's mistake: it is left out.
    let text = |text: &str| HeaderValue::try_from(text).ok();
    if let Some(api) = text(&engine.spec.api) {
        headers.insert("Api-Version", api);
    }
    headers.insert("Ostype", HeaderValue::from_static("linux"));
    if let Some(server) = text(&format!("Docker/{} (linux)", engine.spec.version)) {
        headers.insert(SERVER, server);
    }
    headers
}

/// Takes `/v1.41` off a path.
fn split_version(path: &str) -> (Option<&str>, &str) {
    let versioned = path.strip_prefix("/v").and_then(|rest| {
        let (version, _) = rest.split_once('/')?;
        let valid = !version.is_empty() && version.chars().all(|c| c.is_ascii_digit() || c == '.');
        valid.then(|| (Some(version), &rest[version.len()..]))
    });
    versioned.unwrap_or((None, path))
}

/// A version's two numbers; what is missing or no number is 0.
fn number(text: &str) -> Version {
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

fn route(method: &Method, path: &str) -> Option<Route> {
    let path = percent_decode_str(path).decode_utf8_lossy();
    let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let get = method == Method::GET;
    let post = method == Method::POST;
    let delete = method == Method::DELETE;
    let join = |name: &[&str]| name.join("/");
    Some(match parts.as_slice() {
        ["_ping"] if get || method == Method::HEAD => Route::Ping,
        ["version"] if get => Route::Version,
        ["info"] if get => Route::Info,
        ["events"] if get => Route::Events,
        ["containers", "json"] if get => Route::ContainerList,
        ["containers", "create"] if post => Route::ContainerCreate,
        ["containers", name] if delete => Route::Container(Verb::Remove, join(&[name])),
        ["containers", name, verb] if get => Route::Container(get_verb(verb)?, join(&[name])),
        ["containers", name, verb] if post => Route::Container(post_verb(verb)?, join(&[name])),
        ["images", "json"] if get => Route::ImageList,
        ["images", "create"] if post => Route::ImageCreate,
        ["images", name @ .., "json"] if get => Route::ImageInspect(join(name)),
        ["distribution", name @ .., "json"] if get => Route::Distribution(join(name)),
        ["networks"] | ["networks", ""] if get => Route::NetworkList,
        ["networks", name] if get => Route::NetworkInspect(join(&[name])),
        ["volumes"] if get => Route::VolumeList,
        ["volumes", name @ ..] if get => Route::VolumeInspect(join(name)),
        _ => return None,
    })
}

fn get_verb(word: &str) -> Option<Verb> {
    Some(match word {
        "json" => Verb::Inspect,
        "logs" => Verb::Logs,
        "top" => Verb::Top,
        _ => return None,
    })
}

fn post_verb(word: &str) -> Option<Verb> {
    Some(match word {
        "start" => Verb::Start,
        "stop" => Verb::Stop,
        "restart" => Verb::Restart,
        "kill" => Verb::Kill,
        "pause" => Verb::Pause,
        "unpause" => Verb::Unpause,
        "rename" => Verb::Rename,
        "wait" => Verb::Wait,
        _ => return None,
    })
}

async fn dispatch(route: Route, call: Call) -> Reply {
    match route {
        Route::Ping => Ok(system::ping(&call)),
        Route::Version => system::version(&call).await,
        Route::Info => system::info(&call).await,
        Route::Events => streams::events(call),
        Route::ContainerList => containers::list(&call).await,
        Route::ContainerCreate => containers::create(call).await,
        Route::Container(verb, name) => containers::verb(call, verb, name).await,
        Route::ImageList => images::list(&call).await,
        Route::ImageCreate => images::create(call).await,
        Route::ImageInspect(name) => images::inspect(&call, &name).await,
        Route::Distribution(name) => images::distribution(&call, &name).await,
        Route::NetworkList => system::networks(&call).await,
        Route::NetworkInspect(name) => system::network(&call, &name).await,
        Route::VolumeList => system::volumes(&call).await,
        Route::VolumeInspect(name) => system::volume(&call, &name).await,
    }
}
