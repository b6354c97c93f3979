//! Replays the steps of a scenario in any world and checks what they expect.
//!
//! The runner talks to the cluster as any client would: over the Docker API of the manager. Only
//! the invariants look past it, at the engines.

pub mod access;
pub mod api;
mod container;
mod expect;
mod explain;
pub(crate) mod fault;
mod invariant;
mod verb;
pub(crate) mod view;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use swarm::ctx::Ctx;

use crate::event::{Event, SharedSink};
use crate::pki::Pki;
use crate::scenario::cluster::Cluster;
use crate::scenario::{Invariant, Scenario, Span, Step, Verb};
use crate::world::fault::Part;
use crate::world::{Guest, World, WorldError};

pub use access::Access;
use expect::Checker;
use fault::InForce;
use invariant::{Acknowledged, Truth};
pub use verb::subject;
use view::Endpoints;

/// Pause between two looks at something that is waited for.
const POLL_MIN: Duration = Duration::from_millis(100);
/// Longest such pause.
const POLL_MAX: Duration = Duration::from_secs(1);

/// The verdict of a run, and how much was checked.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What did not hold; `None` when everything did.
    pub failure: Option<Failure>,
    /// Steps that were completed.
    pub steps: usize,
    /// Expectations that held.
    pub expectations: usize,
    /// Invariant checks that held.
    pub invariants: usize,
    /// Time that passed in the cluster.
    pub cluster_time: Duration,
    /// What to tell the user of a cluster that was left running.
    pub kept: Option<String>,
}

/// Something that did not hold.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Number of the step, from 1.
    pub step: usize,
    /// Where in the file it was expected.
    pub span: Span,
    /// What is wrong, as a fragment fit for "error: …".
    pub title: String,
    /// What is said beside the place in the file.
    pub label: String,
    /// Details, each may have several lines.
    pub notes: Vec<String>,
}

impl Failure {
    /// The last `count` things that happened in the cluster before the failure, oldest first.
    #[must_use]
    pub fn last_events(&self, events: &[Event], count: usize) -> Vec<String> {
        // What stores and engines log all the time says little; their warnings may say a lot.
        let told = |event: &&Event| match event.component.as_str() {
            "runner" | "network" => false,
            "manager" | "agent" => true,
            _ => !matches!(event.kind.as_str(), "log.info" | "log.debug"),
        };
        let mut last: Vec<_> =
            events.iter().rev().filter(told).take(count).map(ToString::to_string).collect();
        last.reverse();
        last
    }
}

/// What did not hold within a step.
#[derive(Clone, Debug)]
pub(crate) struct Miss {
    pub span: Span,
    pub title: String,
    pub label: String,
    pub notes: Vec<String>,
}

impl Miss {
    fn new(span: Span, title: impl Into<String>, label: impl Into<String>) -> Self {
        Self { span, title: title.into(), label: label.into(), notes: Vec::new() }
    }

    fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

/// Which steps to run, and what to tell of them besides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope {
    /// The last step to run, counted from 1.
    pub until: Option<usize>,
    /// The step of which the log tells what the manager made of each node before each placement.
    pub explain: Option<usize>,
}

/// Replays `scenario` in `world`. `seed` is only told in the log.
///
/// # Errors
/// When the world could not be brought up. That something did not hold is not an error but a
/// verdict.
pub async fn run(
    world: &mut dyn World,
    scenario: &Scenario,
    sink: &SharedSink,
    seed: Option<u64>,
    scope: Scope,
) -> Result<Outcome, WorldError> {
    sink.emit(start_event(world, scenario, seed));
    sink.emit(Event::new(Duration::ZERO, "lab", "runner", "cluster.up", Value::Null));
    world.up().await?;
    let client = world.client();
    let pki = world.pki();
    let guest = world.guest();
    let given = guest.as_ref().and_then(|guest| guest.tls.as_ref());
    let access = Access::new(&client, pki.as_deref()).given(given);
    let endpoints = Endpoints::new(access, &scenario.cluster).ok_or_else(|| {
        WorldError::new("the cluster has no manager", "give a host `manager: {}`")
    })?;
    let endpoints = match &guest {
        Some(guest) => endpoints.of_guest(access, guest),
        None => endpoints,
    };
    let mut runner = Runner {
        world,
        scenario,
        sink,
        client: client.clone(),
        pki: pki.clone(),
        guest: guest.clone(),
        endpoints,
        acknowledged: Acknowledged::new(),
        in_force: InForce::default(),
        struck: false,
        explain: scope.explain,
        outcome: Outcome::default(),
    };
    let last = scope.until.unwrap_or(usize::MAX);
    for (n, step) in scenario.steps.iter().enumerate().take(last) {
        if let Err(miss) = runner.step(n + 1, step).await {
            let Miss { span, title, label, notes } = miss;
            runner.outcome.failure = Some(Failure { step: n + 1, span, title, label, notes });
            break;
        }
        runner.outcome.steps += 1;
    }
    Ok(runner.finish())
}

