//! Orders from outside the node: `docker exec NODE lab node ctl VERB PROCESS`, and the question
//! how its processes are: `docker exec NODE lab node ctl status`.

use std::fmt;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::str::FromStr;

/// The socket on which a node takes orders.
pub(super) const SOCKET: &str = "/run/lab/control.sock";

/// The question how all processes are. The answer is a JSON object: the state of each by name.
pub(super) const STATUS: &str = "status";

/// What a process can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// Run, if it does not.
    Start,
    /// End in good order.
    Stop,
    /// End now.
    Kill,
    /// End in good order, then run.
    Restart,
    /// Stand still.
    Pause,
    /// Go on.
    Resume,
}

const VERBS: [(&str, Verb); 6] = [
    ("start", Verb::Start),
    ("stop", Verb::Stop),
    ("kill", Verb::Kill),
    ("restart", Verb::Restart),
    ("pause", Verb::Pause),
    ("resume", Verb::Resume),
];

impl FromStr for Verb {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || VERBS.map(|(name, _)| name).join(", ");
        let found = VERBS.iter().find(|(name, _)| *name == text);
        found.map(|(_, verb)| *verb).ok_or_else(|| format!("no verb `{text}`: {}", known()))
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, _) = VERBS.iter().find(|(_, verb)| verb == self).expect("every verb is listed");
        f.write_str(name)
    }
}

/// Gives an order to the node this runs in, and waits until it is carried out.
pub(super) fn ask(verb: &str, process: &str) -> Result<(), String> {
    let verb: Verb = verb.parse()?;
    match say(&format!("{verb} {process}"))?.as_str() {
        "ok" => Ok(()),
        refused => Err(refused.into()),
    }
}

/// Asks the node this runs in how its processes are, and prints the answer.
pub(super) fn status() -> Result<(), String> {
    println!("{}", say(STATUS)?);
    Ok(())
}

/// Sends a line; returns the one that comes back.
fn say(line: &str) -> Result<String, String> {
    let failed = |e: std::io::Error| format!("{SOCKET}: {e}");
    let mut stream = UnixStream::connect(SOCKET).map_err(failed)?;
    writeln!(stream, "{line}").map_err(failed)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).map_err(failed)?;
    match answer.trim_end() {
        "" => Err("the node gave no answer".into()),
        answer => Ok(answer.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_reads_as_it_is_written() {
        for (name, verb) in VERBS {
            assert_eq!(name.parse(), Ok(verb));
            assert_eq!(verb.to_string(), name);
        }
        assert!("halt".parse::<Verb>().unwrap_err().contains("start, stop"));
    }
}
