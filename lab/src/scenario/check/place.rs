//! Which hosts a container can be on, as far as labels, sizes and ports decide it.

use super::super::cluster::{Engine, Host, Manager};
use super::super::container::ContainerSpec;
use super::super::context::suggestion;
use super::super::expect::Expect;
use super::super::expression::Expression;
use super::super::resolve::Resolved;
use super::super::scalar::Memory;
use super::super::span::{Span, Spanned};
use super::story::{Story, counted, is_literal, some};

/// Labels that engines give themselves: their values are not in the file.
const OWN_LABELS: &[&str] =
    &["storagedriver", "executiondriver", "kernelversion", "operatingsystem", "ostype"];

/// Why a container cannot be on a host.
struct Refusal {
    /// The part of the description that excludes the host.
    span: Span,
    /// That part, for "excluded by …".
    by: String,
    /// What the host has instead.
    has: String,
}

/// The hosts that can have a container; empty when nothing is certain.
pub(super) struct Placed {
    allowed: Vec<String>,
    /// Whether the list is certain and not empty.
    certain: bool,
}

impl<'a> Story<'a> {
    /// The hosts that can have a container; notes when there is none.
    pub(super) fn place(&mut self, spec: &ContainerSpec) -> Placed {
        let nothing = Placed { allowed: Vec::new(), certain: false };
        let Some(resolved) = self.resolved.filter(|resolved| !resolved.incomplete) else {
            return nothing;
        };
        if !self.known_nodes(spec, resolved) {
            return nothing;
        }
        let mut left: Vec<&Host> = resolved.cluster.hosts.iter().collect();
        left.retain(|host| host.engine.is_some() || resolved.doubtful.contains(&host.name));
        if left.is_empty() {
            return nothing;
        }
        for test in tests(spec, resolved) {
            let refused: Vec<_> = left.iter().map(|host| test(host)).collect();
            if let Some(first) = refused.iter().flatten().next()
                && refused.iter().all(Option::is_some)
            {
                let hosts: Vec<_> = left.iter().map(|host| host.name.as_str()).collect();
                self.no_place(spec, first, &hosts, &refused, resolved);
                return nothing;
            }
            let mut refused = refused.iter();
            left.retain(|_| refused.next().is_some_and(Option::is_none));
        }
        self.check_ports(spec, &left);
        Placed { allowed: left.iter().map(|host| host.name.clone()).collect(), certain: true }
    }

    /// Whether all hosts that constraints name exist; notes those that do not.
    fn known_nodes(&mut self, spec: &ContainerSpec, resolved: &Resolved) -> bool {
        let mut known = true;
        for constraint in &spec.constraints {
            if constraint.key == "node" && is_literal(&constraint.pattern) {
                let name = Spanned::new(constraint.pattern.clone(), constraint.span);
                known &= self.engine_host(&name, resolved);
            }
        }
        known
    }

    /// Whether a host has the name and an engine; notes it if not.
    pub(super) fn engine_host(&mut self, name: &Spanned<String>, resolved: &Resolved) -> bool {
        let hosts = &resolved.cluster.hosts;
        if resolved.incomplete || resolved.doubtful.contains(&name.value) {
            return true;
        }
        let engines = || hosts.iter().filter(|host| host.engine.is_some());
        let names: Vec<_> = engines().map(|host| host.name.as_str()).collect();
        if names.contains(&name.value.as_str()) {
            return true;
        }
        let (title, label) = match resolved.cluster.host(&name.value) {
            Some(_) => {
                (format!("the host `{}` has no engine", name.value), "no containers here".into())
            }
            None => {
                let label = suggestion(name, names.iter().copied(), "the cluster has no such host");
                (format!("unknown host `{}`", name.value), label)
            }
        };
        self.cx
            .error(name.span, title, label)
            .note(format!("hosts with engines: {}", some(&names)));
        false
    }

