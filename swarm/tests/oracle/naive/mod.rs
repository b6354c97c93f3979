//! The rules of the classic manager, one after the other, without any thought of speed.

mod expr;
mod filters;
mod names;
mod pattern;
mod request;
mod state;

pub use expr::{Expr, read as read_expression};
pub use filters::clash;
pub use names::{find_container, name_is_free};
pub use request::{Asked, read as read_request};
pub use state::{Node, nodes};

use crate::world::World;

/// What the scheduler must do with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Rank these addresses in this order.
    Ranked(Vec<String>),
    /// Tell the client this.
    Refused(String),
    /// The rules leave it open.
    Open,
}

const START: &str = "Unable to find a node that satisfies the following conditions ";

/// Places a request: once with the soft expressions and, if that fails for any reason, without.
pub fn place(world: &World, filters: &[String], strategy: &str, asked: &Asked) -> Verdict {
    let nodes = nodes(world);
    match attempt(world, &nodes, filters, strategy, asked, true) {
        Verdict::Refused(_) => attempt(world, &nodes, filters, strategy, asked, false),
        decided => decided,
    }
}

fn attempt(
    world: &World,
    nodes: &[Node],
    filters: &[String],
    strategy: &str,
    asked: &Asked,
    soft: bool,
) -> Verdict {
    let mut left: Vec<&Node> = nodes.iter().collect();
    let mut text = START.to_owned();
    for filter in filters {
        let outcome = filters::run(filter, &left, asked, soft);
        if let Some(mistake) = outcome.mistake {
            return Verdict::Refused(format!("{text}\nerror from {filter} filter: {mistake}"));
        }
        if !outcome.shown.is_empty() {
            text += &format!("\n[{}]", outcome.shown.join(" "));
        }
        match outcome.kept {
            None => return Verdict::Open,
            Some(kept) => left = kept,
        }
        if outcome.failed && filter == "health" {
            return Verdict::Refused("No healthy node available in the cluster".to_owned());
        }
        if outcome.failed {
            return Verdict::Refused(text);
        }
    }
    if left.is_empty() {
        return Verdict::Refused("No nodes available in the cluster".to_owned());
    }
    let ranked = rank(world, left, strategy, asked);
    if ranked.is_empty() {
        return Verdict::Refused("no resources available to schedule container".to_owned());
    }
    Verdict::Ranked(ranked.into_iter().map(|node| node.addr.clone()).collect())
}

/// Ranks by weight, then by the number of containers, then as `nodes` are ordered. `random` leaves
/// the order as it is.
fn rank<'n, 'w>(
    world: &World,
    nodes: Vec<&'n Node<'w>>,
    strategy: &str,
    asked: &Asked,
) -> Vec<&'n Node<'w>> {
    if strategy == "random" {
        return nodes;
    }
    let sign = if strategy == "spread" { 1 } else { -1 };
    let mut weighed = Vec::new();
    for node in nodes {
        let cpus = percentage(asked.cpus, node.used_cpus(), total(node.cpus, world));
        let memory = percentage(asked.memory, node.used_memory(), total(node.memory, world));
        if let (Some(cpus), Some(memory)) = (cpus, memory) {
            // Health attracts under both strategies: the sign turns it around for `spread`.
            let weight = sign * (cpus + memory) - 10 * node.health;
            let count = i128::try_from(node.claims.len()).expect("a few");
            weighed.push(((weight, sign * count), node));
        }
    }
    weighed.sort_by_key(|(weight, _)| *weight);
    weighed.into_iter().map(|(_, node)| node).collect()
}

/// How full a resource gets; `None` if it does not suffice.
fn percentage(asked: i64, used: i128, total: i128) -> Option<i128> {
    let asked = i128::from(asked);
    let score = if asked > 0 { (used + asked) * 100 / total } else { 100 };
    (total >= asked && score <= 100).then_some(score)
}

/// What a node may promise of a resource.
pub fn total(amount: i64, world: &World) -> i128 {
    let amount = i128::from(amount);
    amount + amount * i128::from(world.overcommit) / 100
}

/// For each node in the order of names, its address and the filter that refuses it first in the
/// pass that decides, `resources`, or nothing. `None` where the rules leave it open, or where an
/// expression is malformed.
pub fn explain<'f>(
    world: &World,
    filters: &'f [String],
    strategy: &str,
    asked: &Asked,
) -> Option<Vec<(String, Option<&'f str>)>> {
    let nodes = nodes(world);
    let soft = match attempt(world, &nodes, filters, strategy, asked, true) {
        Verdict::Ranked(_) => true,
        Verdict::Refused(_) => false,
        Verdict::Open => return None,
    };
    let mut reasons = Vec::new();
    for node in &nodes {
        let mut reason = None;
        for filter in filters {
            let outcome = filters::run(filter, &[node], asked, soft);
            if outcome.mistake.is_some() {
                return None;
            }
            if outcome.kept?.is_empty() && reason.is_none() {
                reason = Some(filter.as_str());
            }
        }
        if reason.is_none() && rank(world, vec![node], strategy, asked).is_empty() {
            reason = Some("resources");
        }
        reasons.push((node.addr.clone(), reason));
    }
    Some(reasons)
}
