//! JUnit's XML, which every continuous integration shows: a suite per run with a case per step, or,
//! of a sweep, with a case per seed.
//!
//! Only what the common schemas agree on is used (`lab/tests/junit-10.xsd` is the one that a test
//! validates against), so the place in the file stands in a failure's text.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::event::Event;
use crate::runner::{Outcome, subject};
use crate::scenario::Scenario;

/// How a case came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All that was expected held.
    Passed,
    /// Something did not hold: in a line, and in full.
    Failed(String, String),
    /// There is no verdict: why, in a line, and in full.
    Broken(String, String),
    /// It was not run: why.
    Skipped(String),
}

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// What: `step 3: run proxy1`, or `seed 7`.
    pub name: String,
    /// How long it took, in the cluster's own time where it has any.
    pub time: Duration,
    /// How it came out.
    pub verdict: Verdict,
}

/// One run, or one sweep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suite {
    /// The scenario's name.
    pub scenario: String,
    /// How it was run, in order: world, tls, seed, file.
    pub properties: Vec<(&'static str, String)>,
    /// The date and time when it began.
    pub began: SystemTime,
    /// What was checked.
    pub cases: Vec<Case>,
}

impl Suite {
    /// A suite with a single case that came to no verdict.
    #[must_use]
    pub fn alone(self, name: &str, verdict: Verdict) -> Self {
        let case = Case { name: name.to_owned(), time: Duration::ZERO, verdict };
        Self { cases: vec![case], ..self }
    }

    /// A case for each step of a run. `failure` is the report of what failed, as a person sees it.
    #[must_use]
    pub fn of_steps(
        self,
        scenario: &Scenario,
        events: &[Event],
        outcome: &Outcome,
        failure: &str,
    ) -> Self {
        let case = |(n, step): (usize, &crate::scenario::Step)| {
            let n = n + 1;
            let at = |kind: &str| {
                let told = |event: &&Event| event.kind == kind && event.fields["step"] == n;
                events.iter().find(told)
            };
            let began = at("step.start");
            let name = format!("step {n}: {} {}", step.verb.word(), subject(step));
            let ended = at("step.end").map_or(Duration::ZERO, |event| event.time);
            let time = ended.saturating_sub(began.map_or(ended, |event| event.time));
            let verdict = match &outcome.failure {
                Some(failed) if failed.step == n => {
                    let place = scenario.location(failed.span);
                    Verdict::Failed(format!("{place}: {}", failed.title), failure.to_owned())
                }
                _ if n <= outcome.steps => Verdict::Passed,
                Some(failed) => Verdict::Skipped(format!("step {} failed", failed.step)),
                None => Verdict::Skipped("--until ends the run before".to_owned()),
            };
            Case { name: name.trim_end().to_owned(), time, verdict }
        };
        Self { cases: scenario.steps.iter().enumerate().map(case).collect(), ..self }
    }

    fn count(&self, is: impl Fn(&Verdict) -> bool) -> usize {
        self.cases.iter().filter(|case| is(&case.verdict)).count()
    }

    /// The scenario's name with what tells its runs apart: `vagrant4 (simulator, tls off, seed 7)`.
    fn name(&self) -> String {
        let told = self.properties.iter().filter(|(key, _)| *key != "file");
        let words: Vec<_> = told
            .map(|(key, value)| match *key {
                "world" => value.clone(),
                key => format!("{key} {value}"),
            })
            .collect();
        match words.is_empty() {
            true => self.scenario.clone(),
            false => format!("{} ({})", self.scenario, words.join(", ")),
        }
    }

    fn write(&self, out: &mut String) {
        let (failed, broken, skipped) = (
            self.count(|verdict| matches!(verdict, Verdict::Failed(..))),
            self.count(|verdict| matches!(verdict, Verdict::Broken(..))),
            self.count(|verdict| matches!(verdict, Verdict::Skipped(_))),
        );
        let time = seconds(self.cases.iter().map(|case| case.time).sum());
        let began = jiff::Timestamp::try_from(self.began).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let began = began.strftime("%Y-%m-%dT%H:%M:%S");
        let name = attribute(&self.name());
        let tests = self.cases.len();
        let _ = writeln!(
            out,
            "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failed}\" \
             errors=\"{broken}\" skipped=\"{skipped}\" time=\"{time}\" timestamp=\"{began}\">"
        );
        if !self.properties.is_empty() {
            out.push_str("    <properties>\n");
            for (key, value) in &self.properties {
                let value = attribute(value);
                let _ = writeln!(out, "      <property name=\"{key}\" value=\"{value}\"/>");
            }
            out.push_str("    </properties>\n");
        }
        for case in &self.cases {
            let (name, class) = (attribute(&case.name), attribute(&self.scenario));
            let time = seconds(case.time);
            let _ =
                write!(out, "    <testcase name=\"{name}\" classname=\"{class}\" time=\"{time}\"");
            case.verdict.write(out);
        }
        out.push_str("  </testsuite>\n");
    }
}