    /// Notes that no host is left, at the test that refused the last ones.
    fn no_place(
        &mut self,
        spec: &ContainerSpec,
        first: &Refusal,
        hosts: &[&str],
        refused: &[Option<Refusal>],
        resolved: &Resolved,
    ) {
        let title = format!("no engine can have `{}`", spec.name.text);
        let labels = || {
            let engines = resolved.cluster.engines();
            engines.flat_map(|(_, engine)| engine.labels.keys().map(String::as_str))
        };
        let constraint = spec.constraints.iter().find(|constraint| constraint.span == first.span);
        let label = match constraint {
            Some(constraint)
                if constraint.key != "node" && !labels().any(|key| key == constraint.key) =>
            {
                let known: Vec<_> = labels().collect();
                let other = format!("no engine has the label `{}`", constraint.key);
                suggestion(&constraint.key, known, &other)
            }
            _ => "no engine that is left satisfies this".to_owned(),
        };
        let width = hosts.iter().map(|host| host.len()).max().unwrap_or(0);
        let lines: Vec<_> = hosts
            .iter()
            .zip(refused)
            .filter_map(|(host, refusal)| Some((host, refusal.as_ref()?)))
            .take(8)
            .map(|(host, refusal)| format!("{host:width$}  {}", refusal.has))
            .collect();
        self.cx
            .error(first.span, title, label)
            .note(lines.join("\n"))
            .note("to test that the manager refuses it, expect an `error`");
    }

    /// Notes more containers with one host port than there are engines left for them.
    fn check_ports(&mut self, spec: &ContainerSpec, left: &[&Host]) {
        if !self.complete {
            return;
        }
        for (index, port) in spec.ports.iter().enumerate() {
            if let Some(other) = spec.ports[..index].iter().find(|other| other.conflicts(port)) {
                let label = format!("`{}` wants it too", other.value);
                self.cx.error(port.span, "one container cannot have a host port twice", label);
                return;
            }
            let holder = |host: &&&Host| {
                let mut containers = self.containers.values();
                containers.any(|known| {
                    known.node.as_ref() == Some(&host.name)
                        && known.ports.iter().any(|other| other.conflicts(port))
                })
            };
            let free = left.iter().filter(|host| !holder(host)).count();
            if port.host.is_some() && spec.name.len() > free {
                let hosts: Vec<_> = left.iter().map(|host| host.name.as_str()).collect();
                let number = port.host.unwrap_or_default();
                let many = |n: usize, noun| counted(u64::try_from(n).unwrap_or(u64::MAX), noun);
                let wanted = many(spec.name.len(), "container");
                let title = format!("{wanted} cannot have the host port {number}");
                let mut label = format!("{} can have them", many(left.len(), "engine"));
                if free < left.len() {
                    label += &format!(", {} with that port taken", left.len() - free);
                }
                self.cx.error(port.span, title, label).note(format!("left: {}", some(&hosts)));
                return;
            }
        }
    }

    /// Notes an expected node that the container cannot be on.
    pub(super) fn expected_place(
        &mut self,
        spec: &ContainerSpec,
        placed: &Placed,
        expect: &Expect,
    ) {
        let (Some(node), Some(resolved)) = (&expect.node, self.resolved) else { return };
        if !placed.certain || !self.engine_host(node, resolved) {
            return;
        }
        let title = format!("`{}` cannot be on {}", spec.name.text, node.value);
        if !placed.allowed.contains(&node.value) {
            let Some(host) = resolved.cluster.host(&node.value) else { return };
            let Some(refusal) = tests(spec, resolved).iter().find_map(|test| test(host)) else {
                return;
            };
            let allowed: Vec<_> = placed.allowed.iter().map(String::as_str).collect();
            self.cx
                .error(node.span, title, format!("excluded by {}", refusal.by))
                .note(format!("{} {}", node.value, refusal.has))
                .note(format!("hosts that can have it: {}", some(&allowed)));
            return;
        }
        self.expected_ports(spec, node, &title);
    }

