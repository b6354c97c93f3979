use std::sync::Mutex;
use std::time::Duration;

use crate::ctx::real;

use super::*;

/// What a command line did.
#[derive(Debug, Default)]
struct Ran {
    /// `None` if it was still running at the end of the time given.
    code: Option<i32>,
    out: String,
    err: String,
    /// As `level message`.
    log: Vec<String>,
}

impl Ran {
    /// The text of the last, fatal record.
    fn fatal(&self) -> &str {
        assert_eq!(self.code, Some(1), "{self:?}");
        self.log.last().and_then(|line| line.strip_prefix("fatal ")).unwrap_or_default()
    }
}

struct Keep(Arc<Mutex<Ran>>);

impl Log for Keep {
    fn write(&self, record: &Record) {
        let line = format!("{} {}", record.level.as_str(), record.message);
        self.0.lock().unwrap().log.push(line);
    }
}

async fn run_with(vars: &'static [(&'static str, &'static str)], args: &[&str]) -> Ran {
    let ran = Arc::new(Mutex::new(Ran::default()));
    let mut ctx = real::ctx(Level::Debug);
    ctx.log = Arc::new(Keep(Arc::clone(&ran)));
    let (out, err) = (Arc::clone(&ran), Arc::clone(&ran));
    let env = Environment {
        program: "swarm".into(),
        vars: Box::new(|name| {
            let found = vars.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        }),
        out: Arc::new(move |text| out.lock().unwrap().out.push_str(text)),
        err: Arc::new(move |text| err.lock().unwrap().err.push_str(text)),
        manager: Box::new(|_| {}),
        ctx,
    };
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    let code = tokio::time::timeout(Duration::from_millis(300), run(env, args)).await.ok();
    let mut ran = std::mem::take(&mut *ran.lock().unwrap());
    ran.code = code;
    ran
}

async fn run_line(line: &str) -> Ran {
    run_with(&[], &line.split_whitespace().collect::<Vec<_>>()).await
}

#[tokio::test]
async fn help_and_version_are_printed() {
    for line in ["", "--help", "-h", "help", "h"] {
        let ran = run_line(line).await;
        assert_eq!(ran.code, Some(0), "{line}");
        assert!(ran.out.starts_with("Usage: swarm [OPTIONS] COMMAND [arg...]\n"), "{line}");
    }
    let version = run_line("--version").await;
    assert_eq!(version.out, format!("swarm version {VERSION}\n"));
    for (line, out) in
        [("bogus", "No help topic for 'bogus'\n"), ("help bogus", "No help topic for 'bogus'\n")]
    {
        let ran = run_line(line).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(0), out));
    }
}

#[tokio::test]
async fn every_command_prints_its_help() {
    insta::assert_snapshot!("help", run_line("").await.out);
    for command in COMMANDS.iter().filter(|command| command.name != "help") {
        let ran = run_line(&format!("{} --help", command.alias)).await;
        assert_eq!(ran.code, Some(0));
        assert_eq!(ran.out, run_line(&format!("help {}", command.name)).await.out);
        insta::assert_snapshot!(format!("help_{}", command.name), ran.out);
    }
}

#[tokio::test]
async fn a_usage_error_shows_the_help_and_names_the_mistake() {
    let ran = run_line("manage --bogus").await;
    assert!(ran.out.starts_with("Incorrect Usage.\n\nUsage: swarm manage [OPTIONS] <discovery>\n"));
    assert_eq!(ran.fatal(), "flag provided but not defined: -bogus");
    let ran = run_line("manage -f health --filter port a:1").await;
    let message = "Cannot use two forms of the same flag: f filter";
    assert!(ran.out.starts_with(&format!("{message}\n\nUsage: swarm manage")), "{}", ran.out);
    assert_eq!(ran.fatal(), message);
    let ran = run_line("--bogus").await;
    assert!(ran.out.starts_with("Incorrect Usage.\n\nUsage: swarm [OPTIONS] COMMAND"));
    assert_eq!(ran.code, Some(1));
}

