//! `create`: a token of the hosted discovery service.

use super::Environment;
use super::grammar::{HELP, Parsed};
use super::help::Command;

pub(super) const COMMAND: Command = Command {
    name: "create",
    alias: "c",
    usage: "Create a cluster",
    arguments: "",
    flags: &[HELP],
};

/// # Errors
/// The service was switched off in 2019 and is not served yet from elsewhere.
pub(super) fn run(env: &Environment, parsed: &Parsed) -> Result<(), String> {
    if !parsed.positional.is_empty() {
        let program = &env.program;
        return Err(format!(
            "the `create` command takes no arguments. See '{program} create --help'."
        ));
    }
    for line in [
        "Token based discovery is now deprecated and might be removed in the future.",
        "It will be replaced by a default discovery backed by Docker Swarm Mode.",
        "Other mechanisms such as consul and etcd will continue to work as expected.",
    ] {
        env.plain_log(line);
    }
    Err("token discovery is not supported yet".into())
}
