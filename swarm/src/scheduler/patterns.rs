//! Regular expressions asked for before, with the nodes that match.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::expr::Expr;
use super::filter::{affinity, constraint};
use super::view::View;
use crate::cluster::Cluster;
use crate::cluster::index::{Bits, Journal, Tally};

/// Expressions remembered of each kind. Each may take 2 MiB, that is how far the engine of regular
/// expressions goes, and a bit for each node.
const EXPRESSIONS_MAX: usize = 64;

/// Longer texts are not remembered.
const LENGTH_MAX: usize = 1 << 10;

/// What kind of expression a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Constraint,
    Affinity,
}

/// Expressions by text.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    constraints: BTreeMap<String, Held>,
    affinities: BTreeMap<String, Held>,
    /// The last one that was too long.
    long: Option<Held>,
    clock: u64,
}

/// An expression and where its pattern matches something.
#[derive(Debug)]
struct Held {
    expr: Arc<Expr>,
    matching: Bits,
    /// How far the journal of what it looks at was read; `None` before it was ever asked.
    read_to: Option<u64>,
    /// When it was last asked for.
    used: u64,
}

impl Patterns {
    fn of(&mut self, kind: Kind) -> &mut BTreeMap<String, Held> {
        match kind {
            Kind::Constraint => &mut self.constraints,
            Kind::Affinity => &mut self.affinities,
        }
    }

    /// Parses an expression, unless it is remembered.
    ///
    /// # Errors
    /// The classic manager's text.
    pub(super) fn parse(&mut self, kind: Kind, text: &str) -> Result<Arc<Expr>, String> {
        match self.of(kind).get(text) {
            Some(held) => Ok(Arc::clone(&held.expr)),
            None => Expr::parse(text).map(Arc::new),
        }
    }

    /// The nodes where the pattern of this expression, written like this, matches something.
    pub(super) fn matching(
        &mut self,
        kind: Kind,
        text: &str,
        expr: &Arc<Expr>,
        cluster: &Cluster,
    ) -> &Bits {
        self.clock += 1;
        let clock = self.clock;
        if text.len() > LENGTH_MAX {
            let held = self.long.insert(Held::new(expr));
            held.catch_up(kind, cluster);
            return &held.matching;
        }
        let all = self.of(kind);
        if !all.contains_key(text) {
            if all.len() == EXPRESSIONS_MAX {
                let oldest = all.iter().min_by_key(|(_, held)| held.used);
                if let Some(oldest) = oldest.map(|(text, _)| text.clone()) {
                    all.remove(&oldest);
                }
            }
            all.insert(text.to_owned(), Held::new(expr));
        }
        let held = all.get_mut(text).expect("there since the line above");
        held.used = clock;
        held.catch_up(kind, cluster);
        &held.matching
    }
}

impl Patterns {
    /// How many expressions are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.constraints.len() + self.affinities.len()
    }

    /// Makes what is remembered wrong.
    #[cfg(test)]
    pub(super) fn spoil(&mut self) {
        self.constraints.values_mut().for_each(|held| held.matching.clear());
    }

    /// Whether what is remembered is what it would be if it were worked out now.
    pub(super) fn check(&mut self, cluster: &Cluster) -> Result<(), String> {
        for kind in [Kind::Constraint, Kind::Affinity] {
            for (text, held) in self.of(kind) {
                held.catch_up(kind, cluster);
                let mut anew = Held::new(&held.expr);
                anew.catch_up(kind, cluster);
                let known = &cluster.index().known;
                let matching = |held: &Held| {
                    held.matching.iter().filter(|slot| known.contains(*slot)).collect::<Vec<u32>>()
                };
                if matching(held) != matching(&anew) {
                    return Err(format!("the nodes of {text} are not renewed"));
                }
            }
        }
        Ok(())
    }
}

impl Held {
    fn new(expr: &Arc<Expr>) -> Self {
        Self { expr: Arc::clone(expr), matching: Bits::default(), read_to: None, used: 0 }
    }

    fn catch_up(&mut self, kind: Kind, cluster: &Cluster) {
        let log = log(kind, &self.expr, cluster);
        match self.read_to.and_then(|read_to| log.since(read_to)) {
            Some(slots) => {
                // A node that changed often is looked at once.
                let changed: Bits = slots.iter().copied().collect();
                for slot in changed.iter() {
                    self.matching.set(slot, matches(kind, &self.expr, cluster, slot));
                }
            }
            None => {
                self.matching.clear();
                self.find_all(kind, cluster);
            }
        }
        self.read_to = Some(log.end());
    }

