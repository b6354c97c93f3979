//! Walks the steps and keeps the list of containers.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::super::cert::{Guise, Holder};
use super::super::cluster::Host;
use super::super::container::ContainerSpec;
use super::super::context::{Context, suggestion};
use super::super::fault::{Action, Fault};
use super::super::name::Names;
use super::super::port::Port;
use super::super::resolve::{self, Resolved};
use super::super::span::{Span, Spanned};
use super::super::step::{Dial, Step, Verb};

/// A container that exists for certain.
pub(super) struct Known {
    /// Where it was created or got its name.
    pub(super) span: Span,
    /// The host it is on, if a step expects it there.
    pub(super) node: Option<String>,
    /// The ports it publishes.
    pub(super) ports: Vec<Port>,
}

/// The steps so far.
pub(super) struct Story<'a> {
    pub(super) cx: &'a mut Context,
    /// The cluster, unless it could not be read.
    pub(super) resolved: Option<&'a Resolved>,
    /// Whether every step could be read: else containers may exist that are not known.
    pub(super) complete: bool,
    /// The containers that exist.
    pub(super) containers: IndexMap<String, Known>,
    /// Containers that existed once, with the place where they went.
    pub(super) gone: BTreeMap<String, Span>,
}

/// Notes what cannot be done and what cannot hold. `complete` says whether every step was read.
pub fn check(steps: &[Step], resolved: Option<&Resolved>, complete: bool, cx: &mut Context) {
    let (containers, gone) = (IndexMap::new(), BTreeMap::new());
    let mut story = Story { cx, resolved, complete, containers, gone };
    for step in steps {
        story.step(step);
    }
}

impl<'a> Story<'a> {
    fn step(&mut self, step: &Step) {
        let refused = step.expect.as_ref().is_some_and(|expect| expect.error.is_some());
        if !refused {
            self.verb(&step.verb);
        }
        let placed = match &step.verb {
            Verb::Run(spec) | Verb::Create(spec) if !refused => Some(self.place(spec)),
            _ => None,
        };
        if let Some(expect) = &step.expect
            && let (Some(spec), Some(placed)) = (spec_of(&step.verb), &placed)
        {
            self.expected_place(spec, placed, expect);
        }
        if !refused {
            self.happen(step);
        }
        if let Some(expect) = &step.expect {
            self.expect(step, expect);
        }
    }

    /// Whether the containers that a verb speaks of exist, or do not exist yet.
    fn verb(&mut self, verb: &Verb) {
        match verb {
            Verb::Run(spec) | Verb::Create(spec) => {
                self.vacant(&spec.name);
                self.spec(spec);
            }
            Verb::Start(target) | Verb::Pause(target) | Verb::Unpause(target) => {
                self.exist(&target.name);
            }
            Verb::Stop(stop) | Verb::Restart(stop) => self.exist(&stop.name),
            Verb::Kill(kill) => self.exist(&kill.name),
            Verb::Remove(remove) => self.exist(&remove.name),
            Verb::Rename(rename) => {
                if rename.from.len() != 1 || rename.to.len() != 1 {
                    let label = "two single names";
                    self.cx.error(rename.span, "a rename is of one container", label);
                }
                self.exist(&rename.from);
                self.vacant(&rename.to);
            }
            Verb::Wait(wait) => {
                self.no_more_engines(&wait.healthy);
            }
            Verb::Fault(fault) => self.fault(fault),
            Verb::Cert(cert) => {
                if let Some(holder) = self.holder(&cert.host, cert.of.as_ref())
                    && let Some(resolved) = self.resolved
                {
                    resolve::check_cert(&cert.kind, holder, &resolved.cluster, self.cx);
                }
            }
            Verb::Dial(dial) => {
                self.holder(&dial.host, dial.of.as_ref());
                self.guise(dial);
            }
            Verb::Expect => {}
        }
    }

