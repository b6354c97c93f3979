//! `manage`: the manager.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::api::{self, Api};
use crate::cluster;
use crate::ctx::{Addr, Ctx, Level, go_error, http};
use crate::discovery;
use crate::manager::{self, Manager};
use crate::scheduler::{Filter, Scheduler, Strategy};
use crate::tls::{self, Tls};

use super::Environment;
use super::duration::GoDuration;
use super::grammar::{Flag, HELP, Parsed};
use super::help::Command;
use super::values;

/// The filters' names in canonical order, as a list's default.
const ALL_FILTERS: &str = "health,port,containerslots,dependency,affinity,constraint,whitelist";

pub(super) const COMMAND: Command = Command {
    name: "manage",
    alias: "m",
    usage: "Manage a docker cluster",
    arguments: "<discovery>",
    flags: &[
        Flag::text(&["strategy"], "spread", "placement strategy to use [spread, binpack, random]"),
        Flag::list(
            &["filter", "f"],
            ALL_FILTERS,
            "filter to use [health, port, containerslots, dependency, affinity, constraint, \
             whitelist]",
        ),
        Flag::list(&["host", "H"], "tcp://127.0.0.1:2375", "ip/socket to listen on")
            .or_env("SWARM_HOST"),
        Flag::switch(&["replication"], "Enable Swarm manager replication"),
        Flag::text(&["replication-ttl"], "20s", "Leader lock release time on failure"),
        Flag::text(
            values::ADVERTISE,
            "",
            "Address of the swarm manager joining the cluster. Other swarm manager(s) MUST be \
             able to reach the swarm manager at this address.",
        )
        .or_env("SWARM_ADVERTISE"),
        Flag::switch(&["tls"], "use TLS; implied by --tlsverify=true"),
        Flag::text(
            &["tlscacert"],
            "",
            "trust only remotes providing a certificate signed by the CA given here",
        ),
        Flag::text(&["tlscert"], "", "path to TLS certificate file"),
        Flag::text(&["tlskey"], "", "path to TLS key file"),
        Flag::switch(&["tlsverify"], "use TLS and verify the remote"),
        Flag::text(&["engine-refresh-min-interval"], "30s", "set engine refresh minimum interval"),
        Flag::text(&["engine-refresh-max-interval"], "60s", "set engine refresh maximum interval"),
        Flag::number(&["engine-failure-retry"], "3", "set engine failure retry count"),
        Flag::number(
            &["engine-refresh-retry"],
            "3",
            "deprecated; replaced by --engine-failure-retry",
        ),
        values::HEARTBEAT,
        Flag::switch(&["api-enable-cors", "cors"], "enable CORS headers in the remote API"),
        Flag::text(&["cluster-driver", "c"], "swarm", "cluster driver to use [swarm]"),
        values::DISCOVERY_OPT,
        Flag::list(
            &["cluster-opt"],
            "",
            "cluster driver options\n * swarm.overcommit=0.05  overcommit to apply on resources\n \
             * swarm.createretry=0    container create retry count after initial failure",
        ),
        Flag::switch(
            &["refresh-on-node-filter"],
            "refresh a node's containers when they are listed with a node filter",
        ),
        Flag::text(
            &["container-name-refresh-filter"],
            "",
            "refresh all containers when they are listed with exactly this name filter",
        ),
        HELP,
    ],
};

