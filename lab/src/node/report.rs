//! The lines a node writes for the run that started it.

use std::borrow::Cow;
use std::io::Write as _;

use serde::{Deserialize, Serialize};

/// A line of a node's output.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Report<'a> {
    /// A process said something.
    Line {
        /// Which one; `node` is the node itself.
        #[serde(borrow)]
        component: Cow<'a, str>,
        /// What it said.
        #[serde(borrow)]
        line: Cow<'a, str>,
    },
    /// A process started.
    Start {
        /// Which one.
        #[serde(borrow)]
        component: Cow<'a, str>,
    },
    /// A process ended.
    Exit {
        /// Which one.
        #[serde(borrow)]
        component: Cow<'a, str>,
        /// Its exit status in words.
        #[serde(borrow)]
        status: Cow<'a, str>,
    },
    /// The node cannot do what it was told to.
    Failed {
        /// What went wrong.
        #[serde(borrow)]
        what: Cow<'a, str>,
    },
}

impl Report<'_> {
    /// Writes the line.
    pub fn print(&self) {
        let line = serde_json::to_string(self).expect("a report is plain strings");
        // Nobody left to read it: the processes are still to be looked after.
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_survives_quotes_and_colours() {
        let said = Report::Line { component: "engine".into(), line: "a \"b\" \u{1b}[0m \\".into() };
        let text = serde_json::to_string(&said).unwrap();
        assert_eq!(serde_json::from_str::<Report<'_>>(&text).unwrap(), said);
    }
}
