//! A cluster to which things happen: what is true of it, what the manager was told, and the
//! manager itself.

use std::collections::BTreeSet;

use proptest::prelude::{prop_assert, prop_assert_eq};
use proptest::sample::Index;
use proptest::test_runner::TestCaseError;
use serde_json::{Value, json};
use swarm::cluster::{Cluster, Options};
use swarm::scheduler::{Request, Scheduler};

use crate::placement::{compare, scheduler};
use crate::steps::Step;
use crate::world::{Container, Create, Engine, World, now};
use crate::{generate, naive};

pub type Outcome = Result<(), TestCaseError>;

/// A list on its way.
struct List {
    addr: String,
    known: BTreeSet<String>,
    rows: Vec<Container>,
    /// The containers of which the manager has heard since.
    newer: BTreeSet<String>,
}

/// An update that the manager is made to miss, to prove that somebody notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    Nothing,
    Release,
    Removal,
    Row,
    List,
    Failure,
    Success,
    Images,
    Specs,
    Departure,
}

/// A cluster, what is true of it, and what the manager has been told.
pub struct Machine {
    pub real: Cluster,
    scheduler: Scheduler,
    strategy: &'static str,
    /// What the manager was told.
    pub known: World,
    /// The engines' containers as they are, in the order of `known.engines`.
    pub truth: Vec<Vec<Container>>,
    /// Creates whose container exists.
    made: BTreeSet<String>,
    list: Option<List>,
    /// For names and IDs that were never there before.
    count: usize,
    missing: Missing,
}

fn filters() -> Vec<String> {
    swarm::scheduler::Filter::ALL.iter().map(|filter| filter.as_str().to_owned()).collect()
}

impl Machine {
    pub fn new(strategy: &'static str, overcommit: i64, missing: Missing) -> Self {
        let options = Options { overcommit_percent: overcommit, failure_retry: 3 };
        Self {
            real: Cluster::new(options),
            scheduler: scheduler(&filters(), strategy),
            strategy,
            known: World { overcommit, failure_retry: 3, engines: Vec::new(), creates: Vec::new() },
            truth: Vec::new(),
            made: BTreeSet::new(),
            list: None,
            count: 0,
            missing,
        }
    }

    /// One of the containers there are: the engine's place and its own.
    fn pick(&self, which: Index) -> Option<(usize, usize)> {
        let all: Vec<_> = (0..self.truth.len())
            .flat_map(|engine| (0..self.truth[engine].len()).map(move |place| (engine, place)))
            .collect();
        (!all.is_empty()).then(|| all[which.index(all.len())])
    }

    fn pick_engine(&self, which: Index) -> Option<usize> {
        (!self.truth.is_empty()).then(|| which.index(self.truth.len()))
    }

    fn pick_create(&self, which: Index) -> Option<Create> {
        let creates = &self.known.creates;
        (!creates.is_empty()).then(|| creates[which.index(creates.len())].clone())
    }

    /// An event of a container reaches the manager: it lists and inspects it.
    fn tell(&mut self, engine: usize, id: &str) {
        let Engine { addr, containers, .. } = &mut self.known.engines[engine];
        let list = self.list.iter_mut().filter(|list| list.addr == *addr);
        list.for_each(|list| list.newer.extend([id.to_owned()]));
        let container = self.truth[engine].iter().find(|container| container.id() == id).cloned();
        containers.retain(|container| container.id() != id);
        match container {
            Some(container) => {
                if self.missing != Missing::Row {
                    let Container { row, inspect } = container.clone();
                    self.real.update_container(addr, row, Some(inspect));
                }
                containers.push(container);
            }
            None if self.missing == Missing::Removal => {}
            None => self.real.remove_container(addr, id),
        }
    }

    fn create(&mut self, name: String, body: Value) -> Outcome {
        self.count += 1;
        let swarm_id = format!("{:0<64}", format!("abcdefabcdef{:03}", self.count));
        let asked = naive::read_request(&body);
        let expected = if naive::name_is_free(&self.known, &[], &name, None) {
            naive::place(&self.known, &filters(), self.strategy, &asked)
        } else {
            naive::Verdict::Refused(format!(
                "Conflict: The name {name} is already assigned. You have to delete (or rename) \
                 that container to be able to assign {name} to a container again."
            ))
        };
        let request = Request::from_create(&name, &mut body.clone()).expect("no policies");
        let claimed = self.real.reserve(&request, &swarm_id, &self.scheduler, &mut |_| 0);
        // The first is all that a create tells.
        let expected = match expected {
            naive::Verdict::Ranked(mut ranked) if self.strategy != "random" => {
                ranked.truncate(1);
                naive::Verdict::Ranked(ranked)
            }
            naive::Verdict::Ranked(ranked) => {
                let claimed = claimed.as_ref().map(|claim| claim.node.clone()).ok();
                let fits = ranked.into_iter().filter(|addr| claimed.as_ref() == Some(addr));
                naive::Verdict::Ranked(fits.collect())
            }
            other => other,
        };
        let placed = claimed.map(|claim| vec![claim.node]).map_err(|refused| refused.to_string());
        compare(placed.clone(), expected, "spread")?;
        if let Ok(addr) = placed {
            let addr = addr[0].clone();
            self.known.creates.push(Create { swarm_id, name, body, addr });
        }
        Ok(())
    }

