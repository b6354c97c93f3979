//! The report on a terminal or in a pipe: one line per thing done, printed as it happens.
//!
//! A terminal gets colours (unless `NO_COLOR` is set) and, where the world is slow, a live line
//! with what is under way; a pipe gets the same words and nothing else.

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use super::{count, human};
use crate::event::{Event, Sink};

/// Where the time of a line ends.
const WIDTH: usize = 78;

/// How the report looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Whether to use colours.
    pub color: bool,
    /// Whether to show a live line for what is under way.
    pub live: bool,
}

/// The report.
pub struct Terminal {
    out: Mutex<Box<dyn Write + Send>>,
    style: Style,
    live: ProgressBar,
    /// Whether the live line is shown.
    busy: AtomicBool,
}

impl Terminal {
    /// A report on `out`.
    #[must_use]
    pub fn new(out: Box<dyn Write + Send>, style: Style) -> Self {
        let target =
            if style.live { ProgressDrawTarget::stdout() } else { ProgressDrawTarget::hidden() };
        let live = ProgressBar::with_draw_target(None, target);
        let template = ProgressStyle::with_template("  {spinner} {msg} {elapsed}");
        live.set_style(template.expect("the template is well formed").tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
        Self { out: Mutex::new(out), style, live, busy: AtomicBool::new(false) }
    }

    /// Shows `what` on the live line until something else happens.
    pub fn under_way(&self, what: &str) {
        if self.style.live {
            self.busy.store(true, Ordering::Relaxed);
            self.live.reset_elapsed();
            self.live.set_message(what.to_owned());
            self.live.enable_steady_tick(Duration::from_millis(100));
        }
    }

    /// Takes the live line away.
    pub fn idle(&self) {
        if self.busy.swap(false, Ordering::Relaxed) {
            self.live.disable_steady_tick();
            self.live.finish_and_clear();
        }
    }

    /// Prints a line.
    pub fn line(&self, text: &str) {
        let print = || {
            let mut out = self.out.lock().expect("no writer panics while it holds the lock");
            // A reader that went away (`| head`) must not stop a run that has things to remove.
            let _ = writeln!(out, "{text}").and_then(|()| out.flush());
        };
        if self.busy.load(Ordering::Relaxed) { self.live.suspend(print) } else { print() }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.style.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn start(&self, event: &Event) {
        let text = |key: &str| event.fields.get(key).and_then(Value::as_str).unwrap_or_default();
        let number = |key: &str| number(event, key);
        let mut head = vec![text("world").to_owned()];
        if let Some(seed) = event.fields.get("seed").and_then(Value::as_u64) {
            head.push(format!("seed {seed}"));
        }
        head.push(format!("tls {}", text("tls")));
        head.push(format!("swarmlab {}", text("version")));
        self.line(&format!("{}   {}", self.paint("1", text("scenario")), head.join(" · ")));
        let mut parts = vec![format!("{} on {}", count(number("hosts"), "host"), text("network"))];
        for key in ["store", "strategy"] {
            if key == "strategy" {
                parts.push(count(number("engines"), "engine"));
            }
            if !text(key).is_empty() {
                parts.push(text(key).to_owned());
            }
        }
        self.line(&format!("  {}\n", parts.join(" · ")));
    }

    fn item(&self, event: &Event) {
        let text = |key: &str| event.fields.get(key).and_then(Value::as_str).unwrap_or_default();
        let ok = event.fields.get("ok").and_then(Value::as_bool).unwrap_or_default();
        let mark = if ok { self.paint("32", "✓") } else { self.paint("31", "✗") };
        let words = match (text("result"), text("detail")) {
            ("", detail) if !detail.is_empty() => format!("{:<9}{detail}", pad(text("subject"))),
            ("", "") => text("subject").to_owned(),
            (result, "") => format!("{:<9}{result}", pad(text("subject"))),
            (result, detail) => {
                format!("{:<9}{:<15}{detail}", pad(text("subject")), pad(result))
            }
        };
        let took = Duration::from_micros(
            event.fields.get("took_us").and_then(Value::as_u64).unwrap_or_default(),
        );
        let took = human(took);
        let verb = format!("{:<7} ", text("verb"));
        let rest = WIDTH - 4 - verb.chars().count() - took.len();
        let words = shortened(&words, rest - 2);
        let gap = rest - words.chars().count();
        let took = self.paint("2", &took);
        self.line(&format!("  {mark} {verb}{words}{:gap$}{took}", ""));
    }
}

/// Text of at most `most` characters; the log has it whole.
fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain("…".chars()).collect()
}

/// Text with at least one blank after it when padded to a column.
fn pad(text: &str) -> String {
    format!("{text} ")
}

fn number(event: &Event, key: &str) -> usize {
    event.fields.get(key).and_then(Value::as_u64).map_or(0, |n| usize::try_from(n).unwrap_or(0))
}

impl Sink for Terminal {
    fn emit(&self, event: Event) {
        match event.kind.as_str() {
            "run.start" => self.start(&event),
            "cluster.up" => self.under_way("starting the cluster"),
            "step.start" => {
                let text =
                    |key: &str| event.fields.get(key).and_then(Value::as_str).unwrap_or_default();
                self.under_way(&format!("{:<7} {}", text("verb"), text("subject")));
            }
            "step.item" => {
                self.idle();
                self.item(&event);
            }
            "step.end" | "run.end" => self.idle(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_pipe_gets_plain_lines_that_end_in_one_column() {
        let out = Shared::default();
        let report = Terminal::new(Box::new(out.clone()), Style::default());
        let emit = |kind: &str, fields: Value| {
            report.emit(Event::new(Duration::ZERO, "lab", "runner", kind, fields));
        };
        emit(
            "run.start",
            json!({
                "scenario": "demo", "world": "simulator", "seed": 7, "tls": "off", "version": "0.1.0",
                "hosts": 2, "network": "10.0.0.0/24", "engines": 1, "store": "consul",
                "strategy": "spread",
            }),
        );
        emit(
            "step.item",
            json!({
                "verb": "wait", "subject": "1 node healthy", "ok": true, "took_us": 1_210_000,
            }),
        );
        emit(
            "step.item",
            json!({
                "verb": "run", "subject": "proxy1", "result": "dockerhost03",
                "detail": "10.100.199.203:80->80/tcp", "ok": true, "took_us": 300_000,
            }),
        );
        emit(
            "step.item",
            json!({
                "verb": "run", "subject": "proxy9", "result": "", "ok": true, "took_us": 20_000,
                "detail": "refused: no node with port 80 (Bridge mode), available container slots",
            }),
        );
        emit(
            "step.item",
            json!({
                "verb": "run", "subject": "proxy9", "result": "", "detail": "", "ok": false,
                "took_us": 12_400_000,
            }),
        );
        insta::assert_snapshot!(String::from_utf8(out.0.lock().unwrap().clone()).unwrap());
    }
}
