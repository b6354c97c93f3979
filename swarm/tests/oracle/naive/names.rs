//! Which names are free, and what a client means by one.

use std::cmp::Reverse;

use super::state::{Claim, Node, nodes};
use crate::world::World;

/// Whether a container may get this name, `renames` being those that others are about to get. A
/// `replacement`, told by its swarm ID and lineage, may have that of a copy of its own.
pub fn name_is_free(
    world: &World,
    renames: &[String],
    name: &str,
    replacement: Option<&Claim>,
) -> bool {
    name_is_free_on(&nodes(world), world, renames, name, replacement)
}

/// The same; `nodes` are those of the world.
pub fn name_is_free_on(
    nodes: &[Node<'_>],
    world: &World,
    renames: &[String],
    name: &str,
    replacement: Option<&Claim>,
) -> bool {
    let bare = |name: &str| name.trim_start_matches('/').to_owned();
    if bare(name).is_empty() {
        return true;
    }
    let claims = nodes.iter().flat_map(|node| &node.claims);
    let others = claims.filter(|claim| !replacement.is_some_and(|own| are_copies(own, claim)));
    let existing = others.flat_map(|claim| &claim.names).map(|name| bare(name));
    let mut taken: Vec<String> = existing.collect();
    // A create whose container exists already still holds its name.
    taken.extend(world.creates.iter().map(|create| bare(&create.name)));
    taken.extend(renames.iter().map(|name| bare(name)));
    !taken.contains(&bare(name))
}

/// Address and ID of the container a client means. Where the rules take any of several, it is one
/// on a healthy node, then that of the lowest address, then of the lowest ID.
pub fn find_container(nodes: &[Node<'_>], wanted: &str) -> Option<(String, String)> {
    let mut nodes: Vec<&Node<'_>> = nodes.iter().collect();
    nodes.sort_by_key(|node| (node.health == 0, &node.addr));
    let mut all = Vec::new();
    for node in nodes {
        let mut existing: Vec<_> = node.claims.iter().filter(|c| c.id.is_some()).collect();
        existing.sort_by_key(|claim| &claim.id);
        all.extend(existing.into_iter().map(|claim| (node, claim)));
    }
    let shown: Vec<_> = all.iter().copied().filter(|one| !is_superseded(one, &all)).collect();
    let (node, claim) = search(wanted, &shown).or_else(|| search(wanted, &all))?;
    Some((node.addr.clone(), claim.id.clone().expect("only such were searched")))
}

/// Whether the labels of one say that it stands for the other, or both for the same original.
fn are_copies(one: &Claim, other: &Claim) -> bool {
    let origin = |claim: &Claim| claim.lineage.as_ref().map(|lineage| lineage.from[0].clone());
    let stands_for = |one: &Claim, other: &Claim| {
        let from = one.lineage.as_ref().map(|lineage| &lineage.from);
        from.is_some_and(|from| other.id.as_ref().is_some_and(|id| from.contains(id)))
    };
    let siblings = origin(one).is_some() && origin(one) == origin(other);
    !one.swarm_id.is_empty()
        && one.swarm_id == other.swarm_id
        && one.id != other.id
        && (stands_for(one, other) || stands_for(other, one) || siblings)
}

/// Whether another copy stands for this container: the one that clients can reach counts, then one
/// that is not a replacement yet to be started, then the later generation, then the lower ID.
fn is_superseded(one: &(&Node<'_>, &Claim), all: &[(&Node<'_>, &Claim)]) -> bool {
    let worth = |(node, claim): &(&Node<'_>, &Claim)| {
        let lineage = claim.lineage.as_ref();
        let unfinished = lineage.is_some_and(|lineage| lineage.running) && claim.never_ran;
        let generation = lineage.map_or(0, |lineage| lineage.generation);
        (node.health > 0, !unfinished, generation, Reverse(claim.id.clone()))
    };
    all.iter().any(|other| are_copies(one.1, other.1) && worth(other) > worth(one))
}

/// Whether the container is found on this node, creates under way included.
pub fn resolves(wanted: &str, node: &Node<'_>) -> bool {
    let all: Vec<_> = node.claims.iter().map(|claim| (node, claim)).collect();
    search(wanted, &all).is_some()
}

fn search<'a, 'w>(
    wanted: &str,
    all: &[(&'a Node<'w>, &'a Claim)],
) -> Option<(&'a Node<'w>, &'a Claim)> {
    if wanted.is_empty() {
        return None;
    }
    let id = |claim: &Claim| claim.id.clone().unwrap_or_default();
    let is = |id: &str| !id.is_empty() && (id == wanted || id.get(..12) == Some(wanted));
    let begins = |id: &str| !id.is_empty() && id.starts_with(wanted);
    if let Some(found) = all.iter().find(|(_, claim)| is(&id(claim))) {
        return Some(*found);
    }
    if let Some(found) = all.iter().find(|(_, claim)| is(&claim.swarm_id)) {
        return Some(*found);
    }
    let means = |(node, claim): &&(&Node<'_>, &Claim)| {
        claim.names.iter().any(|name| is_name(wanted, name, node))
    };
    let named: Vec<_> = all.iter().filter(means).collect();
    match named.as_slice() {
        [] => {}
        [only] => return Some(**only),
        _ => return None,
    }
    let by_id = all.iter().filter(|(_, claim)| begins(&id(claim)));
    let by_swarm_id = all.iter().filter(|(_, claim)| begins(&claim.swarm_id));
    let begun: Vec<_> = by_id.chain(by_swarm_id).collect();
    if let [only] = begun.as_slice() { Some(**only) } else { None }
}

fn is_name(wanted: &str, name: &str, node: &Node<'_>) -> bool {
    name == wanted
        || *name == format!("/{wanted}")
        || format!("{}{name}", node.id) == wanted
        || format!("{}{name}", node.name) == wanted
}