    /// What the engine makes of a create.
    fn made(&mut self, create: &Create, engine: usize) -> Container {
        let asked = naive::read_request(&create.body);
        let cpus = self.known.engines[engine].info["NCPU"].as_i64().expect("generated as one");
        let mut labels = asked.labels;
        labels.insert("com.docker.swarm.id".to_owned(), create.swarm_id.clone());
        let mut host = create.body["HostConfig"].clone();
        let shares = host["CpuShares"].as_i64().expect("generated as one");
        host["CpuShares"] = ((shares * 1024 + cpus - 1) / cpus).into();
        host["Memory"] = asked.memory.into();
        self.count += 1;
        let id = format!("{:0<64}", format!("ab{:03}", self.count));
        let name = match create.name.as_str() {
            "" => format!("made{}", self.count),
            name => name.to_owned(),
        };
        Container {
            row: json!({"Id": id, "Names": [format!("/{name}")], "State": "created"}),
            inspect: json!({
                "Id": id, "State": {"Running": false, "StartedAt": "0001-01-01T00:00:00Z"},
                "Config": {
                    "Image": "nginx", "Labels": labels,
                    "ExposedPorts": create.body["ExposedPorts"],
                },
                "HostConfig": host, "NetworkSettings": {"Ports": {}},
            }),
        }
    }

    fn rename(&mut self, which: Index, name: &str, told: bool) -> Outcome {
        let Some((engine, place)) = self.pick(which) else { return Ok(()) };
        let addr = self.known.engines[engine].addr.clone();
        let free = naive::name_is_free(&self.known, &[], name, None);
        prop_assert_eq!(self.real.claim_name(name, &addr).is_ok(), free);
        if free {
            prop_assert!(self.real.check_name(name).is_err(), "the claim counts");
            self.truth[engine][place].row["Names"] = json!([format!("/{name}")]);
            let id = self.truth[engine][place].id().to_owned();
            if told {
                self.tell(engine, &id);
            }
            self.real.release_name(name);
        }
        Ok(())
    }

    /// The manager asks an engine for its containers.
    pub fn begin_list(&mut self, engine: usize) {
        let addr = self.known.engines[engine].addr.clone();
        let known = self.real.container_ids(&addr);
        let rows = self.truth[engine].clone();
        self.list = Some(List { addr, known, rows, newer: BTreeSet::new() });
    }

    /// The manager reads a list: of what it has not heard since, what it does not list is gone,
    /// and what it lists is so. Only what is unknown or told differently is inspected.
    pub fn end_list(&mut self) -> Outcome {
        let Some(mut list) = self.list.take() else { return Ok(()) };
        let engine = self.known.engines.iter_mut().find(|engine| engine.addr == list.addr);
        let Some(engine) = engine else { return Ok(()) };
        list.known.retain(|id| !list.newer.contains(id));
        list.rows.retain(|container| !list.newer.contains(container.id()));
        let listed = |id: &str| list.rows.iter().any(|container| container.id() == id);
        engine.containers.retain(|c| listed(c.id()) || !list.known.contains(c.id()));
        let mut rows = Vec::new();
        for Container { row, inspect } in list.rows {
            let id = row["Id"].as_str().expect("generated with an ID");
            let old = engine.containers.iter_mut().find(|container| container.id() == id);
            let news = old.as_ref().is_none_or(|old| old.row["State"] != row["State"]);
            prop_assert_eq!(self.real.needs_inspect(&list.addr, &row), news);
            let due = news || old.as_ref().is_some_and(|old| old.row != row);
            rows.push((row.clone(), due.then(|| inspect.clone())));
            match old {
                Some(old) if due => *old = Container { row, inspect },
                Some(old) => old.row = row,
                None if list.known.contains(id) => {}
                None => engine.containers.push(Container { row, inspect }),
            }
        }
        if self.missing != Missing::List {
            self.real.update_containers(&list.addr, &list.known, rows);
        }
        Ok(())
    }

    fn join(&mut self, info: Value) {
        if self.truth.len() >= 4 {
            return;
        }
        let free = |addr: &String| self.known.engines.iter().all(|engine| engine.addr != *addr);
        let addr = (0..).map(generate::addr).find(free).expect("ten are enough");
        let engine = Engine {
            addr,
            info,
            registered: true,
            failures: 0,
            containers: Vec::new(),
            images: Vec::new(),
        };
        engine.tell(&mut self.real);
        self.known.engines.push(engine);
        self.truth.push(Vec::new());
    }

    fn leave(&mut self, which: Index) {
        let Some(engine) = self.pick_engine(which) else { return };
        let addr = self.known.engines.remove(engine).addr;
        self.truth.remove(engine);
        self.known.creates.retain(|create| create.addr != addr);
        if self.list.as_ref().is_some_and(|list| list.addr == addr) {
            self.list = None;
        }
        if self.missing != Missing::Departure {
            self.real.remove_node(&addr);
        }
    }

