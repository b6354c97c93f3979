//! Which node gets a container. Pure: cluster state + request (+ randomness) -> node, or why not.

mod explain;
mod expr;
mod filter;
mod narrow;
mod patterns;
mod request;
mod shape;
mod strategy;
#[cfg(test)]
mod tests;
mod view;

use std::fmt::Write as _;

use crate::cluster::Cluster;
use crate::cluster::index::Bits;
use filter::Test;
use narrow::{Demand, Narrowing};
use patterns::Patterns;
use shape::{Shapes, Size};

pub use explain::{Explained, Explanation, Pass, Verdict};
pub use expr::Expr;
pub use request::{Dependency, Request};

const UNSATISFIED: &str = "Unable to find a node that satisfies the following conditions ";

/// Where to put it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The node's address.
    pub node: String,
    /// How many nodes each step left, such as `3 nodes, 1 after constraint`.
    pub summary: String,
}

/// Where it could go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Addresses of all nodes that fit, best first; never empty.
    pub ranked: Vec<String>,
    /// How many nodes each step left, such as `3 nodes, 1 after constraint`.
    pub summary: String,
}

/// Why no node fits, in the classic manager's words. [`Scheduler::explain`] says more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejection {
    /// What the client is told.
    pub message: String,
}

/// Filters, run in this order, and a strategy.
#[derive(Clone, Debug)]
pub struct Scheduler {
    filters: Vec<Filter>,
    strategy: Strategy,
}

/// A filter, by the name used on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Only healthy nodes.
    Health,
    /// No host port twice.
    Port,
    /// The engine label `containerslots`.
    ContainerSlots,
    /// Next to the containers it needs.
    Dependency,
    /// `affinity:` expressions.
    Affinity,
    /// `constraint:` expressions.
    Constraint,
    /// `whitelist:` expressions.
    Whitelist,
}

/// How the nodes that pass are ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// The emptiest first.
    Spread,
    /// The fullest first.
    Binpack,
    /// Any.
    Random,
}

impl Filter {
    /// All filters in their usual order.
    pub const ALL: [Self; 7] = [
        Self::Health,
        Self::Port,
        Self::ContainerSlots,
        Self::Dependency,
        Self::Affinity,
        Self::Constraint,
        Self::Whitelist,
    ];

    /// The filter of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|filter| filter.as_str() == name)
    }

    /// The filter's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Port => "port",
            Self::ContainerSlots => "containerslots",
            Self::Dependency => "dependency",
            Self::Affinity => "affinity",
            Self::Constraint => "constraint",
            Self::Whitelist => "whitelist",
        }
    }
}

impl Strategy {
    /// The strategy of this name; `binpacking` is another word for `binpack`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "spread" => Some(Self::Spread),
            "binpack" | "binpacking" => Some(Self::Binpack),
            "random" => Some(Self::Random),
            _ => None,
        }
    }

    /// The strategy's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spread => "spread",
            Self::Binpack => "binpack",
            Self::Random => "random",
        }
    }
}

impl Default for Scheduler {
    /// All filters and `spread`, as without any options.
    fn default() -> Self {
        Self::new(Filter::ALL.to_vec(), Strategy::Spread)
    }
}

/// Whether expressions marked `~` count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Soft {
    /// Like all others.
    Enforced,
    /// Not at all.
    Ignored,
}

impl Scheduler {
    /// A scheduler that runs `filters` in this order, then ranks by `strategy`.
    #[must_use]
    pub fn new(filters: Vec<Filter>, strategy: Strategy) -> Self {
        Self { filters, strategy }
    }

    /// The filters in the order they run.
    #[must_use]
    pub fn filters(&self) -> &[Filter] {
        &self.filters
    }

    /// The strategy.
    #[must_use]
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// Chooses a registered node that fits. Soft expressions hold all together or not at all: if
    /// the request cannot be placed with them for whatever reason, it is placed without.
    /// `random(n)` gives a number below `n`; only the strategy of that name asks for one.
    ///
    /// The indexes of the cluster are asked, not its nodes: what it takes hardly depends on how
    /// many there are.
    ///
    /// # Errors
    /// No node fits.
    pub fn choose(
        &self,
        cluster: &Cluster,
        request: &Request,
        random: &mut dyn FnMut(u64) -> u64,
    ) -> Result<Choice, Rejection> {
        let answers = &mut *cluster.answers();
        let summary = self.passes(answers, cluster, request)?;
        let slot = match self.strategy {
            Strategy::Random => {
                let count = u64::try_from(answers.left.count()).expect("a count fits 64 bits");
                answers.left.nth(usize::try_from(random(count)).expect("it is below the count"))
            }
            _ => answers.shapes.get(self.size(request), cluster.index()).best(&answers.left),
        };
        let node = slot.and_then(|slot| cluster.node_at(slot)).expect("some node is left");
        Ok(Choice { node: node.addr.clone(), summary })
    }

