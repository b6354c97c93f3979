//! `health`: nodes whose calls have not failed too often.

use super::{Test, View};

pub(super) struct Health;

impl Test for Health {
    fn fits(&self, view: &View<'_>) -> bool {
        // A healthy node's failures stay below the limit: reaching it makes it unhealthy.
        view.node.is_healthy()
    }

    fn wanted(&self, _view: &View<'_>) -> String {
        String::new()
    }

    fn reason(&self, view: &View<'_>) -> String {
        let state = view.node.state.as_str();
        match view.node.error.as_str() {
            "" => state.to_owned(),
            error => format!("{state} ({error})"),
        }
    }

    fn conditions(&self) -> Vec<String> {
        Vec::new()
    }
}
