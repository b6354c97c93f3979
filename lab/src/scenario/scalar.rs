//! What a scalar without quotes means, and the values that carry a unit.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::context::Context;
use super::decode::Decode;
use super::yaml::Node;

/// What a scalar without quotes looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Boolean,
    /// A decimal whole number.
    Integer,
    /// A decimal number with a point or an exponent.
    Float,
    /// Something that YAML 1.1 and 1.2 read differently: `on`, `no`, `012`, `0x1f`, `22:22`.
    Trap,
    /// Anything else.
    Text,
}

impl Kind {
    /// Looks at the text of a scalar without quotes.
    #[must_use]
    pub fn of(text: &str) -> Self {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return Self::Null,
            "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => return Self::Boolean,
            _ => {}
        }
        if ["on", "off", "yes", "no", "y", "n"].contains(&text.to_lowercase().as_str()) {
            return Self::Trap;
        }
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if all_digits(digits) {
            let octal = digits.len() > 1 && digits.starts_with('0');
            return if octal { Self::Trap } else { Self::Integer };
        }
        // 1_000 is a number to the base 10, 0x1f, 0o17 and 0b1 to others, 22:22 to the base 60.
        let based = ["0x", "0o", "0b"].iter().find_map(|prefix| digits.strip_prefix(prefix));
        if based.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_hexdigit()))
            || digits.contains('_') && all_digits(&digits.replace('_', ""))
        {
            return Self::Trap;
        }
        let mut parts = digits.split(':');
        let first = parts.next().is_some_and(all_digits);
        let sixty = |part: &str| part.len() <= 2 && part.parse::<u8>().is_ok_and(|n| n < 60);
        if digits.contains(':') && first && parts.all(sixty) {
            return Self::Trap;
        }
        let number = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
            && digits.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b));
        if number && text.parse::<f64>().is_ok() { Self::Float } else { Self::Text }
    }
}

/// An amount of memory, in bytes. Written with a unit: `64MiB`, `1GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Memory(pub u64);

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole =
            |(_, factor): &&(&str, u64)| self.0 >= *factor && self.0.is_multiple_of(*factor);
        let (unit, factor) = MEMORY_UNITS.iter().rev().find(whole).unwrap_or(&MEMORY_UNITS[0]);
        write!(f, "{}{unit}", self.0 / factor)
    }
}

const MEMORY_UNITS: &[(&str, u64)] =
    &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// Units that Docker reads as powers of 1024 and everyone else as powers of 1000.
const AMBIGUOUS_UNITS: &[(&str, &str)] = &[
    ("k", "KiB"),
    ("kb", "KiB"),
    ("m", "MiB"),
    ("mb", "MiB"),
    ("g", "GiB"),
    ("gb", "GiB"),
    ("t", "TiB"),
    ("tb", "TiB"),
];

impl Decode for Memory {
    fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
        let wanted = "an amount of memory";
        let (text, _) = cx.scalar(node, wanted)?;
        let (digits, unit) = split_unit(text);
        let factor = MEMORY_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
        let number: Option<u64> = digits.parse().ok();
        if let (Some(number), Some(factor)) = (number, factor)
            && let Some(bytes) = number.checked_mul(factor)
        {
            return Some(Self(bytes));
        }
        let lower = unit.to_lowercase();
        let label = if number.is_none() || unit.starts_with('.') {
            format!("`{text}` is not a whole number with a unit")
        } else if factor.is_some() {
            "more than 64 bits can count".to_owned()
        } else if unit.is_empty() {
            format!("a number without a unit: write `{digits}MiB`, or `{digits}B` for bytes")
        } else if let Some((_, meant)) = AMBIGUOUS_UNITS.iter().find(|(name, _)| *name == lower) {
            format!("did you mean `{digits}{meant}`?")
        } else if let Some((meant, _)) =
            MEMORY_UNITS.iter().find(|(name, _)| name.to_lowercase() == lower)
        {
            format!("did you mean `{digits}{meant}`?")
        } else {
            format!("unknown unit `{unit}`")
        };
        let title = format!("{} must be {wanted}", cx.subject());
        cx.error(node.span, title, label).note("units of memory: B, KiB, MiB, GiB, TiB");
        None
    }
}

impl JsonSchema for Memory {
    fn schema_name() -> Cow<'static, str> {
        "Memory".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An amount of memory with its unit.",
            "type": "string",
            "pattern": "^[0-9]+(B|KiB|MiB|GiB|TiB)$",
            "examples": ["64MiB", "1GiB"],
        })
    }
}

const DURATION_UNITS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// A length of time. Written with a unit: `250ms`, `30s`, `5m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