/// Runs the manager until it is dropped.
///
/// # Errors
/// The text of the check that failed, or why it cannot listen.
pub(super) async fn run(
    env: &Environment,
    ctx: &Ctx,
    global: &Parsed,
    parsed: &Parsed,
) -> Result<Infallible, String> {
    let tls = tls(ctx, parsed)?;
    let (refresh_min, refresh_max) = refresh_interval(parsed)?;
    let failure_retry = failure_retry(parsed)?;
    let url = values::discovery(env, parsed, "manage", "manage a cluster")?;
    let heartbeat = values::heartbeat(parsed)?.as_std();
    let options = values::discovery_options(parsed)?;
    let discovery = discovery::open(ctx, &url, heartbeat, Duration::ZERO, &options)?;
    let scheduler = scheduler(parsed)?;
    let driver = parsed.text("cluster-driver");
    if driver != "swarm" {
        return Err(format!("unsupported cluster {driver:?}"));
    }
    let overcommit_percent = overcommit_percent(ctx, parsed)?;
    let options = manager::Options {
        scheduler,
        cluster: cluster::Options { overcommit_percent, failure_retry },
        refresh_min,
        refresh_max,
        create_retry: create_retry(parsed)?,
        tls: tls.as_ref().map(|tls| tls.client.clone()),
        ..manager::Options::default()
    };
    let manager = Manager::new(ctx.clone(), options);
    (env.manager)(&manager);
    // The classic manager, too, is at work before it looks at the replication flags.
    manager.start(discovery);
    check_replication(&url, parsed)?;
    let settings = api::Settings {
        cors: parsed.switch("api-enable-cors"),
        experimental: global.switch("experimental"),
        refresh_on_node_filter: parsed.switch("refresh-on-node-filter"),
        name_refresh_filter: parsed.text("container-name-refresh-filter").to_owned(),
        http_proxy: env.var("http_proxy").unwrap_or_default(),
        https_proxy: env.var("https_proxy").unwrap_or_default(),
        no_proxy: env.var("no_proxy").unwrap_or_default(),
        ..api::Settings::of_host(ctx)
    };
    let server = tls.as_ref().map(|tls| &tls.server);
    listen(ctx, &hosts(parsed), server, &Arc::new(Api::new(manager, settings))).await?;
    std::future::pending().await
}

/// What the TLS flags ask for. Without `--tlsverify` an authority is of no use, and not read.
fn tls(ctx: &Ctx, parsed: &Parsed) -> Result<Option<Tls>, String> {
    let (ca, cert, key) = (parsed.text("tlscacert"), parsed.text("tlscert"), parsed.text("tlskey"));
    let verify = parsed.switch("tlsverify");
    if !verify && !parsed.switch("tls") {
        return if parsed.is_set("tlscert") || parsed.is_set("tlskey") || parsed.is_set("tlscacert")
        {
            Err("--tlscert, --tlskey and --tlscacert require the use of either --tls or \
                 --tlsverify"
                .into())
        } else {
            Ok(None)
        };
    }
    if cert.is_empty() || key.is_empty() {
        return Err("--tlscert and --tlskey must be provided when using --tls".into());
    }
    if verify && ca.is_empty() {
        return Err("--tlscacert must be provided when using --tlsverify".into());
    }
    Tls::load(ctx, cert, key, verify.then_some(ca)).map(Some)
}

fn refresh_interval(parsed: &Parsed) -> Result<(Duration, Duration), String> {
    // What is no duration counts as zero, and so fails the check below.
    let interval = |name| GoDuration::parse(parsed.text(name)).unwrap_or(GoDuration::ZERO);
    let min = interval("engine-refresh-min-interval");
    let max = interval("engine-refresh-max-interval");
    if min <= GoDuration::ZERO {
        return Err("min refresh interval should be a positive number".into());
    }
    if max < min {
        return Err("max refresh interval cannot be less than min refresh interval".into());
    }
    Ok((min.as_std(), max.as_std()))
}

fn failure_retry(parsed: &Parsed) -> Result<u32, String> {
    if parsed.number("engine-refresh-retry") != 3 {
        return Err("--engine-refresh-retry is deprecated. Use --engine-failure-retry".into());
    }
    match parsed.number("engine-failure-retry") {
        ..=0 => Err("invalid failure retry count".into()),
        retry => Ok(u32::try_from(retry).unwrap_or(u32::MAX)),
    }
}