/// The first event: everything that was drawn or chosen, so that the log alone can be replayed.
fn start_event(world: &dyn World, scenario: &Scenario, seed: Option<u64>) -> Event {
    let cluster = &scenario.cluster;
    let mut fields = json!({
        "scenario": scenario.name,
        "world": world.name(),
        "version": env!("CARGO_PKG_VERSION"),
        "tls": if cluster.tls { "on" } else { "off" },
        "hosts": cluster.hosts.len(),
        "network": cluster.network.to_string(),
        "engines": cluster.engines().count(),
        "store": cluster.store().map(|(_, kind)| kind.to_string()).unwrap_or_default(),
        "strategy": cluster.manager().map(|(_, m)| m.strategy.clone()).unwrap_or_default(),
    });
    if let Some(seed) = seed {
        fields["seed"] = seed.into();
    }
    Event::new(Duration::ZERO, "lab", "runner", "run.start", fields)
}

struct Runner<'a> {
    world: &'a mut dyn World,
    scenario: &'a Scenario,
    sink: &'a SharedSink,
    client: Ctx,
    pki: Option<Arc<Pki>>,
    guest: Option<Guest>,
    endpoints: Endpoints,
    acknowledged: Acknowledged,
    /// What is wrong with the cluster.
    in_force: InForce,
    /// Whether anything has been wrong.
    struck: bool,
    /// See [`Scope::explain`].
    explain: Option<usize>,
    outcome: Outcome,
}

