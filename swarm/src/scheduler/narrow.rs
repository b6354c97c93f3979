//! The filters on sets of nodes: each keeps those that one aspect of the request allows.
//!
//! What is asked is the same as in [`filter`](super::filter), which looks at one node at a time
//! and can say why; here the indexes are asked for all nodes at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::expr::Expr;
use super::filter::affinity::first_name;
use super::patterns::{Kind, Patterns};
use super::{Filter, Request, Soft};
use crate::cluster::index::{Bits, Tally};
use crate::cluster::{Cluster, HostPort};

/// A pass in the making.
pub(super) struct Narrowing<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) request: &'a Request,
    pub(super) soft: Soft,
    pub(super) patterns: &'a mut Patterns,
    /// The nodes that passed all filters so far.
    pub(super) left: &'a mut Bits,
    /// For whatever a filter has to put together.
    pub(super) scratch: &'a mut Bits,
}

/// Whether it is a failure that no node passed. A filter that has nothing to look at lets an empty
/// list through.
pub(super) enum Demand {
    /// It is a failure.
    Always,
    /// It is one if there were nodes before.
    OfNodes,
    /// It is none: nothing is asked for.
    Nothing,
}

impl Narrowing<'_> {
    /// Keeps the nodes that pass.
    ///
    /// # Errors
    /// An expression is malformed.
    pub(super) fn run(&mut self, filter: Filter) -> Result<Demand, String> {
        let index = self.cluster.index();
        match filter {
            Filter::Health => {
                self.left.keep(&index.healthy);
                Ok(Demand::Always)
            }
            Filter::Port => Ok(self.ports()),
            Filter::ContainerSlots => {
                self.left.drop_all(&index.full);
                Ok(Demand::Always)
            }
            Filter::Dependency => {
                for dependency in &self.request.dependencies {
                    self.scratch.clear();
                    self.cluster.add_nodes_of(&dependency.container, self.scratch);
                    self.left.keep(self.scratch);
                }
                Ok(Demand::OfNodes)
            }
            Filter::Affinity => {
                self.expressions(Kind::Affinity, &self.request.affinities, Self::affinity)
            }
            Filter::Constraint => {
                self.expressions(Kind::Constraint, &self.request.constraints, Self::constraint)
            }
            Filter::Whitelist => {
                self.expressions(Kind::Constraint, &self.request.whitelists, Self::whitelist)
            }
        }
    }

    fn ports(&mut self) -> Demand {
        let (index, request) = (self.cluster.index(), self.request);
        let asked = if request.facts.host_network {
            for port in request.facts.exposed() {
                if let Some(taken) = index.exposed.get(port) {
                    taken.drop_from(self.left);
                }
            }
            request.facts.exposed().next().is_some()
        } else {
            let wanted = request.bindings.iter().map(HostPort::as_port);
            wanted.for_each(|port| index.ports.drop_from(port, self.left));
            !request.bindings.is_empty()
        };
        if asked { Demand::Always } else { Demand::OfNodes }
    }

    /// All are read before any is asked, and those that do not count are read as well.
    fn expressions(
        &mut self,
        kind: Kind,
        texts: &[String],
        keep: impl Fn(&mut Self, &str, &Arc<Expr>),
    ) -> Result<Demand, String> {
        if texts.is_empty() {
            return Ok(Demand::Nothing);
        }
        let parsed = texts.iter().map(|text| self.patterns.parse(kind, text));
        let parsed: Vec<Arc<Expr>> = parsed.collect::<Result<_, _>>()?;
        let mut demand = Demand::Nothing;
        for (text, expr) in texts.iter().zip(&parsed) {
            if expr.counts(self.soft) {
                demand = Demand::Always;
                keep(self, text, expr);
            }
        }
        Ok(demand)
    }

    fn constraint(&mut self, text: &str, expr: &Arc<Expr>) {
        let index = self.cluster.index();
        match (expr.only_text(), expr.key.as_str()) {
            (Some(only), "node") => {
                self.scratch.clear();
                add(&index.node_names, only, self.scratch);
                add(&index.node_ids, only, self.scratch);
                self.keep(expr);
            }
            (Some(only), label) => {
                let nodes = index.labels.get(label).and_then(|values| values.get(only));
                self.keep_tally(expr, nodes);
            }
            (None, _) => self.keep_matching(Kind::Constraint, text, expr),
        }
    }

    fn affinity(&mut self, text: &str, expr: &Arc<Expr>) {
        let index = self.cluster.index();
        match (expr.only_text(), expr.key.as_str()) {
            (Some(only), "image") => self.keep_tally(expr, index.images.get(only)),
            (Some(only), "container") => {
                self.scratch.clear();
                let claim = |handle| index.claim(handle);
                let by_id = index.ids.equal(only).map(claim);
                let by_id = by_id.filter(|(container, _)| {
                    *container.id == *only && container.facts.names().next().is_some()
                });
                by_id.for_each(|(_, slot)| self.scratch.insert(slot));
                let by_name = index.names.equal(only).map(claim);
                let by_name = by_name.filter(|claim| first_name(&claim.0.facts) == Some(only));
                by_name.for_each(|(_, slot)| self.scratch.insert(slot));
                self.keep(expr);
            }
            _ => self.keep_matching(Kind::Affinity, text, expr),
        }
    }

    /// The value lists names between bars; key and operator are not looked at.
    fn whitelist(&mut self, _text: &str, expr: &Arc<Expr>) {
        self.scratch.clear();
        let names = expr.pattern.split('|');
        names.for_each(|name| add(&self.cluster.index().node_names, name, self.scratch));
        self.left.keep(self.scratch);
    }

    /// Keeps what is in the scratch set, or everything else.
    fn keep(&mut self, expr: &Expr) {
        if expr.negated {
            self.left.drop_all(self.scratch);
        } else {
            self.left.keep(self.scratch);
        }
    }

    fn keep_tally(&mut self, expr: &Expr, nodes: Option<&Tally>) {
        match nodes {
            Some(nodes) if expr.negated => nodes.drop_from(self.left),
            Some(nodes) => nodes.keep_in(self.left, self.scratch),
            None if expr.negated => {}
            None => self.left.clear(),
        }
    }

    fn keep_matching(&mut self, kind: Kind, text: &str, expr: &Arc<Expr>) {
        let matching = self.patterns.matching(kind, text, expr, self.cluster);
        if expr.negated {
            self.left.drop_all(matching);
        } else {
            self.left.keep(matching);
        }
    }
}

fn add(texts: &BTreeMap<String, Tally>, text: &str, set: &mut Bits) {
    if let Some(nodes) = texts.get(text) {
        nodes.add_to(set);
    }
}
