//! The rules of the classic manager, one after the other, without any thought of speed.

mod expr;
mod filters;
mod names;
mod pattern;
mod request;
mod state;

pub use expr::{Expr, read as read_expression};
pub use filters::clash;
pub use names::{find_container, name_is_free, name_is_free_on};
pub use request::{Asked, read as read_request};
pub use state::{Node, nodes, under_way};

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
        if let Some(weight) = weight(world, node, strategy, asked) {
            let count = i128::try_from(node.claims.len()).expect("a few");
            weighed.push(((sign * weight, sign * count), node));
        }
    }
    weighed.sort_by_key(|(weight, _)| *weight);
    weighed.into_iter().map(|(_, node)| node).collect()
}

/// How well the request fits, if there is room: `spread` wants little of it, `binpack` much.
fn weight(world: &World, node: &Node<'_>, strategy: &str, asked: &Asked) -> Option<i128> {
    let cpus = percentage(asked.cpus, node.used_cpus(), total(node.cpus, world))?;
    let memory = percentage(asked.memory, node.used_memory(), total(node.memory, world))?;
    let factor = if strategy == "spread" { -10 } else { 10 };
    Some(cpus + memory + factor * node.health)
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

/// What becomes of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The first filter that refuses it, or `resources`.
    Refused(String),
    /// Its weight and its place in the order, from 1; nothing under `random`.
    Fits(Option<(i128, usize)>),
}

/// The pass that decides and, in the order of names, the address of each node and what becomes of
/// it. `None` where the rules leave it open.
pub fn explain(
    world: &World,
    filters: &[String],
    strategy: &str,
    asked: &Asked,
) -> Option<(&'static str, Vec<(String, Fate)>)> {
    let nodes = nodes(world);
    let soft = match attempt(world, &nodes, filters, strategy, asked, true) {
        Verdict::Ranked(_) => true,
        Verdict::Refused(_) => false,
        Verdict::Open => return None,
    };
    let mut fates = Vec::new();
    let mut left = Vec::new();
    for node in &nodes {
        match first_refusal(filters, node, asked, soft)? {
            Some(filter) => fates.push((node.addr.clone(), Fate::Refused(filter.to_owned()))),
            None => {
                fates.push((node.addr.clone(), Fate::Refused("resources".to_owned())));
                left.push(node);
            }
        }
    }
    for (place, node) in rank(world, left, strategy, asked).into_iter().enumerate() {
        let weight = (strategy != "random").then(|| weight(world, node, strategy, asked)).flatten();
        let fate = fates.iter_mut().find(|(addr, _)| *addr == node.addr).expect("just listed");
        fate.1 = Fate::Fits(weight.map(|weight| (weight, place + 1)));
    }
    let lists = [
        ("affinity", &asked.affinities),
        ("constraint", &asked.constraints),
        ("whitelist", &asked.whitelists),
    ];
    let looked_at = lists.iter().filter(|(filter, _)| filters.iter().any(|name| name == filter));
    let mut all = looked_at.flat_map(|(_, list)| list.iter());
    let any_soft = all.any(|text| read_expression(text).is_ok_and(|expr| expr.soft));
    let pass = match (any_soft, soft) {
        (false, _) => "hard",
        (true, true) => "with soft expressions",
        (true, false) => "soft expressions dropped",
    };
    Some((pass, fates))
}

/// The first filter that the node does not pass, a malformed expression of it included; `None`
/// where the rules leave it open.
fn first_refusal<'f>(
    filters: &'f [String],
    node: &Node<'_>,
    asked: &Asked,
    soft: bool,
) -> Option<Option<&'f str>> {
    for filter in filters {
        let outcome = filters::run(filter, &[node], asked, soft);
        if outcome.mistake.is_some() || outcome.kept?.is_empty() {
            return Some(Some(filter));
        }
    }
    Some(None)
}
