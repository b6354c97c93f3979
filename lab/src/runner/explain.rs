//! Why a container went where it went: the scheduler's own explanation, from the engines' truth.

use jiff::Timestamp;
use serde_json::Value;
use swarm::cluster::{self, Cluster};
use swarm::scheduler::{Filter, Request, Scheduler, Strategy};

use super::container::create_body;
use super::view::Endpoints;
use crate::scenario::{ContainerSpec, cluster::Cluster as Plan};

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
    // The strategy's order among the nodes that fit. Only `random` asks the dice, and then any
    // order is as good an explanation as another.
    let ranked = scheduler.place(&cluster, &request, &mut |_| 0).map(|placement| placement.ranked);
    let ranked = ranked.unwrap_or_default();
    let rank = |node: &str| {
        ranked.iter().position(|addr| cluster.node(addr).is_some_and(|known| known.name == node))
    };
    let line = |(node, reason): (String, String)| match rank(&node) {
        Some(0) => format!("{node:<14}{reason}, first by {}", strategy.as_str()),
        Some(n) => format!("{node:<14}{reason}, number {} by {}", n + 1, strategy.as_str()),
        None => format!("{node:<14}refused by {reason}"),
    };
    scheduler.explain(&cluster, &request).into_iter().map(line).collect()
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