    /// Whether the hosts that a fault names exist, with the parts that it strikes.
    fn fault(&mut self, fault: &Fault) {
        let Some(resolved) = self.resolved else { return };
        let cluster = &resolved.cluster;
        for (part, host) in fault.action.hosts() {
            let Some(found) = cluster.host(&host.value) else {
                if !resolved.incomplete {
                    let names: Vec<_> = cluster.hosts.iter().map(|h| h.name.as_str()).collect();
                    let label = suggestion(host, names.iter().copied(), "not in the cluster");
                    self.cx
                        .error(host.span, format!("unknown host `{}`", host.value), label)
                        .note(format!("hosts here: {}", some(&names)));
                }
                continue;
            };
            if !part.is_on(found) && !resolved.doubtful.contains(&host.value) {
                let title = format!("`{}` has no {part}", host.value);
                self.cx.error(host.span, title, "nothing to strike there");
            }
        }
        if let Action::Cut { between, and, .. } | Action::Reset { between, and } = &fault.action
            && let Some(both) =
                and.iter().find(|host| between.iter().any(|b| b.value == host.value))
        {
            let title = format!("`{}` is in both groups", both.value);
            self.cx.error(both.span, title, "a host always reaches itself");
        }
    }

    /// The server that a step means; notes it if the host has none.
    fn holder(&mut self, host: &Spanned<String>, of: Option<&Spanned<Holder>>) -> Option<Holder> {
        let resolved = self.resolved?;
        if resolved.doubtful.contains(&host.value) || resolved.incomplete {
            return None;
        }
        let Some(found) = resolved.cluster.host(&host.value) else {
            let names = resolved.cluster.hosts.iter().map(|host| host.name.as_str());
            let label = suggestion(host, names, "the cluster has no such host");
            self.cx.error(host.span, format!("unknown host `{}`", host.value), label);
            return None;
        };
        let holder = found.holder(of.map(|of| of.value));
        if holder.is_none() {
            let label = "neither an engine nor a manager, or not the one asked for";
            self.cx.error(host.span, format!("no such server on `{}`", host.value), label);
        }
        holder
    }

    /// Notes a guise that the server cannot see through because there is no TLS.
    fn guise(&mut self, dial: &Dial) {
        let plain = self.resolved.is_some_and(|resolved| !resolved.cluster.tls);
        if let Some(guise) = &dial.guise
            && plain
            && guise.value != Guise::Client
        {
            let title = format!("`{}` makes no difference here", guise.value);
            self.cx.error(guise.span, title, "the cluster has no TLS: write `tls: true`");
        }
    }

    fn vacant(&mut self, names: &Names) {
        let taken = names.iter().find_map(|name| Some((name, self.containers.get(name)?)));
        if let Some((name, known)) = taken {
            let label = format!("the first is at {}", self.position(known.span));
            self.cx
                .error(names.span, format!("a second container is called `{name}`"), label)
                .note("to test that the manager refuses it, expect an `error`");
        }
    }

    /// Notes the first of the names that no container has.
    pub(super) fn exist(&mut self, names: &Names) {
        for name in names.iter() {
            if !self.exists(&Spanned::new(name, names.span)) {
                return;
            }
        }
    }

    /// Whether a container has the name; notes it if not.
    pub(super) fn exists(&mut self, name: &Spanned<impl AsRef<str>>) -> bool {
        let (text, span) = (name.value.as_ref(), name.span);
        if !self.complete || self.containers.contains_key(text) {
            return true;
        }
        let title = format!("there is no container `{text}` here");
        let label = match self.gone.get(text) {
            Some(gone) => format!("it went at {}", self.position(*gone)),
            None => {
                let known = self.containers.keys().map(String::as_str);
                suggestion(text, known, "no step before this one creates it")
            }
        };
        let known: Vec<_> = self.containers.keys().map(String::as_str).collect();
        let known = format!("containers here: {}", some(&known));
        let error = self.cx.error(span, title, label);
        if !self.containers.is_empty() {
            error.note(known);
        }
        false
    }

    /// What a container's description can be checked for without a place.
    fn spec(&mut self, spec: &ContainerSpec) {
        for dependency in spec.dependencies() {
            self.exists(&dependency);
        }
        for affinity in &spec.affinities {
            if affinity.key == "container"
                && !affinity.soft
                && !affinity.negated
                && is_literal(&affinity.pattern)
            {
                self.exists(&Spanned::new(&affinity.pattern, affinity.span));
            }
        }
        let Some(resolved) = self.resolved else { return };
        let known = &resolved.cluster.images;
        let tagged = |image: &str| match image.rsplit_once('/').map_or(image, |(_, last)| last) {
            last if last.contains(':') => image.to_owned(),
            _ => format!("{image}:latest"),
        };
        if !known.iter().any(|image| tagged(image) == tagged(&spec.image)) {
            let names = known.iter().map(String::as_str);
            let label = suggestion(&spec.image, names, "no engine holds it");
            let list = known.join(", ");
            self.cx
                .error(spec.image.span, format!("unknown image `{}`", spec.image.value), label)
                .note(format!("images here: {list}; `cluster.images` adds others"));
        }
    }

