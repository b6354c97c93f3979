//! `join`: the agent. It keeps one engine's address in the discovery service and never leaves.

use std::convert::Infallible;
use std::time::Duration;

use crate::ctx::{Ctx, Level};
use crate::discovery;

use super::Environment;
use super::duration::GoDuration;
use super::grammar::{Flag, HELP, Parsed};
use super::help::Command;
use super::values;

/// The pause after a registration that failed. The classic agent waits for the next heartbeat, so that
/// two failures in a row may cost a live node its place in the list.
const RETRY: Duration = Duration::from_secs(5);

pub(super) const COMMAND: Command = Command {
    name: "join",
    alias: "j",
    usage: "Join a docker cluster",
    arguments: "<discovery>",
    flags: &[
        Flag::text(
            values::ADVERTISE,
            "",
            "Address of the Docker Engine joining the cluster. Swarm manager(s) MUST be able to \
             reach the Docker Engine at this address.",
        )
        .or_env("SWARM_ADVERTISE"),
        values::HEARTBEAT,
        Flag::text(&["ttl"], "180s", "set the expiration of an ephemeral node"),
        Flag::text(
            &["delay"],
            "0s",
            "add a random delay in [0s,delay] to avoid synchronized registration",
        ),
        values::DISCOVERY_OPT,
        HELP,
    ],
};

/// Runs the agent until it is dropped.
///
/// # Errors
/// The text of the check that failed.
pub(super) async fn run(
    env: &Environment,
    ctx: &Ctx,
    parsed: &Parsed,
) -> Result<Infallible, String> {
    let url = values::discovery(env, parsed, "join", "join a cluster")?;
    let address = parsed.text("advertise");
    if address.is_empty() {
        return Err("missing mandatory --advertise flag".into());
    }
    values::check_advertise(address)?;
    let delay = values::duration(parsed, "delay")?;
    if delay < GoDuration::ZERO {
        return Err("--delay should not be a negative number".into());
    }
    let heartbeat = values::heartbeat(parsed)?;
    let ttl = values::duration(parsed, "ttl")?;
    if ttl <= heartbeat {
        return Err("--ttl must be strictly superior to the heartbeat value".into());
    }
    let options = values::discovery_options(parsed)?;
    let service = discovery::open(ctx, &url, heartbeat.as_std(), ttl.as_std(), &options)?;
    if delay > GoDuration::ZERO {
        wait_a_little(ctx, delay).await;
    }
    loop {
        ctx.log_with(
            Level::Info,
            format!("Registering on the discovery service every {heartbeat}..."),
            &[("addr", address), ("discovery", &url)],
        );
        let mut pause = heartbeat.as_std();
        if let Err(error) = service.register(address).await {
            ctx.log(Level::Error, error);
            pause = pause.min(RETRY);
        }
        tokio::time::sleep(pause).await;
    }
}

async fn wait_a_little(ctx: &Ctx, most: GoDuration) {
    let nanos = u64::try_from(most.as_std().as_nanos()).unwrap_or(u64::MAX);
    let delay = GoDuration::from_nanos(ctx.random_below("join-delay", nanos));
    ctx.log(Level::Info, format!("Add a random delay {delay} to avoid synchronized registration"));
    tokio::time::sleep(delay.as_std()).await;
}