impl Runner<'_> {
    fn emit(&self, kind: &str, fields: Value) {
        self.sink.emit(Event::new(self.world.now(), "lab", "runner", kind, fields));
    }

    fn cluster(&self) -> &Cluster {
        &self.scenario.cluster
    }

    fn checker(&self) -> Checker<'_> {
        Checker { endpoints: &self.endpoints, client: &self.client, cluster: self.cluster() }
    }

    /// One step: the verb, what is expected of it, the state of the cluster, the invariants.
    async fn step(&mut self, n: usize, step: &Step) -> Result<(), Miss> {
        let verb = step.verb.word();
        let began = self.world.now();
        self.emit("step.start", json!({"step": n, "verb": verb, "subject": subject(step)}));
        let result = match &step.verb {
            Verb::Wait(wait) => self.wait(n, wait, step.within).await,
            Verb::Fault(fault) => {
                self.struck = true;
                match self.strike(&fault.action, fault.span).await {
                    Ok(()) => self.only_expect(n, step).await,
                    Err(miss) => Err(miss),
                }
            }
            Verb::Expect => self.only_expect(n, step).await,
            Verb::Cert(cert) => self.certify(n, step, cert).await,
            Verb::Dial(dial) => self.dial(n, step, dial).await,
            _ => self.act(n, step).await,
        };
        let result = match result {
            Ok(()) => self.after(n, step).await,
            Err(miss) => Err(miss),
        };
        match &result {
            Ok(()) => self.emit("step.end", json!({"step": n, "ok": true})),
            Err(miss) => {
                self.emit("step.item", self.item(n, step, self.world.now() - began, "", "", false));
                self.emit(
                    "step.end",
                    json!({"step": n, "ok": false, "title": miss.title, "notes": miss.notes}),
                );
            }
        }
        result
    }

    /// What the cluster looks like now goes into the log; then the invariants.
    async fn after(&mut self, n: usize, step: &Step) -> Result<(), Miss> {
        let mut state = json!({ "step": n });
        let silent = |part, host: &str| self.in_force.is_silent(part, host);
        if let (Some(state), Value::Object(seen)) =
            (state.as_object_mut(), self.endpoints.snapshot(&silent).await)
        {
            state.extend(seen);
        }
        self.emit("cluster.state", state);
        self.invariants(step).await
    }

    /// While something is wrong, a container may have a copy on either side of what divides the
    /// cluster. When all is well again, there must be one of each within the step's time.
    async fn invariants(&mut self, step: &Step) -> Result<(), Miss> {
        let settled = self.in_force.is_empty() && !matches!(step.verb, Verb::Fault(_));
        let began = self.world.now();
        let deadline = self.world.now() + step.within.filter(|_| self.struck).unwrap_or_default();
        loop {
            let hidden = |host: &str| {
                self.guest.as_ref().is_some_and(|guest| guest.out_of_reach.contains(host))
            };
            let silent = |host: &str| hidden(host) || self.in_force.is_silent(Part::Engine, host);
            let truth = Truth::read(&self.endpoints, silent, settled).await;
            let mut always = self.scenario.always.iter();
            match always.try_for_each(|invariant| self.invariant(*invariant, &truth, step)) {
                Ok(()) => break,
                Err(miss) if self.world.now() >= deadline => return Err(miss),
                Err(_) => self.pause(began, deadline).await,
            }
        }
        self.outcome.invariants += self.scenario.always.len();
        Ok(())
    }

    fn invariant(&self, invariant: Invariant, truth: &Truth, step: &Step) -> Result<(), Miss> {
        invariant::check(invariant, truth, self.cluster(), &self.acknowledged).map_err(|why| {
            Miss::new(step.span, why, format!("after this step, `{invariant}` does not hold"))
        })
    }

    async fn only_expect(&mut self, n: usize, step: &Step) -> Result<(), Miss> {
        let began = self.world.now();
        self.expectations(step, &[]).await?;
        let took = self.world.now() - began;
        self.emit("step.item", self.item(n, step, took, "", "", true));
        Ok(())
    }

    /// Checks what a step expects of `names`, again and again until its time is over.
    async fn expectations(&mut self, step: &Step, names: &[String]) -> Result<(), Miss> {
        let Some(expect) = &step.expect else { return Ok(()) };
        let began = self.world.now();
        let deadline = began + step.within.unwrap_or_default();
        loop {
            let result = self.checker().check(expect, names).await;
            match result {
                Ok(held) => {
                    self.outcome.expectations += held;
                    return Ok(());
                }
                Err(miss) if self.world.now() >= deadline => {
                    return Err(match step.within {
                        Some(time) => miss.note(format!("waited {}", crate::report::human(time))),
                        None => miss,
                    });
                }
                Err(_) => self.pause(began, deadline).await,
            }
        }
    }

    /// Waits before the next look at something: a tenth of what was waited already, so that a long
    /// wait costs few looks and is still measured to a tenth, and never past the deadline.
    async fn pause(&self, began: Duration, deadline: Duration) {
        let now = self.world.now();
        let pause = (now.saturating_sub(began) / 10).clamp(POLL_MIN, POLL_MAX);
        let left = deadline.saturating_sub(now).max(Duration::from_millis(1));
        tokio::time::sleep(pause.min(left)).await;
    }

    /// The fields of a `step.item`: one row of the report.
    fn item(
        &self,
        n: usize,
        step: &Step,
        took: Duration,
        result: &str,
        detail: &str,
        ok: bool,
    ) -> Value {
        self.named_item(n, step, &subject(step), took, result, detail, ok)
    }

    #[expect(clippy::too_many_arguments, reason = "the columns of a row")]
    fn named_item(
        &self,
        n: usize,
        step: &Step,
        subject: &str,
        took: Duration,
        result: &str,
        detail: &str,
        ok: bool,
    ) -> Value {
        json!({
            "step": n, "verb": step.verb.word(), "subject": subject, "result": result,
            "detail": detail, "ok": ok,
            "took_us": u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        })
    }

    fn finish(mut self) -> Outcome {
        self.outcome.cluster_time = self.world.now();
        let outcome = &self.outcome;
        self.emit(
            "run.end",
            json!({
                "ok": outcome.failure.is_none(), "steps": outcome.steps,
                "expectations": outcome.expectations, "invariants": outcome.invariants,
            }),
        );
        self.outcome
    }
}