#[tokio::test]
async fn the_log_level_is_checked_and_obeyed() {
    assert_eq!(run_line("-l bogus list a:1").await.fatal(), "not a valid logrus Level: \"bogus\"");
    let info = run_line("join --advertise a:1 --delay 1h b:1").await;
    assert!(info.log[0].starts_with("info Add a random delay "), "{info:?}");
    let error = run_line("-l error join --advertise a:1 --delay 1h b:1").await;
    assert_eq!(error.log, [""; 0]);
}

#[tokio::test]
async fn manage_checks_its_flags_in_the_classic_order() {
    for (flags, message) in [
        ("--tls", "--tlscert and --tlskey must be provided when using --tls"),
        ("--tlsverify --tlscert=c", "--tlscert and --tlskey must be provided when using --tls"),
        (
            "--tlsverify --tlscert=c --tlskey=k",
            "--tlscacert must be provided when using --tlsverify",
        ),
        (
            "--tls --tlscert=/none/c --tlskey=/none/k",
            "Couldn't load X509 key pair (/none/c, /none/k): open /none/c: no such file or \
             directory. Key encrypted?",
        ),
        (
            "--tls --tlscert=/dev/null --tlskey=/dev/null",
            "Couldn't load X509 key pair (/dev/null, /dev/null): tls: failed to find any PEM data \
             in certificate input. Key encrypted?",
        ),
        (
            "--tlscacert=x",
            "--tlscert, --tlskey and --tlscacert require the use of either --tls or --tlsverify",
        ),
        ("--engine-refresh-min-interval 0s", "min refresh interval should be a positive number"),
        (
            "--engine-refresh-min-interval x --engine-refresh-retry 4",
            "min refresh interval should be a positive number",
        ),
        (
            "--engine-refresh-max-interval 29s",
            "max refresh interval cannot be less than min refresh interval",
        ),
        (
            "--engine-refresh-retry 4 --engine-failure-retry 0",
            "--engine-refresh-retry is deprecated. Use --engine-failure-retry",
        ),
        ("--engine-failure-retry 0", "invalid failure retry count"),
        ("", "discovery required to manage a cluster. See 'swarm manage --help'."),
        ("a:1 b:1", "discovery required to manage a cluster. See 'swarm manage --help'."),
        ("a:1 --heartbeat x", "invalid --heartbeat: time: invalid duration \"x\""),
        ("a:1 --heartbeat 999ms", "--heartbeat should be at least one second"),
        ("a:1 --discovery-opt x", "--discovery-opt must contain key=value strings"),
        ("foo://a", "discovery service not supported"),
        (
            "a",
            "address a: missing port in address, please check you are using the correct discovery \
             (missing token:// ?)",
        ),
        ("a:1 --strategy x --filter y", "strategy not supported"),
        ("a:1 --filter y -c z", "filter not supported"),
        ("a:1 -c mesos", "unsupported cluster \"mesos\""),
        (
            "a:1 --cluster-opt swarm.overcommit=-1",
            "swarm.overcommit should be larger than -1, -1.000000 is invalid",
        ),
        (
            "a:1 --cluster-opt swarm.overcommit",
            "--cluster-opt swarm.overcommit needs a value: swarm.overcommit=<value>",
        ),
        (
            "a:1 --cluster-opt swarm.createretry=-1",
            "swarm.createretry can not be negative, -1 is invalid",
        ),
    ] {
        assert_eq!(run_line(&format!("manage {flags}")).await.fatal(), message, "{flags}");
    }
}

#[tokio::test]
async fn manage_checks_replication_and_listeners_last() {
    for (flags, message) in [
        ("--replication a:1", "--advertise address must be provided when using --leader-election"),
        (
            "--replication --advertise a a:1",
            "--advertise should be of the form ip:port or hostname:port",
        ),
        (
            "--replication --addr a:1 --replication-ttl x a:1",
            "invalid --replication-ttl: time: invalid duration \"x\"",
        ),
        (
            "--replication --addr a:1 --replication-ttl 0s a:1",
            "--replication-ttl should be a positive number",
        ),
        (
            "--replication --addr a:1 a:1",
            "Leader election is only supported with consul, etcd and zookeeper discovery.",
        ),
        ("--replication --addr a:1 consul://127.0.0.1:1", "replication is not supported yet"),
        ("-H foo://x 127.0.0.1:1", "unsupported protocol: \"foo\""),
        ("-H 127.0.0.1 127.0.0.1:1", "listen tcp: address 127.0.0.1: missing port in address"),
    ] {
        assert_eq!(run_line(&format!("manage {flags}")).await.fatal(), message, "{flags}");
    }
}

