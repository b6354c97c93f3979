//! Answers in the shapes of an engine.

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};
use swarm::ctx::http::{Body, BodyError, empty, full};

use crate::engine::state::Refusal;

/// What a handler answers.
pub(super) type Reply = Result<Response<Body>, Refusal>;

/// The size up to which Go's server knows the length of an answer before it sends it.
const BUFFERED: usize = 2048;

/// An answer without a body.
pub(super) fn status(code: u16) -> Response<Body> {
    with_status(code, empty())
}

/// A JSON answer, with the newline that Go's encoder ends it with.
pub(super) fn json(code: u16, value: &Value) -> Response<Body> {
    let text = line(value);
    let body = match text.len() {
        0..=BUFFERED => full(text),
        // Longer ones go out chunked.
        _ => streamed(stream::iter([text])),
    };
    typed(with_status(code, body), "application/json")
}

/// One JSON value and a newline.
pub(super) fn line(value: &Value) -> Bytes {
    // Not by `Display`, which takes twice as long.
    let mut text = serde_json::to_vec(value).expect("a JSON value is serialisable");
    text.push(b'\n');
    Bytes::from(text)
}

/// A plain text answer.
pub(super) fn text(code: u16, text: impl Into<Bytes>) -> Response<Body> {
    typed(with_status(code, full(text)), "text/plain; charset=utf-8")
}

/// An answer that goes on for as long as `parts` does.
pub(super) fn stream_of(parts: impl Stream<Item = Bytes> + Send + 'static) -> Response<Body> {
    with_status(200, streamed(parts))
}

/// The same answer with a content type.
pub(super) fn typed(mut response: Response<Body>, kind: &'static str) -> Response<Body> {
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// A refusal as an answer; clients of versions below 1.24 get plain text.
pub(super) fn refusal(refusal: &Refusal, plain: bool) -> Response<Body> {
    if refusal.status == 304 {
        return status(304);
    }
    if plain {
        let mut response = text(refusal.status, format!("{}\n", refusal.message));
        let nosniff = HeaderValue::from_static("nosniff");
        response.headers_mut().insert("X-Content-Type-Options", nosniff);
        return response;
    }
    json(refusal.status, &json!({"message": refusal.message}))
}

fn with_status(code: u16, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code.try_into().expect("the codes here are literals");
    response
}

fn streamed(parts: impl Stream<Item = Bytes> + Send + 'static) -> Body {
    let frames = parts.map(|part| Ok::<_, BodyError>(Frame::data(part)));
    StreamBody::new(frames).boxed_unsync()
}
