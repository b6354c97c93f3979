//! What happens in a scenario: steps, each with one verb.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::container::ContainerSpec;
use super::context::Context;
use super::decode::Decode;
use super::expect::Expect;
use super::fault::{
    CutKeys, DisconnectKeys, Fault, HealKeys, KillKeys, PauseKeys, ResetKeys, SlowKeys, StartKeys,
    StopKeys,
};
use super::name::Names;
use super::record::record;
use super::scalar::Period;
use super::span::{Span, Spanned};
use super::yaml::{Node, Value};

/// How long a `wait` without `within` waits.
pub const WAIT_DEFAULT: Duration = Duration::from_secs(30);

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The key that says what the step does.
    pub span: Span,
    /// What it does.
    pub verb: Verb,
    /// What must hold afterwards.
    pub expect: Option<Expect>,
    /// How long it may take until it holds; without, it must hold at once (a `wait` has
    /// [`WAIT_DEFAULT`]).
    pub within: Option<Duration>,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum Verb {
    /// Wait until the cluster is in a state.
    Wait(Wait),
    /// Create containers and start them, one after the other.
    Run(Box<ContainerSpec>),
    /// Create containers without starting them.
    Create(Box<ContainerSpec>),
    /// Start containers that exist.
    Start(Target),
    /// Stop containers: the engine asks first and kills after a while.
    Stop(Stop),
    /// Send a signal to the containers' main processes.
    Kill(Kill),
    /// Stop and start containers.
    Restart(Stop),
    /// Freeze containers.
    Pause(Target),
    /// Unfreeze containers.
    Unpause(Target),
    /// Give a container another name.
    Rename(Rename),
    /// Remove containers.
    Remove(Remove),
    /// Something goes wrong with hosts or what runs on them, or right again.
    Fault(Fault),
    /// Nothing: the step only expects.
    Expect,
}

impl Verb {
    /// The containers it is about, by the names they have when it is done.
    #[must_use]
    pub fn containers(&self) -> &[String] {
        match self {
            Self::Run(spec) | Self::Create(spec) => &spec.name,
            Self::Start(target) | Self::Pause(target) | Self::Unpause(target) => &target.name,
            Self::Stop(stop) | Self::Restart(stop) => &stop.name,
            Self::Kill(kill) => &kill.name,
            Self::Rename(rename) => &rename.to,
            Self::Remove(remove) => &remove.name,
            Self::Wait(_) | Self::Fault(_) | Self::Expect => &[],
        }
    }

    /// The word that stands for it in a file.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Wait(_) => "wait",
            Self::Run(_) => "run",
            Self::Create(_) => "create",
            Self::Start(_) => "start",
            Self::Stop(_) => "stop",
            Self::Kill(_) => "kill",
            Self::Restart(_) => "restart",
            Self::Pause(_) => "pause",
            Self::Unpause(_) => "unpause",
            Self::Rename(_) => "rename",
            Self::Remove(_) => "rm",
            Self::Fault(fault) => fault.action.word(),
            Self::Expect => "expect",
        }
    }
}

record! {
    /// A state of the cluster to wait for.
    pub struct Wait: "a wait" {
        /// Number of engines that the manager reports as healthy.
        healthy: required Spanned<u64>,
    }
}

/// Containers that exist.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Their names.
    pub name: Names,
}

/// Containers to stop.
#[derive(Clone, Debug, PartialEq)]
pub struct Stop {
    /// Their names.
    pub name: Names,
    /// How long they may take before they are killed; the engine's default is 10 s.
    pub timeout: Option<Spanned<Period>>,
}

/// Containers to signal.
#[derive(Clone, Debug, PartialEq)]
pub struct Kill {
    /// Their names.
    pub name: Names,
    /// The signal, such as `HUP`; `KILL` if absent.
    pub signal: Option<Spanned<String>>,
}

record! {
    /// A container to rename.
    pub struct Rename: "a rename" {
        /// The name it has.
        from: required Names,
        /// The name it gets.
        to: required Names,
    }
}

record! {
    /// Containers to remove.
    pub struct Remove: "a rm" or name {
        /// Their name, or names.
        name: required Names,
        /// Whether a running one is killed first.
        force: optional Spanned<bool>,
        /// Whether its anonymous volumes are removed too.
        volumes: optional Spanned<bool>,
    }
}

