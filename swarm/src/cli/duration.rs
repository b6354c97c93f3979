//! Durations as Go writes them: `1m30s`, `500ms`, `-2h`.

use std::fmt;
use std::time::Duration;

/// A span of time in nanoseconds; may be negative, as a typed one may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GoDuration(i64);

const SECOND: i64 = 1_000_000_000;

/// Units with their length in nanoseconds.
const UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3_600 * SECOND),
];

impl GoDuration {
    pub(super) const ZERO: Self = Self(0);
    pub(super) const SECOND: Self = Self(SECOND);

    /// Reads a duration in Go's grammar.
    ///
    /// # Errors
    /// Go's own text, such as `time: invalid duration "x"`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let invalid = || format!("time: invalid duration {text:?}");
        let (negative, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest == "0" {
            return Ok(Self::ZERO);
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        let mut total: i128 = 0;
        while !rest.is_empty() {
            let (number, after) = split_while(rest, |c| c.is_ascii_digit() || c == '.');
            let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
            if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
                return Err(invalid());
            }
            let (unit, after) = split_while(after, |c| c != '.' && !c.is_ascii_digit());
            if unit.is_empty() {
                return Err(format!("time: missing unit in duration {text:?}"));
            }
            let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
                return Err(format!("time: unknown unit {unit:?} in duration {text:?}"));
            };
            total += nanoseconds(whole, fraction, *scale).ok_or_else(invalid)?;
            rest = after;
        }
        let total = i64::try_from(total).map_err(|_| invalid())?;
        Ok(Self(if negative { -total } else { total }))
    }

    pub(super) fn from_nanos(nanos: u64) -> Self {
        Self(i64::try_from(nanos).unwrap_or(i64::MAX))
    }

    /// As a length of time; nothing when negative.
    pub(super) fn as_std(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0).unwrap_or(0))
    }
}

/// Splits `text` before the first character that `keep` refuses.
fn split_while(text: &str, keep: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !keep(c)).unwrap_or(text.len()))
}

/// `whole.fraction` times `scale`; `None` when it is beyond any duration.
fn nanoseconds(whole: &str, fraction: &str, scale: i64) -> Option<i128> {
    // More digits than any number in range has.
    if whole.len() > 19 {
        return None;
    }
    let mut total = if whole.is_empty() { 0 } else { whole.parse::<i128>().ok()? };
    total *= i128::from(scale);
    // Digits beyond these are below any nanosecond.
    let fraction = &fraction[..fraction.len().min(19)];
    if !fraction.is_empty() {
        let digits = u32::try_from(fraction.len()).ok()?;
        total += fraction.parse::<i128>().ok()? * i128::from(scale) / 10_i128.pow(digits);
    }
    (total <= i128::from(i64::MAX)).then_some(total)
}

impl fmt::Display for GoDuration {
    /// `1m0s`, `1h30m0s`, `1.5s`, `20ms`: what Go prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let nanos = self.0.unsigned_abs();
        let second = SECOND.unsigned_abs();
        let decimal = |value: u64, scale: u64| {
            let text = format!("{}.{:09}", value / scale, (value % scale) * (second / scale));
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        match nanos {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{nanos}ns"),
            1_000..1_000_000 => write!(f, "{}µs", decimal(nanos, 1_000)),
            1_000_000..1_000_000_000 => write!(f, "{}ms", decimal(nanos, 1_000_000)),
            _ => {
                let minutes = nanos / (60 * second);
                if minutes >= 60 {
                    write!(f, "{}h", minutes / 60)?;
                }
                if minutes > 0 {
                    write!(f, "{}m", minutes % 60)?;
                }
                write!(f, "{}s", decimal(nanos % (60 * second), second))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_printed_as_go_does() {
        for (text, printed) in [
            ("60s", "1m0s"),
            ("1h30m", "1h30m0s"),
            ("1.5s", "1.5s"),
            (".5s", "500ms"),
            ("20ms", "20ms"),
            ("1500us", "1.5ms"),
            ("-3s", "-3s"),
            ("+2m", "2m0s"),
            ("0", "0s"),
            ("7ns", "7ns"),
            ("1.25h", "1h15m0s"),
            ("0.000000001s", "1ns"),
        ] {
            assert_eq!(GoDuration::parse(text).unwrap().to_string(), printed, "{text}");
        }
    }

    #[test]
    fn errors_are_those_of_go() {
        for (text, error) in [
            ("x", "time: invalid duration \"x\""),
            ("", "time: invalid duration \"\""),
            ("-", "time: invalid duration \"-\""),
            (".s", "time: invalid duration \".s\""),
            ("1.2.3s", "time: invalid duration \"1.2.3s\""),
            ("10", "time: missing unit in duration \"10\""),
            ("10x", "time: unknown unit \"x\" in duration \"10x\""),
            ("9999999999h", "time: invalid duration \"9999999999h\""),
        ] {
            assert_eq!(GoDuration::parse(text).unwrap_err(), error);
        }
    }
}