    /// Looks at what all nodes have, at each different text once where that is known.
    fn find_all(&mut self, kind: Kind, cluster: &Cluster) {
        let (expr, index) = (&*self.expr, cluster.index());
        let mut add = |texts: &BTreeMap<String, Tally>| {
            for (_, nodes) in texts.iter().filter(|(text, _)| expr.any([text.as_str()])) {
                nodes.add_to(&mut self.matching);
            }
        };
        match (kind, expr.key.as_str()) {
            (Kind::Constraint, "node") => {
                add(&index.node_names);
                add(&index.node_ids);
            }
            (Kind::Constraint, label) => {
                let values = index.labels.get(label);
                values.into_iter().for_each(add);
                if expr.any([""]) {
                    // Those without the label have the empty text there.
                    let mut without = index.known.clone();
                    let values = values.into_iter().flat_map(BTreeMap::values);
                    values.for_each(|nodes| nodes.drop_from(&mut without));
                    self.matching.add_all(&without);
                }
            }
            (Kind::Affinity, "image") => add(&index.images),
            (Kind::Affinity, _) => {
                for slot in index.known.iter() {
                    self.matching.set(slot, matches(kind, expr, cluster, slot));
                }
            }
        }
    }
}

/// The changes that matter to an expression.
fn log<'a>(kind: Kind, expr: &Expr, cluster: &'a Cluster) -> &'a Journal {
    let index = cluster.index();
    match (kind, expr.key.as_str()) {
        (Kind::Constraint, _) => &index.specs_log,
        (Kind::Affinity, "image") => &index.images_log,
        (Kind::Affinity, _) => &index.claims_log,
    }
}

/// Whether the pattern matches anything it looks at on this node.
fn matches(kind: Kind, expr: &Expr, cluster: &Cluster, slot: u32) -> bool {
    cluster.node_at(slot).is_some_and(|node| match kind {
        Kind::Constraint => constraint::any(expr, node),
        Kind::Affinity => View::of(cluster, node).is_some_and(|view| affinity::any(expr, &view)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::{add_engine, addr};

    const KIND: Kind = Kind::Constraint;

    /// One node with `zone=z1`.
    fn cluster() -> Cluster {
        let mut cluster = Cluster::default();
        add_engine(&mut cluster, &addr(1), "node-1", &["zone=z1"]);
        cluster
    }

    fn ask(patterns: &mut Patterns, text: &str, cluster: &Cluster) -> usize {
        let expr = patterns.parse(KIND, text).expect(text);
        patterns.matching(KIND, text, &expr, cluster).count()
    }

    #[test]
    fn the_expressions_asked_for_last_are_remembered() {
        let (cluster, mut patterns) = (cluster(), Patterns::default());
        let text = |number: usize| format!("zone==z*{number:02}");
        for number in 0..64 {
            assert_eq!(ask(&mut patterns, &text(number), &cluster), 0);
        }
        assert_eq!(ask(&mut patterns, &text(0), &cluster), 0);
        ask(&mut patterns, &text(64), &cluster);
        assert_eq!(patterns.constraints.len(), 64);
        let held = |patterns: &Patterns, number| patterns.constraints.contains_key(&text(number));
        assert!(held(&patterns, 0) && !held(&patterns, 1));
        assert!((2..=64).all(|number| held(&patterns, number)));
        let again = [0, 0].map(|_| patterns.parse(KIND, &text(0)).expect("it is remembered"));
        assert!(Arc::ptr_eq(&again[0], &again[1]));
        assert!(patterns.affinities.is_empty());
    }

    #[test]
    fn a_long_expression_is_worked_out_anew() {
        let (cluster, mut patterns) = (cluster(), Patterns::default());
        let text = |length: usize| {
            let start = "zone==z*|";
            format!("{start}{}", "a".repeat(length - start.len()))
        };
        assert_eq!(ask(&mut patterns, &text(1024), &cluster), 1);
        assert_eq!((patterns.constraints.len(), patterns.long.is_some()), (1, false));
        assert_eq!(ask(&mut patterns, &text(1025), &cluster), 1);
        assert_eq!((patterns.constraints.len(), patterns.long.is_some()), (1, true));
    }

    #[test]
    fn what_was_not_renewed_is_noticed() {
        let (cluster, mut patterns) = (cluster(), Patterns::default());
        ask(&mut patterns, "zone==z*", &cluster);
        assert_eq!(patterns.check(&cluster), Ok(()));
        patterns.spoil();
        assert!(patterns.check(&cluster).is_err());
    }
}