fn scheduler(parsed: &Parsed) -> Result<Scheduler, String> {
    let strategy = Strategy::parse(parsed.text("strategy")).ok_or("strategy not supported")?;
    // Typed filters replace the default list.
    let names = match parsed.given("filter") {
        [] => parsed.base("filter"),
        given => given,
    };
    let filters: Option<Vec<_>> = names.iter().map(|name| Filter::parse(name)).collect();
    Ok(Scheduler::new(filters.ok_or("filter not supported")?, strategy))
}

/// The value of `--cluster-opt key=value`; the first one given counts.
fn cluster_opt<'a>(parsed: &'a Parsed, key: &str) -> Result<Option<&'a str>, String> {
    for option in parsed.given("cluster-opt") {
        match option.split_once('=') {
            Some((name, value)) if name == key => return Ok(Some(value)),
            None if option == key => {
                return Err(format!("--cluster-opt {key} needs a value: {key}=<value>"));
            }
            _ => {}
        }
    }
    Ok(None)
}

fn overcommit_percent(ctx: &Ctx, parsed: &Parsed) -> Result<i64, String> {
    let ratio: f64 = match cluster_opt(parsed, "swarm.overcommit")? {
        None => 0.05,
        // What is no number counts as zero.
        Some(text) => text.parse().unwrap_or(0.0),
    };
    if ratio <= -1.0 || ratio.is_nan() {
        return Err(format!("swarm.overcommit should be larger than -1, {ratio:.6} is invalid"));
    }
    if ratio < 0.0 {
        ctx.log(
            Level::Warn,
            "-1 < swarm.overcommit < 0 will make swarm take less resource than docker engine \
             offers",
        );
    }
    // Whole percents, cut off; the tiny addend keeps 0.29 from becoming 28.
    #[expect(clippy::cast_possible_truncation, reason = "clamped to a sane range first")]
    Ok((ratio.min(1e6) * 100.0 + ratio.signum() * 1e-9) as i64)
}

fn create_retry(parsed: &Parsed) -> Result<u32, String> {
    let text = cluster_opt(parsed, "swarm.createretry")?.unwrap_or("0");
    let retry: i64 = text.parse().unwrap_or(0);
    if retry < 0 {
        return Err(format!("swarm.createretry can not be negative, {retry} is invalid"));
    }
    Ok(u32::try_from(retry).unwrap_or(u32::MAX))
}

fn check_replication(url: &str, parsed: &Parsed) -> Result<(), String> {
    if !parsed.switch("replication") {
        return Ok(());
    }
    let advertise = parsed.text("advertise");
    if advertise.is_empty() {
        return Err("--advertise address must be provided when using --leader-election".into());
    }
    values::check_advertise(advertise)?;
    if values::duration(parsed, "replication-ttl")? <= GoDuration::ZERO {
        return Err("--replication-ttl should be a positive number".into());
    }
    let scheme = url.split_once("://").map_or("nodes", |(scheme, _)| scheme);
    if !["consul", "etcd", "zk"].contains(&scheme) {
        return Err("Leader election is only supported with consul, etcd and zookeeper \
                    discovery."
            .into());
    }
    Err("replication is not supported yet".into())
}

/// Where to listen. Typed values take the place of the first one of the default or the variable,
/// and only of that: so does the classic manager.
fn hosts(parsed: &Parsed) -> Vec<String> {
    let given = parsed.given("host");
    let base = parsed.base("host");
    let kept = if given.is_empty() { base } else { &base[base.len().min(1)..] };
    kept.iter().chain(given).cloned().collect()
}

