//! `containerslots`: at most as many containers as the engine label of that name says.

use super::{Test, View};
use crate::cluster::index::SLOTS_LABEL;

pub(super) struct Slots;

/// The limit; a label that is no number sets none.
fn limit(view: &View<'_>) -> Option<i64> {
    view.node.specs.labels.get(SLOTS_LABEL)?.parse().ok()
}

impl Test for Slots {
    fn fits(&self, view: &View<'_>) -> bool {
        limit(view).is_none_or(|limit| i64::try_from(view.count()).is_ok_and(|n| n < limit))
    }

    fn wanted(&self, _view: &View<'_>) -> String {
        String::new()
    }

    fn reason(&self, view: &View<'_>) -> String {
        format!("{} of {} taken", view.count(), limit(view).unwrap_or_default())
    }

    fn conditions(&self) -> Vec<String> {
        vec!["available container slots".to_owned()]
    }
}
