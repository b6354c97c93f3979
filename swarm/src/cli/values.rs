//! Values that more than one command reads, with their checks.

use std::collections::BTreeMap;

use crate::ctx::split_host_port;

use super::Environment;
use super::duration::GoDuration;
use super::grammar::{Flag, Parsed};

pub(super) const ADVERTISE: &[&str] = &["advertise", "addr"];

pub(super) const HEARTBEAT: Flag =
    Flag::text(&["heartbeat"], "60s", "period between each heartbeat");

pub(super) const DISCOVERY_OPT: Flag = Flag::list(&["discovery-opt"], "", "discovery options");

/// Where agents register and managers look, below the path of the discovery URL.
const NODES_PATH: &str = "docker/swarm/nodes";

/// The discovery URL: the one positional argument, or else the variable.
///
/// # Errors
/// `discovery required to <purpose>. See '<program> <command> --help'.`
pub(super) fn discovery(
    env: &Environment,
    parsed: &Parsed,
    command: &str,
    purpose: &str,
) -> Result<String, String> {
    let url = match parsed.positional.as_slice() {
        [only] => only.clone(),
        _ => env.var("SWARM_DISCOVERY").unwrap_or_default(),
    };
    if url.is_empty() {
        let program = &env.program;
        return Err(format!("discovery required to {purpose}. See '{program} {command} --help'."));
    }
    Ok(url)
}

/// `--heartbeat`, at least one second.
pub(super) fn heartbeat(parsed: &Parsed) -> Result<GoDuration, String> {
    let heartbeat = duration(parsed, "heartbeat")?;
    if heartbeat < GoDuration::SECOND {
        return Err("--heartbeat should be at least one second".into());
    }
    Ok(heartbeat)
}

/// A duration of any sign.
pub(super) fn duration(parsed: &Parsed, name: &str) -> Result<GoDuration, String> {
    GoDuration::parse(parsed.text(name)).map_err(|e| format!("invalid --{name}: {e}"))
}

/// `--discovery-opt key=value…`, with the default path.
pub(super) fn discovery_options(parsed: &Parsed) -> Result<BTreeMap<String, String>, String> {
    let mut options = BTreeMap::from([("kv.path".to_owned(), NODES_PATH.to_owned())]);
    for option in parsed.given("discovery-opt") {
        let Some((key, value)) = option.split_once('=') else {
            return Err("--discovery-opt must contain key=value strings".into());
        };
        options.insert(key.to_owned(), value.to_owned());
    }
    Ok(options)
}

/// Checks that an `--advertise` address is `host:port` with a port from 1 to 65535.
pub(super) fn check_advertise(address: &str) -> Result<(), String> {
    let valid = split_host_port(address)
        .is_ok_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0));
    if valid {
        Ok(())
    } else {
        Err("--advertise should be of the form ip:port or hostname:port".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advertised_addresses_are_host_and_port() {
        for good in [":4000", "1.2.3.4:1", "name:65535", "[::1]:2375"] {
            assert!(check_advertise(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "http://1.1.1.1:1", "a:0", "a:65536", "1.1.1.1: 4000", "::1:1"] {
            assert!(check_advertise(bad).is_err(), "{bad}");
        }
    }
}
