//! What each verb does.

use std::time::Duration;

use hyper::{Method, StatusCode};
use serde_json::Value;
use swarm::ctx::Addr;

use super::access::Access;
use super::api::encoded;
use super::container::create_body;
use super::explain::explain;
use super::view::Row;
use super::{Miss, Runner};
use crate::report::count;
use crate::scenario::cluster::engine_port;
use crate::scenario::expect::Expect;
use crate::scenario::step::{Cert, Dial, WAIT_DEFAULT, Wait};
use crate::scenario::{ContainerSpec, Guise, Holder, Spanned, Step, Verb};
use crate::world::Guest;

/// What a step is about, in a few words: the second column of the report.
#[must_use]
pub fn subject(step: &Step) -> String {
    match &step.verb {
        Verb::Wait(wait) => {
            let n = usize::try_from(wait.healthy.value).unwrap_or(usize::MAX);
            format!("{} healthy", count(n, "node"))
        }
        Verb::Fault(fault) => fault.action.subject(),
        Verb::Cert(cert) => format!("{} {}", cert.host.value, cert.kind.value),
        Verb::Dial(dial) => {
            let guise = dial.guise.as_ref().map_or(Guise::Client, |guise| guise.value);
            format!("{} {guise}", dial.host.value)
        }
        Verb::Expect => step.expect.as_ref().map(topics).unwrap_or_default(),
        verb => verb.containers().join(", "),
    }
}

