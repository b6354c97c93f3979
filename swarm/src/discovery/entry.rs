//! One address of the list, and the texts that lists are written in.

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;

use crate::ctx::split_host_port;

/// The address of an engine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Host name or IP, without brackets.
    pub host: String,
    /// Port, as written.
    pub port: String,
}

impl Entry {
    /// Reads `host:port` or `[ipv6]:port`.
    ///
    /// # Errors
    /// Go's words, such as `address a: missing port in address`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (host, port) = split_host_port(text).map_err(|error| error.to_string())?;
        // The classic manager takes any text for a port and fails when it connects.
        if port.parse::<u16>().is_err() {
            return Err(format!("address {text}: invalid port \"{port}\""));
        }
        Ok(Self { host: host.to_owned(), port: port.to_owned() })
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        match host.contains(':') {
            true => write!(f, "[{host}]:{port}"),
            false => write!(f, "{host}:{port}"),
        }
    }
}

/// The entries of a list, in its order and each once, and what is wrong with the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed {
    pub(super) entries: Vec<Entry>,
    pub(super) errors: Vec<String>,
}

impl Parsed {
    pub(super) fn of<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Self {
        let mut parsed = Self::default();
        for text in texts {
            match Entry::parse(text.as_ref()) {
                Ok(entry) if parsed.entries.contains(&entry) => {}
                Ok(entry) => parsed.entries.push(entry),
                Err(error) => parsed.errors.push(error),
            }
        }
        parsed
    }
}

/// The most addresses that one range may stand for; a larger one is a typing error.
const RANGE_MAX: u64 = 65_536;

/// The texts that one text with a range `[a:b]` stands for. Without two integers in the brackets
/// the text stands for itself, which is how bracketed IPv6 addresses survive.
pub(super) fn expand(text: &str) -> Vec<String> {
    static RANGE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\[(.+):(.+)\]").expect("the pattern is valid"));
    let literal = || vec![text.to_owned()];
    let Some(found) = RANGE.captures(text) else {
        return literal();
    };
    let (whole, from, to) = (found.get(0), found[1].parse::<i64>(), found[2].parse::<i64>());
    let (Some(whole), Ok(from), Ok(to)) = (whole, from, to) else {
        return literal();
    };
    if from > to {
        return Vec::new();
    }
    if to.abs_diff(from) >= RANGE_MAX {
        return literal();
    }
    let (before, after) = (&text[..whole.start()], &text[whole.end()..]);
    (from..=to).map(|number| format!("{before}{number}{after}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_expand_as_in_the_classic_manager() {
        for (text, expanded) in [
            ("10.0.0.[1:3]:2375", &["10.0.0.1:2375", "10.0.0.2:2375", "10.0.0.3:2375"][..]),
            ("b:[1:2]5", &["b:15", "b:25"]),
            ("a:[2375:2375]", &["a:2375"]),
            ("a[5:4]:1", &[]),
            ("[::1]:2375", &["[::1]:2375"]),
            ("[fe80::1:2]:2375", &["[fe80::1:2]:2375"]),
            ("a[x:2]:1", &["a[x:2]:1"]),
            ("plain:1", &["plain:1"]),
            ("a[0:9223372036854775807]:1", &["a[0:9223372036854775807]:1"]),
        ] {
            assert_eq!(expand(text), expanded, "{text}");
        }
    }

    #[test]
    fn a_bad_entry_does_not_take_the_good_ones_along() {
        let parsed = Parsed::of(["a:1", "garbage", "[::1]:2", "a:1", "b:x"]);
        let printed: Vec<String> = parsed.entries.iter().map(Entry::to_string).collect();
        assert_eq!(printed, ["a:1", "[::1]:2"]);
        assert_eq!(
            parsed.errors,
            ["address garbage: missing port in address", "address b:x: invalid port \"x\""]
        );
    }
}
