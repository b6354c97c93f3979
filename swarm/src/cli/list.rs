//! `list`: the nodes that a discovery service names.

use crate::ctx::Ctx;
use crate::discovery;

use super::Environment;
use super::duration::GoDuration;
use super::grammar::{Flag, HELP, Parsed};
use super::help::Command;
use super::values;

pub(super) const COMMAND: Command = Command {
    name: "list",
    alias: "l",
    usage: "List nodes in a cluster",
    arguments: "<discovery>",
    flags: &[Flag::text(&["timeout"], "10s", "timeout period"), values::DISCOVERY_OPT, HELP],
};

/// Prints the first batch of nodes, one `host:port` per line.
///
/// # Errors
/// The text of the check that failed, the service's first error, or `Timed out`.
pub(super) async fn run(env: &Environment, ctx: &Ctx, parsed: &Parsed) -> Result<(), String> {
    let url = values::discovery(env, parsed, "list", "list a cluster")?;
    let timeout = values::duration(parsed, "timeout")?;
    if timeout <= GoDuration::ZERO {
        return Err("--timeout should be a positive number".into());
    }
    let timeout = timeout.as_std();
    let options = values::discovery_options(parsed)?;
    let service = discovery::open(ctx, &url, timeout, std::time::Duration::ZERO, &options)?;
    let mut batches = service.watch();
    match tokio::time::timeout(timeout, batches.recv()).await {
        Ok(Some(Ok(entries))) => {
            for entry in entries {
                (env.out)(&format!("{entry}\n"));
            }
            Ok(())
        }
        Ok(Some(Err(error))) => Err(error),
        Ok(None) | Err(_) => Err("Timed out".into()),
    }
}