/// The things an expectation speaks of: `ps, info, store`.
fn topics(expect: &Expect) -> String {
    let of = |given: bool, name: &'static str| given.then_some(name);
    let container = expect.container.as_ref().map(|names| names.text.as_str());
    let topics = [
        container,
        of(!expect.ps.0.is_empty(), "ps"),
        of(!expect.info.0.is_empty(), "info"),
        of(!expect.store.0.is_empty(), "store"),
        of(!expect.http.0.is_empty(), "http"),
    ];
    topics.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// A request of a verb, and what it was refused with, if so.
type Done = Result<(), String>;

impl Runner<'_> {
    /// Waits until that many nodes are healthy.
    pub(super) async fn wait(
        &mut self,
        n: usize,
        wait: &Wait,
        within: Option<Duration>,
    ) -> Result<(), Miss> {
        let began = self.world.now();
        let limit = within.unwrap_or(WAIT_DEFAULT);
        let wanted = wait.healthy.value;
        loop {
            let info = self.endpoints.info().await;
            let healthy = info.as_ref().map_or(0, super::view::Info::healthy);
            if u64::try_from(healthy).is_ok_and(|healthy| healthy >= wanted) {
                break;
            }
            if self.world.now() - began >= limit {
                let waited = crate::report::human(limit);
                let title = format!("after {waited}, {healthy} of {wanted} nodes are healthy");
                let miss = Miss::new(wait.healthy.span, title, "expected here");
                return Err(match info {
                    Ok(info) => miss.note(info.describe()),
                    Err(why) => miss.note(format!("the manager does not answer: {why}")),
                });
            }
            self.pause(began, began + limit).await;
        }
        self.outcome.expectations += 1;
        let step = &self.scenario.steps[n - 1];
        self.expectations(step, &[]).await?;
        let item = self.item(n, step, self.world.now() - began, "", "", true);
        self.emit("step.item", item);
        Ok(())
    }

    /// Does a verb to each of its containers, in order, and reports each.
    pub(super) async fn act(&mut self, n: usize, step: &Step) -> Result<(), Miss> {
        let names = step.verb.containers().to_vec();
        for (i, name) in names.iter().enumerate() {
            let began = self.world.now();
            if self.explain == Some(n) {
                self.foretell(n, &step.verb, name);
            }
            let done = self.request(&step.verb, i, name).await;
            let refused = match judged(step, name, "the manager", done) {
                Ok(refused) => refused,
                Err(Unmet { miss, done: true }) => {
                    return Err(miss.note(self.whereabouts(name).await));
                }
                Err(Unmet { miss, .. }) => return Err(miss),
            };
            if refused.is_none() {
                if let Err(miss) = self.expectations(step, std::slice::from_ref(name)).await {
                    return Err(self.explained(&step.verb, name, miss).await);
                }
            } else {
                self.outcome.expectations += 1;
            }
            let took = self.world.now() - began;
            let (result, detail) = match &refused {
                Some(why) => (String::new(), format!("refused: {}", first_words(why))),
                None => self.result(&step.verb, name).await,
            };
            let item = self.named_item(n, step, name, took, &result, &detail, true);
            self.emit("step.item", item);
        }
        Ok(())
    }

    /// Replaces a certificate and waits for what is expected of that.
    pub(super) async fn certify(&mut self, n: usize, step: &Step, cert: &Cert) -> Result<(), Miss> {
        let began = self.world.now();
        let host = cert.host.value.as_str();
        let holder = self.holder(&cert.host, cert.of.as_ref())?;
        let done = self.world.certify(host, holder, cert.kind.value).await;
        done.map_err(|error| Miss::new(step.span, error.to_string(), "this step"))?;
        self.expectations(step, &[]).await?;
        let took = self.world.now() - began;
        self.emit("step.item", self.item(n, step, took, &holder.to_string(), "", true));
        Ok(())
    }

    /// Asks a server for a sign of life.
    pub(super) async fn dial(&mut self, n: usize, step: &Step, dial: &Dial) -> Result<(), Miss> {
        let began = self.world.now();
        let holder = self.holder(&dial.host, dial.of.as_ref())?;
        let cluster = self.cluster();
        let host = cluster.host(&dial.host.value).expect("a host with a server is a host");
        let at = |port| Addr::tcp(host.address.to_string(), port);
        let addr = match (holder, &host.manager, &self.guest) {
            (Holder::Manager, _, Some(guest)) => guest.manager.clone(),
            (Holder::Manager, Some(manager), None) => at(manager.port),
            _ => at(engine_port(cluster.tls)),
        };
        let guise = dial.guise.as_ref().map_or(Guise::Client, |guise| guise.value);
        let given = self.guest.as_ref().and_then(|guest| guest.tls.as_ref());
        let access = Access::new(&self.client, self.pki.as_deref()).given(given);
        let done = access.dial(addr, guise).await;
        let subject = format!("{guise} at {}", host.name);
        let refused = judged(step, &subject, "the stranger's side", done);
        let refused = refused.map_err(|unmet| unmet.miss)?;
        match &refused {
            Some(_) => self.outcome.expectations += 1,
            None => self.expectations(step, &[]).await?,
        }
        let detail = refused.map(|why| format!("refused: {}", first_words(&why)));
        let took = self.world.now() - began;
        let detail = detail.unwrap_or_default();
        let item = self.item(n, step, took, &holder.to_string(), &detail, true);
        self.emit("step.item", item);
        Ok(())
    }

    /// The server that a step means.
    fn holder(&self, host: &Spanned<String>, of: Option<&Spanned<Holder>>) -> Result<Holder, Miss> {
        let found = self.cluster().host(&host.value);
        let holder = found.and_then(|found| found.holder(of.map(|of| of.value)));
        holder.ok_or_else(|| Miss::new(host.span, "there is no such server", "not on this host"))
    }

    /// A miss of a container that was placed somewhere, with what speaks for and against each node.
    async fn explained(&self, verb: &Verb, name: &str, miss: Miss) -> Miss {
        let (Verb::Run(spec) | Verb::Create(spec)) = verb else { return miss };
        let lines = explain(&self.endpoints, self.cluster(), spec, name).await;
        if lines.is_empty() { miss } else { miss.note(lines.join("\n")) }
    }

    /// The request of a verb for its `i`-th container.
    async fn request(&mut self, verb: &Verb, i: usize, name: &str) -> Done {
        let path = |action: &str| format!("/containers/{}/{action}", encoded(name));
        match verb {
            Verb::Run(spec) => {
                self.create(spec, name).await?;
                self.post(&path("start")).await
            }
            Verb::Create(spec) => self.create(spec, name).await,
            Verb::Start(_) => self.post(&path("start")).await,
            Verb::Stop(stop) | Verb::Restart(stop) => {
                let seconds = stop.timeout.as_ref().map(|t| t.value.0.as_secs());
                let query = seconds.map(|s| format!("?t={s}")).unwrap_or_default();
                self.post(&path(&format!("{}{query}", verb.word()))).await
            }
            Verb::Kill(kill) => {
                let signal = kill.signal.as_ref().map_or("KILL", |signal| signal.value.as_str());
                self.post(&path(&format!("kill?signal={}", encoded(signal)))).await
            }
            Verb::Pause(_) | Verb::Unpause(_) => self.post(&path(verb.word())).await,
            Verb::Rename(rename) => {
                let from = encoded(&rename.from.all[i]);
                self.post(&format!("/containers/{from}/rename?name={}", encoded(name))).await?;
                let from = &rename.from.all[i];
                for known in self.acknowledged.values_mut().filter(|known| *known == from) {
                    name.clone_into(known);
                }
                Ok(())
            }
            Verb::Remove(remove) => {
                let flag = |flag: &Option<Spanned<bool>>| {
                    u8::from(flag.as_ref().is_some_and(|flag| flag.value))
                };
                let (force, volumes) = (flag(&remove.force), flag(&remove.volumes));
                let path = format!("/containers/{}?force={force}&v={volumes}", encoded(name));
                self.endpoints.manager.send(Method::DELETE, &path, None).await?.ok()?;
                self.acknowledged.retain(|_, known| known != name);
                Ok(())
            }
            Verb::Wait(_) | Verb::Fault(_) | Verb::Cert(_) | Verb::Dial(_) | Verb::Expect => Ok(()),
        }
    }

    async fn post(&self, path: &str) -> Done {
        self.endpoints.manager.send(Method::POST, path, None).await?.ok().map(drop)
    }

    async fn create(&mut self, spec: &ContainerSpec, name: &str) -> Done {
        let path = format!("/containers/create?name={}", encoded(name));
        let mut body = create_body(spec);
        if let Some(Guest { mark: (key, value), .. }) = &self.guest {
            body["Labels"][key] = value.clone().into();
        }
        let reply = self.endpoints.manager.send(Method::POST, &path, Some(&body)).await?;
        if reply.status != StatusCode::CREATED {
            return Err(reply.ok().err().unwrap_or_else(|| "no container was made".to_owned()));
        }
        match reply.json()["Id"].as_str() {
            Some(id) => {
                self.acknowledged.insert(id.to_owned(), name.to_owned());
                Ok(())
            }
            None => Err("the reply to the create names no container".to_owned()),
        }
    }

    /// The third and fourth column of a report row: the node, and what is worth knowing there.
    async fn result(&self, verb: &Verb, name: &str) -> (String, String) {
        if matches!(verb, Verb::Remove(_)) {
            return (String::new(), String::new());
        }
        match self.find(name).await {
            Some(row) if matches!(verb, Verb::Run(_) | Verb::Start(_)) => {
                let ports: Vec<_> = row.ports.into_iter().collect();
                (row.node, ports.join(", "))
            }
            Some(row) => (row.node, row.state),
            None => (String::new(), String::new()),
        }
    }

    async fn find(&self, name: &str) -> Option<Row> {
        self.endpoints.containers().await.ok()?.into_iter().find(|row| row.name == name)
    }

    async fn whereabouts(&self, name: &str) -> String {
        match self.find(name).await {
            Some(row) => format!("{name} is on {}, {}", row.node, row.state),
            None => {
                let seen = self.endpoints.manager.get(&format!("/containers/{name}/json")).await;
                let id = seen.unwrap_or(Value::Null)["Id"].as_str().unwrap_or("?").to_owned();
                format!("{name} ({id}) is not in the manager's list")
            }
        }
    }
}