#[tokio::test]
async fn manage_listens_on_every_host() {
    let line = "manage -H tcp://127.0.0.1:0 -H 127.0.0.1:0 127.0.0.1:1";
    let ran = run_line(line).await;
    assert_eq!(ran.code, None, "{ran:?}");
    let listening = ran.log.iter().filter(|line| *line == "info Listening for HTTP").count();
    assert_eq!(listening, 2);
}

#[tokio::test]
async fn an_address_in_use_is_explained() {
    let ctx = real::ctx(Level::Fatal);
    let taken = ctx.net.listen(&crate::ctx::Addr::tcp("127.0.0.1", 0)).await.unwrap();
    let address = taken.local_addr();
    let ran = run_line(&format!("manage -H {address} 127.0.0.1:1")).await;
    assert_eq!(ran.fatal(), format!("listen tcp {address}: bind: address already in use"));
}

#[tokio::test]
async fn discovery_falls_back_to_the_variable_unless_there_is_one_argument() {
    let vars = &[("SWARM_DISCOVERY", "foo://x")];
    for args in [&["manage"][..], &["manage", "a:1", "b:1"]] {
        assert_eq!(run_with(vars, args).await.fatal(), "discovery service not supported");
    }
    let ran = run_with(vars, &["manage", "bar"]).await;
    assert!(ran.fatal().starts_with("address bar: missing port"));
}

#[tokio::test]
async fn join_checks_its_flags_in_the_classic_order() {
    for (flags, message) in [
        ("", "discovery required to join a cluster. See 'swarm join --help'."),
        ("a:1", "missing mandatory --advertise flag"),
        ("a:1 --addr x", "--advertise should be of the form ip:port or hostname:port"),
        ("a:1 --addr x:1 --delay y", "invalid --delay: time: invalid duration \"y\""),
        ("a:1 --addr x:1 --delay -1s", "--delay should not be a negative number"),
        ("a:1 --addr x:1 --heartbeat y", "invalid --heartbeat: time: invalid duration \"y\""),
        ("a:1 --addr x:1 --heartbeat 0", "--heartbeat should be at least one second"),
        ("a:1 --addr x:1 --ttl y", "invalid --ttl: time: invalid duration \"y\""),
        ("a:1 --addr x:1 --ttl 60s", "--ttl must be strictly superior to the heartbeat value"),
        ("foo://a --addr x:1", "discovery service not supported"),
    ] {
        assert_eq!(run_line(&format!("join {flags}")).await.fatal(), message, "{flags}");
    }
}

#[tokio::test]
async fn join_goes_on_after_an_error() {
    let ran = run_with(&[("SWARM_ADVERTISE", "x:1")], &["join", "a:1"]).await;
    assert_eq!(ran.code, None);
    assert_eq!(
        ran.log,
        [
            "info Registering on the discovery service every 1m0s...",
            "error not implemented in this discovery service",
        ]
    );
}

#[tokio::test]
async fn list_prints_one_node_per_line() {
    let ran = run_line("list 10.0.0.[1:2]:2375,[::1]:4").await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "10.0.0.1:2375\n10.0.0.2:2375\n[::1]:4\n"));
    for (line, message) in [
        ("list", "discovery required to list a cluster. See 'swarm list --help'."),
        ("list a:1 --timeout x", "invalid --timeout: time: invalid duration \"x\""),
        ("list a:1 --timeout 0", "--timeout should be a positive number"),
        ("create x", "the `create` command takes no arguments. See 'swarm create --help'."),
    ] {
        let ran = run_line(line).await;
        assert_eq!(ran.code, Some(1));
        // The date comes before.
        assert_eq!(&ran.err["2026/11/21 02:26:27 ".len()..], format!("{message}\n"));
    }
}
