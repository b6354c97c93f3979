//! `whitelist`: one of the named nodes.

use super::{Expr, Exprs, Test, View};

pub(super) struct Whitelist(pub(super) Exprs);

/// The value lists names between bars; key and operator are not looked at, nothing is a pattern.
fn holds(expr: &Expr, view: &View<'_>) -> bool {
    expr.pattern.split('|').any(|name| name == view.node.name)
}

impl Test for Whitelist {
    fn fits(&self, view: &View<'_>) -> bool {
        self.0.first_unmet(|expr| holds(expr, view)).is_none()
    }

    fn wanted(&self, view: &View<'_>) -> String {
        self.0.first_unmet(|expr| holds(expr, view)).map_or_else(String::new, Expr::to_string)
    }

    fn reason(&self, view: &View<'_>) -> String {
        format!("{} does not name it", self.wanted(view))
    }

    fn conditions(&self) -> Vec<String> {
        self.0.with_softness()
    }
}