    /// Ranks all registered nodes that fit, as [`Scheduler::choose`] would choose one after the
    /// other if each were gone after. With the strategy `random` the order is as random as its
    /// choice, but not the same one.
    ///
    /// # Errors
    /// No node fits.
    pub fn place(
        &self,
        cluster: &Cluster,
        request: &Request,
        random: &mut dyn FnMut(u64) -> u64,
    ) -> Result<Placement, Rejection> {
        let answers = &mut *cluster.answers();
        let summary = self.passes(answers, cluster, request)?;
        let index = cluster.index();
        let mut slots: Vec<u32> = answers.left.iter().collect();
        if self.strategy == Strategy::Random {
            slots.sort_unstable_by_key(|slot| index.loads()[*slot as usize].rank);
            strategy::shuffle(&mut slots, random);
        } else {
            let shape = answers.shapes.get(self.size(request), index);
            slots.sort_unstable_by_key(|slot| shape.key(*slot));
        }
        let nodes = slots.iter().filter_map(|slot| cluster.node_at(*slot));
        Ok(Placement { ranked: nodes.map(|node| node.addr.clone()).collect(), summary })
    }

    /// Leaves in `answers.left` the nodes that fit, some at least; returns the summary.
    fn passes(
        &self,
        answers: &mut Answers,
        cluster: &Cluster,
        request: &Request,
    ) -> Result<String, Rejection> {
        let stop = match self.pass(answers, cluster, request, Soft::Enforced) {
            Ok(summary) => return Ok(summary),
            Err(stop) => stop,
        };
        let lists = [&request.affinities, &request.constraints, &request.whitelists];
        let mut stop = stop;
        if lists.into_iter().flatten().any(|text| text.contains('~')) {
            match self.pass(answers, cluster, request, Soft::Ignored) {
                Ok(mut summary) => {
                    summary.push_str(", soft expressions dropped");
                    return Ok(summary);
                }
                Err(without) => stop = without,
            }
        }
        Err(Rejection { message: self.message(request, stop) })
    }

    /// Runs all filters and looks at resources.
    fn pass(
        &self,
        answers: &mut Answers,
        cluster: &Cluster,
        request: &Request,
        soft: Soft,
    ) -> Result<String, Stop> {
        let Answers { patterns, shapes, left, scratch } = answers;
        left.copy_from(&cluster.index().registered);
        let mut count = left.count();
        let mut summary = match count {
            1 => "1 node".to_owned(),
            count => format!("{count} nodes"),
        };
        let mut note = |before: &mut usize, after: usize, what: &str| {
            if after < *before {
                write!(summary, ", {after} after {what}").expect("a String takes any text");
            }
            *before = after;
        };
        let mut narrowing = Narrowing { cluster, request, soft, patterns, left, scratch };
        for (at, filter) in self.filters.iter().enumerate() {
            let demand = narrowing.run(*filter);
            let demand = demand.map_err(|mistake| Stop::Mistake(at, mistake))?;
            let before = count;
            note(&mut count, narrowing.left.count(), filter.as_str());
            let refused = match demand {
                Demand::Always => true,
                Demand::OfNodes => before > 0,
                Demand::Nothing => false,
            };
            if count == 0 && refused {
                return Err(Stop::Filter(at));
            }
        }
        if count == 0 {
            return Err(Stop::NoNodes);
        }
        if self.strategy != Strategy::Random {
            left.keep(shapes.get(self.size(request), cluster.index()).fits());
            note(&mut count, left.count(), "resources");
        }
        if count == 0 { Err(Stop::Resources) } else { Ok(summary) }
    }

    fn size(&self, request: &Request) -> Size {
        let (cpus, memory) = (request.facts.cpus, request.facts.memory);
        Size { strategy: self.strategy, cpus, memory }
    }

    /// The classic manager's text. Only the pass without soft expressions can be the last one that
    /// fails, and the text does not depend on it.
    fn message(&self, request: &Request, stop: Stop) -> String {
        // Those before the one that failed have been read.
        let conditions = |filters: &[Filter]| {
            let tests =
                filters.iter().filter_map(|filter| filter.test(request, Soft::Ignored).ok());
            conditions(&tests.collect::<Vec<_>>())
        };
        match stop {
            Stop::Filter(at) if self.filters[at] == Filter::Health => {
                "No healthy node available in the cluster".to_owned()
            }
            Stop::Filter(at) => format!("{UNSATISFIED}{}", conditions(&self.filters[..=at])),
            Stop::Mistake(at, mistake) => {
                let (before, name) = (conditions(&self.filters[..at]), self.filters[at].as_str());
                format!("{UNSATISFIED}{before}\nerror from {name} filter: {mistake}")
            }
            Stop::NoNodes => "No nodes available in the cluster".to_owned(),
            Stop::Resources => "no resources available to schedule container".to_owned(),
        }
    }
}

/// Why a pass came to nothing; filters by their place in the list.
enum Stop {
    Filter(usize),
    Mistake(usize, String),
    NoNodes,
    Resources,
}

/// What the scheduler remembers of a cluster, and what it works with: memory that is not asked for
/// anew each time.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    patterns: Patterns,
    shapes: Shapes,
    left: Bits,
    scratch: Bits,
}

impl Answers {
    /// Whether what is remembered is what it would be if it were worked out now.
    pub(crate) fn check(&mut self, cluster: &Cluster) -> Result<(), String> {
        self.shapes.check(cluster.index())?;
        self.patterns.check(cluster)
    }
}

/// One line for each filter that looks at something in the request.
fn conditions(tests: &[Box<dyn Test>]) -> String {
    let lines = tests.iter().map(|test| test.conditions()).filter(|items| !items.is_empty());
    lines.map(|items| format!("\n[{}]", items.join(" "))).collect()
}
