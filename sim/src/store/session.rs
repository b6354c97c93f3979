//! Sessions: what holds locks, and ends by itself when nobody renews it.

use std::time::Duration;

use serde_json::{Value, json};

use super::params::parse_duration;

/// The shortest and longest time to live that Consul takes.
const TTL_RANGE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(86_400));
/// Consul lets a session live for so many times its time to live, to be lenient with clients
/// that renew late.
pub(super) const TTL_FACTOR: u32 = 2;
/// The longest lock delay that has effect.
pub(super) const LOCK_DELAY_MAX: Duration = Duration::from_secs(60);
/// Lock delays are nanoseconds, but smaller numbers than this are taken as seconds.
const LOCK_DELAY_SECONDS_BELOW: u64 = 1000;

/// What happens to the keys that a session has locked when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behavior {
    /// They are unlocked.
    Release,
    /// They are deleted.
    Delete,
}

impl Behavior {
    fn as_str(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Delete => "delete",
        }
    }
}

/// What a client asks for when it creates a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRequest {
    /// A name for people.
    pub name: String,
    /// The node it belongs to; the server's own when empty.
    pub node: String,
    /// How long its keys cannot be locked after it ended without being asked to.
    pub lock_delay: Duration,
    /// What happens to its keys.
    pub behavior: Behavior,
    /// Its time to live as the client wrote it; empty for ever.
    pub ttl: String,
    /// The health checks of the node it names; they are always healthy here.
    pub node_checks: Vec<String>,
}

impl Default for SessionRequest {
    fn default() -> Self {
        Self {
            name: String::new(),
            node: String::new(),
            lock_delay: Duration::from_secs(15),
            behavior: Behavior::Release,
            ttl: String::new(),
            node_checks: vec!["serfHealth".to_owned()],
        }
    }
}

/// Why a session was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The body cannot be read: status 400.
    Undecodable(String),
    /// A value is not allowed: status 500, as Consul has it.
    Invalid(String),
}

impl SessionRequest {
    /// Reads the body of `PUT /v1/session/create`. Keys in any case, unknown ones ignored.
    pub(super) fn decode(body: &[u8]) -> Result<Self, Refusal> {
        let mut request = Self::default();
        if body.is_empty() {
            return Ok(request);
        }
        let undecodable = |e: String| Refusal::Undecodable(format!("Request decode failed: {e}"));
        let value: Value = serde_json::from_slice(body).map_err(|e| undecodable(e.to_string()))?;
        let fields =
            value.as_object().ok_or_else(|| undecodable("expected an object".to_owned()))?;
        for (key, value) in fields {
            let text = || {
                value
                    .as_str()
                    .map(str::to_owned)
                    .ok_or_else(|| undecodable(format!("'{key}' expected type 'string'")))
            };
            match key.to_ascii_lowercase().as_str() {
                "name" => request.name = text()?,
                "node" => request.node = text()?,
                "ttl" => request.ttl = text()?,
                "behavior" => request.behavior = behavior(&text()?)?,
                "lockdelay" => request.lock_delay = lock_delay(value).map_err(undecodable)?,
                "checks" | "nodechecks" => request.node_checks = texts(value),
                _ => {}
            }
        }
        request.ttl()?;
        Ok(request)
    }

    /// The time to live; `None` for ever.
    pub(super) fn ttl(&self) -> Result<Option<Duration>, Refusal> {
        if self.ttl.is_empty() {
            return Ok(None);
        }
        let ttl = parse_duration(&self.ttl)
            .map_err(|e| Refusal::Invalid(format!("Session TTL '{}' invalid: {e}", self.ttl)))?;
        if !ttl.is_zero() && !(TTL_RANGE.0..=TTL_RANGE.1).contains(&ttl) {
            return Err(Refusal::Invalid(format!(
                "Invalid Session TTL '{}', must be between [10s=24h0m0s]",
                ttl.as_nanos()
            )));
        }
        Ok((!ttl.is_zero()).then_some(ttl))
    }
}