    fn reload(&mut self, which: Index, info: Value) -> Outcome {
        let Some(engine) = self.pick_engine(which) else { return Ok(()) };
        let engine = &mut self.known.engines[engine];
        let same = engine.info["ID"] == info["ID"];
        if self.missing != Missing::Specs {
            let answer =
                self.real.set_specs(&engine.addr, "10.0.0.1", &info, &json!({}), now()).err();
            let changed = answer.map(|error| error.identity_changed);
            prop_assert_eq!(changed, (engine.registered && !same).then_some(true));
        }
        if engine.registered && !same {
            // Nothing that is known of the old one counts.
            *engine = Engine {
                addr: engine.addr.clone(),
                info,
                registered: false,
                failures: 0,
                containers: Vec::new(),
                images: Vec::new(),
            };
        } else {
            if !engine.registered {
                self.real.register(&engine.addr, now());
                (engine.registered, engine.failures) = (true, 0);
            }
            engine.info = info;
        }
        Ok(())
    }

    fn foreign(&mut self, which: Index, container: Container, told: bool) {
        let Some(engine) = self.pick_engine(which) else { return };
        let id = container.id().to_owned();
        // IDs are never given twice.
        let mut all = self.truth.iter().chain(self.known.engines.iter().map(|e| &e.containers));
        if all.any(|containers| containers.iter().any(|container| container.id() == id)) {
            return;
        }
        self.truth[engine].push(container);
        if told {
            self.tell(engine, &id);
        }
    }

    fn health(&mut self, which: Index, succeeded: bool) {
        let Some(engine) = self.pick_engine(which) else { return };
        let engine = &mut self.known.engines[engine];
        engine.failures = if succeeded { 0 } else { engine.failures + 1 };
        match succeeded {
            true if self.missing != Missing::Success => {
                self.real.succeeded(&engine.addr, now());
            }
            false if self.missing != Missing::Failure => {
                self.real.failed(&engine.addr, "refused", now());
            }
            _ => {}
        }
    }

    /// The engine makes the container of a create.
    fn commit(&mut self, which: Index, told: bool) {
        let Some(create) = self.pick_create(which) else { return };
        let place = self.known.engines.iter().position(|engine| engine.addr == create.addr);
        let engine = place.expect("what leaves takes its creates along");
        if self.made.insert(create.swarm_id.clone()) {
            let container = self.made(&create, engine);
            let id = container.id().to_owned();
            self.truth[engine].push(container);
            if told {
                self.tell(engine, &id);
            }
        }
    }

    fn over(&mut self, which: Index) {
        let Some(create) = self.pick_create(which) else { return };
        self.known.creates.retain(|other| other.swarm_id != create.swarm_id);
        if self.missing != Missing::Release {
            self.real.release(&create.swarm_id);
        }
    }

    fn run(&mut self, which: Index, running: bool, told: bool) {
        let Some((engine, place)) = self.pick(which) else { return };
        let Container { row, inspect } = &mut self.truth[engine][place];
        inspect["State"] = json!({"Running": running, "StartedAt": "2026-01-01T00:00:01Z"});
        row["State"] = if running { "running" } else { "exited" }.into();
        let id = self.truth[engine][place].id().to_owned();
        if told {
            self.tell(engine, &id);
        }
    }

    fn remove(&mut self, which: Index, told: bool) {
        let Some((engine, place)) = self.pick(which) else { return };
        let id = self.truth[engine].remove(place).id().to_owned();
        if told {
            self.tell(engine, &id);
        }
    }

    fn images(&mut self, which: Index, images: Vec<Value>) {
        let Some(engine) = self.pick_engine(which) else { return };
        let engine = &mut self.known.engines[engine];
        if self.missing != Missing::Images {
            self.real.set_images(&engine.addr, images.clone());
        }
        engine.images = images;
    }

    /// Lets it happen, and compares what the manager decides.
    pub fn apply(&mut self, step: Step) -> Outcome {
        match step {
            Step::Create { name, body } => self.create(name, body)?,
            Step::Made { which, told } => self.commit(which, told),
            Step::Over(which) => self.over(which),
            Step::Run { which, running, told } => self.run(which, running, told),
            Step::Remove { which, told } => self.remove(which, told),
            Step::Rename { which, name, told } => self.rename(which, name, told)?,
            Step::BeginList(which) => {
                let Some(engine) = self.pick_engine(which) else { return Ok(()) };
                self.begin_list(engine);
            }
            Step::EndList => self.end_list()?,
            Step::Images(which, images) => self.images(which, images),
            Step::Fail(which) => self.health(which, false),
            Step::Succeed(which) => self.health(which, true),
            Step::Join(info) => self.join(info),
            Step::Leave(which) => self.leave(which),
            Step::Reload { which, info } => self.reload(which, info)?,
            Step::Foreign { which, container, told } => self.foreign(which, container, told),
        }
        Ok(())
    }
}