impl Verdict {
    /// The rest of a case, from the end of its start tag on.
    fn write(&self, out: &mut String) {
        let (element, kind, line, full) = match self {
            Self::Passed => {
                out.push_str("/>\n");
                return;
            }
            Self::Skipped(why) => {
                let why = attribute(why);
                let _ = writeln!(out, ">\n      <skipped message=\"{why}\"/>\n    </testcase>");
                return;
            }
            Self::Failed(line, full) => ("failure", "expectation", line, full),
            Self::Broken(line, full) => ("error", "environment", line, full),
        };
        let (line, full) = (attribute(line), text(full));
        let _ = writeln!(
            out,
            ">\n      <{element} type=\"{kind}\" message=\"{line}\">{full}</{element}>\n    \
             </testcase>"
        );
    }
}

/// All suites as one document.
#[must_use]
pub fn document(suites: &[Suite]) -> String {
    let sum = |of: &dyn Fn(&Suite) -> usize| suites.iter().map(of).sum::<usize>();
    let tests = sum(&|suite| suite.cases.len());
    let failed = sum(&|suite| suite.count(|verdict| matches!(verdict, Verdict::Failed(..))));
    let broken = sum(&|suite| suite.count(|verdict| matches!(verdict, Verdict::Broken(..))));
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"swarmlab\" \
         tests=\"{tests}\" failures=\"{failed}\" errors=\"{broken}\">\n"
    );
    suites.iter().for_each(|suite| suite.write(&mut out));
    out.push_str("</testsuites>\n");
    out
}

/// What an event says its step is about, for a case of a run that broke off.
#[must_use]
pub fn last_step(events: &[Event]) -> Option<String> {
    let started = events.iter().rfind(|event| event.kind == "step.start")?;
    let word = |key: &str| started.fields.get(key).and_then(Value::as_str).unwrap_or_default();
    Some(format!("step {}: {} {}", started.fields["step"], word("verb"), word("subject")))
}

fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}

/// Text for between two quotes: line ends and tabs survive there only as references.
fn attribute(value: &str) -> String {
    escaped(value, true)
}

/// Text for between two tags.
fn text(value: &str) -> String {
    escaped(value, false)
}

fn escaped(value: &str, quoted: bool) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            // Always: `]]>` must not stand in text.
            '>' => out.push_str("&gt;"),
            '"' if quoted => out.push_str("&quot;"),
            '\n' | '\t' if !quoted => out.push(c),
            // A reader would turn a bare one into a line feed, or a blank.
            '\n' | '\t' | '\r' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            // XML 1.0 has no way at all to write these.
            '\0'..'\x20' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(cases: Vec<Case>) -> Suite {
        let properties = vec![("world", "simulator".to_owned()), ("seed", "7".to_owned())];
        Suite { scenario: "demo".into(), properties, began: SystemTime::UNIX_EPOCH, cases }
    }

    #[test]
    fn what_xml_cannot_say_is_replaced_and_the_rest_is_escaped() {
        assert_eq!(attribute("a<b>&\"c\"\n\t\r"), "a&lt;b&gt;&amp;&quot;c&quot;&#10;&#9;&#13;");
        assert_eq!(text("]]> \"x\"\n\ty\r"), "]]&gt; \"x\"\n\ty&#13;");
        assert_eq!(text("\x1b[31mred\0\u{ffff}ä"), "\u{fffd}[31mred\u{fffd}\u{fffd}ä");
    }

    #[test]
    fn every_verdict_has_its_place_and_its_number() {
        let case = |name: &str, verdict| Case {
            name: name.to_owned(),
            time: Duration::from_millis(1500),
            verdict,
        };
        let document = document(&[suite(vec![
            case("one", Verdict::Passed),
            case("two", Verdict::Failed("not so".into(), "two\nlines".into())),
            case("three", Verdict::Broken("no engine".into(), String::new())),
            case("four", Verdict::Skipped("step 2 failed".into())),
        ])]);
        insta::assert_snapshot!(document);
    }
}
