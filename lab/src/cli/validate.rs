//! `lab validate FILE…`: is each file a scenario? Nothing is started.

use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;

use crate::scenario::{self, Overrides};

/// Exit code when a file is not a scenario.
const INVALID: i32 = 2;

/// Checks files one after the other; a line per good one on standard output, a report per bad one
/// on standard error, in colour on a terminal unless `NO_COLOR` is set. The result is the exit
/// code: 2 if any file is bad, else 0.
#[must_use]
pub fn run(files: &[PathBuf], overrides: &Overrides) -> i32 {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let color = !plain && io::stderr().is_terminal();
    // A pipe that was closed early leaves nobody to tell.
    check(files, overrides, color, &mut io::stdout(), &mut io::stderr()).unwrap_or(INVALID)
}

/// The same, written to `out` and `err`.
fn check(
    files: &[PathBuf],
    overrides: &Overrides,
    color: bool,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<i32> {
    let mut code = 0;
    for file in files {
        match scenario::load_all(file, overrides) {
            Ok(runs) => {
                // Every run is of the same file: they differ in settings only.
                let Some(scenario) = runs.first() else { continue };
                let hosts = counted(scenario.cluster.hosts.len(), "host");
                let steps = counted(scenario.steps.len(), "step");
                writeln!(out, "{}: ok ({hosts}, {steps})", file.display())?;
            }
            Err(report) => {
                if code != 0 {
                    writeln!(err)?;
                }
                write!(err, "{}", report.render(color))?;
                code = INVALID;
            }
        }
    }
    Ok(code)
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_files_get_a_line_and_bad_ones_a_report() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let good = PathBuf::from(format!("{root}/scenarios/vagrant4.yaml"));
        let bad = PathBuf::from(format!("{root}/scenarios/nowhere.yaml"));
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = check(&[good, bad], &Overrides::default(), false, &mut out, &mut err);
        assert_eq!(code.expect("memory takes everything"), 2);
        let (out, err) = (String::from_utf8(out), String::from_utf8(err));
        let out = out.expect("the output is UTF-8");
        assert!(out.ends_with("vagrant4.yaml: ok (4 hosts, 10 steps)\n"), "{out}");
        let err = err.expect("the report is UTF-8");
        assert!(err.starts_with("  error: cannot read `"), "{err}");
    }
}
