//! What goes wrong in a scenario: the verbs that are about hosts and what runs on them.

use std::fmt;
use std::time::Duration;

use super::cluster::Host;
use super::context::Context;
use super::decode::Many;
use super::name::Names;
use super::record::record;
use super::scalar::Period;
use super::span::{Span, Spanned};
use super::step::{Kill, Stop, Target, Verb};

/// The word for everything that is wrong.
const EVERYTHING: &str = "everything";

/// What a fault strikes on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The host itself, with all that runs on it.
    Host,
    /// Its Docker engine: the process, not the host.
    Engine,
    /// Its agent.
    Agent,
    /// Its manager.
    Manager,
    /// Its store.
    Store,
}

impl Part {
    /// Whether a host has it.
    #[must_use]
    pub fn is_on(self, host: &Host) -> bool {
        match self {
            Self::Host => true,
            Self::Engine => host.engine.is_some(),
            Self::Agent => host.agent.is_some(),
            Self::Manager => host.manager.is_some(),
            Self::Store => host.store.is_some(),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::Engine => "engine",
            Self::Agent => "agent",
            Self::Manager => "manager",
            Self::Store => "store",
        })
    }
}

/// Hosts as they are named in the file, ranges expanded.
pub type Hosts = Vec<Spanned<String>>;

/// Something that goes wrong, or right again.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Where it stands in the file.
    pub span: Span,
    /// What it is.
    pub action: Action,
}

/// What goes wrong, or right again.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// It ends at once: power is cut, a process gets SIGKILL.
    Kill(Part, Hosts),
    /// It ends in good order.
    Stop(Part, Hosts),
    /// It runs again, with what it had stored.
    Start(Part, Hosts),
    /// It ends in good order and runs again.
    Restart(Part, Hosts),
    /// Nothing on the hosts runs, while their kernels keep every connection.
    Pause(Hosts),
    /// Everything on the hosts runs again.
    Unpause(Hosts),
    /// What one group sends to the other is lost; also the reverse, unless `one_way`.
    Cut {
        /// The senders, if it is one way.
        between: Hosts,
        /// The receivers, if it is one way.
        and: Hosts,
        /// Whether the second group still reaches the first.
        one_way: bool,
    },
    /// Every connection between the two groups is reset.
    Reset {
        /// One group.
        between: Hosts,
        /// The other.
        and: Hosts,
    },
    /// The hosts are taken off the network.
    Disconnect(Hosts),
    /// Whatever the hosts send is late, or is sent slowly.
    Slow {
        /// Which.
        hosts: Hosts,
        /// How late, if so.
        delay: Option<Duration>,
        /// How many kilobits per second, if so.
        kbits: Option<u64>,
    },
    /// What is wrong with the hosts, or with any when there are none, is undone.
    Heal(Hosts),
}

impl Action {
    /// The word that stands for it in a file.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Kill(..) => "kill",
            Self::Stop(..) => "stop",
            Self::Start(..) => "start",
            Self::Restart(..) => "restart",
            Self::Pause(_) => "pause",
            Self::Unpause(_) => "unpause",
            Self::Cut { .. } => "cut",
            Self::Reset { .. } => "reset",
            Self::Disconnect(_) => "disconnect",
            Self::Slow { .. } => "slow",
            Self::Heal(_) => "heal",
        }
    }

    /// The hosts it names, each with what must be there.
    pub fn hosts(&self) -> impl Iterator<Item = (Part, &Spanned<String>)> {
        let (part, first, second): (Part, &[_], &[_]) = match self {
            Self::Kill(part, hosts)
            | Self::Stop(part, hosts)
            | Self::Start(part, hosts)
            | Self::Restart(part, hosts) => (*part, hosts, &[]),
            Self::Cut { between, and, .. } | Self::Reset { between, and } => {
                (Part::Host, between, and)
            }
            Self::Pause(hosts)
            | Self::Unpause(hosts)
            | Self::Disconnect(hosts)
            | Self::Slow { hosts, .. }
            | Self::Heal(hosts) => (Part::Host, hosts, &[]),
        };
        first.iter().chain(second).map(move |host| (part, host))
    }

    /// What it is about, for a report: `engine of dockerhost02`.
    #[must_use]
    pub fn subject(&self) -> String {
        let list = |hosts: &[Spanned<String>]| {
            hosts.iter().map(|host| host.value.as_str()).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Cut { between, and, one_way } => {
                let arrow = if *one_way { "->" } else { "<->" };
                format!("{} {arrow} {}", list(between), list(and))
            }
            Self::Reset { between, and } => format!("{} <-> {}", list(between), list(and)),
            Self::Heal(hosts) if hosts.is_empty() => EVERYTHING.to_owned(),
            Self::Kill(part, hosts)
            | Self::Stop(part, hosts)
            | Self::Start(part, hosts)
            | Self::Restart(part, hosts)
                if *part != Part::Host =>
            {
                format!("{part} of {}", list(hosts))
            }
            _ => list(&self.hosts().map(|(_, host)| host.clone()).collect::<Vec<_>>()),
        }
    }
}