/// Opens every listener, then serves them all, Unix sockets over TLS as well.
async fn listen(
    ctx: &Ctx,
    hosts: &[String],
    tls: Option<&tls::Server>,
    api: &Arc<Api>,
) -> Result<(), String> {
    let mut listeners = Vec::new();
    for host in hosts {
        let (protocol, address) = host.split_once("://").unwrap_or(("tcp", host));
        let at = match protocol {
            "tcp" => address.parse().map_err(|e| format!("listen tcp: {e}"))?,
            "unix" => Addr::Unix(address.into()),
            _ => return Err(format!("unsupported protocol: {protocol:?}")),
        };
        let listener = ctx.net.listen(&at).await;
        let listener = listener.map_err(|e| listen_error(protocol, address, &e))?;
        listeners.push((protocol, listener));
    }
    for (protocol, listener) in listeners {
        let address = listener.local_addr().to_string();
        ctx.log_with(Level::Info, "Listening for HTTP", &[("proto", protocol), ("addr", &address)]);
        let listener = match tls {
            Some(server) => server.listener(ctx, listener),
            None => listener,
        };
        let api = Arc::clone(api);
        ctx.spawn(
            "http-listener",
            http::serve(ctx.clone(), listener, move |request| {
                let api = Arc::clone(&api);
                async move { api.handle(request).await }
            }),
        );
    }
    Ok(())
}

fn listen_error(protocol: &str, address: &str, error: &io::Error) -> String {
    let text = format!("listen {protocol} {address}: bind: {}", go_error(error));
    if error.kind() == io::ErrorKind::AddrInUse && text.contains(":2375") {
        return format!(
            "{text}: is Docker already running on this machine? Try using a different port"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::cli::grammar::parse_command;
    use crate::ctx::real;

    use super::*;

    fn parsed(line: &str, var: &dyn Fn(&str) -> Option<String>) -> Parsed {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse_command(COMMAND.flags, &args, var).unwrap()
    }

    #[test]
    fn typed_hosts_replace_the_first_of_the_others() {
        let none = |_: &str| None;
        let var = |name: &str| (name == "SWARM_HOST").then(|| "a:1,b:1".to_owned());
        assert_eq!(hosts(&parsed("", &none)), ["tcp://127.0.0.1:2375"]);
        assert_eq!(hosts(&parsed("-H c:1 -H d:1", &none)), ["c:1", "d:1"]);
        assert_eq!(hosts(&parsed("", &var)), ["a:1", "b:1"]);
        assert_eq!(hosts(&parsed("-H c:1", &var)), ["b:1", "c:1"]);
    }

    #[test]
    fn the_default_filters_are_all_filters_in_order() {
        let scheduler = scheduler(&parsed("", &|_| None)).unwrap();
        assert_eq!(scheduler.filters(), Filter::ALL);
        let line = "-f port -f health --strategy binpacking";
        let scheduler = super::scheduler(&parsed(line, &|_| None)).unwrap();
        assert_eq!(scheduler.filters(), [Filter::Port, Filter::Health]);
        assert_eq!(scheduler.strategy(), Strategy::Binpack);
    }

    #[tokio::test]
    async fn overcommitment_is_read_in_whole_percents() {
        for (ratio, percent) in
            [("0.05", 5), ("0.29", 29), ("0.299", 29), ("-0.29", -29), ("x", 0), ("2", 200)]
        {
            let line = format!("--cluster-opt swarm.overcommit={ratio} --cluster-opt foo");
            let parsed = parsed(&line, &|_| None);
            assert_eq!(overcommit_percent(&real::ctx(Level::Fatal), &parsed), Ok(percent));
        }
        let parsed = parsed("", &|_| None);
        assert_eq!(overcommit_percent(&real::ctx(Level::Fatal), &parsed), Ok(5));
    }

    #[test]
    fn a_second_docker_on_its_own_port_is_suspected() {
        let in_use = io::Error::from(io::ErrorKind::AddrInUse);
        assert_eq!(
            listen_error("tcp", "127.0.0.1:2375", &in_use),
            "listen tcp 127.0.0.1:2375: bind: address already in use: is Docker already running on \
             this machine? Try using a different port"
        );
        assert_eq!(
            listen_error("tcp", "127.0.0.1:4000", &in_use),
            "listen tcp 127.0.0.1:4000: bind: address already in use"
        );
    }
}