    /// Notes what a step changes.
    fn happen(&mut self, step: &Step) {
        match &step.verb {
            Verb::Run(spec) | Verb::Create(spec) => {
                let node = step.expect.as_ref().and_then(|expect| expect.node.as_ref());
                for name in spec.name.iter() {
                    let known = Known {
                        span: spec.name.span,
                        node: node.map(|node| node.value.clone()),
                        ports: spec.ports.iter().map(|port| port.value).collect(),
                    };
                    self.containers.insert(name.clone(), known);
                }
            }
            Verb::Remove(remove) => {
                for name in remove.name.iter() {
                    self.containers.shift_remove(name);
                    self.gone.insert(name.clone(), remove.name.span);
                }
            }
            Verb::Rename(rename) => {
                if let (Some(from), Some(to)) = (rename.from.first(), rename.to.first())
                    && let Some(mut known) = self.containers.shift_remove(from)
                {
                    known.span = rename.to.span;
                    self.containers.insert(to.clone(), known);
                    self.gone.insert(from.clone(), rename.from.span);
                }
            }
            _ => {}
        }
    }

    /// Notes a number of nodes that is larger than it can be.
    pub(super) fn no_more_engines(&mut self, number: &Spanned<u64>) {
        if let Some(most) = self.engines()
            && number.value > most
        {
            let title = format!("{} nodes are more than there can be", number.value);
            self.cx.error(
                number.span,
                title,
                format!("the cluster has {}", counted(most, "engine")),
            );
        }
    }

    /// Notes a number of containers that is larger than it can be.
    pub(super) fn no_more_containers(&mut self, number: &Spanned<u64>) {
        let most = u64::try_from(self.containers.len()).unwrap_or(u64::MAX);
        if self.complete && number.value > most {
            let title =
                format!("{} are more than there can be", counted(number.value, "container"));
            let names: Vec<_> = self.containers.keys().map(String::as_str).collect();
            let label = format!("the steps so far leave {}", counted(most, "container"));
            let note = format!("containers here: {}", some(&names));
            self.cx.error(number.span, title, label).note(note);
        }
    }

    /// The most engines that the manager can know, if that is certain. Of a cluster without
    /// engines that is said once, elsewhere.
    pub(super) fn engines(&self) -> Option<u64> {
        let resolved = self.resolved.filter(|resolved| !resolved.incomplete)?;
        let cluster = &resolved.cluster;
        // With a store the manager knows the engines that have agents.
        let known = |host: &&Host| {
            resolved.doubtful.contains(&host.name)
                || host.engine.is_some() && (host.agent.is_some() || cluster.store().is_none())
        };
        let count = cluster.hosts.iter().filter(known).count();
        u64::try_from(count).ok().filter(|count| *count > 0)
    }

    /// `LINE:COLUMN` of a place.
    pub(super) fn position(&self, span: Span) -> String {
        let (line, column) = self.cx.source().position(span.start);
        format!("{line}:{column}")
    }
}

fn spec_of(verb: &Verb) -> Option<&ContainerSpec> {
    match verb {
        Verb::Run(spec) | Verb::Create(spec) => Some(spec),
        _ => None,
    }
}

/// Whether a pattern matches itself only: it has no sign that means something in a glob or a
/// regular expression.
pub(super) fn is_literal(pattern: &str) -> bool {
    pattern.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

/// A number of things.
pub(super) fn counted(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A list of names, cut when it is long.
pub(super) fn some(names: &[&str]) -> String {
    const SHOWN: usize = 8;
    match names.len() {
        0 => "none".to_owned(),
        count if count > SHOWN => {
            format!("{} and {} more", names[..SHOWN].join(", "), count - SHOWN)
        }
        _ => names.join(", "),
    }
}
