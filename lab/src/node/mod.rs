//! The main program of a node: `lab node SPEC`, and `lab node ctl VERB PROCESS` or `lab node ctl
//! status` inside it.
//!
//! A node is a container that stands for a host. This program makes the container fit for a
//! Docker engine (`prepare`), starts the processes of its [`Spec`] when what they need answers
//! (`supervise`), and writes what they say to standard output, one JSON object per line
//! (`report`), where the run that started the node follows it.
//!
//! It starts nothing again on its own: a process that ends is a finding, and the run decides.
#![expect(clippy::disallowed_methods, reason = "the real world's own calls")]

mod control;
mod prepare;
pub(crate) mod probe;
pub mod report;
pub mod spec;
mod supervise;

pub use spec::Spec;

/// Runs `lab node …` with the words after `node`, and returns the exit code.
#[must_use]
pub fn main(args: &[String]) -> i32 {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["ctl", control::STATUS] => control::status(),
        ["ctl", verb, process] => control::ask(verb, process),
        // A container that only shows whether the engine may start one like it.
        ["true"] => Ok(()),
        [spec] => serve(spec),
        _ => {
            Err("usage: lab node SPEC | lab node ctl VERB PROCESS | lab node ctl status".to_owned())
        }
    };
    match done {
        Ok(()) => 0,
        Err(message) => {
            eprintln!("error: {message}");
            1
        }
    }
}

fn serve(spec: &str) -> Result<(), String> {
    let spec: Spec = serde_json::from_str(spec).map_err(|e| format!("the spec: {e}"))?;
    for problem in prepare::prepare(&spec) {
        report::Report::Line { component: "node".into(), line: problem.into() }.print();
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("the runtime: {e}"))?;
    runtime.block_on(supervise::run(spec))
}