record! {
    /// Something to start that exists and does not run.
    pub struct StartKeys: "a start" or name {
        /// A container, or several.
        name: optional Names,
        /// Hosts that are off, with everything that ran on them.
        host: optional Many<Names>,
        /// Hosts whose engine starts.
        engine: optional Many<Names>,
        /// Hosts whose agent starts.
        agent: optional Many<Names>,
        /// Hosts whose manager starts.
        manager: optional Many<Names>,
        /// The host whose store starts.
        store: optional Many<Names>,
    }
}

record! {
    /// Something to stop in good order.
    pub struct StopKeys: "a stop" or name {
        /// A container, or several.
        name: optional Names,
        /// How long containers may take before they are killed; the engine's default is 10 s.
        timeout: optional Spanned<Period>,
        /// Hosts that are shut down.
        host: optional Many<Names>,
        /// Hosts whose engine stops, with its containers.
        engine: optional Many<Names>,
        /// Hosts whose agent stops.
        agent: optional Many<Names>,
        /// Hosts whose manager stops.
        manager: optional Many<Names>,
        /// The host whose store stops.
        store: optional Many<Names>,
    }
}

record! {
    /// Something to end at once.
    pub struct KillKeys: "a kill" or name {
        /// A container, or several.
        name: optional Names,
        /// The signal for containers, such as `HUP`; `KILL` if absent.
        signal: optional Spanned<String>,
        /// Hosts whose power is cut: from now on nothing there answers.
        host: optional Many<Names>,
        /// Hosts whose engine's process is killed: the host refuses connections at once.
        engine: optional Many<Names>,
        /// Hosts whose agent is killed.
        agent: optional Many<Names>,
        /// Hosts whose manager is killed.
        manager: optional Many<Names>,
        /// The host whose store is killed.
        store: optional Many<Names>,
    }
}

record! {
    /// Something to freeze, or to unfreeze.
    pub struct PauseKeys: "a pause" or name {
        /// A container, or several.
        name: optional Names,
        /// Hosts on which nothing runs any more, while their kernels keep every connection.
        host: optional Many<Names>,
    }
}

record! {
    /// Two groups of hosts that no longer reach each other: packets are lost.
    pub struct CutKeys: "a cut" {
        /// One group.
        between: required Many<Names>,
        /// The other group.
        and: required Many<Names>,
        /// Whether only what the first group sends to the second is lost.
        one_way: optional Spanned<bool>,
    }
}

record! {
    /// Two groups of hosts whose connections are reset; new ones can be made.
    pub struct ResetKeys: "a reset" {
        /// One group.
        between: required Many<Names>,
        /// The other group.
        and: required Many<Names>,
    }
}

record! {
    /// Hosts that are taken off the network.
    pub struct DisconnectKeys: "a disconnect" or host {
        /// Which.
        host: required Many<Names>,
    }
}

record! {
    /// Hosts that send late or slowly.
    pub struct SlowKeys: "a slow" {
        /// Which.
        host: required Many<Names>,
        /// How much later than usual everything they send arrives.
        delay: optional Spanned<Period>,
        /// How many kilobits they send in a second.
        kbits: optional Spanned<u64>,
    }
}

record! {
    /// What is wrong is undone: networks are whole, hosts and what ran on them run.
    pub struct HealKeys: "a heal" or host {
        /// `everything`, or the hosts with which something is wrong.
        host: required Many<Names>,
    }
}

/// What a verb that is about containers or hosts speaks of.
enum Subject {
    Containers(Names),
    Parts(Part, Hosts),
}

/// The one thing that is named, or a message.
fn subject(
    what: &str,
    span: Span,
    name: Option<Names>,
    parts: [(Part, Option<Many<Names>>); 5],
    cx: &mut Context,
) -> Option<Subject> {
    let mut found = Vec::new();
    if let Some(name) = name {
        found.push((name.span, "name".to_owned(), Subject::Containers(name)));
    }
    for (part, names) in parts {
        if let Some(names) = names {
            let place = names.first().map_or(span, |name| name.span);
            found.push((place, part.to_string(), Subject::Parts(part, hosts(names))));
        }
    }
    if let [(_, first, _), (place, second, _), ..] = found.as_slice() {
        let title = format!("{what} is of one kind of thing, not of `{first}` and `{second}`");
        cx.error(*place, title, "begin a step of its own with `-`");
        return None;
    }
    match found.pop() {
        Some((.., subject)) => Some(subject),
        None if cx.spoiled(span) => None,
        None => {
            cx.error(span, format!("{what} of what?"), "add `name: CONTAINER` or `host: HOST`");
            None
        }
    }
}

fn hosts(names: Many<Names>) -> Hosts {
    let spanned = |name: Names| {
        let span = name.span;
        name.all.into_iter().map(move |host| Spanned::new(host, span))
    };
    names.0.into_iter().flat_map(spanned).collect()
}

fn fault(span: Span, action: Action) -> Verb {
    Verb::Fault(Fault { span, action })
}

