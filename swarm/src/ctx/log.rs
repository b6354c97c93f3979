//! Log records, and how they look as a line.

use std::fmt::Write as _;
use std::str::FromStr;

/// How important a record is, most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The process ends.
    Fatal,
    /// Something failed.
    Error,
    /// Something is odd.
    Warn,
    /// Milestones.
    Info,
    /// Details for whoever looks for a fault.
    Debug,
}

impl Level {
    /// The word used in log lines.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fatal => "fatal",
            Self::Error => "error",
            Self::Warn => "warning",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "debug" => Self::Debug,
            "info" => Self::Info,
            "warn" | "warning" => Self::Warn,
            "error" => Self::Error,
            "fatal" | "panic" => Self::Fatal,
            _ => return Err(format!("not a valid logrus Level: \"{text}\"")),
        })
    }
}

/// One thing worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its importance.
    pub level: Level,
    /// What happened.
    pub message: String,
    /// Details, in the order given.
    pub fields: Vec<(String, String)>,
}

impl Record {
    /// The line of the classic manager: `time="…" level=info msg="…" key=value`. `time` is RFC 3339.
    #[must_use]
    pub fn line(&self, time: &str) -> String {
        let mut line = format!(
            "time=\"{time}\" level={} msg={}",
            self.level.as_str(),
            quoted(&self.message, true)
        );
        for (key, value) in &self.fields {
            let _ = write!(line, " {key}={}", quoted(value, false));
        }
        line
    }
}

/// Quotes when asked to, or when the text holds anything beyond `[A-Za-z0-9._/@^+:-]`.
fn quoted(text: &str, always: bool) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._/@^+:".contains(c);
    if !always && !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Where records go. Filtering by level is the implementation's affair.
pub trait Log: Send + Sync {
    /// Takes a record.
    fn write(&self, record: &Record);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_like_the_classic_managers() {
        let record = Record {
            level: Level::Info,
            message: "Listening for \"HTTP\"".into(),
            fields: vec![
                ("proto".into(), "tcp".into()),
                ("addr".into(), "0.0.0.0:2375".into()),
                ("text".into(), "a b".into()),
            ],
        };
        assert_eq!(
            record.line("2026-01-02T03:04:05Z"),
            "time=\"2026-01-02T03:04:05Z\" level=info msg=\"Listening for \\\"HTTP\\\"\" proto=tcp \
             addr=0.0.0.0:2375 text=\"a b\""
        );
    }
}
