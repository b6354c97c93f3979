//! Why a container goes where it goes: the scheduler's own explanation, beforehand from what the
//! manager knows, and afterwards from the engines' truth.

use jiff::Timestamp;
use serde_json::{Value, json};
use swarm::cluster::{self, Cluster};
use swarm::scheduler::{Explained, Filter, Request, Scheduler, Strategy, Verdict};

use super::Runner;
use super::container::create_body;
use super::view::Endpoints;
use crate::scenario::{ContainerSpec, Verb, cluster::Cluster as Plan};

/// A line for each node: `fits`, or the first filter that refuses it and why, as if the container
/// were to be placed now and were not there yet. Empty when the engines cannot be asked.
pub async fn explain(
    endpoints: &Endpoints,
    plan: &Plan,
    spec: &ContainerSpec,
    name: &str,
) -> Vec<String> {
    let mut body = create_body(spec);
    let (Ok(request), Some((_, manager))) = (Request::from_create(name, &mut body), plan.manager())
    else {
        return Vec::new();
    };
    let Some(strategy) = Strategy::parse(&manager.strategy) else { return Vec::new() };
    let cluster = read(endpoints, name).await;
    let scheduler = Scheduler::new(Filter::ALL.to_vec(), strategy);
    let line = |node: Explained| {
        let (name, strategy) = (node.name, strategy.as_str());
        match node.verdict {
            Verdict::Fits { rank: Some(1), .. } => format!("{name:<14}fits, first by {strategy}"),
            Verdict::Fits { rank: Some(n), .. } => {
                format!("{name:<14}fits, number {n} by {strategy}")
            }
            Verdict::Fits { rank: None, .. } => {
                format!("{name:<14}fits, any of them by {strategy}")
            }
            refused @ Verdict::Refused { .. } => format!("{name:<14}refused by {refused}"),
        }
    };
    scheduler.explain(&cluster, &request).nodes.into_iter().map(line).collect()
}

impl Runner<'_> {
    /// Asks the manager what it makes of each node for a container that is about to be created, and
    /// puts the answer into the log.
    pub(super) fn foretell(&self, n: usize, verb: &Verb, name: &str) {
        let (Verb::Run(spec) | Verb::Create(spec)) = verb else { return };
        let Some((host, plan)) = self.cluster().manager() else { return };
        let told = match self.world.manager(&host.name) {
            Some(manager) => manager.explain(name, &create_body(spec)),
            None => Err(format!("the manager on {} does not run", host.name)),
        };
        let mut fields = json!({"step": n, "name": name, "strategy": plan.strategy});
        match told {
            Ok(explanation) => {
                fields["pass"] = explanation.pass.as_str().into();
                fields["nodes"] = explanation.nodes.into_iter().map(row).collect();
            }
            Err(why) => fields["error"] = why.into(),
        }
        self.emit("placement.explained", fields);
    }
}

/// A node of an explanation, for the log.
fn row(node: Explained) -> Value {
    match node.verdict {
        Verdict::Fits { score, rank } => {
            json!({"node": node.name, "fits": true, "score": score, "rank": rank})
        }
        Verdict::Refused { by, reason, .. } => {
            json!({"node": node.name, "fits": false, "filter": by, "reason": reason})
        }
    }
}

/// What the engines say, without the container called `name`.
async fn read(endpoints: &Endpoints, name: &str) -> Cluster {
    let mut cluster = Cluster::new(cluster::Options::default());
    let now = Timestamp::UNIX_EPOCH;
    for api in endpoints.engines.values() {
        let addr = api.addr.to_string();
        let (Ok(info), Ok(version)) = (api.get("/info").await, api.get("/version").await) else {
            continue;
        };
        cluster.add_node(&addr, now);
        if cluster.set_specs(&addr, api.addr.host(), &info, &version, now).is_err() {
            continue;
        }
        cluster.register(&addr, now);
        if let Ok(Value::Array(images)) = api.get("/images/json?all=1").await {
            cluster.set_images(&addr, images);
        }
        let rows = api.get("/containers/json?all=1").await.unwrap_or_default();
        for row in rows.as_array().into_iter().flatten() {
            let own = row["Names"][0].as_str().unwrap_or_default().trim_start_matches('/');
            let path = format!("/containers/{}/json", row["Id"].as_str().unwrap_or_default());
            if own != name
                && let Ok(inspect) = api.get(&path).await
            {
                cluster.update_container(&addr, row.clone(), Some(inspect));
            }
        }
    }
    cluster
}
