//! Endpoint files: a cluster that stands already, and how to have power over its hosts. Read like a
//! scenario, with the same words in its messages.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use super::cluster::Cluster;
use super::context::{Context, suggestion};
use super::decode::{Decode, Table};
use super::diagnostic::Report;
use super::load::{read, tree};
use super::record::record;
use super::span::{Source, Spanned};
use crate::world::Fault;
use crate::world::fault::Part;

record! {
    /// A cluster that stands already, and how to have power over its hosts.
    pub struct EndpointKeys: "an endpoint file" {
        /// Where its manager listens, such as `tcp://dockerswarm01:2375`.
        endpoint: optional Spanned<String>,
        /// The folder with a client's `ca.pem`, `cert.pem` and `key.pem`, relative to this file.
        certs: optional Spanned<String>,
        /// Addresses of the scenario's hosts, of those that are not where the scenario has them.
        addresses: default Table<Spanned<Ipv4Addr>>,
        /// Commands for the shell, by what they strike.
        commands: optional CommandKeys,
    }
}

record! {
    /// Commands for the shell, by what they strike.
    pub struct CommandKeys: "commands" {
        /// A host.
        host: optional HostCommands,
        /// The engine of a host.
        engine: optional ProcessCommands,
        /// The agent of a host.
        agent: optional ProcessCommands,
        /// The manager of a host.
        manager: optional ProcessCommands,
        /// The store of a host.
        store: optional ProcessCommands,
        /// The way from one host to another.
        link: optional LinkCommands,
    }
}

record! {
    /// What is done to a host.
    pub struct HostCommands: "commands for a host" {
        /// Cuts its power.
        kill: optional Spanned<String>,
        /// Shuts it down.
        stop: optional Spanned<String>,
        /// Starts it, with all that is to run on it.
        start: optional Spanned<String>,
        /// Freezes it.
        pause: optional Spanned<String>,
        /// Undoes `pause`.
        unpause: optional Spanned<String>,
        /// Takes it off the network.
        disconnect: optional Spanned<String>,
        /// Undoes `disconnect`.
        connect: optional Spanned<String>,
        /// Makes it send late or slowly.
        slow: optional Spanned<String>,
        /// Undoes `slow`.
        speed: optional Spanned<String>,
    }
}

record! {
    /// What is done to a process of a host.
    pub struct ProcessCommands: "commands for a process" {
        /// Kills it; it stays down.
        kill: optional Spanned<String>,
        /// Stops it in good order; it stays down.
        stop: optional Spanned<String>,
        /// Starts it.
        start: optional Spanned<String>,
    }
}

record! {
    /// What is done between two hosts.
    pub struct LinkCommands: "commands for a link" {
        /// Loses what `{from}` sends to `{to}`.
        cut: optional Spanned<String>,
        /// Undoes `cut`.
        mend: optional Spanned<String>,
        /// Resets every connection between the two.
        reset: optional Spanned<String>,
    }
}

/// What is struck, and how: the path of a command in the file.
type Key = (&'static str, &'static str);

/// Commands for the shell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commands(BTreeMap<Key, String>);

/// An endpoint file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Where its manager listens.
    pub endpoint: Option<String>,
    /// The folder with a client's certificate and key.
    pub certs: Option<PathBuf>,
    /// Addresses of hosts that are not where the scenario has them.
    pub addresses: BTreeMap<String, Ipv4Addr>,
    /// How to have power over hosts.
    pub commands: Commands,
}

/// Names in braces that a command may have.
const OF_HOST: [&str; 2] = ["host", "address"];
const OF_SLOW: [&str; 4] = ["host", "address", "kbits", "delay"];
const OF_LINK: [&str; 4] = ["from", "from_address", "to", "to_address"];

/// Reads an endpoint file.
///
/// # Errors
/// Every mistake of the file.
pub fn load(path: &Path) -> Result<Endpoint, Report> {
    let source = read(path).map_err(|error| Report::new(vec![*error]))?;
    parse(source)
}

/// Reads an endpoint file whose text is known already.
///
/// # Errors
/// Every mistake of the file.
pub fn parse(source: Source) -> Result<Endpoint, Report> {
    let mut cx = Context::new(source);
    let label = "an endpoint file has `endpoint`, `certs`, `addresses`, `commands`";
    let root = tree(&mut cx, label);
    let keys = root.and_then(|root| EndpointKeys::decode(&root, &mut cx));
    let endpoint = keys.map(|keys| endpoint(keys, &mut cx));
    let mistakes = cx.into_diagnostics();
    match endpoint {
        Some(endpoint) if mistakes.is_empty() => Ok(endpoint),
        _ => Err(Report::new(mistakes)),
    }
}

fn endpoint(keys: EndpointKeys, cx: &mut Context) -> Endpoint {
    if let Some(url) = &keys.endpoint
        && !url.starts_with("tcp://")
    {
        cx.error(url.span, "`endpoint` must be the address of a manager", "as in tcp://HOST:PORT");
    }
    let folder = cx.source().path().parent().unwrap_or(Path::new("")).to_owned();
    let addresses = keys.addresses.0.into_iter();
    let addresses =
        addresses.filter_map(|entry| Some((entry.key.value, entry.value?.value))).collect();
    Endpoint {
        endpoint: keys.endpoint.map(|url| url.value),
        certs: keys.certs.map(|certs| folder.join(certs.value)),
        addresses,
        commands: keys.commands.map(|keys| commands(keys, cx)).unwrap_or_default(),
    }
}