impl Decode for Period {
    fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
        let wanted = "a length of time";
        let (text, _) = cx.scalar(node, wanted)?;
        let (digits, unit) = split_unit(text);
        let factor =
            DURATION_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
        let number: Option<u64> = digits.parse().ok();
        if let (Some(number), Some(factor)) = (number, factor)
            && let Some(millis) = number.checked_mul(factor)
        {
            return Some(Self(Duration::from_millis(millis)));
        }
        let meant = match unit.to_lowercase().as_str() {
            "sec" | "secs" | "second" | "seconds" => Some("s"),
            "min" | "mins" | "minute" | "minutes" => Some("m"),
            "hour" | "hours" | "hr" => Some("h"),
            "day" | "days" => Some("d"),
            "msec" | "millis" | "milliseconds" => Some("ms"),
            lower => DURATION_UNITS.iter().map(|(name, _)| *name).find(|name| *name == lower),
        };
        let label = match (number, factor, meant) {
            (None, ..) => format!("`{text}` is not a whole number with a unit"),
            _ if unit.starts_with('.') => {
                format!("`{text}` is not a whole number: take a smaller unit")
            }
            (_, Some(_), _) => "more milliseconds than 64 bits can count".to_owned(),
            _ if unit.is_empty() => {
                format!("a number without a unit: write `{digits}s` for seconds")
            }
            (.., Some(meant)) => format!("did you mean `{digits}{meant}`?"),
            _ => format!("unknown unit `{unit}`"),
        };
        let title = format!("{} must be {wanted}", cx.subject());
        cx.error(node.span, title, label).note("units of time: ms, s, m, h, d");
        None
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A length of time with its unit.",
            "type": "string",
            "pattern": "^[0-9]+(ms|s|m|h|d)$",
            "examples": ["250ms", "30s", "5m"],
        })
    }
}

/// Splits `64MiB` into `64` and `MiB`.
fn split_unit(text: &str) -> (&str, &str) {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (&text[..at], &text[at..])
}

#[cfg(test)]
mod tests {
    use super::super::span::Source;
    use super::super::yaml;
    use super::*;

    /// Reads a document that is one value; `None` if it has a mistake.
    fn read<T: Decode>(text: &str) -> Option<T> {
        let mut cx = Context::new(Source::new("value.yaml", text));
        let node = yaml::parse(&mut cx).expect("the text is YAML");
        let value = T::decode(&node, &mut cx);
        assert_eq!(value.is_none(), cx.mistakes() == 1, "one message for each bad value: {text}");
        value
    }

    #[test]
    fn what_yaml_versions_read_differently_is_a_trap() {
        for text in [
            "on", "Off", "YES", "no", "y", "N", "012", "-07", "0x1F", "0o17", "0b1", "1_000",
            "22:22", "1:30:00",
        ] {
            assert_eq!(Kind::of(text), Kind::Trap, "{text}");
        }
        for text in ["once", "none", "80:80", "1.2.3", "10.0.0.1", "a:b", "0x", "1e", "::1", "-"] {
            assert_eq!(Kind::of(text), Kind::Text, "{text}");
        }
        for text in ["0", "-1", "+1", "42"] {
            assert_eq!(Kind::of(text), Kind::Integer, "{text}");
        }
        for text in ["0.5", "1e3", "-1.5E-2", ".5"] {
            assert_eq!(Kind::of(text), Kind::Float, "{text}");
        }
    }

    #[test]
    fn memory_has_a_binary_unit() {
        assert_eq!(read("64MiB"), Some(Memory(64 << 20)));
        assert_eq!(read("1GiB"), Some(Memory(1 << 30)));
        assert_eq!(read("\"512B\""), Some(Memory(512)));
        for text in ["64", "64m", "64MB", "64 MiB", "MiB", "-1MiB", "1.5GiB", "16777216TiB"] {
            assert_eq!(read::<Memory>(text), None, "{text}");
        }
    }

    #[test]
    fn memory_is_shown_in_its_largest_whole_unit() {
        let shown = [0, 1, 1 << 10, 1536, 64 << 20, 1 << 30].map(|n| Memory(n).to_string());
        assert_eq!(shown, ["0B", "1B", "1KiB", "1536B", "64MiB", "1GiB"]);
    }

    #[test]
    fn time_has_a_unit() {
        let read = |text| read::<Period>(text).map(|period| period.0);
        assert_eq!(read("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(read("30s"), Some(Duration::from_secs(30)));
        assert_eq!(read("5m"), Some(Duration::from_secs(300)));
        assert_eq!(read("1d"), Some(Duration::from_secs(86_400)));
        for text in ["30", "5min", "1.5s", "s", "-1s", "1h30m", "999999999999999999d"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
