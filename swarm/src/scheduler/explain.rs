//! Why each node does or does not get a container: for people, on demand, beside the placement.

use std::collections::BTreeMap;
use std::fmt;

use super::filter::Test;
use super::view::View;
use super::{Expr, Request, Scheduler, Soft, Strategy};
use crate::cluster::Cluster;

/// What the scheduler makes of a request, node by node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The pass whose result is the answer.
    pub pass: Pass,
    /// The registered nodes in the order of names.
    pub nodes: Vec<Explained>,
}

/// Which of the two passes decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// The only one: the request has no soft expression that any filter looks at.
    Hard,
    /// The first, in which soft expressions count.
    Soft,
    /// The second, without soft expressions: with them nothing fits.
    SoftDropped,
}

/// A node and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The node's name; its address if it has none.
    pub name: String,
    /// The node's address.
    pub addr: String,
    /// Whether it fits.
    pub verdict: Verdict,
}

/// Whether a node fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Fits {
        /// The strategy's weight, the less the better for spread, the more for binpack; `None`
        /// under `random`, which does not weigh.
        score: Option<i128>,
        /// From 1, the node that gets the container; `None` under `random`, which has not thrown
        /// its dice.
        rank: Option<usize>,
    },
    /// It does not.
    Refused {
        /// The first filter that refuses it, or `resources`.
        by: &'static str,
        /// What is asked for and not met, such as `disk==ssd`; empty where the filter says it all.
        wanted: String,
        /// Why.
        reason: String,
    },
}

impl Pass {
    /// The pass in a few words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hard => "hard",
            Self::Soft => "with soft expressions",
            Self::SoftDropped => "soft expressions dropped",
        }
    }
}

impl Explanation {
    /// How many nodes each demand costs, on one line: `health 1, port 80 2, constraint disk==ssd 3`.
    /// Nodes that fit are not counted; without nodes there is nothing to say.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut counts: Vec<(&str, &str, usize)> = Vec::new();
        for node in &self.nodes {
            let Verdict::Refused { by, wanted, .. } = &node.verdict else { continue };
            match counts.iter_mut().find(|(a, b, _)| a == by && b == wanted) {
                Some((.., count)) => *count += 1,
                None => counts.push((by, wanted, 1)),
            }
        }
        let text = |(by, wanted, count): &(&str, &str, usize)| match *wanted {
            "" => format!("{by} {count}"),
            wanted => format!("{by} {wanted} {count}"),
        };
        counts.iter().map(text).collect::<Vec<_>>().join(", ")
    }
}

/// For people: `fits`, or the filter and its reason.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fits { .. } => f.write_str("fits"),
            Self::Refused { by, reason, .. } => write!(f, "{by}: {reason}"),
        }
    }
}

impl Scheduler {
    /// For each registered node the first filter that refuses it, or its score and rank: what
    /// [`Scheduler::place`] would come to now, and why.
    #[must_use]
    pub fn explain(&self, cluster: &Cluster, request: &Request) -> Explanation {
        let views = View::all(cluster);
        let enforced = self.has_soft(request).then(|| {
            let verdicts = self.verdicts(&views, request, Soft::Enforced);
            let fits = |verdict: &Verdict| matches!(verdict, Verdict::Fits { .. });
            (verdicts.iter().any(fits), verdicts)
        });
        let without = || self.verdicts(&views, request, Soft::Ignored);
        let (pass, verdicts) = match enforced {
            None => (Pass::Hard, without()),
            Some((true, verdicts)) => (Pass::Soft, verdicts),
            Some((false, _)) => (Pass::SoftDropped, without()),
        };
        let explained = |(view, verdict): (&View<'_>, Verdict)| Explained {
            name: view.node.label().to_owned(),
            addr: view.node.addr.clone(),
            verdict,
        };
        Explanation { pass, nodes: views.iter().zip(verdicts).map(explained).collect() }
    }

    /// Whether any filter looks at a soft expression.
    fn has_soft(&self, request: &Request) -> bool {
        let lists = self.filters.iter().filter_map(|filter| filter.expressions(request));
        let mut marked = lists.flatten().filter(|text| text.contains('~'));
        marked.any(|text| Expr::parse(text).is_ok_and(|expr| expr.soft))
    }

    /// One pass, in the order of `views`. As in a placement, a filter is not even read when the
    /// ones before it have left nothing.
    fn verdicts(&self, views: &[View<'_>], request: &Request, soft: Soft) -> Vec<Verdict> {
        let mut verdicts: Vec<Option<Verdict>> = vec![None; views.len()];
        for filter in &self.filters {
            let left = views.iter().zip(&mut verdicts).filter(|(_, verdict)| verdict.is_none());
            let mut left = left.peekable();
            if left.peek().is_none() {
                break;
            }
            let by = filter.as_str();
            match filter.test(request, soft) {
                Ok(test) => left.for_each(|(view, verdict)| *verdict = refusal(by, &*test, view)),
                Err(mistake) => left.for_each(|(_, verdict)| {
                    let wanted = "malformed".to_owned();
                    *verdict = Some(Verdict::Refused { by, wanted, reason: mistake.clone() });
                }),
            }
        }
        let left = views.iter().zip(&verdicts).filter(|(_, verdict)| verdict.is_none());
        let left: Vec<&View<'_>> = left.map(|(view, _)| view).collect();
        let ranked = self.strategy.rank(left, request);
        let ranks: BTreeMap<&str, usize> =
            ranked.iter().zip(1..).map(|(view, rank)| (view.node.addr.as_str(), rank)).collect();
        let decide = |(view, verdict): (&View<'_>, Option<Verdict>)| {
            let rank = ranks.get(view.node.addr.as_str()).copied();
            verdict.unwrap_or_else(|| self.ranking(view, rank, request))
        };
        views.iter().zip(verdicts).map(decide).collect()
    }

    /// What the strategy makes of a node that passes all filters; `rank` is its place in the
    /// strategy's order.
    fn ranking(&self, view: &View<'_>, rank: Option<usize>, request: &Request) -> Verdict {
        if self.strategy == Strategy::Random {
            return Verdict::Fits { score: None, rank: None };
        }
        if let Some((wanted, reason)) = self.strategy.reason(view, request) {
            return Verdict::Refused { by: "resources", wanted: wanted.to_owned(), reason };
        }
        Verdict::Fits { score: self.strategy.weigh(view, request).map(i128::from), rank }
    }
}

/// Why the filter refuses the node, if it does.
fn refusal(by: &'static str, test: &dyn Test, view: &View<'_>) -> Option<Verdict> {
    let refused = || Verdict::Refused { by, wanted: test.wanted(view), reason: test.reason(view) };
    (!test.fits(view)).then(refused)
}