fn commands(keys: CommandKeys, cx: &mut Context) -> Commands {
    let mut all = BTreeMap::new();
    let mut add = |key: Key, command: Option<Spanned<String>>, names: &[&'static str]| {
        if let Some(command) = command {
            check_names(&command, names, cx);
            all.insert(key, command.value);
        }
    };
    if let Some(host) = keys.host {
        add(("host", "kill"), host.kill, &OF_HOST);
        add(("host", "stop"), host.stop, &OF_HOST);
        add(("host", "start"), host.start, &OF_HOST);
        add(("host", "pause"), host.pause, &OF_HOST);
        add(("host", "unpause"), host.unpause, &OF_HOST);
        add(("host", "disconnect"), host.disconnect, &OF_HOST);
        add(("host", "connect"), host.connect, &OF_HOST);
        add(("host", "slow"), host.slow, &OF_SLOW);
        add(("host", "speed"), host.speed, &OF_HOST);
    }
    let processes = [
        ("engine", keys.engine),
        ("agent", keys.agent),
        ("manager", keys.manager),
        ("store", keys.store),
    ];
    for (part, commands) in processes {
        if let Some(commands) = commands {
            add((part, "kill"), commands.kill, &OF_HOST);
            add((part, "stop"), commands.stop, &OF_HOST);
            add((part, "start"), commands.start, &OF_HOST);
        }
    }
    if let Some(link) = keys.link {
        add(("link", "cut"), link.cut, &OF_LINK);
        add(("link", "mend"), link.mend, &OF_LINK);
        add(("link", "reset"), link.reset, &OF_LINK);
    }
    Commands(all)
}

/// The names in braces of a text, each with the text before it; the last item is the rest. Braces
/// of the shell (`${HOME}`, `{ true; }`) are none of them.
fn pieces(text: &str) -> Vec<(&str, Option<&str>)> {
    let mut found = Vec::new();
    let mut from = 0;
    let mut at = 0;
    while let Some(open) = text[at..].find('{').map(|n| at + n) {
        at = open + 1;
        let length =
            text[at..].bytes().take_while(|b| b.is_ascii_lowercase() || *b == b'_').count();
        let closed = length > 0 && text[at + length..].starts_with('}');
        if closed && !text[..open].ends_with('$') {
            found.push((&text[from..open], Some(&text[at..at + length])));
            at += length + 1;
            from = at;
        }
    }
    found.push((&text[from..], None));
    found
}

fn check_names(command: &Spanned<String>, names: &[&'static str], cx: &mut Context) {
    for name in pieces(&command.value).into_iter().filter_map(|(_, name)| name) {
        if !names.contains(&name) {
            let label = suggestion(name, names.iter().copied(), "nothing is put in its place");
            let known: Vec<_> = names.iter().map(|name| format!("{{{name}}}")).collect();
            cx.error(command.span, format!("unknown name `{{{name}}}` in a command"), label)
                .note(format!("this command has: {}", known.join(", ")))
                .note("braces of the shell have a `$` before them, or a blank inside");
        }
    }
}

/// What a fault strikes, and how.
fn key(fault: &Fault) -> Key {
    let of = |part: &Part| match part {
        Part::Host => "host",
        Part::Engine => "engine",
        Part::Agent => "agent",
        Part::Manager => "manager",
        Part::Store => "store",
    };
    match fault {
        Fault::Kill(part, _) => (of(part), "kill"),
        Fault::Stop(part, _) => (of(part), "stop"),
        Fault::Start(part, _) => (of(part), "start"),
        Fault::Pause(_) => ("host", "pause"),
        Fault::Resume(_) => ("host", "unpause"),
        Fault::Cut { .. } => ("link", "cut"),
        Fault::Mend { .. } => ("link", "mend"),
        Fault::Reset { .. } => ("link", "reset"),
        Fault::Disconnect(_) => ("host", "disconnect"),
        Fault::Connect(_) => ("host", "connect"),
        Fault::Slow { .. } => ("host", "slow"),
        Fault::Speed(_) => ("host", "speed"),
    }
}

impl Commands {
    /// The command that makes a fault happen.
    ///
    /// # Errors
    /// There is none: the path of the key that is missing, such as `commands.host.pause`.
    pub fn command(&self, fault: &Fault, cluster: &Cluster) -> Result<String, String> {
        let (group, verb) = key(fault);
        let command = self.0.get(&(group, verb));
        let command = command.ok_or_else(|| format!("commands.{group}.{verb}"))?;
        let values = values(fault, cluster);
        let value = |name: &str| {
            let found = values.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.as_str()).unwrap_or_default()
        };
        let filled = pieces(command).into_iter();
        Ok(filled.flat_map(|(text, name)| [text, name.map(value).unwrap_or_default()]).collect())
    }
}

