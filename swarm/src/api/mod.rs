//! The Docker API that clients see: one engine, made of many.
//!
//! Lists and descriptions are answered from what the manager knows; requests about one container
//! go to its engine, in the version of the API that was negotiated with that engine; bodies are
//! passed on as they arrive.

mod build;
mod container;
mod error;
mod events;
mod exec;
mod fanout;
mod hijack;
mod image;
mod images;
mod networks;
mod proxy;
mod ps;
mod query;
mod route;
mod system;
mod volumes;

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, LOCATION, SERVER};
use hyper::{Method, Request, Response, StatusCode};
use percent_encoding::utf8_percent_encode;
use serde_json::Value;

use crate::ctx::http::{self, Body};
use crate::ctx::{Ctx, Level};
use crate::engine::ApiVersion;
use crate::manager::Manager;

pub use error::ApiError;

use exec::Execs;
use query::Query;
use route::{Handler, Target};

/// What an endpoint answers.
type Reply = Result<Response<Body>, ApiError>;

/// What the API tells of its own process, and its switches.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Whether browsers of other origins may call.
    pub cors: bool,
    /// Shown in `/info` and `/version`.
    pub experimental: bool,
    /// Whether a container list with a `node` filter first asks those engines.
    pub refresh_on_node_filter: bool,
    /// A container list with exactly this `name` filter first asks all engines; empty for none.
    pub name_refresh_filter: String,
    /// The manager's host name.
    pub host_name: String,
    /// The kernel of the manager's host.
    pub kernel: String,
    /// The manager's `http_proxy`, only shown.
    pub http_proxy: String,
    /// The manager's `https_proxy`, only shown.
    pub https_proxy: String,
    /// The manager's `no_proxy`, only shown.
    pub no_proxy: String,
}

impl Settings {
    /// The defaults on this host.
    #[must_use]
    pub fn of_host(ctx: &Ctx) -> Self {
        let kernel_says = |name: &str| {
            let read = ctx.files.read(&Path::new("/proc/sys/kernel").join(name)).ok();
            let text = read.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
            text.filter(|text| !text.is_empty()).unwrap_or_else(|| "<unknown>".to_owned())
        };
        Self {
            host_name: kernel_says("hostname"),
            kernel: kernel_says("osrelease"),
            ..Self::default()
        }
    }
}

/// The API of one manager.
pub struct Api {
    manager: Arc<Manager>,
    settings: Settings,
    /// The version last told to a client that asked for it.
    told: Mutex<Option<ApiVersion>>,
    execs: Execs,
}

const API_VERSION: HeaderName = HeaderName::from_static("api-version");
const OSTYPE: HeaderName = HeaderName::from_static("ostype");
const EXPERIMENTAL: HeaderName = HeaderName::from_static("docker-experimental");

impl Api {
    /// The API of `manager`.
    #[must_use]
    pub fn new(manager: Arc<Manager>, settings: Settings) -> Self {
        Self { manager, settings, told: Mutex::new(None), execs: Execs::default() }
    }

    /// Answers one request. It never fails: errors and even panics become replies.
    pub async fn handle(self: &Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let reply = guarded(&self.manager.ctx, self.answer(request)).await;
        let mut response = reply.unwrap_or_else(ApiError::into_response);
        self.add_headers(response.headers_mut());
        response
    }

    async fn answer(self: &Arc<Self>, request: Request<Incoming>) -> Reply {
        let path = request.uri().path();
        if let Some(clean) = route::redirect(path) {
            return redirect(&clean, request.uri().query());
        }
        let preflight = request.method() == Method::OPTIONS;
        let target = match route::find(request.method(), path) {
            Some(target) if !preflight || self.settings.cors => target,
            _ => return Err(ApiError::not_found("page not found")),
        };
        if preflight {
            return Ok(Response::new(http::empty()));
        }
        check_version(target.version)?;
        self.dispatch(target, request).await
    }