    fn expected_ports(&mut self, spec: &ContainerSpec, node: &Spanned<String>, title: &str) {
        for port in &spec.ports {
            let Some(number) = port.host else { continue };
            if spec.name.len() > 1 {
                let label = format!("only one of them can have its port {number}");
                self.cx.error(node.span, title, label);
                return;
            }
            let holder = self.containers.iter().find(|(_, known)| {
                known.node.as_ref() == Some(&node.value)
                    && known.ports.iter().any(|other| other.conflicts(port))
            });
            if let Some((name, known)) = holder {
                let note = format!("`{name}` is created at {}", self.position(known.span));
                let label = format!("`{name}` has its port {number}");
                self.cx.error(node.span, title, label).note(note);
                return;
            }
        }
    }
}

type Test<'t> = Box<dyn Fn(&Host) -> Option<Refusal> + 't>;

/// The tests that a host must pass, in the order of the file; each tells why a host does not.
fn tests<'t>(spec: &'t ContainerSpec, resolved: &'t Resolved) -> Vec<Test<'t>> {
    let trusted = |host: &'_ Host| !resolved.doubtful.contains(&host.name);
    let mut tests: Vec<Test<'t>> = Vec::new();
    for constraint in spec.constraints.iter().filter(|constraint| !constraint.soft) {
        tests.push(Box::new(move |host| {
            let engine = host.engine.as_ref().filter(|_| trusted(host))?;
            let has = violated(constraint, host, engine)?;
            Some(Refusal { span: constraint.span, by: format!("`{}`", constraint.text), has })
        }));
    }
    // The strategy `random` looks at no sizes.
    let manager = resolved.cluster.manager().map(|(_, manager)| manager);
    let Some(percent) = manager.filter(|m| m.strategy != "random").and_then(overcommit) else {
        return tests;
    };
    if let Some(memory) = &spec.memory {
        tests.push(Box::new(move |host| {
            let engine = host.engine.as_ref().filter(|_| trusted(host))?;
            let total = u128::from(engine.memory) * u128::from(100 + percent) / 100;
            (u128::from(memory.value.0) > total).then(|| Refusal {
                span: memory.span,
                by: format!("`memory: {}`", memory.value),
                has: format!("has {}", Memory(engine.memory)),
            })
        }));
    }
    if let Some(cpus) = &spec.cpus {
        tests.push(Box::new(move |host| {
            let engine = host.engine.as_ref().filter(|_| trusted(host))?;
            let total = u64::from(engine.cpus) * (100 + percent) / 100;
            (u64::from(cpus.value) > total).then(|| Refusal {
                span: cpus.span,
                by: format!("`cpus: {}`", cpus.value),
                has: format!("has {}", counted(engine.cpus.into(), "CPU")),
            })
        }));
    }
    tests
}

/// What a host has that a constraint certainly excludes.
fn violated(constraint: &Expression, host: &Host, engine: &Engine) -> Option<String> {
    let key = constraint.key.as_str();
    if key == "node" {
        // A node also has an ID, which only a pattern can match.
        let certain = constraint.negated || is_literal(&constraint.pattern);
        let violated = certain && !constraint.matches([host.name.as_str()]);
        return violated.then(|| "is not that node".to_owned());
    }
    if OWN_LABELS.contains(&key) {
        return None;
    }
    let value = engine.labels.get(key);
    if constraint.matches([value.map_or("", String::as_str)]) {
        return None;
    }
    Some(match value {
        Some(value) => format!("has {key}={value}"),
        None => format!("has no label `{key}`"),
    })
}

/// How many percent more than they have the manager takes its engines for; none if its command
/// line says something that only the manager can judge.
fn overcommit(manager: &Manager) -> Option<u64> {
    let words = manager.options.iter();
    let Some(value) = words.filter_map(|word| word.split_once("swarm.overcommit=")).next_back()
    else {
        return Some(5);
    };
    let ratio: f64 = value.1.parse().ok()?;
    // Text is the exact way from a ratio to whole percents; a negative ratio has none here.
    format!("{:.0}", (ratio * 100.0).trunc()).parse().ok()
}
