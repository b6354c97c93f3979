//! The manager against scripted engines, on a paused clock.

mod creates;
mod events;
mod lifecycle;
mod objects;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{CreateError, Created, Manager, Options};
use crate::cluster::State;
use crate::testing::{FakeEngine, World, eventually};

/// Longer than any refresh or retry of a healthy engine.
const SOON: Duration = Duration::from_secs(90);

/// A manager and its engines, all registered.
struct Lab {
    world: World,
    manager: Arc<Manager>,
    engines: Vec<FakeEngine>,
}

impl Lab {
    /// `count` engines, `n1`, `n2` and so on.
    async fn new(count: usize) -> Self {
        Self::with(count, Options::default()).await
    }

    async fn with(count: usize, options: Options) -> Self {
        let world = World::new();
        let mut engines = Vec::new();
        for number in 1..=count {
            engines.push(FakeEngine::start(&world, &format!("n{number}")).await);
        }
        let lab = Self { manager: Manager::new(world.ctx(), options), world, engines };
        lab.manager.apply_membership(&lab.addrs());
        for engine in &lab.engines {
            lab.until_state(engine, State::Healthy).await;
        }
        lab
    }

    fn addrs(&self) -> Vec<String> {
        self.engines.iter().map(|engine| engine.addr.clone()).collect()
    }

    fn state(&self, engine: &FakeEngine) -> Option<State> {
        self.manager.with(|cluster| cluster.node(&engine.addr).map(|node| node.state))
    }

    async fn until_state(&self, engine: &FakeEngine, state: State) {
        let what = format!("{} {}", engine.addr, state.as_str());
        eventually(Duration::from_secs(600), &what, || self.state(engine) == Some(state)).await;
    }

    /// Names of the containers that the manager knows on an engine.
    fn known(&self, engine: &FakeEngine) -> Vec<String> {
        self.manager.with(|cluster| {
            let node = cluster.node(&engine.addr).unwrap();
            let mut names: Vec<String> = node
                .containers
                .values()
                .flat_map(|found| found.facts.names().map(str::to_owned))
                .collect();
            names.sort();
            names
        })
    }

    async fn create(&self, name: &str, body: Value) -> Result<Created, CreateError> {
        self.manager.create(name, body, None, "").await
    }

    /// Starts a create that somebody else waits for.
    fn create_aside(&self, name: &str, body: Value) -> crate::ctx::Task {
        let (manager, name) = (Arc::clone(&self.manager), name.to_owned());
        self.world.ctx().spawn("aside", async move {
            let _ = manager.create(&name, body, None, "").await;
        })
    }

    fn logged(&self, line: &str) -> usize {
        self.world.log().iter().filter(|logged| *logged == line).count()
    }
}

fn nginx() -> Value {
    json!({ "Image": "nginx" })
}

/// Takes a host port.
fn with_port(port: &str) -> Value {
    json!({
        "Image": "nginx",
        "HostConfig": { "PortBindings": { "80/tcp": [{ "HostPort": port }] } }
    })
}
