//! Why a call to an engine failed, and whether the engine may have acted on it.

use std::fmt;
use std::io;

use http_body_util::LengthLimitError;
use hyper::{Method, StatusCode};
use serde_json::Value;

use crate::tls;

/// Why a call to an engine failed. The texts are the classic manager's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineError {
    /// The engine was not reached, did not answer in time, or one of the two did not accept the
    /// other's certificate. Only this counts as a failure of
    /// the engine (the rule of the classic manager's failure counter).
    Connect(String),
    /// The engine answered with an error.
    Api {
        /// The status of its answer.
        status: StatusCode,
        /// Its message, without a prefix.
        message: String,
    },
    /// Anything else: a connection that broke, a name that does not resolve, an answer that is
    /// not HTTP or JSON.
    Other(String),
}

impl EngineError {
    /// The error of an engine that cannot be reached at `addr`.
    #[must_use]
    pub fn unreachable(addr: &str) -> Self {
        Self::Connect(format!(
            "Cannot connect to the Docker daemon at tcp://{addr}. Is the docker daemon running?"
        ))
    }

    /// The error that an engine's answer is.
    #[must_use]
    pub fn api(status: StatusCode, body: &[u8]) -> Self {
        let message = match serde_json::from_slice::<Value>(body) {
            Ok(Value::Object(fields)) => {
                fields.get("message").and_then(Value::as_str).unwrap_or_default().to_owned()
            }
            _ => String::from_utf8_lossy(body).trim().to_owned(),
        };
        let message = match message.is_empty() {
            true => status.canonical_reason().unwrap_or("unknown error").to_owned(),
            false => message,
        };
        Self::Api { status, message }
    }

    /// The status of the engine's answer, if it answered.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Api { status, .. } => Some(*status),
            Self::Connect(_) | Self::Other(_) => None,
        }
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(text) | Self::Other(text) => f.write_str(text),
            Self::Api { message, .. } => write!(f, "Error response from daemon: {message}"),
        }
    }
}

impl std::error::Error for EngineError {}

/// A failed call and what is known of its effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What the caller is told.
    pub(crate) error: EngineError,
    /// Whether the engine may have done what it was asked to: the request left and no answer came.
    pub(crate) unknown: bool,
}

impl Failure {
    /// The engine answered, so its word is final.
    pub(super) fn certain(error: EngineError) -> Self {
        Self { error, unknown: false }
    }

    /// The request was sent and nothing came back in time.
    pub(super) fn timeout(addr: &str) -> Self {
        Self { error: EngineError::unreachable(addr), unknown: true }
    }

    /// The request was sent and the connection broke, for the reason in `cause`.
    pub(super) fn broken(method: &Method, url: &str, cause: &str) -> Self {
        let error = EngineError::Other(during_connect(method, url, cause));
        Self { error, unknown: true }
    }

    /// What hyper's client reports for a request without an answer.
    pub(super) fn client(
        addr: &str,
        method: &Method,
        url: &str,
        error: &hyper_util::client::legacy::Error,
    ) -> Self {
        let io = io_cause(error);
        if let Some(why) = io.and_then(tls::refusal) {
            // The engine read nothing of the request. Nobody can use an engine that cannot be
            // trusted, so this counts against it, as being out of reach does; in the classic
            // manager it counts for nothing and the node stays as it was.
            let text = during_connect(method, url, &why.to_string());
            return Self::certain(EngineError::Connect(text));
        }
        if error.is_connect() && io.is_some_and(counts) {
            return Self::certain(EngineError::unreachable(addr));
        }
        let cause = match io {
            // A name that does not resolve: the resolver's words say it all.
            Some(io) if error.is_connect() && io.kind() == io::ErrorKind::Other => {
                return Self::certain(EngineError::Other(io.to_string()));
            }
            Some(io) => io.to_string(),
            None => root_cause(error),
        };
        Self { unknown: !error.is_connect(), ..Self::broken(method, url, &cause) }
    }
}

/// Whether a failed dial counts against the engine.
pub(super) fn counts(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    )
}

fn io_cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io);
        }
        next = error.source();
    }
    None
}

/// The innermost reason. hyper's own "connection closed before message completed" is Go's `EOF`.
pub(super) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    loop {
        if last.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message) {
            return "EOF".to_owned();
        }
        match last.source() {
            Some(source) => last = source,
            None => return last.to_string(),
        }
    }
}

/// Why reading an answer's body failed.
pub(super) fn body_cause(error: &(dyn std::error::Error + 'static)) -> String {
    match io_cause(error) {
        Some(io) => io.to_string(),
        None if error.is::<LengthLimitError>() => "answer too large".to_owned(),
        None => error.to_string(),
    }
}

fn during_connect(method: &Method, url: &str, cause: &str) -> String {
    format!("error during connect: {} \"{url}\": {cause}", title_case(method))
}

/// `GET` as `Get`: how Go's HTTP client names methods in its errors.
fn title_case(method: &Method) -> String {
    let (first, rest) = method.as_str().split_at(1);
    first.to_owned() + &rest.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engines_answer_keeps_its_message() {
        for (body, message) in [
            (r#"{"message":"No such image: x"}"#, "No such image: x"),
            ("plain text\n", "plain text"),
            ("", "Not Found"),
            ("{}", "Not Found"),
        ] {
            let error = EngineError::api(StatusCode::NOT_FOUND, body.as_bytes());
            assert_eq!(error.to_string(), format!("Error response from daemon: {message}"));
            assert_eq!(error.status(), Some(StatusCode::NOT_FOUND));
        }
    }

    #[test]
    fn only_an_unreachable_engine_counts() {
        use io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable, TimedOut};
        let counted = |kind: io::ErrorKind| counts(&io::Error::from(kind));
        assert!(counted(ConnectionRefused) && counted(TimedOut) && counted(HostUnreachable));
        assert!(!counted(ConnectionReset) && !counted(io::ErrorKind::UnexpectedEof));
    }

    #[test]
    fn a_broken_connection_reads_like_gos() {
        let failure = Failure::broken(&Method::GET, "http://a:1/info", "EOF");
        assert_eq!(failure.error.to_string(), "error during connect: Get \"http://a:1/info\": EOF");
        assert!(failure.unknown);
    }
}