/// What a step expects of a verb's outcome does not hold.
struct Unmet {
    miss: Miss,
    /// Whether the verb was done, though the step expects a refusal.
    done: bool,
}

/// What a verb was refused with, if that is what the step expects. `teller` is who said it.
fn judged(step: &Step, subject: &str, teller: &str, done: Done) -> Result<Option<String>, Unmet> {
    let wanted = step.expect.as_ref().and_then(|expect| expect.error.as_ref());
    let (miss, done) = match (done, wanted) {
        (Ok(()), None) => return Ok(None),
        (Err(why), Some(wanted)) if why.contains(&wanted.value) => return Ok(Some(why)),
        (Err(why), Some(wanted)) => {
            let title = format!("{subject} was refused, but not for the reason expected");
            let miss = Miss::new(wanted.span, title, "expected in the message");
            (miss.note(format!("{teller} said: {why}")), false)
        }
        (Err(why), None) => {
            let title = format!("{} {subject} was refused", step.verb.word());
            let miss = Miss::new(step.span, title, "this step");
            (miss.note(format!("{teller} said: {why}")), false)
        }
        (Ok(()), Some(wanted)) => {
            let title = format!("{subject} was not refused");
            (Miss::new(wanted.span, title, "expected to be refused with this"), true)
        }
    };
    Err(Unmet { miss, done })
}

/// The last line of a refusal that says something: the classic texts list one condition a line.
fn first_words(message: &str) -> String {
    let lines: Vec<_> = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let conditions: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with('['))
        .map(|l| l.trim_matches(['[', ']']))
        .collect();
    if conditions.is_empty() {
        return lines.first().unwrap_or(&"").to_string();
    }
    format!("no node with {}", conditions.join(", "))
}

#[cfg(test)]
mod tests {
    use super::first_words;

    #[test]
    fn a_refusal_fits_on_a_line() {
        let text = "Unable to find a node that satisfies the following conditions \n\
                    [port 80 (Bridge mode)]\n[available container slots]\n[zone==moon]";
        assert_eq!(
            first_words(text),
            "no node with port 80 (Bridge mode), available container slots, zone==moon"
        );
        assert_eq!(first_words("No healthy node available\n"), "No healthy node available");
    }
}
