//! Which node gets a container. Pure: cluster state + request (+ randomness) -> node, or why not.

mod explain;
mod expr;
mod filter;
mod request;
mod strategy;
#[cfg(test)]
mod tests;
mod view;

use std::fmt::Write as _;

use crate::cluster::{Cluster, Options};
use filter::Test;
use view::View;

pub use explain::{Explained, Explanation, Pass, Verdict};
pub use expr::Expr;
pub use request::{Dependency, Request};

const UNSATISFIED: &str = "Unable to find a node that satisfies the following conditions ";

/// Where to put it.
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

    /// Ranks the registered nodes that fit. Soft expressions hold all together or not at all: if
    /// the request cannot be placed with them for whatever reason, it is placed without.
    /// `random(n)` gives a number below `n`.
    ///
    /// # Errors
    /// No node fits.
    pub fn place(
        &self,
        cluster: &Cluster,
        request: &Request,
        random: &mut dyn FnMut(u64) -> u64,
    ) -> Result<Placement, Rejection> {
        let views = View::all(cluster);
        let options = cluster.options();
        if let Ok(placement) = self.pass(&views, options, request, Soft::Enforced, random) {
            return Ok(placement);
        }
        match self.pass(&views, options, request, Soft::Ignored, random) {
            Ok(mut placement) => {
                placement.summary.push_str(", soft expressions dropped");
                Ok(placement)
            }
            Err(message) => Err(Rejection { message }),
        }
    }

    /// Runs all filters and ranks what is left. An error is the classic manager's text.
    fn pass(
        &self,
        views: &[View<'_>],
        options: &Options,
        request: &Request,
        soft: Soft,
        random: &mut dyn FnMut(u64) -> u64,
    ) -> Result<Placement, String> {
        let mut left: Vec<&View<'_>> = views.iter().collect();
        let mut summary = match left.len() {
            1 => "1 node".to_owned(),
            count => format!("{count} nodes"),
        };
        let mut note = |before: usize, after: usize, what: &str| {
            if after < before {
                write!(summary, ", {after} after {what}").expect("a String takes any text");
            }
        };
        let mut tests: Vec<Box<dyn Test>> = Vec::with_capacity(self.filters.len());
        for filter in &self.filters {
            let name = filter.as_str();
            let test = filter.test(request, soft).map_err(|error| {
                format!("{UNSATISFIED}{}\nerror from {name} filter: {error}", conditions(&tests))
            })?;
            let before = left.len();
            left.retain(|view| test.fits(view));
            note(before, left.len(), name);
            let refused = left.is_empty() && test.refuses_none(before);
            tests.push(test);
            if refused && *filter == Filter::Health {
                return Err("No healthy node available in the cluster".to_owned());
            }
            if refused {
                return Err(format!("{UNSATISFIED}{}", conditions(&tests)));
            }
        }
        if left.is_empty() {
            return Err("No nodes available in the cluster".to_owned());
        }
        let before = left.len();
        let ranked = self.strategy.rank(left, options, request, random);
        note(before, ranked.len(), "resources");
        if ranked.is_empty() {
            return Err("no resources available to schedule container".to_owned());
        }
        Ok(Placement { ranked: ranked.iter().map(|v| v.node.addr.clone()).collect(), summary })
    }
}

/// One line for each filter that looks at something in the request.
fn conditions(tests: &[Box<dyn Test>]) -> String {
    let lines = tests.iter().map(|test| test.conditions()).filter(|items| !items.is_empty());
    lines.map(|items| format!("\n[{}]", items.join(" "))).collect()
}
