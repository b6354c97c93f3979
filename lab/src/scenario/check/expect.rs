//! Whether what a step expects can hold at all.

use std::net::Ipv4Addr;

use super::super::cluster::{Cluster, engine_port};
use super::super::context::suggestion;
use super::super::expect::{Expect, Http, Info, Ps, State, Store};
use super::super::span::{Span, Spanned};
use super::super::step::{Step, Verb};
use super::story::{Story, counted};

/// The directory in which agents announce their engines.
const NODES: &str = "docker/swarm/nodes";

impl<'a> Story<'a> {
    /// Notes what cannot hold after a step.
    pub(super) fn expect(&mut self, step: &Step, expect: &Expect) {
        if is_empty(expect) {
            self.without_content("an expectation", expect.span, Expect::KEYS);
            return;
        }
        self.subject(step, expect);
        if let Some(names) = &expect.container {
            self.exist(names);
        }
        let creates = matches!(step.verb, Verb::Run(_) | Verb::Create(_));
        if let (Some(node), Some(resolved), false) = (&expect.node, self.resolved, creates) {
            self.engine_host(node, resolved);
        }
        if let (Some(code), Some(state)) = (&expect.exit_code, &expect.state)
            && matches!(state.value, State::Running | State::Paused | State::Created)
        {
            let label = format!("a container that is {} has none", state.value);
            self.cx.error(code.span, "an exit code that there cannot be", label);
        }
        for ps in expect.ps.iter() {
            self.ps(ps);
        }
        for info in expect.info.iter() {
            self.info(info);
        }
        for store in expect.store.iter() {
            self.store(store);
        }
        for http in expect.http.iter() {
            self.http(http);
        }
    }

    /// Whether it is clear which container is spoken of, and whether there can be one.
    fn subject(&mut self, step: &Step, expect: &Expect) {
        let nothing_done = matches!(step.verb, Verb::Expect | Verb::Wait(_) | Verb::Fault(_));
        if let Some(error) = expect.error.as_ref().filter(|_| nothing_done) {
            let label = "this step only looks";
            self.cx.error(error.span, "an error without anything that could be refused", label);
        }
        let Some((key, span)) = about_container(expect) else { return };
        if expect.container.is_some() {
            return;
        }
        match &step.verb {
            Verb::Expect | Verb::Wait(_) | Verb::Fault(_) | Verb::Cert(_) | Verb::Dial(_) => {
                let label = "add `container: NAME`";
                self.cx.error(span, format!("`{key}` of which container?"), label);
            }
            Verb::Remove(_) if expect.error.is_none() => {
                let label = "there is none any more";
                self.cx.error(span, format!("`{key}` of a container that is removed"), label);
            }
            Verb::Run(_) | Verb::Create(_) if expect.error.is_some() => {
                let label = "a step that is refused makes none";
                self.cx.error(span, format!("`{key}` of a container that is refused"), label);
            }
            _ => {}
        }
    }

    fn ps(&mut self, ps: &Ps) {
        let numbers = [&ps.running, &ps.total, &ps.count];
        let nothing = numbers.iter().all(|number| number.is_none());
        if nothing && ps.named.is_none() && ps.names.is_none() && ps.nodes.is_none() {
            self.without_content("a ps expectation", ps.span, Ps::KEYS);
        }
        for number in [&ps.running, &ps.total].into_iter().flatten() {
            self.no_more_containers(number);
        }
        if let (Some(running), Some(total)) = (&ps.running, &ps.total)
            && running.value > total.value
        {
            let label = format!("the total is {}", total.value);
            self.cx.error(running.span, "more containers run than there are", label);
        }
        match (&ps.named, &ps.count) {
            (Some(named), count) if count.as_ref().is_none_or(|count| count.value > 0) => {
                self.exists(named);
            }
            (None, Some(count)) => {
                self.cx.error(count.span, "`count` of which container?", "add `named: NAME`");
            }
            _ => {}
        }
        for names in ps.names.iter().flat_map(|names| &names.value) {
            self.exist(names);
        }
        let Some(resolved) = self.resolved else { return };
        for entry in ps.nodes.iter().flat_map(|nodes| &nodes.0) {
            self.engine_host(&entry.key, resolved);
            if let Some(number) = &entry.value {
                self.no_more_containers(number);
            }
        }
    }

