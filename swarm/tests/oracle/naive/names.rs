//! Which names are free, and what a client means by one.

use super::state::{Claim, Node, nodes};
use crate::world::World;

/// Whether a container may get this name, `renames` being those that others are about to get.
pub fn name_is_free(world: &World, renames: &[String], name: &str) -> bool {
    let bare = |name: &str| name.trim_start_matches('/').to_owned();
    if bare(name).is_empty() {
        return true;
    }
    let nodes = nodes(world);
    let claims = nodes.iter().flat_map(|node| &node.claims);
    let existing = claims.flat_map(|claim| &claim.names).map(|name| bare(name));
    let mut taken: Vec<String> = existing.collect();
    // A create whose container exists already still holds its name.
    taken.extend(world.creates.iter().map(|create| bare(&create.name)));
    taken.extend(renames.iter().map(|name| bare(name)));
    !taken.contains(&bare(name))
}

/// Address and ID of the container a client means. Where the rules take any of several, it is one
/// on a healthy node, then that of the lowest address, then of the lowest ID.
pub fn find_container(world: &World, wanted: &str) -> Option<(String, String)> {
    let mut nodes = nodes(world);
    nodes.sort_by_key(|node| (node.health == 0, node.addr.clone()));
    let mut all = Vec::new();
    for node in &nodes {
        let mut existing: Vec<_> = node.claims.iter().filter(|c| c.id.is_some()).collect();
        existing.sort_by_key(|claim| claim.id.clone());
        all.extend(existing.into_iter().map(|claim| (node, claim)));
    }
    let (node, claim) = search(wanted, &all)?;
    Some((node.addr.clone(), claim.id.clone().expect("only such were searched")))
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