fn behavior(text: &str) -> Result<Behavior, Refusal> {
    match text {
        "" | "release" => Ok(Behavior::Release),
        "delete" => Ok(Behavior::Delete),
        other => Err(Refusal::Invalid(format!("Invalid Behavior setting '{other}'"))),
    }
}

fn lock_delay(value: &Value) -> Result<Duration, String> {
    let delay = match value {
        Value::String(text) => parse_duration(text)?,
        Value::Number(number) => {
            // Go's JSON knows only floating point; a negative delay is no delay.
            let nanos = number.as_f64().unwrap_or_default().max(0.0);
            Duration::from_nanos(nanos as u64)
        }
        _ => return Err("'LockDelay' expected a duration".to_owned()),
    };
    let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
    Ok(if nanos < LOCK_DELAY_SECONDS_BELOW { Duration::from_secs(nanos) } else { delay })
}

fn texts(value: &Value) -> Vec<String> {
    let list = value.as_array().into_iter().flatten();
    list.filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// A session that lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its identifier, a UUID.
    pub id: String,
    /// What the client asked for, with the node filled in.
    pub request: SessionRequest,
    /// The index of its creation.
    pub create_index: u64,
    /// When it ends unless renewed, on the store's clock; `None` for never.
    pub(super) expires: Option<Duration>,
    pub(super) ttl: Option<Duration>,
}

impl Session {
    /// The session as Consul prints it.
    #[must_use]
    pub fn json(&self) -> Value {
        let SessionRequest { name, node, lock_delay, behavior, ttl, node_checks } = &self.request;
        json!({
            "ID": self.id,
            "Name": name,
            "Node": node,
            "LockDelay": u64::try_from(lock_delay.as_nanos()).unwrap_or(u64::MAX),
            "Behavior": behavior.as_str(),
            "TTL": ttl,
            "NodeChecks": node_checks,
            "ServiceChecks": null,
            "CreateIndex": self.create_index,
            "ModifyIndex": self.create_index,
        })
    }

    /// Starts its time to live again.
    pub(super) fn renew(&mut self, now: Duration) {
        self.expires = self.ttl.map(|ttl| now + ttl * TTL_FACTOR);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_consul_reads_it() {
        let decode = |text: &str| SessionRequest::decode(text.as_bytes());
        assert_eq!(decode("").unwrap(), SessionRequest::default());
        let full = decode(
            r#"{"name": "n", "TTL": "20s", "Behavior": "delete", "lockdelay": "1ms",
                "Checks": [], "Other": 1}"#,
        )
        .unwrap();
        assert_eq!(full.name, "n");
        assert_eq!(full.ttl(), Ok(Some(Duration::from_secs(20))));
        assert_eq!(full.behavior, Behavior::Delete);
        assert_eq!(full.lock_delay, Duration::from_millis(1));
        assert!(full.node_checks.is_empty());
        assert_eq!(decode(r#"{"LockDelay": 5}"#).unwrap().lock_delay, Duration::from_secs(5));
        assert_eq!(decode(r#"{"LockDelay": "0s"}"#).unwrap().lock_delay, Duration::ZERO);
    }

    #[test]
    fn refusals_are_worded_like_consuls() {
        let refused = |text: &str| SessionRequest::decode(text.as_bytes()).unwrap_err();
        assert_eq!(
            refused(r#"{"TTL": "5s"}"#),
            Refusal::Invalid(
                "Invalid Session TTL '5000000000', must be between [10s=24h0m0s]".into()
            )
        );
        assert_eq!(
            refused(r#"{"TTL": "x"}"#),
            Refusal::Invalid("Session TTL 'x' invalid: time: invalid duration x".into())
        );
        assert_eq!(
            refused(r#"{"Behavior": "keep"}"#),
            Refusal::Invalid("Invalid Behavior setting 'keep'".into())
        );
        assert!(matches!(refused("{"), Refusal::Undecodable(_)));
        assert!(matches!(refused(r#"{"Name": 1}"#), Refusal::Undecodable(_)));
    }
}