/// What the names in braces stand for. All of it is names of hosts, addresses and numbers: nothing
/// in it means anything to a shell.
fn values(fault: &Fault, cluster: &Cluster) -> Vec<(&'static str, String)> {
    let address =
        |host: &str| cluster.host(host).map(|host| host.address.to_string()).unwrap_or_default();
    match fault {
        Fault::Kill(_, host)
        | Fault::Stop(_, host)
        | Fault::Start(_, host)
        | Fault::Pause(host)
        | Fault::Resume(host)
        | Fault::Disconnect(host)
        | Fault::Connect(host)
        | Fault::Speed(host) => vec![("host", host.clone()), ("address", address(host))],
        Fault::Slow { host, delay, kbits } => vec![
            ("host", host.clone()),
            ("address", address(host)),
            ("kbits", kbits.unwrap_or_default().to_string()),
            ("delay", delay.unwrap_or_default().as_millis().to_string()),
        ],
        Fault::Cut { from, to } | Fault::Mend { from, to } | Fault::Reset { a: from, b: to } => {
            vec![
                ("from", from.clone()),
                ("from_address", address(from)),
                ("to", to.clone()),
                ("to_address", address(to)),
            ]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Overrides, parse as scenario};
    use super::*;

    fn told(text: &str) -> Result<Endpoint, String> {
        parse(Source::new("folder/e.yaml", text)).map_err(|report| report.to_string())
    }

    fn cluster() -> Cluster {
        let text = "name: t\ncluster: { hosts: { a: { address: 10.100.199.9, engine: {}, \
                    manager: {} }, b: { address: 10.100.199.10, engine: {} } } }\n\
                    steps: [{ wait: { healthy: 1 } }]\n";
        let scenario = scenario(Source::new("t.yaml", text), &Overrides::default());
        scenario.unwrap_or_else(|report| panic!("{report}")).cluster
    }

    #[test]
    fn a_command_is_found_by_what_it_strikes_and_filled_in() {
        let endpoint = told(
            "endpoint: tcp://a:2375\n\
             certs: pki\n\
             addresses: { b: 192.0.2.7 }\n\
             commands:\n  \
               host:\n    \
                 pause: vagrant suspend {host} # {host}\n  \
               engine:\n    \
                 kill: 'ssh root@{address} \"{ pkill dockerd; echo ${HOME}; }\"'\n  \
               link:\n    \
                 cut: ssh {to} iptables -s {from_address}\n",
        )
        .unwrap();
        assert_eq!(endpoint.certs.as_deref(), Some(Path::new("folder/pki")));
        assert_eq!(endpoint.addresses["b"], Ipv4Addr::new(192, 0, 2, 7));
        let command = |fault| endpoint.commands.command(&fault, &cluster());
        assert_eq!(command(Fault::Pause("a".into())), Ok("vagrant suspend a".into()));
        assert_eq!(
            command(Fault::Kill(Part::Engine, "a".into())),
            Ok("ssh root@10.100.199.9 \"{ pkill dockerd; echo ${HOME}; }\"".into())
        );
        assert_eq!(
            command(Fault::Cut { from: "a".into(), to: "b".into() }),
            Ok("ssh b iptables -s 10.100.199.9".into())
        );
        assert_eq!(command(Fault::Resume("a".into())), Err("commands.host.unpause".into()));
    }

    /// The example of the documents, and the file of the virtual machines.
    #[test]
    fn the_projects_own_files_can_be_read() {
        let docs = include_str!("../../../docs/endpoint.md");
        let example = docs.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
        let example = told(example.unwrap()).unwrap();
        assert_eq!(example.commands.0.len(), 6);
        let vagrant = told(include_str!("../../../vagrant/endpoint.yaml")).unwrap();
        let halt = vagrant.commands.command(&Fault::Kill(Part::Host, "a".into()), &cluster());
        assert_eq!(halt, Ok("vagrant halt --force a".into()));
    }

    #[test]
    fn every_key_is_described() {
        let docs = include_str!("../../../docs/endpoint.md");
        let keys = [
            EndpointKeys::KEYS,
            CommandKeys::KEYS,
            HostCommands::KEYS,
            ProcessCommands::KEYS,
            LinkCommands::KEYS,
        ];
        for key in keys.concat() {
            assert!(docs.contains(&format!("`{key}`")), "docs/endpoint.md does not describe {key}");
        }
        for name in [&OF_HOST[..], &OF_SLOW, &OF_LINK].concat() {
            assert!(docs.contains(&format!("`{{{name}}}`")), "nor {name}");
        }
    }

    #[test]
    fn mistakes_are_told_with_their_places() {
        let report = told(
            "endpoint: dockerswarm01\n\
             comands: {}\n\
             addresses: { a: 10.0.0.300 }\n\
             commands:\n  \
               host: { puase: 'x' }\n  \
               engine:\n    \
                 kill: ssh {hots} true\n",
        )
        .unwrap_err();
        insta::assert_snapshot!(report);
        assert!(told("").unwrap_err().contains("an endpoint file has `endpoint`"));
    }
}
