//! Filters: each keeps the nodes that one aspect of the request allows.

pub(crate) mod affinity;
pub(crate) mod constraint;
mod dependency;
mod health;
mod port;
mod slots;
mod whitelist;

use super::expr::Expr;
use super::view::View;
use super::{Filter, Request, Soft};

/// A filter made ready for one request.
pub(crate) trait Test {
    /// Whether the node passes.
    fn fits(&self, view: &View<'_>) -> bool;

    /// The demand that a node does not meet, as short as the log wants it; empty where the
    /// filter's name says it all.
    fn wanted(&self, view: &View<'_>) -> String;

    /// Why a node that does not pass does not, for people.
    fn reason(&self, view: &View<'_>) -> String;

    /// What the request asks for, in the classic manager's words.
    fn conditions(&self) -> Vec<String>;
}

impl Filter {
    /// The expressions of the request that the filter reads, if it reads any.
    pub(crate) fn expressions(self, request: &Request) -> Option<&[String]> {
        match self {
            Self::Affinity => Some(&request.affinities),
            Self::Constraint => Some(&request.constraints),
            Self::Whitelist => Some(&request.whitelists),
            Self::Health | Self::Port | Self::ContainerSlots | Self::Dependency => None,
        }
    }

    /// Makes the filter ready for `request`.
    ///
    /// # Errors
    /// An expression is malformed.
    pub(crate) fn test(self, request: &Request, soft: Soft) -> Result<Box<dyn Test>, String> {
        Ok(match self {
            Self::Health => Box::new(health::Health),
            Self::Port => port::test(request),
            Self::ContainerSlots => Box::new(slots::Slots),
            Self::Dependency => Box::new(dependency::Dependencies(request.dependencies.clone())),
            Self::Affinity => Box::new(affinity::Affinity(Exprs::new(&request.affinities, soft)?)),
            Self::Constraint => {
                Box::new(constraint::Constraint(Exprs::new(&request.constraints, soft)?))
            }
            Self::Whitelist => {
                Box::new(whitelist::Whitelist(Exprs::new(&request.whitelists, soft)?))
            }
        })
    }
}

/// The expressions of one kind, of which those that are ignored in this pass are only shown.
struct Exprs {
    all: Vec<Expr>,
    soft: Soft,
}

impl Exprs {
    fn new(texts: &[String], soft: Soft) -> Result<Self, String> {
        Ok(Self { all: Expr::parse_all(texts)?, soft })
    }

    /// The first that counts and does not hold.
    fn first_unmet(&self, holds: impl Fn(&Expr) -> bool) -> Option<&Expr> {
        self.all.iter().find(|expr| expr.counts(self.soft) && !holds(expr))
    }

    /// Key and value with the softness spelt out.
    fn with_softness(&self) -> Vec<String> {
        self.all.iter().map(|expr| format!("{} (soft={})", expr.bare(), expr.soft)).collect()
    }
}
