//! The seven filters.

use super::expr::{Expr, read};
use super::names::resolves;
use super::request::{Asked, text, texts};
use super::state::{Claim, Node};

/// What a filter makes of a list of nodes.
pub struct Outcome<'n, 'w> {
    /// The nodes that pass; `None` where the rules leave it open.
    pub kept: Option<Vec<&'n Node<'w>>>,
    /// Whether something was demanded that no node gives.
    pub failed: bool,
    /// What the client is told of the request.
    pub shown: Vec<String>,
    /// A malformed expression.
    pub mistake: Option<String>,
}

type Nodes<'n, 'w> = Vec<&'n Node<'w>>;

/// Runs the filter of this name; `soft` tells whether soft expressions count.
pub fn run<'n, 'w>(
    name: &str,
    nodes: &[&'n Node<'w>],
    asked: &Asked,
    soft: bool,
) -> Outcome<'n, 'w> {
    let nodes = nodes.to_vec();
    match name {
        "health" => demand(nodes, vec![()], Vec::new(), |(), node| node.health > 0),
        "containerslots" => {
            demand(nodes, vec![()], vec!["available container slots".to_owned()], |(), node| {
                let slots = node.labels.get("containerslots").and_then(|n| n.parse::<i64>().ok());
                slots.is_none_or(|slots| (node.claims.len() as i64) < slots)
            })
        }
        "port" if asked.host_mode => {
            let shown = asked.exposed.iter().map(|port| format!("port {port} (Host mode)"));
            demand(nodes, asked.exposed.clone(), shown.collect(), |port, node| {
                !node.claims.iter().any(|claim| claim.host_mode && claim.exposed.contains(port))
            })
        }
        "port" => {
            let shown = asked.bindings.iter().map(|(_, port)| format!("port {port} (Bridge mode)"));
            demand(nodes, asked.bindings.clone(), shown.collect(), |wanted, node| {
                !node.claims.iter().any(|claim| claim.bindings.iter().any(|b| clash(wanted, b)))
            })
        }
        "dependency" => {
            let shown = asked.dependencies.iter().map(|(flag, _)| flag.clone()).collect();
            let none = nodes.is_empty();
            let outcome = demand(nodes, asked.dependencies.clone(), shown, |(_, wanted), node| {
                resolves(wanted, node)
            });
            Outcome { failed: outcome.failed && !none, ..outcome }
        }
        "affinity" => {
            expressions(nodes, &asked.affinities, soft, Expr::shown_with_softness, |expr, node| {
                expr.holds(&near(&expr.key, node))
            })
        }
        "constraint" => expressions(nodes, &asked.constraints, soft, Expr::shown, |expr, node| {
            expr.holds(&of_node(&expr.key, node))
        }),
        "whitelist" => {
            expressions(nodes, &asked.whitelists, soft, Expr::shown_with_softness, |expr, node| {
                Some(expr.value.split('|').any(|name| name == node.name))
            })
        }
        _ => unreachable!("there is no filter {name}"),
    }
}

/// Drops the nodes that do not meet a demand, one demand after the other.
fn demand<'n, 'w, T>(
    mut nodes: Nodes<'n, 'w>,
    demands: Vec<T>,
    shown: Vec<String>,
    meets: impl Fn(&T, &Node<'w>) -> bool,
) -> Outcome<'n, 'w> {
    let mut failed = false;
    for demand in demands {
        nodes.retain(|node| meets(&demand, node));
        failed |= nodes.is_empty();
    }
    Outcome { kept: Some(nodes), failed, shown, mistake: None }
}

fn expressions<'n, 'w>(
    nodes: Nodes<'n, 'w>,
    texts: &[String],
    soft: bool,
    show: fn(&Expr) -> String,
    holds: impl Fn(&Expr, &Node<'w>) -> Option<bool>,
) -> Outcome<'n, 'w> {
    let mut all = Vec::new();
    for text in texts {
        match read(text) {
            Ok(expr) => all.push(expr),
            Err(mistake) => {
                let (kept, shown) = (Some(Vec::new()), Vec::new());
                return Outcome { kept, failed: true, shown, mistake: Some(mistake) };
            }
        }
    }
    let shown = all.iter().map(show).collect();
    let counting: Vec<Expr> = all.into_iter().filter(|expr| soft || !expr.soft).collect();
    let open = counting.iter().any(|expr| nodes.iter().any(|node| holds(expr, node).is_none()));
    let outcome = demand(nodes, counting, shown, |expr, node| holds(expr, node) == Some(true));
    if open { Outcome { kept: None, ..outcome } } else { outcome }
}

/// Whether two bindings cannot share a node.
pub fn clash(wanted: &(String, String), taken: &(String, String)) -> bool {
    let everywhere = |ip: &str| {
        ip.is_empty()
            || ip.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.octets() == [0; 4])
            || ip.parse::<std::net::Ipv6Addr>().is_ok_and(|ip| {
                ip.octets() == [0; 16]
                    || ip.to_ipv4_mapped().is_some_and(|v4| v4.octets() == [0; 4])
            })
    };
    wanted.1 == taken.1 && (wanted.0 == taken.0 || everywhere(&wanted.0) || everywhere(&taken.0))
}

/// Where an affinity looks.
fn near(key: &str, node: &Node<'_>) -> Vec<String> {
    match key {
        "container" => {
            let named = node.claims.iter().filter(|claim| !claim.names.is_empty());
            let both = |claim: &Claim| {
                let name = claim.names[0].trim_start_matches('/').to_owned();
                claim.id.clone().into_iter().chain([name])
            };
            named.flat_map(both).collect()
        }
        "image" => {
            let mut all = Vec::new();
            for image in &node.engine.images {
                all.push(text(&image["Id"]));
                for tag in texts(&image["RepoTags"]) {
                    // A colon before the last slash belongs to the registry's port.
                    let after_slash = tag.rfind('/').map_or(0, |slash| slash + 1);
                    let end = tag[after_slash..].find(':').map_or(tag.len(), |at| after_slash + at);
                    all.push(tag[..end].to_owned());
                    all.push(tag);
                }
            }
            all
        }
        label => {
            let value = |claim: &Claim| claim.labels.get(label).cloned().unwrap_or_default();
            node.claims.iter().map(value).collect()
        }
    }
}

/// Where a constraint looks.
fn of_node(key: &str, node: &Node<'_>) -> Vec<String> {
    match key {
        "node" => vec![node.id.clone(), node.name.clone()],
        label => vec![node.labels.get(label).cloned().unwrap_or_default()],
    }
}