record! {
    /// One step: one verb, what must hold afterwards, and how long that may take.
    pub struct StepKeys: "a step" {
        /// Wait until the cluster is in a state.
        wait: optional Wait,
        /// Create a container and start it; `name: "web[1:3]"` makes three, one after the other.
        run: optional ContainerSpec,
        /// Create a container without starting it.
        create: optional ContainerSpec,
        /// Start a container that exists; or a host that is off, or what ran on it.
        start: optional StartKeys,
        /// Stop a container in good order; or a host, or what runs on it.
        stop: optional StopKeys,
        /// Send a signal to a container, KILL unless another is named; or cut a host's power, or
        /// kill what runs on it.
        kill: optional KillKeys,
        /// Stop a container and start it again; or a host, or what runs on it.
        restart: optional StopKeys,
        /// Freeze a container, or a host.
        pause: optional PauseKeys,
        /// Unfreeze a container, or a host.
        unpause: optional PauseKeys,
        /// Give a container another name.
        rename: optional Rename,
        /// Remove a container.
        rm: optional Remove,
        /// Lose all packets between two groups of hosts.
        cut: optional CutKeys,
        /// Reset all connections between two groups of hosts.
        reset: optional ResetKeys,
        /// Take hosts off the network.
        disconnect: optional DisconnectKeys,
        /// Make hosts send late or slowly.
        slow: optional SlowKeys,
        /// Undo what is wrong with `everything`, or with some hosts.
        heal: optional HealKeys,
        /// What must hold after the verb; a step may also only expect.
        expect: optional Expect,
        /// How long it may take until it holds. Without it `wait` has 30s, and everything else
        /// must hold at once.
        within: optional Spanned<Period>,
    }
}

impl StepKeys {
    /// The verb, if it could be read.
    fn verb(self, cx: &mut Context) -> Option<(Verb, Option<Expect>, Option<Spanned<Period>>)> {
        let spec = |make: fn(Box<ContainerSpec>) -> Verb| move |spec| make(Box::new(spec));
        let verb = (self.wait.map(Verb::Wait))
            .or(self.run.map(spec(Verb::Run)))
            .or(self.create.map(spec(Verb::Create)))
            .or(self.start.and_then(|keys| keys.verb(cx)))
            .or(self.stop.and_then(|keys| keys.verb(false, cx)))
            .or(self.kill.and_then(|keys| keys.verb(cx)))
            .or(self.restart.and_then(|keys| keys.verb(true, cx)))
            .or(self.pause.and_then(|keys| keys.verb(false, cx)))
            .or(self.unpause.and_then(|keys| keys.verb(true, cx)))
            .or(self.rename.map(Verb::Rename))
            .or(self.rm.map(Verb::Remove))
            .or(self.cut.map(CutKeys::verb))
            .or(self.reset.map(ResetKeys::verb))
            .or(self.disconnect.map(DisconnectKeys::verb))
            .or(self.slow.map(|keys| keys.verb(cx)))
            .or(self.heal.map(|keys| keys.verb(cx)))
            .or(self.expect.is_some().then_some(Verb::Expect))?;
        Some((verb, self.expect, self.within))
    }
}

impl Decode for Step {
    fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
        let before = cx.mistakes();
        let keys = StepKeys::decode(node, cx)?;
        let Value::Map(entries) = &node.value else { return None };
        let verb = |key: &&Spanned<String>| {
            let key = key.value.as_str();
            StepKeys::KEYS.contains(&key) && key != "expect" && key != "within"
        };
        let mut verbs = entries.iter().map(|(key, _)| key).filter(verb);
        let first = verbs.next();
        if let (Some(first), Some(second)) = (first, verbs.next()) {
            let title =
                format!("a step does one thing, not `{}` and `{}`", first.value, second.value);
            cx.error(second.span, title, "begin a step of its own with `-`");
            return None;
        }
        let expect = entries.iter().map(|(key, _)| key).find(|key| key.value == "expect");
        let Some(key) = first.or(expect) else {
            if cx.mistakes() == before {
                let label = "neither a verb nor `expect`";
                cx.error(node.anchor(), "a step does nothing", label)
                    .note(format!("a step has: {}", StepKeys::KEYS.join(", ")));
            }
            return None;
        };
        let (verb, expect, within) = keys.verb(cx)?;
        let waits = expect.is_some() || matches!(verb, Verb::Wait(_));
        if let Some(within) = within.as_ref().filter(|_| !waits) {
            let label = "add `expect`, or leave it out";
            cx.error(within.span, "`within` without anything to wait for", label);
        }
        // A verb that could not be read must not pass for a step that only expects.
        if (verb == Verb::Expect) != first.is_none() {
            return None;
        }
        Some(Self { span: key.span, verb, expect, within: within.map(|within| within.value.0) })
    }
}

impl JsonSchema for Step {
    fn schema_name() -> Cow<'static, str> {
        "Step".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = StepKeys::json_schema(generator);
        schema.insert("minProperties".into(), 1.into());
        // One verb, and the two keys that go with each of them.
        schema.insert("maxProperties".into(), 3.into());
        schema
    }
}