    async fn dispatch(self: &Arc<Self>, target: Target, request: Request<Incoming>) -> Reply {
        let query = Query::parse(request.uri().query());
        let name = target.name.as_str();
        match target.handler {
            Handler::Ping => Ok(self.ping()),
            Handler::Version => Ok(self.version()),
            Handler::Info => Ok(self.info()),
            Handler::Events => self.events(&query),
            Handler::ListImages => self.list_images(&query, target.version),
            Handler::ListContainers => self.list_containers(&query).await,
            Handler::Create => self.create(&query, request).await,
            Handler::Inspect => self.inspect(name, request.uri().query()).await,
            Handler::Start => self.start(name, request).await,
            Handler::Rename => self.rename(name, &query).await,
            Handler::Remove => self.remove(name, &query).await,
            Handler::Forward(verb) => self.forward(name, verb, request, false).await,
            Handler::ForwardAndRefresh(verb) => self.forward(name, verb, request, true).await,
            Handler::Hijack(verb) => self.hijack(name, verb, request).await,
            Handler::CreateExec => self.create_exec(name, request).await,
            Handler::Exec(verb) => self.forward_exec(name, verb, request).await,
            Handler::Any(path) => self.to_any(path, request).await,
            Handler::Distribution => {
                let name = utf8_percent_encode(name, image::REFERENCE);
                self.to_any(&format!("/distribution/{name}/json"), request).await
            }
            Handler::Holder(verb) => self.to_holder(name, verb, request).await,
            Handler::SaveImages => self.save_images(&query, request).await,
            Handler::CreateImage => self.create_image(&query, request),
            Handler::LoadImages => self.load_images(request),
            Handler::TagImage => self.tag_image(name, request.uri().query()).await,
            Handler::RemoveImage => self.remove_image(name, request.uri().query()).await,
            Handler::Commit => self.commit(&query, request).await,
            Handler::Build => self.build(&query, request).await,
            Handler::ListNetworks => self.list_networks(&query),
            Handler::InspectNetwork => self.inspect_network(name, request.uri().query()).await,
            Handler::CreateNetwork => self.create_network(request).await,
            Handler::ConnectNetwork => self.connect_network(name, request).await,
            Handler::DisconnectNetwork => self.disconnect_network(name, request).await,
            Handler::RemoveNetwork => self.remove_network(name).await,
            Handler::ListVolumes => self.list_volumes(&query),
            Handler::InspectVolume => self.inspect_volume(name).await,
            Handler::CreateVolume => self.create_volume(request).await,
            Handler::RemoveVolume => self.remove_volume(name, request.uri().query()).await,
            Handler::Senseless => {
                Err(ApiError::new(StatusCode::NOT_IMPLEMENTED, "Not supported in clustering mode."))
            }
            Handler::Unserved => Err(ApiError::new(
                StatusCode::NOT_IMPLEMENTED,
                format!("{} {} is not supported yet by swarm", request.method(), target.path),
            )),
        }
    }

    /// The headers that every reply carries, once each.
    fn add_headers(&self, headers: &mut HeaderMap) {
        let told = *self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let version = told.unwrap_or_else(|| self.advertised_version()).to_string();
        let server = format!("Swarm/{} (linux)", crate::cli::VERSION);
        for (name, text) in [
            (API_VERSION, version.as_str()),
            (OSTYPE, "linux"),
            (EXPERIMENTAL, if self.settings.experimental { "true" } else { "false" }),
            (SERVER, server.as_str()),
        ] {
            headers.insert(name, HeaderValue::from_str(text).expect("plain ASCII"));
        }
        let date = self.manager.ctx.now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        headers.insert(DATE, HeaderValue::from_str(&date).expect("plain ASCII"));
        if self.settings.cors {
            for (name, text) in [
                ("access-control-allow-origin", "*"),
                ("access-control-allow-headers", "Origin, X-Requested-With, Content-Type, Accept"),
                ("access-control-allow-methods", "GET, POST, DELETE, PUT, OPTIONS, HEAD"),
            ] {
                let name = HeaderName::from_static(name);
                headers.insert(name, HeaderValue::from_static(text));
            }
        }
    }

    /// The version of the API that clients are told to speak: the highest that every healthy engine
    /// can honour.
    ///
    /// Requests about one container reach its engine in the engine's own version, so no engine
    /// may be older than what a client was promised: told 1.51, it would use fields that a 1.41
    /// engine drops in silence. Docker CLIs from 20.10 (1.41) to 28.x (1.51) adapt to what they are
    /// told. Requests up to [`ApiVersion::MAX`] are accepted all the same: a client that has
    /// negotiated must not be locked out when an older engine joins later.
    ///
    /// All engines are looked at, so this is for pings and `/version`, by which clients negotiate;
    /// other replies repeat what was told last.
    fn advertised_version(&self) -> ApiVersion {
        let healthy = self.manager.healthy();
        let engines = healthy.iter().filter_map(|addr| self.manager.engine(addr));
        let version = engines.map(|engine| engine.version()).min().unwrap_or(ApiVersion::MAX);
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(version);
        version
    }
}

/// Makes a panic an error: one bad request must not take the connection, or more, down.
async fn guarded(ctx: &Ctx, answer: impl Future<Output = Reply>) -> Reply {
    AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|_| {
        ctx.log(Level::Error, "a request handler panicked");
        Err(ApiError::internal("the manager failed to handle this request"))
    })
}

/// Refuses versions that the manager does not know, in an engine's words.
fn check_version(version: Option<ApiVersion>) -> Result<(), ApiError> {
    match version {
        Some(version) if version > ApiVersion::MAX => Err(ApiError::bad_request(format!(
            "client version {version} is too new. Maximum supported API version is {}",
            ApiVersion::MAX
        ))),
        Some(version) if version < ApiVersion::MIN => Err(ApiError::bad_request(format!(
            "client version {version} is too old. Minimum supported API version is {}, please \
             upgrade your client to a newer version",
            ApiVersion::MIN
        ))),
        _ => Ok(()),
    }
}

fn redirect(path: &str, query: Option<&str>) -> Reply {
    let location = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let location =
        HeaderValue::try_from(location).map_err(|e| ApiError::bad_request(e.to_string()))?;
    let mut response = Response::new(http::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

/// A JSON reply, ended by a newline as Go's encoder ends it.
fn json(status: StatusCode, value: &Value) -> Response<Body> {
    // Not by `Display`, which takes twice as long.
    let mut text = serde_json::to_vec(value).expect("a JSON value is serialisable");
    text.push(b'\n');
    let mut response = Response::new(http::full(text));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// A reply without a body.
fn no_content() -> Response<Body> {
    let mut response = Response::new(http::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

#[cfg(test)]
mod tests;
