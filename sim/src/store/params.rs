//! Query strings and durations as Go reads them.

use std::time::Duration;

use percent_encoding::percent_decode_str;

/// The parameters of a query string, decoded, in order.
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub(super) fn parse(query: &str) -> Self {
        let decode = |text: &str| {
            percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
        };
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        });
        Self(pairs.collect())
    }

    /// Whether it is there at all.
    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Its first value; empty when it has none.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// The query string again, sorted by key, as Go's `Values.Encode` prints it.
    pub(super) fn encode(&self) -> String {
        use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
        const KEPT: &AsciiSet =
            &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b' ');
        let encode = |text: &str| utf8_percent_encode(text, KEPT).to_string().replace(' ', "+");
        let mut pairs = self.0.clone();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        let pairs: Vec<String> =
            pairs.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value))).collect();
        pairs.join("&")
    }
}

/// Reads an unsigned number; the error is Go's.
pub(super) fn parse_uint(text: &str) -> Result<u64, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let why = if digits { "value out of range" } else { "invalid syntax" };
    let read = if digits { text.parse().ok() } else { None };
    read.ok_or_else(|| format!("strconv.ParseUint: parsing {text:?}: {why}"))
}

/// Reads a Go duration such as `1m30s`, `1.5h`, `500ms`. Negative ones are no time at all.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let invalid = || format!("time: invalid duration {text}");
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut nanos = 0.0;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(|| format!("time: missing unit in duration {text}"))?;
        let number: f64 = rest[..end].parse().map_err(|_| invalid())?;
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let scale = match &rest[..end] {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3_600e9,
            unit => return Err(format!("time: unknown unit {unit} in duration {text}")),
        };
        nanos += number * scale;
        rest = &rest[end..];
    }
    Ok(if negative { Duration::ZERO } else { Duration::from_nanos(nanos as u64) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        let ms = |text: &str| parse_duration(text).map(|d| d.as_millis());
        assert_eq!(ms("15000ms"), Ok(15_000));
        assert_eq!(ms("1m30s"), Ok(90_000));
        assert_eq!(ms("1.5h"), Ok(5_400_000));
        assert_eq!(ms("0"), Ok(0));
        assert_eq!(ms("-3s"), Ok(0));
        assert_eq!(ms(""), Err("time: invalid duration ".into()));
        assert_eq!(ms("5"), Err("time: missing unit in duration 5".into()));
        assert_eq!(ms("5x"), Err("time: unknown unit x in duration 5x".into()));
        assert_eq!(ms("x"), Err("time: invalid duration x".into()));
    }

    #[test]
    fn queries_are_gos() {
        let params = Params::parse("recurse&a=1&b=x+y%2Fz&&a=2");
        assert!(params.has("recurse"));
        assert_eq!(params.get("recurse"), Some(""));
        assert_eq!(params.get("a"), Some("1"));
        assert_eq!(params.get("b"), Some("x y/z"));
        assert!(!params.has("c"));
        assert_eq!(Params::parse("release=s&acquire=a b").encode(), "acquire=a+b&release=s");
        assert_eq!(parse_uint("7"), Ok(7));
        assert_eq!(
            parse_uint("-1"),
            Err("strconv.ParseUint: parsing \"-1\": invalid syntax".into())
        );
    }
}
