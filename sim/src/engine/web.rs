//! The web server inside an `nginx` container.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, DATE, HeaderValue, SERVER, USER_AGENT};
use hyper::{Method, Request, Response};
use swarm::ctx::Listener;
use swarm::ctx::http::{self, Body};

use super::http::date;
use super::run::Engine;
use super::state::program::Stream;

const VERSION: &str = "nginx/1.27.0";

const WELCOME: &str = "<!DOCTYPE html>
<html>
<head>
<title>Welcome to nginx!</title>
<style>
html { color-scheme: light dark; }
body { width: 35em; margin: 0 auto;
font-family: Tahoma, Verdana, Arial, sans-serif; }
</style>
</head>
<body>
<h1>Welcome to nginx!</h1>
<p>If you see this page, the nginx web server is successfully installed and
working. Further configuration is required.</p>

<p>For online documentation and support please refer to
<a href=\"http://nginx.org/\">nginx.org</a>.<br/>
Commercial support is available at
<a href=\"http://nginx.com/\">nginx.com</a>.</p>

<p><em>Thank you for using nginx.</em></p>
</body>
</html>
";

/// Serves a published port of run `run` of a container until the container ends.
pub(super) async fn serve(engine: Arc<Engine>, socket: Box<dyn Listener>, id: String, run: u64) {
    let ctx = engine.ctx.clone();
    http::serve(ctx, socket, move |request| {
        let response = respond(&engine, &id, run, &request);
        async move { response }
    })
    .await;
}

fn respond(engine: &Engine, id: &str, run: u64, request: &Request<Incoming>) -> Response<Body> {
    let path = request.uri().path();
    let found = matches!(path, "/" | "/index.html");
    let status = match *request.method() {
        Method::GET | Method::HEAD if found => 200,
        Method::GET | Method::HEAD => 404,
        _ => 405,
    };
    let page = match status {
        200 => WELCOME.to_owned(),
        404 => error_page("404 Not Found"),
        _ => error_page("405 Not Allowed"),
    };
    log(engine, id, run, request, status, page.len());
    let mut response = Response::new(http::full(page));
    *response.status_mut() = status.try_into().expect("one of three valid codes");
    let headers = response.headers_mut();
    headers.insert(SERVER, HeaderValue::from_static(VERSION));
    headers.insert(DATE, date(engine.ctx.now()));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}

fn error_page(title: &str) -> String {
    format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1>\
         </center>\r\n<hr><center>{VERSION}</center>\r\n</body>\r\n</html>\r\n"
    )
}

/// The line of the access log, on the container's standard output.
fn log(
    engine: &Engine,
    id: &str,
    run: u64,
    request: &Request<Incoming>,
    status: u16,
    length: usize,
) {
    let at = engine.ctx.now().strftime("%d/%b/%Y:%H:%M:%S +0000");
    let agent = request.headers().get(USER_AGENT).and_then(|value| value.to_str().ok());
    let line = format!(
        "172.17.0.1 - - [{at}] \"{} {} HTTP/1.1\" {status} {length} \"-\" \"{}\" \"-\"",
        request.method(),
        request.uri(),
        agent.unwrap_or("-"),
    );
    engine.update(|state, moment| state.printed(moment, id, run, Stream::Stdout, &line));
}
