//! `dependency`: on the node of the containers whose volumes, links or network it uses.

use super::{Test, View};
use crate::cluster::{Candidate, resolve};
use crate::scheduler::Dependency;

pub(super) struct Dependencies(pub(super) Vec<Dependency>);

impl Dependencies {
    fn first_missing(&self, view: &View<'_>) -> Option<&Dependency> {
        self.0.iter().find(|dependency| !is_here(&dependency.container, view))
    }
}

/// Whether the container is found on this node, one being made included.
fn is_here(container: &str, view: &View<'_>) -> bool {
    let node = view.node;
    let candidate = |id, facts| Candidate { node, id, facts, item: () };
    let cached = node.containers.values().map(|c| candidate(c.id.as_str(), &c.facts));
    let pending = view.pending.iter().map(|pending| candidate("", &pending.facts));
    resolve(container, cached.chain(pending)).is_some()
}

impl Test for Dependencies {
    fn fits(&self, view: &View<'_>) -> bool {
        self.first_missing(view).is_none()
    }

    fn wanted(&self, view: &View<'_>) -> String {
        self.first_missing(view).map_or_else(String::new, |missing| missing.container.clone())
    }

    fn reason(&self, view: &View<'_>) -> String {
        format!("{} is not here", self.wanted(view))
    }

    fn conditions(&self) -> Vec<String> {
        self.0.iter().map(|dependency| dependency.flag.clone()).collect()
    }
}