/// A key that means something for containers only.
fn only_for_containers(key: &str, span: Option<Span>, cx: &mut Context) {
    if let Some(span) = span {
        let title = format!("`{key}` is for containers");
        cx.error(span, title, "leave it out");
    }
}

impl StartKeys {
    pub(super) fn verb(self, cx: &mut Context) -> Option<Verb> {
        let Self { span, name, host, engine, agent, manager, store } = self;
        let parts = five(host, engine, agent, manager, store);
        Some(match subject("a start", span, name, parts, cx)? {
            Subject::Containers(name) => Verb::Start(Target { name }),
            Subject::Parts(part, hosts) => fault(span, Action::Start(part, hosts)),
        })
    }
}

impl StopKeys {
    /// Of a `stop`, or of a `restart`.
    pub(super) fn verb(self, restart: bool, cx: &mut Context) -> Option<Verb> {
        let Self { span, name, timeout, host, engine, agent, manager, store } = self;
        let parts = five(host, engine, agent, manager, store);
        let what = if restart { "a restart" } else { "a stop" };
        Some(match (subject(what, span, name, parts, cx)?, restart) {
            (Subject::Containers(name), true) => Verb::Restart(Stop { name, timeout }),
            (Subject::Containers(name), false) => Verb::Stop(Stop { name, timeout }),
            (Subject::Parts(part, hosts), _) => {
                only_for_containers("timeout", timeout.map(|timeout| timeout.span), cx);
                let action = if restart { Action::Restart } else { Action::Stop };
                fault(span, action(part, hosts))
            }
        })
    }
}

impl KillKeys {
    pub(super) fn verb(self, cx: &mut Context) -> Option<Verb> {
        let Self { span, name, signal, host, engine, agent, manager, store } = self;
        let parts = five(host, engine, agent, manager, store);
        Some(match subject("a kill", span, name, parts, cx)? {
            Subject::Containers(name) => Verb::Kill(Kill { name, signal }),
            Subject::Parts(part, hosts) => {
                only_for_containers("signal", signal.map(|signal| signal.span), cx);
                fault(span, Action::Kill(part, hosts))
            }
        })
    }
}

impl PauseKeys {
    /// Of a `pause`, or of an `unpause`.
    pub(super) fn verb(self, unpause: bool, cx: &mut Context) -> Option<Verb> {
        let Self { span, name, host } = self;
        let parts = five(host, None, None, None, None);
        let what = if unpause { "an unpause" } else { "a pause" };
        Some(match (subject(what, span, name, parts, cx)?, unpause) {
            (Subject::Containers(name), false) => Verb::Pause(Target { name }),
            (Subject::Containers(name), true) => Verb::Unpause(Target { name }),
            (Subject::Parts(_, hosts), false) => fault(span, Action::Pause(hosts)),
            (Subject::Parts(_, hosts), true) => fault(span, Action::Unpause(hosts)),
        })
    }
}

impl CutKeys {
    pub(super) fn verb(self) -> Verb {
        let one_way = self.one_way.is_some_and(|one_way| one_way.value);
        let (between, and) = (hosts(self.between), hosts(self.and));
        fault(self.span, Action::Cut { between, and, one_way })
    }
}

impl ResetKeys {
    pub(super) fn verb(self) -> Verb {
        let (between, and) = (hosts(self.between), hosts(self.and));
        fault(self.span, Action::Reset { between, and })
    }
}

impl DisconnectKeys {
    pub(super) fn verb(self) -> Verb {
        fault(self.span, Action::Disconnect(hosts(self.host)))
    }
}

impl SlowKeys {
    pub(super) fn verb(self, cx: &mut Context) -> Verb {
        let Self { span, host, delay, kbits } = self;
        if delay.is_none() && kbits.is_none() && !cx.spoiled(span) {
            cx.error(span, "slow in which way?", "add `delay: 200ms` or `kbits: 8000`");
        }
        if let Some(kbits) = kbits.as_ref().filter(|kbits| kbits.value == 0) {
            cx.error(kbits.span, "a host that sends nothing is cut off", "write `disconnect`");
        }
        let (delay, kbits) = (delay.map(|delay| delay.value.0), kbits.map(|kbits| kbits.value));
        fault(span, Action::Slow { hosts: hosts(host), delay, kbits })
    }
}

impl HealKeys {
    pub(super) fn verb(self, cx: &mut Context) -> Verb {
        let mut named = hosts(self.host);
        if let Some(all) = named.iter().find(|host| host.value == EVERYTHING) {
            if named.len() > 1 {
                let label = "leave the hosts out";
                cx.error(all.span, "everything is more than some hosts", label);
            }
            named.clear();
        }
        fault(self.span, Action::Heal(named))
    }
}

fn five(
    host: Option<Many<Names>>,
    engine: Option<Many<Names>>,
    agent: Option<Many<Names>>,
    manager: Option<Many<Names>>,
    store: Option<Many<Names>>,
) -> [(Part, Option<Many<Names>>); 5] {
    [
        (Part::Host, host),
        (Part::Engine, engine),
        (Part::Agent, agent),
        (Part::Manager, manager),
        (Part::Store, store),
    ]
}
