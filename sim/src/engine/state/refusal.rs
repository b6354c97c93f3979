//! How an engine says no.

use std::fmt;

/// A status code with the engine's text. Code 304 carries no text: there was nothing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// The `message` of the error body.
    pub message: String,
}

impl Refusal {
    pub(in crate::engine) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub(in crate::engine) fn bad(message: impl Into<String>) -> Self {
        Self::new(400, message)
    }

    pub(in crate::engine) fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, message)
    }

    pub(in crate::engine) fn conflict(message: impl Into<String>) -> Self {
        Self::new(409, message)
    }

    pub(in crate::engine) fn server(message: impl Into<String>) -> Self {
        Self::new(500, message)
    }

    pub(in crate::engine) fn not_modified() -> Self {
        Self::new(304, "")
    }

    /// The same refusal, its text behind `prefix`.
    pub(in crate::engine) fn prefixed(self, prefix: &str) -> Self {
        Self { message: format!("{prefix}{}", self.message), ..self }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.message)
    }
}

impl std::error::Error for Refusal {}