    fn info(&mut self, info: &Info) {
        let numbers = [&info.nodes, &info.healthy, &info.containers, &info.running];
        let about_node = info.status.as_ref().map(|status| ("status", status.span));
        let about_node = about_node.or(info.error.as_ref().map(|error| ("error", error.span)));
        if numbers.into_iter().chain([&info.paused, &info.stopped]).all(Option::is_none)
            && info.strategy.is_none()
            && about_node.is_none()
        {
            self.without_content("an info expectation", info.span, Info::KEYS);
        }
        for number in [&info.nodes, &info.healthy].into_iter().flatten() {
            self.no_more_engines(number);
        }
        let counts = [&info.containers, &info.running, &info.paused, &info.stopped];
        for number in counts.into_iter().flatten() {
            self.no_more_containers(number);
        }
        let Some(resolved) = self.resolved else { return };
        match (&info.node, about_node) {
            (Some(node), _) => {
                self.engine_host(node, resolved);
            }
            (None, Some((key, span))) => {
                self.cx.error(span, format!("`{key}` of which node?"), "add `node: HOST`");
            }
            (None, None) => {}
        }
        if let (Some(strategy), Some((_, manager))) = (&info.strategy, resolved.cluster.manager())
            && strategy.value.to_string() != manager.strategy
        {
            let label = format!("the manager is told `{}`", manager.strategy);
            self.cx.error(strategy.span, "a strategy that the manager does not have", label);
        }
    }

    fn store(&mut self, store: &Store) {
        if store.keys.is_none() && store.count.is_none() {
            self.without_content("a store expectation", store.span, Store::KEYS);
        }
        let Some(resolved) = self.resolved.filter(|resolved| !resolved.incomplete) else { return };
        let cluster = &resolved.cluster;
        if cluster.store().is_none() && resolved.doubtful.is_empty() {
            self.cx.error(store.span, "the cluster has no store", "no host has one");
            return;
        }
        if store.under.trim_matches('/') != NODES || !resolved.doubtful.is_empty() {
            return;
        }
        let port = engine_port(cluster.tls);
        let agents = cluster.hosts.iter().filter(|host| host.agent.is_some());
        let known: Vec<_> = agents.map(|host| format!("{}:{port}", host.address)).collect();
        for key in store.keys.iter().flat_map(|keys| &keys.value) {
            if !known.contains(&cluster.store_key(key)) {
                let names = known.iter().map(String::as_str);
                let label = suggestion(key, names, "no agent announces it");
                self.cx
                    .error(key.span, format!("no engine has the address `{}`", key.value), label)
                    .note(format!("announced: {}", known.join(", ")));
            }
        }
        if let Some(count) = &store.count {
            let most = u64::try_from(known.len()).unwrap_or(u64::MAX);
            if count.value > most {
                let title = format!("{} keys are more than there can be", count.value);
                let label = format!("the cluster has {}", counted(most, "agent"));
                self.cx.error(count.span, title, label);
            }
        }
    }

    fn http(&mut self, http: &Http) {
        let (title, label) = match url_host(&http.url) {
            Err(why) => (format!("`{}` is not a URL of the cluster", http.url.value), why),
            Ok(host) => {
                let Some(resolved) = self.resolved else { return };
                let uncertain = resolved.incomplete || !resolved.doubtful.is_empty();
                if uncertain || is_in(&resolved.cluster, host) {
                    return;
                }
                let names = resolved.cluster.hosts.iter().map(|host| host.name.as_str());
                let label = suggestion(host, names, "neither a host nor an address of the cluster");
                (format!("unknown host `{host}`"), label)
            }
        };
        self.cx.error(http.url.span, title, label);
    }

    fn without_content(&mut self, what: &str, span: Span, keys: &[&str]) {
        if self.cx.spoiled(span) {
            return;
        }
        let note = format!("{what} has: {}", keys.join(", "));
        self.cx.error(span, format!("{what} without content"), "say what must hold").note(note);
    }
}

fn is_empty(expect: &Expect) -> bool {
    about_container(expect).is_none()
        && expect.error.is_none()
        && expect.ps.is_empty()
        && expect.info.is_empty()
        && expect.store.is_empty()
        && expect.http.is_empty()
}

/// The first thing that is said about a container, with its place.
fn about_container(expect: &Expect) -> Option<(&'static str, Span)> {
    fn at<T>(key: &'static str, value: &Option<Spanned<T>>) -> Option<(&'static str, Span)> {
        value.as_ref().map(|value| (key, value.span))
    }
    at("node", &expect.node)
        .or(at("state", &expect.state))
        .or(at("exit_code", &expect.exit_code))
        .or(expect.inspect.0.first().map(|(path, _)| ("inspect", path.span)))
        .or(expect.logs.first().map(|logs| ("logs", logs.span)))
}

/// The host of `http://HOST[:PORT][/PATH]`.
fn url_host(url: &str) -> Result<&str, String> {
    let Some(rest) = url.strip_prefix("http://") else {
        return Err("write http://HOST:PORT/PATH".to_owned());
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let (host, port) = authority.split_once(':').unwrap_or((authority, "80"));
    if host.is_empty() {
        return Err("the host is missing".to_owned());
    }
    match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok(host),
        _ => Err(format!("`{port}` is not a port number from 1 to 65535")),
    }
}

fn is_in(cluster: &Cluster, host: &str) -> bool {
    match host.parse::<Ipv4Addr>() {
        Ok(address) => cluster.hosts.iter().any(|host| host.address == address),
        Err(_) => cluster.host(host).is_some(),
    }
}
