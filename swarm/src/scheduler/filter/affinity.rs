//! `affinity`: near to, or away from, containers and images.

use super::{Expr, Exprs, Test, View};
use crate::cluster::Facts;
use crate::cluster::index::image_texts;

pub(super) struct Affinity(pub(super) Exprs);

/// Whether what the expression looks at on the node matches its pattern.
pub(crate) fn any(expr: &Expr, view: &View<'_>) -> bool {
    match expr.key.as_str() {
        "container" => {
            // A container being made has a name and no ID yet.
            let cached = view.node.containers.values().filter_map(|container| {
                first_name(&container.facts).map(|name| [&*container.id, name])
            });
            let pending = view.pending.iter().filter_map(|pending| first_name(&pending.facts));
            expr.any(cached.flatten().chain(pending))
        }
        "image" => expr.any(view.node.images.iter().flat_map(image_texts)),
        label => expr.any(view.claims().map(|facts| facts.label(label).unwrap_or_default())),
    }
}

fn holds(expr: &Expr, view: &View<'_>) -> bool {
    any(expr, view) != expr.negated
}

/// The name that counts, without its slash.
pub(crate) fn first_name(facts: &Facts) -> Option<&str> {
    facts.names().next().map(|name| name.strip_prefix('/').unwrap_or(name))
}

impl Test for Affinity {
    fn fits(&self, view: &View<'_>) -> bool {
        self.0.first_unmet(|expr| holds(expr, view)).is_none()
    }

    fn wanted(&self, view: &View<'_>) -> String {
        self.0.first_unmet(|expr| holds(expr, view)).map_or_else(String::new, Expr::to_string)
    }

    fn reason(&self, view: &View<'_>) -> String {
        format!("{} does not hold", self.wanted(view))
    }

    fn conditions(&self) -> Vec<String> {
        self.0.with_softness()
    }
}
