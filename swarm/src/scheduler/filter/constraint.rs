//! `constraint`: the node's name, ID and labels.

use super::{Expr, Exprs, Test, View};
use crate::cluster::Node;

pub(super) struct Constraint(pub(super) Exprs);

/// Whether what the expression looks at on the node matches its pattern.
pub(crate) fn any(expr: &Expr, node: &Node) -> bool {
    if expr.key == "node" {
        return expr.any([node.id.as_str(), node.name.as_str()]);
    }
    expr.any([node.specs.labels.get(&expr.key).map_or("", String::as_str)])
}

fn holds(expr: &Expr, node: &Node) -> bool {
    any(expr, node) != expr.negated
}

/// What the node has where the expression looks.
fn actual(expr: &Expr, node: &Node) -> String {
    match node.specs.labels.get(&expr.key) {
        _ if expr.key == "node" => format!("node={}", node.label()),
        Some(value) => format!("{}={value}", expr.key),
        None => format!("no {}", expr.key),
    }
}

impl Test for Constraint {
    fn fits(&self, view: &View<'_>) -> bool {
        self.0.first_unmet(|expr| holds(expr, view.node)).is_none()
    }

    fn wanted(&self, view: &View<'_>) -> String {
        self.0.first_unmet(|expr| holds(expr, view.node)).map_or_else(String::new, Expr::to_string)
    }

    fn reason(&self, view: &View<'_>) -> String {
        let unmet = self.0.first_unmet(|expr| holds(expr, view.node));
        unmet.map_or_else(String::new, |expr| format!("{expr} ({})", actual(expr, view.node)))
    }

    fn conditions(&self) -> Vec<String> {
        self.0.all.iter().map(Expr::bare).collect()
    }
}
