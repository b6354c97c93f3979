//! `affinity`: near to, or away from, containers and images.

use super::{Expr, Exprs, Test, View};
use crate::cluster::{Facts, json, split_image};

pub(super) struct Affinity(pub(super) Exprs);

fn holds(expr: &Expr, view: &View<'_>) -> bool {
    match expr.key.as_str() {
        "container" => {
            // A container being made has a name and no ID yet.
            let cached = view.node.containers.values().filter_map(|container| {
                first_name(&container.facts).map(|name| [container.id.as_str(), name])
            });
            let pending = view.pending.iter().filter_map(|pending| first_name(&pending.facts));
            expr.matches(cached.flatten().chain(pending))
        }
        "image" => expr.matches(view.node.images.iter().flat_map(|row| {
            let tags = json::texts(row, "/RepoTags").flat_map(|tag| [tag, split_image(tag).0]);
            tags.chain([json::text(row, "/Id")])
        })),
        label => expr
            .matches(view.claims().map(|facts| facts.labels.get(label).map_or("", String::as_str))),
    }
}

fn first_name(facts: &Facts) -> Option<&str> {
    facts.names.first().map(|name| name.strip_prefix('/').unwrap_or(name))
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

    fn refuses_none(&self, _before: usize) -> bool {
        self.0.demand()
    }
}
